//! `kill -9` of every process of a node under load, seen through its public interfaces only.
//!
//! A load of transfers, locks and unlocks runs while processes die. What was reported final must
//! stay, every lock must be minted exactly once, the other chain must go on, and no client may ever
//! be told that nobody listens while only a worker is dead.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use adnet_common::hash::Hash;
use adnet_delta::tx::SignedTx;
use adnet_tests::harness::{
    AlphaUser, Api, DeltaUser, Failure, Options, Process, Signal, TestNode, eventually, segments_of,
};
use alloy_primitives::U256;
use serde_json::{Value, json};

const WEI_PER_UNIT: u128 = 100_000_000_000_000;
/// Between two kills, so that neither worker dies more often than the supervisor's limit allows.
const BETWEEN_KILLS: Duration = Duration::from_millis(1_150);
const KILLS_PER_WORKER: u32 = 4;
/// For one worker from its death to the first answer of its successor.
const RESTART_BOUND: Duration = Duration::from_secs(3);

/// What the load has been told, over all incarnations of the node.
#[derive(Default)]
struct Ledger {
    alpha_final: Mutex<Vec<(Hash, u64)>>,
    delta_final: Mutex<Vec<(SignedTx, Value)>>,
    locked_units: AtomicU64,
    unlocked_units: AtomicU64,
    transferred_units: AtomicU64,
    refused_connections: AtomicU64,
    broken: AtomicU64,
    resigned: AtomicU64,
}

impl Ledger {
    fn note(&self, failure: &Failure) {
        match failure {
            Failure::ConnectionRefused => self.refused_connections.fetch_add(1, Ordering::Relaxed),
            _ => self.broken.fetch_add(1, Ordering::Relaxed),
        };
    }
}

/// One transaction per nonce, until it is final or the load ends.
fn alpha_load(
    user: &AlphaUser,
    ledger: &Ledger,
    stop: &AtomicBool,
    total_units: &AtomicU64,
    make: impl Fn(&AlphaUser, u64, u64) -> adnet_alpha::tx::Transaction,
) {
    let mut nonce = user.next_nonce();
    while !stop.load(Ordering::Relaxed) {
        let units = 1 + nonce % 97;
        // One that expired in an outage is signed anew with the same nonce: at most one can ever
        // be in a block, and any of them counts.
        let mut signed = vec![make(user, nonce, units)];
        let deadline = Instant::now() + Duration::from_secs(40);
        let found = loop {
            assert!(Instant::now() < deadline, "nonce {nonce} is not final");
            let latest = signed.last().expect("at least one");
            let sent = user.send(latest);
            let found = signed.iter().find_map(|tx| {
                let height = user.final_at(&tx.id())?;
                Some((tx.id(), height))
            });
            if let Some(found) = found {
                break found;
            }
            match sent {
                Ok(_) => thread::sleep(Duration::from_millis(20)),
                Err(Failure::Refused { code, .. }) if code == "EXPIRED" => {
                    ledger.resigned.fetch_add(1, Ordering::Relaxed);
                    signed.push(make(user, nonce, units));
                }
                Err(Failure::Refused {
                    status: 503 | 504, ..
                }) => {}
                // Its nonce is used: one of ours is in a block that the next look finds.
                Err(Failure::Refused { code, .. }) if code == "NONCE_TOO_LOW" => {}
                Err(Failure::Refused { code, message, .. }) => panic!("{code}: {message}"),
                Err(failure) => ledger.note(&failure),
            }
        };
        total_units.fetch_add(units, Ordering::Relaxed);
        ledger.alpha_final.lock().expect("no panic").push(found);
        nonce += 1;
    }
}

/// Unlocks on Delta, each sent again until it has its receipt.
fn delta_load(user: &DeltaUser, to: &AlphaUser, ledger: &Ledger, stop: &AtomicBool) {
    let mut nonce = user.next_nonce();
    while !stop.load(Ordering::Relaxed) {
        let units = 1 + nonce % 31;
        let tx = user.unlock(nonce, to.address(), units);
        let deadline = Instant::now() + Duration::from_secs(40);
        let receipt = loop {
            assert!(Instant::now() < deadline, "unlock {nonce} is not final");
            match user.send(&tx) {
                Ok(()) => {}
                // Known already, or in a block.
                Err(Failure::Refused { message, .. })
                    if message.contains("already known") || message.contains("nonce too low") => {}
                Err(Failure::Refused { code, message, .. }) => {
                    let passing = message.contains("busy")
                        || message.contains("again")
                        || message.contains("stopp")
                        || code.is_empty();
                    assert!(passing, "{code}: {message}");
                }
                Err(failure) => ledger.note(&failure),
            }
            if let Some(receipt) = user.receipt(&tx) {
                break receipt;
            }
            thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        ledger.unlocked_units.fetch_add(units, Ordering::Relaxed);
        ledger
            .delta_final
            .lock()
            .expect("no panic")
            .push((tx, receipt));
        nonce += 1;
    }
}

/// Runs `act` while transfers, locks and unlocks go through the APIs.
fn under_load(node: &mut TestNode, ledger: &Arc<Ledger>, act: impl FnOnce(&mut TestNode)) {
    let stop = AtomicBool::new(false);
    let (locker, sender) = (node.alpha_user(0), node.alpha_user(1));
    let alpha_receiver = node.alpha_user(2);
    let (minted_to, unlocker) = (node.delta_user(1), node.delta_user(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            alpha_load(
                &locker,
                ledger,
                &stop,
                &ledger.locked_units,
                |user, nonce, units| user.lock(nonce, minted_to.evm_address(), units),
            );
        });
        scope.spawn(|| {
            alpha_load(
                &sender,
                ledger,
                &stop,
                &ledger.transferred_units,
                |user, nonce, units| user.transfer(nonce, alpha_receiver.address(), units),
            );
        });
        scope.spawn(|| delta_load(&unlocker, &alpha_receiver, ledger, &stop));
        // The load must end also when `act` fails, or the scope would wait for ever.
        let ends = StopOnDrop(&stop);
        act(node);
        drop(ends);
    });
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// From now until the API gives an answer; every refused connection is counted.
fn until_answer(api: &Api, ledger: &Ledger) -> Duration {
    let begun = Instant::now();
    loop {
        match api.height() {
            Ok(_) => return begun.elapsed(),
            Err(failure) => ledger.note(&failure),
        }
        let late = begun.elapsed();
        assert!(late < RESTART_BOUND, "no answer after {late:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn other(chain: &str) -> &'static str {
    if chain == "alpha" { "delta" } else { "alpha" }
}

fn api_of(node: &TestNode, chain: &str) -> Api {
    if chain == "alpha" {
        node.alpha()
    } else {
        node.delta()
    }
}

/// Signals a worker and waits until another process answers in its place, while the sibling's
/// height grows.
fn strike(node: &TestNode, ledger: &Ledger, chain: &str, which: Signal) -> Duration {
    let worker = node.worker(chain);
    let sibling = api_of(node, other(chain));
    let before = sibling.height().expect("the sibling answers");
    worker.signal(which);
    let took = match which {
        Signal::SIGKILL => until_answer(&api_of(node, chain), ledger),
        _ => {
            let begun = Instant::now();
            eventually("the hang is healed", || (!worker.is_alive()).then_some(()));
            until_answer(&api_of(node, chain), ledger);
            begun.elapsed()
        }
    };
    let successor: Process = node.worker(chain);
    assert_ne!(successor, worker, "another process serves {chain} now");
    eventually("the sibling goes on", || {
        sibling.height().ok().filter(|height| *height > before)
    });
    took
}

/// Everything that was reported is still so, and no unit was made or lost on the way.
fn audit(node: &TestNode, ledger: &Ledger, before: &Balances) {
    let alpha = node.alpha_user(2);
    for (id, height) in ledger.alpha_final.lock().expect("no panic").iter() {
        assert_eq!(alpha.final_at(id), Some(*height), "{id} was reported final");
    }
    let delta = node.delta_user(0);
    for (tx, receipt) in ledger.delta_final.lock().expect("no panic").iter() {
        assert_eq!(delta.receipt(tx).as_ref(), Some(receipt), "{}", tx.hash);
    }
    let units = |of: &AtomicU64| of.load(Ordering::Relaxed);
    let minted = U256::from(u128::from(units(&ledger.locked_units)) * WEI_PER_UNIT);
    eventually("every lock is minted", || {
        (node.delta_user(1).balance_wei() >= before.minted_to_wei + minted).then_some(())
    });
    let received = units(&ledger.transferred_units) + units(&ledger.unlocked_units);
    eventually("every unlock is released", || {
        (alpha.balance_units() >= before.receiver_units + received).then_some(())
    });
    for api in [node.alpha(), node.delta()] {
        let report = eventually("nothing is on the way any more", || {
            let report = api.get("/v1/supply").ok()?;
            assert_eq!(report["holds"], true, "{report}");
            let at_rest =
                report["locks_in_flight_units"] == 0 && report["unlocks_in_flight_units"] == 0;
            at_rest.then_some(report)
        });
        assert_eq!(
            report["locked_units"], report["sax_total_units"],
            "{report}"
        );
    }
    assert_eq!(
        node.delta_user(1).balance_wei(),
        before.minted_to_wei + minted,
        "a lock is minted once"
    );
    assert_eq!(
        alpha.balance_units(),
        before.receiver_units + received,
        "an unlock is released once"
    );
}

struct Balances {
    minted_to_wei: U256,
    receiver_units: u64,
}

impl Balances {
    fn of(node: &TestNode) -> Self {
        Balances {
            minted_to_wei: node.delta_user(1).balance_wei(),
            receiver_units: node.alpha_user(2).balance_units(),
        }
    }
}

/// Hash and state root of a committed block.
fn block(api: &Api, chain: &str, height: u64) -> Value {
    let path = match chain {
        "alpha" => format!("/v1/block/{height}"),
        _ => format!("/v1/blocks/{height}"),
    };
    let block = eventually("the block is served", || api.get(&path).ok());
    json!([block["hash"], block["state_root"], block["parent"]])
}

#[test]
fn nothing_reported_is_lost_whoever_is_killed() {
    let mut node = TestNode::start(Options::default());
    let ledger = Arc::new(Ledger::default());
    let before = Balances::of(&node);

    let mut restarts = Vec::new();
    under_load(&mut node, &ledger, |node| {
        eventually("the load runs", || {
            let done = ledger.alpha_final.lock().expect("no panic").len();
            (done > 2).then_some(())
        });
        for round in 0..KILLS_PER_WORKER {
            for chain in ["alpha", "delta"] {
                let begun = Instant::now();
                restarts.push(strike(node, &ledger, chain, Signal::SIGKILL));
                // The instants within a block differ from kill to kill.
                let jitter = Duration::from_millis(u64::from(round) * 37 % 101);
                let rest = (BETWEEN_KILLS + jitter).saturating_sub(begun.elapsed());
                thread::sleep(rest);
            }
        }
    });
    let refused = ledger.refused_connections.load(Ordering::Relaxed);
    assert_eq!(
        refused, 0,
        "the supervisor holds the sockets while a worker is dead"
    );
    for chain in ["alpha", "delta"] {
        let restarts = node.chain(chain)["restarts"].as_u64();
        assert_eq!(restarts, Some(u64::from(KILLS_PER_WORKER)), "{chain}");
    }
    audit(&node, &ledger, &before);
    restarts.sort();

    // The supervisor. The load runs until just before, so that blocks are being made.
    let heights = ["alpha", "delta"].map(|chain| {
        let api = api_of(&node, chain);
        let height = api.height().expect("a height");
        (chain, height, block(&api, chain, height))
    });
    let third_had = node.delta_user(2).balance_wei();
    let sent: Vec<_> = (0..4)
        .map(|more| {
            let user = node.alpha_user(0);
            let tx = user.lock(
                user.next_nonce(),
                node.delta_user(2).evm_address(),
                1_000 + more,
            );
            user.send(&tx).expect("accepted");
            tx
        })
        .collect();
    let killed = node.kill();
    let begun = Instant::now();
    node.restart();
    let ready_after = begun.elapsed();
    let left = segments_of(killed.pid);
    assert!(
        left.is_empty(),
        "the next start removes the segments of a dead node: {left:?}"
    );
    for (chain, height, then) in heights {
        let api = api_of(&node, chain);
        assert!(api.height().expect("a height") >= height, "{chain}");
        assert_eq!(block(&api, chain, height), then, "{chain} at {height}");
    }
    audit(&node, &ledger, &before);
    // What was accepted and not yet final may be sent again, as often as one likes.
    let user = node.alpha_user(0);
    let mut units = 0;
    for tx in &sent {
        user.send(tx).expect("sending again is no error");
        user.send(tx).expect("and again");
        eventually("it is final", || user.final_at(&tx.id()));
    }
    for more in 0..4u64 {
        units += 1_000 + more;
    }
    let wanted = third_had + U256::from(u128::from(units) * WEI_PER_UNIT);
    eventually("the locks are minted", || {
        (node.delta_user(2).balance_wei() == wanted).then_some(())
    });

    // And everything works as before.
    under_load(&mut node, &ledger, |node| {
        let heights = [node.alpha().height(), node.delta().height()].map(|h| h.expect("a height"));
        eventually("both chains go on", || {
            let alpha = node.alpha().height().ok()? >= heights[0] + 4;
            let delta = node.delta().height().ok()? >= heights[1] + 4;
            (alpha && delta).then_some(())
        });
    });
    audit(&node, &ledger, &before);
    assert_eq!(
        node.delta_user(2).balance_wei(),
        wanted,
        "each lock is minted once"
    );
    eprintln!(
        "kill -9 of a worker to the answer of its successor: p50 {:?}, max {:?} of {}; kill -9 of \
         the supervisor: workers gone after {:?}, ready again {ready_after:?} after the start; {} \
         transactions final on alpha and {} on delta, {} signed anew, {} requests broken off",
        restarts[restarts.len() / 2],
        restarts.last().expect("kills"),
        restarts.len(),
        killed.orphans_gone_after,
        ledger.alpha_final.lock().expect("no panic").len(),
        ledger.delta_final.lock().expect("no panic").len(),
        ledger.resigned.load(Ordering::Relaxed),
        ledger.broken.load(Ordering::Relaxed),
    );
}

#[test]
fn a_stopped_worker_is_found_and_replaced() {
    let node = TestNode::start(Options::default());
    let ledger = Ledger::default();
    for chain in ["alpha", "delta"] {
        let took = strike(&node, &ledger, chain, Signal::SIGSTOP);
        eprintln!("SIGSTOP of {chain} to the answer of its successor: {took:?}");
        let before = api_of(&node, chain).height().expect("a height");
        eventually("it makes blocks again", || {
            api_of(&node, chain)
                .height()
                .ok()
                .filter(|height| *height > before)
        });
    }
    assert_eq!(ledger.refused_connections.load(Ordering::Relaxed), 0);
}
