//! Amounts as people write them: a decimal number of whole coins.

use std::str::FromStr;

use adnet_common::genesis::UNITS_PER_AX;

/// AX or sAX in units of 10⁻⁴, from a text such as `1.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Units(pub u64);

/// sAX in wei of 10⁻¹⁸, from a text such as `0.000000000000000001`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wei(pub u128);

impl FromStr for Units {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = decimal(text, 4)?;
        u64::try_from(units)
            .map(Units)
            .map_err(|_| "there is not that much AX".to_owned())
    }
}

impl FromStr for Wei {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        decimal(text, 18).map(Wei)
    }
}

/// Units as a decimal number of whole AX.
pub(super) fn in_ax(units: u64) -> String {
    format!("{}.{:04}", units / UNITS_PER_AX, units % UNITS_PER_AX)
}

/// `text` times 10^`places`, exactly.
fn decimal(text: &str, places: usize) -> Result<u128, String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || text.ends_with('.') {
        return Err("expected a decimal number such as 12 or 1.5".to_owned());
    }
    if fraction.len() > places {
        return Err(format!("at most {places} decimals"));
    }
    let padded = format!("{whole}{fraction:0<places$}");
    padded
        .parse()
        .map_err(|_| "the number is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly() {
        for (text, units) in [
            ("1", 10_000),
            ("0.0001", 1),
            ("1.5", 15_000),
            ("007.25", 72_500),
        ] {
            assert_eq!(text.parse(), Ok(Units(units)), "{text}");
        }
        assert_eq!("1844674407370955.1615".parse(), Ok(Units(u64::MAX)));
        assert_eq!("0.000000000000000001".parse(), Ok(Wei(1)));
        assert_eq!(in_ax(72_500), "7.2500");
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1,5",
            " 1",
            "0.00001",
            "1844674407370955.1616",
        ] {
            assert!(text.parse::<Units>().is_err(), "{text}");
        }
        assert!("9".repeat(60).parse::<Wei>().is_err());
    }
}
