//! The other chain: what we take from it, what we tell it, what we ask.
//!
//! The ring between the chains is the fast path only. The truth is in the database: whoever
//! misses something asks for it by sequence, and gets it with the proofs.

use super::event::Exchange;
use super::timers::Timer;
use super::{Host, Node, NodeFault, OpenQuery, Output, SiblingReply};
use crate::application::{Application, StateProof};
use crate::ledger;
use crate::state_proof;
use crate::worker::{SiblingError, SiblingValue};

/// Messages sent again at once.
const RESUME_BATCH: u32 = 256;
/// Silence after which we ask what we may have missed.
const RESUME_EVERY_MS: u64 = 2_000;
/// Not more often than so: each answer is many messages, and each of them may be one that cannot be
/// used without another.
const RESUME_PAUSE_MS: u64 = 50;
/// How long a state query may take, and how many may be open.
const QUERY_TIMEOUT_MS: u64 = 2_000;
const MAX_OPEN_QUERIES: usize = 256;
/// A key of a state query is at most this long.
pub const MAX_QUERY_KEY_BYTES: usize = 256;

impl<A: Application> Node<A> {
    pub(super) fn on_sibling(
        &mut self,
        now_ms: u64,
        exchange: Exchange,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        match self.sibling.take_in(exchange) {
            None => {}
            // Nothing but a lost proof makes it come back: both are sent again.
            Some(Exchange::Finality(_) | Exchange::Attestation(_)) => {
                let due_ms = self.asked_sibling_ms.saturating_add(RESUME_PAUSE_MS);
                if now_ms >= due_ms {
                    self.ask_sibling(now_ms, outputs);
                } else {
                    self.timers.cancel(Timer::Resume);
                    self.timers.set(due_ms, Timer::Resume);
                }
            }
            Some(Exchange::Query { id, key })
                if key.len() <= MAX_QUERY_KEY_BYTES && self.tip_proof.is_some() =>
            {
                let proof = self.app.prove(host, &key)?;
                // The proof's header first, so that the answer can be verified at once.
                let tip = self.tip_proof.iter().cloned();
                outputs.extend(tip.map(|proof| Output::Sibling(Exchange::Finality(proof))));
                outputs.push(Output::Sibling(Exchange::Reply { id, proof }));
            }
            Some(Exchange::Query { .. }) => {} // it will hear no answer in time
            Some(Exchange::Reply { id, proof }) => self.on_reply(now_ms, id, proof),
            Some(Exchange::Resume { next_sequence }) => {
                self.resend(next_sequence, host, outputs)?
            }
        }
        Ok(())
    }

    /// Asks for what is missing, and again after a while.
    pub(super) fn ask_sibling(&mut self, now_ms: u64, outputs: &mut Vec<Output<A>>) {
        self.asked_sibling_ms = now_ms;
        let next_sequence = self.sibling.inbox().next_missing();
        outputs.push(Output::Sibling(Exchange::Resume { next_sequence }));
        self.expire_queries(now_ms);
        self.timers.cancel(Timer::Resume);
        self.timers
            .set(now_ms.saturating_add(RESUME_EVERY_MS), Timer::Resume);
    }

    /// Sends our messages from `sequence` on, each with the finality proof of its block before it.
    /// Every change of our validators is announced by a message of its block, so the receiver gets
    /// them all, in order, whatever it has missed.
    fn resend(
        &mut self,
        sequence: u64,
        host: &dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let missing = ledger::attestations_from(host, A::CHAIN, sequence, RESUME_BATCH)?;
        // A chain that began with a snapshot does not have its earlier messages, and the later ones are
        // of no use without them. Blocks of others bring them.
        let is_here = missing
            .first()
            .is_some_and(|a| a.message.sequence == sequence);
        let mut proved = 0;
        for attestation in missing.into_iter().filter(|_| is_here) {
            if attestation.height != proved {
                proved = attestation.height;
                let proof = ledger::finality_proof(host, A::CHAIN, proved)?;
                let proof = proof.expect("a block is kept as long as its messages");
                outputs.push(Output::Sibling(Exchange::Finality(proof)));
            }
            outputs.push(Output::Sibling(Exchange::Attestation(attestation)));
        }
        // Last, because it verifies with the set that the messages before it lead to.
        let tip = self.tip_proof.iter().cloned();
        outputs.extend(tip.map(|proof| Output::Sibling(Exchange::Finality(proof))));
        Ok(())
    }

    /// Asks the other chain for a key of its state.
    pub(super) fn query_sibling(
        &mut self,
        now_ms: u64,
        key: Vec<u8>,
        reply: SiblingReply,
        outputs: &mut Vec<Output<A>>,
    ) {
        self.expire_queries(now_ms);
        if key.len() > MAX_QUERY_KEY_BYTES {
            let _ = reply.send(Err(SiblingError::Invalid("the key is too long".into())));
            return;
        }
        if self.queries.open.len() >= MAX_OPEN_QUERIES {
            let why = "too many state queries are open";
            let _ = reply.send(Err(SiblingError::Unavailable(why)));
            return;
        }
        self.queries.next_id += 1;
        let id = self.queries.next_id;
        let query = OpenQuery {
            key: key.clone(),
            deadline_ms: now_ms.saturating_add(QUERY_TIMEOUT_MS),
            reply,
        };
        self.queries.open.insert(id, query);
        outputs.push(Output::Sibling(Exchange::Query { id, key }));
    }

    fn on_reply(&mut self, now_ms: u64, id: u64, proof: StateProof) {
        self.expire_queries(now_ms);
        let Some(query) = self.queries.open.remove(&id) else {
            return; // too late, or an answer to an earlier life of ours
        };
        let answer = match self.sibling.light.header(proof.height) {
            None => Err(SiblingError::Unavailable("its header is not verified yet")),
            Some(header) => {
                let (root, value) = (&header.state_root, proof.value.as_deref());
                state_proof::verify(A::CHAIN.sibling(), root, &query.key, value, &proof.proof)
                    .map(|()| SiblingValue {
                        height: proof.height,
                        value: proof.value.clone(),
                    })
                    .map_err(|e| SiblingError::Invalid(e.to_string()))
            }
        };
        let _ = query.reply.send(answer); // the client may have gone away
    }

    fn expire_queries(&mut self, now_ms: u64) {
        let late = self
            .queries
            .open
            .extract_if(.., |_, q| q.deadline_ms <= now_ms);
        for (_, query) in late {
            let why = "no answer within two seconds";
            let _ = query.reply.send(Err(SiblingError::Unavailable(why)));
        }
    }
}
