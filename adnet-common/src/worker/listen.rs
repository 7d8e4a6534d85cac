//! The thread that listens to the other chain.
//!
//! It has the attest ring for itself, so an attestation is verified and in the inbox microseconds
//! after it became durable over there, also while our own chain's thread executes a block or waits
//! for the disk. What only the chain's thread can answer is handed on to it.

use super::clock::monotonic_ns;
use crate::attestation::Attestation;
use crate::ipc::{LinkError, Receiver};
use crate::messages::{
    AttestationMsg, FinalityMsg, Message, MessageError, QueryMsg, ReplyMsg, ResumeMsg,
};
use crate::node::{Exchange, Sibling};
use adnet_shm::BACKSTOP;
use prometheus::{Histogram, IntCounter};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};

/// Questions and answers that wait for the chain's thread; what is beyond, the other chain asks again.
pub(super) const HANDED_ON_MAX: usize = 1024;

/// What the chain's thread hears from the listener; an error is its last word.
pub(super) type Heard = Result<Exchange, LinkError>;

pub(super) struct Listener {
    pub ring: Receiver,
    pub sibling: Arc<Sibling>,
    pub chain: SyncSender<Heard>,
    /// Wakes the chain's thread.
    pub wake: Box<dyn Fn() + Send>,
    pub delay: Histogram,
    pub bad_messages: IntCounter,
}

impl Listener {
    /// Runs until the chain's thread is gone or the ring fails. Nobody joins it: it ends with the
    /// process, and what it has not released comes again.
    pub fn run(mut self) {
        loop {
            let (sibling, delay) = (&self.sibling, &self.delay);
            let received = self.ring.receive(|r| {
                let (exchange, durable_ns) = read(r.kind, r.payload, sibling)?;
                let left = exchange.and_then(|exchange| sibling.take_in(exchange));
                if durable_ns > 0 {
                    let delay_ns = monotonic_ns().saturating_sub(durable_ns);
                    delay.observe(delay_ns as f64 / 1e9);
                }
                Ok::<_, MessageError>(left)
            });
            match received {
                Ok(Some(Ok(None))) => {}
                Ok(Some(Ok(Some(exchange)))) => {
                    if !self.hand_on(Ok(exchange)) {
                        return;
                    }
                }
                Ok(Some(Err(error))) => {
                    self.bad_messages.inc();
                    tracing::warn!(%error, "a message of the other chain was dropped");
                }
                Ok(None) => {
                    self.ring.wait(BACKSTOP);
                }
                Err(error) => {
                    self.hand_on(Err(error));
                    return;
                }
            }
        }
    }

    /// False when nobody listens any more.
    fn hand_on(&self, heard: Heard) -> bool {
        match self.chain.try_send(heard) {
            Ok(()) => (self.wake)(),
            Err(TrySendError::Full(Ok(_))) => {}
            Err(TrySendError::Full(fault @ Err(_))) => {
                if self.chain.send(fault).is_err() {
                    return false;
                }
                (self.wake)();
            }
            Err(TrySendError::Disconnected(_)) => return false,
        }
        true
    }
}

/// Validates a message in place. What we know already is not even copied. Beside it: when the block
/// of an attestation became durable, or 0.
fn read(
    kind: u16,
    payload: &[u8],
    sibling: &Sibling,
) -> Result<(Option<Exchange>, u64), MessageError> {
    let invalid = |error: &dyn std::error::Error| MessageError {
        kind,
        why: error.to_string(),
    };
    let exchange = match kind {
        AttestationMsg::KIND => {
            let message = AttestationMsg::access(payload)?;
            if !sibling.wants(message.sequence.to_native()) {
                return Ok((None, 0));
            }
            let decoded = Attestation::decode(&message.attestation).map_err(|e| invalid(&e))?;
            let durable_ns = message.durable_ns.to_native();
            return Ok((Some(Exchange::Attestation(decoded)), durable_ns));
        }
        FinalityMsg::KIND => {
            let message = FinalityMsg::read(payload)?;
            message.into_exchange().map_err(|e| invalid(&e))?
        }
        QueryMsg::KIND => {
            let QueryMsg { id, key } = QueryMsg::read(payload)?;
            Exchange::Query { id, key }
        }
        ReplyMsg::KIND => ReplyMsg::read(payload)?.into_exchange(),
        ResumeMsg::KIND => {
            let ResumeMsg { next_sequence } = ResumeMsg::read(payload)?;
            Exchange::Resume { next_sequence }
        }
        _ => {
            let why = "not a message of this ring".to_string();
            return Err(MessageError { kind, why });
        }
    };
    Ok((Some(exchange), 0))
}
