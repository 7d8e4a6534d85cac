//! What the owner of a wallet wants done, in so many words that it can be built again when it could
//! not be done in time.

use adnet_common::keys::{AlphaAddress, EvmAddress};
use serde::{Deserialize, Serialize};

use super::memo::Memo;
use crate::pool::address::ShieldedAddress;

/// Where the AX comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Notes of the shielded pool: nobody sees who pays.
    Pool,
    /// The public account.
    Account,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Intent {
    /// From notes to a note.
    Send {
        recipient: ShieldedAddress,
        amount_units: u64,
        memo: Memo,
    },
    /// From the account to a note, of oneself or of somebody else.
    Shield {
        recipient: ShieldedAddress,
        amount_units: u64,
        memo: Memo,
    },
    /// From notes to an account, of oneself or of somebody else.
    Unshield {
        recipient: AlphaAddress,
        amount_units: u64,
    },
    /// From account to account.
    TransferPublic {
        recipient: AlphaAddress,
        amount_units: u64,
    },
    /// To Delta.
    Lock {
        from: Source,
        recipient: EvmAddress,
        amount_units: u64,
    },
    Burn {
        from: Source,
        amount_units: u64,
    },
    /// Many small notes into one of one's own.
    Consolidate,
}

impl Intent {
    pub fn source(&self) -> Source {
        match self {
            Intent::Send { .. } | Intent::Unshield { .. } | Intent::Consolidate => Source::Pool,
            Intent::Shield { .. } | Intent::TransferPublic { .. } => Source::Account,
            Intent::Lock { from, .. } | Intent::Burn { from, .. } => *from,
        }
    }

    /// Without the fee; of a consolidation it follows from the notes.
    pub fn amount_units(&self) -> Option<u64> {
        match self {
            Intent::Send { amount_units, .. }
            | Intent::Shield { amount_units, .. }
            | Intent::Unshield { amount_units, .. }
            | Intent::TransferPublic { amount_units, .. }
            | Intent::Lock { amount_units, .. }
            | Intent::Burn { amount_units, .. } => Some(*amount_units),
            Intent::Consolidate => None,
        }
    }

    pub fn memo(&self) -> Memo {
        match self {
            Intent::Send { memo, .. } | Intent::Shield { memo, .. } => memo.clone(),
            _ => Memo::none(),
        }
    }
}
