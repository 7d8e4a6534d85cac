//! Routes about the chain as a whole: status, health, version, validators, supply.

use adnet_common::api::{ApiError, ApiResult, ValidatorsBody, ok};
use adnet_common::hash::Hash;
use adnet_common::supply::{ALPHA_SUPPLY_KEY, AlphaSupply, DeltaSupply, SupplyReport};
use adnet_common::worker::{ChainStatus, SiblingError, SiblingValue};
use axum::extract::State;
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Api;
use crate::attest::{ATTEST_ADDRESS, FEE_POOL_ADDRESS};

/// A chain without a block for this many intervals is not healthy.
const LATE_AFTER_INTERVALS: u64 = 3;
/// How often the two supply leaves are read again when they do not fit together.
const SUPPLY_SAMPLES: usize = 8;

#[derive(Serialize)]
struct StatusBody<'a> {
    chain: &'static str,
    version: &'static str,
    chain_id: u64,
    network_id: u32,
    genesis: Hash,
    #[serde(flatten)]
    status: &'a ChainStatus,
    /// Of the next block.
    base_fee_wei: u64,
    supply: DeltaSupply,
}

pub(super) async fn status(State(api): State<Api>) -> ApiResult {
    let snapshot = api.snapshot();
    let rules = api.chain.rules();
    Ok(ok(StatusBody {
        chain: "delta",
        version: env!("CARGO_PKG_VERSION"),
        chain_id: rules.chain_id,
        network_id: rules.network_id,
        genesis: rules.genesis,
        status: &snapshot.status,
        base_fee_wei: snapshot.view.next_base_fee_wei(),
        supply: snapshot.view.supply(),
    }))
}

#[derive(Serialize)]
struct HealthBody {
    status: &'static str,
    height: u64,
    block_age_ms: u64,
}

pub(super) async fn health(State(api): State<Api>) -> ApiResult {
    let snapshot = api.snapshot();
    let status = &snapshot.status;
    let now_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let now_ms = u64::try_from(now_ms).unwrap_or(u64::MAX);
    let block_age_ms = now_ms.saturating_sub(status.block_time_ms);
    if block_age_ms
        > status
            .block_interval_ms
            .saturating_mul(LATE_AFTER_INTERVALS)
    {
        let message = format!(
            "the last block, {}, is {block_age_ms} ms old",
            status.height
        );
        return Err(ApiError::new("LAGGING", message));
    }
    let height = status.height;
    Ok(ok(HealthBody {
        status: "ok",
        height,
        block_age_ms,
    }))
}

#[derive(Serialize)]
struct VersionBody {
    version: &'static str,
    hard_fork: &'static str,
    /// Of EIP-155; part of every signature.
    chain_id: u64,
    network_id: u32,
    genesis: Hash,
    block_gas_limit: u64,
    tx_gas_limit: u64,
    min_base_fee_wei: u64,
    base_fee_change_denominator: u64,
    attest_address: String,
    fee_pool_address: String,
}

pub(super) async fn version(State(api): State<Api>) -> ApiResult {
    let rules = api.chain.rules();
    Ok(ok(VersionBody {
        version: env!("CARGO_PKG_VERSION"),
        hard_fork: "prague",
        chain_id: rules.chain_id,
        network_id: rules.network_id,
        genesis: rules.genesis,
        block_gas_limit: rules.block_gas_limit,
        tx_gas_limit: rules.tx_gas_limit,
        min_base_fee_wei: rules.min_base_fee_wei,
        base_fee_change_denominator: rules.base_fee_change_denominator,
        attest_address: ATTEST_ADDRESS.to_string(),
        fee_pool_address: FEE_POOL_ADDRESS.to_string(),
    }))
}

pub(super) async fn validators(State(api): State<Api>) -> ApiResult {
    let snapshot = api.snapshot();
    let height = snapshot.status.height;
    Ok(ok(ValidatorsBody::new(height, &snapshot.view.validators)))
}

/// Who is linked to this node on this chain.
pub(super) async fn peers(State(api): State<Api>) -> ApiResult {
    Ok(ok(&*api.chain.peers()))
}

pub(super) async fn supply(State(api): State<Api>) -> ApiResult {
    for _ in 0..SUPPLY_SAMPLES {
        let before = api.snapshot().view.supply();
        let answer = api.chain.sibling(ALPHA_SUPPLY_KEY.to_vec()).await;
        let alpha = alpha_supply(answer.map_err(sibling_failed)?)?;
        // What Delta has minted, Alpha had locked before; what Alpha has released, Delta had burned
        // before. One of the two samples around Alpha's answer fits unless blocks came in between.
        let after = api.snapshot().view.supply();
        let report = SupplyReport::new(alpha, before).or_else(|| SupplyReport::new(alpha, after));
        if let Some(report) = report {
            return Ok(ok(report));
        }
    }
    let message = "both chains changed while they were read: try again in a moment";
    Err(ApiError::new("UNAVAILABLE", message))
}

fn alpha_supply(answer: SiblingValue) -> Result<AlphaSupply, ApiError> {
    let decoded = AlphaSupply::decode(answer.value.as_deref().unwrap_or_default());
    decoded.map_err(|error| {
        tracing::error!(height = answer.height, %error, "Alpha's supply leaf does not decode");
        ApiError::internal()
    })
}

fn sibling_failed(error: SiblingError) -> ApiError {
    match error {
        SiblingError::Unavailable(_) => ApiError::new("UNAVAILABLE", error.to_string()),
        SiblingError::Invalid(_) => {
            tracing::error!(%error, "Alpha's answer to a state query was refused");
            ApiError::new("UNAVAILABLE", "the other chain's answer did not verify")
        }
    }
}
