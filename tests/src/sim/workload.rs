//! Clients that send signed transactions until they are in a block: transfers and locks on Alpha,
//! real shielded transactions that were made before, transfers, unlocks and contracts on Delta.
//!
//! Each client owns one account and has one transaction on the way, which it sends again, to any
//! machine, until a block has it. Only an Alpha transaction that has expired is replaced.

use super::contracts;
use super::random::Random;
use super::scenario::Scenario;
use crate::shielded::{self, EXPIRY_HEIGHT};
use adnet_alpha::tx::{self as alpha_tx, Function, Lock, Terms, TransferPublic};
use adnet_common::chain_id::ChainId;
use adnet_common::genesis::{DEV_ACCOUNTS, Genesis, dev_alpha_seed, dev_delta_secret};
use adnet_common::keys::SecretKey;
use adnet_delta::attest::wei;
use adnet_delta::tx::{self as delta_tx, Envelope, Fees, TRANSFER_GAS, UNLOCK_GAS_LIMIT};

/// How far ahead of the highest block an Alpha transaction expires.
const EXPIRY_BLOCKS: u64 = 20;

/// A signed transaction on its way into a block.
pub(super) struct Outstanding {
    pub raw: Vec<u8>,
    /// Units that it sends to the other chain.
    pub crossing_units: u64,
    /// The last height that may include it.
    pub last_height: u64,
    /// Whether it is about a contract.
    is_for_contract: bool,
}

pub(super) struct Client {
    pub chain: ChainId,
    source: Source,
    pub outstanding: Option<Outstanding>,
    /// Whether half of its transactions on Delta are about contracts, and how many are in blocks.
    has_contracts: bool,
    contracts_settled: u64,
}

/// Where a client has its transactions from.
enum Source {
    Account {
        key: SecretKey,
        nonce: u64,
    },
    /// Notes of Alpha's pool: real transactions that were made before, and which is next.
    Notes {
        prepared: Vec<Vec<u8>>,
        next: usize,
    },
}

impl Client {
    /// One for each development account of both chains, and one who has notes.
    pub fn of(scenario: &Scenario) -> Vec<Client> {
        if !scenario.has_clients {
            return Vec::new();
        }
        let client = |chain, key| Client {
            chain,
            source: Source::Account { key, nonce: 0 },
            outstanding: None,
            has_contracts: scenario.has_contracts && chain == ChainId::Delta,
            contracts_settled: 0,
        };
        let notes = scenario.has_notes.then(|| Client {
            chain: ChainId::Alpha,
            source: Source::Notes {
                prepared: shielded::transactions(),
                next: 0,
            },
            outstanding: None,
            has_contracts: false,
            contracts_settled: 0,
        });
        let alpha = (0..DEV_ACCOUNTS).map(|i| client(ChainId::Alpha, dev_alpha_seed(i)));
        let delta = (0..DEV_ACCOUNTS).map(|i| {
            let secret = dev_delta_secret(i).expect("there are that many accounts");
            client(ChainId::Delta, secret)
        });
        alpha.chain(delta).chain(notes).collect()
    }

    /// The outstanding transaction is in a block. Returns the units that crossed.
    pub fn settle(&mut self) -> u64 {
        let settled = self.outstanding.take().expect("only what is on the way");
        self.contracts_settled += u64::from(settled.is_for_contract);
        match &mut self.source {
            Source::Account { nonce, .. } => *nonce += 1,
            Source::Notes { next, .. } => *next += 1,
        }
        settled.crossing_units
    }

    /// Transactions about contracts that are in blocks.
    pub fn contracts_settled(&self) -> u64 {
        self.contracts_settled
    }

    /// Prepared transactions that are in blocks.
    pub fn notes_settled(&self) -> u64 {
        match self.source {
            Source::Account { .. } => 0,
            Source::Notes { next, .. } => next as u64,
        }
    }

    /// Signs the next transaction, or takes the next that was prepared, if there is one.
    pub fn sign(&mut self, genesis: &Genesis, height: u64, random: &mut Random) {
        if let Source::Notes { prepared, next } = &self.source {
            let raw = prepared.get(*next).filter(|_| height < EXPIRY_HEIGHT);
            self.outstanding = raw.map(|raw| Outstanding {
                raw: raw.clone(),
                crossing_units: shielded::locked_units(raw),
                last_height: EXPIRY_HEIGHT,
                is_for_contract: false,
            });
            return;
        }
        if self.has_contracts && random.chance(50) {
            let (key, nonce) = self.account();
            self.outstanding = Some(Outstanding {
                raw: contracts::transaction(key, nonce, genesis, random),
                crossing_units: 0,
                last_height: u64::MAX,
                is_for_contract: true,
            });
            return;
        }
        let crosses = random.chance(50);
        let amount_units = 1 + random.below(1_000);
        let to = random.below(DEV_ACCOUNTS as u64) as usize;
        let (raw, last_height) = match self.chain {
            ChainId::Alpha => {
                let last_height = height + EXPIRY_BLOCKS;
                let function = self.alpha_function(crosses, to, amount_units);
                let terms = Terms::cheapest(genesis, last_height, &function, 0);
                let tx = alpha_tx::sign(self.account().0, &terms, function);
                (tx.expect("the account's own key").encode(), last_height)
            }
            ChainId::Delta => {
                let raw = self.delta_transaction(genesis, crosses, to, amount_units);
                (raw, u64::MAX)
            }
        };
        let crossing_units = if crosses { amount_units } else { 0 };
        self.outstanding = Some(Outstanding {
            raw,
            crossing_units,
            last_height,
            is_for_contract: false,
        });
    }

    fn account(&self) -> (&SecretKey, u64) {
        match &self.source {
            Source::Account { key, nonce } => (key, *nonce),
            Source::Notes { .. } => unreachable!("notes have transactions that were prepared"),
        }
    }

    fn alpha_function(&self, crosses: bool, to: usize, amount_units: u64) -> Function {
        let (key, nonce) = self.account();
        let sender = key.ed25519_public().expect("an ed25519 seed").0;
        if crosses {
            return Function::Lock(Lock {
                sender,
                nonce,
                recipient: delta_address(to).0.0,
                amount_units,
            });
        }
        let recipient = dev_alpha_seed(to).ed25519_public();
        Function::TransferPublic(TransferPublic {
            sender,
            nonce,
            recipient: recipient.expect("an ed25519 seed").0,
            amount_units,
        })
    }

    fn delta_transaction(
        &self,
        genesis: &Genesis,
        crosses: bool,
        to: usize,
        amount_units: u64,
    ) -> Vec<u8> {
        let (key, nonce) = self.account();
        let envelope = Envelope {
            chain_id: genesis.delta.chain_id,
            nonce,
            fees: Fees {
                gas_limit: if crosses {
                    UNLOCK_GAS_LIMIT
                } else {
                    TRANSFER_GAS
                },
                max_fee_per_gas_wei: 4_000_000_000,
                max_priority_fee_per_gas_wei: 1_000,
            },
        };
        let signed = if crosses {
            let recipient = dev_alpha_seed(to).ed25519_public();
            let recipient = recipient.expect("an ed25519 seed").0;
            delta_tx::sign_unlock(key, envelope, &recipient, amount_units)
        } else {
            delta_tx::sign_transfer(key, envelope, delta_address(to), wei(amount_units))
        };
        signed.expect("a Delta key").raw
    }
}

fn delta_address(index: usize) -> alloy_primitives::Address {
    let secret = dev_delta_secret(index).expect("there are that many accounts");
    delta_tx::address(&secret).expect("a Delta key")
}
