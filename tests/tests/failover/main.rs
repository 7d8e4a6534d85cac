//! `kill -9` of every process of a node under load, seen through its public interfaces only.
//!
//! A load of transfers, locks and unlocks runs while workers and the supervisor die at random
//! instants. What was reported final must stay, every lock must be minted exactly once, the other
//! chain's blocks must not be late, blocks and roots must be the same before and after and under a
//! second execution, no client may be told that nobody listens while only a worker is dead, no
//! process may outlive its supervisor, and no segment may be left.

mod audit;
mod blows;
mod clock;
mod lateness;
mod load;
mod plan;
mod stalls;
mod watch;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use adnet_common::chain_id::ChainId;
use adnet_tests::harness::{Options, Signal, TestNode, eventually, segments_of};

use audit::Balances;
use blows::{Toll, succeeded};
use lateness::{Death, Judgement};
use load::{StopOnDrop, Told};
use plan::{Plan, Target};
use stalls::Metronome;
use watch::Watch;

/// Blocks of either chain before the first kill, to know how punctual they are by themselves.
const CONTROL_BLOCKS: usize = 12;

#[test]
fn nothing_reported_is_lost_whoever_is_killed() {
    let plan = Plan::from_environment();
    let mut node = TestNode::start(Options {
        keeps_addresses: true,
        alpha_standby: true,
        ..Options::default()
    });
    let told = Told::default();
    let before = Balances::of(&node);
    let watches = ChainId::ALL.map(|chain| Watch::of(&node, chain));
    let metronome = Metronome::new();
    let stop = AtomicBool::new(false);
    let toll = thread::scope(|scope| {
        let _ends = StopOnDrop(&stop);
        load::start(scope, &node, &told, &stop);
        watch_all(scope, &watches, &metronome, &stop);
        more_blocks(&watches, CONTROL_BLOCKS);
        let mut toll = Toll::default();
        for blow in &plan.blows {
            toll.strike(&mut node, blow);
            audit::recent(&node, &told);
            assert!(!stop.load(Ordering::Relaxed), "the load has failed");
        }
        more_blocks(&watches, CONTROL_BLOCKS);
        toll
    });

    told.insist_on_traffic(plan.blows.len());
    audit::nothing_lost_nothing_doubled(&node, &told, &before);
    let outages = node.outages();
    assert_eq!(
        outages.refused(),
        0,
        "the supervisor holds the sockets while a worker is dead"
    );
    let stalls = metronome.stalls();
    for watch in &watches {
        Judgement::of(watch, &stalls, &toll.deaths).insist_on_punctuality();
    }
    let follower = TestNode::following(&node);
    for watch in &watches {
        let blocks = audit::blocks_stand(&node, watch);
        audit::reproduce(&follower, watch.chain, &blocks);
    }
    for pid in &toll.supervisors {
        let left = segments_of(*pid);
        assert!(left.is_empty(), "segments are left: {left:?}");
    }
    report(&toll, &told, &node);
}

fn watch_all<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    watches: &'scope [Watch; 2],
    metronome: &'scope Metronome,
    stop: &'scope AtomicBool,
) {
    scope.spawn(|| metronome.run(stop));
    for watch in watches {
        scope.spawn(|| {
            let _stop = StopOnDrop(stop);
            watch.run(stop);
        });
    }
}

/// Waits until `more` further blocks of either chain have come.
fn more_blocks(watches: &[Watch; 2], more: usize) {
    for watch in watches {
        let before = watch.blocks();
        eventually("blocks come", || {
            (watch.blocks() >= before + more).then_some(())
        });
    }
}

fn report(toll: &Toll, told: &Told, node: &TestNode) {
    let summary = |of: &[Duration]| {
        let mut sorted = of.to_vec();
        sorted.sort();
        let (median, max) = (sorted.get(sorted.len() / 2), sorted.last());
        let ms = |time: Option<&Duration>| time.copied().unwrap_or_default().as_millis();
        format!("{} p50 {} max {} ms", sorted.len(), ms(median), ms(max))
    };
    let outages = node.outages();
    eprintln!(
        "{} kills; worker to its successor's answer: {}; supervisor to its last worker's end: {}; \
         start to a block of both chains: {}; {} final on alpha, {} on delta, {} signed anew; {} \
         requests broken off, {} refused while no supervisor lived, {} refused otherwise",
        toll.deaths.len(),
        summary(&toll.restarts),
        summary(&toll.orphans),
        summary(&toll.starts),
        told.alpha_final.lock().expect("no panic").len(),
        told.delta_final.lock().expect("no panic").len(),
        told.signed_anew.load(Ordering::Relaxed),
        outages.broken(),
        outages.refused_in_outages(),
        outages.refused(),
    );
}

#[test]
fn a_stopped_worker_is_found_and_replaced() {
    let node = TestNode::start(Options::default());
    let watches = ChainId::ALL.map(|chain| Watch::of(&node, chain));
    let metronome = Metronome::new();
    let stop = AtomicBool::new(false);
    let deaths = thread::scope(|scope| {
        let _ends = StopOnDrop(&stop);
        watch_all(scope, &watches, &metronome, &stop);
        more_blocks(&watches, CONTROL_BLOCKS);
        ChainId::ALL.map(|chain| {
            let worker = node.worker(chain.name());
            let (begun, struck_us) = (Instant::now(), clock::unix_us());
            worker.signal(Signal::SIGSTOP);
            eventually("the hang is healed", || (!worker.is_alive()).then_some(()));
            succeeded(&node, chain, worker);
            let took = begun.elapsed();
            eprintln!("SIGSTOP of {chain} to the answer of its successor: {took:?}");
            let healed_us = clock::unix_us();
            more_blocks(&watches, CONTROL_BLOCKS);
            Death {
                target: Target::Worker(chain),
                struck_us,
                healed_us,
            }
        })
    });
    assert_eq!(node.outages().refused(), 0);
    let stalls = metronome.stalls();
    for watch in &watches {
        Judgement::of(watch, &stalls, &deaths).insist_on_punctuality();
    }
}

/// The negative control: were a sibling held up, the storm would see it.
#[test]
fn a_sibling_that_is_held_up_is_called_late() {
    let node = TestNode::start(Options::default());
    let watches = ChainId::ALL.map(|chain| Watch::of(&node, chain));
    let metronome = Metronome::new();
    let stop = AtomicBool::new(false);
    let deaths = thread::scope(|scope| {
        let _ends = StopOnDrop(&stop);
        watch_all(scope, &watches, &metronome, &stop);
        more_blocks(&watches, CONTROL_BLOCKS);
        watches.each_ref().map(|held_up| {
            let dies = held_up.chain.sibling();
            let (worker, sibling) = (node.worker(dies.name()), node.worker(held_up.chain.name()));
            let struck_us = clock::unix_us();
            worker.signal(Signal::SIGKILL);
            sibling.signal(Signal::SIGSTOP);
            // 300 ms for Delta: some block is then late by at least 1.4 intervals.
            thread::sleep(Duration::from_micros(held_up.interval_us * 12 / 5));
            sibling.signal(Signal::SIGCONT);
            succeeded(&node, dies, worker);
            let healed_us = clock::unix_us();
            more_blocks(&watches, 4);
            Death {
                target: Target::Worker(dies),
                struck_us,
                healed_us,
            }
        })
    });
    let stalls = metronome.stalls();
    for watch in &watches {
        let judgement = Judgement::of(watch, &stalls, &deaths);
        assert!(!judgement.late().is_empty(), "{judgement}");
    }
}
