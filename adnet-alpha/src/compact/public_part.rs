//! What everybody may know of a transaction: its function, the public parties and the amounts.
//!
//! A light wallet reads this instead of the transaction. The bundle is left out; what it says in
//! public, the amount that enters or leaves the pool, is here as an amount.

use adnet_common::codec::{DecodeError, Reader, Writer};
use adnet_common::hash::Hash;

use crate::tx::{Burn, Function, Lock, MintOrder, TransferPublic, tag};

/// No function says more in public: `transfer_public` and `mint` have 80 bytes.
pub const PUBLIC_PART_BYTES_MAX: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicPart {
    TransferPublic(TransferPublic),
    Mint(MintOrder),
    Burn(Burn),
    Lock(Lock),
    /// `transfer_public_to_private`: the account pays the amount, and the fee beside it.
    Shield {
        sender: [u8; 32],
        nonce: u64,
        amount_units: u64,
    },
    /// `transfer_private_to_public`.
    Unshield {
        recipient: [u8; 32],
        amount_units: u64,
    },
    TransferPrivate,
    /// The pool gets the amount less the fee.
    MintPrivate {
        order_nonce: u64,
        amount_units: u64,
        reason_hash: Hash,
    },
    BurnPrivate {
        amount_units: u64,
    },
    LockPrivate {
        /// An account on Delta.
        recipient: [u8; 20],
        amount_units: u64,
    },
}

impl PublicPart {
    /// What `function` says, with a fee of `fee_units`.
    ///
    /// # Panics
    /// If the function's bundle gives no amount: no such transaction is in a block.
    pub fn of(function: &Function, fee_units: u64) -> Self {
        let amount_units = function.amount_units(fee_units);
        let amount_units = amount_units.expect("verification refuses a bundle without an amount");
        match function {
            Function::TransferPublic(f) => Self::TransferPublic(f.clone()),
            Function::Mint(f) => Self::Mint(f.clone()),
            Function::Burn(f) => Self::Burn(f.clone()),
            Function::Lock(f) => Self::Lock(f.clone()),
            Function::Shield(f) => Self::Shield {
                sender: f.sender,
                nonce: f.nonce,
                amount_units,
            },
            Function::Unshield(f) => Self::Unshield {
                recipient: f.recipient,
                amount_units,
            },
            Function::TransferPrivate(_) => Self::TransferPrivate,
            Function::MintPrivate(f) => Self::MintPrivate {
                order_nonce: f.order_nonce,
                amount_units,
                reason_hash: f.reason_hash,
            },
            Function::BurnPrivate(_) => Self::BurnPrivate { amount_units },
            Function::LockPrivate(f) => Self::LockPrivate {
                recipient: f.recipient,
                amount_units,
            },
        }
    }

    /// The function's tag, as in the transaction.
    pub fn tag(&self) -> u8 {
        match self {
            Self::TransferPublic(_) => tag::TRANSFER_PUBLIC,
            Self::Mint(_) => tag::MINT,
            Self::Burn(_) => tag::BURN,
            Self::Lock(_) => tag::LOCK,
            Self::Shield { .. } => tag::TRANSFER_PUBLIC_TO_PRIVATE,
            Self::Unshield { .. } => tag::TRANSFER_PRIVATE_TO_PUBLIC,
            Self::TransferPrivate => tag::TRANSFER_PRIVATE,
            Self::MintPrivate { .. } => tag::MINT_PRIVATE,
            Self::BurnPrivate { .. } => tag::BURN_PRIVATE,
            Self::LockPrivate { .. } => tag::LOCK_PRIVATE,
        }
    }

    /// The fields, without the tag.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(PUBLIC_PART_BYTES_MAX);
        match self {
            Self::TransferPublic(f) => w
                .raw(&f.sender)
                .u64(f.nonce)
                .raw(&f.recipient)
                .u64(f.amount_units),
            Self::Mint(f) => w
                .u64(f.order_nonce)
                .raw(&f.recipient)
                .u64(f.amount_units)
                .hash(&f.reason_hash),
            Self::Burn(f) => w.raw(&f.sender).u64(f.nonce).u64(f.amount_units),
            Self::Lock(f) => w
                .raw(&f.sender)
                .u64(f.nonce)
                .raw(&f.recipient)
                .u64(f.amount_units),
            Self::Shield {
                sender,
                nonce,
                amount_units,
            } => w.raw(sender).u64(*nonce).u64(*amount_units),
            Self::Unshield {
                recipient,
                amount_units,
            } => w.raw(recipient).u64(*amount_units),
            Self::TransferPrivate => &mut w,
            Self::MintPrivate {
                order_nonce,
                amount_units,
                reason_hash,
            } => w.u64(*order_nonce).u64(*amount_units).hash(reason_hash),
            Self::BurnPrivate { amount_units } => w.u64(*amount_units),
            Self::LockPrivate {
                recipient,
                amount_units,
            } => w.raw(recipient).u64(*amount_units),
        };
        w.finish()
    }

    /// Reads the fields of the function with this tag; all of `bytes` must be used.
    pub fn decode(tag: u8, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let part = match tag {
            tag::TRANSFER_PUBLIC => Self::TransferPublic(TransferPublic {
                sender: r.array("sender")?,
                nonce: r.u64("nonce")?,
                recipient: r.array("recipient")?,
                amount_units: r.u64("amount")?,
            }),
            tag::MINT => Self::Mint(MintOrder {
                order_nonce: r.u64("order nonce")?,
                recipient: r.array("recipient")?,
                amount_units: r.u64("amount")?,
                reason_hash: r.hash("reason hash")?,
            }),
            tag::BURN => Self::Burn(Burn {
                sender: r.array("sender")?,
                nonce: r.u64("nonce")?,
                amount_units: r.u64("amount")?,
            }),
            tag::LOCK => Self::Lock(Lock {
                sender: r.array("sender")?,
                nonce: r.u64("nonce")?,
                recipient: r.array("recipient")?,
                amount_units: r.u64("amount")?,
            }),
            tag::TRANSFER_PUBLIC_TO_PRIVATE => Self::Shield {
                sender: r.array("sender")?,
                nonce: r.u64("nonce")?,
                amount_units: r.u64("amount")?,
            },
            tag::TRANSFER_PRIVATE_TO_PUBLIC => Self::Unshield {
                recipient: r.array("recipient")?,
                amount_units: r.u64("amount")?,
            },
            tag::TRANSFER_PRIVATE => Self::TransferPrivate,
            tag::MINT_PRIVATE => Self::MintPrivate {
                order_nonce: r.u64("order nonce")?,
                amount_units: r.u64("amount")?,
                reason_hash: r.hash("reason hash")?,
            },
            tag::BURN_PRIVATE => Self::BurnPrivate {
                amount_units: r.u64("amount")?,
            },
            tag::LOCK_PRIVATE => Self::LockPrivate {
                recipient: r.array("recipient")?,
                amount_units: r.u64("amount")?,
            },
            _ => return Err(r.invalid("function", "no transaction in a block has this tag")),
        };
        r.end()?;
        Ok(part)
    }
}
