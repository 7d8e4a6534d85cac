//! What must be true after a storm: nothing reported is lost, nothing is made twice, and the blocks
//! are what they were and what their execution gives.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use adnet_common::chain_id::ChainId;
use adnet_tests::harness::{Api, PATIENCE, TestNode, eventually};
use alloy_primitives::U256;
use serde_json::Value;

use crate::{load::Told, watch::Watch};

const WEI_PER_UNIT: u128 = 100_000_000_000_000;
/// Blocks of one answer.
const RANGE: u64 = 100;
/// Of each chain, what was reported last before a death, and is looked at right after it.
const RECENT: usize = 5;

/// What the receivers had before the load.
pub struct Balances {
    minted_to_wei: U256,
    receiver_units: u64,
}

impl Balances {
    pub fn of(node: &TestNode) -> Self {
        Balances {
            minted_to_wei: node.delta_user(1).balance_wei(),
            receiver_units: node.alpha_user(2).balance_units(),
        }
    }
}

/// What was reported last is still so.
pub fn recent(node: &TestNode, told: &Told) {
    still_final(node, told, RECENT);
}

fn still_final(node: &TestNode, told: &Told, last: usize) {
    let alpha = node.alpha_user(2);
    let finals = told.alpha_final.lock().expect("no panic").clone();
    for (id, height) in finals.iter().rev().take(last) {
        let now = eventually("what was reported final is there", || alpha.final_at(id));
        assert_eq!(now, *height, "{id}");
    }
    let delta = node.delta_user(0);
    let finals = told.delta_final.lock().expect("no panic").clone();
    for (tx, receipt) in finals.iter().rev().take(last) {
        let now = eventually("what had a receipt has it", || delta.receipt(tx));
        assert_eq!(now, *receipt, "{}", tx.hash);
    }
}

/// Everything that was reported is still so, and no unit was made or lost on the way.
pub fn nothing_lost_nothing_doubled(node: &TestNode, told: &Told, before: &Balances) {
    still_final(node, told, usize::MAX);
    let units = |of: &AtomicU64| of.load(Ordering::Relaxed);
    let minted = U256::from(u128::from(units(&told.locked_units)) * WEI_PER_UNIT);
    let minted_to = node.delta_user(1);
    eventually("every lock is minted", || {
        (minted_to.balance_wei() >= before.minted_to_wei + minted).then_some(())
    });
    let receiver = node.alpha_user(2);
    let received = units(&told.transferred_units) + units(&told.unlocked_units);
    eventually("every unlock is released", || {
        (receiver.balance_units() >= before.receiver_units + received).then_some(())
    });
    for chain in ChainId::ALL {
        let report = eventually("nothing is on the way any more", || {
            let report = node.api(chain).get("/v1/supply").ok()?;
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
        minted_to.balance_wei(),
        before.minted_to_wei + minted,
        "each lock is minted once"
    );
    assert_eq!(
        receiver.balance_units(),
        before.receiver_units + received,
        "each unlock is released once"
    );
}

/// All blocks of a chain from genesis to `tip`, as its API serves them.
fn blocks(api: &Api, chain: ChainId, tip: u64) -> Vec<Value> {
    let route = match chain {
        ChainId::Alpha => "/v1/block/range",
        ChainId::Delta => "/v1/blocks",
    };
    let mut blocks = Vec::new();
    while blocks.len() as u64 <= tip {
        let from = blocks.len() as u64;
        let limit = (tip + 1 - from).min(RANGE);
        let path = format!("{route}?from={from}&limit={limit}");
        let mut page = eventually("a range of blocks is served", || api.get(&path).ok());
        let page = page["blocks"].as_array_mut().expect("a list");
        assert!(!page.is_empty(), "{chain}: nothing at {from}");
        blocks.append(page);
    }
    blocks
}

/// The blocks are a chain on its schedule, and those that clients were shown, before and after any
/// death. Returns them.
pub fn blocks_stand(node: &TestNode, watch: &Watch) -> Vec<Value> {
    let (chain, api) = (watch.chain, node.api(watch.chain));
    let tip = eventually("a height", || api.height().ok());
    let blocks = blocks(&api, chain, tip);
    for (parent, block) in blocks.iter().zip(&blocks[1..]) {
        assert_eq!(block["parent"], parent["hash"], "{chain}: {block}");
        let time_us = |of: &Value| of["time_ms"].as_u64().expect("a time") * 1_000;
        let apart_us = time_us(block) - time_us(parent);
        assert_eq!(apart_us, watch.interval_us, "{chain}: {block}");
    }
    for (height, shown) in watch.shown() {
        let block = &blocks[usize::try_from(height).expect("a vector has it")];
        assert_eq!(block["height"], height, "{chain}");
        assert_eq!(block["hash"], shown.hash, "{chain} at {height}");
        assert_eq!(block["state_root"], shown.state_root, "{chain} at {height}");
    }
    blocks
}

/// A node that has executed every block itself has the same ones: each root is what execution gives.
pub fn reproduce(follower: &TestNode, chain: ChainId, expected: &[Value]) {
    let api = follower.api(chain);
    let tip = expected.len() as u64 - 1;
    let (mut reached, mut since) = (0, Instant::now());
    while reached < tip {
        let now = eventually("the follower answers", || api.height().ok());
        if now > reached {
            (reached, since) = (now, Instant::now());
        }
        assert!(
            since.elapsed() < PATIENCE,
            "{chain}: the follower stands at {reached} of {tip}"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let own = blocks(&api, chain, tip);
    for (own, expected) in own.iter().zip(expected) {
        assert_eq!(own, expected, "{chain}");
    }
}
