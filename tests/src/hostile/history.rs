//! A short life of both chains, from which the valid encodings come: real nodes on a virtual clock,
//! with every kind of transaction, and messages both ways.

use super::network::MemoryHost;
use adnet_alpha::AlphaApp;
use adnet_alpha::tx as alpha_tx;
use adnet_alpha::tx::{Function, MintOrder, Terms};
use adnet_common::application::Application;
use adnet_common::chain_id::ChainId;
use adnet_common::consensus::Timeouts;
use adnet_common::genesis::{
    DEV_ACCOUNTS, Genesis, dev_alpha_seed, dev_delta_secret, dev_governor_seed,
};
use adnet_common::hash::Hash;
use adnet_common::keys::{EvmAddress, PublicKey};
use adnet_common::ledger::{CommittedBlock, block_at};
use adnet_common::mempool::MempoolLimits;
use adnet_common::node::{Class, Exchange, Input, Node, NodeConfig, Output, Topic};
use adnet_common::worker::Request;
use adnet_delta::DeltaApp;
use adnet_delta::tx::{self as delta_tx, Envelope, Fees};
use alloy_primitives::{Bytes, U256};
use ed25519_consensus::SigningKey;
use std::sync::{Arc, OnceLock};

pub const GENESIS_MS: u64 = 1_700_000_000_000;
const HEIGHTS: u64 = 4;
const SNAPSHOT_EVERY_BLOCKS: u64 = 2;

/// What one chain has said and stored.
#[derive(Default)]
pub struct Chain {
    pub network: Vec<(Class, Vec<u8>)>,
    pub published: Vec<(Topic, Vec<u8>)>,
    pub exchanges: Vec<Exchange>,
    pub blocks: Vec<CommittedBlock>,
}

pub struct History {
    pub genesis: Arc<Genesis>,
    pub alpha: Chain,
    pub delta: Chain,
    pub alpha_txs: Vec<Vec<u8>>,
    pub delta_txs: Vec<Vec<u8>>,
}

impl History {
    pub fn chains(&self) -> [&Chain; 2] {
        [&self.alpha, &self.delta]
    }

    pub fn blocks(&self) -> impl Iterator<Item = &CommittedBlock> {
        self.chains().into_iter().flat_map(|chain| &chain.blocks)
    }

    pub fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.chains().into_iter().flat_map(|chain| &chain.exchanges)
    }

    pub fn of_class(&self, class: Class) -> Vec<Vec<u8>> {
        let all = self.chains().into_iter().flat_map(|chain| &chain.network);
        all.filter(|(of, _)| *of == class)
            .map(|(_, bytes)| bytes.clone())
            .collect()
    }

    pub fn of_topic(&self, topic: Topic) -> Vec<Vec<u8>> {
        let all = self.chains().into_iter().flat_map(|chain| &chain.published);
        all.filter(|(of, _)| *of == topic)
            .map(|(_, bytes)| bytes.clone())
            .collect()
    }
}

/// Played once per process.
pub fn history() -> &'static History {
    static HISTORY: OnceLock<History> = OnceLock::new();
    HISTORY.get_or_init(play)
}

pub fn validator() -> SigningKey {
    SigningKey::from([5; 32])
}

pub fn config(genesis: &Arc<Genesis>, votes: bool) -> NodeConfig {
    let key = PublicKey(validator().verification_key().to_bytes());
    NodeConfig {
        genesis: Arc::clone(genesis),
        validator: votes.then_some(key),
        mempool: MempoolLimits {
            max_txs: 1_000,
            max_bytes: 1 << 20,
            max_per_sender: 16,
            ttl_ms: 600_000,
        },
        timeouts: Timeouts::default(),
        trusted: None,
        snapshot_every: SNAPSHOT_EVERY_BLOCKS,
    }
}

fn play() -> History {
    let key = PublicKey(validator().verification_key().to_bytes());
    let genesis = Arc::new(Genesis::dev(key, GENESIS_MS));
    let (alpha_txs, delta_txs) = (alpha_txs(&genesis), delta_txs(&genesis));
    let alpha = live::<AlphaApp>(&genesis, &alpha_txs, &[]);
    // Delta takes in what Alpha has locked, so its blocks hold proofs and attestations.
    let delta = live::<DeltaApp>(&genesis, &delta_txs, &alpha.exchanges);
    History {
        genesis,
        alpha,
        delta,
        alpha_txs,
        delta_txs,
    }
}

/// What a peer that knows nothing asks for: all blocks from height 1 on, or the proofs of a snapshot,
/// the headers below it, and the first piece of it.
fn questions(chain: ChainId) -> [Vec<u8>; 4] {
    let snapshot = HEIGHTS / SNAPSHOT_EVERY_BLOCKS * SNAPSHOT_EVERY_BLOCKS;
    let root: &[u8] = match chain {
        ChainId::Alpha => &[],
        ChainId::Delta => &[3],
    };
    let (length, count) = ((root.len() as u32).to_be_bytes(), 32u64.to_be_bytes());
    let pieces = [&[10][..], &snapshot.to_be_bytes(), &1u32.to_be_bytes()];
    [
        [&[2][..], &1u64.to_be_bytes(), &count].concat(),
        [&[6][..], &1u64.to_be_bytes()].concat(),
        [&[8][..], &HEIGHTS.to_be_bytes(), &count].concat(),
        [&pieces.concat()[..], &length, root].concat(),
    ]
}

/// A few heights of one chain that hears `exchanges` of the other.
fn live<A: Application>(genesis: &Arc<Genesis>, txs: &[Vec<u8>], exchanges: &[Exchange]) -> Chain {
    let mut host = MemoryHost::new(genesis, A::CHAIN);
    let mut now_ms = GENESIS_MS;
    let node = Node::<A>::open(config(genesis, true), now_ms, &mut host);
    let mut node = node.expect("a development genesis opens");
    let mut outputs = Vec::new();
    let rules = A::rules(genesis);
    for raw in txs {
        let tx = Arc::new(A::verify(&rules, raw).expect("it was signed for this network"));
        let (reply, _) = tokio::sync::oneshot::channel();
        let request = Input::Request(Request::Submit { tx, reply });
        let stepped = node.step(now_ms, request, &mut host, &mut outputs);
        stepped.expect("a node goes on");
    }
    for exchange in exchanges {
        let input = Input::Sibling(exchange.clone());
        let stepped = node.step(now_ms, input, &mut host, &mut outputs);
        stepped.expect("a node goes on");
    }
    while node.tip().height < HEIGHTS {
        let stepped = node.step(now_ms, Input::Tick, &mut host, &mut outputs);
        stepped.expect("a node goes on");
        now_ms = node
            .next_deadline_ms()
            .map_or(now_ms + 1, |at| at.max(now_ms + 1));
    }
    let key = match A::CHAIN {
        ChainId::Alpha => adnet_common::supply::ALPHA_SUPPLY_KEY.to_vec(),
        ChainId::Delta => adnet_common::supply::DELTA_SUPPLY_KEY.to_vec(),
    };
    let query = Input::Sibling(Exchange::Query { id: 1, key });
    let asked = questions(A::CHAIN);
    let asks = |bytes: &Vec<u8>| Input::Network {
        peer: [2; 32],
        class: Class::SyncRequest,
        bytes: bytes.clone(),
    };
    for input in std::iter::once(query).chain(asked.iter().map(asks)) {
        let stepped = node.step(now_ms, input, &mut host, &mut outputs);
        stepped.expect("a node goes on");
    }
    let mut chain = Chain {
        exchanges: host.announced,
        ..Chain::default()
    };
    for output in outputs {
        match output {
            Output::Broadcast { class, bytes } | Output::Send { class, bytes, .. } => {
                chain.network.push((class, bytes));
            }
            Output::Publish { topic, bytes } => chain.published.push((topic, bytes)),
            Output::Sibling(exchange) => chain.exchanges.push(exchange),
            Output::Relay { .. }
            | Output::Distrust { .. }
            | Output::Verdict { .. }
            | Output::Verify(_)
            | Output::Abandon(_)
            | Output::Committed { .. } => {}
        }
    }
    let asked = asked.into_iter().map(|bytes| (Class::SyncRequest, bytes));
    chain.network.extend(asked);
    // What peers ask that a node which is alone never does.
    let hash = node.tip().hash();
    for bytes in [
        [&[4][..], &HEIGHTS.to_be_bytes(), &hash.0].concat(),
        [&[5][..], &1u32.to_be_bytes(), &[7; 32]].concat(),
    ] {
        chain.network.push((Class::SyncRequest, bytes));
    }
    let block = |height| block_at(&host.store, A::CHAIN, height);
    let blocks = (0..=HEIGHTS).map(|height| block(height).expect("a sound store"));
    chain.blocks = blocks.flatten().collect();
    chain
}

fn alpha_txs(genesis: &Genesis) -> Vec<Vec<u8>> {
    let terms = |function: &Function, approvals| Terms::cheapest(genesis, 30, function, approvals);
    let recipient = dev_alpha_seed(1).ed25519_public().expect("a seed");
    let user = dev_alpha_seed(0);
    let sender = user.ed25519_public().expect("a seed").0;
    let functions = [
        Function::TransferPublic(alpha_tx::TransferPublic {
            sender,
            nonce: 0,
            recipient: recipient.0,
            amount_units: 12,
        }),
        Function::Lock(alpha_tx::Lock {
            sender,
            nonce: 1,
            recipient: EvmAddress([9; 20]).0,
            amount_units: 34,
        }),
        Function::Burn(alpha_tx::Burn {
            sender,
            nonce: 2,
            amount_units: 5,
        }),
    ];
    let signed = functions.map(|function| {
        let tx = alpha_tx::sign(&user, &terms(&function, 0), function);
        tx.expect("the sender's key").encode()
    });
    let mint = Function::Mint(MintOrder {
        order_nonce: 0,
        recipient: recipient.0,
        amount_units: 70_000,
        reason_hash: Hash([3; 32]),
    });
    let payload = terms(&mint, 2).payload(mint);
    let approvals = (0..2).map(|i| alpha_tx::approve(&dev_governor_seed(i), &payload));
    let approvals = approvals.map(|a| a.expect("a governor's key")).collect();
    let mint = alpha_tx::assemble_mint(payload, approvals);
    signed.into_iter().chain([mint.encode()]).collect()
}

fn delta_txs(genesis: &Genesis) -> Vec<Vec<u8>> {
    let user = dev_delta_secret(0).expect("there are that many");
    let other = dev_delta_secret(DEV_ACCOUNTS - 1).expect("there are that many");
    let other = delta_tx::address(&other).expect("a Delta key");
    let envelope = |nonce, gas_limit| Envelope {
        chain_id: genesis.delta.chain_id,
        nonce,
        fees: Fees {
            gas_limit,
            max_fee_per_gas_wei: 4_000_000_000,
            max_priority_fee_per_gas_wei: 1_000,
        },
    };
    let code = Bytes::from_static(&[0x60, 0x01, 0x60, 0x00, 0x55, 0x00]);
    let signed = [
        delta_tx::sign_transfer(&user, envelope(0, 21_000), other, U256::from(5u64)),
        delta_tx::sign_deploy(&user, envelope(1, 200_000), U256::ZERO, code.clone()),
        delta_tx::sign_call(&user, envelope(2, 100_000), other, U256::ZERO, code),
        delta_tx::sign_unlock(&user, envelope(3, 60_000), &[7; 32], 3),
    ];
    signed.map(|tx| tx.expect("a Delta key").raw).into()
}
