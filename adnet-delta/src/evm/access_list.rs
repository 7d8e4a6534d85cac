//! `eth_createAccessList`: what a call reads and writes, as a list that makes it cheaper.

use super::simulate::{Call, Outcome, Scene, outcome_of, prepare};
use super::{Refusal, run};
use alloy_primitives::{Address, B256};
use revm::context::{ContextTr, JournalTr};
use revm::context_interface::transaction::{AccessList, AccessListItem};
use revm::handler::PrecompileProvider;
use std::collections::{BTreeMap, BTreeSet};

/// A list changes what a call has gas for, and so what it touches: it is made again until it stays
/// the same, or so often.
const ROUNDS_MAX: usize = 8;

/// The list, and what comes of the call with it.
pub fn access_list(scene: &Scene, call: &Call, gas: u64) -> Result<(AccessList, Outcome), Refusal> {
    let mut call = call.clone();
    let mut last = None;
    for _ in 0..ROUNDS_MAX {
        let (touched, outcome) = touched(scene, &call, gas)?;
        let stays = touched == call.access_list;
        last = Some((touched.clone(), outcome));
        if stays {
            break;
        }
        call.access_list = touched;
    }
    Ok(last.expect("there is at least one round"))
}

/// What one execution touches beside what is warm anyway: sender, callee and precompiles, unless slots
/// of theirs are touched.
fn touched(scene: &Scene, call: &Call, gas: u64) -> Result<(AccessList, Outcome), Refusal> {
    let (mut evm, tx) = prepare(scene, call, gas);
    let (caller, nonce) = (tx.caller, tx.nonce);
    let outcome = outcome_of(run(&mut evm, tx, super::fees::Sender::Anybody)?);
    let state = evm.ctx.journal_mut().finalize();
    let mut warm: BTreeSet<Address> = evm.precompiles.warm_addresses().iter().copied().collect();
    // The fee pool is touched by every transaction, not by this call.
    warm.extend([caller, evm.ctx.block.beneficiary]);
    warm.insert(call.to.unwrap_or_else(|| caller.create(nonce)));
    let each = state.into_iter().map(|(address, account)| {
        let slots: BTreeSet<B256> = account
            .storage
            .keys()
            .map(|slot| B256::from(*slot))
            .collect();
        (address, slots)
    });
    let each: BTreeMap<Address, BTreeSet<B256>> = each
        .filter(|(address, slots)| !slots.is_empty() || !warm.contains(address))
        .collect();
    let items = each.into_iter().map(|(address, slots)| AccessListItem {
        address,
        storage_keys: slots.into_iter().collect(),
    });
    Ok((AccessList(items.collect()), outcome))
}
