//! Our own block: which candidates go in, and in which order.
//!
//! The best effective tip at this block's base fee goes first, each sender's transactions in the
//! order of their nonces. What does not fit or cannot run yet stays in the mempool; with it stay
//! the sender's later ones. Bytes and number of the candidates are bounded by who offers them.

use super::execution::{changes, consume_one, finish, place, start};
use super::{Committed, Pending};
use crate::attest::{self, ATTEST_ADDRESS};
use crate::evm::Refusal;
use crate::evm::block::BlockRun;
use crate::rules::Rules;
use crate::transaction::DeltaTx;
use crate::validators::Changes;
use adnet_common::application::{BlockContext, Proposed, TxError, VerifiedTx};
use adnet_common::attestation::Attestation;
use adnet_common::hash::Hash;
use revm::context::result::InvalidTransaction;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

type Candidate = Arc<VerifiedTx<DeltaTx>>;

pub fn propose(
    rules: &Rules,
    parent: &Committed,
    block: &BlockContext,
    candidates: &[Candidate],
    attestations: &[Attestation],
) -> Proposed<Pending> {
    let place = place(parent, block);
    let mut run = start(rules, parent, &place);
    let mut changes = changes(block);
    let taken = consume(rules, &mut run, &mut changes, parent, attestations);

    let mut queue = ByTip::new(candidates, place.base_fee_wei);
    let (mut included, mut rejected) = (Vec::new(), Vec::new());
    while let Some(index) = queue.pop() {
        let tx = &candidates[index];
        if !fits(&run, &tx.inner) {
            continue;
        }
        match run.execute(&tx.inner) {
            Ok(()) => {
                included.push(index);
                queue.advance(&tx.sender);
            }
            Err(refusal) => {
                if let Some(error) = never(&refusal) {
                    rejected.push((index, error));
                    queue.advance(&tx.sender);
                }
            }
        }
    }
    let ids: Vec<Hash> = included.iter().map(|index| candidates[*index].id).collect();
    let executed = finish(rules, parent, &place, run, changes, &ids);
    Proposed {
        included,
        rejected,
        attestations: taken,
        executed,
    }
}

/// Takes attestations from the first while they are in order, and says how many.
fn consume(
    rules: &Rules,
    run: &mut BlockRun<'_>,
    changes: &mut Changes,
    parent: &Committed,
    attestations: &[Attestation],
) -> usize {
    let mut last = attest::supply(&parent.state).last_consumed;
    let mut taken = 0;
    let max = usize::try_from(rules.max_attestations).unwrap_or(usize::MAX);
    for attestation in attestations.iter().take(max) {
        if let Err(error) = consume_one(run, changes, last, attestation) {
            tracing::warn!(%error, "an attestation is left out of the proposal");
            break;
        }
        last = attestation.message.sequence;
        taken += 1;
    }
    taken
}

fn fits(run: &BlockRun<'_>, tx: &DeltaTx) -> bool {
    let unlocks = tx.env.kind.to() == Some(&ATTEST_ADDRESS);
    run.has_room(tx.env.gas_limit) && (!unlocks || run.has_unlock_room())
}

/// The error of a refusal that no later block can lift.
fn never(refusal: &Refusal) -> Option<TxError> {
    let code = match refusal {
        Refusal::Invalid(InvalidTransaction::NonceTooLow { .. }) => "NONCE_TOO_LOW",
        Refusal::Invalid(InvalidTransaction::RejectCallerWithCode) => "SENDER_IS_CONTRACT",
        Refusal::Invalid(
            InvalidTransaction::NonceTooHigh { .. }
            | InvalidTransaction::LackOfFundForMaxFee { .. }
            | InvalidTransaction::GasPriceLessThanBasefee
            | InvalidTransaction::CallerGasLimitMoreThanBlock,
        ) => return None,
        Refusal::Invalid(_) | Refusal::Failed(_) => "INVALID_TRANSACTION",
    };
    Some(TxError::new(code, refusal.to_string()))
}

/// The senders' queues, the head with the best tip first.
struct ByTip<'a> {
    candidates: &'a [Candidate],
    base_fee_wei: u64,
    queues: BTreeMap<[u8; 32], VecDeque<usize>>,
    /// Tip and place among the candidates: where tips are equal, the earlier goes first.
    heads: BinaryHeap<(u128, Reverse<usize>)>,
}

impl<'a> ByTip<'a> {
    fn new(candidates: &'a [Candidate], base_fee_wei: u64) -> Self {
        let mut queues: BTreeMap<[u8; 32], VecDeque<usize>> = BTreeMap::new();
        for (index, tx) in candidates.iter().enumerate() {
            queues.entry(tx.sender).or_default().push_back(index);
        }
        let heads = BinaryHeap::with_capacity(queues.len());
        let mut by_tip = Self {
            candidates,
            base_fee_wei,
            queues,
            heads,
        };
        let senders: Vec<[u8; 32]> = by_tip.queues.keys().copied().collect();
        senders.iter().for_each(|sender| by_tip.advance(sender));
        by_tip
    }

    /// The best head. Its sender gives no other before `advance`.
    fn pop(&mut self) -> Option<usize> {
        self.heads.pop().map(|(_, Reverse(index))| index)
    }

    /// Makes the sender's next transaction a head.
    fn advance(&mut self, sender: &[u8; 32]) {
        let next = self.queues.get_mut(sender).and_then(VecDeque::pop_front);
        if let Some(index) = next {
            // What does not pay the base fee goes last, and is refused.
            let tip = self.candidates[index].bid.at(self.base_fee_wei.into());
            self.heads.push((tip.unwrap_or(0), Reverse(index)));
        }
    }
}
