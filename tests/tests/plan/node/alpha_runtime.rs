//! T007: AlphaVM with its state tree, `credits.alpha`, a block every 15 s.

use adnet_common::chain_id::ChainId;
use adnet_tests::cluster::agreement::assert_same_blocks;
use adnet_tests::harness::{Options, TestNode, eventually};
use adnet_tests::sim::{self, Scenario};
use serde_json::{Value, json};

use crate::person::{Person, UNITS_PER_AX, mint, patiently};

#[test]
fn r001_u008_alpha_runtime_initialization() {
    let node = TestNode::start(Options::default());
    let begun = node.logged("alpha_runtime_started");
    let [event] = begun.as_slice() else {
        panic!("one start, one event: {begun:?}")
    };
    assert_eq!(event["role"], "alpha", "{event}");
    assert!(
        event["pid"].is_u64() && event["incarnation"].is_u64(),
        "{event}"
    );

    // The state has a root from the genesis on, and the supply under it.
    let supply = hex::encode("supply");
    let proof = node.alpha().get(&format!("/v1/state/proof/{supply}"));
    let proof = proof.expect("the API answers");
    let root = node.alpha().get(&format!("/v1/block/{}", proof["height"]));
    assert_eq!(proof["state_root"], root.expect("the block")["state_root"]);
    assert!(proof["value"].is_string(), "{proof}");
    let status = node.alpha().get("/v1/status").expect("the API answers");
    assert_eq!(status["supply"]["pool_units"], 0);
}

#[test]
fn r001_u009_fifteen_second_block_production() {
    // The real binary at the real interval, for as long as a test may take.
    let node = TestNode::start(Options {
        alpha_interval_ms: 15_000,
        ..Options::default()
    });
    let block =
        |height: u64| -> Option<Value> { node.alpha().get(&format!("/v1/block/{height}")).ok() };
    let third = patiently("the third block", || block(3));
    let time = |block: &Value| block["time_ms"].as_u64().expect("a time");
    let first = block(1).expect("it came before");
    assert_eq!(time(&third) - time(&first), 30_000);

    // The same code on a virtual clock, for hours.
    let scenario = Scenario {
        only: Some(ChainId::Alpha),
        has_clients: false,
        timer_late_max_ms: 50,
        ..Scenario::alone(9, 240 * 15_000)
    };
    let report = sim::run(&scenario).expect("all rules hold");
    let times: Vec<u64> = report.decided.values().map(|d| d.first_ms).collect();
    assert!(times.len() >= 239, "{} blocks", times.len());
    let taken_ms = times[times.len() - 1] - times[0];
    let planned_ms = (times.len() as u64 - 1) * 15_000;
    assert!(
        taken_ms.abs_diff(planned_ms) * 100 < planned_ms,
        "{taken_ms} ms for {planned_ms}"
    );
}

#[test]
fn r001_i001_alpha_end_to_end_transaction_flow() {
    let options = Options {
        alpha_interval_ms: 1_500,
        delta_interval_ms: 750,
        ..Options::default()
    };
    let nodes = TestNode::network(4, &options);
    // Each asks another node.
    let (alice, bob) = (
        Person::with_wallet(&nodes[0]),
        Person::with_wallet(&nodes[2]),
    );
    mint(&nodes[1], &alice.address("shielded"), "200", "1");
    patiently("the minted note is seen at another node", || {
        (alice.balance().0 > 190 * UNITS_PER_AX).then_some(())
    });
    let to = bob.address("shielded");
    let sent = alice.json(&[
        "send",
        "--to",
        &to,
        "--amount",
        "50",
        "--memo",
        "four of us",
    ]);
    let id = sent["id"].as_str().expect("an id");
    for node in &nodes {
        let found = eventually("it is final here", || {
            let found = node.alpha().get(&format!("/v1/transaction/{id}")).ok()?;
            (found["status"] == "final").then_some(found)
        });
        assert_eq!(found["receipt"]["height"], sent["height"], "{found}");
    }
    patiently("the receiver sees it", || {
        (bob.balance().0 == 50 * UNITS_PER_AX).then_some(())
    });
    // And can spend it: to a public account, seen by everybody.
    let out = bob.json(&["unshield", "--amount", "10"]);
    assert_eq!(out["status"], "final");
    let public = bob.address("public");
    for node in &nodes {
        let balance = eventually("the account is credited here", || {
            let balance = node.alpha().get(&format!("/v1/balance/{public}")).ok()?;
            (balance["balance_units"] != 0).then_some(balance)
        });
        assert_eq!(balance["balance_units"], json!(10 * UNITS_PER_AX));
    }
    assert_same_blocks(&nodes.iter().collect::<Vec<_>>());
}
