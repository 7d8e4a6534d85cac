//! The load: transfers and locks on Alpha, unlocks on Delta, each sent until it is final.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, Scope},
    time::{Duration, Instant},
};

use adnet_alpha::tx::Transaction;
use adnet_common::hash::Hash;
use adnet_delta::tx::SignedTx;
use adnet_tests::harness::{AlphaUser, DeltaUser, Failure, TestNode};
use serde_json::Value;

/// How long one transaction may take, over all deaths in between.
const FINAL_WITHIN: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(20);

/// What clients have been told, over all lives of the node.
#[derive(Default)]
pub struct Told {
    /// Transactions that were reported final on Alpha, with their height.
    pub alpha_final: Mutex<Vec<(Hash, u64)>>,
    /// Transactions that had a receipt on Delta, with it.
    pub delta_final: Mutex<Vec<(SignedTx, Value)>>,
    pub locked_units: AtomicU64,
    pub unlocked_units: AtomicU64,
    pub transferred_units: AtomicU64,
    pub signed_anew: AtomicU64,
}

impl Told {
    /// # Panics
    /// If fewer transactions became final than processes were struck down: then the storm would
    /// have raged over an idle node.
    pub fn insist_on_traffic(&self, blows: usize) {
        let alpha = self.alpha_final.lock().expect("no panic").len();
        let delta = self.delta_final.lock().expect("no panic").len();
        assert!(
            alpha.min(delta) >= blows,
            "{alpha} transactions on alpha and {delta} on delta under {blows} blows"
        );
    }
}

/// Ends the load and the watches, also when whoever holds it panics.
pub struct StopOnDrop<'a>(pub &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Starts the clients; they go on until `stop`.
pub fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    node: &TestNode,
    told: &'scope Told,
    stop: &'scope AtomicBool,
) {
    let (locker, sender, receiver) = (
        node.alpha_user(0),
        node.alpha_user(1),
        node.alpha_user(2).address(),
    );
    let (unlocker, minted_to) = (node.delta_user(0), node.delta_user(1).evm_address());
    scope.spawn(move || {
        let _stop = StopOnDrop(stop);
        on_alpha(
            &locker,
            told,
            stop,
            &told.locked_units,
            |user, nonce, units| user.lock(nonce, minted_to, units),
        );
    });
    scope.spawn(move || {
        let _stop = StopOnDrop(stop);
        on_alpha(
            &sender,
            told,
            stop,
            &told.transferred_units,
            |user, nonce, units| user.transfer(nonce, receiver, units),
        );
    });
    scope.spawn(move || {
        let _stop = StopOnDrop(stop);
        on_delta(&unlocker, told, stop, |user, nonce, units| {
            user.unlock(nonce, receiver, units)
        });
    });
}

/// One transaction per nonce, until it is final or the load ends.
fn on_alpha(
    user: &AlphaUser,
    told: &Told,
    stop: &AtomicBool,
    total_units: &AtomicU64,
    make: impl Fn(&AlphaUser, u64, u64) -> Transaction,
) {
    let mut nonce = user.next_nonce();
    while !stop.load(Ordering::Relaxed) {
        let units = 1 + nonce % 97;
        // One that expired in an outage is signed anew with the same nonce: at most one can ever
        // be in a block, and any of them counts.
        let mut signed = vec![make(user, nonce, units)];
        let deadline = Instant::now() + FINAL_WITHIN;
        let found = loop {
            assert!(Instant::now() < deadline, "nonce {nonce} is not final");
            let sent = user.send(signed.last().expect("at least one"));
            let found = signed.iter().find_map(|tx| {
                let height = user.final_at(&tx.id())?;
                Some((tx.id(), height))
            });
            if let Some(found) = found {
                break found;
            }
            match sent {
                Err(Failure::Refused { code, .. }) if code == "EXPIRED" => {
                    told.signed_anew.fetch_add(1, Ordering::Relaxed);
                    signed.push(make(user, nonce, units));
                }
                // Its nonce is used: one of ours is in a block that the next look finds.
                Err(Failure::Refused { code, .. }) if code == "NONCE_TOO_LOW" => {}
                Err(Failure::Refused {
                    status: 503 | 504, ..
                }) => {}
                Err(Failure::Refused { code, message, .. }) => panic!("{code}: {message}"),
                Ok(_) | Err(Failure::ConnectionRefused | Failure::Broken(_)) => {}
            }
            thread::sleep(POLL);
        };
        total_units.fetch_add(units, Ordering::Relaxed);
        told.alpha_final.lock().expect("no panic").push(found);
        nonce += 1;
    }
}

fn on_delta(
    user: &DeltaUser,
    told: &Told,
    stop: &AtomicBool,
    make: impl Fn(&DeltaUser, u64, u64) -> SignedTx,
) {
    let mut nonce = user.next_nonce();
    while !stop.load(Ordering::Relaxed) {
        let units = 1 + nonce % 31;
        let tx = make(user, nonce, units);
        let deadline = Instant::now() + FINAL_WITHIN;
        let receipt = loop {
            assert!(Instant::now() < deadline, "unlock {nonce} is not final");
            if let Err(Failure::Refused { code, message, .. }) = user.send(&tx) {
                let is_in = message.contains("already known") || message.contains("nonce too low");
                let is_passing = message.contains("busy")
                    || message.contains("again")
                    || message.contains("stopp")
                    || code.is_empty();
                assert!(is_in || is_passing, "{code}: {message}");
            }
            if let Some(receipt) = user.receipt(&tx) {
                break receipt;
            }
            thread::sleep(POLL);
        };
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        told.unlocked_units.fetch_add(units, Ordering::Relaxed);
        let mut finals = told.delta_final.lock().expect("no panic");
        finals.push((tx, receipt));
        nonce += 1;
    }
}
