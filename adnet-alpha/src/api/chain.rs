//! Routes about the chain as a whole: status, health, version, validators, supply.

use std::time::{SystemTime, UNIX_EPOCH};

use adnet_common::api::{ApiError, ApiResult, ValidatorsBody, ok};
use adnet_common::hash::Hash;
use adnet_common::keys::PublicKey;
use adnet_common::supply::{AlphaSupply, DELTA_SUPPLY_KEY, DeltaSupply, SupplyReport};
use adnet_common::worker::{ChainStatus, SiblingError, SiblingValue};
use axum::extract::State;
use serde::Serialize;

use super::Api;
use crate::pool::tree::ANCHOR_WINDOW_BLOCKS;
use crate::pool::verifying_key::is_key_ready;
use crate::tx;

/// A chain without a block for this many intervals is not healthy.
const LATE_AFTER_INTERVALS: u64 = 3;
/// How often the two supply leaves are read again when they do not fit together.
const SUPPLY_SAMPLES: usize = 8;

#[derive(Serialize)]
struct StatusBody<'a> {
    chain: &'static str,
    version: &'static str,
    network_name: &'a str,
    network_id: u32,
    genesis: Hash,
    #[serde(flatten)]
    status: &'a ChainStatus,
    /// Public accounts that exist.
    accounts: u64,
    supply: AlphaSupply,
    /// Whether proofs of the shielded pool are verified at once; after a start their key takes a while.
    proofs_ready: bool,
}

pub(super) async fn status(State(api): State<Api>) -> ApiResult {
    let snapshot = api.snapshot();
    let rules = api.chain.rules();
    Ok(ok(StatusBody {
        chain: "alpha",
        version: env!("CARGO_PKG_VERSION"),
        network_name: &rules.network_name,
        network_id: rules.network_id,
        genesis: rules.genesis,
        status: &snapshot.status,
        accounts: snapshot.view.accounts,
        supply: snapshot.view.supply,
        proofs_ready: is_key_ready(),
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
    Ok(ok(HealthBody {
        status: "ok",
        height: status.height,
        block_age_ms,
    }))
}

#[derive(Serialize)]
struct VersionBody<'a> {
    version: &'static str,
    transaction_version: u16,
    network_name: &'a str,
    network_id: u32,
    /// Part of every signature.
    genesis: Hash,
    fee_base_units: u64,
    fee_per_byte_units: u64,
    fee_per_action_units: u64,
    /// How many blocks back a spend's anchor may be.
    anchor_window_blocks: u64,
    expiry_window_blocks: u64,
    governor_threshold: usize,
    governors: Vec<PublicKey>,
}

pub(super) async fn version(State(api): State<Api>) -> ApiResult {
    let rules = api.chain.rules();
    Ok(ok(VersionBody {
        version: env!("CARGO_PKG_VERSION"),
        transaction_version: tx::VERSION,
        network_name: &rules.network_name,
        network_id: rules.network_id,
        genesis: rules.genesis,
        fee_base_units: rules.fees.base_units,
        fee_per_byte_units: rules.fees.per_byte_units,
        fee_per_action_units: rules.fees.per_action_units,
        anchor_window_blocks: ANCHOR_WINDOW_BLOCKS,
        expiry_window_blocks: rules.expiry_window_blocks,
        governor_threshold: rules.governor_threshold,
        governors: rules.governors.iter().copied().collect(),
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
        let before = api.snapshot().view.supply;
        let answer = api.chain.sibling(DELTA_SUPPLY_KEY.to_vec()).await;
        let delta = delta_supply(answer.map_err(sibling_failed)?)?;
        // What Delta has minted, Alpha had locked before; what Alpha has released, Delta had burned
        // before. One of the two samples around Delta's answer fits unless blocks came in between.
        let after = api.snapshot().view.supply;
        let report = SupplyReport::new(after, delta).or_else(|| SupplyReport::new(before, delta));
        if let Some(report) = report {
            return Ok(ok(report));
        }
    }
    let message = "both chains changed while they were read: try again in a moment";
    Err(ApiError::new("UNAVAILABLE", message))
}

/// Delta's leaf; a slot that is absent holds zero.
fn delta_supply(answer: SiblingValue) -> Result<DeltaSupply, ApiError> {
    let Some(value) = answer.value else {
        return Ok(DeltaSupply::default());
    };
    let slot: [u8; 32] = value.try_into().map_err(|_| {
        tracing::error!(
            height = answer.height,
            "Delta's supply leaf is not a storage slot"
        );
        ApiError::internal()
    })?;
    Ok(DeltaSupply::decode(&slot))
}

fn sibling_failed(error: SiblingError) -> ApiError {
    match error {
        SiblingError::Unavailable(_) => ApiError::new("UNAVAILABLE", error.to_string()),
        SiblingError::Invalid(_) => {
            tracing::error!(%error, "Delta's answer to a state query was refused");
            ApiError::new("UNAVAILABLE", "the other chain's answer did not verify")
        }
    }
}
