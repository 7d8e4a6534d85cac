//! Clients that send signed transactions until they are in a block: transfers and locks on Alpha,
//! transfers and unlocks on Delta.
//!
//! Each client owns one account and has one transaction on the way, which it sends again, to any
//! machine, until a block has it. Only an Alpha transaction that has expired is replaced.

use super::random::Random;
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
}

pub(super) struct Client {
    pub chain: ChainId,
    key: SecretKey,
    nonce: u64,
    pub outstanding: Option<Outstanding>,
}

impl Client {
    /// One for each development account of both chains.
    pub fn all() -> Vec<Client> {
        let client = |chain, key| Client {
            chain,
            key,
            nonce: 0,
            outstanding: None,
        };
        let alpha = (0..DEV_ACCOUNTS).map(|i| client(ChainId::Alpha, dev_alpha_seed(i)));
        let delta = (0..DEV_ACCOUNTS).map(|i| {
            let secret = dev_delta_secret(i).expect("there are that many accounts");
            client(ChainId::Delta, secret)
        });
        alpha.chain(delta).collect()
    }

    /// The outstanding transaction is in a block. Returns the units that crossed.
    pub fn settle(&mut self) -> u64 {
        let settled = self.outstanding.take().expect("only what is on the way");
        self.nonce += 1;
        settled.crossing_units
    }

    /// Signs the next transaction.
    pub fn sign(&mut self, genesis: &Genesis, height: u64, random: &mut Random) {
        let crosses = random.chance(50);
        let amount_units = 1 + random.below(1_000);
        let to = random.below(DEV_ACCOUNTS as u64) as usize;
        let (raw, last_height) = match self.chain {
            ChainId::Alpha => {
                let last_height = height + EXPIRY_BLOCKS;
                let function = self.alpha_function(crosses, to, amount_units);
                let terms = Terms::cheapest(genesis, last_height, &function, 0);
                let tx = alpha_tx::sign(&self.key, &terms, function);
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
        });
    }

    fn alpha_function(&self, crosses: bool, to: usize, amount_units: u64) -> Function {
        let sender = self.key.ed25519_public().expect("an ed25519 seed").0;
        let nonce = self.nonce;
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
        let envelope = Envelope {
            chain_id: genesis.delta.chain_id,
            nonce: self.nonce,
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
            delta_tx::sign_unlock(&self.key, envelope, &recipient, amount_units)
        } else {
            delta_tx::sign_transfer(&self.key, envelope, delta_address(to), wei(amount_units))
        };
        signed.expect("a Delta key").raw
    }
}

fn delta_address(index: usize) -> alloy_primitives::Address {
    let secret = dev_delta_secret(index).expect("there are that many accounts");
    delta_tx::address(&secret).expect("a Delta key")
}
