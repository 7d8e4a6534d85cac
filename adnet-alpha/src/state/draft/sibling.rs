//! What passes between the chains in a block: messages of Delta that it consumes, and those to Delta.

use std::collections::BTreeMap;
use std::sync::Arc;

use adnet_common::application::InvalidBlock;
use adnet_common::attestation::{Attestation, OutboundMessage, Payload};
use adnet_common::consensus::EncodedSet;
use adnet_common::keys::PublicKey;

use super::super::{StateKey, UnlockRecord};
use super::{Draft, add};

impl Draft<'_> {
    /// Tells Delta of those whom the block proves to have signed twice, each once for ever. Comes
    /// before everything else in a block.
    pub fn report(&mut self, equivocators: &[PublicKey]) {
        for validator in equivocators {
            let is_known = self.committed.reported.contains(validator)
                || self.validators.tombstones.contains_key(validator);
            if is_known || !self.reported.insert(*validator) {
                continue;
            }
            let key = StateKey::Misbehaviour(*validator);
            self.records.insert(key, self.height.to_be_bytes().to_vec());
            let validator = *validator;
            self.send(Payload::Misbehaviour { validator });
        }
    }

    /// Does what a message of Delta says. Certificate and path are proved already.
    ///
    /// # Errors
    /// Not the next message, not of a kind for Alpha, or one that the state does not allow.
    pub fn consume(&mut self, attestation: &Attestation) -> Result<(), InvalidBlock> {
        let message = &attestation.message;
        let next = self
            .supply
            .last_consumed
            .checked_add(1)
            .expect("sequences stay below 2^64");
        if message.sequence != next {
            let why = format!("message {} where {next} is due", message.sequence);
            return Err(InvalidBlock::new("ATTESTATION_OUT_OF_ORDER", why));
        }
        match &message.payload {
            Payload::Unlock {
                recipient,
                amount_units,
            } => self.unlock(attestation, *recipient, *amount_units)?,
            Payload::ValidatorSet { set, tombstoned } => {
                self.adopt(attestation.height, set, tombstoned)?;
            }
            other => {
                let why = format!("Alpha consumes no {}", other.kind_name());
                return Err(InvalidBlock::new("WRONG_ATTESTATION_KIND", why));
            }
        }
        self.supply.last_consumed = next;
        Ok(())
    }

    /// Releases AX for an attested burn of sAX on Delta.
    fn unlock(
        &mut self,
        attestation: &Attestation,
        recipient: [u8; 32],
        amount_units: u64,
    ) -> Result<(), InvalidBlock> {
        let locked_units = self
            .supply
            .locked_units()
            .expect("released never exceeds locked");
        if amount_units > locked_units {
            let why = format!("{amount_units} units, the lock pool holds {locked_units}");
            return Err(InvalidBlock::new("LOCK_POOL_EXCEEDED", why));
        }
        add(&mut self.supply.released_total_units, amount_units);
        self.credit(&recipient, amount_units);
        let record = UnlockRecord {
            height: self.height,
            attestation: attestation.id(),
            recipient,
            amount_units,
        };
        let key = StateKey::Unlock(attestation.message.sequence);
        self.records.insert(key, record.encode());
        Ok(())
    }

    /// Takes over the validators that Delta has decreed in its block of `sibling_height`.
    fn adopt(
        &mut self,
        sibling_height: u64,
        set: &EncodedSet,
        tombstoned: &[PublicKey],
    ) -> Result<(), InvalidBlock> {
        let set = set.open();
        let set = set.map_err(|e| InvalidBlock::new("BAD_VALIDATOR_SET", e.to_string()))?;
        let validators = Arc::make_mut(&mut self.validators);
        validators.adopt(self.height, set.clone(), tombstoned);
        validators.follow(sibling_height, set);
        Ok(())
    }

    pub(super) fn send(&mut self, payload: Payload) -> u64 {
        let sequence = self
            .supply
            .last_sent
            .checked_add(1)
            .expect("sequences stay below 2^64");
        self.supply.last_sent = sequence;
        self.outbox.push(OutboundMessage { sequence, payload });
        sequence
    }

    /// Says last of all that Alpha has other validators from the next height on.
    pub(super) fn announce_validators(&mut self) {
        let (before, after) = (&self.committed.validators, &self.validators);
        if after.own.set != before.own.set {
            let set = EncodedSet::of(&after.own.set);
            self.send(Payload::Adopted { set });
        }
    }

    /// The leaves of the validators that the block has changed.
    pub(super) fn validator_leaves(&self) -> BTreeMap<StateKey, Vec<u8>> {
        let (before, after) = (&self.committed.validators, &self.validators);
        let is_new = |(key, _): &(&PublicKey, &u64)| !before.tombstones.contains_key(*key);
        let tombstones = after.tombstones.iter().filter(is_new);
        let mut leaves: BTreeMap<StateKey, Vec<u8>> = tombstones
            .map(|(key, height)| (StateKey::Tombstone(*key), height.to_be_bytes().to_vec()))
            .collect();
        if after.own != before.own {
            leaves.insert(StateKey::Validators, after.own.encode());
        }
        if after.sibling != before.sibling {
            leaves.insert(StateKey::SiblingValidators, after.sibling.encode());
        }
        leaves
    }
}
