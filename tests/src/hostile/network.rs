//! Whole messages of peers and of the other chain, taken by nodes of both chains: whatever comes,
//! the node goes on.

use super::history::{GENESIS_MS, History, config, history, validator};
use super::{Decoder, Group};
use crate::verification::verified;
use adnet_alpha::AlphaApp;
use adnet_common::application::Application;
use adnet_common::attestation::{Attestation, FinalityProof};
use adnet_common::chain_id::ChainId;
use adnet_common::consensus::{Domain, SignError, SignRequest, Signer, WalEntry};
use adnet_common::consensus_keys::wal_writes;
use adnet_common::genesis::Genesis;
use adnet_common::memory_store::MemoryStore;
use adnet_common::messages::{AttestationMsg, FinalityMsg, Message, ReplyMsg};
use adnet_common::node::{Class, Exchange, Host, Input, Node, Output, Topic};
use adnet_common::store::{
    CommitBatch, Family, Page, ReadStore, RestoreBatch, Scan, StoreError, Write, restore_wipe,
};
use adnet_delta::DeltaApp;
use ed25519_consensus::SigningKey;
use std::cell::RefCell;
use std::collections::VecDeque;

/// A store in memory and a key that signs whatever it is asked: the engine above it is under test,
/// not the guard.
pub struct MemoryHost {
    pub store: MemoryStore,
    chain: ChainId,
    domain: Domain,
    key: SigningKey,
    /// What went to the other chain.
    pub announced: Vec<Exchange>,
}

impl MemoryHost {
    pub fn new(genesis: &Genesis, chain: ChainId) -> Self {
        let domain = Domain {
            network_id: genesis.network_id,
            chain,
            genesis: genesis.hash(),
        };
        Self {
            store: MemoryStore::new(),
            chain,
            domain,
            key: validator(),
            announced: Vec::new(),
        }
    }
}

impl ReadStore for MemoryHost {
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

impl Signer for MemoryHost {
    fn sign(&mut self, wal: &[WalEntry], request: &SignRequest) -> Result<[u8; 64], SignError> {
        self.store.apply(&wal_writes(self.chain, wal));
        let bytes = self.domain.sign_bytes(request);
        Ok(self.key.sign(&bytes).to_bytes())
    }
}

impl Host for MemoryHost {
    fn commit(&mut self, batch: CommitBatch) -> Result<(), StoreError> {
        self.store.apply(&batch.writes);
        Ok(())
    }

    fn restore(&mut self, batch: RestoreBatch) -> Result<(), StoreError> {
        if batch.starts {
            self.store.apply(&restore_wipe(self.chain));
        }
        self.store.apply(&batch.writes);
        Ok(())
    }

    fn tell_final(&mut self, proof: &FinalityProof) {
        self.announced.push(Exchange::Finality(proof.clone()));
    }

    fn tell_messages(&mut self, messages: &[Attestation]) {
        let messages = messages.iter().cloned();
        self.announced.extend(messages.map(Exchange::Attestation));
    }

    fn append(&mut self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.store.apply(&writes);
        Ok(())
    }
}

/// After so many messages a node is made anew, so that a finding can be told from its past.
const MESSAGES_PER_NODE: u32 = 2_048;

/// A node of either chain that hears what it is given.
pub struct Listener<A: Application> {
    node: Node<A>,
    rules: A::Rules,
    host: MemoryHost,
    heard: u32,
    pub now_ms: u64,
}

impl<A: Application> Listener<A> {
    /// One that follows, so nothing but what it hears moves it.
    #[expect(clippy::new_without_default, reason = "it plays a history first")]
    pub fn new() -> Self {
        let genesis = &history().genesis;
        let mut host = MemoryHost::new(genesis, A::CHAIN);
        let node = Node::open(config(genesis, false), GENESIS_MS, &mut host);
        let mut listener = Self {
            node: node.expect("a development genesis opens"),
            rules: A::rules(genesis),
            host,
            heard: 0,
            now_ms: GENESIS_MS,
        };
        // Past the first due time, so that it is at work on height 1.
        listener.now_ms += 60_000;
        listener.hear(Input::Tick);
        listener
    }

    /// What follows from this input, and from verifying what it brings.
    pub fn hear(&mut self, input: Input<A>) -> Vec<Output<A>> {
        self.heard += 1;
        let mut inputs = VecDeque::from([input]);
        let mut all = Vec::new();
        while let Some(input) = inputs.pop_front() {
            let mut outputs = Vec::new();
            let stepped = self
                .node
                .step(self.now_ms, input, &mut self.host, &mut outputs);
            stepped.expect("no message of strangers stops a node");
            for output in outputs {
                match output {
                    Output::Verify(job) => inputs.push_back(verified(&self.rules, &job)),
                    other => all.push(other),
                }
            }
        }
        all
    }
}

fn with<A: Application>(
    place: &'static std::thread::LocalKey<RefCell<Option<Listener<A>>>>,
    input: Input<A>,
) {
    place.with_borrow_mut(|place| {
        let worn = place.as_ref().is_none_or(|l| l.heard >= MESSAGES_PER_NODE);
        if worn {
            *place = Some(Listener::new());
        }
        place.as_mut().expect("set above").hear(input);
    });
}

thread_local! {
    static ALPHA: RefCell<Option<Listener<AlphaApp>>> = const { RefCell::new(None) };
    static DELTA: RefCell<Option<Listener<DeltaApp>>> = const { RefCell::new(None) };
}

const PEER: [u8; 32] = [1; 32];

fn hear_class(class: Class, bytes: &[u8]) {
    // A new peer each time, or one bad block would end the talk.
    let mut peer = PEER;
    peer[1..9].copy_from_slice(&(bytes.len() as u64).to_be_bytes());
    peer[9] = bytes.last().copied().unwrap_or(0);
    let bytes = bytes.to_vec();
    with(
        &ALPHA,
        Input::Network {
            peer,
            class,
            bytes: bytes.clone(),
        },
    );
    with(&DELTA, Input::Network { peer, class, bytes });
}

fn hear_topic(topic: Topic, bytes: &[u8]) {
    let (peer, id) = (PEER, [0; 20]);
    let (alpha, delta) = (bytes.to_vec(), bytes.to_vec());
    with(
        &ALPHA,
        Input::Gossip {
            peer,
            topic,
            id,
            bytes: alpha,
        },
    );
    with(
        &DELTA,
        Input::Gossip {
            peer,
            topic,
            id,
            bytes: delta,
        },
    );
}

fn hear_exchange(exchange: Exchange) {
    with(&ALPHA, Input::Sibling(exchange.clone()));
    with(&DELTA, Input::Sibling(exchange));
}

/// A copy at the alignment that a ring gives.
pub(super) fn aligned(bytes: &[u8]) -> rkyv::util::AlignedVec<16> {
    let mut aligned = rkyv::util::AlignedVec::new();
    aligned.extend_from_slice(bytes);
    aligned
}

pub fn decoders() -> Vec<Decoder> {
    macro_rules! class {
        ($name:literal, $class:ident) => {
            Decoder {
                name: $name,
                group: Group::Node,
                samples: |history| history.of_class(Class::$class),
                check: |bytes| hear_class(Class::$class, bytes),
            }
        };
    }
    vec![
        class!("node: consensus", Consensus),
        class!("node: body", Body),
        class!("node: sync request", SyncRequest),
        class!("node: sync response", SyncResponse),
        Decoder {
            name: "node: gossiped transaction",
            group: Group::Node,
            samples: |history| [&history.alpha_txs[..], &history.delta_txs[..]].concat(),
            check: |bytes| hear_topic(Topic::Transaction, bytes),
        },
        Decoder {
            name: "node: announced block",
            group: Group::Node,
            samples: |history| history.of_topic(Topic::Block),
            check: |bytes| hear_topic(Topic::Block, bytes),
        },
        Decoder {
            name: "node: finality proof of the other chain",
            group: Group::Node,
            samples: |history| finality(history),
            check: |bytes| {
                if let Ok(Ok(exchange)) =
                    FinalityMsg::read(&aligned(bytes)).map(FinalityMsg::into_exchange)
                {
                    hear_exchange(exchange);
                }
            },
        },
        Decoder {
            name: "node: attestation of the other chain",
            group: Group::Node,
            samples: attestations,
            check: |bytes| {
                if let Ok(message) = AttestationMsg::read(&aligned(bytes))
                    && let Ok(attestation) = Attestation::decode(&message.attestation)
                {
                    hear_exchange(Exchange::Attestation(attestation));
                }
            },
        },
        Decoder {
            name: "node: state reply of the other chain",
            group: Group::Node,
            samples: replies,
            check: |bytes| {
                if let Ok(message) = ReplyMsg::read(&aligned(bytes)) {
                    hear_exchange(message.into_exchange());
                }
            },
        },
    ]
}

fn finality(history: &History) -> Vec<Vec<u8>> {
    let all = history.exchanges().filter_map(|exchange| match exchange {
        Exchange::Finality(proof) => Some(FinalityMsg::new(proof).to_bytes().to_vec()),
        _ => None,
    });
    all.collect()
}

fn attestations(history: &History) -> Vec<Vec<u8>> {
    let all = history.exchanges().filter_map(|exchange| match exchange {
        Exchange::Attestation(a) => Some(AttestationMsg::new(a, 1).to_bytes().to_vec()),
        _ => None,
    });
    all.collect()
}

fn replies(history: &History) -> Vec<Vec<u8>> {
    let all = history.exchanges().filter_map(|exchange| match exchange {
        Exchange::Reply { id, proof } => {
            Some(ReplyMsg::new(*id, proof.clone()).to_bytes().to_vec())
        }
        _ => None,
    });
    all.collect()
}
