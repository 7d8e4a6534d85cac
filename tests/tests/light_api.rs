//! What light wallets and operators ask of a real node: the stream of compact blocks, and requests that
//! are signed.

use std::process::Command;
use std::time::Duration;

use adnet_alpha::compact::{BlockStream, CompactBlock, PublicPart};
use adnet_common::api::sign_request;
use adnet_common::genesis::dev_governor_seed;
use adnet_tests::harness::{Api, Options, TestNode, binary, eventually};
use serde_json::{Value, json};

/// Tip and blocks of one request.
fn blocks(api: &Api, query: &str) -> (u64, Vec<CompactBlock>) {
    let url = format!("http://{}/v1/compact/blocks?{query}", api.address);
    let mut response = ureq::get(&url).call().expect("the node answers");
    let tip = response
        .headers()
        .get("x-adnet-tip")
        .expect("it names the tip");
    let tip = tip.to_str().expect("a number").parse().expect("a number");
    let bytes = response.body_mut().read_to_vec().expect("the whole stream");
    let mut stream = BlockStream::new();
    stream.push(&bytes);
    let mut blocks = Vec::new();
    while let Some(block) = stream.next_block().expect("well-formed") {
        blocks.push(block);
    }
    stream.end().expect("it ends after a block");
    (tip, blocks)
}

#[test]
fn a_wallet_reads_the_chain_from_compact_blocks_and_resumes() {
    let node = TestNode::start(Options::default());
    let api = node.alpha();
    let (from, to) = (node.alpha_user(0), node.alpha_user(1));
    let tx = from.transfer(from.next_nonce(), to.address(), 70);
    let height = from.done(&tx);
    eventually("further blocks", || {
        api.height().ok().filter(|now| *now > height + 2)
    });

    let (tip, first) = blocks(&api, &format!("from=0&to={height}"));
    assert!(tip >= height + 2);
    assert_eq!(first.len() as u64, height + 1);
    let (_, rest) = blocks(&api, &format!("from={}", height + 1));
    let all: Vec<&CompactBlock> = first.iter().chain(&rest).collect();
    for (block, height) in all.iter().zip(0..) {
        assert_eq!((block.height, block.commitments_before), (height, 0));
    }
    for pair in all.windows(2) {
        assert_eq!(pair[1].parent, pair[0].hash, "they follow each other");
    }
    let found = &first[height as usize].txs;
    let ours = found
        .iter()
        .find(|seen| seen.id == tx.id())
        .expect("it is there");
    assert!(matches!(&ours.public, PublicPart::TransferPublic(t) if t.amount_units == 70));
    assert!(ours.actions.is_empty());
    // The tip grows, and so does what a later request gets.
    let (_, later) = eventually("a new block", || {
        Some(blocks(&api, &format!("from={}", height + 1)))
            .filter(|(_, now)| now.len() > rest.len())
    });
    assert_eq!(later[..rest.len()], rest);
    let tree = api
        .get(&format!("/v1/tree/{height}"))
        .expect("a recent height");
    assert_eq!(tree["block_hash"], json!(first[height as usize].hash));
    assert_eq!(tree["commitments"], 0);
    let anchors = api.get("/v1/anchors").expect("it answers");
    assert_eq!(anchors["anchors"][0]["root"], tree["root"]);
}

fn mint(node: &TestNode, order: u64, operator: Option<&str>) -> std::process::Output {
    let mut command = Command::new(binary());
    command
        .args(["tx", "alpha", "mint", "--data-dir"])
        .arg(node.data_dir());
    command.args(["--api", &format!("http://{}", node.alpha().address)]);
    command.args([
        "--governor",
        "dev-governor-0",
        "--governor",
        "dev-governor-1",
    ]);
    let to = node.alpha_user(1).address().to_string();
    command.args(["--to", &to, "--amount", "50", "--order", &order.to_string()]);
    if let Some(name) = operator {
        command.args(["--sign-with", name]);
    }
    command.output().expect("the binary runs")
}

#[test]
fn a_node_with_operators_takes_mint_orders_from_them_only() {
    let operator = dev_governor_seed(2);
    let public = operator.ed25519_public().expect("ed25519").to_string();
    let setting = format!("alpha_api.operator_keys={public}");
    let node = TestNode::start(Options {
        arguments: vec!["--set".to_owned(), setting],
        ..Options::default()
    });
    let refused = |output: std::process::Output, code: &str| {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && text.contains(code),
            "{code}: {text}"
        );
    };
    refused(mint(&node, 1, None), "SIGNATURE_REQUIRED");
    refused(mint(&node, 1, Some("dev-0")), "SIGNATURE_INVALID");
    // What was signed in the first seconds can have been used before the node began.
    let done = eventually("the node is some seconds old", || {
        let output = mint(&node, 1, Some("dev-governor-2"));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success() || text.contains("SIGNATURE_EXPIRED"),
            "{text}"
        );
        output.status.success().then_some(text)
    });
    assert!(done.contains("final in block"), "{done}");

    // The same request a second time is a replay, and says so with what would help.
    let user = node.alpha_user(1);
    let order = user.mint(2, 10_000, 2);
    let body = json!({ "raw": hex::encode(order.encode()) }).to_string();
    let url = format!("http://{}/v1/transaction/broadcast", node.alpha().address);
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now_s = i64::try_from(now_s.expect("after 1970").as_secs()).expect("before the year 292e9");
    let fields =
        sign_request(&operator, &url, body.as_bytes(), now_s, "only once").expect("signed");
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(20)))
        .http_status_as_error(false)
        .build()
        .new_agent();
    let send = || {
        let mut request = agent.post(&url).header("content-type", "application/json");
        for (name, value) in &fields {
            request = request.header(*name, value);
        }
        let mut response = request.send(&body).expect("the node answers");
        let status = response.status().as_u16();
        let told = response.headers().get("accept-signature").is_some();
        let answer: Value = response.body_mut().read_json().expect("JSON");
        (
            status,
            told,
            answer["error"]["code"].as_str().map(str::to_owned),
        )
    };
    assert_eq!(send(), (200, false, None));
    assert_eq!(send(), (401, true, Some("SIGNATURE_REPLAYED".to_owned())));
}
