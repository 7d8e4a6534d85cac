//! The route to what Alpha tells Delta, with the path that proves it against a header.

use adnet_common::api::{ApiError, ApiPath, ApiResult, AttestationBody, ok};
use adnet_common::chain_id::ChainId;
use adnet_common::ledger;
use axum::extract::State;

use super::Api;

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
