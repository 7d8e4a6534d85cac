//! What a node of the simulation stands on: the machine's disk and the validator key, behind a gate
//! that ends the life of the process at a planned durable operation.
//!
//! Follows the supervisor's rules: a block's batch is whole or absent and its height follows the
//! last one, a signature leaves only with its mark and the log on the disk, and a chain writes
//! nothing but its own.

use super::disk::{Disk, Honesty};
use super::oracle::Oracle;
use adnet_common::attestation::{Attestation, FinalityProof};
use adnet_common::chain_id::ChainId;
use adnet_common::consensus::{
    Domain, Guard, SignError, SignMark, SignMarks, SignRequest, SignSlot, Signer, Verdict, WalEntry,
};
use adnet_common::consensus_keys::{mark_key, mark_range, mark_slot, wal_writes};
use adnet_common::ledger;
use adnet_common::node::{Exchange, Host};
use adnet_common::store::{
    CommitBatch, Family, Page, Part, ReadStore, RestoreBatch, Scan, StoreError, Write,
    restore_wipe, scan_all,
};
use ed25519_consensus::SigningKey;
use serde::{Deserialize, Serialize};

/// On which side of a durable operation the process dies.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Nothing of it was done.
    Before,
    /// It was done, but nobody heard of it.
    After,
}

/// What dies.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Death {
    /// The worker of the chain that asked.
    Worker,
    /// Both chains of the machine.
    Node,
    /// Both chains, and what the disk had not synced.
    Power,
}

/// A death at a durable operation of a machine, counted from 0 over both chains.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    pub op: u64,
    pub moment: Moment,
    pub death: Death,
}

#[derive(Default)]
pub(super) struct Gate {
    pub ops: u64,
    /// Those of them that waited for the disk.
    pub syncs: u64,
    pub crash: Option<Crash>,
    /// The process is gone and does nothing more.
    pub is_dead: bool,
}

const DEAD: &str = "the simulated process has died";

impl Gate {
    fn pass(&mut self, moment: Moment) -> Result<(), StoreError> {
        let planned = |c: Crash| c.op == self.ops && c.moment == moment;
        self.is_dead |= self.crash.is_some_and(planned);
        self.alive()
    }

    fn alive(&self) -> Result<(), StoreError> {
        if self.is_dead {
            return Err(StoreError::Unreachable(DEAD.into()));
        }
        Ok(())
    }
}

/// For one step of one node.
pub(super) struct ChainHost<'a> {
    pub machine: usize,
    pub chain: ChainId,
    pub disk: &'a mut Disk,
    pub gate: &'a mut Gate,
    pub oracle: &'a mut Oracle,
    pub key: &'a SigningKey,
    pub domain: Domain,
    pub honesty: Honesty,
    /// What goes to the other chain of the machine.
    pub to_sibling: &'a mut Vec<Exchange>,
}

impl ChainHost<'_> {
    fn check(&self, writes: &[Write]) -> Result<(), StoreError> {
        match writes.iter().find(|write| !write.is_allowed(self.chain)) {
            None => Ok(()),
            Some(write) => Err(StoreError::Forbidden {
                writer: self.chain,
                family: write.family(),
                why: "not its own",
            }),
        }
    }

    /// One durable operation, with the two moments at which it can be the last.
    fn write(&mut self, writes: Vec<Write>, synced: bool) -> Result<(), StoreError> {
        self.gate.pass(Moment::Before)?;
        self.disk.append(writes);
        self.gate.syncs += u64::from(synced);
        if synced && self.honesty != Honesty::IgnoresSync {
            self.disk.sync();
        }
        let survived = self.gate.pass(Moment::After);
        self.gate.ops += 1;
        survived
    }

    fn marks(&self) -> Result<SignMarks, StoreError> {
        let (from, to) = mark_range();
        let mut marks = SignMarks::new();
        let family = Family::of(self.chain, Part::Consensus);
        scan_all(self, family, from, to, |key, value| {
            let slot = mark_slot(&key).expect("only this host writes marks");
            let mark = SignMark::decode(&value).expect("only this host writes marks");
            marks.insert(slot, mark);
            Ok::<_, StoreError>(())
        })?;
        Ok(marks)
    }
}

impl ReadStore for ChainHost<'_> {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.gate.alive()?;
        self.disk.current().get(family, key)
    }

    fn multi_get(
        &self,
        family: Family,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.gate.alive()?;
        self.disk.current().multi_get(family, keys)
    }

    fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        self.gate.alive()?;
        self.disk.current().scan(scan)
    }
}

impl Signer for ChainHost<'_> {
    fn sign(&mut self, wal: &[WalEntry], request: &SignRequest) -> Result<[u8; 64], SignError> {
        let unavailable = |error: StoreError| SignError::Unavailable {
            why: error.to_string(),
        };
        let mut marks = self.marks().map_err(unavailable)?;
        let mut writes = wal_writes(self.chain, wal);
        let guard = Guard::new(self.domain);
        let signature = match guard.check(&marks, request) {
            Verdict::Refused { why } => {
                self.oracle.refused(self.machine, self.chain, request, why);
                return Err(SignError::Refused {
                    why: why.to_string(),
                });
            }
            Verdict::Known(signature) => signature,
            Verdict::Fresh => {
                let bytes = self.domain.sign_bytes(request);
                let signature = self.key.sign(&bytes).to_bytes();
                let (slot, mark) = guard.mark(request, signature);
                let family = Family::of(self.chain, Part::Consensus);
                writes.push(Write::put(family, mark_key(&slot), mark.encode()));
                marks.insert(slot, mark);
                let old = Guard::prune(&mut marks, slot.height);
                writes.extend(old.iter().map(|slot| Write::Delete {
                    family,
                    key: mark_key(slot),
                }));
                signature
            }
        };
        self.write(writes, true).map_err(unavailable)?;
        let bytes = self.domain.sign_bytes(request);
        self.oracle
            .signed(self.machine, self.chain, SignSlot::from(request), bytes);
        Ok(signature)
    }
}

impl ChainHost<'_> {
    fn commit_with(&mut self, batch: CommitBatch, is_synced: bool) -> Result<(), StoreError> {
        self.check(&batch.writes)?;
        let tip = ledger::tip_height(self, self.chain)
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        let next = tip.map_or(0, |height| height + 1);
        if batch.height != next {
            let why = format!("batch {} does not follow, {next} would", batch.height);
            return Err(StoreError::Failed(why));
        }
        self.write(batch.writes, is_synced)
    }
}

impl Host for ChainHost<'_> {
    fn commit(&mut self, batch: CommitBatch) -> Result<(), StoreError> {
        self.commit_with(batch, true)
    }

    fn commit_deferred(&mut self, batch: CommitBatch) -> Result<(), StoreError> {
        self.commit_with(batch, false)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.write(Vec::new(), true)
    }

    fn restore(&mut self, batch: RestoreBatch) -> Result<(), StoreError> {
        self.check(&batch.writes)?;
        let tip = ledger::tip_height(self, self.chain)
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        if tip.is_some_and(|height| !batch.starts || height > 0) {
            let why = "a state is restored only where no block was decided";
            return Err(StoreError::Failed(why.into()));
        }
        let mut writes = match batch.starts {
            true => restore_wipe(self.chain),
            false => Vec::new(),
        };
        writes.extend(batch.writes);
        self.write(writes, batch.ends.is_some())
    }

    fn tell_final(&mut self, proof: &FinalityProof) {
        self.to_sibling.push(Exchange::Finality(proof.clone()));
    }

    fn tell_messages(&mut self, messages: &[Attestation]) {
        let messages = messages.iter().cloned();
        self.to_sibling.extend(messages.map(Exchange::Attestation));
    }

    fn append(&mut self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.check(&writes)?;
        let consensus = Family::of(self.chain, Part::Consensus);
        if let Some(write) = writes.iter().find(|write| write.family() != consensus) {
            return Err(StoreError::Forbidden {
                writer: self.chain,
                family: write.family(),
                why: "only a block changes it",
            });
        }
        self.write(writes, false)
    }
}
