//! What goes wrong without anybody's evil: each has words that say what to do next.

use std::{fs, fs::File, os::unix::fs::PermissionsExt};

use adnet_tests::harness::{Options, TestNode};

use crate::person::{Person, err, mint, url};

/// A node that nobody runs.
const NOBODY: &str = "http://127.0.0.1:9";

#[test]
fn a_wallet_is_made_without_a_node_and_its_files_are_private() {
    let person = Person::at(NOBODY);
    let made = person.run(&["new"]);
    assert_eq!(made.status.code(), Some(0), "{}", err(&made));
    assert!(err(&made).contains("begins at block 0"), "{}", err(&made));
    for file in ["keys.age", "viewing.json"] {
        let metadata = fs::metadata(person.wallet_dir().join(file)).expect("it was made");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{file}");
    }
    let again = person.refused(&["new"], 1);
    assert!(again.contains("never overwritten"), "{again}");
    let balance = person.refused(&["balance"], 1);
    assert!(balance.contains("does not answer"), "{balance}");
    let offline = person.refused(&["balance", "--offline"], 1);
    assert!(offline.contains("wallet scan"), "{offline}");

    // Of the three files the first is enough.
    let address = person.address("shielded");
    fs::remove_file(person.wallet_dir().join("viewing.json")).expect("it was there");
    assert_eq!(person.address("shielded"), address);

    let nowhere = person
        .command(&["addresses", "--wallet", "nothing"])
        .output();
    let nowhere = err(&nowhere.expect("the binary runs"));
    assert!(nowhere.contains("adnet wallet new"), "{nowhere}");
}

#[test]
fn the_passphrase_opens_the_keys_and_can_be_changed() {
    let person = Person::at(NOBODY);
    person.json(&["new"]);
    let words = person.mnemonic();
    assert_eq!(words.split_whitespace().count(), 24);
    let file = person.keep("other", "another passphrase\n");
    let file = file.to_str().expect("UTF-8");
    let wrong = person.refused(&["show-mnemonic", "--yes", "--passphrase-file", file], 1);
    assert!(
        wrong.contains("wrong passphrase") && !wrong.contains(&words),
        "{wrong}"
    );
    person.json(&["change-passphrase", "--new-passphrase-file", file]);
    let old = person.refused(&["show-mnemonic", "--yes"], 1);
    assert!(old.contains("wrong passphrase"), "{old}");
    let shown = person.json(&["show-mnemonic", "--yes", "--passphrase-file", file]);
    assert_eq!(shown["mnemonic"], words);
    // Nobody is there to say yes.
    person.refused(&["show-mnemonic"], 2);
    let short = person.keep("short", "1234567\n");
    let short = short.to_str().expect("UTF-8");
    person.refused(
        &["new", "--wallet", "second", "--passphrase-file", short],
        2,
    );
}

#[test]
fn wrong_words_are_named() {
    let person = Person::at(NOBODY);
    for (words, hint) in [
        ("abandon abandon", "24 words"),
        (&format!("{}abandonn", "abandon ".repeat(23)), "word 24"),
        ("abandon ".repeat(24).trim(), "checksum"),
    ] {
        let file = person.keep("words", words);
        let file = file.to_str().expect("UTF-8");
        let said = person.refused(&["restore", "--words-file", file], 1);
        assert!(said.contains(hint), "{hint}: {said}");
    }
    // A refused word has made no wallet.
    person.refused(&["addresses"], 1);
}

#[test]
fn one_process_at_a_time() {
    let person = Person::at(NOBODY);
    person.json(&["new"]);
    let lock = File::options()
        .write(true)
        .open(person.wallet_dir().join("lock"));
    let lock = lock.expect("it was made");
    lock.lock().expect("nobody has it");
    let said = person.refused(&["addresses"], 1);
    assert!(said.contains("another `adnet wallet`"), "{said}");
    drop(lock);
    person.address("public");
}

#[test]
fn what_cannot_be_paid_or_meant_is_refused_with_the_numbers() {
    let node = TestNode::start(Options::default());
    let person = Person::with_wallet(&node);
    mint(&node, &person.address("public"), "10", "1");
    let other = Person::with_wallet(&node);
    let (note, account) = (other.address("shielded"), other.address("public"));

    let said = person.refused(&["send", "--to", &note, "--amount", "3"], 1);
    for part in [
        "not enough in the pool",
        "0.0000 AX can be spent",
        "wallet shield",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = person.refused(&["shield", "--amount", "10"], 1);
    assert!(said.contains("not enough in the public account"), "{said}");
    let dear = ["shield", "--amount", "1", "--max-fee", "0.001"];
    let said = person.refused(&dear, 1);
    assert!(said.contains("--max-fee"), "{said}");

    let own = person.address("shielded");
    let said = person.refused(&["send", "--to", &own, "--amount", "1"], 2);
    assert!(said.contains("this wallet itself"), "{said}");
    let memo = ["send", "--to", &account, "--amount", "1", "--memo", "hello"];
    let said = person.refused(&memo, 2);
    assert!(said.contains("only notes carry a memo"), "{said}");
    let long = "x".repeat(513);
    let said = person.refused(
        &["send", "--to", &note, "--amount", "1", "--memo", &long],
        2,
    );
    assert!(said.contains("512 bytes"), "{said}");
    for wrong in [
        &[
            "send",
            "--to",
            "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
            "--amount",
            "1",
        ][..],
        &["send", "--to", &note],
        &["send", "--to", &note, "--amount", "1", "--units", "1"],
        &["send", "--to", &note, "--amount", "0.00001"],
        &["send", "--to", &note[..70], "--amount", "1"],
        &["burn", "--units", "0"],
    ] {
        person.refused(wrong, 2);
    }
    assert_eq!(person.json(&["info"])["pending"], 0, "nothing was sent");
}

#[test]
fn a_wallet_keeps_to_its_network() {
    let (one, two) = (
        TestNode::start(Options::default()),
        TestNode::start(Options::default()),
    );
    let mut person = Person::with_wallet(&one);
    person.json(&["scan"]);
    person.node_url = url(&two);
    let said = person.refused(&["balance"], 1);
    assert!(said.contains("this wallet is for the network"), "{said}");
    person.node_url = url(&one);
    person.json(&["balance"]);
}
