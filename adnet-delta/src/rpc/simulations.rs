//! Methods that execute something and forget what it changed.

use super::objects::quantity;
use super::params::{BlockOverrideParams, CallParams, StateOverrideParams, state_overrides};
use super::state::state_at;
use super::{Answer, Arguments, Rpc, RpcError, method};
use crate::app::DeltaView;
use crate::evm::BlockPlace;
use crate::evm::access_list::access_list;
use crate::evm::overrides::{BlockOverrides, StateOverrides, suppose};
use crate::evm::simulate::{self, Call, GAS_CAP, Outcome, Scene};
use adnet_common::api::Slot;
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
struct Asked {
    call: Call,
    moment: Moment,
    state: StateOverrides,
    block: BlockOverrides,
}

impl Asked {
    /// Where to simulate. Large overrides take a while: this is part of a simulation.
    fn scene(self) -> Result<(Scene, Call), RpcError> {
        let place = self.moment.place();
        let mut view = self.moment.view;
        if !self.state.is_empty() {
            let mut state = view.state.clone();
            let supposed = suppose(&mut state, &self.state);
            supposed.map_err(|bad| RpcError::invalid_params(bad.to_string()))?;
            view = Arc::new(view.supposing(state));
        }
        let block = self.block;
        Ok((Scene { view, place, block }, self.call))
    }
}

async fn asked(rpc: &Rpc, params: &Params<'_>) -> Result<Asked, RpcError> {
    let (call, block, state, supposed) = {
        let mut arguments = Arguments::of(params);
        let call: CallParams = arguments.required()?;
        let block = arguments.block()?;
        let state: Option<StateOverrideParams> = arguments.optional()?;
        let supposed: Option<BlockOverrideParams> = arguments.optional()?;
        (call.into_call()?, block, state, supposed)
    };
    Ok(Asked {
        call,
        moment: state_at(rpc, block).await?,
        state: state_overrides(state.unwrap_or_default())?,
        block: supposed.unwrap_or_default().into_overrides()?,
    })
}

/// Runs a simulation, or what costs as much, on a thread that may block, in one of the bounded slots.
/// The slot is taken until the work ends, even if its client has gone away.
pub async fn simulated<T: Send + 'static>(
    rpc: &Rpc,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RpcError> {
    in_slot(rpc.calls.take().await?, work).await
}

/// The same for who has a slot already.
pub async fn in_slot<T: Send + 'static>(
    slot: Slot,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RpcError> {
    let done = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        work()
    });
    done.await.map_err(|error| RpcError::internal(&error))
}

async fn call(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let asked = asked(&rpc, &params).await?;
    let outcome = simulated(&rpc, move || -> Result<Outcome, RpcError> {
        let (scene, call) = asked.scene()?;
        Ok(simulate::call(&scene, &call)?)
    });
    match outcome.await?? {
        Outcome::Success { output, .. } => Ok(json!(output)),
        Outcome::Revert { output, .. } => Err(RpcError::reverted(output)),
        Outcome::Halt { reason, .. } => Err(RpcError::server(reason)),
    }
}

async fn estimate(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let asked = asked(&rpc, &params).await?;
    let gas = simulated(&rpc, move || -> Result<u64, RpcError> {
        let (scene, call) = asked.scene()?;
        Ok(simulate::estimate(&scene, &call)?)
    });
    Ok(json!(quantity(gas.await??)))
}

async fn create_access_list(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let asked = asked(&rpc, &params).await?;
    let made = simulated(&rpc, move || -> Result<_, RpcError> {
        let (scene, call) = asked.scene()?;
        let gas = call.gas.unwrap_or(scene.view.rules.tx_gas_limit);
        Ok(access_list(&scene, &call, gas.min(GAS_CAP))?)
    });
    let (list, outcome) = made.await??;
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
