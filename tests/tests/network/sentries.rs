//! A validator behind sentries: its votes count, its blocks are decided, and nobody else can reach it
//! or learns where it is.

use std::{collections::BTreeSet, time::Duration};

use adnet_common::chain_id::ChainId;
use adnet_tests::harness::{Sentried, TestNode, eventually};
use serde_json::Value;

use super::{
    agreement::{assert_same_blocks, await_growth, await_standstill, height},
    discovery::metric,
    options,
};

/// Validators whom everybody may know, and sentries.
const VALIDATORS: usize = 3;
const SENTRIES: usize = 2;
const OPEN: usize = VALIDATORS + SENTRIES;

/// The ids of a node's peers on a chain, as its API lists them.
fn listed(node: &TestNode, chain: ChainId) -> BTreeSet<String> {
    let peers = eventually("the API lists the peers", || {
        node.api(chain).get("/v1/peers").ok()
    });
    let peers = peers.as_array().expect("a list").iter();
    let id = |peer: &Value| peer["peer"].as_str().expect("an id").to_owned();
    peers.map(id).collect()
}

fn id_of(node: &TestNode) -> String {
    let peer = node.endpoint(ChainId::Alpha).peer;
    peer.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn refused(node: &TestNode, by: &str) -> f64 {
    let by = format!("by=\"{by}\"");
    let labels = [by.as_str(), "reason=\"not_configured\""];
    metric(node, "adnet_network_refusals_total", &labels)
}

/// Nobody but the sentries is linked with the hidden validator or keeps its address.
fn assert_hidden(network: &Sentried) {
    let (hidden, sentries) = (id_of(&network.hidden), &network.sentries);
    let sentry_ids: BTreeSet<String> = sentries.iter().map(id_of).collect();
    for chain in ChainId::ALL {
        // The lists of the APIs are as of a moment ago.
        eventually("its sentries, and they alone, are its peers", || {
            (listed(&network.hidden, chain) == sentry_ids).then_some(())
        });
        for sentry in sentries {
            eventually("it is a peer of its sentries", || {
                listed(sentry, chain).contains(&hidden).then_some(())
            });
        }
        for validator in &network.validators {
            assert!(!listed(validator, chain).contains(&hidden), "{chain}");
        }
    }
    for node in network.open() {
        let known = metric(node, "adnet_network_address_book_peers", &[]);
        assert!(known <= (OPEN - 1) as f64, "{known}");
    }
}

/// Whether a block of the chain was proposed by this validator.
fn has_proposed(on: &TestNode, proposer: &TestNode, chain: ChainId) -> bool {
    let path = match chain {
        ChainId::Alpha => "/v1/block",
        ChainId::Delta => "/v1/blocks",
    };
    let key = proposer.validator_key().to_string();
    (1..=height(on, chain)).any(|at| {
        let block = on.api(chain).get(&format!("{path}/{at}"));
        block.is_ok_and(|block| block["proposer"] == key)
    })
}

#[test]
fn a_validator_behind_sentries_votes_and_is_nowhere_to_be_found() {
    let mut network = Sentried::start(VALIDATORS, SENTRIES, &options());
    for validator in &network.validators {
        eventually("the others have found each other and the sentries", || {
            validator.is_linked_to(OPEN - 1).then_some(())
        });
    }
    await_growth(&network.all(), 6);
    for chain in ChainId::ALL {
        let (seen_by, hidden) = (&network.validators[1], &network.hidden);
        eventually("a block of the hidden validator is decided", || {
            has_proposed(seen_by, hidden, chain).then_some(())
        });
    }
    assert_hidden(&network);

    // A full node of the same network, whose operator has found out where the validator is.
    let mut stranger = TestNode::newcomer(&[&network.hidden], &options());
    stranger.launch();
    stranger.await_running();
    eventually("it is refused by name, and told so", || {
        let refusals = [refused(&network.hidden, "us"), refused(&stranger, "peer")];
        refusals.iter().all(|count| *count >= 1.0).then_some(())
    });
    assert!(stranger.peers().is_empty());
    assert_hidden(&network);
    stranger.kill();

    // Now each block needs the hidden one's vote.
    network.validators.remove(0).kill();
    await_growth(&network.all(), 6);
    assert_same_blocks(&network.all());
    assert_hidden(&network);
    // One sentry is enough.
    let mut lost = network.sentries.remove(0);
    lost.kill();
    await_growth(&network.all(), 4);
    lost.restart();
    network.sentries.push(lost);
    eventually("the sentry is back", || {
        network.hidden.is_linked_to(SENTRIES).then_some(())
    });
    assert_hidden(&network);
    // And without the hidden one nothing is decided.
    network.hidden.kill();
    let open = network.open();
    await_standstill(&open, Duration::from_secs(2));
}
