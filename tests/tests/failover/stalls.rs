//! How long the machine itself stood still, so that its share is not taken for the node's.
//!
//! A thread of the test sleeps, then writes to the disk as the node does, and notes how long a turn
//! took. What a turn takes above the median is time in which nobody here got the processor or the
//! disk, whatever the node did.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crate::clock;

const TURN: Duration = Duration::from_millis(10);
/// Less than this above the median is no stall.
const NOISE_US: u64 = 2_000;

#[derive(Clone, Copy)]
struct Turn {
    begun_us: u64,
    ended_us: u64,
}

impl Turn {
    fn took_us(&self) -> u64 {
        self.ended_us.saturating_sub(self.begun_us)
    }
}

/// See the module.
pub struct Metronome {
    file: File,
    turns: Mutex<Vec<Turn>>,
}

impl Metronome {
    pub fn new() -> Metronome {
        Metronome {
            file: tempfile::tempfile().expect("a temporary file"),
            turns: Mutex::default(),
        }
    }

    pub fn run(&self, stop: &AtomicBool) {
        let mut begun_us = clock::unix_us();
        while !stop.load(Ordering::Relaxed) {
            thread::sleep(TURN);
            let written = self.file.write_all_at(&begun_us.to_le_bytes(), 0);
            written
                .and_then(|()| self.file.sync_data())
                .expect("the disk takes eight bytes");
            let ended_us = clock::unix_us();
            let mut turns = self.turns.lock().expect("no panic under this lock");
            turns.push(Turn { begun_us, ended_us });
            begun_us = ended_us;
        }
    }

    pub fn stalls(&self) -> Stalls {
        let turns = self.turns.lock().expect("no panic under this lock").clone();
        let mut took: Vec<u64> = turns.iter().map(Turn::took_us).collect();
        took.sort_unstable();
        let median_us = took.get(took.len() / 2).copied().unwrap_or_default();
        Stalls { turns, median_us }
    }
}

/// The turns of a metronome, for looking back.
pub struct Stalls {
    turns: Vec<Turn>,
    median_us: u64,
}

impl Stalls {
    /// How much of the time from `from_us` to `to_us` the machine took away.
    pub fn within(&self, from_us: u64, to_us: u64) -> u64 {
        let first = self.turns.partition_point(|turn| turn.ended_us <= from_us);
        self.turns[first..]
            .iter()
            .take_while(|turn| turn.begun_us < to_us)
            .map(|turn| turn.took_us().saturating_sub(self.median_us))
            .filter(|stall_us| *stall_us > NOISE_US)
            .sum()
    }
}
