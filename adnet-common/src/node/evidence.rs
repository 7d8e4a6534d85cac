//! Evidence of equivocation, on its way into a block.
//!
//! What the engine has found is stored in the batch of the block that ends the height, and what still
//! comes in before the next one opens is stored then, because it exists nowhere else. Whoever has it
//! puts it into the next block that it proposes; every validator verifies both signatures, that the
//! accused was a validator of that height, and that the state has had no proof against it before. A
//! proof is on the chain for good, and costs the validator its place: `validators` says how. As it can
//! be lost only once, one proof is all that is ever needed.
//!
//! Weak spot: what comes in after the decision dies with the process. Every honest validator that saw
//! both messages has it as well, so it is lost only if all of them die at that moment.

use super::{Host, Node, NodeFault};
use crate::application::{Application, InvalidBlock};
use crate::block::{Block, MAX_EVIDENCE};
use crate::chain_id::ChainId;
use crate::consensus::{Equivocation, EquivocationSlot, ValidatorSet};
use crate::consensus_keys::{evidence_key, evidence_range};
use crate::keys::PublicKey;
use crate::ledger;
use crate::store::{Family, Part, ReadStore, StoreError, Write, scan_all};
use std::collections::{BTreeMap, BTreeSet};

/// Evidence of a height that is further back than this many blocks is of no more use: 16 hours of
/// Delta, 3.5 days of Alpha.
pub const EVIDENCE_MAX_AGE_BLOCKS: u64 = 20_000;

/// What waits for a block.
#[derive(Default)]
pub(super) struct EvidencePool {
    waiting: BTreeMap<EquivocationSlot, Equivocation>,
}

impl EvidencePool {
    /// What an earlier run of the node has stored. What does not decode was written by nobody.
    pub fn load(chain: ChainId, host: &dyn ReadStore) -> Result<Self, StoreError> {
        let (from, to) = evidence_range();
        let mut pool = Self::default();
        scan_all(
            host,
            Family::of(chain, Part::Consensus),
            from,
            to,
            |_, value| {
                let found = Equivocation::decode(&value).ok();
                pool.waiting
                    .extend(found.map(|found| (found.slot(), found)));
                Ok::<_, StoreError>(())
            },
        )?;
        Ok(pool)
    }

    /// Evidence for a block of this height, in its order, but against those who are guilty already.
    pub fn for_block(
        &self,
        height: u64,
        is_guilty: impl Fn(&PublicKey) -> bool,
    ) -> Vec<Equivocation> {
        let fits = |e: &&Equivocation| is_in_time(e, height) && !is_guilty(&e.validator);
        let fits = self.waiting.values().filter(fits);
        fits.take(MAX_EVIDENCE).cloned().collect()
    }

    /// Keeps what is stored.
    pub fn add(&mut self, stored: Vec<Equivocation>) {
        self.waiting
            .extend(stored.into_iter().map(|e| (e.slot(), e)));
    }

    /// Forgets whom the block of `height` proves guilty and what is too old after it. Returns the
    /// writes that belong to that.
    pub fn settle(
        &mut self,
        chain: ChainId,
        height: u64,
        proved: &[Equivocation],
        is_guilty: impl Fn(&PublicKey) -> bool,
    ) -> Vec<Write> {
        let next = height.saturating_add(1);
        let is_over = |e: &Equivocation| {
            let is_proved = proved.iter().any(|p| p.validator == e.validator);
            is_proved || is_guilty(&e.validator) || !is_in_time(e, next)
        };
        let over = self.waiting.extract_if(.., |_, e| is_over(e));
        let family = Family::of(chain, Part::Consensus);
        over.map(|(slot, _)| Write::Delete {
            family,
            key: evidence_key(&slot),
        })
        .collect()
    }
}

/// Whether a block of `height` may hold it.
fn is_in_time(evidence: &Equivocation, height: u64) -> bool {
    let age = height.checked_sub(evidence.height);
    age.is_some_and(|age| (1..=EVIDENCE_MAX_AGE_BLOCKS).contains(&age))
}

/// The writes that keep evidence until a block holds it.
pub(super) fn waiting_writes(chain: ChainId, found: &[Equivocation]) -> Vec<Write> {
    let family = Family::of(chain, Part::Consensus);
    let put = |e: &Equivocation| Write::put(family, evidence_key(&e.slot()), e.encode());
    found.iter().map(put).collect()
}

/// Who is proved guilty, in order.
pub(super) fn equivocators(proved: &[Equivocation]) -> Vec<PublicKey> {
    let keys: BTreeSet<PublicKey> = proved.iter().map(|e| e.validator).collect();
    keys.into_iter().collect()
}

/// The sets of the heights that some evidence is about, each read once.
struct PastSets<'a> {
    store: &'a dyn ReadStore,
    chain: ChainId,
    read: BTreeMap<u64, Option<ValidatorSet>>,
}

impl<'a> PastSets<'a> {
    fn new(store: &'a dyn ReadStore, chain: ChainId) -> Self {
        let read = BTreeMap::new();
        Self { store, chain, read }
    }

    /// Whether `key` was a validator of `height`.
    fn contains(&mut self, height: u64, key: &PublicKey) -> Result<bool, NodeFault> {
        if !self.read.contains_key(&height) {
            let set = ledger::validators_at(self.store, self.chain, height)?;
            self.read.insert(height, set);
        }
        let set = self.read.get(&height).and_then(Option::as_ref);
        Ok(set.is_some_and(|set| set.contains(key)))
    }
}

/// The evidence of a block that was checked.
pub(super) fn of_block(block: &Block) -> Vec<Equivocation> {
    let decoded = block.body.evidence.iter();
    decoded
        .map(|bytes| Equivocation::decode(bytes).expect("checked before the block was executed"))
        .collect()
}

impl<A: Application> Node<A> {
    /// Those of `found` that are genuine, the first against each validator of whose guilt nothing is
    /// known yet.
    pub(super) fn sift_evidence(
        &self,
        found: Vec<Equivocation>,
        store: &dyn ReadStore,
    ) -> Result<Vec<Equivocation>, NodeFault> {
        let mut sets = PastSets::new(store, A::CHAIN);
        let mut new = BTreeMap::new();
        for evidence in found {
            let slot = evidence.slot();
            let (validator, height, round) = (slot.validator, slot.height, slot.round);
            let mut known = self.evidence.waiting.values().chain(new.values());
            let is_known = self.app.is_proved_guilty(&slot.validator)
                || known.any(|other: &Equivocation| other.validator == slot.validator);
            if is_known || self.judge_evidence(&evidence, &mut sets)?.is_err() {
                continue;
            }
            tracing::error!(chain = %A::CHAIN, %validator, height, round, step = ?slot.step, "a validator has signed twice");
            new.insert(slot, evidence);
        }
        Ok(new.into_values().collect())
    }

    /// Stores what the engine has found since the decision, unless it is known or proved already.
    pub(super) fn keep_evidence(
        &mut self,
        found: Vec<Equivocation>,
        host: &mut dyn Host,
    ) -> Result<(), NodeFault> {
        let new = self.sift_evidence(found, host)?;
        if !new.is_empty() {
            host.append(waiting_writes(A::CHAIN, &new))?;
            self.evidence.add(new);
        }
        Ok(())
    }

    /// Everything about a piece of evidence but its age and novelty.
    fn judge_evidence(
        &self,
        evidence: &Equivocation,
        sets: &mut PastSets<'_>,
    ) -> Result<Result<(), InvalidBlock>, NodeFault> {
        if !sets.contains(evidence.height, &evidence.validator)? {
            let why = "evidence against somebody who was no validator of that height";
            return Ok(Err(InvalidBlock::new("BAD_EVIDENCE", why)));
        }
        let verified = evidence.verify(&self.domain);
        Ok(verified.map_err(|e| InvalidBlock::new("BAD_EVIDENCE", e.to_string())))
    }

    /// Checks the evidence in a block: in order, in time, genuine, and one piece against each validator
    /// that was not known to be guilty. Returns who is.
    pub(super) fn check_evidence(
        &self,
        block: &Block,
        store: &dyn ReadStore,
    ) -> Result<Result<Vec<PublicKey>, InvalidBlock>, NodeFault> {
        let refuse = |code, why: &str| Ok(Err(InvalidBlock::new(code, why)));
        let mut sets = PastSets::new(store, A::CHAIN);
        let mut proved: Vec<Equivocation> = Vec::with_capacity(block.body.evidence.len());
        for bytes in &block.body.evidence {
            let evidence = match Equivocation::decode(bytes) {
                Ok(evidence) => evidence,
                Err(error) => return refuse("BAD_EVIDENCE", &error.to_string()),
            };
            let slot = evidence.slot();
            if proved.last().is_some_and(|last| last.slot() >= slot) {
                return refuse(
                    "BAD_EVIDENCE",
                    "evidence is not in order, or twice for one slot",
                );
            }
            if !is_in_time(&evidence, block.header.height) {
                return refuse("OLD_EVIDENCE", "evidence of a height that is not in reach");
            }
            if let Err(error) = self.judge_evidence(&evidence, &mut sets)? {
                return Ok(Err(error));
            }
            let mut earlier = proved.iter();
            if self.app.is_proved_guilty(&slot.validator)
                || earlier.any(|p| p.validator == slot.validator)
            {
                return refuse("KNOWN_EVIDENCE", "this validator was proved guilty before");
            }
            proved.push(evidence);
        }
        Ok(Ok(equivocators(&proved)))
    }
}
