//! Payments that a node refuses because they come too late, rightly or not: each is paid once.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::{
    person::{Person, UNITS_PER_AX, mint, node, patiently, url},
    proxy::{Fate, Proxy},
};

/// Refuses this many broadcasts with the code.
#[derive(Clone, Default)]
struct Refusals(Arc<Mutex<Vec<&'static str>>>);

impl Refusals {
    fn will_be(&self, codes: &[&'static str]) {
        self.0.lock().expect("nobody panics with it").extend(codes);
    }

    fn fate(&self, path: &str) -> Fate {
        if !path.ends_with("/broadcast") {
            return Fate::Pass;
        }
        let code = self.0.lock().expect("nobody panics with it").pop();
        code.map_or(Fate::Pass, Fate::Refuse)
    }
}

/// The history's line of the one payment that is final, if nothing else was ever sent.
fn only_payment(person: &Person) -> Value {
    let mut sent: Vec<Value> = person.history();
    sent.retain(|entry| entry["kind"] == "sent");
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(sent[0]["status"], "final", "{sent:?}");
    sent.remove(0)
}

#[test]
fn a_payment_that_comes_too_late_is_made_anew_by_itself() {
    let node = node();
    let mut alice = Person::with_wallet(&node);
    let bob = Person::with_wallet(&node);
    mint(&node, &alice.address("shielded"), "100", "1");
    let (held, _) = alice.balance();
    // Once when it is sent, and once when the wallet looks after what is pending.
    let refusals = Refusals::default();
    refusals.will_be(&["ANCHOR_UNKNOWN"; 2]);
    let late = Proxy::before(&node, move |path| refusals.fate(path));
    alice.node_url = late.url();
    let to = bob.address("shielded");
    let said = alice.json(&["send", "--to", &to, "--amount", "40"]);
    assert_eq!(said["status"], "final");
    assert_eq!(late.seen("/v1/transaction/broadcast").len(), 3);
    // The two are of the same notes: one has paid, and of the other nothing is left.
    assert_eq!(bob.balance(), (40 * UNITS_PER_AX, 0));
    let paid = only_payment(&alice);
    assert_eq!(paid["id"], said["id"]);
    let fee = paid["fee_units"].as_u64().expect("units");
    assert_eq!(alice.balance(), (held - 40 * UNITS_PER_AX - fee, 0));
}

/// The first transaction is refused, and comes into a block while the second is proved: an earlier
/// request of it was only slow.
#[test]
fn the_first_of_two_may_be_the_one_that_pays() {
    let node = node();
    let mut alice = Person::with_wallet(&node);
    let bob = Person::with_wallet(&node);
    mint(&node, &alice.address("shielded"), "100", "1");
    let (held, _) = alice.balance();
    let kept: Mutex<Option<Value>> = Mutex::default();
    let api = node.alpha().clone();
    let late = Proxy::reading(&node, move |path, body| {
        if !path.ends_with("/broadcast") {
            return Fate::Pass;
        }
        let body: Value = serde_json::from_slice(body).expect("the wallet sends JSON");
        let mut kept = kept.lock().expect("nobody panics with it");
        let first = kept.get_or_insert_with(|| body.clone());
        if *first == body {
            return Fate::Refuse("ANCHOR_UNKNOWN");
        }
        let answer = api.post(path, first).expect("the node takes the first");
        let id = answer["id"].as_str().expect("an id").to_owned();
        patiently("the first is final", || {
            let known = api.get(&format!("/v1/transaction/{id}")).ok()?;
            (known["status"] == "final").then_some(())
        });
        Fate::Pass
    });
    alice.node_url = late.url();
    let to = bob.address("shielded");
    let output = alice.run(&["send", "--to", &to, "--amount", "40", "--json"]);
    let errors = crate::person::err(&output);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert!(errors.contains("made anew"), "{errors}");
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let paid = only_payment(&alice);
    assert_eq!(said["status"], "final");
    assert_eq!(
        (&said["id"], &said["height"]),
        (&paid["id"], &paid["height"])
    );
    let broadcast = late.seen("/v1/transaction/broadcast");
    assert!(broadcast.len() >= 3, "{broadcast:?}");
    assert_eq!(bob.balance(), (40 * UNITS_PER_AX, 0));
    let fee = paid["fee_units"].as_u64().expect("units");
    assert_eq!(alice.balance(), (held - 40 * UNITS_PER_AX - fee, 0));
}

#[test]
fn what_is_refused_once_and_taken_then_is_not_made_anew() {
    let node = node();
    let mut alice = Person::with_wallet(&node);
    let bob = Person::with_wallet(&node);
    mint(&node, &alice.address("shielded"), "100", "1");
    alice.balance();
    let refusals = Refusals::default();
    refusals.will_be(&["EXPIRED"]);
    let codes = refusals.clone();
    let late = Proxy::before(&node, move |path| codes.fate(path));
    alice.node_url = late.url();
    let to = bob.address("shielded");
    let said = alice.json(&["send", "--to", &to, "--amount", "40"]);
    assert_eq!(
        (&said["status"], &said["id"]),
        (&"final".into(), &only_payment(&alice)["id"])
    );
    assert_eq!(late.seen("/v1/transaction/broadcast").len(), 2);
    assert_eq!(bob.balance(), (40 * UNITS_PER_AX, 0));

    // Twice in a row, whenever it is sent, is told; the next command pays after all, and once.
    refusals.will_be(&["EXPIRED"; 5]);
    let order = ["send", "--to", &to, "--amount", "10"];
    let said = alice.refused(&order, 1);
    assert!(said.contains("too late twice"), "{said}");
    assert_eq!(alice.json(&order)["status"], "final");
    assert_eq!(bob.balance(), (50 * UNITS_PER_AX, 0));
    alice.node_url = url(&node);
    let expired = |entry: &&Value| entry["status"] != "final";
    assert_eq!(alice.history().iter().filter(expired).count(), 0);
}
