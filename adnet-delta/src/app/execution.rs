//! Somebody's block, executed strictly: whatever is not allowed makes it invalid.

use super::past::KEPT_STATES;
use super::{Committed, Pending};
use crate::attest::{self, FEE_POOL_ADDRESS};
use crate::evm::BlockPlace;
use crate::evm::block::{BlockResult, BlockRun};
use crate::history;
use crate::history::block::BlockFigures;
use crate::rules::Rules;
use crate::state::undo::Undo;
use crate::transaction::DeltaTx;
use crate::validators::{self, Changes};
use adnet_common::application::{BlockContext, Executed, InvalidBlock, VerifiedTx};
use adnet_common::attestation::{Attestation, Payload};
use adnet_common::chain_id::ChainId;
use adnet_common::hash::Hash;
use alloy_primitives::U256;
use std::sync::Arc;

pub fn execute(
    rules: &Rules,
    parent: &Committed,
    block: &BlockContext,
    txs: &[Arc<VerifiedTx<DeltaTx>>],
    attestations: &[Attestation],
) -> Result<Executed<Pending>, InvalidBlock> {
    let place = place(parent, block);
    let mut run = start(rules, parent, &place);
    let mut changes = changes(block);
    consume(
        rules,
        &mut run,
        &mut changes,
        attest::supply(&parent.state).last_consumed,
        attestations,
    )?;
    for (index, tx) in txs.iter().enumerate() {
        run.execute(&tx.inner).map_err(|refusal| {
            let message = format!("transaction {index} ({}): {refusal}", tx.id);
            InvalidBlock::new("INVALID_TRANSACTION", message)
        })?;
    }
    let ids: Vec<Hash> = txs.iter().map(|tx| tx.id).collect();
    Ok(finish(rules, parent, &place, run, changes, &ids))
}

/// Where `block` stands on `parent`.
pub fn place(parent: &Committed, block: &BlockContext) -> BlockPlace {
    assert_eq!(
        block.height,
        parent.height + 1,
        "blocks are executed on their parent's state"
    );
    BlockPlace {
        height: block.height,
        time_ms: block.time_ms,
        parent: block.parent,
        base_fee_wei: attest::next_base_fee_wei(&parent.state),
    }
}

pub fn start<'a>(rules: &Rules, parent: &'a Committed, place: &BlockPlace) -> BlockRun<'a> {
    BlockRun::new(rules, &parent.state, &parent.hashes, place)
}

/// What the block's evidence changes.
pub fn changes(block: &BlockContext) -> Changes {
    Changes {
        guilty: block.equivocators.iter().copied().collect(),
        followed: None,
    }
}

/// Does what `attestations` say, in order.
fn consume(
    rules: &Rules,
    run: &mut BlockRun<'_>,
    changes: &mut Changes,
    last_consumed: u64,
    attestations: &[Attestation],
) -> Result<(), InvalidBlock> {
    if attestations.len() as u64 > u64::from(rules.max_attestations) {
        let (have, max) = (attestations.len(), rules.max_attestations);
        let message = format!("{have} attestations, at most {max} go");
        return Err(InvalidBlock::new("TOO_MANY_ATTESTATIONS", message));
    }
    let mut last = last_consumed;
    for attestation in attestations {
        consume_one(run, changes, last, attestation)?;
        last = attestation.message.sequence;
    }
    Ok(())
}

/// Does what one attestation says; `last` is the sequence consumed before it.
pub fn consume_one(
    run: &mut BlockRun<'_>,
    changes: &mut Changes,
    last: u64,
    attestation: &Attestation,
) -> Result<(), InvalidBlock> {
    let sequence = attestation.message.sequence;
    if attestation.from != ChainId::Alpha {
        let message = format!("attestation {sequence} comes from {}", attestation.from);
        return Err(InvalidBlock::new("WRONG_ATTESTATION_CHAIN", message));
    }
    if last.checked_add(1) != Some(sequence) {
        let message = format!("attestation {sequence} follows {last}");
        return Err(InvalidBlock::new("ATTESTATION_OUT_OF_ORDER", message));
    }
    match &attestation.message.payload {
        Payload::Lock {
            recipient,
            amount_units,
        } => {
            return run.mint(*recipient, *amount_units).ok_or_else(|| {
                let message = format!("lock {sequence} takes the total of sAX over 2^64 units");
                InvalidBlock::new("SUPPLY_OVERFLOW", message)
            });
        }
        Payload::Misbehaviour { validator } => {
            changes.guilty.insert(*validator);
        }
        Payload::Adopted { set } => {
            let set = set.open();
            let set = set.map_err(|e| InvalidBlock::new("BAD_VALIDATOR_SET", e.to_string()))?;
            changes.followed = Some((attestation.height, set));
        }
        other => {
            let message = format!("Delta consumes no {}", other.kind_name());
            return Err(InvalidBlock::new("WRONG_ATTESTATION_KIND", message));
        }
    }
    run.consumed();
    Ok(())
}

/// Turns what ran into the state after it and the block's writes.
pub fn finish(
    rules: &Rules,
    parent: &Committed,
    place: &BlockPlace,
    run: BlockRun<'_>,
    changes: Changes,
    ids: &[Hash],
) -> Executed<Pending> {
    let BlockResult {
        bundle,
        mut native,
        gas_used,
        receipts,
    } = run.finish();
    let (validators, told) = changes.apply(place.height, &parent.validators);
    if let Some(payload) = told {
        // Last of all: who has consumed it needs no earlier set any more.
        let sequence = native.send(payload);
        sequence.expect("2^64 messages are not sent");
    }
    let mut state = parent.state.clone();
    let mut writes = Vec::new();
    state.apply_bundle(bundle, &mut writes);
    let next_base_fee_wei = rules.next_base_fee_wei(place.base_fee_wei, gas_used);
    native.set_word(&FEE_POOL_ADDRESS, U256::ZERO, U256::from(next_base_fee_wei));
    let outbox = native.finish(&mut state, &mut writes);
    if !Arc::ptr_eq(&validators, &parent.validators) {
        let before = Some(&*parent.validators);
        validators::write(&mut state, before, &validators, &mut writes);
    }

    let changes = writes.len();
    // Neither needs the other, and both take longer the larger the block is.
    let ((figures, undo), state_root) = rayon::join(
        || {
            let figures = BlockFigures::new(place, rules.block_gas_limit, &receipts);
            (figures, Undo::of(&parent.state, &writes))
        },
        || Hash(state.root_after(changes).0),
    );
    writes.extend(history::block_writes(&figures, ids, &receipts));
    writes.extend(undo.writes(place.height, KEPT_STATES));

    let hashes = parent.hashes.with(parent.height, place.parent);
    let next_validators = Arc::clone(&validators.own.set);
    let pending = Pending(Committed {
        height: place.height,
        state,
        hashes,
        validators,
        changes,
    });
    Executed {
        claims: Vec::new(),
        state_root,
        outbox,
        next_validators,
        writes,
        pending,
    }
}
