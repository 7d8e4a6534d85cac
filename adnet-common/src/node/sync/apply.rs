//! Verifying fetched blocks in order and committing them, and when consensus takes over.

use super::fetched::Fetched;
use super::{HOLD_STEP_MS, Node};
use crate::application::Application;
use crate::consensus::{CommitCertificate, Event, verify_certificate};
use crate::node::bodies::{Candidate, Verdict};
use crate::node::event::{Host, NodeFault, Offence, Output};
use crate::node::timers::Timer;

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
        let wanted = self.tip.height + 1;
        if let Some(fetched) = self.sync.fetched.take(wanted) {
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
        let has_next = self.sync.fetched.has(self.tip.height + 1);
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

    /// The height is open: the engine decides it by the certificate, and keeps what it has found of
    /// validators that sign twice.
    fn feed_engine(
        &mut self,
        now_ms: u64,
        Fetched { peer, block, .. }: Fetched,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let Some(certificate) = self.certificate_of(&block) else {
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
        Fetched { peer, block, .. }: Fetched,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let certificate = self.certificate_of(&block).filter(|certificate| {
            verify_certificate(&self.domain, &self.app.validators().own.set, certificate).is_ok()
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
        let known = self.bodies.known.get(&hash);
        if !known.is_some_and(|c| matches!(c.verdict, Verdict::Valid(_))) {
            let executed = self.execute(&block, host)?.map_err(|error| {
                let why = error.to_string();
                NodeFault::DecidedInvalid { height, why }
            })?;
            let verdict = Verdict::Valid(Box::new(executed));
            self.bodies.known.insert(hash, Candidate { block, verdict });
        }
        self.commit(now_ms, certificate, Vec::new(), host, outputs)?;
        self.timers
            .set(self.next_due(now_ms), Timer::Open(height + 1));
        Ok(())
    }

    /// The certificate that came with a block, if it is about that block.
    fn certificate_of(&self, block: &crate::ledger::CommittedBlock) -> Option<CommitCertificate> {
        let certificate = CommitCertificate::decode(&block.certificate).ok()?;
        let header = &block.block.header;
        let is_its = certificate.height == header.height && certificate.value == header.hash();
        is_its.then_some(certificate)
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
