//! What goes on when transactions have been verified: verdicts, judged blocks, decisions that waited.

use super::event::{Host, NodeFault, Output};
use super::verifying::{Checked, Ended, Urgency};
use super::{Node, gossip};
use crate::application::Application;
use crate::consensus::{CommitCertificate, Equivocation, Event};

impl<A: Application> Node<A> {
    /// Takes in the answer to a job, and goes on with whatever waited for it.
    pub(super) fn on_verified(
        &mut self,
        now_ms: u64,
        job: u64,
        checked: Vec<Checked<A::Tx>>,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        match self.verifying.ended(&self.verified, job, checked) {
            None => Ok(()),
            Some(Ended::Gossip(senders, checked)) => {
                let mut verdict = self.judge_checked(now_ms, checked, host)?;
                for sender in senders {
                    outputs.push(gossip::transaction_verdict(sender, verdict));
                    verdict = verdict.of_the_same_again();
                }
                Ok(())
            }
            Some(Ended::Block) => self.go_on(now_ms, host, outputs),
        }
    }

    /// Blocks may have all their transactions now, and there is a place for the job of another.
    fn go_on(
        &mut self,
        now_ms: u64,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let height = self.tip.height;
        if let Some((certificate, evidence)) = self.verifying.deciding.take() {
            self.decide(now_ms, certificate, evidence, host, outputs)?;
        }
        if self.tip.height == height && !self.verifying.is_deciding() {
            for event in self.answer_needed(now_ms, host, outputs)? {
                self.drive(now_ms, event, host, outputs)?;
            }
        }
        if let Some(block) = self.verifying.synced.take()
            && block.height == self.tip.height + 1
            && let Some(event) = self.accept_synced(block, host, outputs)?
        {
            self.drive(now_ms, event, host, outputs)?;
        }
        if let Some((height, round)) = self.verifying.building.take()
            && self.engine.position() == Some((height, round))
            && let Some(event) = self.propose(now_ms, height, round, host, outputs)?
        {
            self.drive(now_ms, event, host, outputs)?;
        }
        // Fetched blocks go on by their timer: a step commits one block at most.
        self.sync_goes_on(now_ms);
        Ok(())
    }

    /// The block that we propose in this round, for everybody and for the engine; `None` while there
    /// is none.
    pub(super) fn propose(
        &mut self,
        now_ms: u64,
        height: u64,
        round: u32,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<Option<Event>, NodeFault> {
        if height != self.tip.height + 1 {
            return Ok(None);
        }
        let hash = self.build(now_ms, round, host, outputs)?;
        Ok(hash.map(|hash| {
            self.spread(&hash, outputs);
            Event::Propose {
                height,
                round,
                hash,
            }
        }))
    }

    /// The engine has decided. A block that was not executed here before, because it is from the log
    /// of an earlier life or was not on our clock's schedule, is executed now: the quorum rules. Until
    /// its transactions are verified the decision waits. It is in the log, so a death loses nothing.
    pub(super) fn decide(
        &mut self,
        now_ms: u64,
        certificate: CommitCertificate,
        found: Vec<Equivocation>,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let (height, hash) = (certificate.height, certificate.value);
        assert!(
            self.bodies.known.contains_key(&hash),
            "the engine decides only what the host has stored"
        );
        let urgency = Urgency::Consensus;
        match self.try_known(&hash, urgency, host, outputs)? {
            None => {
                self.verifying.deciding = Some((certificate, found));
                Ok(())
            }
            Some(Ok(())) => self.commit(now_ms, certificate, found, host, outputs),
            Some(Err(error)) => {
                let why = error.to_string();
                Err(NodeFault::DecidedInvalid { height, why })
            }
        }
    }
}
