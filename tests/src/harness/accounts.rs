//! The accounts of a development network, as a wallet would use them through the APIs.

use std::sync::Arc;

use adnet_alpha::tx::{
    Function, MintOrder, Terms, Transaction, approve, assemble_mint, sign_burn, sign_lock,
    sign_transfer,
};
use adnet_common::{
    genesis::{Genesis, dev_alpha_seed, dev_delta_secret, dev_governor_seed},
    hash::Hash,
    keys::{AlphaAddress, EvmAddress, PublicKey, SecretKey},
};
use adnet_delta::tx::{
    Envelope, Fees, SignError, SignedTx, address, sign_call, sign_deploy,
    sign_transfer as sign_sax, sign_unlock,
};
use alloy_primitives::{Address, Bytes, U256};
use serde_json::{Value, json};

use super::{Api, Failure, eventually};

/// An account of Alpha and the node it talks to.
#[derive(Clone)]
pub struct AlphaUser {
    pub api: Api,
    genesis: Arc<Genesis>,
    key: Arc<SecretKey>,
}

impl AlphaUser {
    pub fn new(api: Api, genesis: Arc<Genesis>, index: usize) -> Self {
        let key = Arc::new(dev_alpha_seed(index));
        Self { api, genesis, key }
    }

    fn public(&self) -> PublicKey {
        self.key.ed25519_public().expect("an ed25519 seed")
    }

    pub fn address(&self) -> AlphaAddress {
        AlphaAddress::from(self.public())
    }

    /// The whole answer about this account, proof included.
    pub fn account(&self) -> Value {
        let path = format!("/v1/balance/{}", self.address());
        eventually("the balance is served", || self.api.get(&path).ok())
    }

    pub fn balance_units(&self) -> u64 {
        self.account()["balance_units"].as_u64().expect("units")
    }

    pub fn next_nonce(&self) -> u64 {
        self.account()["next_nonce"].as_u64().expect("a nonce")
    }

    /// Terms for `function`: the least fee, and as long a life as the network allows.
    pub fn terms(&self, function: &Function, approvals: usize) -> Terms {
        let height = eventually("the height is served", || self.api.height().ok());
        let window = self.genesis.alpha.expiry_window_blocks;
        Terms::cheapest(&self.genesis, height + window, function, approvals)
    }

    /// The terms depend on the function's size, so it is signed once to be measured.
    fn with_terms(&self, build: impl Fn(&Terms) -> Transaction) -> Transaction {
        let blank = Terms {
            genesis: Hash::ZERO,
            fee_units: 0,
            expiry_height: 0,
        };
        build(&self.terms(&build(&blank).payload.function, 0))
    }

    pub fn transfer(&self, nonce: u64, to: AlphaAddress, units: u64) -> Transaction {
        self.with_terms(|terms| sign_transfer(&self.key, terms, nonce, to, units).expect("our key"))
    }

    pub fn lock(&self, nonce: u64, to: EvmAddress, units: u64) -> Transaction {
        self.with_terms(|terms| sign_lock(&self.key, terms, nonce, to, units).expect("our key"))
    }

    pub fn burn(&self, nonce: u64, units: u64) -> Transaction {
        self.with_terms(|terms| sign_burn(&self.key, terms, nonce, units).expect("our key"))
    }

    /// A mint to this account, signed by the first `governors` of the network.
    pub fn mint(&self, order_nonce: u64, units: u64, governors: usize) -> Transaction {
        let function = Function::Mint(MintOrder {
            order_nonce,
            recipient: self.address().0,
            amount_units: units,
            reason_hash: Hash::of("adnet/mint-reason/v1", &[b"a test"]),
        });
        let payload = self.terms(&function, governors).payload(function);
        let approvals = (0..governors)
            .map(|index| approve(&dev_governor_seed(index), &payload).expect("a governor's key"))
            .collect();
        assemble_mint(payload, approvals)
    }

    /// Sends a transaction; the status that it has then.
    pub fn send(&self, tx: &Transaction) -> Result<String, Failure> {
        let body = json!({ "raw": hex::encode(tx.encode()) });
        let answer = self.api.post("/v1/transaction/broadcast", &body)?;
        assert_eq!(answer["id"], tx.id().to_string());
        Ok(answer["status"].as_str().expect("a status").to_owned())
    }

    /// The height of the block that holds it, once there is one.
    pub fn final_at(&self, id: &Hash) -> Option<u64> {
        let found = self.api.get(&format!("/v1/transaction/{id}")).ok()?;
        found["receipt"]["height"].as_u64()
    }

    /// Sends it and waits until it is final.
    pub fn done(&self, tx: &Transaction) -> u64 {
        self.send(tx).expect("accepted");
        eventually("the transaction is final", || self.final_at(&tx.id()))
    }
}

/// An account of Delta and the node it talks to.
#[derive(Clone)]
pub struct DeltaUser {
    pub api: Api,
    chain_id: u64,
    key: Arc<SecretKey>,
}

impl DeltaUser {
    pub fn new(api: Api, genesis: Arc<Genesis>, index: usize) -> Self {
        let key = Arc::new(dev_delta_secret(index).expect("a development account"));
        let chain_id = genesis.delta.chain_id;
        Self { api, chain_id, key }
    }

    pub fn address(&self) -> Address {
        address(&self.key).expect("a Delta key")
    }

    /// The address in the form that Alpha's locks name.
    pub fn evm_address(&self) -> EvmAddress {
        EvmAddress(self.address().into_array())
    }

    /// The whole answer about this account, proof included.
    pub fn account(&self) -> Value {
        let path = format!("/v1/accounts/{}", self.address());
        eventually("the account is served", || self.api.get(&path).ok())
    }

    pub fn balance_wei(&self) -> U256 {
        let answer = self
            .api
            .rpc("eth_getBalance", json!([self.address(), "latest"]));
        serde_json::from_value(answer.expect("a balance")).expect("a quantity")
    }

    pub fn next_nonce(&self) -> u64 {
        self.account()["next_nonce"].as_u64().expect("a nonce")
    }

    fn envelope(&self, nonce: u64, gas_limit: u64) -> Envelope {
        Envelope {
            chain_id: self.chain_id,
            nonce,
            fees: Fees {
                gas_limit,
                max_fee_per_gas_wei: 20_000_000_000,
                max_priority_fee_per_gas_wei: 0,
            },
        }
    }

    pub fn transfer(&self, nonce: u64, to: Address, wei: U256) -> SignedTx {
        signed(sign_sax(&self.key, self.envelope(nonce, 21_000), to, wei))
    }

    pub fn deploy(&self, nonce: u64, init_code: Bytes) -> SignedTx {
        signed(sign_deploy(
            &self.key,
            self.envelope(nonce, 1_000_000),
            U256::ZERO,
            init_code,
        ))
    }

    pub fn call(&self, nonce: u64, to: Address, calldata: Bytes) -> SignedTx {
        let envelope = self.envelope(nonce, 200_000);
        signed(sign_call(&self.key, envelope, to, U256::ZERO, calldata))
    }

    pub fn unlock(&self, nonce: u64, to: AlphaAddress, units: u64) -> SignedTx {
        signed(sign_unlock(
            &self.key,
            self.envelope(nonce, 60_000),
            &to.0,
            units,
        ))
    }

    /// Sends a transaction as wallets do.
    pub fn send(&self, tx: &SignedTx) -> Result<(), Failure> {
        let raw = format!("0x{}", hex::encode(&tx.raw));
        let answer = self.api.rpc("eth_sendRawTransaction", json!([raw]))?;
        assert_eq!(answer, json!(tx.hash));
        Ok(())
    }

    /// The receipt, once there is one.
    pub fn receipt(&self, tx: &SignedTx) -> Option<Value> {
        let found = self.api.rpc("eth_getTransactionReceipt", json!([tx.hash]));
        found.ok().filter(|receipt| !receipt.is_null())
    }

    /// Sends it and waits for its receipt.
    pub fn done(&self, tx: &SignedTx) -> Value {
        self.send(tx).expect("accepted");
        eventually("the transaction has a receipt", || self.receipt(tx))
    }
}

fn signed(tx: Result<SignedTx, SignError>) -> SignedTx {
    tx.expect("a Delta key signs Delta's transactions")
}
