//! What benchmarks of Delta share: senders, signed transactions, a chain on a store in memory.

use std::sync::Arc;

use adnet_common::application::{Application, BlockContext, VerifiedTx};
use adnet_common::genesis::{DeltaGenesisAccount, Genesis};
use adnet_common::hash::Hash;
use adnet_common::keys::{EvmAddress, KeyKind, PublicKey, SecretKey};
use adnet_common::memory_store::MemoryStore;
use adnet_common::store::Write;
use adnet_delta::DeltaApp;
use adnet_delta::state::leaves::{AccountRow, put_account};
use adnet_delta::transaction::DeltaTx;
use adnet_delta::tx::{Envelope, Fees, SignedTx, TRANSFER_GAS};
use adnet_delta::tx::{address, sign_call, sign_deploy, sign_transfer};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use rayon::prelude::*;

/// An ERC-20 by solc, without libraries.
const TOKEN: &str = include_str!("../../adnet-delta/src/app/tests/fixtures/token.bin");
/// What a token transfer may use.
const TOKEN_GAS: u64 = 80_000;
const BALANCE_UNITS: u64 = 1_000_000_000;

pub type Verified = Arc<VerifiedTx<DeltaTx>>;

/// An account that signs.
pub struct Sender {
    pub secret: SecretKey,
    pub address: Address,
}

/// The same senders in every run.
pub fn senders(count: usize) -> Vec<Sender> {
    let sender = |index: usize| {
        let seed = Hash::of("adnet/bench/sender", &[&index.to_be_bytes()]).0;
        let secret = SecretKey::from_bytes(KeyKind::Delta, &seed).expect("32 bytes");
        let address = address(&secret).expect("a Delta key");
        Sender { secret, address }
    };
    (0..count).into_par_iter().map(sender).collect()
}

/// A development genesis with room for large blocks, in which the senders have plenty.
pub fn genesis(of: Genesis, senders: &[Sender]) -> Genesis {
    let mut genesis = of;
    // As much as a genesis may allow.
    genesis.delta.block_gas_limit = 1_600_000_000;
    genesis.delta.max_block_bytes = 8 << 20;
    let rich = senders.iter().map(|sender| DeltaGenesisAccount {
        address: EvmAddress(sender.address.into_array()),
        balance_units: BALANCE_UNITS,
    });
    genesis.delta.accounts.extend(rich);
    genesis
}

/// The address of some account that signs nothing.
pub fn holder(index: usize) -> Address {
    Address::from_slice(&keccak256(index.to_be_bytes())[..20])
}

/// Rows of that many accounts.
pub fn holder_rows(count: usize) -> impl Iterator<Item = (B256, AccountRow)> {
    (0..count).map(|index| {
        let row = AccountRow {
            nonce: 0,
            balance: U256::from(index + 1),
            code_hash: KECCAK256_EMPTY,
        };
        (keccak256(holder(index)), row)
    })
}

fn envelope(genesis: &Genesis, nonce: u64, gas_limit: u64) -> Envelope {
    Envelope {
        chain_id: genesis.delta.chain_id,
        nonce,
        fees: Fees {
            gas_limit,
            max_fee_per_gas_wei: 1_000_000_000_000,
            max_priority_fee_per_gas_wei: 1_000,
        },
    }
}

/// Signs on all cores: for each nonce one transaction of every sender, in this order.
pub fn sign_all(
    senders: &[Sender],
    nonces: std::ops::Range<u64>,
    sign: impl Fn(&Sender, u64) -> SignedTx + Sync,
) -> Vec<SignedTx> {
    let nonces: Vec<u64> = nonces.collect();
    let of_nonce = |nonce: &u64| {
        let signed = senders.par_iter().map(|sender| sign(sender, *nonce));
        signed.collect::<Vec<_>>()
    };
    nonces.iter().flat_map(of_nonce).collect()
}

pub fn transfer(genesis: &Genesis, from: &Sender, nonce: u64, to: Address) -> SignedTx {
    let envelope = envelope(genesis, nonce, TRANSFER_GAS);
    sign_transfer(&from.secret, envelope, to, U256::from(1)).expect("a Delta key")
}

pub fn deploy_token(genesis: &Genesis, from: &Sender, nonce: u64) -> SignedTx {
    let mut code = hex::decode(TOKEN.trim()).expect("hexadecimal");
    code.extend(U256::from(10u128.pow(30)).to_be_bytes::<32>());
    let envelope = envelope(genesis, nonce, 3_000_000);
    sign_deploy(&from.secret, envelope, U256::ZERO, code.into()).expect("a Delta key")
}

/// Deploys exactly this code.
pub fn deploy_code(genesis: &Genesis, from: &Sender, nonce: u64, code: &[u8]) -> SignedTx {
    let len = u8::try_from(code.len()).expect("a short code");
    // Copies what stands behind these nine bytes, and returns it.
    let init = [0x60, len, 0x80, 0x60, 9, 0x5f, 0x39, 0x5f, 0xf3];
    let envelope = envelope(genesis, nonce, 1_000_000);
    let code = [&init[..], code].concat();
    sign_deploy(&from.secret, envelope, U256::ZERO, code.into()).expect("a Delta key")
}

/// Calls with all the gas that a transaction may have.
pub fn call_with_all(
    genesis: &Genesis,
    to: Address,
    from: &Sender,
    nonce: u64,
    data: &[u8],
) -> SignedTx {
    let envelope = envelope(genesis, nonce, genesis.delta.tx_gas_limit);
    let data = Bytes::copy_from_slice(data);
    sign_call(&from.secret, envelope, to, U256::ZERO, data).expect("a Delta key")
}

pub fn token_transfer(
    genesis: &Genesis,
    token: Address,
    from: &Sender,
    nonce: u64,
    to: Address,
    amount: u64,
) -> SignedTx {
    let mut data = keccak256("transfer(address,uint256)")[..4].to_vec();
    data.extend(to.into_word());
    data.extend(U256::from(amount).to_be_bytes::<32>());
    let envelope = envelope(genesis, nonce, TOKEN_GAS);
    sign_call(&from.secret, envelope, token, U256::ZERO, Bytes::from(data)).expect("a Delta key")
}

/// A chain that has the state of its last block, and no blocks.
pub struct Bed {
    pub genesis: Genesis,
    pub store: MemoryStore,
    pub app: DeltaApp,
    height: u64,
}

impl Bed {
    /// With `holders` accounts beside those of `senders`.
    pub fn new(senders: &[Sender], holders: usize) -> Self {
        let genesis = genesis(Genesis::dev(PublicKey([9; 32]), 1_800_000_000_000), senders);
        let (_, writes) = DeltaApp::genesis_state(&genesis);
        let mut store = MemoryStore::new();
        store.apply(&writes);
        let rows: Vec<Write> = holder_rows(holders)
            .map(|(path, row)| put_account(&path, &row))
            .collect();
        store.apply(&rows);
        let state = adnet_delta::state::leaves::load(&store).expect("rows that were just made");
        let root = Hash(state.root().0);
        let app = DeltaApp::open(&genesis, &store, 0, root).expect("the root is that of the rows");
        Self {
            genesis,
            store,
            app,
            height: 0,
        }
    }

    pub fn verified(&self, signed: &[SignedTx]) -> Vec<Verified> {
        let rules = DeltaApp::rules(&self.genesis);
        let verify = |tx: &SignedTx| {
            Arc::new(DeltaApp::verify(&rules, &tx.raw).expect("it was signed for this chain"))
        };
        signed.par_iter().map(verify).collect()
    }

    pub fn context(&self) -> BlockContext {
        let height = self.height + 1;
        BlockContext {
            height,
            time_ms: self.genesis.genesis_time_ms + height * 3_000,
            parent: Hash::ZERO,
            proposer: [7; 32],
            equivocators: Vec::new(),
        }
    }

    /// Executes a block and computes its root; the committed state stays.
    pub fn execute(&self, txs: &[Verified]) -> Hash {
        let executed = self.app.execute(&self.store, &self.context(), txs, &[]);
        let executed = executed.expect("a store in memory").expect("a valid block");
        executed.state_root
    }

    /// Makes a block the last one.
    pub fn commit(&mut self, txs: &[Verified]) {
        let executed = self.app.execute(&self.store, &self.context(), txs, &[]);
        let executed = executed.expect("a store in memory").expect("a valid block");
        self.app.apply(executed.pending);
        self.height += 1;
    }
}
