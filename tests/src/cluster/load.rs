//! Clients of a cluster: an account of each chain that sends one transaction after the other, each to
//! any node and then to others, until one of them shows it in a block.

use crate::harness::{Api, TestNode, eventually};
use crate::sim::Random;
use adnet_alpha::tx::{Terms, sign_transfer as sign_alpha};
use adnet_common::chain_id::ChainId;
use adnet_common::genesis::{Genesis, dev_alpha_seed, dev_delta_secret};
use adnet_common::hash::Hash;
use adnet_common::keys::AlphaAddress;
use adnet_delta::tx::{Envelope, Fees, TRANSFER_GAS, address, sign_transfer as sign_delta};
use alloy_primitives::U256;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a client waits for an answer, which a stopped node does not give.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often it asks whether its transaction is final, and how often it sends it once more.
const POLL: Duration = Duration::from_millis(25);
const AGAIN: Duration = Duration::from_millis(500);
/// The life of an Alpha transaction; then the client signs another with the same nonce.
const EXPIRY_BLOCKS: u64 = 30;

/// A transaction that a client has seen in a block.
#[derive(Clone, Debug)]
pub struct Settled {
    pub chain: ChainId,
    pub id: String,
    pub height: u64,
}

/// Clients that run until they are stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Settled>>>,
}

impl Load {
    pub fn start(nodes: &[TestNode], seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |chain: ChainId| {
            let apis = nodes.iter().map(|node| node.api(chain).within(PATIENCE));
            let client = Client {
                chain,
                genesis: Arc::clone(&nodes[0].genesis),
                apis: apis.collect(),
                random: Random::new(seed ^ u64::from(chain.as_byte())),
                stop: Arc::clone(&stop),
            };
            thread::spawn(move || client.run())
        };
        let clients = ChainId::ALL.into_iter().map(client).collect();
        Self { stop, clients }
    }

    /// Ends the clients; what they have seen in blocks.
    pub fn stop(mut self) -> Vec<Settled> {
        self.stop.store(true, Ordering::Relaxed);
        let clients = std::mem::take(&mut self.clients);
        let ended = clients.into_iter().map(|client| client.join());
        ended
            .flat_map(|settled| settled.expect("clients do not panic"))
            .collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Where a chain shows that a transaction is final.
pub fn final_at(api: &Api, chain: ChainId, id: &str) -> Option<u64> {
    match chain {
        ChainId::Alpha => {
            let found = api.get(&format!("/v1/transaction/{id}")).ok()?;
            found["receipt"]["height"].as_u64()
        }
        ChainId::Delta => {
            let receipt = api.rpc("eth_getTransactionReceipt", json!([id])).ok()?;
            let number = receipt.get("blockNumber").and_then(Value::as_str)?;
            u64::from_str_radix(number.strip_prefix("0x")?, 16).ok()
        }
    }
}

struct Client {
    chain: ChainId,
    genesis: Arc<Genesis>,
    apis: Vec<Api>,
    random: Random,
    stop: Arc<AtomicBool>,
}

/// A signed transaction, and the last height that may include it.
struct Signed {
    id: String,
    raw: Vec<u8>,
    last_height: u64,
}

impl Client {
    fn run(mut self) -> Vec<Settled> {
        let mut settled = Vec::new();
        while let Some(done) = self.settle(settled.len() as u64) {
            settled.push(done);
        }
        settled
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn any(&mut self) -> Api {
        let index = self.random.below(self.apis.len() as u64) as usize;
        self.apis[index].clone()
    }

    /// The height of some node that answers.
    fn height(&mut self) -> Option<u64> {
        while !self.stops() {
            if let Ok(height) = self.any().height() {
                return Some(height);
            }
        }
        None
    }

    /// Sends a transaction with this nonce until it is in a block; nothing if the client is stopped.
    fn settle(&mut self, nonce: u64) -> Option<Settled> {
        loop {
            let height = self.height()?;
            let signed = self.sign(nonce, height);
            let mut sent: Option<Instant> = None;
            loop {
                if self.stops() {
                    return None;
                }
                if sent.is_none_or(|at| at.elapsed() > AGAIN) {
                    self.send(&signed);
                    sent = Some(Instant::now());
                }
                thread::sleep(POLL);
                let (api, chain) = (self.any(), self.chain);
                if let Some(height) = final_at(&api, chain, &signed.id) {
                    let id = signed.id;
                    return Some(Settled { chain, id, height });
                }
                // Another node may show it by now, so that the next signature only finds its nonce
                // taken: look everywhere before giving this one up.
                if api.height().is_ok_and(|height| height > signed.last_height) {
                    let found = self
                        .apis
                        .iter()
                        .find_map(|api| final_at(api, chain, &signed.id));
                    match found {
                        Some(height) => {
                            let id = signed.id;
                            return Some(Settled { chain, id, height });
                        }
                        None => break,
                    }
                }
            }
        }
    }

    /// What the node thinks of it shows in whether it becomes final.
    fn send(&mut self, signed: &Signed) {
        let (api, raw) = (self.any(), hex::encode(&signed.raw));
        let _ = match self.chain {
            ChainId::Alpha => api.post("/v1/transaction/broadcast", &json!({ "raw": raw })),
            ChainId::Delta => api.rpc("eth_sendRawTransaction", json!([format!("0x{raw}")])),
        };
    }

    fn sign(&self, nonce: u64, height: u64) -> Signed {
        match self.chain {
            ChainId::Alpha => {
                let key = dev_alpha_seed(0);
                let to = AlphaAddress::from(dev_alpha_seed(1).ed25519_public().expect("a seed"));
                let blank = Terms {
                    genesis: Hash::ZERO,
                    fee_units: 0,
                    expiry_height: 0,
                };
                let function = sign_alpha(&key, &blank, nonce, to, 1).expect("our key");
                let last_height = height + EXPIRY_BLOCKS;
                let function = &function.payload.function;
                let terms = Terms::cheapest(&self.genesis, last_height, function, 0);
                let tx = sign_alpha(&key, &terms, nonce, to, 1).expect("our key");
                Signed {
                    id: tx.id().to_string(),
                    raw: tx.encode(),
                    last_height,
                }
            }
            ChainId::Delta => {
                let secret = |index| dev_delta_secret(index).expect("a development account");
                let to = address(&secret(1)).expect("a Delta key");
                let envelope = Envelope {
                    chain_id: self.genesis.delta.chain_id,
                    nonce,
                    fees: Fees {
                        gas_limit: TRANSFER_GAS,
                        max_fee_per_gas_wei: 20_000_000_000,
                        max_priority_fee_per_gas_wei: 0,
                    },
                };
                let tx = sign_delta(&secret(0), envelope, to, U256::from(1)).expect("a Delta key");
                Signed {
                    id: tx.hash.to_string(),
                    raw: tx.raw,
                    last_height: u64::MAX,
                }
            }
        }
    }
}

/// What clients have seen in a block is in that block on every node.
pub fn assert_final_everywhere(nodes: &[TestNode], settled: &[Settled]) {
    for node in nodes {
        for Settled { chain, id, height } in settled {
            let api = node.api(*chain).keeping_its_connection();
            let here = eventually("it is final here", || final_at(&api, *chain, id));
            assert_eq!(here, *height, "{id} of {chain}");
        }
    }
}
