//! The shielded pool beside the libraries it stands on: verifying, proving, scanning, the note tree.
//!
//! "Ours" is what a node does with bytes from a peer: decode, check amounts, fees and signatures of
//! accounts, make points of bytes, verify proofs and signatures of notes in batches. "Raw" is the
//! proof library alone, on bundles that are decoded already. Both run in the same thread pool, in
//! turns. The transactions are private transfers. A node's block has different ones; here a few real
//! ones are repeated, which costs a verifier the same.

use std::hint::black_box;
use std::time::{Duration, Instant};

use adnet_alpha::AlphaApp;
use adnet_alpha::compact::CompactTx;
use adnet_alpha::pool::proofs::batch_size;
use adnet_alpha::pool::tree::NoteTree;
use adnet_alpha::pool::verifying_key::verifying_key;
use adnet_alpha::rules::Rules;
use adnet_alpha::tx::Transaction;
use adnet_alpha::wallet::keys::SpendingKeys;
use adnet_alpha::wallet::mnemonic::Mnemonic;
use adnet_alpha::wallet::prepare_proving;
use adnet_benches::report::row;
use adnet_benches::transfers::{Blocks, private_transfers, wallet_of};
use adnet_common::application::{Application, Until};
use adnet_common::genesis::Genesis;
use adnet_common::hash::Hash;
use adnet_common::keys::PublicKey;
use incrementalmerkletree::frontier::Frontier;
use orchard::bundle::{Authorized, BatchValidator};
use orchard::keys::{PreparedIncomingViewingKey, Scope};
use orchard::note_encryption::{CompactAction, IronwoodDomain};
use orchard::tree::MerkleHashOrchard;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

const AREA: &str = "shielded pool";
/// Real transactions that are made for a run.
const MADE: usize = 8;
/// Bytes of the block that has to be validated within 2.5 s on one core.
const BLOCK_BYTES: usize = 8_000_000;
/// How many times it is validated: the best counts, as of the other figures.
const BLOCK_ROUNDS: usize = 5;
/// Notes of a block whose commitments go into the tree together.
const BLOCK_NOTES: usize = 200;
const SCANNED_ACTIONS: usize = 10_000;

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (made, rounds) = if is_test { (1, 1) } else { (MADE, 5) };
    let genesis = Genesis::dev(PublicKey([9; 32]), 1_800_000_000_000);
    let rules = AlphaApp::rules(&genesis);
    let began = Instant::now();
    let _ = verifying_key();
    let key_time = began.elapsed();
    prepare_proving();

    let mut figures = Figures { is_test };
    figures.add(
        "verifying key, built once per process",
        "",
        &seconds(key_time),
        "",
    );
    let (txs, proving) = private_transfers(&genesis, made);
    let bytes = txs[0].encode().len();
    let proof = txs[0].witness.proof().expect("shielded").proof.len();
    figures.add(
        "prove a transaction of two actions, key at hand",
        "",
        &format!("best {}", seconds(proving)),
        "",
    );
    figures.add(
        "bytes of a transaction of two actions (of its proof)",
        "",
        &format!("{bytes} ({proof})"),
        "",
    );

    let raws: Vec<Vec<u8>> = txs.iter().map(Transaction::encode).collect();
    let bundles: Vec<_> = txs.iter().map(decoded).collect();
    for (threads, cores) in [(1, "one core"), (0, "all cores")] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.expect("threads can be started");
        for count in [1, 8, 64] {
            let count = if is_test { 1 } else { count };
            pool.install(|| verify(&mut figures, &rules, &raws, &bundles, count, rounds, cores));
        }
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.expect("threads can be started");
    pool.install(|| validate_block(&mut figures, &rules, &raws, &bundles, is_test));
    tree(&mut figures, if is_test { 100 } else { 20_000 });
    scan(
        &mut figures,
        &genesis,
        &txs,
        if is_test { 20 } else { SCANNED_ACTIONS },
    );
}

struct Figures {
    is_test: bool,
}

impl Figures {
    fn add(&mut self, figure: &str, goal: &str, measured: &str, peer: &str) {
        println!("{figure}: {measured} {peer} {goal}");
        if !self.is_test {
            row(AREA, figure, goal, measured, peer);
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn decoded(tx: &Transaction) -> (orchard::Bundle<Authorized, i64>, [u8; 32]) {
    let bundle = tx.payload.function.bundle().expect("shielded");
    let proof = tx.witness.proof().expect("shielded");
    let bundle = bundle.authorize(proof).expect("it was just built");
    (bundle, tx.payload.sighash().0)
}

/// Ours and raw in turns, the best of some rounds each.
fn verify(
    figures: &mut Figures,
    rules: &Rules,
    raws: &[Vec<u8>],
    bundles: &[(orchard::Bundle<Authorized, i64>, [u8; 32])],
    count: usize,
    rounds: usize,
    cores: &str,
) {
    let batch: Vec<&[u8]> = (0..count)
        .map(|i| raws[i % raws.len()].as_slice())
        .collect();
    let (mut ours, mut raw) = (Duration::MAX, Duration::MAX);
    for _ in 0..rounds {
        let began = Instant::now();
        let verdicts = AlphaApp::verify_all(rules, &batch, Until::End);
        ours = ours.min(began.elapsed());
        assert!(verdicts.iter().all(Result::is_ok), "all of them are good");
        let began = Instant::now();
        let mut validator = BatchValidator::new(verifying_key());
        for index in 0..count {
            let (bundle, sighash) = &bundles[index % bundles.len()];
            validator
                .add_bundle(bundle, *sighash)
                .expect("of this circuit");
        }
        assert!(
            validator.validate(UnwrapErr(SysRng)),
            "all of them are good"
        );
        raw = raw.min(began.elapsed());
    }
    let per_second = |time: Duration| count as f64 / time.as_secs_f64();
    let ratio = per_second(ours) / per_second(raw);
    let goal = if count == 64 { ">= 95 % of raw" } else { "" };
    figures.add(
        &format!("verify {count} together, {cores}"),
        goal,
        &format!("{} ({:.0}/s)", ms(ours), per_second(ours)),
        &format!(
            "BatchValidator {} ({:.0}/s): {:.1} %",
            ms(raw),
            per_second(raw),
            ratio * 100.0
        ),
    );
}

fn validate_block(
    figures: &mut Figures,
    rules: &Rules,
    raws: &[Vec<u8>],
    bundles: &[(orchard::Bundle<Authorized, i64>, [u8; 32])],
    is_test: bool,
) {
    let bytes = if is_test { 20_000 } else { BLOCK_BYTES };
    let count = bytes / raws[0].len();
    let batch: Vec<&[u8]> = (0..count)
        .map(|i| raws[i % raws.len()].as_slice())
        .collect();
    let (mut verified, mut appended, mut raw) = (Duration::MAX, Duration::MAX, Duration::MAX);
    for _ in 0..if is_test { 1 } else { BLOCK_ROUNDS } {
        let began = Instant::now();
        let verdicts = AlphaApp::verify_all(rules, &batch, Until::End);
        verified = verified.min(began.elapsed());
        assert!(verdicts.iter().all(Result::is_ok), "all of them are good");
        let began = Instant::now();
        let mut tree = NoteTree::default();
        tree.extend(&commitments(2 * count));
        black_box(tree.root());
        appended = appended.min(began.elapsed());
        let began = Instant::now();
        raw_batches(bundles, count);
        raw = raw.min(began.elapsed());
    }
    figures.add(
        &format!(
            "validate a block of 8 MB ({count} transactions), one core, nothing verified before"
        ),
        "< 2.5 s",
        &format!(
            "{} ({} verifying, {} its note commitments)",
            seconds(verified + appended),
            seconds(verified),
            seconds(appended)
        ),
        &format!(
            "BatchValidator alone, {} together: {}",
            batch_size(count, 1),
            seconds(raw)
        ),
    );
}

/// The proof library alone, in batches of the size that a node's have.
fn raw_batches(bundles: &[(orchard::Bundle<Authorized, i64>, [u8; 32])], count: usize) {
    let all: Vec<usize> = (0..count).collect();
    for batch in all.chunks(batch_size(count, 1)) {
        let mut validator = BatchValidator::new(verifying_key());
        for index in batch {
            let (bundle, sighash) = &bundles[index % bundles.len()];
            let added = validator.add_bundle(bundle, *sighash);
            added.expect("of this circuit");
        }
        let is_good = validator.validate(UnwrapErr(SysRng));
        assert!(is_good, "all of them are good");
    }
}

fn commitments(count: usize) -> Vec<[u8; 32]> {
    let commitment = |number: u64| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        bytes
    };
    (0..count as u64).map(commitment).collect()
}

fn tree(figures: &mut Figures, leaves: usize) {
    let commitments = commitments(leaves);
    let began = Instant::now();
    let mut tree = NoteTree::default();
    for block in commitments.chunks(BLOCK_NOTES) {
        tree.extend(block);
    }
    let ours = began.elapsed();
    let began = Instant::now();
    let mut raw = Frontier::<MerkleHashOrchard, 32>::empty();
    for commitment in &commitments {
        let leaf = MerkleHashOrchard::from_bytes(commitment);
        raw.append(Option::from(leaf).expect("a small number is in the field"));
    }
    let peer = began.elapsed();
    assert_eq!(tree.root(), raw.root().to_bytes());
    let each = |time: Duration| format!("{:.1} us", time.as_secs_f64() * 1e6 / leaves as f64);
    figures.add(
        &format!("append a note commitment, {BLOCK_NOTES} together"),
        "",
        &each(ours),
        &format!("incrementalmerkletree, one by one: {}", each(peer)),
    );
}

/// A wallet reads blocks that have none of its notes.
fn scan(figures: &mut Figures, genesis: &Genesis, txs: &[Transaction], actions: usize) {
    let stranger = SpendingKeys::derive(&Mnemonic::generate().seed(), 0).expect("any seed");
    let mut wallet = wallet_of(genesis, &stranger);
    let mut chain = Blocks::default();
    while chain.commitments < actions as u64 {
        let height = chain.blocks.len() as u64;
        let txs = (0..10).map(|index| {
            let mut tx = CompactTx::of(&txs[index % txs.len()]);
            tx.id = Hash::of("bench tx", &[&height.to_be_bytes(), &[index as u8]]);
            tx
        });
        chain.push(txs.collect());
    }
    let made = chain.commitments as usize;
    let began = Instant::now();
    for some in chain.blocks.chunks(50) {
        wallet.scan(some).expect("they follow each other");
    }
    let ours = began.elapsed();

    let keys = [Scope::External, Scope::Internal]
        .map(|scope| PreparedIncomingViewingKey::new(&stranger.viewing().pool.key().to_ivk(scope)));
    let inputs: Vec<(IronwoodDomain, CompactAction)> = (0..made)
        .map(|index| {
            let (bundle, _) = decoded(&txs[index % txs.len()]);
            let action = &bundle.actions()[index % 2];
            (
                IronwoodDomain::for_action(action),
                CompactAction::from(action),
            )
        })
        .collect();
    let began = Instant::now();
    let found = zcash_note_encryption::batch::try_compact_note_decryption(&keys, &inputs);
    let raw = began.elapsed();
    assert!(
        found.iter().all(Option::is_none),
        "a stranger finds nothing"
    );
    let per_10k = |time: Duration| seconds(time.mul_f64(SCANNED_ACTIONS as f64 / made as f64));
    figures.add(
        "scan 10,000 actions: decryption and the wallet's tree, all cores",
        "",
        &per_10k(ours),
        &format!("trial decryption alone, one core: {}", per_10k(raw)),
    );
}
