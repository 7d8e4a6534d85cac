//! The functions of `credits.alpha` and the public part of each.
//!
//! A function is one tag byte and a public part of its own format behind a length, so a function
//! can be added without a change of what exists. Join and split are `transfer_private` with other
//! notes, so they have no tag. Of a shielded function the public part includes what its bundle
//! does, so that is signed with all the rest.

use adnet_common::codec::{DecodeError, Reader, Writer};
use adnet_common::hash::Hash;

use super::shielded::{BurnPrivate, LockPrivate, MintPrivate, Shield, TransferPrivate, Unshield};
use crate::pool::Bundle;
use crate::refusal::Refusal;

pub(crate) mod tag {
    pub const TRANSFER_PUBLIC: u8 = 1;
    pub const MINT: u8 = 2;
    pub const BURN: u8 = 3;
    pub const LOCK: u8 = 4;
    pub const UNLOCK: u8 = 5;
    pub const TRANSFER_PUBLIC_TO_PRIVATE: u8 = 16;
    pub const TRANSFER_PRIVATE_TO_PUBLIC: u8 = 17;
    pub const TRANSFER_PRIVATE: u8 = 18;
    pub const MINT_PRIVATE: u8 = 19;
    pub const BURN_PRIVATE: u8 = 20;
    pub const LOCK_PRIVATE: u8 = 21;
    pub const DEPLOY: u8 = 64;
    pub const UPGRADE: u8 = 65;
}

/// AX from one public account to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferPublic {
    /// ed25519 public key of the account that pays amount and fee.
    pub sender: [u8; 32],
    pub nonce: u64,
    pub recipient: [u8; 32],
    pub amount_units: u64,
}

/// What k of n governors sign to issue AX. The fee comes out of the amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintOrder {
    /// Each number is executed at most once, for ever. Governors withdraw an order by using its
    /// number for another.
    pub order_nonce: u64,
    pub recipient: [u8; 32],
    /// Issued in all; the recipient gets this less the fee.
    pub amount_units: u64,
    /// Hash of the document that gives the reason.
    pub reason_hash: Hash,
}

/// Destroys AX of a public account. The state keeps a record under the transaction's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burn {
    pub sender: [u8; 32],
    pub nonce: u64,
    pub amount_units: u64,
}

/// AX of a public account into the lock pool; its attestation mints sAX for `recipient` on Delta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    pub sender: [u8; 32],
    pub nonce: u64,
    /// An account on Delta.
    pub recipient: [u8; 20],
    pub amount_units: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Function {
    TransferPublic(TransferPublic),
    Mint(MintOrder),
    Burn(Burn),
    Lock(Lock),
    Shield(Shield),
    Unshield(Unshield),
    TransferPrivate(TransferPrivate),
    MintPrivate(MintPrivate),
    BurnPrivate(BurnPrivate),
    LockPrivate(LockPrivate),
}

impl Function {
    pub fn name(&self) -> &'static str {
        match self {
            Function::TransferPublic(_) => "transfer_public",
            Function::Mint(_) => "mint",
            Function::Burn(_) => "burn",
            Function::Lock(_) => "lock",
            Function::Shield(_) => "transfer_public_to_private",
            Function::Unshield(_) => "transfer_private_to_public",
            Function::TransferPrivate(_) => "transfer_private",
            Function::MintPrivate(_) => "mint_private",
            Function::BurnPrivate(_) => "burn_private",
            Function::LockPrivate(_) => "lock_private",
        }
    }

    /// The account that signs, if one does.
    pub fn account(&self) -> Option<[u8; 32]> {
        match self {
            Function::TransferPublic(TransferPublic { sender, .. })
            | Function::Burn(Burn { sender, .. })
            | Function::Lock(Lock { sender, .. })
            | Function::Shield(Shield { sender, .. }) => Some(*sender),
            _ => None,
        }
    }

    /// The number of the mint order, if it is one.
    pub fn order(&self) -> Option<u64> {
        match self {
            Function::Mint(MintOrder { order_nonce, .. })
            | Function::MintPrivate(MintPrivate { order_nonce, .. }) => Some(*order_nonce),
            _ => None,
        }
    }

    /// Whether the fee comes out of the shielded pool.
    pub fn is_paid_by_pool(&self) -> bool {
        self.account().is_none() && self.order().is_none()
    }

    /// What it does in the shielded pool, if it does anything there.
    pub fn bundle(&self) -> Option<&Bundle> {
        match self {
            Function::TransferPublic(_)
            | Function::Mint(_)
            | Function::Burn(_)
            | Function::Lock(_) => None,
            Function::Shield(Shield { bundle, .. })
            | Function::Unshield(Unshield { bundle, .. })
            | Function::TransferPrivate(TransferPrivate { bundle })
            | Function::MintPrivate(MintPrivate { bundle, .. })
            | Function::BurnPrivate(BurnPrivate { bundle })
            | Function::LockPrivate(LockPrivate { bundle, .. }) => Some(bundle),
        }
    }

    /// What it moves beside a fee of `fee_units`; 0 for `transfer_private`, whose amounts are
    /// nobody's business. `None` if the bundle does not give as much, or takes where it should give.
    pub fn amount_units(&self, fee_units: u64) -> Option<u64> {
        match self {
            Function::TransferPublic(TransferPublic { amount_units, .. })
            | Function::Mint(MintOrder { amount_units, .. })
            | Function::Burn(Burn { amount_units, .. })
            | Function::Lock(Lock { amount_units, .. }) => Some(*amount_units),
            Function::MintPrivate(MintPrivate { amount_units, .. }) => Some(*amount_units),
            Function::Shield(Shield { bundle, .. }) => entering_units(bundle),
            Function::Unshield(Unshield { bundle, .. })
            | Function::TransferPrivate(TransferPrivate { bundle })
            | Function::BurnPrivate(BurnPrivate { bundle })
            | Function::LockPrivate(LockPrivate { bundle, .. }) => {
                let leaving_units = u64::try_from(bundle.value_balance).ok()?;
                leaving_units.checked_sub(fee_units)
            }
        }
    }

    pub(super) fn tag(&self) -> u8 {
        match self {
            Function::TransferPublic(_) => tag::TRANSFER_PUBLIC,
            Function::Mint(_) => tag::MINT,
            Function::Burn(_) => tag::BURN,
            Function::Lock(_) => tag::LOCK,
            Function::Shield(_) => tag::TRANSFER_PUBLIC_TO_PRIVATE,
            Function::Unshield(_) => tag::TRANSFER_PRIVATE_TO_PUBLIC,
            Function::TransferPrivate(_) => tag::TRANSFER_PRIVATE,
            Function::MintPrivate(_) => tag::MINT_PRIVATE,
            Function::BurnPrivate(_) => tag::BURN_PRIVATE,
            Function::LockPrivate(_) => tag::LOCK_PRIVATE,
        }
    }

    pub(super) fn public_part(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(96);
        match self {
            Function::Shield(f) => f.encode_into(&mut w),
            Function::Unshield(f) => f.encode_into(&mut w),
            Function::MintPrivate(f) => f.encode_into(&mut w),
            Function::LockPrivate(f) => f.encode_into(&mut w),
            Function::TransferPrivate(TransferPrivate { bundle })
            | Function::BurnPrivate(BurnPrivate { bundle }) => bundle.encode_into(&mut w),
            Function::TransferPublic(_)
            | Function::Mint(_)
            | Function::Burn(_)
            | Function::Lock(_) => self.encode_public_into(&mut w),
        }
        w.finish()
    }

    fn encode_public_into(&self, w: &mut Writer) {
        match self {
            Function::TransferPublic(f) => w
                .raw(&f.sender)
                .u64(f.nonce)
                .raw(&f.recipient)
                .u64(f.amount_units),
            Function::Mint(f) => w
                .u64(f.order_nonce)
                .raw(&f.recipient)
                .u64(f.amount_units)
                .hash(&f.reason_hash),
            Function::Burn(f) => w.raw(&f.sender).u64(f.nonce).u64(f.amount_units),
            Function::Lock(f) => w
                .raw(&f.sender)
                .u64(f.nonce)
                .raw(&f.recipient)
                .u64(f.amount_units),
            _ => unreachable!("only public functions are encoded here"),
        };
    }

    pub(super) fn decode(tag: u8, public_part: &[u8]) -> Result<Self, Refusal> {
        let mut r = Reader::new(public_part);
        let function = match tag {
            tag::TRANSFER_PUBLIC => Function::TransferPublic(TransferPublic::decode(&mut r)?),
            tag::MINT => Function::Mint(MintOrder::decode(&mut r)?),
            tag::BURN => Function::Burn(Burn::decode(&mut r)?),
            tag::LOCK => Function::Lock(Lock::decode(&mut r)?),
            tag::TRANSFER_PUBLIC_TO_PRIVATE => Function::Shield(Shield::decode(&mut r)?),
            tag::TRANSFER_PRIVATE_TO_PUBLIC => Function::Unshield(Unshield::decode(&mut r)?),
            tag::TRANSFER_PRIVATE => Function::TransferPrivate(TransferPrivate {
                bundle: Bundle::decode(&mut r)?,
            }),
            tag::MINT_PRIVATE => Function::MintPrivate(MintPrivate::decode(&mut r)?),
            tag::BURN_PRIVATE => Function::BurnPrivate(BurnPrivate {
                bundle: Bundle::decode(&mut r)?,
            }),
            tag::LOCK_PRIVATE => Function::LockPrivate(LockPrivate::decode(&mut r)?),
            reserved => return Err(refuse_tag(reserved)),
        };
        r.end()?;
        Ok(function)
    }
}

fn refuse_tag(tag: u8) -> Refusal {
    match tag {
        tag::UNLOCK => Refusal::SystemOnly("unlock"),
        tag::DEPLOY | tag::UPGRADE => Refusal::DeploymentDisabled,
        unknown => Refusal::UnknownFunction(unknown),
    }
}

/// Units that a bundle takes into the pool; `None` if it takes none.
pub(crate) fn entering_units(bundle: &Bundle) -> Option<u64> {
    (bundle.value_balance <= 0).then(|| bundle.value_balance.unsigned_abs())
}

impl TransferPublic {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sender: r.array("sender")?,
            nonce: r.u64("nonce")?,
            recipient: r.array("recipient")?,
            amount_units: r.u64("amount")?,
        })
    }
}

impl MintOrder {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            order_nonce: r.u64("order nonce")?,
            recipient: r.array("recipient")?,
            amount_units: r.u64("amount")?,
            reason_hash: r.hash("reason hash")?,
        })
    }
}

impl Burn {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sender: r.array("sender")?,
            nonce: r.u64("nonce")?,
            amount_units: r.u64("amount")?,
        })
    }
}

impl Lock {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sender: r.array("sender")?,
            nonce: r.u64("nonce")?,
            recipient: r.array("recipient")?,
            amount_units: r.u64("amount")?,
        })
    }
}
