//! A chain whose transactions say themselves what they are, whose set changes as a test says.

use super::host::TestHost;
use crate::application::{
    Admission, Application, Bid, BlockContext, Executed, InvalidBlock, KEPT_SNAPSHOTS, OpenError,
    Proposed, StateProof, TxError, Until, VerifiedTx, VerifyResult,
};
use crate::attestation::{Attestation, OutboundMessage};
use crate::chain_id::ChainId;
use crate::consensus::tests::bench::test_key;
use crate::consensus::{Timeouts, ValidatorSet};
use crate::genesis::{Genesis, GenesisValidator};
use crate::hash::Hash;
use crate::keys::PublicKey;
use crate::mempool::MempoolLimits;
use crate::node::{Input, Node, NodeConfig, NodeFault, Output};
use crate::restore::{BadPiece, Restore};
use crate::store::{Family, ReadStore, StoreError, Write};
use crate::validators::{SetFrom, Validators};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

pub const GENESIS_MS: u64 = 1_700_000_000_000;

const GOOD: u8 = 1;
const BAD: u8 = 2;
/// What a claim that was used up is found by.
const USED: &[u8] = b"used";

/// A transaction of this sender that claims these.
pub fn good_tx(sender: u8, nonce: u8, claims: &[u8]) -> Vec<u8> {
    [&[GOOD, sender, nonce], claims].concat()
}

/// One that no honest node has.
pub fn bad_tx() -> Vec<u8> {
    vec![BAD]
}

/// How often was verified, and a gate that holds it up.
#[derive(Clone, Default)]
pub struct BareRules {
    batches: Arc<Mutex<Vec<usize>>>,
    gate: Arc<Mutex<()>>,
}

impl BareRules {
    /// The sizes of the batches so far, with the one that is held up.
    pub fn batches(&self) -> Vec<usize> {
        self.batches.lock().expect("no test panics here").clone()
    }

    /// Holds verification up for as long as the guard lives.
    pub fn close(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().expect("no test panics here")
    }
}

/// A set that stays as it is.
pub struct NoPlan;

impl Plan for NoPlan {
    fn after(_: u64) -> Option<ValidatorSet> {
        None
    }
}

/// Which set a block makes the next one.
pub trait Plan: Send + Sync + 'static {
    fn after(height: u64) -> Option<ValidatorSet>;
}

/// Members by the numbers of their test keys.
pub fn set(members: &[(u8, u64)]) -> ValidatorSet {
    let list = members
        .iter()
        .map(|(i, power)| (test_key(*i).public, *power));
    ValidatorSet::new(list).expect("distinct keys with power")
}

/// See the module.
pub struct Bare<P> {
    height: u64,
    sent: u64,
    validators: Arc<Validators>,
    /// States that are kept for peers: as the two pieces that they consist of.
    snapshots: BTreeMap<u64, [Vec<u8>; 2]>,
    plan: std::marker::PhantomData<P>,
}

/// A state that comes from peers. Each of its two leaves is a piece.
pub struct BareRestore {
    root: Hash,
    missing: Vec<Vec<u8>>,
    taken: BTreeMap<Vec<u8>, Vec<u8>>,
}

const PLACES: [&[u8]; 2] = [b"own", b"sent"];

impl Restore for BareRestore {
    fn new(_: u64, root: Hash) -> Self {
        let (missing, taken) = (PLACES.map(<[u8]>::to_vec).to_vec(), BTreeMap::new());
        Self {
            root,
            missing,
            taken,
        }
    }

    fn wanted(&self) -> impl Iterator<Item = &[u8]> {
        self.missing.iter().map(Vec::as_slice)
    }

    /// A piece comes with the digest of the other one, so that it leads to the root by itself.
    fn take(&mut self, place: &[u8], piece: &[u8]) -> Result<Vec<Write>, BadPiece> {
        let (other, value) = piece
            .split_at_checked(32)
            .ok_or_else(|| BadPiece::new("short"))?;
        let own = Hash::of("bare leaf", &[place, value]);
        let both = match place == PLACES[0] {
            true => [&own.0[..], other],
            false => [other, &own.0[..]],
        };
        if Hash::of("bare", &both) != self.root {
            return Err(BadPiece::new("it does not lead to the root"));
        }
        self.missing.retain(|missing| missing != place);
        self.taken.insert(place.to_vec(), value.to_vec());
        Ok(vec![Write::put(FAMILY, place, value)])
    }

    fn finish(self) -> Vec<Write> {
        assert!(self.missing.is_empty(), "the state is complete");
        Vec::new()
    }
}

const FAMILY: Family = Family::DeltaState;

fn state(sent: u64, own: &SetFrom) -> (Hash, Vec<Write>) {
    let values = [own.encode(), sent.to_be_bytes().to_vec()];
    let [own_leaf, sent_leaf] = leaf_hashes(&values);
    let root = Hash::of("bare", &[&own_leaf.0, &sent_leaf.0]);
    let writes = PLACES.into_iter().zip(values);
    let writes = writes.map(|(place, value)| Write::put(FAMILY, place, value));
    (root, writes.collect())
}

fn leaf_hashes(values: &[Vec<u8>; 2]) -> [Hash; 2] {
    [0, 1].map(|i| Hash::of("bare leaf", &[PLACES[i], &values[i]]))
}

impl<P: Plan> Bare<P> {
    fn run(
        &self,
        block: &BlockContext,
        txs: &[Arc<VerifiedTx<()>>],
    ) -> Executed<(u64, Arc<Validators>)> {
        let mut validators = Validators::clone(&self.validators);
        let guilty: BTreeSet<_> = block.equivocators.iter().copied().collect();
        let told = validators.decree(block.height, P::after(block.height), &guilty);
        let outbox: Vec<OutboundMessage> = told
            .into_iter()
            .map(|payload| OutboundMessage {
                sequence: self.sent + 1,
                payload,
            })
            .collect();
        let sent = self.sent + outbox.len() as u64;
        let (state_root, mut writes) = state(sent, &validators.own);
        let claims: Vec<[u8; 32]> = txs.iter().flat_map(|tx| tx.claims.clone()).collect();
        let used = claims.iter().map(|claim| [USED, claim].concat());
        writes.extend(used.map(|key| Write::put(FAMILY, key, [1])));
        let validators = Arc::new(validators);
        Executed {
            claims,
            state_root,
            outbox,
            next_validators: Arc::clone(&validators.own.set),
            writes,
            pending: (sent, validators),
        }
    }
}

impl<P: Plan> Application for Bare<P> {
    const CHAIN: ChainId = ChainId::Delta;
    type Tx = ();
    type Rules = BareRules;
    type Pending = (u64, Arc<Validators>);
    type View = ();
    type Restore = BareRestore;

    fn warm_up() {}

    fn rules(_: &Genesis) -> BareRules {
        BareRules::default()
    }

    fn genesis_state(genesis: &Genesis) -> (Hash, Vec<Write>) {
        let set = genesis.validator_set().expect("a sound genesis");
        state(0, &SetFrom::new(1, set))
    }

    fn open(
        _: &Genesis,
        store: &dyn ReadStore,
        height: u64,
        root: Hash,
    ) -> Result<Self, OpenError> {
        let get = |key: &[u8]| {
            store
                .get(FAMILY, key)
                .map(|v| v.expect("written at genesis"))
        };
        let own = SetFrom::decode(&get(b"own")?).expect("its own encoding");
        let sent = get(b"sent")?.try_into().map(u64::from_be_bytes);
        let sent = sent.expect("eight bytes");
        assert_eq!(state(sent, &own).0, root, "the store leads to the root");
        let validators = Arc::new(Validators {
            sibling: own.clone(),
            own,
            tombstones: Default::default(),
        });
        Ok(Self {
            height,
            sent,
            validators,
            snapshots: BTreeMap::new(),
            plan: std::marker::PhantomData,
        })
    }

    fn verify(_: &BareRules, raw: &[u8]) -> VerifyResult<()> {
        match raw {
            [GOOD, sender, nonce, claims @ ..] => Ok(VerifiedTx {
                id: Hash::of("bare tx", &[raw]),
                raw: raw.to_vec(),
                sender: [*sender; 32],
                nonce: (*nonce).into(),
                bid: Bid::flat(1),
                last_valid_height: u64::MAX,
                claims: claims.iter().map(|claim| [*claim; 32]).collect(),
                inner: (),
            }),
            _ => Err(TxError::new("BAD", "a bad transaction")),
        }
    }

    fn verify_all(rules: &BareRules, raws: &[&[u8]], until: Until) -> Vec<VerifyResult<()>> {
        let mut batches = rules.batches.lock().expect("no test panics here");
        batches.push(raws.len());
        drop(batches);
        drop(rules.close());
        let mut verdicts = raws.iter().map(|raw| Self::verify(rules, raw)).collect();
        until.cut(&mut verdicts);
        verdicts
    }

    fn price(&self) -> u128 {
        0
    }

    fn check(&self, _: &VerifiedTx<()>) -> Result<Admission, TxError> {
        Ok(Admission { account_nonce: 0 })
    }

    fn check_claims(
        &self,
        store: &dyn ReadStore,
        tx: &VerifiedTx<()>,
    ) -> Result<Result<(), TxError>, StoreError> {
        for claim in &tx.claims {
            if store.get(FAMILY, &[USED, claim].concat())?.is_some() {
                return Ok(Err(TxError::new("USED", "used up by a block")));
            }
        }
        Ok(Ok(()))
    }

    fn propose(
        &self,
        _: &dyn ReadStore,
        block: &BlockContext,
        candidates: &[Arc<VerifiedTx<()>>],
        _: &[Attestation],
    ) -> Result<Proposed<Self::Pending>, StoreError> {
        Ok(Proposed {
            included: (0..candidates.len()).collect(),
            rejected: Vec::new(),
            attestations: 0,
            executed: self.run(block, candidates),
        })
    }

    fn execute(
        &self,
        _: &dyn ReadStore,
        block: &BlockContext,
        txs: &[Arc<VerifiedTx<()>>],
        _: &[Attestation],
    ) -> Result<Result<Executed<Self::Pending>, InvalidBlock>, StoreError> {
        assert_eq!(block.height, self.height + 1);
        Ok(Ok(self.run(block, txs)))
    }

    fn apply(&mut self, (sent, validators): Self::Pending) {
        self.height += 1;
        self.sent = sent;
        self.validators = validators;
    }

    fn view(&self) -> Arc<()> {
        Arc::new(())
    }

    fn last_consumed(&self) -> u64 {
        0
    }

    fn validators(&self) -> &Arc<Validators> {
        &self.validators
    }

    fn is_proved_guilty(&self, validator: &PublicKey) -> bool {
        self.validators.tombstones.contains_key(validator)
    }

    fn keep_snapshot(&mut self) {
        let values = [
            self.validators.own.encode(),
            self.sent.to_be_bytes().to_vec(),
        ];
        self.snapshots.insert(self.height, values);
        while self.snapshots.len() > KEPT_SNAPSHOTS {
            self.snapshots.pop_first();
        }
    }

    fn piece(
        &self,
        _: &dyn ReadStore,
        height: u64,
        place: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let index = PLACES.iter().position(|known| *known == place);
        let piece = self
            .snapshots
            .get(&height)
            .zip(index)
            .map(|(values, index)| {
                let other = leaf_hashes(values)[1 - index];
                [&other.0[..], &values[index]].concat()
            });
        Ok(piece)
    }

    fn prove(&self, _: &dyn ReadStore, _: &[u8]) -> Result<StateProof, StoreError> {
        Ok(StateProof {
            height: self.height,
            value: None,
            proof: Vec::new(),
        })
    }
}

/// A node with its host, on a clock that goes from timer to timer.
pub struct Machine<P: Plan> {
    pub node: Node<Bare<P>>,
    pub host: TestHost,
    pub now_ms: u64,
}

/// A network that begins with the members given by the numbers of their keys.
pub fn genesis(members: &[(u8, u64)]) -> Arc<Genesis> {
    let mut genesis = Genesis::dev(test_key(members[0].0).public, GENESIS_MS);
    genesis.validators = members
        .iter()
        .map(|(key, power)| GenesisValidator {
            name: format!("validator-{key}"),
            public_key: test_key(*key).public,
            power: *power,
        })
        .collect();
    Arc::new(genesis)
}

impl<P: Plan> Machine<P> {
    /// Opens the node of `host`'s key on what the host has stored.
    pub fn open(genesis: &Arc<Genesis>, mut host: TestHost, now_ms: u64) -> Self {
        let config = NodeConfig {
            genesis: Arc::clone(genesis),
            validator: Some(host.key.public),
            mempool: MempoolLimits {
                max_txs: 10,
                max_bytes: 1000,
                max_per_sender: 2,
                ttl_ms: 600_000,
            },
            timeouts: Timeouts::default(),
            trusted: None,
            snapshot_every: 8,
        };
        let node = Node::open(config, now_ms, &mut host).expect("what is stored opens");
        Self { node, host, now_ms }
    }

    /// Lets timers fire until the chain has `height`, or so many have fired in vain.
    pub fn run_to(&mut self, height: u64) -> Result<(), NodeFault> {
        for _ in 0..200 {
            if self.node.tip().height >= height {
                return Ok(());
            }
            self.tick()?;
        }
        Ok(())
    }

    pub fn tick(&mut self) -> Result<Vec<Output<Bare<P>>>, NodeFault> {
        let next = self.node.next_deadline_ms();
        self.now_ms = next.map_or(self.now_ms + 1, |at| at.max(self.now_ms + 1));
        let mut outputs = Vec::new();
        let Self { node, host, now_ms } = self;
        node.step(*now_ms, Input::Tick, host, &mut outputs)?;
        Ok(outputs)
    }
}
