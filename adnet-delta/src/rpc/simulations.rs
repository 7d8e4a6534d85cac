//! Methods that execute something and forget what it changed.

use super::objects::quantity;
use super::params::{BlockOverrideParams, CallParams, StateOverrideParams, state_overrides};
use super::state::state_at;
use super::{Answer, Arguments, Rpc, RpcError, method};
use crate::app::DeltaView;
use crate::evm::BlockPlace;
use crate::evm::access_list::access_list;
use crate::evm::overrides::suppose;
use crate::evm::simulate::{self, Call, GAS_CAP, Outcome, Scene};
use adnet_common::hash::Hash;
use jsonrpsee::RpcModule;
use jsonrpsee::types::Params;
use serde_json::json;
use std::sync::Arc;

pub fn register(module: &mut RpcModule<Rpc>) {
    method(module, "eth_call", call);
    method(module, "eth_estimateGas", estimate);
    method(module, "eth_createAccessList", create_access_list);
}

/// A state that is kept, and the block that follows it.
pub struct Moment {
    pub view: Arc<DeltaView>,
    /// The block that led to it.
    pub block_hash: Hash,
    /// Of the block after it, if that exists, or else as it is scheduled.
    pub next_time_ms: u64,
}

impl Moment {
    pub fn place(&self) -> BlockPlace {
        simulate::next_place(&self.view, self.block_hash, self.next_time_ms)
    }
}

/// What calls have in common: the call, the block, what is supposed of state and block.
async fn prepare(rpc: &Rpc, params: &Params<'_>) -> Result<(Scene, Call), RpcError> {
    let (call, block, state, supposed) = {
        let mut arguments = Arguments::of(params);
        let call: CallParams = arguments.required()?;
        let block = arguments.block()?;
        let state: Option<StateOverrideParams> = arguments.optional()?;
        let supposed: Option<BlockOverrideParams> = arguments.optional()?;
        (call.into_call()?, block, state, supposed)
    };
    let moment = state_at(rpc, block).await?;
    let place = moment.place();
    let mut view = moment.view;
    if let Some(overrides) = state.filter(|overrides| !overrides.is_empty()) {
        let mut state = view.state.clone();
        let supposed = suppose(&mut state, &state_overrides(overrides)?);
        supposed.map_err(|bad| RpcError::invalid_params(bad.to_string()))?;
        view = Arc::new(view.supposing(state));
    }
    let block = supposed.unwrap_or_default().into_overrides()?;
    Ok((Scene { view, place, block }, call))
}

/// Runs a simulation, or what costs as much, on a thread that may block, in one of the bounded slots.
/// The slot is taken until the work ends, even if its client has gone away.
pub async fn simulated<T: Send + 'static>(
    rpc: &Rpc,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RpcError> {
    let slot = rpc.calls.take().await?;
    let done = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        work()
    });
    done.await.map_err(|error| RpcError::internal(&error))
}

async fn call(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let (scene, call) = prepare(&rpc, &params).await?;
    match simulated(&rpc, move || simulate::call(&scene, &call)).await?? {
        Outcome::Success { output, .. } => Ok(json!(output)),
        Outcome::Revert { output, .. } => Err(RpcError::reverted(output)),
        Outcome::Halt { reason, .. } => Err(RpcError::server(reason)),
    }
}

async fn estimate(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let (scene, call) = prepare(&rpc, &params).await?;
    let gas = simulated(&rpc, move || simulate::estimate(&scene, &call)).await??;
    Ok(json!(quantity(gas)))
}

async fn create_access_list(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let (scene, call) = prepare(&rpc, &params).await?;
    let gas = call
        .gas
        .unwrap_or(scene.view.rules.tx_gas_limit)
        .min(GAS_CAP);
    let made = simulated(&rpc, move || access_list(&scene, &call, gas)).await?;
    let (list, outcome) = made?;
    let (gas_used, error) = match outcome {
        Outcome::Success { gas_used, .. } => (gas_used, None),
        Outcome::Revert { gas_used, .. } => (gas_used, Some("execution reverted".to_owned())),
        Outcome::Halt {
            gas_used, reason, ..
        } => (gas_used, Some(reason)),
    };
    let mut answer = json!({ "accessList": list, "gasUsed": quantity(gas_used) });
    if let Some(error) = error {
        answer["error"] = json!(error);
    }
    Ok(answer)
}
