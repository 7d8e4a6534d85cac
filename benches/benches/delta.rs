//! Delta's blocks, signatures and state beside the libraries they stand on.
//!
//! "Ours" is what a validator does with a block: execute every transaction with its checks, receipts and
//! fees, fold the changes into the state, and compute the root. The raw figures are `revm` alone on a
//! `CacheDB` (no receipts, no root, nothing kept), `alloy-trie`'s hash builder over all leaves (the only
//! root it has), and libsecp256k1's recovery without decoding or hashing. Each pair runs in turns.

use std::hint::black_box;
use std::time::{Duration, Instant};

use adnet_benches::costly::costly;
use adnet_benches::delta::{Bed, Sender, Verified, deploy_token, holder, senders, sign_all};
use adnet_benches::delta::{call_with_all, deploy_code, token_transfer, transfer};
use adnet_benches::report::row;
use adnet_common::application::{Application, Until};
use adnet_common::chain_id::ChainId;
use adnet_common::genesis::Genesis;
use adnet_common::hash::Hash;
use adnet_common::keys::PublicKey;
use adnet_common::store::{CommitBatch, Write};
use adnet_delta::DeltaApp;
use adnet_delta::state::leaves;
use adnet_delta::tx::SignedTx;
use adnet_supervisor::store::{NetworkIdentity, Store, StoreOptions};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_trie::{HashBuilder, Nibbles, TrieAccount};
use revm::context::{Context, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::primitives::hardfork::SpecId;
use revm::state::AccountInfo;
use revm::{ExecuteCommitEvm, MainBuilder, MainContext};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SECP256K1};

const AREA: &str = "delta";

struct Plan {
    is_test: bool,
    rounds: usize,
    senders: usize,
    /// Transactions of each sender in a block.
    each: u64,
    few: usize,
    many: usize,
}

impl Plan {
    fn report(&self, figure: &str, goal: &str, measured: &str, peer: &str) {
        println!("{figure}: {measured} {peer} {goal}");
        if !self.is_test {
            row(AREA, figure, goal, measured, peer);
        }
    }

    fn txs(&self) -> u64 {
        self.senders as u64 * self.each
    }
}

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let plan = if is_test {
        Plan {
            is_test,
            rounds: 1,
            senders: 10,
            each: 2,
            few: 100,
            many: 1_000,
        }
    } else {
        Plan {
            is_test,
            rounds: 5,
            senders: 5_000,
            each: 6,
            few: 10_000,
            many: 1_000_000,
        }
    };
    let senders = senders(plan.senders);
    let few = blocks(&plan, &senders, plan.few, plan.few);
    let many = blocks(&plan, &senders, plan.many, plan.few);
    blocks(&plan, &senders, plan.many, plan.many);
    let ratio = many.as_secs_f64() / few.as_secs_f64();
    let figure = format!(
        "time of the same block: {} accounts / {}",
        plan.many, plan.few
    );
    plan.report(&figure, "<= 1.5", &format!("{ratio:.2}"), "");
    costly_blocks(&plan, &senders);
    signatures(&plan, &senders);
    rebuild(&plan);
}

/// Blocks as full as the development genesis allows, of what takes the longest for its gas. Validators
/// have to execute them between two blocks.
fn costly_blocks(plan: &Plan, senders: &[Sender]) {
    let gas = Genesis::dev(PublicKey([9; 32]), 1_800_000_000_000)
        .delta
        .block_gas_limit;
    for costly in costly() {
        let mut bed = Bed::new(senders, plan.few);
        let genesis = bed.genesis.clone();
        let deploy = bed.verified(&[deploy_code(&genesis, &senders[0], 0, &costly.code)]);
        bed.commit(&deploy);
        let target = senders[0].address.create(0);
        let count = (gas / genesis.delta.tx_gas_limit).min(if plan.is_test { 1 } else { u64::MAX });
        let calls: Vec<SignedTx> = (1..=count)
            .map(|nonce| call_with_all(&genesis, target, &senders[0], nonce, &costly.input))
            .collect();
        let calls = bed.verified(&calls);
        let took = median(plan.rounds.min(3), || {
            black_box(bed.execute(&calls));
        });
        let used = (count * genesis.delta.tx_gas_limit) as f64;
        plan.report(
            &format!(
                "block of {} Mgas of nothing but {}",
                used / 1e6,
                costly.name
            ),
            "< 3 s",
            &format!(
                "{} ({:.0} Mgas/s)",
                ms(took),
                used / 1e6 / took.as_secs_f64()
            ),
            "",
        );
    }
}

fn ms(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1e3)
}

/// The median of what `work` takes, of `rounds`, after one that warms up.
fn median(rounds: usize, mut work: impl FnMut()) -> Duration {
    work();
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let began = Instant::now();
            work();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Blocks of native transfers, and of a token's, on a state of so many accounts, to the first `among`
/// of them. Returns what the first kind takes.
fn blocks(plan: &Plan, senders: &[Sender], holders: usize, among: usize) -> Duration {
    let mut bed = Bed::new(senders, holders);
    let signed = sign_all(senders, 0..plan.each, |sender, nonce| {
        let to = recipient(sender, nonce, among);
        transfer(&bed.genesis, sender, nonce, to)
    });
    let native = bed.verified(&signed);
    let ours = median(plan.rounds, || {
        black_box(bed.execute(&native));
    });
    let raw = raw_revm(plan, &bed, senders, &[], &native);
    let count = plan.txs();
    plan.report(
        &format!("block of {count} native transfers executed and rooted, to {among} of {holders} accounts"),
        "< 1 s",
        &ms(ours),
        &format!("revm alone, no root: {}", ms(raw)),
    );

    // The first sender deploys a token and gives all others some.
    let genesis = bed.genesis.clone();
    let deployer = &senders[0];
    let deploy = bed.verified(&[deploy_token(&genesis, deployer, 0)]);
    bed.commit(&deploy);
    let token = deployer.address.create(0);
    let gifts: Vec<SignedTx> = (1u64..)
        .zip(&senders[1..])
        .map(|(nonce, to)| token_transfer(&genesis, token, deployer, nonce, to.address, 1_000_000))
        .collect();
    let gifts = bed.verified(&gifts);
    bed.commit(&gifts);
    let spenders = &senders[1..];
    let signed = sign_all(spenders, 0..plan.each, |sender, nonce| {
        let to = recipient(sender, nonce, among);
        token_transfer(&genesis, token, sender, nonce, to, 1)
    });
    let transfers = bed.verified(&signed);
    let ours_of_tokens = median(plan.rounds, || {
        black_box(bed.execute(&transfers));
    });
    let before = [deploy, gifts].concat();
    let raw = raw_revm(plan, &bed, senders, &before, &transfers);
    plan.report(
        &format!(
            "block of {} ERC-20 transfers executed and rooted, to {among} of {holders} accounts",
            transfers.len()
        ),
        "< 1 s",
        &ms(ours_of_tokens),
        &format!("revm alone, no root: {}", ms(raw)),
    );
    ours
}

/// One of the first accounts, which lie anywhere in the trie.
fn recipient(sender: &Sender, nonce: u64, among: usize) -> Address {
    let hash = keccak256([sender.address.as_slice(), &nonce.to_be_bytes()].concat());
    let number = u64::from_be_bytes(*hash.first_chunk().expect("32 bytes"));
    holder((number % among as u64) as usize)
}

/// `measured` in `revm`'s own executor, after `before`.
fn raw_revm(
    plan: &Plan,
    bed: &Bed,
    senders: &[Sender],
    before: &[Verified],
    measured: &[Verified],
) -> Duration {
    let mut database = CacheDB::new(EmptyDB::default());
    for sender in senders {
        let info = AccountInfo {
            balance: U256::from(10u128.pow(30)),
            ..AccountInfo::default()
        };
        database.insert_account_info(sender.address, info);
    }
    for tx in measured {
        if let Some(to) = tx.inner.env.kind.into_to() {
            database.cache.accounts.entry(to).or_default();
        }
    }
    let run = |database: &mut CacheDB<EmptyDB>, txs: &[TxEnv]| {
        let mut evm = Context::mainnet()
            .with_db(database)
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(SpecId::PRAGUE);
                cfg.chain_id = bed.genesis.delta.chain_id;
                cfg.tx_gas_limit_cap = Some(u64::MAX);
            })
            .modify_block_chained(|block| {
                block.gas_limit = u64::MAX;
                block.basefee = 1_000_000_000;
            })
            .build_mainnet();
        for tx in txs {
            let result = evm
                .transact_commit(tx.clone())
                .expect("a valid transaction");
            assert!(result.is_success(), "{result:?}");
        }
    };
    let envs = |txs: &[Verified]| {
        txs.iter()
            .map(|tx| tx.inner.env.clone())
            .collect::<Vec<_>>()
    };
    run(&mut database, &envs(before));
    let txs = envs(measured);
    let mut times: Vec<Duration> = (0..plan.rounds)
        .map(|_| {
            let mut database = database.clone();
            let began = Instant::now();
            run(&mut database, &txs);
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Checking bytes of clients: decode, limits, hashes and the recovery of the signer.
fn signatures(plan: &Plan, senders: &[Sender]) {
    let bed = Bed::new(senders, 1);
    let signed = sign_all(senders, 0..plan.each, |sender, nonce| {
        transfer(&bed.genesis, sender, nonce, holder(0))
    });
    let raws: Vec<&[u8]> = signed.iter().map(|tx| tx.raw.as_slice()).collect();
    let rules = DeltaApp::rules(&bed.genesis);
    let ours = median(plan.rounds, || {
        let verified = DeltaApp::verify_all(&rules, &raws, Until::End);
        assert!(verified.iter().all(Result::is_ok));
    });
    let digests: Vec<(Message, RecoverableSignature)> = (0u64..)
        .take(signed.len())
        .map(|number| {
            let digest = Message::from_digest(keccak256(number.to_be_bytes()).0);
            let key = secp256k1::SecretKey::from_byte_array([7; 32]).expect("below the order");
            let signature = SECP256K1.sign_ecdsa_recoverable(digest, &key);
            let (id, bytes): (RecoveryId, _) = signature.serialize_compact();
            let again = RecoverableSignature::from_compact(&bytes, id).expect("just made");
            (digest, again)
        })
        .collect();
    let raw = median(plan.rounds, || {
        for (digest, signature) in &digests {
            let key = SECP256K1.recover_ecdsa(*digest, signature);
            black_box(key.expect("a valid signature"));
        }
    });
    let rate = |time: Duration| format!("{:.0}/s", signed.len() as f64 / time.as_secs_f64());
    plan.report(
        &format!(
            "admission of a batch of {}: decode, check, recover",
            signed.len()
        ),
        "",
        &rate(ours),
        &format!("libsecp256k1's recovery alone, one core: {}", rate(raw)),
    );
}

/// Opening a chain of many accounts from its database.
fn rebuild(plan: &Plan) {
    let bed = Bed::new(&[], 1);
    let (_, genesis_writes) = DeltaApp::genesis_state(&bed.genesis);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let network = NetworkIdentity {
        network_id: 1,
        genesis: Hash::ZERO,
        name: "bench".to_owned(),
    };
    let path = directory.path().join("store");
    let store = Store::open(&path, &StoreOptions::default(), &network);
    let store = store.expect("an empty directory");
    let commit = |height, writes| {
        let batch = CommitBatch { height, writes };
        store
            .commit(ChainId::Delta, &batch)
            .expect("the disk works");
    };
    commit(0, genesis_writes);
    let rows: Vec<(B256, leaves::AccountRow)> =
        adnet_benches::delta::holder_rows(plan.many).collect();
    for (height, part) in (1..).zip(rows.chunks(50_000)) {
        let writes = part
            .iter()
            .map(|(path, row)| leaves::put_account(path, row));
        commit(height, writes.collect::<Vec<Write>>());
    }
    let root = leaves::load(&store)
        .expect("rows that were just written")
        .root();
    let ours = median(plan.rounds.min(3), || {
        let app = DeltaApp::open(&bed.genesis, &store, 0, Hash(root.0));
        black_box(app.expect("the root is that of the rows"));
    });

    let mut sorted = rows;
    sorted.sort_unstable_by_key(|(path, _)| *path);
    let raw = median(plan.rounds.min(3), || {
        let mut builder = HashBuilder::default();
        for (path, row) in &sorted {
            let leaf = TrieAccount::new(
                row.nonce,
                row.balance,
                alloy_trie::EMPTY_ROOT_HASH,
                row.code_hash,
            );
            builder.add_leaf(Nibbles::unpack(path), &alloy_rlp::encode(leaf));
        }
        black_box(builder.root());
    });
    plan.report(
        &format!("open a state of {} accounts from the database", plan.many),
        "<= 3 s",
        &ms(ours),
        &format!("alloy-trie's root of the leaves in memory: {}", ms(raw)),
    );
}
