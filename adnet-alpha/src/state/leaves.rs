//! The leaves of the state tree: their keys and their values.
//!
//! Keys are a kind in plain text and an identifier of fixed width, so no key is a prefix of
//! another. Values are the canonical codec, and each decodes from exactly its bytes.

use adnet_common::codec::{DecodeError, Reader, Writer};
use adnet_common::hash::Hash;
use adnet_common::keys::PublicKey;
use adnet_common::supply::ALPHA_SUPPLY_KEY;

/// Names a leaf.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateKey {
    /// The one leaf with all totals.
    Supply,
    /// A public account, by its ed25519 key.
    Account([u8; 32]),
    /// An executed mint order, by its number.
    Mint(u64),
    /// A burn, by the id of its transaction.
    Burn(Hash),
    /// A lock, by the sequence of its message to Delta.
    Lock(u64),
    /// A consumed unlock, by the sequence of Delta's message.
    Unlock(u64),
    /// A nullifier of the pool, with the height whose block spent it.
    Nullifier([u8; 32]),
    /// Where the tree of note commitments ends.
    NoteCommitments,
    /// The final roots of that tree that spends may name.
    Anchors,
    /// Who decides the next height, with the first height of that set.
    Validators,
    /// The same of Delta, as far as its consumed messages tell.
    SiblingValidators,
    /// A validator that may never vote again, with the height at which Alpha learned of it.
    Tombstone(PublicKey),
    /// A validator that Alpha has reported to Delta, with the height of the block that proves it guilty.
    Misbehaviour(PublicKey),
}

pub const ACCOUNT_PREFIX: &[u8] = b"account/";
pub const MINT_PREFIX: &[u8] = b"mint/";
const BURN_PREFIX: &[u8] = b"burn/";
const LOCK_PREFIX: &[u8] = b"lock/";
const UNLOCK_PREFIX: &[u8] = b"unlock/";
const NULLIFIER_PREFIX: &[u8] = b"nullifier/";
const NOTE_COMMITMENTS_KEY: &[u8] = b"note_commitments";
const ANCHORS_KEY: &[u8] = b"anchors";
pub const VALIDATORS_KEY: &[u8] = b"validators";
pub const SIBLING_VALIDATORS_KEY: &[u8] = b"sibling_validators";
pub const TOMBSTONE_PREFIX: &[u8] = b"tombstone/";
pub const MISBEHAVIOUR_PREFIX: &[u8] = b"misbehaviour/";
/// No key is longer: `misbehaviour/` and 32 bytes have 45.
pub const KEY_BYTES_MAX: usize = 64;

impl StateKey {
    /// The key that is hashed into the tree.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            StateKey::Supply => ALPHA_SUPPLY_KEY.to_vec(),
            StateKey::Account(owner) => [ACCOUNT_PREFIX, owner].concat(),
            StateKey::Mint(order) => [MINT_PREFIX, &order.to_be_bytes()].concat(),
            StateKey::Burn(tx) => [BURN_PREFIX, &tx.0].concat(),
            StateKey::Lock(sequence) => [LOCK_PREFIX, &sequence.to_be_bytes()].concat(),
            StateKey::Unlock(sequence) => [UNLOCK_PREFIX, &sequence.to_be_bytes()].concat(),
            StateKey::Nullifier(nullifier) => [NULLIFIER_PREFIX, nullifier].concat(),
            StateKey::NoteCommitments => NOTE_COMMITMENTS_KEY.to_vec(),
            StateKey::Anchors => ANCHORS_KEY.to_vec(),
            StateKey::Validators => VALIDATORS_KEY.to_vec(),
            StateKey::SiblingValidators => SIBLING_VALIDATORS_KEY.to_vec(),
            StateKey::Tombstone(key) => [TOMBSTONE_PREFIX, &key.0].concat(),
            StateKey::Misbehaviour(key) => [MISBEHAVIOUR_PREFIX, &key.0].concat(),
        }
    }
}

/// A public account. One that was never seen is `Account::default()`; an account that exists stays,
/// because its nonce must never be taken again.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub balance_units: u64,
    /// The nonce that its next transaction takes.
    pub nonce: u64,
}

impl Account {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(16);
        w.u64(self.balance_units).u64(self.nonce);
        w.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let account = Self {
            balance_units: r.u64("balance")?,
            nonce: r.u64("nonce")?,
        };
        r.end()?;
        Ok(account)
    }
}

/// A public account, or the pool, where nobody can be named.
fn party(w: &mut Writer, account: Option<&[u8; 32]>) {
    match account {
        Some(account) => w.u8(1).raw(account),
        None => w.u8(0),
    };
}

/// AX that governors issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintRecord {
    pub height: u64,
    pub tx: Hash,
    /// `None`: a note of the pool.
    pub recipient: Option<[u8; 32]>,
    pub amount_units: u64,
    pub reason_hash: Hash,
}

impl MintRecord {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(112);
        w.u64(self.height).hash(&self.tx);
        party(&mut w, self.recipient.as_ref());
        w.u64(self.amount_units).hash(&self.reason_hash);
        w.finish()
    }
}

/// AX that its owner destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BurnRecord {
    pub height: u64,
    /// `None`: notes of the pool.
    pub sender: Option<[u8; 32]>,
    pub amount_units: u64,
}

impl BurnRecord {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(48);
        w.u64(self.height);
        party(&mut w, self.sender.as_ref());
        w.u64(self.amount_units);
        w.finish()
    }
}

/// AX that went into the lock pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockRecord {
    pub height: u64,
    pub tx: Hash,
    /// `None`: notes of the pool.
    pub sender: Option<[u8; 32]>,
    /// On Delta.
    pub recipient: [u8; 20],
    pub amount_units: u64,
}

impl LockRecord {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(100);
        w.u64(self.height).hash(&self.tx);
        party(&mut w, self.sender.as_ref());
        w.raw(&self.recipient).u64(self.amount_units);
        w.finish()
    }
}

/// AX that left the lock pool for a public account, by an attestation of Delta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnlockRecord {
    pub height: u64,
    pub attestation: Hash,
    pub recipient: [u8; 32],
    pub amount_units: u64,
}

impl UnlockRecord {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(80);
        w.u64(self.height)
            .hash(&self.attestation)
            .raw(&self.recipient)
            .u64(self.amount_units);
        w.finish()
    }
}
