//! A duplex link between two processes, in the forms that are compared.
//!
//! The benchmark starts itself again as the other process, each pinned to a core of its own. All
//! links carry messages of a fixed number of 64-bit words; every word is written by the sender and
//! summed by the receiver, in place where the link allows that.

mod floor;
mod iceoryx;
mod ipc;
mod ring;
mod sleepers;
mod stream;
mod threads;

use std::process::{Child, Command};

use hdrhistogram::Histogram;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

pub use floor::Floor;
pub use iceoryx::Iceoryx;
pub use ipc::IpcBytes;
pub use ring::{Doorbell, Futex, Ring, RingWait, SpinThenFutex};
pub use sleepers::{Sleeper, SleepingFloor};
pub use stream::{Pipe, Tcp, UnixSocket};
pub use threads::{rtrb_round_trips, std_mpsc_round_trips};

/// How both sides wait. Figures of the two kinds are never compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Both look again and again.
    Polling,
    /// Both sleep in the kernel until the other wakes them.
    Blocking,
}

impl Wait {
    /// Word for tables and arguments.
    pub fn name(self) -> &'static str {
        match self {
            Wait::Polling => "polling",
            Wait::Blocking => "blocking",
        }
    }
}

/// What the other process is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Answer each message with one that begins with its sum.
    Echo,
    /// Sum up, and answer the message that begins with [`END`] with the total.
    Sink,
}

/// First word of the message that ends a round of [`Task::Sink`].
pub const END: u64 = u64::MAX;

/// One measurement, as both processes must know it.
#[derive(Clone, Debug)]
pub struct Job {
    /// How both sides wait.
    pub wait: Wait,
    /// What the other process does.
    pub task: Task,
    /// Words in a message.
    pub words: usize,
    /// Messages between two flushes.
    pub batch: usize,
    /// Names the link for the other process.
    pub address: String,
}

/// Both sides may fall behind by this many messages.
pub fn depth(words: usize) -> usize {
    ((1 << 20) / (words * 8)).clamp(16, 512)
}

/// A received message: its first word, and the sum of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// First word.
    pub first: u64,
    /// Sum of all words.
    pub sum: u64,
}

impl Seen {
    /// Reads all of a message of whole words.
    #[inline]
    pub fn in_bytes(bytes: &[u8]) -> Seen {
        let word = |chunk: &[u8]| u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let words = bytes.chunks_exact(8).map(word);
        Seen {
            first: bytes
                .first_chunk()
                .map_or(0, |first| u64::from_le_bytes(*first)),
            sum: words.fold(0, u64::wrapping_add),
        }
    }

    /// Reads all words of a message.
    #[inline]
    pub fn in_words(words: &[u64]) -> Seen {
        Seen {
            first: words.first().copied().unwrap_or(0),
            sum: words.iter().fold(0, |sum, word| sum.wrapping_add(*word)),
        }
    }
}

/// Writes all of a message of whole words.
#[inline]
pub fn put_words(bytes: &mut [u8], seed: u64) {
    for (i, chunk) in bytes.chunks_exact_mut(8).enumerate() {
        chunk.copy_from_slice(&word(seed, i).to_le_bytes());
    }
}

/// Word `i` of the message with this seed.
#[inline]
pub fn word(seed: u64, i: usize) -> u64 {
    seed.wrapping_add(i as u64)
}

/// Sum of the words of a message.
#[inline]
pub fn sum_of(seed: u64, words: usize) -> u64 {
    let n = words as u64;
    seed.wrapping_mul(n).wrapping_add(n * (n - 1) / 2)
}

/// One end of a link between two processes.
pub trait Link: Sized {
    /// Name in tables.
    const NAME: &'static str;

    /// Makes the link and starts `peer` as the process at its other end. `job.address` may be
    /// completed before the arguments are taken from it with [`Job::arguments`].
    fn start(job: &mut Job, peer: Command) -> (Self, Child);

    /// In the other process: takes its end.
    fn join(job: &Job) -> Self;

    /// Sends the message with this seed, perhaps only with the next flush.
    fn send(&mut self, seed: u64);

    /// Sends what is not sent yet, and wakes the other side if it may be asleep.
    fn flush(&mut self);

    /// Waits for the next message and reads it.
    fn recv(&mut self) -> Seen;
}

impl Job {
    /// Arguments from which the other process makes the same job.
    pub fn arguments(&self) -> [String; 5] {
        let task = match self.task {
            Task::Echo => "echo",
            Task::Sink => "sink",
        };
        [
            self.wait.name().to_owned(),
            task.to_owned(),
            self.words.to_string(),
            self.batch.to_string(),
            self.address.clone(),
        ]
    }

    fn from_arguments(arguments: &[String]) -> Job {
        let [wait, task, words, batch, address] = arguments else {
            panic!("five arguments, not {arguments:?}");
        };
        Job {
            wait: match wait.as_str() {
                "polling" => Wait::Polling,
                _ => Wait::Blocking,
            },
            task: match task.as_str() {
                "echo" => Task::Echo,
                _ => Task::Sink,
            },
            words: words.parse().expect("a number"),
            batch: batch.parse().expect("a number"),
            address: address.clone(),
        }
    }
}

/// The first argument of the other process.
const PEER: &str = "--peer-of-link";

/// A running link, whose other process ends with it.
pub struct Session<L: Link> {
    /// This end.
    pub link: L,
    job: Job,
    peer: Child,
}

impl<L: Link> Session<L> {
    /// Starts the other process and waits until it has its end.
    pub fn start(wait: Wait, task: Task, words: usize, batch: usize) -> Session<L> {
        let mut job = Job {
            wait,
            task,
            words,
            batch,
            address: fresh_address(),
        };
        // The other process inherits this, and would otherwise wait for the core of a poller.
        pin(1);
        let (mut link, peer) = L::start(&mut job, peer_command(L::NAME));
        pin(0);
        link.recv();
        Session { link, job, peer }
    }

    /// One message there and one back. Returns nanoseconds.
    #[inline]
    pub fn round_trip(&mut self, number: u64) -> u64 {
        let seed = number << 20;
        let begin = std::time::Instant::now();
        self.link.send(seed);
        self.link.flush();
        let seen = self.link.recv();
        let nanos = begin.elapsed().as_nanos() as u64;
        assert_eq!(seen.first, sum_of(seed, self.job.words), "answer {number}");
        assert_eq!(seen.sum, sum_of(seen.first, self.job.words), "sum {number}");
        nanos
    }

    /// `count` round trips, recorded one by one. Returns their total time.
    pub fn round_trips(&mut self, count: u64, tail: &mut Histogram<u64>) -> std::time::Duration {
        let begin = std::time::Instant::now();
        for number in 0..count {
            let nanos = self.round_trip(number);
            tail.saturating_record(nanos);
        }
        begin.elapsed()
    }

    /// Sends `batches` batches and waits until all of them have been summed up at the other end.
    pub fn stream(&mut self, batches: u64) -> std::time::Duration {
        let (words, batch) = (self.job.words, self.job.batch as u64);
        let begin = std::time::Instant::now();
        let mut expected = 0u64;
        let mut number = 0u64;
        for _ in 0..batches {
            for _ in 0..batch {
                let seed = number << 20;
                self.link.send(seed);
                expected = expected.wrapping_add(sum_of(seed, words));
                number += 1;
            }
            self.link.flush();
        }
        self.link.send(END);
        self.link.flush();
        let seen = self.link.recv();
        let elapsed = begin.elapsed();
        assert_eq!(seen.first, expected, "sum of {number} messages");
        elapsed
    }
}

impl<L: Link> Drop for Session<L> {
    fn drop(&mut self) {
        // It waits for the next message for ever; both calls fail only if it is gone already.
        let _ = self.peer.kill();
        let _ = self.peer.wait();
    }
}

/// If this process was started as the other end of a link, serves it and never returns.
pub fn serve_if_peer() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().map(String::as_str) != Some(PEER) {
        return;
    }
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).expect("prctl");
    pin(1);
    let rest = &arguments[2..];
    match arguments[1].as_str() {
        Futex::NAME => serve::<Ring<Futex>>(rest),
        Doorbell::NAME => serve::<Ring<Doorbell>>(rest),
        SpinThenFutex::NAME => serve::<Ring<SpinThenFutex>>(rest),
        Iceoryx::NAME => serve::<Iceoryx>(rest),
        UnixSocket::NAME => serve::<UnixSocket>(rest),
        Pipe::NAME => serve::<Pipe>(rest),
        Tcp::NAME => serve::<Tcp>(rest),
        IpcBytes::NAME => serve::<IpcBytes>(rest),
        Floor::NAME => Floor::serve(&rest[0]),
        name if name == Sleeper::Futex.name() => SleepingFloor::serve(Sleeper::Futex, rest),
        name if name == Sleeper::Eventfd.name() => SleepingFloor::serve(Sleeper::Eventfd, rest),
        other => panic!("no such link: {other}"),
    }
}

fn serve<L: Link>(arguments: &[String]) {
    let job = Job::from_arguments(arguments);
    let mut link = L::join(&job);
    // Tells the other side that this one is there.
    link.send(0);
    link.flush();
    match job.task {
        Task::Echo => loop {
            let seen = link.recv();
            link.send(seen.sum);
            link.flush();
        },
        Task::Sink => loop {
            let mut total = 0u64;
            loop {
                let seen = link.recv();
                if seen.first == END {
                    break;
                }
                total = total.wrapping_add(seen.sum);
            }
            link.send(total);
            link.flush();
        },
    }
}

/// The command that starts the other process.
fn peer_command(name: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args([PEER, name]);
    command
}

/// A name that no other process or link uses.
pub fn fresh_address() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("adnet-bench-{}-{number}", std::process::id())
}

/// Pins this thread to a core, if there is one of that number.
pub fn pin(core: usize) {
    let mut set = CpuSet::new();
    if set.set(core).is_ok() {
        // On a machine with one core, both share it, and the figures say so.
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}
