//! Routes about the state: the root, any leaf with its proof, balances.

use adnet_common::api::{ApiError, ApiPath, ApiQuery, ApiResult, ok};
use adnet_common::hash::Hash;
use adnet_common::keys::AlphaAddress;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::Api;
use crate::state::{self, Account, KEPT_VERSIONS, Leaf, StateKey};

/// The longest state key that is looked up.
const KEY_BYTES_MAX: usize = 64;

#[derive(Serialize)]
struct RootBody {
    height: u64,
    state_root: Hash,
    /// Proofs can be asked for at heights from here on.
    oldest_height: u64,
}

pub(super) async fn root(State(api): State<Api>) -> ApiResult {
    let snapshot = api.snapshot();
    Ok(ok(RootBody {
        height: snapshot.view.height,
        state_root: snapshot.view.state_root,
        oldest_height: (snapshot.view.height + 1).saturating_sub(KEPT_VERSIONS),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeightQuery {
    /// The committed height if absent.
    pub(super) height: Option<u64>,
}

/// A leaf under the root of a height. `state_proof::verify` checks it with nothing but that root,
/// and the root is in the header of that height.
#[derive(Serialize)]
pub(super) struct ProofBody {
    height: u64,
    state_root: Hash,
    /// The state key, in hex.
    key: String,
    /// The value in hex; null if the leaf is absent.
    value: Option<String>,
    /// Proof of the value or of its absence, in hex.
    proof: String,
}

pub(super) async fn proof(
    State(api): State<Api>,
    ApiPath(key): ApiPath<String>,
    ApiQuery(query): ApiQuery<HeightQuery>,
) -> ApiResult {
    let digits = key.strip_prefix("0x").unwrap_or(&key);
    let key = hex::decode(digits).map_err(|_| ApiError::invalid("the key is not hexadecimal"))?;
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(ApiError::invalid(format!(
            "a state key has 1 to {KEY_BYTES_MAX} bytes"
        )));
    }
    let (body, _) = prove(&api, key, query.height).await?;
    Ok(ok(body))
}

#[derive(Serialize)]
struct BalanceBody {
    address: AlphaAddress,
    balance_units: u64,
    /// The nonce that the account's next transaction in a block takes.
    nonce: u64,
    /// The nonce for a new transaction: after those that wait in the mempool.
    next_nonce: u64,
    #[serde(flatten)]
    proof: ProofBody,
}

pub(super) async fn balance(
    State(api): State<Api>,
    ApiPath(address): ApiPath<AlphaAddress>,
    ApiQuery(query): ApiQuery<HeightQuery>,
) -> ApiResult {
    let key = StateKey::Account(address.0).encode();
    let (proof, leaf) = prove(&api, key, query.height).await?;
    let account = match &leaf.value {
        Some(value) => Account::decode(value).map_err(|error| {
            tracing::error!(%address, %error, "an account's leaf does not decode");
            ApiError::internal()
        })?,
        None => Account::default(),
    };
    let waiting = api.chain.next_nonce(address.0).await.unwrap_or(0);
    Ok(ok(BalanceBody {
        address,
        balance_units: account.balance_units,
        nonce: account.nonce,
        next_nonce: waiting.max(account.nonce),
        proof,
    }))
}

#[derive(Serialize)]
struct NullifierBody {
    nullifier: Hash,
    /// The block that spent the note; null if none has, which the proof shows as well.
    spent_height: Option<u64>,
    #[serde(flatten)]
    proof: ProofBody,
}

/// Whether and when a note was spent. Only its owner knows which note has which nullifier.
pub(super) async fn nullifier(
    State(api): State<Api>,
    ApiPath(nullifier): ApiPath<Hash>,
    ApiQuery(query): ApiQuery<HeightQuery>,
) -> ApiResult {
    let key = StateKey::Nullifier(nullifier.0).encode();
    let (proof, leaf) = prove(&api, key, query.height).await?;
    let spent_height = match leaf.value {
        Some(value) => {
            let height = value.try_into().map(u64::from_be_bytes);
            Some(height.map_err(|_| {
                tracing::error!(%nullifier, "a nullifier's leaf is no height");
                ApiError::internal()
            })?)
        }
        None => None,
    };
    Ok(ok(NullifierBody {
        nullifier,
        spent_height,
        proof,
    }))
}

pub(super) async fn prove(
    api: &Api,
    key: Vec<u8>,
    height: Option<u64>,
) -> Result<(ProofBody, Leaf), ApiError> {
    let snapshot = api.snapshot();
    let tip = snapshot.view.height;
    let height = height.unwrap_or(tip);
    if height > tip {
        return Err(ApiError::not_found(format!(
            "there is no block {height} yet"
        )));
    }
    let asked = key.clone();
    let proved = api.read(move |store| {
        let nodes = &snapshot.view.nodes;
        let Some(state_root) = state::root_at(store, nodes, height)? else {
            return Ok(None);
        };
        let leaf = state::leaf_proof(store, nodes, height, &asked)?;
        Ok(leaf.map(|leaf| (state_root, leaf)))
    });
    let pruned = || {
        let message = format!("proofs are kept for {KEPT_VERSIONS} heights, {height} is older");
        ApiError::new("PRUNED", message)
    };
    let (state_root, leaf) = proved.await?.ok_or_else(pruned)?;
    let body = ProofBody {
        height,
        state_root,
        key: hex::encode(key),
        value: leaf.value.as_ref().map(hex::encode),
        proof: hex::encode(&leaf.proof),
    };
    Ok((body, leaf))
}
