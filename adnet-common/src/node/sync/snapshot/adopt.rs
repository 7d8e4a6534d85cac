//! When a snapshot is complete, and when it is given up.

use super::Target;
use crate::application::Application;
use crate::consensus::{CommitCertificate, verify_certificate};
use crate::ledger::{self, CommittedBlock};
use crate::node::Node;
use crate::node::event::{Host, NodeFault, Offence, Output};
use crate::restore::Restore;
use crate::store::RestoreBatch;
use crate::validators::Validators;
use std::sync::Arc;

/// Writes of one part of what is left at the end.
const PART_WRITES: usize = 4096;

impl<A: Application> Node<A> {
    /// Goes on with what has come: finishes, or gives up.
    pub(in crate::node::sync) fn drive_snapshot(
        &mut self,
        now_ms: u64,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let Some(sync) = &mut self.snapshot_sync else {
            return Ok(());
        };
        if sync.is_in_vain(now_ms, self.sync.peers.counting(now_ms)) {
            return self.give_snapshot_up(now_ms, host, outputs);
        }
        if let Some(target) = &mut sync.target {
            let is_here = target.history.wanted().is_none()
                && target.block.is_some()
                && target
                    .state
                    .as_ref()
                    .is_some_and(|s| s.wanted().next().is_none());
            if is_here {
                let (peer, block) = target.block.take().expect("seen above");
                let set = target.history.set_of(target.height);
                let set = set.expect("the history goes down to the height before");
                let certificate = CommitCertificate::decode(&block.certificate).ok();
                let is_proved = certificate.is_some_and(|certificate| {
                    certificate.height == target.height
                        && certificate.value == block.block.hash()
                        && verify_certificate(&self.domain, set, &certificate).is_ok()
                });
                if !is_proved {
                    self.blame(now_ms, peer, Offence::BadBlock, outputs);
                } else {
                    let target = sync.target.take().expect("seen above");
                    return self.adopt_snapshot(now_ms, target, &block, host, outputs);
                }
            }
        }
        self.ask_for_snapshot(now_ms, outputs);
        Ok(())
    }

    /// Makes the snapshot the node's state: the last batch, durable with all before it.
    fn adopt_snapshot(
        &mut self,
        now_ms: u64,
        target: Target<A::Restore>,
        block: &CommittedBlock,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let height = target.height;
        let mut writes = target.history.set_writes(height);
        if target.history.begins_at_genesis() {
            let set = self.config.genesis.validator_set();
            let set = set.map_err(|error| NodeFault::Genesis(error.to_string()))?;
            let first = Validators::genesis(set).own;
            writes.push(ledger::validators_write(A::CHAIN, &first));
        }
        writes.extend(ledger::block_writes(A::CHAIN, block));
        let left = target.state.expect("it is complete").finish();
        for part in left.chunks(PART_WRITES) {
            host.restore(RestoreBatch {
                starts: false,
                writes: part.to_vec(),
                ends: None,
            })?;
        }
        host.restore(RestoreBatch {
            starts: false,
            writes,
            ends: Some(height),
        })?;
        tracing::info!(chain = %A::CHAIN, height, root = %block.block.header.state_root, "the snapshot is complete");
        self.reopen(now_ms, host, outputs)
    }

    fn give_snapshot_up(
        &mut self,
        now_ms: u64,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let sync = self.snapshot_sync.take().expect("it is given up");
        tracing::warn!(chain = %A::CHAIN, "no peer has a snapshot to begin with: fetching all blocks instead");
        if sync.has_begun {
            return self.reopen(now_ms, host, outputs);
        }
        self.ask_for_blocks(now_ms, outputs);
        Ok(())
    }

    /// Opens the chain anew on what is stored now. Peers and the ways to the outside stay.
    fn reopen(
        &mut self,
        now_ms: u64,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let sibling = Some(Arc::clone(&self.sibling));
        let mut fresh = Self::open_with(self.config.clone(), now_ms, host, sibling)?;
        fresh.snapshot_sync = None;
        std::mem::swap(&mut fresh.sync.peers, &mut self.sync.peers);
        fresh.sync.figures = self.sync.figures;
        // Verdicts are still due, and whoever verifies looks into the same memory.
        std::mem::swap(&mut fresh.verified, &mut self.verified);
        std::mem::swap(&mut fresh.verifying, &mut self.verifying);
        fresh.verifying.forget_blocks(outputs);
        *self = fresh;
        outputs.push(Output::Committed {
            snapshot: self.snapshot(),
            blocks: 0,
            round: 0,
            transactions: 0,
            equivocations: 0,
        });
        Ok(())
    }
}
