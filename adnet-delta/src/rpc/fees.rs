//! Methods about what a transaction should pay.

use super::chain::height_of;
use super::objects::quantity;
use super::{Answer, Arguments, Rpc, RpcError, Tip, method};
use crate::history;
use crate::history::block::BlockFigures;
use crate::history::tips::Tips;
use adnet_common::store::ReadStore;
use alloy_primitives::U256;
use jsonrpsee::RpcModule;
use jsonrpsee::types::Params;
use serde_json::json;
use std::collections::VecDeque;
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
/// Different tips that one fee history reads.
const TIPS_MAX: usize = 1_000_000;

pub fn register(module: &mut RpcModule<Rpc>) {
    method(module, "eth_gasPrice", gas_price);
    method(module, "eth_maxPriorityFeePerGas", tip);
    method(module, "eth_feeHistory", fee_history);
    method(module, "eth_baseFee", |rpc, _| async move {
        Ok(json!(quantity(rpc.snapshot().view.next_base_fee_wei())))
    });
    // There are no blobs; a price above zero keeps clients from dividing by it.
    method(module, "eth_blobBaseFee", |_, _| async {
        Ok(json!(quantity(1u64)))
    });
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
        let tips = full.map(|f| Ok(history::tips(store, f.height)?.at(TIP_PERCENTILE)));
        let mut tips: Vec<u128> = tips.collect::<Result<_, RpcError>>()?;
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
        let newest = height_of(store, Tip::of(&snapshot), newest)?;
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
        // From the last block back, as far as one answer may go: there may be fewer than were asked for.
        let mut rewards: VecDeque<Vec<U256>> = VecDeque::new();
        if !percentiles.is_empty() {
            let mut read = 0;
            for f in figures.iter().rev() {
                let tips = match f {
                    Some(f) => history::tips(store, f.height)?,
                    None => Tips::default(),
                };
                read += tips.len();
                if read > TIPS_MAX && !rewards.is_empty() {
                    break;
                }
                let at_each = tips.at_each(&percentiles).into_iter();
                rewards.push_front(at_each.map(quantity).collect());
            }
            let unread = figures.len() - rewards.len();
            figures.drain(..unread);
            oldest += unread as u64;
        }
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
            // Without blobs (EIP-4844) there is nothing to pay for them.
            "baseFeePerBlobGas": vec![U256::ZERO; base_fees.len()],
            "blobGasUsedRatio": vec![0; figures.len()],
        });
        if !percentiles.is_empty() {
            answer["reward"] = json!(rewards);
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
