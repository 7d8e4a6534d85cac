//! The functions of `credits.alpha` that touch the shielded pool.
//!
//! Each has a bundle in its public part. Amounts that the bundle's value balance tells are not
//! written twice.

use adnet_common::codec::{DecodeError, Reader, Writer};
use adnet_common::hash::Hash;

use crate::pool::Bundle;

/// `transfer_public_to_private`: AX of a public account into the pool. The account pays the amount,
/// which is what the bundle takes in, and the fee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shield {
    pub sender: [u8; 32],
    pub nonce: u64,
    pub bundle: Bundle,
}

/// `transfer_private_to_public`: AX out of the pool to a public account. The bundle gives amount and
/// fee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unshield {
    pub recipient: [u8; 32],
    pub bundle: Bundle,
}

/// `transfer_private`: from notes to notes. The bundle gives the fee and says nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferPrivate {
    pub bundle: Bundle,
}

/// `mint` to a note: the amount is public, the recipient is not. The fee comes out of the amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintPrivate {
    /// As in [`super::MintOrder`], from the same numbers.
    pub order_nonce: u64,
    /// Issued in all; the bundle takes in this less the fee.
    pub amount_units: u64,
    pub reason_hash: Hash,
    pub bundle: Bundle,
}

/// `burn` of notes. The bundle gives amount and fee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BurnPrivate {
    pub bundle: Bundle,
}

/// `lock` of notes for an account on Delta. The bundle gives amount and fee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockPrivate {
    pub recipient: [u8; 20],
    pub bundle: Bundle,
}

impl Shield {
    pub(super) fn encode_into(&self, w: &mut Writer) {
        w.raw(&self.sender).u64(self.nonce);
        self.bundle.encode_into(w);
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sender: r.array("sender")?,
            nonce: r.u64("nonce")?,
            bundle: Bundle::decode(r)?,
        })
    }
}

impl Unshield {
    pub(super) fn encode_into(&self, w: &mut Writer) {
        w.raw(&self.recipient);
        self.bundle.encode_into(w);
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            recipient: r.array("recipient")?,
            bundle: Bundle::decode(r)?,
        })
    }
}

impl MintPrivate {
    pub(super) fn encode_into(&self, w: &mut Writer) {
        w.u64(self.order_nonce)
            .u64(self.amount_units)
            .hash(&self.reason_hash);
        self.bundle.encode_into(w);
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            order_nonce: r.u64("order nonce")?,
            amount_units: r.u64("amount")?,
            reason_hash: r.hash("reason hash")?,
            bundle: Bundle::decode(r)?,
        })
    }
}

impl LockPrivate {
    pub(super) fn encode_into(&self, w: &mut Writer) {
        w.raw(&self.recipient);
        self.bundle.encode_into(w);
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            recipient: r.array("recipient")?,
            bundle: Bundle::decode(r)?,
        })
    }
}
