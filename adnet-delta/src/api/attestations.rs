//! The route to what Delta tells Alpha, with the path that proves it against a header.

use adnet_common::api::{ApiError, ApiPath, ApiResult, AttestationBody, ok};
use adnet_common::chain_id::ChainId;
use adnet_common::ledger;
use axum::extract::State;

use super::Api;

pub(super) async fn by_sequence(
    State(api): State<Api>,
    ApiPath(sequence): ApiPath<u64>,
) -> ApiResult {
    let found = api.read(move |store| {
        Ok(ledger::attestations_from(
            store,
            ChainId::Delta,
            sequence,
            1,
        )?)
    });
    let found = found
        .await?
        .into_iter()
        .find(|a| a.message.sequence == sequence);
    let none = || ApiError::not_found(format!("Delta has sent no message {sequence}"));
    Ok(ok(AttestationBody::from(found.ok_or_else(none)?)))
}
