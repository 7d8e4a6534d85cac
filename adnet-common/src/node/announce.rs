//! Announcements: a decided header with its certificate, told to all who may not have heard the votes.
//!
//! Certificates of one block differ from node to node, so an announcement of each would be another
//! message. One per height is enough: the block's proposer announces at once, anybody else only if
//! a moment later no genuine announcement has come by. A node passes on the first genuine one of a
//! height, whether or not it has the block.

use super::event::Peer;
use super::gossip::{Fault, Topic, Verdict};
use super::timers::Timer;
use super::{Node, Output};
use crate::application::Application;
use crate::attestation::FinalityProof;
use crate::consensus::{CommitCertificate, verify_certificate};

/// How long others leave the announcement to the proposer.
const PROPOSER_FIRST_MS: u64 = 200;

impl<A: Application> Node<A> {
    /// After a commit: now if the block is ours, else soon.
    pub(super) fn plan_announcement(&mut self, now_ms: u64, outputs: &mut Vec<Output<A>>) {
        let us = self.validator.map(|key| key.0);
        if us == Some(self.tip.proposer) {
            self.announce_block(outputs);
        } else if self.announced < self.tip.height {
            let at_ms = now_ms.saturating_add(PROPOSER_FIRST_MS);
            self.timers.set(at_ms, Timer::Announce);
        }
    }

    /// Announces the tip, unless it or a later block was announced already.
    pub(super) fn announce_block(&mut self, outputs: &mut Vec<Output<A>>) {
        if self.announced >= self.tip.height {
            return;
        }
        self.announced = self.tip.height;
        let proof = self.tip_proof.as_ref();
        let proof = proof.expect("a block above the genesis block has a certificate");
        let announcement = FinalityProof {
            header: proof.header.clone(),
            certificate: proof.certificate.clone(),
            next_set: None, // whoever wants the block gets to know its validators
        };
        outputs.push(Output::Publish {
            topic: Topic::Block,
            bytes: announcement.encode(),
        });
    }

    pub(super) fn judge_announcement(
        &mut self,
        now_ms: u64,
        peer: Peer,
        bytes: &[u8],
        outputs: &mut Vec<Output<A>>,
    ) -> Verdict {
        let Ok(proof) = FinalityProof::decode(bytes) else {
            return Verdict::Reject(Fault::Garbage);
        };
        let height = proof.header.height;
        if height <= self.announced || height < self.tip.height {
            return Verdict::Ignore;
        }
        if !self.is_final(&proof) {
            // The set that decides a later height may be one that we do not know yet.
            return match height <= self.tip.height + 1 {
                true => Verdict::Reject(Fault::BadBlock),
                false => Verdict::Ignore,
            };
        }
        self.announced = height;
        if height > self.tip.height {
            self.on_status(now_ms, peer, height, outputs);
        }
        Verdict::Accept
    }

    /// Whether the validators of its height have decided this header: those of the tip, or of the next
    /// height as we know them.
    fn is_final(&self, proof: &FinalityProof) -> bool {
        let FinalityProof {
            header,
            certificate,
            next_set,
        } = proof;
        let Ok(certificate) = CommitCertificate::decode(certificate) else {
            return false;
        };
        let set = match header.height <= self.tip.height {
            true => &self.tip_set,
            false => &self.app.validators().own.set,
        };
        next_set.is_none()
            && header.chain == A::CHAIN
            && header.genesis == self.genesis_hash
            && certificate.height == header.height
            && certificate.value == header.hash()
            && verify_certificate(&self.domain, set, &certificate).is_ok()
    }
}
