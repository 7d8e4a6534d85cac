//! A note of the wallet: what it is worth, and what it takes to spend it.

use adnet_common::hash::Hash;
use orchard::note::{NoteVersion, RandomSeed, Rho};
use orchard::value::NoteValue;
use serde::{Deserialize, Serialize};

use super::hex_bytes;
use super::memo::Memo;
use super::viewing_key::PoolViewingKey;
use crate::pool::address::ShieldedAddress;

/// A note that was sent to the wallet, by whomever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnNote {
    /// Of its commitment in the tree.
    pub position: u64,
    pub value_units: u64,
    /// Block and transaction that made it.
    pub height: u64,
    pub transaction: Hash,
    /// The own address it was sent to.
    pub recipient: ShieldedAddress,
    /// Change: sent by the wallet to itself, at an address that nobody else ever sees.
    pub is_change: bool,
    /// Known when the whole transaction was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memo: Option<Memo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Spent>,
    #[serde(with = "hex_bytes")]
    pub(super) rho: [u8; 32],
    #[serde(with = "hex_bytes")]
    pub(super) rseed: [u8; 32],
    #[serde(with = "hex_bytes")]
    pub(super) nullifier: [u8; 32],
}

/// Where a note was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    pub height: u64,
    pub transaction: Hash,
}

impl OwnNote {
    /// What trial decryption has found.
    pub(super) fn found(
        note: &orchard::Note,
        key: &PoolViewingKey,
        is_change: bool,
        position: u64,
        height: u64,
        transaction: Hash,
    ) -> Self {
        Self {
            position,
            value_units: note.value().inner(),
            height,
            transaction,
            recipient: note.recipient().into(),
            is_change,
            memo: None,
            spent: None,
            rho: note.rho().to_bytes(),
            rseed: *note.rseed().as_bytes(),
            nullifier: note.nullifier(key.key()).to_bytes(),
        }
    }

    /// The note as the proof system takes it; `None` if its parts were damaged.
    pub(super) fn orchard(&self) -> Option<orchard::Note> {
        let rho: Rho = Option::from(Rho::from_bytes(&self.rho))?;
        let rseed: RandomSeed = Option::from(RandomSeed::from_bytes(self.rseed, &rho))?;
        let value = NoteValue::from_raw(self.value_units);
        let recipient = self.recipient.orchard();
        let note = orchard::Note::from_parts(recipient, value, rho, rseed, NoteVersion::V3);
        Option::from(note)
    }
}
