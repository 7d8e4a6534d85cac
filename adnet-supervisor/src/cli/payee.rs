//! Who gets AX: a shielded address or a public account, told apart by how they begin.

use std::str::FromStr;

use adnet_alpha::pool::ShieldedAddress;
use adnet_common::keys::AlphaAddress;

/// Who gets a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payee {
    Shielded(ShieldedAddress),
    Public(AlphaAddress),
}

impl FromStr for Payee {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let begins = |with: &str| {
            let head = text.get(..with.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(with))
        };
        if begins("axz1") {
            let address: Result<ShieldedAddress, _> = text.parse();
            return address.map(Payee::Shielded).map_err(|e| e.to_string());
        }
        if begins("ax1") {
            let address: Result<AlphaAddress, _> = text.parse();
            return address.map(Payee::Public).map_err(|e| e.to_string());
        }
        Err(match begins("0x") {
            true => "this is an account on Delta: `adnet wallet lock` sends AX there".to_owned(),
            false => "an address begins with `axz1` (shielded) or `ax1` (public)".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_all_kinds_are_told_apart() {
        let public = AlphaAddress([7; 32]);
        assert_eq!(public.to_string().parse(), Ok(Payee::Public(public)));
        let upper = public.to_string().to_uppercase();
        assert_eq!(upper.parse(), Ok(Payee::Public(public)));
        let delta = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
        let refused = delta.parse::<Payee>().expect_err("of Delta");
        assert!(refused.contains("wallet lock"), "{refused}");
        for wrong in ["", "ax1", "axz1", "bc1qxyz", "é", "axz1qqqq"] {
            assert!(wrong.parse::<Payee>().is_err(), "{wrong}");
        }
    }
}
