//! Committing a decided block: one durable batch, then the state, then the world.

use super::bodies::{Sound, Verdict};
use super::evidence;
use super::timers::Timer;
use super::{Host, Node, NodeFault, Output};
use crate::application::{Application, KEPT_SNAPSHOTS};
use crate::attestation::{Attestation, FinalityProof};
use crate::consensus::{CommitCertificate, EncodedSet, Equivocation};
use crate::consensus_keys::clear_height;
use crate::ledger::{self, CommittedBlock};
use crate::store::CommitBatch;
use crate::validators::SetFrom;
use std::sync::Arc;

/// What was committed and not shown yet, because it may not be durable.
#[derive(Default)]
pub(super) struct Untold {
    pub blocks: usize,
    transactions: usize,
    equivocations: usize,
    /// Of the last of them.
    round: u32,
}

impl<A: Application> Node<A> {
    /// Writes the decided block with everything that follows from it in ONE batch; only when the
    /// store has acknowledged it does the state move, and only when it is durable does anything leave.
    /// `found` is evidence of the height, which would be nowhere else.
    pub(super) fn commit(
        &mut self,
        now_ms: u64,
        certificate: CommitCertificate,
        found: Vec<Equivocation>,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let (height, hash, round) = (certificate.height, certificate.value, certificate.round);
        assert_eq!(
            height,
            self.tip.height + 1,
            "heights are decided one after the other"
        );
        if let Some(trusted) = self.config.trusted.filter(|t| t.height == height)
            && trusted.hash != hash
        {
            let hash = trusted.hash;
            return Err(NodeFault::NotTrusted { height, hash });
        }
        let candidate = self.bodies.known.remove(&hash);
        let candidate = candidate.expect("the engine decides only what the host has stored");
        let block = candidate.block;
        let Verdict::Valid(sound) = candidate.verdict else {
            unreachable!("a block is committed when it is known to be valid");
        };
        let Sound { executed, ids } = *sound;
        let committed = CommittedBlock {
            block,
            certificate: certificate.encode(),
        };
        let attestations = Attestation::of_block(A::CHAIN, height, &executed.outbox);
        let mut writes = executed.writes;
        writes.extend(ledger::block_writes(A::CHAIN, &committed));
        writes.extend(ledger::attestation_writes(&attestations));
        let proved = evidence::of_block(&committed.block);
        let is_guilty = |validator: &_| self.app.is_proved_guilty(validator);
        let settled = self.evidence.settle(A::CHAIN, height, &proved, is_guilty);
        writes.extend(settled);
        let found = self.sift_evidence(found, host)?;
        writes.extend(evidence::waiting_writes(A::CHAIN, &found));
        writes.extend(clear_height(A::CHAIN, height));
        let next = executed.next_validators;
        let changes = next != self.app.validators().own.set;
        if changes {
            let from = SetFrom {
                height: height + 1,
                set: Arc::clone(&next),
            };
            writes.push(ledger::validators_write(A::CHAIN, &from));
        }
        let proof = FinalityProof {
            header: committed.block.header.clone(),
            certificate: committed.certificate.clone(),
            next_set: changes.then(|| EncodedSet::of(&next)),
        };
        let is_deferred = !changes && self.may_defer(height);
        let batch = CommitBatch { height, writes };
        if is_deferred {
            // What it says to the other chain is asked for again.
            host.commit_deferred(batch)?;
        } else {
            // A certificate proves finality by itself, and the votes in it are durable: the other
            // chain may verify it while our disk works. What the block says to it follows when that
            // is done.
            host.tell_final(&proof);
            host.commit(batch)?;
            host.tell_messages(&attestations);
        }

        self.evidence.add(found);
        self.tip_set = Arc::clone(&self.app.validators().own.set);
        self.app.apply(executed.pending);
        if height.is_multiple_of(self.config.snapshot_every) {
            self.app.keep_snapshot();
            self.snapshots.push_back(height);
            if self.snapshots.len() > KEPT_SNAPSHOTS {
                self.snapshots.pop_front();
            }
        }
        let block = committed.block;
        self.tip = block.header;
        self.tip_hash = hash;
        self.tip_proof = Some(proof);
        self.bodies.end_height(height);
        self.needed.clear();
        self.verifying.end_height(height, outputs);
        self.flood.end_height();
        self.timers.end_heights(height);
        self.sibling.inbox().consume(self.app.last_consumed());
        self.sibling.light.advance(&self.app.validators().sibling);
        let app = &self.app;
        self.mempool
            .on_block(now_ms, app.price(), &ids, &executed.claims, |tx| {
                app.check(tx)
            });
        self.timers.set(self.next_due(now_ms), Timer::Close(height));

        let untold = &mut self.untold;
        untold.blocks += 1;
        untold.transactions += block.body.txs.len();
        untold.equivocations += proved.len();
        untold.round = round;
        if !is_deferred {
            self.tell_of_blocks(now_ms, outputs);
        }
        Ok(())
    }

    /// Shows the world what is durable by now.
    pub(super) fn tell_of_blocks(&mut self, now_ms: u64, outputs: &mut Vec<Output<A>>) {
        let Untold {
            blocks,
            transactions,
            equivocations,
            round,
        } = std::mem::take(&mut self.untold);
        let snapshot = self.snapshot();
        outputs.push(Output::Committed {
            snapshot,
            round,
            blocks,
            transactions,
            equivocations,
        });
        if !self.is_catching_up() {
            self.announce_tip(outputs);
            self.plan_announcement(now_ms, outputs);
        }
    }
}
