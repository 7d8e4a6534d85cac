//! What a node has of the other chain: verified headers, and attestations that wait for a block.
//!
//! Shared by two threads of a worker. The one that listens to the other chain verifies what comes
//! and puts it here at once, also while the chain's own thread executes or waits for the disk; the
//! chain's thread takes from here when it builds a block. Neither holds a lock while it verifies.

use super::event::Exchange;
use super::inbox::Inbox;
use crate::attestation::{Attestation, FinalityProof};
use crate::light_client::{LightClient, LightClientError};
use crate::validators::SetFrom;
use std::sync::{Mutex, MutexGuard};

/// See the module.
pub struct Sibling {
    pub(super) light: LightClient,
    inbox: Mutex<Inbox>,
}

impl Sibling {
    /// `consumed` is the last sequence that the committed state has consumed.
    pub(super) fn new(light: LightClient, consumed: u64) -> Self {
        let inbox = Mutex::new(Inbox::new(consumed));
        Self { light, inbox }
    }

    /// Begins anew with what another state knows.
    pub(super) fn restart(&self, from: &SetFrom, consumed: u64) {
        self.light.restart(from);
        *self.inbox() = Inbox::new(consumed);
    }

    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        let inbox = self.inbox.lock();
        inbox.expect("a broken invariant of the inbox has ended the process already")
    }

    /// Whether an attestation with this sequence would be of use.
    pub fn wants(&self, sequence: u64) -> bool {
        self.inbox().wants(sequence)
    }

    /// Takes in what can be judged by itself. What it returns is for the chain's own thread:
    /// questions, answers, and an attestation whose finality proof is not here.
    pub fn take_in(&self, exchange: Exchange) -> Option<Exchange> {
        match exchange {
            Exchange::Finality(proof) => {
                self.take_proof(proof);
                None
            }
            Exchange::Attestation(attestation) => self
                .take_attestation(attestation)
                .map(Exchange::Attestation),
            Exchange::Query { .. } | Exchange::Reply { .. } | Exchange::Resume { .. } => {
                Some(exchange)
            }
        }
    }

    fn take_proof(&self, proof: FinalityProof) {
        match self.light.learn(&proof) {
            Ok(()) => self.inbox().learn(proof),
            Err(LightClientError::OldProof(_)) => {} // sent again, and consumed long ago
            Err(error) => {
                let (chain, height) = (proof.header.chain, proof.header.height);
                tracing::warn!(%chain, height, %error, "a finality proof was refused");
            }
        }
    }

    fn take_attestation(&self, attestation: Attestation) -> Option<Attestation> {
        let sequence = attestation.message.sequence;
        let proof = {
            let inbox = self.inbox();
            if !inbox.wants(sequence) {
                return None;
            }
            inbox.recent_proof(attestation.height).cloned()
        };
        let Some(proof) = proof else {
            return Some(attestation);
        };
        let proofs = std::slice::from_ref(&proof);
        match self.light.verify_attestation(&attestation, proofs) {
            Ok(()) => self.inbox().add(attestation, proof),
            Err(error) => {
                let chain = attestation.from;
                tracing::warn!(%chain, sequence, %error, "an attestation was refused");
            }
        }
        None
    }
}
