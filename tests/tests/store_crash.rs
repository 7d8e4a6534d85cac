//! The store and the signer under kill -9, a full disk and a failing fsync.
//!
//! A child process (this test binary again) commits blocks of both chains and signs, and prints
//! what was acknowledged. It is killed at random instants. After each death the database must
//! hold every acknowledged batch whole, none torn, and no slot may ever carry two signatures.

use adnet_common::chain_id::ChainId;
use adnet_common::consensus::{SignRequest, SignSlot, Step, WalEntry};
use adnet_common::consensus_keys::{clear_height, load_wal};
use adnet_common::hash::Hash;
use adnet_common::keys::{KeyKind, SecretKey};
use adnet_common::store::{CommitBatch, Family, Part, ReadStore, StoreError, Write};
use adnet_supervisor::signer::LocalSigner;
use adnet_supervisor::store::{FailureKind, NetworkIdentity, Store, StoreOpenError, StoreOptions};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const GENESIS: Hash = Hash([3; 32]);
const NETWORK_ID: u32 = 7;
/// Keys that every block overwrites: all must show the same height.
const CELLS: u8 = 64;
/// Where the child finds its database.
const DIRECTORY: &str = "ADNET_TEST_STORE_CRASH_DIR";
const DEADLINE: Duration = Duration::from_secs(60);

fn open(path: &Path) -> Result<Store, StoreOpenError> {
    let name = "crash".to_owned();
    let network = NetworkIdentity {
        network_id: NETWORK_ID,
        genesis: GENESIS,
        name,
    };
    Store::open(path, &StoreOptions::default(), &network)
}

fn signer(store: &Store) -> LocalSigner {
    let key = SecretKey::from_bytes(KeyKind::Validator, &[9; 32]).expect("any seed is a key");
    LocalSigner::open(&key, NETWORK_ID, GENESIS, store.clone()).expect("good marks")
}

/// The block of a height: the cells, a key of its own, and the end of the height's log.
fn block(chain: ChainId, height: u64) -> CommitBatch {
    let (state, blocks) = (
        Family::of(chain, Part::State),
        Family::of(chain, Part::Blocks),
    );
    let value = [height.to_be_bytes(); 8].concat();
    let mut writes: Vec<_> = (0..CELLS)
        .map(|i| Write::put(state, [i], value.clone()))
        .collect();
    writes.push(Write::put(blocks, height.to_be_bytes(), value));
    writes.extend(clear_height(chain, height));
    CommitBatch { height, writes }
}

fn prevote(height: u64, value: [u8; 32]) -> SignRequest {
    SignRequest {
        height,
        round: 0,
        step: Step::Prevote,
        value: Some(value),
        pol_round: None,
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A parent that is gone reads no more, and nothing is left to say.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Not a test: the process that the others kill.
#[test]
#[ignore = "the child process of the other tests"]
fn child() {
    let Some(path) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let store = open(Path::new(&path)).expect("opens after any death");
    let signer = signer(&store);
    std::thread::scope(|scope| {
        for chain in ChainId::ALL {
            let (store, signer) = (&store, &signer);
            scope.spawn(move || run_chain(chain, store, signer));
        }
    });
    say(&format!(
        "failed {:?}",
        store.failure().map(|failure| failure.kind)
    ));
}

/// Signs and commits until the store fails.
fn run_chain(chain: ChainId, store: &Store, signer: &LocalSigner) {
    let mut height = store.committed_height(chain).map_or(0, |last| last + 1);
    loop {
        // Each run votes for something else, as a careless worker might after its restart.
        let value = Hash::of(
            "vote",
            &[&std::process::id().to_be_bytes(), &height.to_be_bytes()],
        );
        let known = load_wal(store, chain, height).expect("readable").len() as u64;
        let wal = WalEntry {
            height,
            index: known,
            bytes: vec![chain.as_byte(); 100],
        };
        if let Ok(signature) = signer.sign(chain, &[wal], &prevote(height, value.0)) {
            say(&format!(
                "sig {chain} {height} {value} {}",
                hex::encode(signature)
            ));
        }
        match store.commit(chain, &block(chain, height)) {
            Ok(()) => say(&format!("ack {chain} {height}")),
            Err(error) => {
                assert!(matches!(error, StoreError::Failed(_)), "{error}");
                return;
            }
        }
        height += 1;
    }
}

/// A line of the child, understood.
enum Said {
    Ack(ChainId, u64),
    Signed(ChainId, u64, Hash, String),
    Failed(String),
}

fn understand(line: &str) -> Option<Said> {
    let chain = |name: &str| ChainId::ALL.into_iter().find(|c| c.name() == name);
    // The test harness writes a line of its own and does not end it.
    let line = line.strip_prefix("test child ... ").unwrap_or(line);
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["ack", name, height] => Some(Said::Ack(chain(name)?, height.parse().ok()?)),
        ["sig", name, height, value, signature] => Some(Said::Signed(
            chain(name)?,
            height.parse().ok()?,
            value.parse().ok()?,
            signature.to_owned(),
        )),
        ["failed", ..] => Some(Said::Failed(line.to_owned())),
        _ => None,
    }
}

/// Everything that children have promised.
#[derive(Default)]
struct Promises {
    acknowledged: BTreeMap<ChainId, u64>,
    signed: BTreeMap<(ChainId, SignSlot), (Hash, String)>,
    failed: Option<String>,
}

impl Promises {
    fn keep(&mut self, said: Said) {
        match said {
            Said::Ack(chain, height) => {
                let last = self.acknowledged.insert(chain, height);
                assert!(
                    last.is_none_or(|last| last < height),
                    "{chain} went back to {height}"
                );
            }
            Said::Signed(chain, height, value, signature) => {
                let slot = SignSlot::from(&prevote(height, value.0));
                let before = self
                    .signed
                    .insert((chain, slot), (value, signature.clone()));
                let same = before.is_none_or(|before| before == (value, signature));
                assert!(same, "{chain} signed {slot:?} twice");
            }
            Said::Failed(why) => self.failed = Some(why),
        }
    }

    /// What the database says after a death.
    fn check(&self, path: &Path) {
        let store = open(path).expect("opens after any death");
        for chain in ChainId::ALL {
            let height = store.committed_height(chain);
            let acknowledged = self.acknowledged.get(&chain).copied();
            assert!(
                height >= acknowledged,
                "{chain}: {height:?} < {acknowledged:?}"
            );
            let Some(height) = height else { continue };
            let expected = Some([height.to_be_bytes(); 8].concat());
            let cells: Vec<Vec<u8>> = (0..CELLS).map(|i| vec![i]).collect();
            let found = store
                .multi_get(Family::of(chain, Part::State), &cells)
                .expect("readable");
            assert!(
                found.iter().all(|cell| *cell == expected),
                "{chain} {height} is torn"
            );
            let heights: Vec<Vec<u8>> = (0..=height).map(|h| h.to_be_bytes().to_vec()).collect();
            let blocks = store.multi_get(Family::of(chain, Part::Blocks), &heights);
            assert!(
                blocks.expect("readable").iter().all(Option::is_some),
                "{chain} has a gap"
            );
            assert_eq!(
                load_wal(&store, chain, height),
                Ok(vec![]),
                "the log outlived its block"
            );
        }
        self.check_signer(&store);
    }

    /// The last signature of each chain is known, and there is no other for its slot.
    fn check_signer(&self, store: &Store) {
        let signer = signer(store);
        for chain in ChainId::ALL {
            let of_chain = self.signed.iter().rev().find(|((c, _), _)| *c == chain);
            let Some(((_, slot), (value, signature))) = of_chain else {
                continue;
            };
            let other = signer.sign(chain, &[], &prevote(slot.height, [0xee; 32]));
            assert!(other.is_err(), "{chain} signs another message for {slot:?}");
            // A later mark may have become durable without its signature having been heard of.
            if let Ok(again) = signer.sign(chain, &[], &prevote(slot.height, value.0)) {
                assert_eq!(hex::encode(again), *signature);
            }
        }
    }
}

fn child_command(directory: &Path, mut through: Command) -> Command {
    through
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    through
}

fn this_binary() -> PathBuf {
    std::env::current_exe().expect("Linux has /proc/self/exe")
}

/// Kills a child when a test fails half-way.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Small and seeded: where a kill falls need not be unpredictable, only varied.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

#[test]
fn what_was_acknowledged_survives_any_kill() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let mut dice = Dice(now.as_nanos() as u64);
    println!("seed {}", dice.0);
    let mut promises = Promises::default();
    for _ in 0..12 {
        let mut child = child_command(directory.path(), Command::new(this_binary()));
        let mut child = Killed(child.spawn().expect("this binary runs"));
        let lines = BufReader::new(child.0.stdout.take().expect("piped")).lines();
        let mut lines = lines
            .map_while(Result::ok)
            .filter_map(|line| understand(&line));
        // Counted in answers and not in time, so that a slow machine makes progress as well.
        for said in lines.by_ref().take(1 + dice.below(120) as usize) {
            promises.keep(said);
        }
        std::thread::sleep(Duration::from_micros(dice.below(3_000)));
        child.0.kill().expect("it is our child");
        lines.for_each(|said| promises.keep(said));
        drop(child);
        promises.check(directory.path());
    }
    assert_eq!(promises.failed, None);
    assert!(promises.acknowledged.len() == 2 && !promises.signed.is_empty());
    println!("acknowledged {:?}", promises.acknowledged);
}

/// A small file system in memory, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(megabytes: u32) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let size = format!("size={megabytes}m");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "adnet-test"])
            .arg(directory.path())
            .stderr(Stdio::null())
            .status();
        mount
            .is_ok_and(|status| status.success())
            .then(|| SmallDisk(directory))
    }

    fn grow(&self, megabytes: u32) {
        let size = format!("remount,size={megabytes}m");
        let mount = Command::new("mount")
            .args(["-o", &size])
            .arg(self.0.path())
            .status();
        assert!(
            mount.is_ok_and(|status| status.success()),
            "what was mounted can grow"
        );
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, so that a failed test with open files leaves no mount behind.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_acknowledges_nothing_more_and_reopens_cleanly() {
    let Some(disk) = SmallDisk::mount(24) else {
        println!("skipped: mounting a tmpfs is not permitted here");
        return;
    };
    let path = disk.0.path().join("db");
    let store = open(&path).expect("there is room for an empty database");
    let mut dice = Dice(1);
    let mut large = |height: u64| {
        // Noise, so that compression makes no room.
        let noise: Vec<u8> = (0..256 << 10).map(|_| dice.below(256) as u8).collect();
        let value = [height.to_be_bytes().as_slice(), &noise].concat();
        CommitBatch {
            height,
            writes: vec![Write::put(Family::DeltaBlocks, height.to_be_bytes(), value)],
        }
    };
    let mut acknowledged = Vec::new();
    let error = loop {
        let batch = large(acknowledged.len() as u64);
        match store.commit(ChainId::Delta, &batch) {
            Ok(()) => acknowledged.push(batch),
            Err(error) => break error,
        }
        assert!(acknowledged.len() < 1000, "24 MB hold no 250 MB");
    };
    assert!(
        matches!(&error, StoreError::Failed(why) if why.contains("disk is full")),
        "{error}"
    );
    assert_eq!(
        store.failure().map(|failure| failure.kind),
        Some(FailureKind::DiskFull)
    );
    disk.grow(256);
    let next = acknowledged.len() as u64;
    let small = CommitBatch {
        height: next,
        writes: vec![],
    };
    let after = store.commit(ChainId::Delta, &small);
    assert!(
        matches!(after, Err(StoreError::Failed(_))),
        "a failed store stays failed"
    );
    assert!(store.append_wal(ChainId::Alpha, &[], None, &[]).is_err());
    drop(store);

    let store = open(&path).expect("opens after space was made");
    let height = store.committed_height(ChainId::Delta);
    assert!(height >= next.checked_sub(1), "{height:?}");
    for batch in &acknowledged {
        let Write::Put { family, key, value } = &batch.writes[0] else {
            unreachable!()
        };
        assert_eq!(
            store.get(*family, key).expect("readable").as_ref(),
            Some(value)
        );
    }
    let follows = CommitBatch {
        height: height.map_or(0, |h| h + 1),
        writes: vec![],
    };
    store.commit(ChainId::Delta, &follows).expect("goes on");
    println!("{next} batches of 256 KiB were acknowledged before the disk was full");
}

#[test]
fn nothing_is_acknowledged_after_a_failed_fsync() {
    let has_strace = Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .status();
    if !has_strace.is_ok_and(|status| status.success()) {
        println!("skipped: strace is not installed");
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    drop(open(directory.path()).expect("made"));
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"])
        .args(["-e", "inject=fdatasync:error=EIO:when=60+"])
        .arg(this_binary());
    let mut child = child_command(directory.path(), strace);
    let mut child = Killed(child.spawn().expect("strace runs"));
    let lines = BufReader::new(child.0.stdout.take().expect("piped")).lines();
    let mut promises = Promises::default();
    for line in lines.map_while(Result::ok) {
        let Some(said) = understand(&line) else {
            continue;
        };
        assert!(promises.failed.is_none(), "nothing follows a failure");
        promises.keep(said);
    }
    let ends = Instant::now() + DEADLINE;
    while child.0.try_wait().expect("it is our child").is_none() {
        assert!(Instant::now() < ends, "the child ends by itself");
        std::thread::yield_now();
    }
    if promises.failed.is_none() && promises.acknowledged.is_empty() {
        println!("skipped: tracing is not permitted here");
        return;
    }
    assert_eq!(promises.failed.as_deref(), Some("failed Some(Io)"));
    promises.check(directory.path());
}
