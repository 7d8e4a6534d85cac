//! Methods about what a transaction should pay.

use super::chain::height_of;
use super::objects::quantity;
use super::{Answer, Arguments, Rpc, RpcError, method};
use crate::history;
use crate::history::block::BlockFigures;
use adnet_common::store::ReadStore;
use alloy_primitives::U256;
use jsonrpsee::RpcModule;
use jsonrpsee::types::Params;
use serde_json::json;
use std::sync::Arc;

/// Blocks that a suggested tip looks back at.
const TIP_BLOCKS: u64 = 20;
/// The tip that beats this part of the gas of a block, in percent, is suggested.
const TIP_PERCENTILE: f64 = 60.0;
/// Suggested where recent blocks had room for everybody.
const LEAST_TIP_WEI: u128 = 1;
/// Blocks of one fee history, and percentiles per block, at most.
const HISTORY_MAX: u64 = 1024;
const PERCENTILES_MAX: usize = 100;

pub fn register(module: &mut RpcModule<Rpc>) {
    method(module, "eth_gasPrice", gas_price);
    method(module, "eth_maxPriorityFeePerGas", tip);
    method(module, "eth_feeHistory", fee_history);
}

async fn gas_price(rpc: Arc<Rpc>, _params: Params<'static>) -> Answer {
    let base = u128::from(rpc.snapshot().view.next_base_fee_wei());
    let price = base.saturating_add(suggested_tip(&rpc).await?);
    Ok(json!(quantity(price)))
}

async fn tip(rpc: Arc<Rpc>, _params: Params<'static>) -> Answer {
    Ok(json!(quantity(suggested_tip(&rpc).await?)))
}

/// The median, over recent blocks that were more than half full, of the tip that got in.
async fn suggested_tip(rpc: &Rpc) -> Result<u128, RpcError> {
    let tip = rpc.snapshot().status.height;
    rpc.read(move |store| -> Result<u128, RpcError> {
        let first = tip.saturating_sub(TIP_BLOCKS - 1);
        let figures = range(store, first, tip)?;
        let full = figures
            .iter()
            .flatten()
            .filter(|f| f.gas_used > f.gas_limit / 2);
        let mut tips: Vec<u128> = full.map(|f| f.tip_at(TIP_PERCENTILE)).collect();
        tips.sort_unstable();
        let median = tips.get(tips.len() / 2).copied();
        Ok(median.unwrap_or(LEAST_TIP_WEI).max(LEAST_TIP_WEI))
    })
    .await
}

fn range(
    store: &dyn ReadStore,
    first: u64,
    last: u64,
) -> Result<Vec<Option<BlockFigures>>, RpcError> {
    (first..=last)
        .map(|height| Ok(history::figures(store, height)?))
        .collect()
}

async fn fee_history(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let mut arguments = Arguments::of(&params);
    let count: serde_json::Value = arguments.required()?;
    let newest = arguments.required()?;
    let percentiles: Vec<f64> = arguments.optional()?.unwrap_or_default();
    let count = count_of(&count)?.min(HISTORY_MAX);
    let ascending = percentiles.windows(2).all(|pair| pair[0] <= pair[1]);
    let in_bounds = percentiles.iter().all(|p| (0.0..=100.0).contains(p));
    if !ascending || !in_bounds || percentiles.len() > PERCENTILES_MAX {
        let message = format!("reward percentiles ascend from 0 to 100, {PERCENTILES_MAX} at most");
        return Err(RpcError::invalid_params(message));
    }
    let snapshot = rpc.snapshot();
    rpc.read(move |store| -> Answer {
        let newest = height_of(store, &snapshot, newest)?;
        let newest = newest.ok_or_else(|| RpcError::server("request beyond head block"))?;
        let mut oldest = (newest + 1).saturating_sub(count);
        let rules = &snapshot.view.rules;
        let mut figures = if count == 0 {
            Vec::new()
        } else {
            range(store, oldest, newest)?
        };
        // The genesis block has none. Others without were not executed here, nor were those before them.
        let unknown = (oldest..)
            .zip(&figures)
            .filter(|(h, f)| *h > 0 && f.is_none());
        if let Some(last) = unknown.map(|(height, _)| height).last() {
            figures.drain(..=(last - oldest) as usize);
            oldest = last + 1;
        }
        let base = |f: &Option<BlockFigures>| {
            f.as_ref()
                .map_or(rules.base_fee_initial_wei, |f| f.base_fee_wei)
        };
        let ratio = |f: &Option<BlockFigures>| {
            f.as_ref()
                .map_or(0.0, |f| f.gas_used as f64 / f.gas_limit as f64)
        };
        let rewards = |f: &Option<BlockFigures>| -> Vec<U256> {
            let at = |p: &f64| quantity(f.as_ref().map_or(0, |f| f.tip_at(*p)));
            percentiles.iter().map(at).collect()
        };
        let mut base_fees: Vec<U256> = figures.iter().map(|f| quantity(base(f))).collect();
        if let Some(last) = figures.last() {
            let used = last.as_ref().map_or(0, |f| f.gas_used);
            base_fees.push(quantity(rules.next_base_fee_wei(base(last), used)));
        } else if count > 0 && newest == snapshot.status.height {
            base_fees.push(quantity(snapshot.view.next_base_fee_wei()));
        }
        let mut answer = json!({
            "oldestBlock": quantity(oldest),
            "baseFeePerGas": base_fees,
            "gasUsedRatio": figures.iter().map(ratio).collect::<Vec<f64>>(),
        });
        if !percentiles.is_empty() {
            answer["reward"] = figures
                .iter()
                .map(rewards)
                .collect::<Vec<_>>()
                .into_iter()
                .map(|r| json!(r))
                .collect();
        }
        Ok(answer)
    })
    .await
}

/// Clients write the count as a quantity or as a plain number.
fn count_of(value: &serde_json::Value) -> Result<u64, RpcError> {
    let text = || {
        let digits = value.as_str()?.strip_prefix("0x")?;
        u64::from_str_radix(digits, 16).ok()
    };
    let count = value.as_u64().or_else(text);
    count.ok_or_else(|| RpcError::invalid_params("invalid argument: the block count"))
}
