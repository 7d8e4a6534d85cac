//! Verifying fetched blocks in order and committing them, and when consensus takes over.

use super::fetched::Fetched;
use super::{HOLD_STEP_MS, Node};
use crate::application::Application;
use crate::consensus::{CommitCertificate, Event, verify_certificate};
use crate::ledger::CommittedBlock;
use crate::node::bodies::Verdict;
use crate::node::event::{Host, NodeFault, Offence, Output};
use crate::node::timers::Timer;
use crate::node::verifying::{BlockTxs, Urgency};
use std::sync::Arc;

/// Fetched blocks whose transactions are verified while those below them are executed.
const AHEAD_BLOCKS: u64 = 8;

impl<A: Application> Node<A> {
    /// Takes the next fetched block if it is here, and asks for more. One block at a time: a step
    /// commits one at most.
    pub(in crate::node) fn feed_fetched(
        &mut self,
        now_ms: u64,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        if self.is_restoring() {
            return self.drive_snapshot(now_ms, host, outputs);
        }
        if self.verifying.is_deciding() {
            return Ok(()); // the next block is decided and soon committed, whatever was fetched
        }
        let wanted = self.tip.height + 1;
        let may_go_on = self.verify_fetched(wanted, outputs);
        self.sync.waits_at = (!may_go_on).then_some(wanted);
        if may_go_on && let Some(fetched) = self.sync.fetched.take(wanted) {
            if self.open == Some(wanted) {
                self.feed_engine(now_ms, fetched, host, outputs)?;
            } else {
                self.commit_fetched(now_ms, fetched, host, outputs)?;
            }
            if self.tip.height == wanted {
                self.sync.figures.blocks += 1;
                self.sync.mode.progressed(now_ms);
            }
        }
        for ahead in 1..=AHEAD_BLOCKS {
            self.verify_fetched(self.tip.height + ahead, outputs);
        }
        let has_next = self.has_next();
        if self.untold.blocks > 0 && !has_next {
            // The block that would have synced those before it was no good.
            host.sync()?;
            self.tell_of_blocks(now_ms, outputs);
        }
        self.ask_for_blocks(now_ms, outputs);
        if has_next {
            self.wake_sync(now_ms, now_ms);
        }
        Ok(())
    }

    /// Has the transactions of a fetched block verified, if a quorum has decided it. False while they
    /// are: the block is taken when that is done. One without a certificate may be taken, and whoever
    /// sent it is blamed then.
    ///
    /// The set may change below a block that is ahead. Then it has to wait until it is the next.
    fn verify_fetched(&mut self, height: u64, outputs: &mut Vec<Output<A>>) -> bool {
        let Some(fetched) = self.sync.fetched.get_mut(height) else {
            return true;
        };
        let block = &fetched.block.block;
        if block.body.txs.is_empty() {
            return true;
        }
        let set = &self.app.validators().own.set;
        let is_decided = match &fetched.decided_by {
            Some((by, is_decided)) if by == set => *is_decided,
            _ => {
                let certificate = certificate_of(&fetched.block);
                let is_decided =
                    certificate.is_some_and(|c| verify_certificate(&self.domain, set, &c).is_ok());
                fetched.decided_by = Some((Arc::clone(set), is_decided));
                is_decided
            }
        };
        let hash = block.hash();
        let known = self.bodies.known.get(&hash);
        if !is_decided || known.is_some_and(|c| matches!(c.verdict, Verdict::Valid(_))) {
            return true;
        }
        let urgency = match self.open == Some(height) {
            true => Urgency::Consensus,
            false => Urgency::Sync,
        };
        let (verifying, verified) = (&mut self.verifying, &self.verified);
        let txs = verifying.of_block(verified, hash, block, urgency, outputs);
        !matches!(txs, BlockTxs::Waiting)
    }

    /// The height is open: the engine decides it by the certificate, and keeps what it has found of
    /// validators that sign twice.
    fn feed_engine(
        &mut self,
        now_ms: u64,
        Fetched { peer, block, .. }: Fetched,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let Some(certificate) = certificate_of(&block) else {
            self.blame(now_ms, peer, Offence::BadBlock, outputs);
            return Ok(());
        };
        let body = block.block.encode();
        let event = Event::Synced {
            peer,
            certificate,
            body,
        };
        self.drive(now_ms, event, host, outputs)
    }

    /// The height was never opened here: the certificate alone decides.
    fn commit_fetched(
        &mut self,
        now_ms: u64,
        Fetched {
            peer,
            block,
            decided_by,
            ..
        }: Fetched,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let set = &self.app.validators().own.set;
        let certificate = certificate_of(&block).filter(|certificate| match decided_by {
            Some((by, is_decided)) if by == *set => is_decided,
            _ => verify_certificate(&self.domain, set, certificate).is_ok(),
        });
        let Some(certificate) = certificate else {
            self.blame(now_ms, peer, Offence::BadBlock, outputs);
            return Ok(());
        };
        if self.open == Some(self.tip.height) && self.engine.is_decided() {
            self.drive(now_ms, Event::EndHeight, host, outputs)?;
        }
        let block = block.block;
        let (height, hash) = (certificate.height, certificate.value);
        self.bodies.add(block);
        let tried = self.try_known(&hash, Urgency::Sync, host, outputs)?;
        tried
            .expect("a decided block is taken when its transactions are verified")
            .map_err(|error| {
                let why = error.to_string();
                NodeFault::DecidedInvalid { height, why }
            })?;
        self.commit(now_ms, certificate, Vec::new(), host, outputs)?;
        self.timers
            .set(self.next_due(now_ms), Timer::Open(height + 1));
        Ok(())
    }

    /// Whether the next height has to wait until we know where others are, or have caught up with
    /// them. If so, it is tried again.
    pub(in crate::node) fn is_held_back(
        &mut self,
        now_ms: u64,
        height: u64,
        outputs: &mut Vec<Output<A>>,
    ) -> bool {
        self.ask_for_blocks(now_ms, outputs);
        let is_held = self.sync.mode.holds() || self.is_restoring();
        if is_held {
            let at_ms = now_ms.saturating_add(HOLD_STEP_MS);
            self.timers.set(at_ms, Timer::Open(height));
        }
        is_held
    }
}

/// The certificate that came with a block, if it is about that block.
fn certificate_of(block: &CommittedBlock) -> Option<CommitCertificate> {
    let certificate = CommitCertificate::decode(&block.certificate).ok()?;
    let header = &block.block.header;
    let is_its = certificate.height == header.height && certificate.value == header.hash();
    is_its.then_some(certificate)
}
