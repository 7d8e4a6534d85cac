use super::migration::{Migration, migrate};
use super::*;
use adnet_common::consensus::WalEntry;
use adnet_common::consensus_keys::{clear_height, load_wal};
use adnet_common::hash::Hash;
use adnet_common::memory_store::MemoryStore;
use adnet_common::store::{CommitBatch, MARK_PREFIX, ReadStore, RestoreBatch, Scan, Write};
use proptest::prelude::*;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn network() -> NetworkIdentity {
    NetworkIdentity {
        network_id: 7,
        genesis: Hash([3; 32]),
        name: "test".into(),
    }
}

fn open(path: &Path) -> Store {
    Store::open(path, &StoreOptions::default(), &network()).expect("a good database")
}

fn refused(path: &Path) -> StoreOpenError {
    Store::open(path, &StoreOptions::default(), &network()).expect_err("a bad database")
}

fn batch(height: u64, writes: Vec<Write>) -> CommitBatch {
    CommitBatch { height, writes }
}

fn put(family: Family, key: &[u8]) -> Write {
    Write::put(family, key, b"value".as_slice())
}

#[test]
fn deferred_blocks_keep_all_rules_and_are_there_after_a_sync() {
    let dir = TempDir::new().expect("a temporary directory");
    let store = open(dir.path());
    let alpha = ChainId::Alpha;
    let block = |height| batch(height, vec![put(Family::AlphaState, &[height as u8])]);
    store.commit(alpha, &block(0)).expect("the first");
    for height in [1, 1, 2] {
        let done = store.commit_deferred(alpha, &block(height));
        done.expect("it follows, or comes again");
    }
    let gap = store.commit_deferred(alpha, &block(4));
    assert!(matches!(gap, Err(StoreError::Forbidden { .. })));
    let foreign = batch(3, vec![put(Family::DeltaState, b"k")]);
    let foreign = store.commit_deferred(alpha, &foreign);
    assert!(matches!(foreign, Err(StoreError::Forbidden { .. })));
    store.sync().expect("the disk works");
    drop(store);
    assert_eq!(open(dir.path()).committed_height(alpha), Some(2));
}

#[test]
fn a_worker_cannot_touch_what_is_not_its_own() {
    let dir = TempDir::new().expect("a temporary directory");
    let store = open(dir.path());
    let range = |from: &[u8], to: &[u8]| Write::DeleteRange {
        family: Family::AlphaConsensus,
        from: from.to_vec(),
        to: to.to_vec(),
    };
    let forbidden = [
        put(Family::DeltaState, b"k"),
        put(Family::SharedMeta, b"schema"),
        put(Family::SharedPeers, b"k"),
        put(Family::SharedAttestations, &[ChainId::Delta.as_byte(), 1]),
        put(Family::AlphaConsensus, &[MARK_PREFIX, 0]),
        Write::Delete {
            family: Family::AlphaConsensus,
            key: vec![MARK_PREFIX],
        },
        range(b"a", &[MARK_PREFIX, 1]),
        range(b"b", b"a"),
        put(Family::AlphaState, &[0; 5000]),
    ];
    for write in forbidden {
        // The good write before it must not be there afterwards.
        let writes = vec![put(Family::AlphaState, b"good"), write.clone()];
        let answer = store.commit(ChainId::Alpha, &batch(0, writes.clone()));
        assert!(
            matches!(answer, Err(StoreError::Forbidden { .. })),
            "{write:?}"
        );
        let answer = store.append_wal(ChainId::Alpha, &[], None, &writes);
        assert!(
            matches!(answer, Err(StoreError::Forbidden { .. })),
            "{write:?}"
        );
    }
    let state = store.append_wal(
        ChainId::Alpha,
        &[],
        None,
        &[put(Family::AlphaState, b"good")],
    );
    assert!(matches!(state, Err(StoreError::Forbidden { .. })));
    assert_eq!(store.get(Family::AlphaState, b"good"), Ok(None));
    assert_eq!(store.committed_height(ChainId::Alpha), None);
    assert_eq!(store.failure(), None);
    let own = put(Family::SharedAttestations, &[ChainId::Alpha.as_byte(), 1]);
    store
        .commit(ChainId::Alpha, &batch(0, vec![own]))
        .expect("its own");
}

#[test]
fn heights_follow_each_other_and_the_last_may_come_again() {
    let dir = TempDir::new().expect("a temporary directory");
    let alpha = |key: &[u8]| vec![put(Family::AlphaState, key)];
    let store = open(dir.path());
    let commit = |store: &Store, height, key: &[u8]| {
        store.commit(ChainId::Alpha, &batch(height, alpha(key)))
    };
    assert!(
        commit(&store, 1, b"a").is_err(),
        "the genesis block comes first"
    );
    commit(&store, 0, b"a").expect("genesis");
    commit(&store, 1, b"b").expect("follows");
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.committed_height(ChainId::Alpha), Some(1));
    assert_eq!(store.committed_height(ChainId::Delta), None);
    commit(&store, 1, b"b").expect("the same again");
    for (height, key) in [(1, b"c"), (0, b"a"), (3, b"d"), (u64::MAX, b"e")] {
        let answer = commit(&store, height, key);
        assert!(
            matches!(answer, Err(StoreError::Forbidden { .. })),
            "{height}"
        );
    }
    commit(&store, 2, b"f").expect("follows");
    assert_eq!(
        store.get(Family::AlphaState, b"f"),
        Ok(Some(b"value".to_vec()))
    );
    assert_eq!(store.get(Family::AlphaState, b"c"), Ok(None));
}

#[test]
fn a_log_is_cleared_by_its_commit_however_long_it_is() {
    let dir = TempDir::new().expect("a temporary directory");
    let store = open(dir.path());
    // The second is deleted as a range, the first key by key.
    for (height, entries) in [(0, 10), (1, 1500)] {
        let entry = |index| WalEntry {
            height,
            index,
            bytes: vec![1; 8],
        };
        let wal: Vec<_> = (0..entries).map(entry).collect();
        store
            .append_wal(ChainId::Delta, &wal, None, &[])
            .expect("written");
        let next = WalEntry {
            height: height + 1,
            index: 9,
            bytes: vec![2],
        };
        store
            .append_wal(ChainId::Delta, std::slice::from_ref(&next), None, &[])
            .expect("written");
        assert_eq!(
            load_wal(&store, ChainId::Delta, height).map(|w| w.len()),
            Ok(wal.len())
        );
        let clear = clear_height(ChainId::Delta, height);
        store
            .commit(ChainId::Delta, &batch(height, clear))
            .expect("committed");
        assert_eq!(load_wal(&store, ChainId::Delta, height), Ok(vec![]));
        assert_eq!(load_wal(&store, ChainId::Delta, height + 1), Ok(vec![next]));
    }
}

#[test]
fn another_network_and_a_newer_release_are_named() {
    let dir = TempDir::new().expect("a temporary directory");
    drop(open(dir.path()));
    let other = NetworkIdentity {
        network_id: 8,
        name: "other".into(),
        ..network()
    };
    let error = Store::open(dir.path(), &StoreOptions::default(), &other).expect_err("other");
    assert!(
        error
            .to_string()
            .contains("belongs to network `test` (id 7"),
        "{error}"
    );

    let store = open(dir.path());
    let newer = Write::put(
        Family::SharedMeta,
        b"schema".as_slice(),
        9_u32.to_be_bytes(),
    );
    store.write_shared(&[newer]).expect("written");
    drop(store);
    let error = refused(dir.path()).to_string();
    assert!(
        error.contains(&format!(
            "has schema version 9, and this release knows versions up to {SCHEMA_VERSION}"
        )),
        "{error}"
    );
}

#[test]
fn a_family_of_a_newer_release_is_named() {
    let dir = TempDir::new().expect("a temporary directory");
    drop(open(dir.path()));
    let mut options = rocksdb::Options::default();
    options.create_missing_column_families(true);
    let names = Family::ALL
        .map(Family::name)
        .into_iter()
        .chain(["default", "alpha_notes"]);
    drop(DB::open_cf(&options, dir.path(), names).expect("opens"));
    let error = refused(dir.path());
    assert!(
        matches!(&error, StoreOpenError::UnknownFamily { family, .. } if family == "alpha_notes")
    );
}

#[test]
fn a_second_opening_says_that_a_node_is_running() {
    let dir = TempDir::new().expect("a temporary directory");
    let _store = open(dir.path());
    assert!(matches!(refused(dir.path()), StoreOpenError::Locked { .. }));
}

/// The only file with this extension, or the largest.
fn file_with(path: &Path, extension: &str) -> std::path::PathBuf {
    let files = fs::read_dir(path)
        .expect("readable")
        .map(|entry| entry.expect("readable").path());
    let files = files.filter(|p| p.extension().is_some_and(|e| e == extension));
    files
        .max_by_key(|p| fs::metadata(p).expect("exists").len())
        .expect("there is one")
}

#[test]
fn damage_in_the_log_refuses_to_open_and_a_torn_end_does_not() {
    let dir = TempDir::new().expect("a temporary directory");
    let store = open(dir.path());
    for height in 0..20 {
        let writes = vec![Write::put(
            Family::DeltaState,
            vec![height as u8],
            vec![7; 500],
        )];
        store
            .commit(ChainId::Delta, &batch(height, writes))
            .expect("committed");
    }
    drop(store);
    let log = file_with(dir.path(), "log");
    let whole = fs::read(&log).expect("readable");
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 0x40;
    fs::write(&log, &damaged).expect("written");
    assert!(matches!(
        refused(dir.path()),
        StoreOpenError::Corrupt { .. }
    ));
    fs::write(&log, &whole[..whole.len() - 5]).expect("written");
    let store = open(dir.path());
    assert_eq!(store.committed_height(ChainId::Delta), Some(18));
}

#[test]
fn tables_without_current_are_not_taken_for_an_empty_directory() {
    let dir = TempDir::new().expect("a temporary directory");
    drop(open(dir.path()));
    fs::remove_file(dir.path().join("CURRENT")).expect("removed");
    let error = refused(dir.path());
    assert!(error.to_string().contains("CURRENT is missing"), "{error}");
}

#[test]
fn migrations_run_in_order_and_each_once() {
    let dir = TempDir::new().expect("a temporary directory");
    let store = open(dir.path());
    fn append(db: &DB, batch: &mut rocksdb::WriteBatch, step: u8) -> Result<(), rocksdb::Error> {
        let meta = db
            .cf_handle(Family::SharedMeta.name())
            .expect("made by open");
        let mut seen = db.get_cf(meta, b"seen")?.unwrap_or_default();
        seen.push(step);
        batch.put_cf(meta, b"seen", seen);
        Ok(())
    }
    let steps = [
        Migration {
            to: 2,
            run: |db, batch| append(db, batch, 2),
        },
        Migration {
            to: 3,
            run: |db, batch| append(db, batch, 3),
        },
    ];
    assert_eq!(migrate(&store.inner.db, 1, &steps[..1]), Ok(2));
    assert_eq!(migrate(&store.inner.db, 2, &steps), Ok(3));
    assert_eq!(migrate(&store.inner.db, 3, &steps), Ok(3));
    assert_eq!(store.get(Family::SharedMeta, b"seen"), Ok(Some(vec![2, 3])));
    let schema = store.get(Family::SharedMeta, b"schema");
    assert_eq!(schema, Ok(Some(3_u32.to_be_bytes().to_vec())));
}

#[test]
fn both_chains_commit_at_once_and_metrics_count_them() {
    let dir = TempDir::new().expect("a temporary directory");
    let store = open(dir.path());
    let registry = prometheus::Registry::new();
    store.register_metrics(&registry).expect("registered once");
    std::thread::scope(|scope| {
        for chain in ChainId::ALL {
            let store = store.clone();
            scope.spawn(move || {
                let family = Family::of(chain, adnet_common::store::Part::State);
                for height in 0..50 {
                    let writes = vec![Write::put(family, height.to_string(), [1; 64])];
                    store
                        .commit(chain, &batch(height, writes))
                        .expect("committed");
                }
            });
        }
    });
    let page = adnet_common::metrics::render(&[(
        "supervisor",
        &adnet_common::metrics::gather_text(&registry),
    )]);
    let line = "adnet_store_commit_seconds_count{role=\"supervisor\",chain=\"delta\"} 50";
    assert!(page.contains(line), "{page}");
    assert!(page.contains("adnet_store_failed{role=\"supervisor\"} 0"));
    let statistics = store.statistics();
    assert!(
        statistics
            .families
            .iter()
            .any(|f| f.family == Family::AlphaState && f.keys == 50)
    );
}

#[test]
fn a_state_is_restored_only_where_no_block_was_decided() {
    let dir = TempDir::new().expect("a temporary directory");
    let store = open(dir.path());
    let alpha = ChainId::Alpha;
    let part = |starts, keys: &[&[u8]], ends| RestoreBatch {
        starts,
        writes: keys
            .iter()
            .map(|key| put(Family::AlphaState, key))
            .collect(),
        ends,
    };
    let mine = [alpha.as_byte(), b's'];
    let genesis = vec![
        put(Family::AlphaState, b"old"),
        put(Family::AlphaBlocks, b"old"),
        put(Family::SharedAttestations, &mine),
        put(Family::AlphaConsensus, b"log"),
    ];
    store.commit(alpha, &batch(0, genesis)).expect("genesis");
    let delta = put(Family::DeltaState, b"kept");
    store
        .commit(ChainId::Delta, &batch(0, vec![delta]))
        .expect("genesis");
    let late = store.restore(alpha, &part(false, &[b"a"], None));
    assert!(matches!(late, Err(StoreError::Forbidden { .. })));
    let foreign = RestoreBatch {
        starts: true,
        writes: vec![put(Family::DeltaState, b"k")],
        ends: None,
    };
    let foreign = store.restore(alpha, &foreign);
    assert!(matches!(foreign, Err(StoreError::Forbidden { .. })));
    assert_eq!(
        store.committed_height(alpha),
        Some(0),
        "nothing has changed"
    );

    // It is begun with, cut off, and begun with again.
    store
        .restore(alpha, &part(true, &[b"a"], None))
        .expect("the first part");
    assert_eq!(store.committed_height(alpha), None);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.committed_height(alpha), None);
    let early = store.commit(alpha, &batch(7, Vec::new()));
    assert!(matches!(early, Err(StoreError::Forbidden { .. })));
    store
        .restore(alpha, &part(true, &[b"b"], None))
        .expect("the first part");
    store
        .restore(alpha, &part(false, &[b"c"], None))
        .expect("the next");
    store
        .restore(alpha, &part(false, &[b"d"], Some(40)))
        .expect("the last");
    assert_eq!(store.committed_height(alpha), Some(40));
    let get = |family, key: &[u8]| store.get(family, key).expect("it reads").is_some();
    let state = ["old", "a", "b", "c", "d"].map(|key| get(Family::AlphaState, key.as_bytes()));
    assert_eq!(state, [false, false, true, true, true]);
    assert!(!get(Family::AlphaBlocks, b"old") && !get(Family::SharedAttestations, &mine));
    assert!(get(Family::AlphaConsensus, b"log") && get(Family::DeltaState, b"kept"));
    let again = store.restore(alpha, &part(true, &[b"e"], None));
    assert!(matches!(again, Err(StoreError::Forbidden { .. })));
    store
        .commit(alpha, &batch(41, Vec::new()))
        .expect("blocks go on from there");
}

#[test]
fn a_database_of_an_early_build_is_refused_by_name() {
    let dir = TempDir::new().expect("a temporary directory");
    let store = open(dir.path());
    let schema = Write::put(Family::SharedMeta, *b"schema", 1_u32.to_be_bytes());
    store.write_shared(&[schema]).expect("written");
    drop(store);
    let error = refused(dir.path());
    assert!(matches!(
        error,
        StoreOpenError::OlderSchema { found: 1, .. }
    ));
    assert!(error.to_string().contains("move it away"), "{error}");
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0_u8..4, 1..4)
}

fn write() -> impl Strategy<Value = Write> {
    let family = Family::AlphaConsensus;
    prop_oneof![
        4 => (key(), 0_usize..300_000).prop_map(move |(key, len)| Write::put(family, key, vec![1; len])),
        1 => key().prop_map(move |key| Write::Delete { family, key }),
        1 => (key(), key()).prop_map(move |(a, b)| {
            let (from, to) = if a < b { (a, b) } else { (b, a) };
            Write::DeleteRange { family, from, to }
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn reads_are_those_of_the_store_in_memory(
        batches in prop::collection::vec(prop::collection::vec(write(), 1..12), 1..4),
        scans in prop::collection::vec((key(), key(), 0_u32..9, any::<bool>()), 1..30),
        keys in prop::collection::vec(key(), 0..9),
    ) {
        let dir = TempDir::new().expect("a temporary directory");
        let store = open(dir.path());
        let mut model = MemoryStore::new();
        for writes in &batches {
            store.append_wal(ChainId::Alpha, &[], None, writes).expect("allowed");
            model.apply(writes);
        }
        let family = Family::AlphaConsensus;
        for (from, to, limit, reverse) in scans {
            let limit = if limit == 8 { u32::MAX } else { limit };
            let scan = Scan { family, from, to, limit, reverse };
            prop_assert_eq!(store.scan(&scan), model.scan(&scan));
        }
        prop_assert_eq!(store.multi_get(family, &keys), model.multi_get(family, &keys));
    }
}
