//! The route to what Alpha tells Delta, with the path that proves it against a header.

use adnet_common::api::{ApiError, ApiPath, ApiResult, ok};
use adnet_common::attestation::{Attestation, Payload};
use adnet_common::chain_id::ChainId;
use adnet_common::hash::Hash;
use adnet_common::keys::{AlphaAddress, EvmAddress};
use adnet_common::ledger;
use axum::extract::State;
use serde::Serialize;

use super::Api;

#[derive(Serialize)]
struct AttestationBody {
    id: Hash,
    from: ChainId,
    sequence: u64,
    kind: &'static str,
    recipient: String,
    amount_units: u64,
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
        let recipient = match payload {
            Payload::Lock { recipient, .. } => EvmAddress(*recipient).to_string(),
            Payload::Unlock { recipient, .. } => AlphaAddress(*recipient).to_string(),
        };
        Self {
            id: attestation.id(),
            from: attestation.from,
            sequence: attestation.message.sequence,
            kind: payload.kind_name(),
            recipient,
            amount_units: payload.amount_units(),
            height: attestation.height,
            index: attestation.index,
            count: attestation.count,
            raw: hex::encode(attestation.encode()),
            path: attestation.path,
        }
    }
}

pub(super) async fn by_sequence(
    State(api): State<Api>,
    ApiPath(sequence): ApiPath<u64>,
) -> ApiResult {
    let found =
        api.read(move |store| ledger::attestations_from(store, ChainId::Alpha, sequence, 1));
    let found = found
        .await?
        .into_iter()
        .find(|a| a.message.sequence == sequence);
    let none = || ApiError::not_found(format!("Alpha has sent no message {sequence}"));
    Ok(ok(AttestationBody::from(found.ok_or_else(none)?)))
}
