//! Deaths and interruptions: what was read stays read, and nothing is lost or paid twice.

use std::{fs, path::Path, process::Stdio};

use adnet_tests::harness::{Options, TestNode};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::{
    person::{Person, UNITS_PER_AX, adnet, mint, node, patiently, url},
    proxy::{Fate, Proxy, from_of},
};

/// The last block that a wallet's state knows.
fn scanned(wallet: &Path) -> Option<u64> {
    let state = fs::read(wallet.join("state.json")).ok()?;
    let state: Value = serde_json::from_slice(&state).expect("a state is whole or not there");
    let last = state["recent"].as_array()?.last()?;
    last["height"].as_u64()
}

fn slow_blocks(path: &str) -> Fate {
    match path.starts_with("/v1/compact/blocks") {
        true => Fate::Slow {
            blocks: 1,
            delay_ms: 150,
        },
        false => Fate::Pass,
    }
}

fn no_broadcast(path: &str) -> Fate {
    match path.ends_with("/broadcast") {
        true => Fate::Hold,
        false => Fate::Pass,
    }
}

/// A scan that is ended by `signal` in its midst, with the code, and then goes on.
fn scan_is_resumed(signal: Signal, code: Option<i32>) {
    let node = TestNode::start(Options {
        alpha_interval_ms: 100,
        ..Options::default()
    });
    let mut person = Person::at(&url(&node));
    let words = Person::with_wallet(&node);
    let words = person.keep("words", &words.mnemonic());
    person.json(&["restore", "--words-file", words.to_str().expect("UTF-8")]);
    mint(&node, &person.address("public"), "10", "1");
    patiently("the chain is long enough", || {
        node.alpha().height().ok().filter(|height| *height > 60)
    });

    let slow = Proxy::before(&node, slow_blocks);
    person.node_url = slow.url();
    let mut scan = person.command(&["scan"]);
    scan.stdout(Stdio::null()).stderr(Stdio::null());
    let mut scan = scan.spawn().expect("the binary runs");
    let wallet = person.wallet_dir();
    let part = match signal {
        // Nothing is written at the end: it must be there already.
        Signal::SIGKILL => patiently("a part is on the disk", || {
            scanned(&wallet).filter(|height| *height > 3)
        }),
        _ => {
            patiently("it scans", || {
                Some(()).filter(|()| slow.seen("/v1/compact").len() > 5)
            });
            0
        }
    };
    let pid = i32::try_from(scan.id()).expect("pids are short");
    kill(Pid::from_raw(pid), signal).expect("it runs");
    assert_eq!(scan.wait().expect("it ended").code(), code);
    let kept = scanned(&wallet).expect("a state");
    assert!(kept >= part && kept > 3 && kept < 60, "{kept}");

    let again = Proxy::before(&node, |_| Fate::Pass);
    person.node_url = again.url();
    let (_, public) = person.balance();
    let first = again
        .seen("/v1/compact")
        .first()
        .and_then(|path| from_of(path));
    assert_eq!(first, Some(kept + 1), "it goes on where it was");
    assert!(public > 9 * UNITS_PER_AX, "{public}");
}

#[test]
fn a_scan_that_is_killed_goes_on_where_it_was() {
    scan_is_resumed(Signal::SIGKILL, None);
}

#[test]
fn ctrl_c_keeps_what_is_scanned() {
    scan_is_resumed(Signal::SIGINT, Some(130));
}

#[test]
fn a_payment_is_on_the_disk_before_it_is_sent() {
    let node = node();
    let mut alice = Person::with_wallet(&node);
    let bob = Person::with_wallet(&node);
    mint(&node, &alice.address("shielded"), "100", "1");
    let (held, _) = alice.balance();

    // The node never hears of it, and the wallet dies.
    let deaf = Proxy::before(&node, no_broadcast);
    alice.node_url = deaf.url();
    let to = bob.address("shielded");
    let order = ["send", "--to", &to, "--amount", "40"];
    let mut send = alice.command(&order);
    send.stdout(Stdio::null()).stderr(Stdio::null());
    let mut send = send.spawn().expect("the binary runs");
    patiently("it is sent", || {
        Some(()).filter(|()| !deaf.seen("/v1/transaction/broadcast").is_empty())
    });
    send.kill().expect("it runs");
    send.wait().expect("it ended");

    // What it has signed is known, its note is not spent a second time, and it is sent again.
    let offline = alice.json(&["balance", "--offline"]);
    assert_eq!(offline["pool"]["spendable_units"], 0, "{offline}");
    assert_eq!(offline["pool"]["locked_units"], held);
    alice.node_url = url(&node);
    // Whoever gives the same command again pays once.
    assert_eq!(alice.json(&order)["status"], "final");
    let entry = patiently("it is final", || {
        let entry = alice.history().pop()?;
        Some(entry).filter(|entry| entry["status"] == "final" && entry["kind"] == "sent")
    });
    assert_eq!(entry["amount_units"], 40 * UNITS_PER_AX);
    assert_eq!(bob.balance(), (40 * UNITS_PER_AX, 0));
    let fee = entry["fee_units"].as_u64().expect("units");
    assert_eq!(alice.balance(), (held - 40 * UNITS_PER_AX - fee, 0));
    let sent = alice
        .history()
        .into_iter()
        .filter(|entry| entry["kind"] == "sent");
    assert_eq!(sent.count(), 1, "once");
}

#[test]
fn a_node_that_gives_a_changed_note_is_found_out() {
    let node = node();
    let alice = Person::with_wallet(&node);
    mint(&node, &alice.address("shielded"), "100", "1");
    let held = patiently("it is there", || {
        Some(alice.balance()).filter(|(held, _)| *held > 0)
    });
    let id = alice.history()[0]["id"].clone();
    let id = id.as_str().expect("an id");
    let found = node.alpha().get(&format!("/v1/transaction/{id}"));
    let found = found.expect("it is final");
    let actions = &found["transaction"]["bundle"]["actions"];
    for action in actions.as_array().expect("two actions") {
        let note = action["note_commitment"].as_str().expect("hex");
        let note: [u8; 32] = (hex::decode(note).expect("hex").try_into()).expect("a field element");
        let liar = Proxy::before(&node, move |path| {
            match path.starts_with("/v1/compact/blocks") {
                true => Fate::Forge(note),
                false => Fate::Pass,
            }
        });
        let mut again = Person::at(&liar.url());
        let words = alice.keep("words", &alice.mnemonic());
        let words = words.to_str().expect("UTF-8");
        again.json(&["restore", "--words-file", words, "--birthday", "1"]);
        let said = again.refused(&["balance"], 1);
        assert!(
            said.contains("given wrong blocks") && said.contains("scan --anew"),
            "{said}"
        );
        // What was read is of no use, and an honest node makes up for it.
        again.node_url = url(&node);
        again.json(&["scan", "--anew"]);
        assert_eq!(again.balance(), held);
    }
}

#[test]
fn a_wallet_is_restored_from_its_birthday_on() {
    let node = TestNode::start(Options {
        alpha_interval_ms: 400,
        ..Options::default()
    });
    let alice = Person::with_wallet(&node);
    patiently("the chain is long enough", || {
        node.alpha().height().ok().filter(|height| *height > 64)
    });
    mint(&node, &alice.address("shielded"), "100", "1");
    let held = patiently("it is there", || {
        Some(alice.balance()).filter(|(held, _)| *held > 0)
    });
    let height = alice.history()[0]["height"].as_u64().expect("a height");
    let words = alice.keep("words", &alice.mnemonic());
    let words = words.to_str().expect("UTF-8");
    let restored = |birthday: u64| {
        let again = Person::at(&url(&node));
        let birthday = birthday.to_string();
        again.json(&["restore", "--words-file", words, "--birthday", &birthday]);
        again
    };
    for birthday in [1, 64, height - 1, height] {
        let again = restored(birthday);
        assert_eq!(again.balance(), held, "from {birthday}");
        assert_eq!(again.history(), alice.history(), "from {birthday}");
    }
    // Trees of every 64th block are kept, so a late birthday may see what was a little earlier.
    let late = restored(height + 65 - height % 64);
    patiently("the chain has that block", || {
        node.alpha().height().ok().filter(|now| *now > height + 66)
    });
    assert_eq!(late.balance(), (0, 0), "what was before is not read");
}

#[test]
fn nobody_waits_who_does_not_want_to() {
    let node = node();
    let person = Person::with_wallet(&node);
    mint(&node, &person.address("public"), "100", "1");
    let shielded = person.json(&["shield", "--amount", "30", "--no-wait"]);
    assert_eq!(
        (&shielded["status"], &shielded["height"]),
        (&json!("pending"), &Value::Null)
    );
    patiently("it is final", || {
        Some(()).filter(|()| person.balance().0 == 30 * UNITS_PER_AX)
    });
    let output = adnet()
        .args(["completion", "bash"])
        .output()
        .expect("the binary runs");
    assert!(String::from_utf8_lossy(&output.stdout).contains("change-passphrase"));
}
