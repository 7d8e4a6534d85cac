//! Nodes of one chain on a virtual clock, linked as a test says, without losses: what passes over each
//! link is counted, and may be changed on its way.

use adnet_common::application::Application;
use adnet_common::attestation::{Attestation, FinalityProof};
use adnet_common::consensus::{Domain, SignError, SignRequest, Signer, Timeouts, WalEntry};
use adnet_common::consensus_keys::wal_writes;
use adnet_common::genesis::{Genesis, GenesisValidator};
use adnet_common::keys::{KeyKind, PublicKey, SecretKey};
use adnet_common::memory_store::MemoryStore;
use adnet_common::mempool::MempoolLimits;
use adnet_common::node::{Class, Host, Input, Node, NodeConfig, Offence, Output, Peer};
use adnet_common::store::{
    CommitBatch, Family, Page, ReadStore, RestoreBatch, Scan, StoreError, Write, restore_wipe,
};
use adnet_common::trusted_block::TrustedBlock;
use adnet_tests::verification::verified;
use ed25519_consensus::SigningKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const GENESIS_MS: u64 = 1_800_000_000_000;
/// How long a message takes.
const LINK_MS: u64 = 2;

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Passing {
    pub from: usize,
    pub to: usize,
    pub class: Class,
    pub bytes: Vec<u8>,
}

/// What a link makes of a message: nothing, itself, another, several.
pub type Tamper = Box<dyn FnMut(Passing) -> Vec<Passing>>;

/// A store in memory and a key. Remembers for which heights it has signed.
pub struct MemoryHost {
    pub store: MemoryStore,
    pub signed_heights: BTreeSet<u64>,
    /// Reads of the store, one for each call.
    pub reads: std::cell::Cell<u64>,
    domain: Domain,
    key: SigningKey,
}

impl ReadStore for MemoryHost {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.reads.set(self.reads.get() + 1);
        self.store.get(family, key)
    }

    fn multi_get(
        &self,
        family: Family,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.reads.set(self.reads.get() + 1);
        self.store.multi_get(family, keys)
    }

    fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        self.reads.set(self.reads.get() + 1);
        self.store.scan(scan)
    }
}

impl Signer for MemoryHost {
    fn sign(&mut self, wal: &[WalEntry], request: &SignRequest) -> Result<[u8; 64], SignError> {
        self.store.apply(&wal_writes(self.domain.chain, wal));
        self.signed_heights.insert(request.height);
        Ok(self.key.sign(&self.domain.sign_bytes(request)).to_bytes())
    }
}

impl Host for MemoryHost {
    fn commit(&mut self, batch: CommitBatch) -> Result<(), StoreError> {
        self.store.apply(&batch.writes);
        Ok(())
    }

    fn restore(&mut self, batch: RestoreBatch) -> Result<(), StoreError> {
        if batch.starts {
            self.store.apply(&restore_wipe(self.domain.chain));
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

pub struct World<A: Application> {
    pub now_ms: u64,
    pub hosts: Vec<MemoryHost>,
    pub nodes: Vec<Option<Node<A>>>,
    pub tamper: Option<Tamper>,
    /// Everything that nodes have sent over links, in order.
    pub passed: Vec<Passing>,
    /// Who blamed whom for what.
    pub blamed: Vec<(usize, usize, Offence)>,
    /// The validator keys.
    pub keys: Vec<PublicKey>,
    configs: Vec<NodeConfig>,
    /// Why nodes have stopped, and who may.
    faults: Vec<Option<String>>,
    may_stop: Option<usize>,
    links: BTreeSet<(usize, usize)>,
    queue: BTreeMap<(u64, u64), Passing>,
    queued: u64,
}

fn peer(index: usize) -> Peer {
    [index as u8; 32]
}

impl<A: Application> World<A> {
    /// `validators` of the same power, not started, each linked with each.
    pub fn new(validators: usize) -> Self {
        let secret = |index: usize| {
            let seed = [index as u8 + 1; 32];
            SecretKey::from_bytes(KeyKind::Validator, &seed).expect("any seed is a key")
        };
        let keys: Vec<SecretKey> = (0..validators).map(secret).collect();
        let public: Vec<PublicKey> = keys
            .iter()
            .map(|key| key.ed25519_public().expect("an ed25519 seed"))
            .collect();
        let mut genesis = Genesis::dev(public[0], GENESIS_MS);
        genesis.validators = (0..validators)
            .map(|index| GenesisValidator {
                name: format!("validator-{index}"),
                public_key: public[index],
                power: 1,
            })
            .collect();
        let genesis = Arc::new(genesis);
        let host = |key: &SecretKey| MemoryHost {
            store: MemoryStore::new(),
            signed_heights: BTreeSet::new(),
            reads: Default::default(),
            domain: Domain {
                network_id: genesis.network_id,
                chain: A::CHAIN,
                genesis: genesis.hash(),
            },
            key: key.ed25519().expect("an ed25519 seed"),
        };
        let config = |key: &PublicKey| NodeConfig {
            genesis: Arc::clone(&genesis),
            validator: Some(*key),
            mempool: MempoolLimits {
                max_txs: 100,
                max_bytes: 1 << 20,
                max_per_sender: 16,
                ttl_ms: 600_000,
            },
            timeouts: Timeouts::default(),
            trusted: None,
            snapshot_every: 8,
        };
        let pairs = (0..validators).flat_map(|a| (0..validators).map(move |b| (a, b)));
        Self {
            now_ms: GENESIS_MS,
            hosts: keys.iter().map(host).collect(),
            nodes: (0..validators).map(|_| None).collect(),
            tamper: None,
            passed: Vec::new(),
            blamed: Vec::new(),
            configs: public.iter().map(config).collect(),
            faults: vec![None; validators],
            may_stop: None,
            keys: public,
            links: pairs.filter(|(a, b)| a != b).collect(),
            queue: BTreeMap::new(),
            queued: 0,
        }
    }

    /// Links exactly these pairs, both ways.
    pub fn link_only(&mut self, pairs: &[(usize, usize)]) {
        self.links = pairs
            .iter()
            .flat_map(|(a, b)| [(*a, *b), (*b, *a)])
            .collect();
    }

    /// Makes a node that is not started yet begin with a snapshot that this block leads to.
    pub fn trust(&mut self, index: usize, trusted: TrustedBlock) {
        self.configs[index].trusted = Some(trusted);
    }

    /// Ends a node's life and begins the next on the same store.
    pub fn restart(&mut self, index: usize) {
        self.nodes[index] = None;
        self.start(index);
    }

    pub fn start(&mut self, index: usize) {
        self.try_start(index).expect("a sound store opens");
    }

    /// Starts a node, or says why it does not.
    pub fn try_start(&mut self, index: usize) -> Result<(), String> {
        let config = self.configs[index].clone();
        let node = Node::open(config, self.now_ms, &mut self.hosts[index]);
        self.nodes[index] = Some(node.map_err(|fault| fault.to_string())?);
        self.faults[index] = None;
        Ok(())
    }

    /// Lets time pass until a node stops, and says why.
    pub fn run_to_fault(&mut self, index: usize, for_ms: u64) -> Option<String> {
        self.may_stop = Some(index);
        self.run_until(for_ms, |world| world.faults[index].is_some());
        self.may_stop = None;
        self.faults[index].clone()
    }

    pub fn height(&self, index: usize) -> u64 {
        self.nodes[index]
            .as_ref()
            .map_or(0, |node| node.tip().height)
    }

    /// A message for a node, from whoever the sender says it is.
    pub fn send(&mut self, passing: Passing) {
        let at_ms = self.now_ms + LINK_MS;
        self.queue.insert((at_ms, self.queued), passing);
        self.queued += 1;
    }

    /// Lets time pass until `is_done`, or for so long at most. Returns whether it was done.
    pub fn run_until(&mut self, for_ms: u64, is_done: impl Fn(&Self) -> bool) -> bool {
        let end_ms = self.now_ms + for_ms;
        while !is_done(self) {
            let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
            let timers = self
                .nodes
                .iter()
                .enumerate()
                .filter_map(|(index, node)| Some((node.as_ref()?.next_deadline_ms()?, index)));
            let timer = timers.min();
            let next = queued.into_iter().chain(timer.map(|(at, _)| at)).min();
            let Some(at_ms) = next.filter(|at| *at < end_ms) else {
                self.now_ms = end_ms;
                return is_done(self);
            };
            self.now_ms = self.now_ms.max(at_ms);
            if queued == Some(at_ms) {
                let (_, passing) = self.queue.pop_first().expect("seen above");
                let Passing {
                    from,
                    to,
                    class,
                    bytes,
                } = passing;
                let peer = peer(from);
                self.step(to, Input::Network { peer, class, bytes });
            } else if let Some((_, index)) = timer {
                self.step(index, Input::Tick);
            }
        }
        true
    }

    fn step(&mut self, index: usize, input: Input<A>) {
        let Some(node) = &mut self.nodes[index] else {
            return;
        };
        let mut outputs = Vec::new();
        let stepped = node.step(self.now_ms, input, &mut self.hosts[index], &mut outputs);
        if let (Err(fault), Some(stops)) = (&stepped, self.may_stop)
            && stops == index
        {
            self.faults[index] = Some(fault.to_string());
            self.nodes[index] = None;
            return;
        }
        stepped.expect("a node goes on");
        for output in outputs {
            match output {
                Output::Broadcast { class, bytes } => self.spread(index, &[], class, &bytes),
                Output::Relay {
                    except,
                    class,
                    bytes,
                } => self.spread(index, &except, class, &bytes),
                Output::Send { peer, class, bytes } => {
                    let to = usize::from(peer[0]);
                    self.pass(Passing {
                        from: index,
                        to,
                        class,
                        bytes,
                    });
                }
                Output::Distrust { peer, offence } => {
                    self.blamed.push((index, usize::from(peer[0]), offence));
                }
                Output::Verify(job) => {
                    let rules = A::rules(&self.configs[index].genesis);
                    self.step(index, verified(&rules, &job));
                }
                // What is gossiped goes another way; here are the links alone.
                Output::Publish { .. } | Output::Verdict { .. } => {}
                Output::Sibling(_) | Output::Abandon(_) | Output::Committed { .. } => {}
            }
        }
    }

    fn spread(&mut self, from: usize, except: &[Peer], class: Class, bytes: &[u8]) {
        for to in 0..self.nodes.len() {
            if self.links.contains(&(from, to)) && !except.contains(&peer(to)) {
                let bytes = bytes.to_vec();
                self.pass(Passing {
                    from,
                    to,
                    class,
                    bytes,
                });
            }
        }
    }

    fn pass(&mut self, passing: Passing) {
        let is_linked = self.links.contains(&(passing.from, passing.to));
        self.passed.push(passing.clone());
        if !is_linked {
            return;
        }
        match &mut self.tamper {
            None => self.send(passing),
            Some(tamper) => {
                let changed = tamper(passing);
                changed.into_iter().for_each(|passing| self.send(passing));
            }
        }
    }
}
