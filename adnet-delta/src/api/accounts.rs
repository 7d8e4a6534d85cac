//! Routes about the state: accounts and proofs of any leaf.

use adnet_common::api::{ApiError, ApiPath, ApiResult, ok};
use adnet_common::hash::Hash;
use adnet_common::keys::EvmAddress;
use alloy_primitives::{Address, B256};
use axum::extract::State;
use serde::Serialize;

use super::Api;
use crate::app::{DeltaView, prove};
use crate::attest::wei;

/// A leaf under the root of a height. `state_proof::verify` checks it with nothing but that root,
/// and the root is in the header of that height.
#[derive(Serialize)]
struct ProofBody {
    height: u64,
    state_root: Hash,
    /// The state key, in hex.
    key: String,
    /// The value in hex; null if the leaf is absent.
    value: Option<String>,
    /// Proof of the value or of its absence, in hex.
    proof: String,
}

fn proof_of(view: &DeltaView, key: &[u8]) -> ProofBody {
    let proved = prove(view, key);
    ProofBody {
        height: proved.height,
        state_root: Hash(view.state.root().0),
        key: hex::encode(key),
        value: proved.value.map(hex::encode),
        proof: hex::encode(proved.proof),
    }
}

pub(super) async fn proof(State(api): State<Api>, ApiPath(key): ApiPath<String>) -> ApiResult {
    let digits = key.strip_prefix("0x").unwrap_or(&key);
    let key = hex::decode(digits).map_err(|_| ApiError::invalid("the key is not hexadecimal"))?;
    if key.len() != 20 && key.len() != 52 {
        let message = "a key is an address, or an address with a storage slot: 20 or 52 bytes";
        return Err(ApiError::invalid(message));
    }
    Ok(ok(proof_of(&api.snapshot().view, &key)))
}

#[derive(Serialize)]
struct AccountBody {
    address: Address,
    /// In decimal.
    balance_wei: String,
    /// Whole units of 10^-4 sAX in the balance.
    balance_units: u64,
    /// The nonce that the account's next transaction in a block takes.
    nonce: u64,
    /// The nonce for a new transaction: after those that wait in the mempool.
    next_nonce: u64,
    code_hash: B256,
    code_bytes: usize,
    #[serde(flatten)]
    proof: ProofBody,
}

pub(super) async fn by_address(
    State(api): State<Api>,
    ApiPath(address): ApiPath<EvmAddress>,
) -> ApiResult {
    let address = Address::new(address.0);
    let waiting = api
        .chain
        .next_nonce(address.into_word().0)
        .await
        .unwrap_or(0);
    let snapshot = api.snapshot();
    let view = &snapshot.view;
    let account = view.state.account(&address).cloned().unwrap_or_default();
    let units = account.balance / wei(1);
    Ok(ok(AccountBody {
        address,
        balance_wei: account.balance.to_string(),
        balance_units: u64::try_from(units).expect("no balance is above the supply"),
        nonce: account.nonce,
        next_nonce: waiting.max(account.nonce),
        code_hash: account.code_hash(),
        code_bytes: account.code.as_ref().map_or(0, |code| code.bytes().len()),
        proof: proof_of(view, address.as_slice()),
    }))
}
