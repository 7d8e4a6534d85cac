//! The node from end to end: the real binary, its public interfaces, nothing else.

use std::time::{Duration, Instant};

use adnet_common::{chain_id::ChainId, hash::Hash, keys::EvmAddress, state_proof};
use adnet_tests::harness::{Api, Failure, Options, Signal, TestNode, eventually};
use alloy_primitives::{Address, Bytes, U256};
use serde_json::{Value, json};

/// Adds one to slot 0 with each call and returns the new value: 12 bytes of creation code that
/// return the 18 bytes behind them.
const COUNTER: &str = "6012600c60003960126000f36000546001018060005560005260206000f3";
const WEI_PER_UNIT: u128 = 100_000_000_000_000;

fn counter() -> Bytes {
    hex::decode(COUNTER).expect("hexadecimal").into()
}

/// Waits for `more` further blocks of a chain.
fn grows(api: &Api, more: u64) -> u64 {
    let before = api.height().expect("a height");
    eventually("blocks are made", || {
        api.height().ok().filter(|height| *height >= before + more)
    })
}

/// The state root of the header that `path` serves, so that a proof is checked against the chain
/// and not against the answer that it came with.
fn root_at(api: &Api, path: &str) -> Hash {
    let block = api.get(path).expect("a committed block");
    let root = block["state_root"].as_str().expect("a root");
    root.parse().expect("a hash")
}

/// Verifies the proof in an answer, with nothing but the root.
fn verify(chain: ChainId, root: &Hash, answer: &Value) -> Result<(), state_proof::StateProofError> {
    let bytes = |key: &str| hex::decode(answer[key].as_str().expect("text")).expect("hex");
    let value = answer["value"].as_str().map(|_| bytes("value"));
    state_proof::verify(
        chain,
        root,
        &bytes("key"),
        value.as_deref(),
        &bytes("proof"),
    )
}

fn supply(api: &Api) -> Value {
    let report = eventually("the supply is served", || api.get("/v1/supply").ok());
    assert_eq!(report["holds"], true, "{report}");
    report
}

/// The validators that the API shows are those that the tip names.
fn validators(api: &Api) {
    let status = api.get("/v1/status").expect("it answers");
    let shown = api.get("/v1/validators").expect("it answers");
    assert_eq!(shown["from_height"], 1, "{shown}");
    assert_eq!(shown["tombstones"], serde_json::json!([]), "{shown}");
    assert_eq!(shown["validators"].as_array().map(Vec::len), Some(1));
    let block = match status["chain"].as_str() {
        Some("alpha") => format!("/v1/block/{}", status["height"]),
        _ => format!("/v1/blocks/{}", status["height"]),
    };
    let block = api.get(&block).expect("it answers");
    assert_eq!(shown["hash"], block["next_validators"], "{block}");
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, Failure>) -> Failure {
    answer.expect_err("this must be refused")
}

#[test]
fn both_chains_make_blocks_and_the_node_tells_its_state() {
    let node = TestNode::start(Options::default());
    for api in [node.alpha(), node.delta()] {
        grows(&api, 3);
        validators(&api);
        assert_eq!(api.text("/v1/health").expect("answers").0, 200);
    }
    let metrics = node.metrics();
    assert_eq!(metrics.text("/health").expect("answers").0, 200);
    assert_eq!(metrics.text("/ready").expect("answers").0, 200);
    eventually("the workers' metrics are served", || {
        let (status, text) = metrics.text("/metrics").expect("answers");
        assert_eq!(status, 200);
        let both = text.contains("role=\"alpha\"") && text.contains("role=\"delta\"");
        both.then_some(())
    });
    for (name, events) in [
        ("alpha_runtime_started", 1),
        ("delta_runtime_started", 1),
        ("ipc_channel_established", 2),
    ] {
        let found = node.logged(name);
        assert_eq!(found.len(), events, "{name}: {found:?}");
        for event in found {
            assert!(
                event["pid"].is_u64() && event["incarnation"] == 1,
                "{event}"
            );
            assert!(
                event["role"] == "alpha" || event["role"] == "delta",
                "{event}"
            );
        }
    }
    let rpc = node.delta().rpc("eth_chainId", json!([])).expect("answers");
    assert_eq!(rpc, format!("{:#x}", node.genesis.delta.chain_id));
}

#[test]
fn a_transfer_on_alpha_is_final_and_its_balance_is_proved_offline() {
    let node = TestNode::start(Options::default());
    let (from, to) = (node.alpha_user(0), node.alpha_user(1));
    let (had, other_had) = (from.balance_units(), to.balance_units());
    let tx = from.transfer(0, to.address(), 12_345);
    let height = from.done(&tx);
    assert_eq!(from.send(&tx).expect("a resent one is no error"), "final");
    assert_eq!(from.balance_units(), had - 12_345 - tx.payload.fee_units);
    assert_eq!(to.balance_units(), other_had + 12_345);

    let account = to.account();
    let proved_at = account["height"].as_u64().expect("a height");
    assert!(proved_at >= height);
    let root = root_at(&node.alpha(), &format!("/v1/block/{proved_at}"));
    verify(ChainId::Alpha, &root, &account).expect("the proof leads to the header's root");
    let mut forged = account.clone();
    let value = forged["value"].as_str().expect("a value");
    let (start, last) = value.split_at(value.len() - 1);
    forged["value"] = json!(format!("{start}{}", if last == "0" { "1" } else { "0" }));
    verify(ChainId::Alpha, &root, &forged).expect_err("another value is not proved");
    verify(ChainId::Alpha, &Hash([9; 32]), &account).expect_err("nor under another root");
    supply(&node.alpha());
}

#[test]
fn locks_arrive_exactly_once_and_unlocks_bring_them_back() {
    let node = TestNode::start(Options::default());
    let (alpha, delta) = (node.alpha_user(0), node.delta_user(1));
    let before = delta.balance_wei();
    for (nonce, units) in [(0, 50_000), (1, 7)] {
        alpha.done(&alpha.lock(nonce, delta.evm_address(), units));
    }
    let wanted = before + U256::from(50_007 * WEI_PER_UNIT);
    eventually("the locked AX is sAX", || {
        (delta.balance_wei() == wanted).then_some(())
    });
    grows(&node.delta(), 5);
    assert_eq!(delta.balance_wei(), wanted, "no lock is minted twice");
    for api in [node.alpha(), node.delta()] {
        let report = eventually("all locks have arrived", || {
            Some(supply(&api)).filter(|report| report["locks_in_flight_units"] == 0)
        });
        assert_eq!(report["locked_units"], report["sax_total_units"]);
    }
    let account = delta.account();
    let at = account["height"].as_u64().expect("a height");
    let root = root_at(&node.delta(), &format!("/v1/blocks/{at}"));
    verify(ChainId::Delta, &root, &account).expect("Delta's proof leads to its header's root");

    let to = node.alpha_user(2);
    let had = to.balance_units();
    let receipt = delta.done(&delta.unlock(0, to.address(), 40_000));
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    eventually("the AX is back", || {
        (to.balance_units() == had + 40_000).then_some(())
    });
    grows(&node.alpha(), 3);
    assert_eq!(
        to.balance_units(),
        had + 40_000,
        "no unlock is released twice"
    );
    for api in [node.alpha(), node.delta()] {
        supply(&api);
    }
}

#[test]
fn contracts_deploy_run_and_keep_their_state() {
    let node = TestNode::start(Options::default());
    let user = node.delta_user(0);
    let receipt = user.done(&user.deploy(0, counter()));
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    let contract: Address =
        serde_json::from_value(receipt["contractAddress"].clone()).expect("an address");
    assert_eq!(contract, user.address().create(0));
    for nonce in 1..=3 {
        let receipt = user.done(&user.call(nonce, contract, Bytes::new()));
        assert_eq!(receipt["status"], "0x1", "{receipt}");
    }
    let read = |method: &str, params: Value| node.delta().rpc(method, params).expect("answers");
    let word = |value: u64| format!("0x{value:064x}");
    assert_eq!(
        read("eth_call", json!([{ "to": contract }, "latest"])),
        word(4)
    );
    assert_eq!(
        read("eth_getStorageAt", json!([contract, "0x0", "latest"])),
        word(3)
    );
    let to = node.delta_user(2);
    let had = to.balance_wei();
    user.done(&user.transfer(4, to.address(), U256::from(17)));
    assert_eq!(to.balance_wei(), had + U256::from(17));
}

#[test]
fn governors_mint_together_and_once() {
    let node = TestNode::start(Options::default());
    let user = node.alpha_user(1);
    let issued = |api: &Api| {
        supply(api)["alpha"]["issued_units"]
            .as_u64()
            .expect("units")
    };
    let (had, before) = (user.balance_units(), issued(&node.alpha()));
    let alone = refusal(user.send(&user.mint(1, 1_000_000, 1)));
    assert_eq!(alone.code(), "GOVERNOR_THRESHOLD_NOT_MET");
    let mint = user.mint(1, 1_000_000, 2);
    user.done(&mint);
    assert_eq!(
        user.balance_units(),
        had + 1_000_000 - mint.payload.fee_units
    );
    assert_eq!(issued(&node.alpha()), before + 1_000_000);
    let again = refusal(user.send(&user.mint(1, 2_000_000, 2)));
    assert_eq!(again.code(), "MINT_ALREADY_USED");
    let had = user.balance_units();
    let burn = user.burn(user.next_nonce(), 500);
    user.done(&burn);
    assert_eq!(user.balance_units(), had - 500 - burn.payload.fee_units);
    supply(&node.delta());
}

#[test]
fn refusals_have_names() {
    let node = TestNode::start(Options::default());
    let (user, other) = (node.alpha_user(0), node.alpha_user(1));
    let tx = user.transfer(0, other.address(), 10);
    let mut raw = tx.encode();
    *raw.last_mut().expect("it is not empty") ^= 1;
    let post = |raw: &[u8]| {
        let body = json!({ "raw": hex::encode(raw) });
        node.alpha().post("/v1/transaction/broadcast", &body)
    };
    assert_eq!(refusal(post(&raw)).code(), "INVALID_SIGNATURE");
    assert_eq!(
        refusal(post(&raw[..raw.len() - 1])).code(),
        "INVALID_REQUEST"
    );
    user.done(&tx);
    let used = user.transfer(0, other.address(), 11);
    assert_eq!(refusal(user.send(&used)).code(), "NONCE_TOO_LOW");
    let rich = user.transfer(1, other.address(), u64::MAX / 4);
    assert_eq!(refusal(user.send(&rich)).code(), "INSUFFICIENT_BALANCE");
    let nothing = user.transfer(1, other.address(), 0);
    assert_eq!(refusal(user.send(&nothing)).code(), "AMOUNT_ZERO");
    let missing = node
        .alpha()
        .get(&format!("/v1/transaction/{}", Hash([1; 32])));
    assert_eq!(refusal(missing).code(), "NOT_FOUND");

    let delta = node.delta_user(0);
    let sent = delta.transfer(0, delta.address(), U256::from(1));
    delta.done(&sent);
    for (tx, words) in [
        (
            delta.transfer(0, delta.address(), U256::from(2)),
            "nonce too low",
        ),
        (
            delta.transfer(1, delta.address(), U256::MAX >> 8),
            "insufficient funds",
        ),
    ] {
        match refusal(delta.send(&tx)) {
            Failure::Refused { message, .. } => assert!(message.contains(words), "{message}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn sigterm_stops_in_order_and_a_restart_goes_on_where_it_was() {
    let mut node = TestNode::start(Options::default());
    let user = node.alpha_user(0);
    let tx = user.transfer(0, node.alpha_user(1).address(), 99);
    let height = user.done(&tx);
    let block = node
        .alpha()
        .get(&format!("/v1/block/{height}"))
        .expect("a block");
    let (alpha, delta) = (grows(&node.alpha(), 1), grows(&node.delta(), 1));

    let begun = Instant::now();
    let status = node.stop();
    assert_eq!(status.code(), Some(0));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "the stop took {took:?}");

    node.restart();
    assert!(node.alpha().height().expect("a height") >= alpha);
    assert!(node.delta().height().expect("a height") >= delta);
    let again = node
        .alpha()
        .get(&format!("/v1/block/{height}"))
        .expect("a block");
    assert_eq!(block, again);
    assert_eq!(node.alpha_user(0).final_at(&tx.id()), Some(height));
    grows(&node.alpha(), 2);
    grows(&node.delta(), 2);
}

#[test]
fn a_second_signal_ends_a_stop_that_hangs() {
    let mut node = TestNode::start(Options::default());
    // A stopped worker cannot drain, so the first signal alone would wait for the deadline.
    node.worker("delta").signal(Signal::SIGSTOP);
    node.signal(Signal::SIGTERM);
    eventually("the node is stopping", || {
        (node.status()["stopping"] == true).then_some(())
    });
    let begun = Instant::now();
    node.signal(Signal::SIGTERM);
    let status = node.wait();
    assert_eq!(
        status.code(),
        Some(70),
        "the exit code says that it was not in order"
    );
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(2),
        "the second signal took {took:?}"
    );
}

/// A node with one of the two chains, and its report of itself.
fn alone(mode: &str) -> (TestNode, Value) {
    let arguments = vec!["--mode".to_owned(), mode.to_owned()];
    let node = TestNode::start(Options {
        arguments,
        ..Options::default()
    });
    let status = node.status();
    assert_eq!(status["chains"].as_array().expect("chains").len(), 1);
    assert_eq!(node.metrics().text("/ready").expect("answers").0, 200);
    assert_eq!(node.supervisor().children().len(), 1, "one worker");
    (node, status)
}

#[test]
fn delta_alone_runs_without_alpha() {
    let (node, _) = alone("delta-only");
    grows(&node.delta(), 3);
    let user = node.delta_user(0);
    user.done(&user.transfer(0, user.address(), U256::from(1)));
}

#[test]
fn alpha_alone_runs_without_delta_and_keeps_its_locks_for_it() {
    let (mut node, _) = alone("alpha-only");
    grows(&node.alpha(), 3);
    let (from, to) = (node.alpha_user(0), node.alpha_user(1));
    from.done(&from.transfer(0, to.address(), 5));
    // Nobody takes it yet; it waits in the database with its proof.
    let evm = EvmAddress([7; 20]);
    let lock = from.lock(1, evm, 70);
    let height = from.done(&lock);
    let attestation = node.alpha().get("/v1/attestations/1").expect("it waits");
    assert_eq!(attestation["height"], height, "{attestation}");

    // A kill of the only worker, and of the whole node, changes none of that.
    node.worker("alpha").signal(Signal::SIGKILL);
    grows(&node.alpha(), 2);
    node.kill();
    node.restart();
    assert_eq!(node.alpha_user(0).final_at(&lock.id()), Some(height));
    grows(&node.alpha(), 2);
}
