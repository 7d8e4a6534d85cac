//! The way of a newcomer, step by step, with the balances of both sides after each.

use serde_json::{Value, json};

use crate::person::{Person, UNITS_PER_AX, mint, node, out, patiently, url};

fn units(value: &Value, name: &str) -> u64 {
    value[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {value}"))
}

#[test]
fn two_people_pay_each_other_in_private() {
    let node = node();
    let (alice, bob) = (Person::with_wallet(&node), Person::with_wallet(&node));
    assert_eq!(alice.balance(), (0, 0));

    // The governors mint: to a public account, and to a note that nobody sees the owner of.
    mint(&node, &alice.address("public"), "1000", "1");
    let (pool, public) = alice.balance();
    assert!(pool == 0 && public > 999 * UNITS_PER_AX, "{public}");
    mint(&node, &alice.address("shielded"), "500", "2");
    let (minted, _) = alice.balance();
    assert!(
        minted > 490 * UNITS_PER_AX && minted < 500 * UNITS_PER_AX,
        "{minted}"
    );

    // Shield: account to pool.
    let shielded = alice.json(&["shield", "--amount", "300"]);
    assert_eq!(shielded["function"], "transfer_public_to_private");
    let pool = minted + 300 * UNITS_PER_AX;
    let public = public - 300 * UNITS_PER_AX - units(&shielded, "fee_units");
    assert_eq!(alice.balance(), (pool, public));

    // Send: pool to pool, with a memo.
    let to = bob.json(&["addresses", "--index", "7"]);
    let to = to["shielded"].as_str().expect("an address");
    let sent = alice.json(&[
        "send",
        "--to",
        to,
        "--amount",
        "120.5",
        "--memo",
        "für das Essen",
    ]);
    assert_eq!(sent["status"], "final");
    let pool = pool - 1_205_000 - units(&sent, "fee_units");
    assert_eq!(alice.balance(), (pool, public));
    assert_eq!(bob.balance(), (1_205_000, 0));
    let entry = bob.history().pop().expect("something happened");
    assert_eq!(
        (&entry["kind"], &entry["memo"], &entry["amount_ax"]),
        (
            &json!("received"),
            &json!("für das Essen"),
            &json!("120.5000")
        )
    );
    // The sender's own history knows whom it has paid, by the outgoing viewing key.
    let entry = alice.history().pop().expect("something happened");
    assert_eq!(
        (&entry["kind"], &entry["payments"][0]["party"]),
        (&json!("sent"), &json!(to))
    );

    // Unshield: pool to account.
    let unshielded = bob.json(&["unshield", "--amount", "50"]);
    let pool_of_bob = 1_205_000 - 50 * UNITS_PER_AX - units(&unshielded, "fee_units");
    assert_eq!(bob.balance(), (pool_of_bob, 50 * UNITS_PER_AX));

    // Lock: pool to Delta.
    let locked = bob.json(&["lock", "--amount", "20"]);
    let pool_of_bob = pool_of_bob - 20 * UNITS_PER_AX - units(&locked, "fee_units");
    assert_eq!(bob.balance().0, pool_of_bob);
    let delta = bob.address("delta");
    let sax = patiently("the sAX is on Delta", || {
        let balance = node
            .delta()
            .rpc("eth_getBalance", json!([delta, "latest"]))
            .ok()?;
        Some(balance).filter(|balance| balance != "0x0")
    });
    let wei = 20u128 * 10u128.pow(18);
    assert_eq!(sax, json!(format!("{wei:#x}")));

    // Burn: out of the pool, and out of the account.
    let burned = bob.json(&["burn", "--amount", "10"]);
    let pool_of_bob = pool_of_bob - 10 * UNITS_PER_AX - units(&burned, "fee_units");
    let burned = bob.json(&["burn", "--units", "70000", "--from", "public"]);
    let public_of_bob = 50 * UNITS_PER_AX - 70_000 - units(&burned, "fee_units");
    assert_eq!(bob.balance(), (pool_of_bob, public_of_bob));

    // Many notes into one.
    alice.json(&["send", "--to", to, "--amount", "5"]);
    let (before, notes) = (bob.balance().0, bob.json(&["info"]));
    assert_eq!(before, pool_of_bob + 5 * UNITS_PER_AX);
    assert_eq!(notes["unspent_notes"], 2);
    let joined = bob.json(&["consolidate"]);
    assert_eq!(bob.balance().0, before - units(&joined, "fee_units"));
    assert_eq!(bob.json(&["info"])["unspent_notes"], 1);

    // What happened adds up to what is there.
    let history = bob.history();
    let sum = |name: &str| -> i64 {
        let changes = history
            .iter()
            .map(|entry| entry[name].as_i64().expect("units"));
        changes.sum()
    };
    let (pool, public) = bob.balance();
    assert_eq!(sum("pool_change_units"), pool as i64);
    assert_eq!(sum("public_change_units"), public as i64);
    let text = out(&bob.run(&["history"]));
    assert!(
        text.contains("\"für das Essen\"") && text.contains("burned"),
        "{text}"
    );

    // From the words alone, elsewhere: the same balance and the same history.
    for person in [&alice, &bob] {
        let again = Person::at(&url(&node));
        let words = again.keep("words", &person.mnemonic());
        let words = words.to_str().expect("UTF-8");
        again.json(&["restore", "--words-file", words]);
        assert_eq!(again.balance(), person.balance());
        assert_eq!(again.history(), person.history());
        assert_eq!(again.address("delta"), person.address("delta"));
    }

    // And with viewing keys: the same, but it cannot spend.
    let watcher = Person::at(&url(&node));
    let exported = out(&bob.run(&["export-viewing-key", "--json"]));
    let file = watcher.keep("viewing", &exported);
    let file = file.to_str().expect("UTF-8");
    watcher.json(&["import-viewing-key", "--file", file]);
    assert_eq!(watcher.balance(), bob.balance());
    assert_eq!(watcher.history(), bob.history());
    let said = watcher.refused(&["burn", "--amount", "1"], 1);
    assert!(said.contains("cannot spend"), "{said}");
}
