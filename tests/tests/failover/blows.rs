//! Strikes processes down and waits until others have taken their place.

use std::{
    thread,
    time::{Duration, Instant},
};

use adnet_common::chain_id::ChainId;
use adnet_tests::harness::{Api, Process, Signal, TestNode, eventually, segments_of, workers_of};

use crate::{
    clock,
    lateness::Death,
    plan::{Blow, Target},
};

/// For one worker from its death to the first answer of its successor.
const RESTART_BOUND: Duration = Duration::from_secs(3);

/// What a storm has done, and how long it took to heal.
#[derive(Default)]
pub struct Toll {
    pub deaths: Vec<Death>,
    /// From `kill -9` of a worker alone to the first answer of its successor.
    pub restarts: Vec<Duration>,
    /// From `kill -9` of the supervisor to the end of its last worker.
    pub orphans: Vec<Duration>,
    /// From the start of a supervisor to a block of either chain.
    pub starts: Vec<Duration>,
    /// The supervisors that are dead.
    pub supervisors: Vec<u32>,
    /// Deaths of Alpha and Delta under this supervisor.
    under_this: [u64; 2],
}

impl Toll {
    /// Does what `blow` says; back when the node is whole again.
    pub fn strike(&mut self, node: &mut TestNode, blow: &Blow) {
        // Looked up before the pause, so that the instant is the plan's.
        let workers = ChainId::ALL.map(|chain| node.worker(chain.name()));
        let segments_before = segments(node);
        thread::sleep(blow.pause);
        let mut struck = Vec::new();
        let mut killed = None;
        let second = blow.second.map(|(apart, target)| (Some(apart), target));
        for (apart, target) in [Some((None, blow.first)), second].into_iter().flatten() {
            thread::sleep(apart.unwrap_or_default());
            struck.push((target, clock::unix_us()));
            match target {
                Target::Worker(chain) => {
                    worker_of(&workers, chain).signal(Signal::SIGKILL);
                    self.under_this[index(chain)] += 1;
                }
                Target::Supervisor => killed = Some(node.kill()),
            }
        }
        if let Some(killed) = killed {
            self.orphans.push(killed.orphans_gone_after);
            self.supervisors.push(killed.pid);
            self.under_this = [0; 2];
            let begun = Instant::now();
            node.restart();
            self.starts.push(begun.elapsed());
            let orphans = workers_of(killed.pid);
            assert!(orphans.is_empty(), "of a dead supervisor: {orphans:?}");
            let left = segments_of(killed.pid);
            assert!(
                left.is_empty(),
                "the next start removes the segments of a dead node: {left:?}"
            );
        } else {
            for (target, _) in &struck {
                let Target::Worker(chain) = target else {
                    continue;
                };
                let took = succeeded(node, *chain, worker_of(&workers, *chain));
                if blow.second.is_none() {
                    self.restarts.push(took);
                }
            }
            assert_eq!(
                segments(node),
                segments_before,
                "a worker's death makes no segment"
            );
            for chain in ChainId::ALL {
                let restarts = node.chain(chain.name())["restarts"].as_u64();
                assert_eq!(restarts, Some(self.under_this[index(chain)]), "{chain}");
            }
        }
        let healed_us = clock::unix_us();
        self.deaths
            .extend(struck.into_iter().map(|(target, struck_us)| Death {
                target,
                struck_us,
                healed_us,
            }));
    }
}

fn index(chain: ChainId) -> usize {
    usize::from(chain == ChainId::Delta)
}

fn worker_of(workers: &[Process; 2], chain: ChainId) -> Process {
    workers[index(chain)]
}

fn segments(node: &TestNode) -> Vec<String> {
    let mut segments = segments_of(node.supervisor().pid);
    segments.sort();
    segments
}

/// Waits until another process answers in the place of one that was just killed.
pub fn succeeded(node: &TestNode, chain: ChainId, dead: Process) -> Duration {
    let begun = Instant::now();
    eventually("the kernel ends it", || (!dead.is_alive()).then_some(()));
    until_answer(&node.api(chain), begun);
    let took = begun.elapsed();
    eventually("the supervisor names the successor", || {
        (node.worker(chain.name()) != dead).then_some(())
    });
    took
}

fn until_answer(api: &Api, begun: Instant) {
    while api.height().is_err() {
        let late = begun.elapsed();
        assert!(late < RESTART_BOUND, "no answer after {late:?}");
        thread::sleep(Duration::from_millis(1));
    }
}
