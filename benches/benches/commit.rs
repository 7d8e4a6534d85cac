//! A block of 1,000 keys through `Store::commit`, beside a bare synced RocksDB batch of the same
//! keys and values in the same run, turn by turn on the same file system.
//!
//! The bare database is opened with the store's own options and families, and its batch goes into
//! the same family, so the ratio is what the store itself adds: the check of each write, the digest
//! that tells a repeated batch from another, and the record of the chain's tip.
//!
//! With `--test` (as `cargo test --benches` passes) it runs a few rounds and records nothing.

use adnet_benches::report::row;
use adnet_common::chain_id::ChainId;
use adnet_common::hash::Hash;
use adnet_common::store::{CommitBatch, Family, Write};
use adnet_supervisor::store::{NetworkIdentity, Store, StoreOptions};
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

const KEYS: usize = 1_000;
const VALUE_BYTES: usize = 100;
const WARM_UP_ROUNDS: u64 = 50;
const ROUNDS: u64 = 1_000;

/// Keys and values of a block: 32 bytes that look like hashes, spread over the key space.
fn entries(height: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let entry = |i: usize| {
        let key = Hash::of("bench", &[&height.to_be_bytes(), &i.to_be_bytes()]);
        let value: Vec<u8> = key.0.iter().copied().cycle().take(VALUE_BYTES).collect();
        (key.0.to_vec(), value)
    };
    (0..KEYS).map(entry).collect()
}

fn bare_commit(db: &rocksdb::DB, entries: &[(Vec<u8>, Vec<u8>)]) -> Duration {
    let started = Instant::now();
    let family = db.cf_handle(Family::DeltaState.name());
    let family = family.expect("opened with all families of the store");
    let mut batch = rocksdb::WriteBatch::default();
    for (key, value) in entries {
        batch.put_cf(family, key, value);
    }
    let mut synced = rocksdb::WriteOptions::default();
    synced.set_sync(true);
    db.write_opt(batch, &synced).expect("the disk works");
    started.elapsed()
}

fn store_commit(store: &Store, batch: &CommitBatch) -> Duration {
    let started = Instant::now();
    store.commit(ChainId::Delta, batch).expect("the disk works");
    started.elapsed()
}

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (warm_up, rounds) = if is_test {
        (0, 5)
    } else {
        (WARM_UP_ROUNDS, ROUNDS)
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let network = NetworkIdentity {
        network_id: 1,
        genesis: Hash::ZERO,
        name: "bench".to_owned(),
    };
    let options = StoreOptions::default();
    let store = Store::open(&directory.path().join("store"), &options, &network);
    let store = store.expect("an empty directory");
    let (database, families) = options.for_rocksdb();
    let path = directory.path().join("bare");
    let bare = rocksdb::DB::open_cf_descriptors(&database, path, families);
    let bare = bare.expect("an empty directory");

    let histogram = || Histogram::<u64>::new(3).expect("three digits are supported");
    let (mut ours, mut theirs) = (histogram(), histogram());
    for height in 0..warm_up + rounds {
        let entries = entries(height);
        let put = |(key, value): &(Vec<u8>, Vec<u8>)| {
            Write::put(Family::DeltaState, key.clone(), value.clone())
        };
        let batch = CommitBatch {
            height,
            writes: entries.iter().map(put).collect(),
        };
        // Who goes first alternates, so that neither always follows the other's work.
        let (our_time, their_time) = if height % 2 == 0 {
            let our_time = store_commit(&store, &batch);
            (our_time, bare_commit(&bare, &entries))
        } else {
            let their_time = bare_commit(&bare, &entries);
            (store_commit(&store, &batch), their_time)
        };
        if height >= warm_up {
            ours.record(our_time.as_nanos() as u64).expect("it grows");
            theirs
                .record(their_time.as_nanos() as u64)
                .expect("it grows");
        }
    }
    let words = |h: &Histogram<u64>, quantile| {
        format!("{:.2} ms", h.value_at_quantile(quantile) as f64 / 1e6)
    };
    for (name, quantile, goal) in [("p50", 0.5, ""), ("p99", 0.99, "≤ 1.5 × bare batch")] {
        let figure = format!("block of {KEYS} keys, {name}");
        let ratio =
            ours.value_at_quantile(quantile) as f64 / theirs.value_at_quantile(quantile) as f64;
        let measured = format!("{} ({ratio:.2} ×)", words(&ours, quantile));
        let peer = format!(
            "bare synced WriteBatch, same options {}",
            words(&theirs, quantile)
        );
        println!("commit: {figure}: {measured}, {peer}");
        if !is_test {
            row("commit", &figure, goal, &measured, &peer);
        }
    }
}
