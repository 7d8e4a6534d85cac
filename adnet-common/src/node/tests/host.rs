//! What a node of these tests stands on: a store in memory, and a key behind its guard.

use crate::attestation::{Attestation, FinalityProof};
use crate::chain_id::ChainId;
use crate::consensus::tests::bench::{TestKey, test_key};
use crate::consensus::{
    Domain, Guard, SignError, SignMarks, SignRequest, Signer, Verdict, WalEntry,
};
use crate::consensus_keys::wal_writes;
use crate::genesis::Genesis;
use crate::memory_store::MemoryStore;
use crate::node::Host;
use crate::store::{
    CommitBatch, Family, Page, ReadStore, RestoreBatch, Scan, StoreError, Write, restore_wipe,
};

/// See the module.
#[derive(Clone)]
pub struct TestHost {
    pub store: MemoryStore,
    pub key: TestKey,
    pub domain: Domain,
    marks: SignMarks,
    /// Everything that was signed, in order.
    pub signed: Vec<SignRequest>,
}

impl TestHost {
    pub fn new(genesis: &Genesis, key: u8) -> Self {
        let domain = Domain {
            network_id: genesis.network_id,
            chain: ChainId::Delta,
            genesis: genesis.hash(),
        };
        Self {
            store: MemoryStore::new(),
            key: test_key(key),
            domain,
            marks: SignMarks::new(),
            signed: Vec::new(),
        }
    }
}

impl ReadStore for TestHost {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(family, key)
    }

    fn multi_get(
        &self,
        family: Family,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.store.multi_get(family, keys)
    }

    fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        self.store.scan(scan)
    }
}

impl Signer for TestHost {
    fn sign(&mut self, wal: &[WalEntry], request: &SignRequest) -> Result<[u8; 64], SignError> {
        self.store.apply(&wal_writes(ChainId::Delta, wal));
        let guard = Guard::new(self.domain);
        match guard.check(&self.marks, request) {
            Verdict::Known(signature) => Ok(signature),
            Verdict::Refused { why } => Err(SignError::Refused {
                why: why.to_string(),
            }),
            Verdict::Fresh => {
                let bytes = self.domain.sign_bytes(request);
                let signature = self.key.secret.sign(&bytes).to_bytes();
                let (slot, mark) = guard.mark(request, signature);
                self.marks.insert(slot, mark);
                self.signed.push(*request);
                Ok(signature)
            }
        }
    }
}

impl Host for TestHost {
    fn commit(&mut self, batch: CommitBatch) -> Result<(), StoreError> {
        self.store.apply(&batch.writes);
        Ok(())
    }

    fn restore(&mut self, batch: RestoreBatch) -> Result<(), StoreError> {
        if batch.starts {
            self.store.apply(&restore_wipe(ChainId::Delta));
        }
        self.store.apply(&batch.writes);
        Ok(())
    }

    fn tell_final(&mut self, _: &FinalityProof) {}

    fn tell_messages(&mut self, _: &[Attestation]) {}

    fn append(&mut self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.store.apply(&writes);
        Ok(())
    }
}
