//! A message between the chains, as the API of the chain that sent it shows it.

use crate::attestation::{Attestation, Payload};
use crate::chain_id::ChainId;
use crate::hash::Hash;
use crate::keys::{AlphaAddress, EvmAddress, PublicKey};
use serde::Serialize;

/// A message with the path that proves it. What its kind does not have is left out.
#[derive(Debug, Serialize)]
pub struct AttestationBody {
    id: Hash,
    from: ChainId,
    sequence: u64,
    kind: &'static str,
    /// Of a lock or unlock, as of the receiving chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_units: Option<u64>,
    /// Who has signed twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    validator: Option<PublicKey>,
    /// Hash of the set that decides the sender's next height.
    #[serde(skip_serializing_if = "Option::is_none")]
    validators: Option<Hash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tombstoned: Option<Vec<PublicKey>>,
    /// The block whose outbox holds it: its header's `outbox_root` is where the path leads.
    height: u64,
    index: u32,
    count: u32,
    path: Vec<Hash>,
    /// The wire form.
    raw: String,
}

impl From<Attestation> for AttestationBody {
    fn from(attestation: Attestation) -> Self {
        let payload = &attestation.message.payload;
        let (mut recipient, mut validator, mut tombstoned) = (None, None, None);
        match payload {
            Payload::Lock { recipient: to, .. } => recipient = Some(EvmAddress(*to).to_string()),
            Payload::Unlock { recipient: to, .. } => {
                recipient = Some(AlphaAddress(*to).to_string());
            }
            Payload::Misbehaviour { validator: key } => validator = Some(*key),
            Payload::ValidatorSet {
                tombstoned: keys, ..
            } => tombstoned = Some(keys.clone()),
            Payload::Adopted { .. } => {}
        }
        Self {
            id: attestation.id(),
            from: attestation.from,
            sequence: attestation.message.sequence,
            kind: payload.kind_name(),
            recipient,
            amount_units: payload.amount_units(),
            validator,
            validators: payload.next_set().map(|set| set.hash()),
            tombstoned,
            height: attestation.height,
            index: attestation.index,
            count: attestation.count,
            raw: hex::encode(attestation.encode()),
            path: attestation.path,
        }
    }
}
