//! The commands that spend: what a person writes, turned into what the wallet is to do.

use std::process::ExitCode;

use adnet_alpha::wallet::{Intent, Memo, Source, keys::ViewingKeys};
use adnet_common::keys::{AlphaAddress, EvmAddress};
use clap::Args;

use super::{
    options::{AmountArgs, From, NodeArgs, SendArgs, WalletArgs},
    transact::Transaction,
};
use crate::cli::{UsageError, payee::Payee};

/// What every command that spends takes.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    wallet: WalletArgs,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    send: SendArgs,
}

/// Send AX to somebody
///
/// From the pool to a shielded address nobody but the two of you sees who, to whom, how much and the
/// memo. To a public account the recipient and the amount are public; from the public account (--from
/// public) the sender is.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  adnet wallet send --to axz1... --amount 1.5 --memo 'thank you'
  adnet wallet send --to ax1... --amount 1.5 --from public")]
pub(super) struct Send {
    /// The recipient: a shielded address or a public account
    #[arg(long, value_name = "axz1...|ax1...")]
    to: Payee,

    #[command(flatten)]
    amount: AmountArgs,

    /// A text for the recipient, of at most 512 bytes; only notes carry one
    #[arg(long, value_name = "TEXT", value_parser = memo)]
    memo: Option<Memo>,

    /// Who pays: the notes in the pool, or the public account
    #[arg(long, value_enum, default_value = "pool")]
    from: From,

    #[command(flatten)]
    common: Common,
}

/// Move AX of the public account into the pool
///
/// The account and the amount are public; who owns the note is not.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  adnet wallet shield --amount 100")]
pub(super) struct Shield {
    #[command(flatten)]
    amount: AmountArgs,
    #[command(flatten)]
    common: Common,
}

/// Move AX of the pool to a public account
///
/// The account and the amount are public; whose notes have paid is not.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  adnet wallet unshield --amount 10")]
pub(super) struct Unshield {
    #[command(flatten)]
    amount: AmountArgs,

    /// The account that gets it [default: the wallet's own]
    #[arg(long, value_name = "ax1...")]
    to: Option<AlphaAddress>,

    #[command(flatten)]
    common: Common,
}

/// Lock AX; as much sAX appears on Delta
///
/// The account on Delta and the amount are public.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  adnet wallet lock --amount 25                          to the wallet's own account on Delta
  adnet wallet lock --amount 25 --to 0x... --from public")]
pub(super) struct Lock {
    #[command(flatten)]
    amount: AmountArgs,

    /// Who gets the sAX on Delta [default: the wallet's own account there]
    #[arg(long, value_name = "0x...")]
    to: Option<EvmAddress>,

    /// Who pays: the notes in the pool, or the public account
    #[arg(long, value_enum, default_value = "pool")]
    from: From,

    #[command(flatten)]
    common: Common,
}

/// Destroy AX for ever
#[derive(Debug, Args)]
#[command(after_help = "Example:
  adnet wallet burn --amount 5")]
pub(super) struct Burn {
    #[command(flatten)]
    amount: AmountArgs,

    /// Who pays: the notes in the pool, or the public account
    #[arg(long, value_enum, default_value = "pool")]
    from: From,

    #[command(flatten)]
    common: Common,
}

/// Join many small notes into one
///
/// A transaction spends at most 30 notes, and costs more the more it spends. Joins the smallest.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  adnet wallet consolidate")]
pub(super) struct Consolidate {
    #[command(flatten)]
    common: Common,
}

fn memo(text: &str) -> Result<Memo, String> {
    Memo::text(text).map_err(|error| error.to_string())
}

fn source(from: From) -> Source {
    match from {
        From::Pool => Source::Pool,
        From::Public => Source::Account,
    }
}

impl Common {
    fn run(
        self,
        verb: &'static str,
        intent: impl FnOnce(&ViewingKeys) -> anyhow::Result<Intent>,
    ) -> anyhow::Result<ExitCode> {
        let Common { wallet, node, send } = self;
        Transaction {
            verb,
            wallet,
            node,
            send,
        }
        .execute(intent)
    }
}

impl Send {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let Send {
            to,
            amount,
            memo,
            from,
            common,
        } = self;
        let amount_units = amount.units()?;
        common.run("send", |own| sending(own, to, amount_units, memo, from))
    }
}

fn sending(
    own: &ViewingKeys,
    to: Payee,
    amount_units: u64,
    memo: Option<Memo>,
    from: From,
) -> anyhow::Result<Intent> {
    let usage = |why: &str| UsageError(why.to_owned());
    let is_own = match to {
        Payee::Shielded(address) => own.address_index(&address).is_some(),
        Payee::Public(address) => address == own.alpha,
    };
    if is_own {
        return Err(usage(match (to, from) {
            (Payee::Shielded(_), From::Pool) => {
                "this is an address of this wallet itself; `adnet wallet consolidate` joins notes"
            }
            (Payee::Shielded(_), From::Public) => {
                "this is an address of this wallet itself: `adnet wallet shield` moves AX there"
            }
            (Payee::Public(_), From::Pool) => {
                "this is the account of this wallet itself: `adnet wallet unshield` moves AX there"
            }
            (Payee::Public(_), From::Public) => "this is the account of this wallet itself",
        })
        .into());
    }
    if memo.is_some() && matches!(to, Payee::Public(_)) {
        let why = "only notes carry a memo, so the recipient must be a shielded address (axz1...)";
        return Err(usage(why).into());
    }
    let memo = memo.unwrap_or_default();
    Ok(match (to, from) {
        (Payee::Shielded(recipient), From::Pool) => Intent::Send {
            recipient,
            amount_units,
            memo,
        },
        (Payee::Shielded(recipient), From::Public) => Intent::Shield {
            recipient,
            amount_units,
            memo,
        },
        (Payee::Public(recipient), From::Pool) => Intent::Unshield {
            recipient,
            amount_units,
        },
        (Payee::Public(recipient), From::Public) => Intent::TransferPublic {
            recipient,
            amount_units,
        },
    })
}

impl Shield {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let amount_units = self.amount.units()?;
        self.common.run("shield", |own| {
            Ok(Intent::Shield {
                recipient: own.shielded_address(0),
                amount_units,
                memo: Memo::none(),
            })
        })
    }
}

impl Unshield {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let amount_units = self.amount.units()?;
        self.common.run("unshield", |own| {
            Ok(Intent::Unshield {
                recipient: self.to.unwrap_or(own.alpha),
                amount_units,
            })
        })
    }
}

impl Lock {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let amount_units = self.amount.units()?;
        self.common.run("lock", |own| {
            Ok(Intent::Lock {
                from: source(self.from),
                recipient: self.to.unwrap_or(own.delta),
                amount_units,
            })
        })
    }
}

impl Burn {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let amount_units = self.amount.units()?;
        self.common.run("burn", |_| {
            Ok(Intent::Burn {
                from: source(self.from),
                amount_units,
            })
        })
    }
}

impl Consolidate {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        self.common.run("consolidate", |_| Ok(Intent::Consolidate))
    }
}

#[cfg(test)]
mod tests {
    use adnet_alpha::wallet::{keys::SpendingKeys, mnemonic::Mnemonic};

    use super::*;

    fn keys() -> ViewingKeys {
        let seed = Mnemonic::generate().seed();
        let keys = SpendingKeys::derive(&seed, 0).expect("a lucky seed");
        keys.viewing().clone()
    }

    #[test]
    fn who_pays_and_who_is_paid_decide_what_is_done() {
        let (own, other) = (keys(), keys());
        let shielded = Payee::Shielded(other.shielded_address(3));
        let public = Payee::Public(other.alpha);
        let intent = |to, from| sending(&own, to, 7, None, from).expect("it can be done");
        assert!(matches!(intent(shielded, From::Pool), Intent::Send { .. }));
        assert!(matches!(
            intent(shielded, From::Public),
            Intent::Shield { .. }
        ));
        assert!(matches!(
            intent(public, From::Pool),
            Intent::Unshield { .. }
        ));
        assert!(matches!(
            intent(public, From::Public),
            Intent::TransferPublic { .. }
        ));
    }

    #[test]
    fn own_addresses_and_lost_memos_are_refused() {
        let own = keys();
        for to in [
            Payee::Shielded(own.shielded_address(5)),
            Payee::Public(own.alpha),
        ] {
            for from in [From::Pool, From::Public] {
                let error = sending(&own, to, 7, None, from).expect_err("to itself");
                assert!(error.downcast_ref::<UsageError>().is_some(), "{error}");
            }
        }
        let memo = Memo::text("hello").expect("short");
        let public = Payee::Public(keys().alpha);
        let error = sending(&own, public, 7, Some(memo), From::Pool).expect_err("no note");
        assert!(error.to_string().contains("axz1"), "{error}");
    }
}
