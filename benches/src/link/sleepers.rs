//! The floor of every exchange in which both sides sleep each time: the kernel's own wakes, with no
//! payload behind them.

use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use hdrhistogram::Histogram;
use rustix::event::{EventfdFlags, eventfd};
use rustix::thread::futex;

use super::floor::{Lines, map};
use super::{fresh_address, peer_command, pin};

/// What both sides sleep on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleeper {
    /// A shared futex in memory of both.
    Futex,
    /// A blocking eventfd in each direction.
    Eventfd,
}

impl Sleeper {
    /// Name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Sleeper::Futex => "bare futex",
            Sleeper::Eventfd => "bare eventfd",
        }
    }
}

/// Two processes that wake each other.
pub struct SleepingFloor {
    side: SleepingSide,
    path: Option<String>,
    next: u64,
    peer: Child,
}

enum SleepingSide {
    Futex(&'static Lines),
    Eventfd { rings: OwnedFd, rung: OwnedFd },
}

impl SleepingFloor {
    /// Starts the other process.
    pub fn start(sleeper: Sleeper) -> SleepingFloor {
        let mut command = peer_command(sleeper.name());
        let (side, path) = match sleeper {
            Sleeper::Futex => {
                let path = format!("/dev/shm/{}-futex", fresh_address());
                let lines = map(&path, true);
                command.arg(&path);
                (SleepingSide::Futex(lines), Some(path))
            }
            Sleeper::Eventfd => {
                let bell = || eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd");
                let (rings, rung) = (bell(), bell());
                command
                    .stdin(rings.try_clone().map(Stdio::from).expect("an eventfd"))
                    .stdout(rung.try_clone().map(Stdio::from).expect("an eventfd"));
                (SleepingSide::Eventfd { rings, rung }, None)
            }
        };
        pin(1);
        let peer = command.spawn().expect("this binary");
        pin(0);
        let mut floor = SleepingFloor {
            side,
            path,
            next: 0,
            peer,
        };
        floor.round_trip();
        floor
    }

    fn round_trip(&mut self) {
        self.next += 1;
        match &self.side {
            SleepingSide::Futex(lines) => {
                set(&lines.there.0, self.next);
                sleep_until(&lines.back.0, self.next);
            }
            SleepingSide::Eventfd { rings, rung } => {
                rustix::io::write(rings, &1u64.to_ne_bytes()).expect("an eventfd");
                wait_for_ring(rung);
            }
        }
    }

    /// `count` round trips, recorded one by one.
    pub fn round_trips(&mut self, count: u64, tail: &mut Histogram<u64>) {
        for _ in 0..count {
            let begin = Instant::now();
            self.round_trip();
            tail.saturating_record(begin.elapsed().as_nanos() as u64);
        }
    }

    /// The other process.
    pub(super) fn serve(sleeper: Sleeper, arguments: &[String]) {
        match sleeper {
            Sleeper::Futex => {
                let lines = map(&arguments[0], false);
                for number in 1u64.. {
                    sleep_until(&lines.there.0, number);
                    set(&lines.back.0, number);
                }
            }
            Sleeper::Eventfd => {
                let rung = std::io::stdin();
                let rings = std::io::stdout();
                loop {
                    wait_for_ring(&rung);
                    rustix::io::write(&rings, &1u64.to_ne_bytes()).expect("an eventfd");
                }
            }
        }
    }
}

impl Drop for SleepingFloor {
    fn drop(&mut self) {
        let _ = self.peer.kill();
        let _ = self.peer.wait();
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn wait_for_ring(bell: &impl AsFd) {
    let mut counter = [0u8; 8];
    rustix::io::read(bell, &mut counter).expect("an eventfd");
}

fn word(line: &AtomicU64) -> &AtomicU32 {
    // SAFETY: the low half of an aligned AtomicU64 on a little-endian machine; the kernel only
    // compares it with what was seen.
    unsafe { AtomicU32::from_ptr(line.as_ptr().cast::<u32>()) }
}

fn set(line: &AtomicU64, number: u64) {
    line.store(number, Ordering::SeqCst);
    futex::wake(word(line), futex::Flags::empty(), 1).expect("a mapped word");
}

fn sleep_until(line: &AtomicU64, number: u64) {
    loop {
        let seen = line.load(Ordering::SeqCst);
        if seen == number {
            return;
        }
        // Woken, interrupted, or changed before it slept: it looks again.
        let _ = futex::wait(word(line), futex::Flags::empty(), seen as u32, None);
    }
}
