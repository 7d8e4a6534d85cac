//! What light wallets read: compact blocks, the tree, nullifiers, anchors, the mempool as a stream.

use std::time::Duration;

use adnet_common::chain_id::ChainId;
use adnet_common::config::AlphaApiConfig;
use adnet_common::hash::Hash;
use adnet_common::ledger;
use adnet_common::state_proof;
use adnet_common::store::Write;
use adnet_common::worker::PendingTx;
use axum::body::{Body, HttpBody, to_bytes};
use axum::response::Response;
use serde_json::{Value, json};

use super::{Api, record};
use crate::compact::{BlockStream, CompactBlock, CompactTx, PublicPart};
use crate::pool::tree::NoteTree;
use crate::pool_index::{Subtree, subtree_write};
use crate::tests::harness::{Chain, address};

async fn blocks(api: &Api, query: &str) -> (Option<String>, Vec<CompactBlock>) {
    let response = get(api, &format!("/v1/compact/blocks?{query}")).await;
    assert_eq!(response.status().as_u16(), 200, "{query}");
    let tip = response.headers().get("x-adnet-tip");
    let tip = tip.map(|tip| tip.to_str().expect("a number").to_owned());
    let bytes = to_bytes(response.into_body(), 1 << 24).await;
    let mut stream = BlockStream::new();
    stream.push(&bytes.expect("a whole stream"));
    let mut blocks = Vec::new();
    while let Some(block) = stream.next_block().expect("well-formed") {
        blocks.push(block);
    }
    assert_eq!(stream.end(), Ok(()));
    (tip, blocks)
}

async fn get(api: &Api, path: &str) -> Response {
    get_from(api, [127, 0, 0, 1], path).await
}

async fn get_from(api: &Api, peer: [u8; 4], path: &str) -> Response {
    let request = http::Request::get(path).body(Body::empty());
    api.answer(peer, request.expect("a request")).await
}

#[tokio::test]
async fn compact_blocks_are_those_of_the_chain() {
    let (api, txs) = Api::new();
    let (tip, all) = blocks(&api, "from=0").await;
    assert_eq!((tip.as_deref(), all.len()), (Some("2"), 3));
    for (block, height) in all.iter().zip(0..) {
        let stored = ledger::block_at(&api.chain.store, ChainId::Alpha, height);
        let stored = stored.expect("readable").expect("recorded");
        assert_eq!(*block, CompactBlock::of(&stored, 0));
        assert_eq!((block.height, block.hash), (height, stored.block.hash()));
    }
    let ids: Vec<Hash> = all[1].txs.iter().map(|tx| tx.id).collect();
    assert_eq!(ids, txs.iter().map(|tx| tx.id()).collect::<Vec<_>>());
    assert!(matches!(all[1].txs[1].public, PublicPart::Lock(_)));
    assert_eq!(blocks(&api, "from=1&to=1").await.1, all[1..2]);
    assert_eq!(blocks(&api, "from=2&to=900000").await.1, all[2..]);
    assert_eq!(
        blocks(&api, &format!("from=2&to={}", u64::MAX)).await.1,
        all[2..]
    );
}

#[tokio::test]
async fn a_long_range_comes_in_many_pieces_and_is_cut_at_a_thousand() {
    let mut chain = Chain::new();
    record(&mut chain, &[]);
    for _ in 0..1_010 {
        chain.must_block(&[]);
        record(&mut chain, &[]);
    }
    let api = Api::of(chain, &AlphaApiConfig::default());
    let (_, first) = blocks(&api, "from=5").await;
    assert_eq!(first.len(), 1_000);
    let heights = |blocks: &[CompactBlock]| (blocks[0].height, blocks[blocks.len() - 1].height);
    assert_eq!(heights(&first), (5, 1_004));
    let (_, rest) = blocks(&api, "from=1005").await;
    assert_eq!(heights(&rest), (1_005, 1_010));
    // The tree is served for multiples of 64 and for the last heights, and for no others.
    for height in [0, 64, 960, 883, 1_010] {
        let tree = api.get(&format!("/v1/tree/{height}")).await;
        assert_eq!(tree["root"], json!(Hash(NoteTree::default().root())));
    }
    for height in [1, 65, 882] {
        let pruned = api.get_error(&format!("/v1/tree/{height}")).await;
        assert_eq!(pruned, (410, "PRUNED".to_owned()), "{height}");
    }
}

#[tokio::test]
async fn hostile_ranges_are_refused_by_name() {
    let (api, _) = Api::new();
    let max = u64::MAX;
    let (invalid, not_found) = ((400, "INVALID_REQUEST"), (404, "NOT_FOUND"));
    for (path, expected) in [
        ("/v1/compact/blocks".to_owned(), invalid),
        ("/v1/compact/blocks?from=2&to=1".to_owned(), invalid),
        (format!("/v1/compact/blocks?from={max}&to=0"), invalid),
        (format!("/v1/compact/blocks?from={max}"), not_found),
        (format!("/v1/compact/blocks?from={max}&to={max}"), not_found),
        ("/v1/compact/blocks?from=3".to_owned(), not_found),
        (format!("/v1/compact/blocks?from={max}0"), invalid),
        ("/v1/compact/blocks?from=-1".to_owned(), invalid),
        ("/v1/compact/blocks?from=0&limit=1".to_owned(), invalid),
        (format!("/v1/tree/{max}"), not_found),
        ("/v1/tree/3".to_owned(), not_found),
        ("/v1/tree/x".to_owned(), invalid),
        ("/v1/tree/subtrees?limit=0".to_owned(), invalid),
        ("/v1/tree/subtrees?limit=1001".to_owned(), invalid),
        (format!("/v1/tree/subtrees?limit={max}"), invalid),
        ("/v1/nullifier/zz".to_owned(), invalid),
        ("/v1/nullifier/00".to_owned(), invalid),
        (
            format!("/v1/nullifier/{}?height={max}", Hash::ZERO),
            not_found,
        ),
        (format!("/v1/anchors?height={max}"), not_found),
        ("/v1/anchors?height=x".to_owned(), invalid),
    ] {
        let (status, code) = api.get_error(&path).await;
        assert_eq!((status, code.as_str()), expected, "{path}");
    }
    assert_eq!(
        api.get(&format!("/v1/tree/subtrees?from={max}")).await["subtrees"],
        json!([])
    );
}

#[tokio::test]
async fn blocks_that_are_not_here_are_said_to_be_pruned() {
    let (mut api, _) = Api::new();
    let family = adnet_common::store::Family::AlphaBlocks;
    let key = [b"h".as_slice(), &0u64.to_be_bytes()].concat();
    api.chain.store.apply(&[Write::Delete { family, key }]);
    let api = Api::of(api.chain, &AlphaApiConfig::default());
    let pruned = (410, "PRUNED".to_owned());
    assert_eq!(api.get_error("/v1/compact/blocks?from=0").await, pruned);
    assert_eq!(blocks(&api, "from=1").await.1.len(), 2);
}

#[tokio::test]
async fn subtrees_come_page_by_page() {
    let (mut api, _) = Api::new();
    let subtree = |index: u64| Subtree {
        index,
        root: [index as u8; 32],
        height: index + 1,
    };
    let rows: Vec<Write> = (0..5).map(|index| subtree_write(&subtree(index))).collect();
    api.chain.store.apply(&rows);
    let api = Api::of(api.chain, &AlphaApiConfig::default());
    let page = api.get("/v1/tree/subtrees?from=1&limit=2").await;
    assert_eq!(page["subtrees"][1]["index"], 2);
    assert_eq!(page["subtrees"][1]["root"], json!(Hash([2; 32])));
    assert_eq!(page["next"], 3);
    let rest = api.get("/v1/tree/subtrees?from=3").await;
    assert_eq!(rest["subtrees"].as_array().map(Vec::len), Some(2));
    assert_eq!(rest["next"], Value::Null);
}

#[tokio::test]
async fn the_tree_at_a_height_decodes_to_its_root() {
    let (api, _) = Api::new();
    let tree = api.get("/v1/tree/2").await;
    let bytes = hex::decode(tree["frontier"].as_str().expect("hex")).expect("hex");
    let decoded = NoteTree::decode(&bytes).expect("its own encoding");
    assert_eq!(tree["root"], json!(Hash(decoded.root())));
    assert_eq!(tree["commitments"], 0);
    let (_, all) = blocks(&api, "from=2").await;
    let header = api.get("/v1/block/2").await;
    assert_eq!(
        (&tree["block_hash"], json!(all[0].hash)),
        (&header["hash"], header["hash"].clone())
    );
}

#[tokio::test]
async fn anchors_and_absent_nullifiers_come_with_proofs() {
    let (api, _) = Api::new();
    let root = api.chain.roots[2];
    let verify = |answer: &Value| {
        let bytes = |field: &str| {
            let digits = answer[field].as_str();
            digits.map(|digits| hex::decode(digits).expect("hex"))
        };
        let (key, proof) = (bytes("key").expect("hex"), bytes("proof").expect("hex"));
        let value = bytes("value");
        state_proof::verify(ChainId::Alpha, &root, &key, value.as_deref(), &proof)
    };
    let anchors = api.get("/v1/anchors").await;
    assert_eq!(verify(&anchors), Ok(()));
    let empty = json!(Hash(NoteTree::default().root()));
    assert_eq!(
        anchors["anchors"],
        json!([{"root": empty, "from_height": 0}])
    );
    let absent = api.get(&format!("/v1/nullifier/{}", Hash([7; 32]))).await;
    assert_eq!(absent["spent_height"], Value::Null);
    assert_eq!(absent["value"], Value::Null);
    assert_eq!(verify(&absent), Ok(()));
}

#[tokio::test]
async fn streams_have_a_bound_and_one_address_gets_half() {
    let (api, _) = Api::new();
    let mut open = Vec::new();
    for _ in 0..16 {
        let response = get_from(&api, [10, 0, 0, 1], "/v1/compact/blocks?from=0").await;
        assert_eq!(response.status().as_u16(), 200);
        open.push(response);
    }
    let refused = get_from(&api, [10, 0, 0, 1], "/v1/compact/blocks?from=0").await;
    assert_eq!(refused.status().as_u16(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let other = get_from(&api, [10, 0, 0, 2], "/v1/compact/blocks?from=0").await;
    assert_eq!(other.status().as_u16(), 200);
    open.clear();
    let again = get_from(&api, [10, 0, 0, 1], "/v1/compact/blocks?from=0").await;
    assert_eq!(again.status().as_u16(), 200);
}

/// The next line of a stream that goes on.
async fn line(body: &mut Body) -> Value {
    let mut body = std::pin::Pin::new(body);
    let next = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx));
    let frame = tokio::time::timeout(Duration::from_secs(20), next).await;
    let frame = frame
        .expect("in time")
        .expect("it goes on")
        .expect("no error");
    let bytes = frame.into_data().expect("data");
    serde_json::from_slice(&bytes).expect("one line of JSON")
}

#[tokio::test]
async fn what_enters_the_mempool_is_heard() {
    let (api, _) = Api::new();
    let (first, second) = (api.chain.transfer(0, 6, 5), api.chain.transfer(1, 6, 5));
    let wait = |tx: &crate::tx::Transaction| {
        api.answers.lock().expect("mine").waiting.push(PendingTx {
            id: tx.id(),
            raw: tx.encode(),
            sender: address(0).0,
            nonce: 1,
        });
    };
    wait(&first);
    let mut body = get(&api, "/v1/mempool/stream").await.into_body();
    for (tx, next) in [(&first, Some(&second)), (&second, None)] {
        let shown = line(&mut body).await;
        assert_eq!(shown["id"], json!(tx.id()));
        assert_eq!(shown["bytes"], tx.encode().len());
        let compact = hex::decode(shown["compact"].as_str().expect("hex")).expect("hex");
        assert_eq!(CompactTx::decode(&compact), Ok(CompactTx::of(tx)));
        next.map(wait);
    }
}
