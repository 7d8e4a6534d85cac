//! Watches a chain through its API: when each block came, and what it was.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use adnet_common::chain_id::ChainId;
use adnet_tests::harness::{Api, TestNode};
use serde_json::Value;

use crate::clock;

const POLL: Duration = Duration::from_millis(5);

/// One block as a client saw it come.
#[derive(Clone, Copy, Debug)]
pub struct Sighting {
    pub height: u64,
    /// When it was due, by its header.
    pub due_us: u64,
    /// When the first answer came that showed it or a later one.
    pub seen_us: u64,
}

/// What a client was shown of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub hash: String,
    pub state_root: String,
}

#[derive(Default)]
struct Seen {
    height: Option<u64>,
    sightings: Vec<Sighting>,
    shown: BTreeMap<u64, Shown>,
}

/// See the module.
pub struct Watch {
    pub chain: ChainId,
    pub interval_us: u64,
    api: Api,
    seen: Mutex<Seen>,
}

impl Watch {
    pub fn of(node: &TestNode, chain: ChainId) -> Watch {
        let interval_ms = match chain {
            ChainId::Alpha => node.genesis.alpha.block_interval_ms,
            ChainId::Delta => node.genesis.delta.block_interval_ms,
        };
        Watch {
            chain,
            interval_us: interval_ms * 1_000,
            api: node.api(chain).keeping_its_connection(),
            seen: Mutex::default(),
        }
    }

    /// Looks until `stop`, through all deaths.
    pub fn run(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            if let Ok(status) = self.api.get("/v1/status") {
                self.take(&status, clock::unix_us());
            }
            thread::sleep(POLL);
        }
    }

    /// # Panics
    /// If a block that was shown is gone, or is another one now.
    fn take(&self, status: &Value, now_us: u64) {
        let number = |key: &str| status[key].as_u64().expect("a status has it");
        let text = |key: &str| status[key].as_str().expect("a status has it").to_owned();
        let (chain, height) = (self.chain, number("height"));
        let shown = Shown {
            hash: text("block_hash"),
            state_root: text("state_root"),
        };
        let mut seen = self.lock();
        if let Some(before) = seen.height {
            assert!(
                height >= before,
                "{chain} is at {height} and was at {before}"
            );
            // Blocks that came between two looks came by now: their headers are an interval apart.
            for height in before + 1..=height {
                let later = number("height") - height;
                let due_us = number("block_time_ms") * 1_000 - later * self.interval_us;
                seen.sightings.push(Sighting {
                    height,
                    due_us,
                    seen_us: now_us,
                });
            }
        }
        seen.height = Some(height);
        let first = seen.shown.entry(height).or_insert_with(|| shown.clone());
        assert_eq!(*first, shown, "{chain} at {height}");
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("whoever panics here ends the test")
    }

    pub fn sightings(&self) -> Vec<Sighting> {
        self.lock().sightings.clone()
    }

    /// How many blocks have come so far.
    pub fn blocks(&self) -> usize {
        self.lock().sightings.len()
    }

    pub fn shown(&self) -> BTreeMap<u64, Shown> {
        self.lock().shown.clone()
    }
}
