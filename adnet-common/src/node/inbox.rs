//! Attestations of the other chain that wait for a block of ours.
//!
//! Everything in here was verified against a header with a commit certificate. It is a cache: the
//! other chain has it in the database and sends it again when asked.

use crate::attestation::{Attestation, FinalityProof};
use std::collections::BTreeMap;

/// Attestations that wait at most; what is beyond is asked for later.
const MAX_WAITING: usize = 4096;
/// Proofs of recent heights kept for attestations that follow them.
const RECENT_PROOFS: usize = 64;

pub(super) struct Inbox {
    waiting: BTreeMap<u64, Attestation>,
    /// The proof of each height that a waiting attestation names.
    proofs: BTreeMap<u64, FinalityProof>,
    /// Verified proofs as they came, for the attestations that come behind them.
    recent: BTreeMap<u64, FinalityProof>,
    /// The last sequence that the committed state has consumed.
    consumed: u64,
}

impl Inbox {
    pub fn new(consumed: u64) -> Self {
        Self {
            waiting: BTreeMap::new(),
            proofs: BTreeMap::new(),
            recent: BTreeMap::new(),
            consumed,
        }
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The first sequence that is missing.
    pub fn next_missing(&self) -> u64 {
        let from = self.consumed + 1;
        let known = self.waiting.range(from..).zip(from..);
        from + known.take_while(|((have, _), want)| *have == want).count() as u64
    }

    /// Keeps a proof that the light client has verified.
    pub fn learn(&mut self, proof: FinalityProof) {
        let height = proof.header.height;
        self.recent.insert(height, proof);
        while self.recent.len() > RECENT_PROOFS {
            // Resent old proofs are used by the messages right behind them; of the others the
            // lowest is the least likely to be named again.
            let lowest = self.recent.keys().copied().find(|h| *h != height);
            self.recent.remove(&lowest.expect("there is more than one"));
        }
    }

    /// A verified proof of that height, if it is still kept.
    pub fn recent_proof(&self, height: u64) -> Option<&FinalityProof> {
        self.recent
            .get(&height)
            .or_else(|| self.proofs.get(&height))
    }

    /// Whether `sequence` is of use: not consumed, not here, and there is room.
    pub fn wants(&self, sequence: u64) -> bool {
        sequence > self.consumed
            && !self.waiting.contains_key(&sequence)
            && (self.waiting.len() < MAX_WAITING || sequence == self.next_missing())
    }

    /// Adds a verified attestation with the verified proof of its height, unless a block has
    /// consumed it meanwhile.
    pub fn add(&mut self, attestation: Attestation, proof: FinalityProof) {
        if !self.wants(attestation.message.sequence) {
            return;
        }
        self.proofs.entry(attestation.height).or_insert(proof);
        self.waiting
            .insert(attestation.message.sequence, attestation);
    }

    /// The next attestations in order, at most `max`, each with its proof's place.
    pub fn next(&self, max: usize) -> Vec<Attestation> {
        let from = self.consumed + 1;
        let known = self.waiting.range(from..).zip(from..);
        let in_order = known.take_while(|((have, _), want)| *have == want);
        in_order.take(max).map(|((_, a), _)| a.clone()).collect()
    }

    /// The proofs that these attestations need, in order of height.
    pub fn proofs_of(&self, attestations: &[Attestation]) -> Vec<FinalityProof> {
        let mut heights: Vec<u64> = attestations.iter().map(|a| a.height).collect();
        heights.sort_unstable();
        heights.dedup();
        let proof = |height: &u64| {
            let proof = self.proofs.get(height);
            proof
                .expect("an attestation is added with its proof")
                .clone()
        };
        heights.iter().map(proof).collect()
    }

    /// After a block: forgets what the state has consumed.
    pub fn consume(&mut self, up_to: u64) {
        self.consumed = self.consumed.max(up_to);
        self.waiting.retain(|sequence, _| *sequence > up_to);
        let heights: Vec<u64> = self.waiting.values().map(|a| a.height).collect();
        self.proofs.retain(|height, _| heights.contains(height));
    }
}
