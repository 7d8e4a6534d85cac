//! `eth_simulateV1`: blocks that are not made, one on top of the other, each with what it supposes.

use super::fees::Sender;
use super::overrides::{BlockOverrides, Impossible, StateOverrides, suppose};
use super::simulate::{Call, GAS_CAP, Outcome, environment, outcome_of};
use super::{BlockPlace, Refusal, build, run, run_noting_transfers};
use crate::app::DeltaView;
use crate::history::logs::json_bytes;
use adnet_common::hash::Hash;
use alloy_primitives::{B256, Log};
use revm::DatabaseCommit;
use revm::context::result::ExecutionResult;
use revm::context::{ContextTr, JournalTr};
use revm::database::states::bundle_state::BundleRetention;
use std::sync::Arc;

/// Blocks of one simulation, those included that only fill a gap of numbers.
pub const BLOCKS_MAX: usize = 256;
/// Calls of one simulation.
pub const CALLS_MAX: usize = 1_000;
/// What the outputs and logs of one simulation may take in JSON: gas alone does not bound them, because a
/// large memory is paid for once by each call, and each may return all of it.
pub const RESULT_BYTES_MAX: usize = 16 << 20;

/// A block to simulate.
#[derive(Clone, Debug, Default)]
pub struct BlockCalls {
    pub block: BlockOverrides,
    pub state: StateOverrides,
    pub calls: Vec<Call>,
}

/// A simulated block.
pub struct SimulatedBlock {
    pub place: BlockPlace,
    pub hash: Hash,
    pub state_root: B256,
    pub time_s: u64,
    pub gas_limit: u64,
    pub gas_used: u64,
    pub base_fee_wei: u64,
    pub block: BlockOverrides,
    pub calls: Vec<SimulatedCall>,
}

/// A call of it, as it was executed.
pub struct SimulatedCall {
    pub call: Call,
    pub nonce: u64,
    pub gas_limit: u64,
    pub outcome: Outcome,
    pub logs: Vec<Log>,
}

/// Why there is nothing to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    #[error("block numbers must be in order: {number} <= {last}")]
    Number { number: u64, last: u64 },
    #[error("block timestamps must be in order: {time_s} <= {last}")]
    Time { time_s: u64, last: u64 },
    #[error("too many blocks: at most {BLOCKS_MAX}, those in between included")]
    TooManyBlocks,
    #[error("too many calls: at most {CALLS_MAX}")]
    TooManyCalls,
    #[error(
        "the calls return too much: their outputs and logs may take {RESULT_BYTES_MAX} bytes in an answer"
    )]
    TooLarge,
    #[error("block gas limit reached: a call wants {wanted}, {left} are left")]
    GasLimit { wanted: u64, left: u64 },
    #[error(transparent)]
    Impossible(#[from] Impossible),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Where a simulation begins, and how strict it is.
pub struct Beginning {
    pub view: Arc<DeltaView>,
    /// Of the first block, where it does not say otherwise.
    pub place: BlockPlace,
    /// Time of the block that it follows.
    pub parent_time_s: u64,
    pub interval_s: u64,
    /// Whether calls are as good as transactions: nonces, and the base fee paid.
    pub strict: bool,
    /// Whether wei that moves is shown as logs.
    pub notes_transfers: bool,
}

/// What is left of what all blocks of a simulation may take together.
struct Left {
    gas: u64,
    result_bytes: usize,
}

impl Left {
    /// Takes what a call has used and what it returns.
    fn take(&mut self, gas: u64, outcome: &Outcome, logs: &[Log]) -> Result<(), SequenceError> {
        self.gas = self.gas.saturating_sub(gas);
        let left = self.result_bytes.checked_sub(result_bytes(outcome, logs));
        self.result_bytes = left.ok_or(SequenceError::TooLarge)?;
        Ok(())
    }
}

/// What a call's output and logs take in JSON. What it reverts with may be there in words too.
fn result_bytes(outcome: &Outcome, logs: &[Log]) -> usize {
    let output = match outcome {
        Outcome::Success { output, .. } => 2 * output.len(),
        Outcome::Revert { output, .. } => 3 * output.len(),
        Outcome::Halt { reason, .. } => reason.len(),
    };
    output + logs.iter().map(json_bytes).sum::<usize>()
}

/// Simulates the blocks in order. Who hands them over has counted their calls: [`CALLS_MAX`].
pub fn sequence(
    beginning: &Beginning,
    blocks: Vec<BlockCalls>,
) -> Result<Vec<SimulatedBlock>, SequenceError> {
    let mut view = Arc::clone(&beginning.view);
    let (mut place, mut last_time_s) = (beginning.place, beginning.parent_time_s);
    let mut left = Left {
        gas: GAS_CAP,
        result_bytes: RESULT_BYTES_MAX,
    };
    let mut made: Vec<SimulatedBlock> = Vec::new();
    for mut asked in blocks {
        let number = asked.block.number.unwrap_or(place.height);
        let last = place.height - 1;
        if number <= last {
            return Err(SequenceError::Number { number, last });
        }
        if (number - last).saturating_add(made.len() as u64) > BLOCKS_MAX as u64 {
            return Err(SequenceError::TooManyBlocks);
        }
        while place.height < number {
            let mut between = BlockCalls::default();
            between.block.inherit(made.last());
            let (block, next) = one(beginning, view, place, &mut last_time_s, between, &mut left)?;
            (view, place) = following(beginning, next, &block);
            made.push(block);
        }
        asked.block.inherit(made.last());
        let (block, next) = one(beginning, view, place, &mut last_time_s, asked, &mut left)?;
        (view, place) = following(beginning, next, &block);
        made.push(block);
    }
    Ok(made)
}

impl BlockOverrides {
    /// What a block does not say itself is as in the simulated block before it, where a client may
    /// choose it.
    fn inherit(&mut self, last: Option<&SimulatedBlock>) {
        if let Some(last) = last {
            self.gas_limit = self.gas_limit.or(last.block.gas_limit);
            self.fee_recipient = self.fee_recipient.or(last.block.fee_recipient);
        }
    }
}

fn following(
    beginning: &Beginning,
    view: DeltaView,
    last: &SimulatedBlock,
) -> (Arc<DeltaView>, BlockPlace) {
    let rules = &beginning.view.rules;
    let place = BlockPlace {
        height: last.place.height + 1,
        time_ms: last
            .time_s
            .saturating_add(beginning.interval_s)
            .saturating_mul(1000),
        parent: last.hash,
        base_fee_wei: rules.next_base_fee_wei(last.base_fee_wei, last.gas_used),
    };
    (Arc::new(view), place)
}

/// One block, and what is so after it.
fn one(
    beginning: &Beginning,
    view: Arc<DeltaView>,
    place: BlockPlace,
    last_time_s: &mut u64,
    asked: BlockCalls,
    all_left: &mut Left,
) -> Result<(SimulatedBlock, DeltaView), SequenceError> {
    let scheduled_s = (place.time_ms / 1000).max(last_time_s.saturating_add(1));
    let time_s = asked.block.time_s.unwrap_or(scheduled_s);
    if time_s <= *last_time_s {
        let last = *last_time_s;
        return Err(SequenceError::Time { time_s, last });
    }
    *last_time_s = time_s;
    let place = BlockPlace {
        time_ms: time_s.saturating_mul(1000),
        ..place
    };
    let mut state = view.state.clone();
    suppose(&mut state, &asked.state)?;
    let mut evm = build(&view.rules, &state, &view.hashes, &place);
    asked.block.apply(&mut evm);
    if !beginning.strict {
        evm.ctx.block.basefee = asked.block.base_fee_wei.unwrap_or(0);
    }
    evm.ctx.cfg.tx_gas_limit_cap = Some(u64::MAX);
    let (gas_limit, base_fee_wei) = (evm.ctx.block.gas_limit, evm.ctx.block.basefee);
    let sender = if beginning.strict {
        Sender::Signed
    } else {
        Sender::Anybody
    };
    let (mut calls, mut gas_used) = (Vec::new(), 0u64);
    for call in asked.calls {
        let left = gas_limit.saturating_sub(gas_used);
        let wanted = call.gas.unwrap_or(left);
        if wanted > left {
            return Err(SequenceError::GasLimit { wanted, left });
        }
        let wanted = wanted.min(all_left.gas);
        let nonce = match call.nonce {
            Some(nonce) => nonce,
            None => {
                use revm::Database;
                let info = evm.ctx.db_mut().basic(call.from);
                let info = info.expect("a state in memory has no errors");
                info.map_or(0, |info| info.nonce)
            }
        };
        let tx = environment(&call, nonce, wanted, view.rules.chain_id);
        let run = match beginning.notes_transfers {
            true => run_noting_transfers,
            false => run,
        };
        let result = run(&mut evm, tx, sender);
        let changes = evm.ctx.journal_mut().finalize();
        let result = result?;
        evm.ctx.db_mut().commit(changes);
        let call_gas = result.tx_gas_used();
        gas_used += call_gas;
        let logs = match &result {
            ExecutionResult::Success { logs, .. } => logs.clone(),
            ExecutionResult::Revert { .. } | ExecutionResult::Halt { .. } => Vec::new(),
        };
        let logs = evm.inspector.among(logs);
        let outcome = outcome_of(result);
        all_left.take(call_gas, &outcome, &logs)?;
        calls.push(SimulatedCall {
            call,
            nonce,
            gas_limit: wanted,
            outcome,
            logs,
        });
    }
    let database = evm.ctx.db_mut();
    database.merge_transitions(BundleRetention::PlainState);
    let bundle = database.take_bundle();
    let native = evm.ctx.chain;
    // Nobody stores it.
    let mut after = state.clone();
    let mut writes = Vec::new();
    after.apply_bundle(bundle, &mut writes);
    native.finish(&mut after, &mut writes);
    let state_root = after.root();
    let height = place.height.to_be_bytes();
    let parts: [&[u8]; 3] = [&height, &place.parent.0, state_root.as_slice()];
    let block = SimulatedBlock {
        hash: Hash::of("adnet/delta/simulated-block/v1", &parts),
        place,
        state_root,
        time_s,
        gas_limit,
        gas_used,
        base_fee_wei,
        block: asked.block,
        calls,
    };
    let next = view.supposing(after).after(place.height, place.parent);
    Ok((block, next))
}
