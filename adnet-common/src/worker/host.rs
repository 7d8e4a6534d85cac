//! What a chain's thread stands on in a worker: the supervisor's store and signer, and the other
//! chain's ring.

use super::clock::monotonic_ns;
use crate::attestation::{Attestation, FinalityProof};
use crate::consensus::{SignError, SignRequest, Signer, WalEntry};
use crate::ipc::{LinkError, Remote, Sender};
use crate::messages::{AttestationMsg, FinalityMsg, QueryMsg, ReplyMsg, ResumeMsg};
use crate::node::{Exchange, Host};
use crate::store::{CommitBatch, Family, Page, ReadStore, RestoreBatch, Scan, StoreError, Write};
use prometheus::IntCounter;
use std::time::Duration;

/// See the module.
pub(super) struct ChainHost {
    data: Remote,
    sibling: Option<Sender>,
    dropped: IntCounter,
    /// When the store acknowledged the last block, on the monotonic clock.
    durable_ns: u64,
    /// Why the other chain's ring is of no more use.
    broken: Option<LinkError>,
}

impl ChainHost {
    /// `dropped` counts the messages that found the ring to the other chain full.
    pub fn new(data: Remote, sibling: Option<Sender>, dropped: IntCounter) -> Self {
        Self {
            data,
            sibling,
            dropped,
            durable_ns: 0,
            broken: None,
        }
    }

    /// Sends what has time; [`ChainHost::flush`] wakes the other chain.
    pub fn tell_sibling(&mut self, exchange: Exchange) {
        match exchange {
            Exchange::Finality(proof) => self.push(|ring, now| {
                let message = FinalityMsg::new(&proof);
                ring.push(&message, now)
            }),
            Exchange::Attestation(attestation) => self.push(|ring, now| {
                let message = AttestationMsg::new(&attestation, 0);
                ring.push(&message, now)
            }),
            Exchange::Query { id, key } => {
                self.push(|ring, now| ring.push(&QueryMsg { id, key }, now))
            }
            Exchange::Reply { id, proof } => {
                self.push(|ring, now| ring.push(&ReplyMsg::new(id, proof), now))
            }
            Exchange::Resume { next_sequence } => {
                self.push(|ring, now| ring.push(&ResumeMsg { next_sequence }, now))
            }
        }
    }

    pub fn flush(&mut self) {
        if let Some(ring) = &mut self.sibling {
            ring.flush();
        }
    }

    /// The fault of the other chain's ring, if there was one.
    pub fn take_fault(&mut self) -> Option<LinkError> {
        self.broken.take()
    }

    /// Never waits for the other chain: what its ring has no room for, it asks for again.
    fn push(&mut self, push: impl FnOnce(&mut Sender, Duration) -> Result<(), LinkError>) {
        let Some(ring) = &mut self.sibling else {
            return;
        };
        match push(ring, Duration::ZERO) {
            Ok(()) => {}
            Err(LinkError::Full(_) | LinkError::TooLarge(_)) => self.dropped.inc(),
            Err(error) => self.broken = Some(error),
        }
    }
}

impl Host for ChainHost {
    fn commit(&mut self, batch: CommitBatch) -> Result<(), StoreError> {
        self.data.commit(batch)?;
        self.durable_ns = monotonic_ns();
        Ok(())
    }

    fn commit_deferred(&mut self, batch: CommitBatch) -> Result<(), StoreError> {
        self.data.commit_deferred(batch)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.data.sync()
    }

    fn restore(&mut self, batch: RestoreBatch) -> Result<(), StoreError> {
        self.data.restore(batch)
    }

    fn tell_final(&mut self, proof: &FinalityProof) {
        self.push(|ring, now| ring.push(&FinalityMsg::new(proof), now));
        self.flush();
    }

    fn tell_messages(&mut self, messages: &[Attestation]) {
        let durable_ns = self.durable_ns;
        for attestation in messages {
            let message = AttestationMsg::new(attestation, durable_ns);
            self.push(|ring, now| ring.push(&message, now));
        }
        self.flush();
    }

    fn append(&mut self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.data.append(writes)
    }
}

impl Signer for ChainHost {
    fn sign(&mut self, wal: &[WalEntry], request: &SignRequest) -> Result<[u8; 64], SignError> {
        self.data.sign(wal, request)
    }
}

impl ReadStore for ChainHost {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.data.get(family, key)
    }

    fn multi_get(
        &self,
        family: Family,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.data.multi_get(family, keys)
    }

    fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        self.data.scan(scan)
    }
}
