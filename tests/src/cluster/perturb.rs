//! What happens to a running cluster, what must hold while it lasts, and how the cluster goes on.

use super::Cluster;
use super::agreement::await_growth;
use super::manifest::{Perturbation, What};
use crate::harness::{Process, Signal, TestNode, workers_of};
use adnet_common::chain_id::ChainId;
use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

/// After a cut, what was on the way may still lead to a block beyond it for so long.
const GRACE: Duration = Duration::from_millis(1_000);

/// How soon a chain must go on.
fn bound(chain: ChainId) -> Duration {
    match chain {
        ChainId::Alpha => Duration::from_secs(20),
        ChainId::Delta => Duration::from_secs(10),
    }
}

/// How a chain went on when a perturbation had ended.
#[derive(Clone, Debug)]
pub struct Recovery {
    pub what: What,
    pub chain: ChainId,
    /// Until some node had a block that nobody had before.
    pub decided: Duration,
    /// Until all nodes had it.
    pub level: Duration,
}

type Heights = Vec<[u64; 2]>;

fn heights(nodes: &[&TestNode]) -> Heights {
    let of = |node: &&TestNode| ChainId::ALL.map(|chain| super::agreement::height(node, chain));
    nodes.iter().map(of).collect()
}

fn processes(node: &TestNode) -> Vec<Process> {
    let supervisor = node.supervisor();
    let workers = workers_of(supervisor.pid);
    [supervisor].into_iter().chain(workers).collect()
}

impl Cluster {
    /// Lets a perturbation happen once, with all the rules.
    pub(super) fn perturb(&mut self, perturbation: &Perturbation) {
        let what = &perturbation.what;
        let all: Vec<&TestNode> = self.nodes.iter().collect();
        await_growth(&all, perturbation.after_blocks);
        let jitter_ms = self.random.below(perturbation.jitter_ms + 1);
        thread::sleep(Duration::from_millis(jitter_ms)); // any instant within a block
        let begun = Instant::now();
        let stopped = self.begin(what);
        let lasts = Duration::from_millis(perturbation.lasts_ms);
        self.watch(what, begun + lasts);
        self.end(what, &stopped);
        let ended = Instant::now();
        self.await_recovery(what, ended);
    }

    /// Returns the processes that are stopped.
    fn begin(&mut self, what: &What) -> Vec<Process> {
        let mut stopped = Vec::new();
        match what {
            What::Split(side) => self.carrier.part(side),
            What::Disconnect(nodes) => self.carrier.disconnect(nodes),
            What::Kill(nodes) => nodes.iter().for_each(|i| {
                self.nodes[*i].kill();
            }),
            What::Restart(nodes) => nodes.iter().for_each(|i| {
                let status = self.nodes[*i].stop();
                assert!(status.success(), "{status}");
            }),
            // All processes of a node, or its supervisor would take its workers for hanging.
            What::Pause(nodes) => {
                stopped = nodes
                    .iter()
                    .flat_map(|i| processes(&self.nodes[*i]))
                    .collect();
                stopped.iter().for_each(|p| p.signal(Signal::SIGSTOP));
            }
        }
        stopped
    }

    fn end(&mut self, what: &What, stopped: &[Process]) {
        match what {
            What::Split(_) | What::Disconnect(_) => self.carrier.heal(),
            What::Kill(nodes) | What::Restart(nodes) => {
                nodes.iter().for_each(|i| self.nodes[*i].launch());
                nodes.iter().for_each(|i| self.nodes[*i].await_ready());
            }
            What::Pause(_) => stopped.iter().rev().for_each(|p| p.signal(Signal::SIGCONT)),
        }
    }

    /// Groups of nodes that hear each other and answer.
    fn groups(&self, what: &What) -> Vec<BTreeSet<usize>> {
        let rest = (0..self.nodes.len()).filter(|i| !what.nodes().contains(i));
        let rest: BTreeSet<usize> = rest.collect();
        match what {
            What::Split(side) => vec![rest, side.clone()],
            What::Disconnect(nodes) => {
                let alone = nodes.iter().map(|node| BTreeSet::from([*node]));
                [rest].into_iter().chain(alone).collect()
            }
            What::Kill(_) | What::Restart(_) | What::Pause(_) => vec![rest],
        }
    }

    /// Until it ends: a group with a quorum goes on, and any other stands.
    fn watch(&self, what: &What, until: Instant) {
        thread::sleep(GRACE.min(until.saturating_duration_since(Instant::now())));
        let groups = self.groups(what);
        let look = || -> Vec<Heights> {
            let of = |group: &BTreeSet<usize>| {
                let nodes: Vec<&TestNode> = group.iter().map(|i| &self.nodes[*i]).collect();
                heights(&nodes)
            };
            groups.iter().map(of).collect()
        };
        let first = look();
        let begun = Instant::now();
        thread::sleep(until.saturating_duration_since(begun)); // the perturbation lasts
        let last = look();
        let waited = begun.elapsed();
        for ((group, first), last) in groups.iter().zip(&first).zip(&last) {
            if 3 * group.len() <= 2 * self.nodes.len() {
                // What one of them had at the cut another may have taken from it since.
                let highest = |heights: &Heights, chain: usize| {
                    let of_chain = heights.iter().map(|node| node[chain]);
                    of_chain.max().unwrap_or_default()
                };
                for chain in 0..2 {
                    let (first, last) = (highest(first, chain), highest(last, chain));
                    assert_eq!(
                        first, last,
                        "{group:?} have decided without a quorum: {what:?}"
                    );
                }
            } else if waited > Duration::from_secs(3) {
                let grew = first.iter().zip(last).all(|(f, l)| f[1] < l[1]);
                assert!(
                    grew,
                    "{group:?} stand, in {waited:?}: {first:?}, {last:?}, {what:?}"
                );
            }
        }
    }

    /// Every chain decides a block that nobody had, and every node has it, in time.
    fn await_recovery(&mut self, what: &What, ended: Instant) {
        let nodes: Vec<&TestNode> = self.nodes.iter().collect();
        let at_end = heights(&nodes);
        let mut open: Vec<Open> = ChainId::ALL
            .into_iter()
            .enumerate()
            .map(|(place, chain)| Open {
                chain,
                highest: at_end.iter().map(|node| node[place]).max().unwrap_or(0),
                decided: None,
                behind: nodes.clone(),
            })
            .collect();
        while !open.is_empty() {
            for Open {
                chain,
                highest,
                decided,
                behind,
            } in &mut open
            {
                behind.retain(|node| {
                    let height = node.api(*chain).height();
                    let has = height.is_ok_and(|height| height > *highest);
                    if has {
                        decided.get_or_insert_with(|| ended.elapsed());
                    }
                    !has
                });
                let waited = ended.elapsed();
                assert!(
                    waited < bound(*chain),
                    "{chain} does not go on after {what:?}: {} nodes have no block above {highest} \
                     after {waited:?}",
                    behind.len()
                );
            }
            let level = ended.elapsed();
            for done in open.extract_if(.., |open| open.behind.is_empty()) {
                self.recoveries.push(Recovery {
                    what: what.clone(),
                    chain: done.chain,
                    decided: done.decided.expect("every node has it"),
                    level,
                });
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A chain that has not recovered yet.
struct Open<'a> {
    chain: ChainId,
    /// The highest block that any node had when the perturbation ended.
    highest: u64,
    decided: Option<Duration>,
    behind: Vec<&'a TestNode>,
}
