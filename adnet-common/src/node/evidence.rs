//! Evidence of equivocation, on its way into a block.
//!
//! What the engine finds at the end of a height is stored at once, because it exists nowhere else.
//! Whoever has it puts it into the next block that it proposes; every validator verifies both
//! signatures, and that this slot of this validator was not proved before. A proof is on the chain
//! for good. What it costs the validator is for a staking program to decide; here nobody loses
//! anything yet.
//!
//! Weak spot: what was found but not yet stored dies with the process. Every honest validator that
//! saw both messages has it as well, so it is lost only if all of them die at that moment.

use super::{Host, Node, NodeFault};
use crate::application::{Application, InvalidBlock};
use crate::block::{Block, MAX_EVIDENCE};
use crate::chain_id::ChainId;
use crate::consensus::{Equivocation, EquivocationSlot};
use crate::consensus_keys::{evidence_key, evidence_range};
use crate::ledger;
use crate::store::{Family, Part, ReadStore, StoreError, Write, scan_all};
use std::collections::BTreeMap;

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

    /// Encoded evidence for a block of this height, in its order.
    pub fn for_block(&self, height: u64) -> Vec<Vec<u8>> {
        let fits = self.waiting.values().filter(|e| is_in_time(e, height));
        fits.take(MAX_EVIDENCE).map(Equivocation::encode).collect()
    }

    /// Forgets what the block of `height` holds and what is too old after it. Returns the writes
    /// that belong to that.
    pub fn settle(&mut self, chain: ChainId, height: u64, proved: &[Equivocation]) -> Vec<Write> {
        let next = height.saturating_add(1);
        let is_over =
            |e: &Equivocation| !is_in_time(e, next) || proved.iter().any(|p| p.slot() == e.slot());
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

/// The evidence of a block that was checked.
pub(super) fn of_block(block: &Block) -> Vec<Equivocation> {
    let decoded = block.body.evidence.iter();
    decoded
        .map(|bytes| Equivocation::decode(bytes).expect("checked before the block was executed"))
        .collect()
}

impl<A: Application> Node<A> {
    /// Stores what the engine has found, unless it is known or proved already.
    pub(super) fn keep_evidence(
        &mut self,
        found: Vec<Equivocation>,
        host: &mut dyn Host,
    ) -> Result<(), NodeFault> {
        let family = Family::of(A::CHAIN, Part::Consensus);
        for evidence in found {
            let slot = evidence.slot();
            let (validator, height, round) = (slot.validator, slot.height, slot.round);
            let is_known = self.evidence.waiting.contains_key(&slot)
                || ledger::evidence_at(host, A::CHAIN, &slot)?.is_some();
            if is_known || self.judge_evidence(&evidence).is_err() {
                continue;
            }
            tracing::error!(chain = %A::CHAIN, %validator, height, round, step = ?slot.step, "a validator has signed twice");
            host.append(vec![Write::put(
                family,
                evidence_key(&slot),
                evidence.encode(),
            )])?;
            self.evidence.waiting.insert(slot, evidence);
        }
        Ok(())
    }

    /// Everything about a piece of evidence but its age and novelty.
    fn judge_evidence(&self, evidence: &Equivocation) -> Result<(), InvalidBlock> {
        if self.validators.get(&evidence.validator).is_none() {
            let why = "evidence against somebody who is no validator";
            return Err(InvalidBlock::new("BAD_EVIDENCE", why));
        }
        let verified = evidence.verify(&self.domain);
        verified.map_err(|e| InvalidBlock::new("BAD_EVIDENCE", e.to_string()))
    }

    /// Checks the evidence in a block: in order, each slot once, in time, genuine and new.
    pub(super) fn check_evidence(
        &self,
        block: &Block,
        host: &dyn ReadStore,
    ) -> Result<Result<(), InvalidBlock>, NodeFault> {
        let refuse = |code, why: &str| Ok(Err(InvalidBlock::new(code, why)));
        let mut last = None;
        for bytes in &block.body.evidence {
            let evidence = match Equivocation::decode(bytes) {
                Ok(evidence) => evidence,
                Err(error) => return refuse("BAD_EVIDENCE", &error.to_string()),
            };
            let slot = evidence.slot();
            if last.is_some_and(|last| last >= slot) {
                return refuse(
                    "BAD_EVIDENCE",
                    "evidence is not in order, or twice for one slot",
                );
            }
            if !is_in_time(&evidence, block.header.height) {
                return refuse("OLD_EVIDENCE", "evidence of a height that is not in reach");
            }
            if let Err(error) = self.judge_evidence(&evidence) {
                return Ok(Err(error));
            }
            if ledger::evidence_at(host, A::CHAIN, &slot)?.is_some() {
                return refuse(
                    "KNOWN_EVIDENCE",
                    "this slot of this validator was proved before",
                );
            }
            last = Some(slot);
        }
        Ok(Ok(()))
    }
}
