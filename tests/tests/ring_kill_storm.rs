//! Kills the two ends of a ring at random instants, with a real SIGKILL, and proves that nothing is
//! lost, doubled in effect or torn, and that nobody hangs.
//!
//! Three processes: this one in the part of the supervisor, and a producer and a consumer that are
//! this very binary, started again. The record with number `n` has contents that follow from `n`
//! alone, so every process can say what must be in it. The consumer keeps its effect (a running
//! digest) together with the number it applied last in ONE write of a file, as a store does in one
//! write batch, and releases records only afterwards, several at a time.
//!
//! `ADNET_STORM_KILLS` sets how many kills are made; the default keeps the run at a few seconds.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use adnet_shm::{
    BACKSTOP, Consumer, Producer, RingAudit, RingExpect, RingSpec, Segment, Side, WaitOutcome,
    unlink_stale,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const CAPACITY: usize = 1 << 16;
const EXPECT: RingExpect = RingExpect {
    ring_id: 5,
    schema_hash: [0x5e; 32],
};
/// Longest time without progress while both sides are attached and none of them wants the CPU. A
/// wake that was lost is healed by the backstop of a sleep, so half of that shows every one.
const HANG_LIMIT: Duration = Duration::from_millis(BACKSTOP.as_millis() as u64 / 2);
/// What the time between two looks counts for at most. They are 100 µs apart; more means that this
/// process did not run itself, and then the others may not have run either.
const LOOK_MAX: Duration = Duration::from_millis(1);
/// Longest time for anything at all, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

const ENV_ROLE: &str = "ADNET_STORM_ROLE";
const ENV_RING: &str = "ADNET_STORM_RING";
const ENV_EPOCH: &str = "ADNET_STORM_EPOCH";
const ENV_SINK: &str = "ADNET_STORM_SINK";
const ENV_DEDUP: &str = "ADNET_STORM_DEDUP";

/// SplitMix64 (Steele, Lea, Flood 2014): a good mix of one number, and a generator by counting.
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0) % bound
    }
}

/// Length of record `seq` in bytes: mostly small, now and then the largest possible.
fn length_of(seq: u64, max: usize) -> usize {
    match mix(seq) % 64 {
        0 => max,
        1..=7 => 8 + (mix(seq ^ 1) % 4096) as usize,
        _ => 8 + (mix(seq ^ 1) % 200) as usize,
    }
}

/// Fills a record and returns the checksum that it ends with.
fn fill(seq: u64, bytes: &mut [u8]) -> u64 {
    let (body, sum) = bytes.split_at_mut(bytes.len() - 8);
    let mut digest = mix(seq);
    for (i, chunk) in body.chunks_mut(8).enumerate() {
        let word = mix(seq.wrapping_add(i as u64) << 1).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
        digest = mix(digest ^ u64::from_le_bytes(word));
    }
    sum.copy_from_slice(&digest.to_le_bytes());
    digest
}

fn fold(digest: u64, seq: u64, checksum: u64) -> u64 {
    mix(digest ^ seq.rotate_left(32) ^ checksum)
}

/// What the consumer has done, kept in a file so that it survives the consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Effect {
    last_applied: u64,
    applied: u64,
    digest: u64,
    redelivered: u64,
}

impl Effect {
    /// One write within one page: a kill comes before or after it.
    fn store(&self, file: &File) {
        let mut bytes = [0u8; 32];
        let fields = [
            self.last_applied,
            self.applied,
            self.digest,
            self.redelivered,
        ];
        for (place, field) in bytes.chunks_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        file.write_all_at(&bytes, 0)
            .expect("the sink takes 32 bytes");
    }

    fn load(file: &File) -> Effect {
        let mut bytes = [0u8; 32];
        if file.read_exact_at(&mut bytes, 0).is_err() {
            return Effect::default();
        }
        let field = |i: usize| u64::from_le_bytes(bytes[i * 8..][..8].try_into().expect("8 bytes"));
        Effect {
            last_applied: field(0),
            applied: field(1),
            digest: field(2),
            redelivered: field(3),
        }
    }
}

// ---------------------------------------------------------------------------------------------
// The two roles.

/// Not a test of its own: one side of a ring, when the environment says so.
#[test]
fn child_role() {
    let Ok(role) = std::env::var(ENV_ROLE) else {
        return;
    };
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).expect("prctl");
    let variable = |name| std::env::var(name).expect("set by the parent");
    let ring = variable(ENV_RING);
    let epoch = variable(ENV_EPOCH).parse().expect("a number");
    match role.as_str() {
        "producer" => produce(Producer::attach(&ring, &EXPECT, epoch).expect("attach")),
        "consumer" => consume(
            Consumer::attach(&ring, &EXPECT, epoch).expect("attach"),
            Path::new(&variable(ENV_SINK)),
            variable(ENV_DEDUP) == "on",
        ),
        other => panic!("no such role: {other}"),
    }
}

fn produce(mut producer: Producer) {
    let mut random = Random(u64::from(std::process::id()) << 32);
    loop {
        for _ in 0..1 + random.below(16) {
            let seq = producer.next_seq();
            let len = length_of(seq, producer.max_message());
            if producer.try_loan(len).is_err() && !producer.wait_for_space(len, PATIENCE) {
                panic!("no space for {len} bytes within {PATIENCE:?}");
            }
            let mut slot = producer.try_loan(len).expect("waited for");
            fill(seq, &mut slot[..len]);
            // Half of the records commit at once, the others with the next commit or flush.
            let stored = match random.below(2) {
                0 => slot.commit(seq as u16 & 0xff, 0, len),
                _ => slot.stage(seq as u16 & 0xff, 0, len),
            };
            assert_eq!(stored, Ok(seq));
        }
        producer.flush();
        // Long enough, sometimes, for the consumer to go to sleep.
        if random.below(64) == 0 {
            std::thread::sleep(Duration::from_micros(random.below(200)));
        }
    }
}

fn consume(mut consumer: Consumer, sink: &Path, dedup: bool) {
    let sink = OpenOptions::new()
        .read(true)
        .write(true)
        .open(sink)
        .expect("sink");
    let mut effect = Effect::load(&sink);
    let mut random = Random(u64::from(std::process::id()) << 32);
    let mut expected = Vec::new();
    let mut unreleased = 0;
    let mut release_at = 1 + random.below(16);
    loop {
        let Some(record) = consumer.try_recv().expect("not corrupt") else {
            consumer.release();
            let outcome = consumer.wait(PATIENCE);
            assert_eq!(outcome, WaitOutcome::Ready, "nothing came");
            continue;
        };
        let seq = record.seq;
        expected.resize(length_of(seq, CAPACITY / 8), 0);
        let checksum = fill(seq, &mut expected);
        assert_eq!(record.kind, seq as u16 & 0xff, "kind of record {seq}");
        assert!(record.payload() == expected, "record {seq} is torn");
        if seq <= effect.last_applied && dedup {
            effect.redelivered += 1;
        } else {
            assert!(seq <= effect.last_applied + 1, "lost before record {seq}");
            effect.last_applied = seq;
            effect.applied += 1;
            effect.digest = fold(effect.digest, seq, checksum);
        }
        effect.store(&sink);
        unreleased += 1;
        if unreleased >= release_at {
            consumer.release();
            unreleased = 0;
            release_at = 1 + random.below(16);
        }
    }
}

// ---------------------------------------------------------------------------------------------
// The part of the supervisor.

struct Storm {
    segment: Segment,
    sink_path: std::path::PathBuf,
    sink: File,
    dedup: bool,
    producer: Child,
    consumer: Child,
    random: Random,
    recoveries: Vec<Duration>,
    longest_stall: Duration,
}

impl Storm {
    fn start(prefix: &str, directory: &Path, dedup: bool, seed: u64) -> Storm {
        let segment = Segment::create(&RingSpec {
            name: format!("{prefix}{}-storm", std::process::id()),
            ring_id: EXPECT.ring_id,
            capacity: CAPACITY,
            schema_hash: EXPECT.schema_hash,
            build_id: [0; 16],
        })
        .expect("room in /dev/shm");
        let sink_path = directory.join("sink");
        let sink = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&sink_path)
            .expect("temporary directory");
        let start = |side| spawn(side, &segment, &sink_path, dedup);
        Storm {
            producer: start(Side::Producer),
            consumer: start(Side::Consumer),
            segment,
            sink_path,
            sink,
            dedup,
            random: Random(seed),
            recoveries: Vec::new(),
            longest_stall: Duration::ZERO,
        }
    }

    fn child(&mut self, side: Side) -> &mut Child {
        match side {
            Side::Producer => &mut self.producer,
            Side::Consumer => &mut self.consumer,
        }
    }

    /// A killed child is reaped, its side handed to a new one, and the ring must move on.
    fn kill_and_replace(&mut self, side: Side) {
        let child = self.child(side);
        child.kill().expect("it was running");
        let status = child.wait().expect("child");
        assert_eq!(
            status.signal(),
            Some(Signal::SIGKILL as i32),
            "the {side:?} ended by itself; its message is above"
        );
        self.segment.bump_epoch(side);
        let audit = self.segment.recover().expect("a kill corrupts nothing");
        assert!(audit.next_seq - audit.released_seq <= CAPACITY as u64 / 64);
        *self.child(side) = spawn(side, &self.segment, &self.sink_path, self.dedup);
        self.await_progress();
    }

    /// Waits until both sides are attached and the consumer's effect has moved on, and watches for
    /// hangs: no progress for [`HANG_LIMIT`] although nobody waits for a CPU.
    fn await_progress(&mut self) {
        let started = Instant::now();
        let mut before = Effect::default();
        let mut attached_at = None;
        let mut stall = Duration::ZERO;
        let mut looked_at = started;
        loop {
            let now = Instant::now();
            if attached_at.is_none() && self.audit_is_attached() {
                attached_at = Some(now);
                before = Effect::load(&self.sink);
            }
            if let Some(attached_at) = attached_at
                && Effect::load(&self.sink) != before
            {
                self.recoveries.push(now - attached_at);
                return;
            }
            if attached_at.is_none() || self.someone_wants_cpu() {
                stall = Duration::ZERO;
            } else {
                stall += (now - looked_at).min(LOOK_MAX);
                self.longest_stall = self.longest_stall.max(stall);
                assert!(
                    stall <= HANG_LIMIT,
                    "hang: {before:?}, ring {:?}",
                    self.segment.audit()
                );
            }
            looked_at = now;
            assert!(started.elapsed() < PATIENCE, "no progress: {before:?}");
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    fn audit_is_attached(&self) -> bool {
        let audit: RingAudit = self.segment.audit().expect("sound while both sides run");
        audit.producer_attached && audit.consumer_attached
    }

    fn someone_wants_cpu(&self) -> bool {
        [&self.producer, &self.consumer]
            .iter()
            .any(|child| wants_cpu(child.id()))
    }

    /// Lets the ring run dry or full for a moment: one side is stopped and goes on.
    fn pause(&mut self, side: Side) {
        let pause = Duration::from_micros(self.random.below(5_000));
        let pid = Pid::from_raw(self.child(side).id().cast_signed());
        kill(pid, Signal::SIGSTOP).expect("it runs");
        std::thread::sleep(pause);
        kill(pid, Signal::SIGCONT).expect("it is stopped");
        self.await_progress();
    }

    fn rage(&mut self, kills: u64) {
        self.await_progress();
        for _ in 0..kills {
            let side = match self.random.below(2) {
                0 => Side::Producer,
                _ => Side::Consumer,
            };
            if self.random.below(16) == 0 {
                self.pause(side);
            }
            let delay = Duration::from_nanos(self.random.below(1_500_000));
            let until = Instant::now() + delay;
            // Not a sleep: its granularity would prefer some instants.
            while Instant::now() < until {
                std::thread::yield_now();
            }
            self.kill_and_replace(side);
        }
    }

    /// Ends both sides, drains nothing, and returns what was done.
    fn finish(mut self) -> (Effect, Vec<Duration>, Duration) {
        for child in [&mut self.producer, &mut self.consumer] {
            child.kill().expect("it was running");
            child.wait().expect("child");
        }
        self.segment.audit().expect("sound at the end");
        (
            Effect::load(&self.sink),
            self.recoveries,
            self.longest_stall,
        )
    }
}

/// Whether any thread of the process is running or runnable, or sleeps in the kernel on the way.
fn wants_cpu(pid: u32) -> bool {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    tasks.filter_map(Result::ok).any(|task| {
        std::fs::read_to_string(task.path().join("stat")).is_ok_and(|stat| {
            let state = stat
                .rsplit_once(')')
                .map_or("", |(_, rest)| rest.trim_start());
            !state.starts_with('S')
        })
    })
}

fn spawn(side: Side, segment: &Segment, sink: &Path, dedup: bool) -> Child {
    let role = match side {
        Side::Producer => "producer",
        Side::Consumer => "consumer",
    };
    Command::new("/proc/self/exe")
        .args(["--exact", "child_role", "--nocapture", "--test-threads=1"])
        .env(ENV_ROLE, role)
        .env(ENV_RING, segment.name())
        .env(ENV_EPOCH, segment.epoch(side).to_string())
        .env(ENV_SINK, sink)
        .env(ENV_DEDUP, if dedup { "on" } else { "off" })
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("this binary starts again")
}

fn kills_wanted(default: u64) -> u64 {
    std::env::var("ADNET_STORM_KILLS").map_or(default, |kills| kills.parse().expect("a number"))
}

/// The digest of applying records 1 to `last` once each, in order.
fn digest_of(last: u64) -> u64 {
    let mut bytes = Vec::new();
    (1..=last).fold(0, |digest, seq| {
        bytes.resize(length_of(seq, CAPACITY / 8), 0);
        fold(digest, seq, fill(seq, &mut bytes))
    })
}

#[test]
fn no_kill_loses_doubles_or_tears_a_record() {
    let kills = kills_wanted(300);
    let directory = tempfile::tempdir().expect("temporary directory");
    let prefix = "adnet-kills-";
    unlink_stale(prefix);
    let mut storm = Storm::start(prefix, directory.path(), true, 20_241_122);
    let name = storm.segment.name().to_owned();
    storm.rage(kills);
    let (effect, mut recoveries, longest_stall) = storm.finish();

    assert_eq!(
        effect.applied, effect.last_applied,
        "each record has one effect"
    );
    assert_eq!(
        effect.digest,
        digest_of(effect.last_applied),
        "in order, each as sent"
    );
    assert!(
        !Path::new("/dev/shm").join(&name).exists(),
        "no segment stays"
    );
    recoveries.sort_unstable();
    println!(
        "ring kill storm: {kills} kills, {} records applied once each, {} redelivered and dropped, \
         0 lost, 0 doubled, 0 torn; attached to progress p50 {:?} max {:?}; longest stall {:?}",
        effect.applied,
        effect.redelivered,
        recoveries[recoveries.len() / 2],
        recoveries[recoveries.len() - 1],
        longest_stall,
    );
}

/// Negative control: without the comparison with `last_applied`, the same storm doubles records.
#[test]
fn without_deduplication_the_storm_doubles_records() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let mut storm = Storm::start("adnet-control-", directory.path(), false, 7);
    let mut doubled = false;
    for _ in 0..100 {
        storm.rage(1);
        let effect = Effect::load(&storm.sink);
        doubled = effect.applied > effect.last_applied;
        if doubled {
            break;
        }
    }
    let (effect, ..) = storm.finish();
    assert!(
        doubled,
        "the storm would not notice a doubled record: {effect:?}"
    );
}
