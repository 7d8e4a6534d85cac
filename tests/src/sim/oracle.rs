//! What must hold in every run, checked from outside of the nodes.
//!
//! One block per height on all machines; a machine never falls back behind what it has told the
//! world; no two messages for one sign slot; a transaction is in one block at most; both supply
//! equations hold at every block; evidence in blocks is against equivocators alone, and once against
//! each; and at the end nothing is left between the chains.

use super::chain::Leaf;
use super::liveness::Liveness;
use adnet_common::block::{Block, Header};
use adnet_common::chain_id::ChainId;
use adnet_common::consensus::{Equivocation, RefusedWhy, SignRequest, SignSlot};
use adnet_common::hash::Hash;
use adnet_common::keys::PublicKey;
use adnet_common::supply::{AlphaSupply, DeltaSupply, SupplyReport};
use std::collections::{BTreeMap, BTreeSet};

/// A rule of the oracle was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {at_ms} ms: {what}")]
pub struct Violation {
    /// Virtual time since genesis.
    pub at_ms: u64,
    pub what: String,
}

/// A committed block.
#[derive(Clone, Debug)]
pub struct Decided {
    pub hash: Hash,
    /// When the first machine committed it, since genesis.
    pub first_ms: u64,
}

#[derive(Default)]
pub(super) struct Oracle {
    pub now_ms: u64,
    pub violation: Option<Violation>,
    pub digest: Hash,
    pub decided: BTreeMap<(ChainId, u64), Decided>,
    /// Height that each machine has shown.
    shown: BTreeMap<(usize, ChainId), u64>,
    /// Chains of machines that began with a snapshot.
    pub snapshots: BTreeSet<(usize, ChainId)>,
    /// The validators that sign twice.
    guilty: Vec<PublicKey>,
    /// What blocks prove against them, and where.
    pub proved: BTreeMap<(ChainId, PublicKey), u64>,
    signatures: BTreeMap<(usize, ChainId, SignSlot), Vec<u8>>,
    /// Transactions by their bytes, and where they are.
    included: BTreeMap<Vec<u8>, (ChainId, u64)>,
    alpha: Option<(u64, AlphaSupply)>,
    delta: Option<(u64, DeltaSupply)>,
    pub liveness: Liveness,
}

impl Oracle {
    /// `guilty` are the validators that sign twice.
    pub fn new(guilty: Vec<PublicKey>) -> Self {
        Self {
            guilty,
            ..Self::default()
        }
    }

    /// Keeps the first violation: later ones follow from it.
    pub fn violated(&mut self, what: String) {
        let at_ms = self.now_ms;
        self.violation.get_or_insert(Violation { at_ms, what });
    }

    /// Adds something that happened to the digest of the run.
    pub fn record(&mut self, what: &[u8]) {
        let now = self.now_ms.to_be_bytes();
        self.digest = Hash::of("adnet/simulation/v1", &[&self.digest.0, &now, what]);
    }

    pub fn height(&self, chain: ChainId) -> u64 {
        let mut of_chain = self.decided.range((chain, 0)..=(chain, u64::MAX));
        of_chain.next_back().map_or(0, |((_, height), _)| *height)
    }

    /// From now on `quorum`, if there is one, owes progress.
    pub fn owe(
        &mut self,
        chains: impl Iterator<Item = ChainId>,
        quorum: Option<&BTreeSet<usize>>,
        ends_trouble: bool,
    ) {
        let mut liveness = std::mem::take(&mut self.liveness);
        let height = |chain| self.height(chain);
        let shown = |machine, chain| self.shown(machine, chain);
        liveness.owes(self.now_ms, chains, quorum, ends_trouble, height, shown);
        self.liveness = liveness;
    }

    /// These machines decide nothing from now on.
    pub fn forbid(&mut self, machines: &[usize]) {
        let heights = ChainId::ALL.map(|chain| (chain, self.height(chain)));
        self.liveness.forbid(machines, &BTreeMap::from(heights));
    }

    pub fn shown(&self, machine: usize, chain: ChainId) -> Option<u64> {
        self.shown.get(&(machine, chain)).copied()
    }

    pub fn is_included(&self, raw: &[u8]) -> bool {
        self.included.contains_key(raw)
    }

    /// A machine shows a block that it has committed.
    pub fn committed(&mut self, machine: usize, chain: ChainId, block: &Block) {
        let (height, hash) = (block.header.height, block.hash());
        self.record(&[[machine as u8, chain.as_byte()].as_slice(), &hash.0].concat());
        self.shown.insert((machine, chain), height);
        let first = match self.decided.get(&(chain, height)) {
            Some(decided) if decided.hash != hash => {
                let other = decided.hash;
                self.violated(format!(
                    "two blocks of {chain} at height {height}: {other} and, on machine {machine}, {hash}"
                ));
                false
            }
            Some(_) => false,
            None => true,
        };
        let (now_ms, liveness) = (self.now_ms, &mut self.liveness);
        if let Some(wrong) = liveness.shown(now_ms, machine, chain, height, first) {
            self.violated(wrong);
        }
        if !first {
            return;
        }
        let first_ms = self.now_ms;
        self.decided
            .insert((chain, height), Decided { hash, first_ms });
        for raw in &block.body.txs {
            if let Some((_, before)) = self.included.insert(raw.clone(), (chain, height)) {
                self.violated(format!(
                    "a transaction of {chain} is in blocks {before} and {height}"
                ));
            }
        }
        for bytes in &block.body.evidence {
            let evidence = Equivocation::decode(bytes).expect("the block was valid");
            let slot = evidence.slot();
            if !self.guilty.contains(&slot.validator) {
                self.violated(format!("{chain} block {height} accuses an honest {slot:?}"));
            }
            let guilty = slot.validator;
            if let Some(before) = self.proved.insert((chain, guilty), height) {
                self.violated(format!(
                    "blocks {before} and {height} of {chain} prove the guilt of {guilty}"
                ));
            }
        }
    }

    /// A machine has the header of a block that it has not executed itself.
    pub fn has_header(&mut self, machine: usize, chain: ChainId, header: &Header) {
        let (height, hash) = (header.height, header.hash());
        let decided = self.decided.get(&(chain, height)).map(|d| d.hash);
        if decided != Some(hash) {
            self.violated(format!(
                "machine {machine} has header {hash} of {chain} at height {height}, decided was {decided:?}"
            ));
        }
        self.shown.insert((machine, chain), height);
        self.snapshots.insert((machine, chain));
    }

    /// A machine opened a chain with its tip at `height`.
    pub fn opened(&mut self, machine: usize, chain: ChainId, height: u64) {
        let shown = self.shown(machine, chain);
        if shown.is_some_and(|shown| height < shown) {
            self.violated(format!(
                "{chain} of machine {machine} came back at height {height}, after it had shown {shown:?}"
            ));
        }
    }

    /// The supply leaf after the block at `height`.
    pub fn supply(&mut self, height: u64, leaf: Leaf) {
        match leaf {
            Leaf::Alpha(leaf) if self.alpha.is_none_or(|(h, _)| h < height) => {
                self.alpha = Some((height, leaf));
            }
            Leaf::Delta(leaf) if self.delta.is_none_or(|(h, _)| h < height) => {
                self.delta = Some((height, leaf));
            }
            Leaf::Alpha(_) | Leaf::Delta(_) => return,
        }
        if let (Some((_, alpha)), Some((_, delta))) = (self.alpha, self.delta) {
            let report = SupplyReport::new(alpha, delta);
            if !report.is_some_and(|report| report.holds) {
                self.violated(format!("the supply does not add up: {alpha:?}, {delta:?}"));
            }
        }
    }

    /// Both leaves as of the highest blocks, once both chains have opened.
    pub fn supplies(&self) -> Option<(AlphaSupply, DeltaSupply)> {
        self.alpha
            .zip(self.delta)
            .map(|((_, alpha), (_, delta))| (alpha, delta))
    }

    pub fn signed(&mut self, machine: usize, chain: ChainId, slot: SignSlot, bytes: Vec<u8>) {
        let before = self
            .signatures
            .insert((machine, chain, slot), bytes.clone());
        if before.is_some_and(|before| before != bytes) {
            self.violated(format!(
                "machine {machine} signed twice on {chain}: {slot:?}"
            ));
        }
    }

    /// The guard is the second line: that it is needed is a fault of the first.
    pub fn refused(
        &mut self,
        machine: usize,
        chain: ChainId,
        request: &SignRequest,
        why: RefusedWhy,
    ) {
        self.violated(format!(
            "machine {machine} asked on {chain} for a signature that was refused, {why}: {request:?}"
        ));
    }
}
