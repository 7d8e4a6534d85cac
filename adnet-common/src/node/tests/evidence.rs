//! Evidence in blocks: what is refused, and what a good piece does.

use super::bare::{GENESIS_MS, Machine, Plan, TestHost, genesis, set};
use crate::application::Application;
use crate::block::{Block, Body, Header};
use crate::chain_id::ChainId;
use crate::consensus::tests::bench::{TestKey, test_key};
use crate::consensus::{Equivocation, SignRequest, Statement, Step, ValidatorSet};
use crate::hash::Hash;
use crate::ledger;
use crate::node::EVIDENCE_MAX_AGE_BLOCKS;
use crate::validators::SetFrom;

/// Key 2 leaves after height 3.
struct Leaving;

impl Plan for Leaving {
    fn after(height: u64) -> Option<ValidatorSet> {
        (height == 3).then(|| set(&[(0, 10), (1, 1)]))
    }
}

type Tested = Machine<Leaving>;

/// A machine whose vote decides, at height 5.
fn machine() -> Tested {
    let genesis = genesis(&[(0, 10), (1, 1), (2, 1)]);
    let mut machine = Machine::open(&genesis, TestHost::new(&genesis, 0), GENESIS_MS);
    machine.run_to(5).expect("it goes on");
    assert_eq!(machine.node.tip().height, 5);
    machine
}

fn request(height: u64, round: u32, value: u8) -> SignRequest {
    SignRequest {
        height,
        round,
        step: Step::Prevote,
        value: Some([value; 32]),
        pol_round: None,
    }
}

/// Two votes of `key` for one slot.
fn pair(machine: &Tested, key: &TestKey, height: u64, round: u32) -> Equivocation {
    let signed = |value| {
        let request = request(height, round, value);
        let bytes = machine.host.domain.sign_bytes(&request);
        (request, key.secret.sign(&bytes).to_bytes())
    };
    let (a, b) = (signed(1), signed(2));
    Equivocation::of(key.public, (&a.0, a.1), (&b.0, b.1)).expect("the two conflict")
}

/// The next block with this evidence in it, as far as it matters before it is executed.
fn block(machine: &Tested, evidence: &[Equivocation]) -> Block {
    let body = Body {
        evidence: evidence.iter().map(Equivocation::encode).collect(),
        ..Body::default()
    };
    let tip = machine.node.tip();
    let header = Header {
        height: tip.height + 1,
        parent: tip.hash(),
        body_root: body.root(),
        ..tip.clone()
    };
    Block { header, body }
}

fn code(machine: &Tested, evidence: &[Equivocation]) -> &'static str {
    let block = block(machine, evidence);
    let checked = machine.node.execute(&block, &[], &machine.host);
    match checked.expect("memory does not fail") {
        Ok(_) => "valid",
        // Good evidence changes the set, which this header does not say: the next check.
        Err(error) if error.code == "WRONG_STATE_ROOT" => "good evidence",
        Err(error) => error.code,
    }
}

#[test]
fn bad_evidence_is_refused() {
    let machine = machine();
    let good = pair(&machine, &test_key(1), 4, 0);
    assert_eq!(code(&machine, std::slice::from_ref(&good)), "good evidence");
    let mut forged = good.clone();
    forged.second.signature[5] ^= 1;
    let mut same = good.clone();
    same.second = same.first;
    let swapped = Equivocation {
        first: good.second,
        second: good.first,
        ..good.clone()
    };
    let mut other_chain = machine.host.domain;
    other_chain.chain = ChainId::Alpha;
    let said_there = |value| {
        let request = request(4, 0, value);
        let signature = test_key(1).secret.sign(&other_chain.sign_bytes(&request));
        Statement {
            value: Some(Hash([value; 32])),
            pol_round: None,
            signature: signature.to_bytes(),
        }
    };
    let foreign = Equivocation {
        first: said_there(1),
        second: said_there(2),
        ..good.clone()
    };
    let stranger = pair(&machine, &test_key(7), 4, 0);
    // It was a validator, but not any more at that height; and one of height 3 is.
    let gone = pair(&machine, &test_key(2), 4, 0);
    let then = pair(&machine, &test_key(2), 3, 0);
    let later = pair(&machine, &test_key(1), 4, 1);
    let cases: [(&[Equivocation], &str); 9] = [
        (&[forged], "BAD_EVIDENCE"),
        (&[same], "BAD_EVIDENCE"),
        (&[swapped], "BAD_EVIDENCE"),
        (&[foreign], "BAD_EVIDENCE"),
        (&[stranger], "BAD_EVIDENCE"),
        (&[gone], "BAD_EVIDENCE"),
        (&[then], "good evidence"),
        (&[later.clone(), good.clone()], "BAD_EVIDENCE"),
        (&[good.clone(), good.clone()], "BAD_EVIDENCE"),
    ];
    for (place, (evidence, expected)) in cases.into_iter().enumerate() {
        assert_eq!(code(&machine, evidence), expected, "case {place}");
    }
    assert_eq!(code(&machine, &[good]), "good evidence");
    let mut garbage = block(&machine, &[]);
    garbage.body.evidence = vec![vec![7; 20]];
    garbage.header.body_root = garbage.body.root();
    let refused = machine.node.execute(&garbage, &[], &machine.host);
    let refused = refused.expect("memory does not fail").err();
    assert_eq!(refused.expect("no evidence at all").code, "BAD_EVIDENCE");
}

#[test]
fn evidence_of_the_open_height_or_of_long_ago_is_out_of_reach() {
    let mut machine = machine();
    let open = pair(&machine, &test_key(1), 6, 0);
    assert_eq!(code(&machine, &[open]), "OLD_EVIDENCE");
    let future = pair(&machine, &test_key(1), 7, 0);
    assert_eq!(code(&machine, &[future]), "OLD_EVIDENCE");
    // The chain has grown meanwhile, by a tip that only this test has put there.
    let first = pair(&machine, &test_key(1), 1, 0);
    machine.node.tip.height = EVIDENCE_MAX_AGE_BLOCKS + 1;
    machine.node.tip_hash = machine.node.tip.hash();
    assert_eq!(code(&machine, std::slice::from_ref(&first)), "OLD_EVIDENCE");
}

#[test]
fn a_validator_is_proved_guilty_once() {
    let mut machine = machine();
    let proved = pair(&machine, &test_key(1), 4, 0);
    let another = pair(&machine, &test_key(1), 4, 1);
    assert_eq!(
        code(&machine, &[proved.clone(), another.clone()]),
        "KNOWN_EVIDENCE"
    );
    let Machine { node, host, .. } = &mut machine;
    node.keep_evidence(vec![proved.clone(), another.clone()], host)
        .expect("memory does not fail");
    machine.run_to(6).expect("it goes on");
    assert_eq!(code(&machine, &[proved]), "KNOWN_EVIDENCE");
    assert_eq!(code(&machine, &[another]), "KNOWN_EVIDENCE");
}

#[test]
fn what_a_node_finds_goes_into_its_block_and_takes_the_power() {
    let mut machine = machine();
    let found = pair(&machine, &test_key(1), 5, 0);
    let Machine { node, host, .. } = &mut machine;
    node.keep_evidence(vec![found.clone(), found.clone()], host)
        .expect("memory does not fail");
    machine.run_to(6).expect("it goes on");
    let block = ledger::block_at(&machine.host, ChainId::Delta, 6);
    let block = block.expect("memory").expect("decided").block;
    assert_eq!(block.body.evidence, [found.encode()]);
    let next = SetFrom::new(7, set(&[(0, 10)]));
    assert_eq!(block.header.next_validators, next.set.validators_hash());
    assert_eq!(machine.node.app.validators().own, next);
    // The same once more changes nothing, and the chain goes on.
    let Machine { node, host, .. } = &mut machine;
    node.keep_evidence(vec![found], host).expect("memory");
    machine.run_to(9).expect("it goes on");
    let block = ledger::block_at(&machine.host, ChainId::Delta, 7);
    let block = block.expect("memory").expect("decided").block;
    assert!(block.body.evidence.is_empty());
    assert_eq!(machine.node.app.validators().own, next);
}

#[test]
fn evidence_that_came_before_the_decision_is_durable_with_the_block() {
    let mut machine = machine();
    let found = pair(&machine, &test_key(1), 6, 0);
    // The votes wait for their height, and are the first that it hears of.
    for message in votes(&found) {
        let Machine { node, host, now_ms } = &mut machine;
        let event = crate::consensus::Event::Message(message);
        node.drive(*now_ms, event, host, &mut Vec::new())
            .expect("it goes on");
    }
    // A restart right after the block, before the height has ended.
    machine.run_to(6).expect("it goes on");
    let genesis = genesis(&[(0, 10), (1, 1), (2, 1)]);
    let Machine { host, now_ms, .. } = machine;
    let mut machine = Tested::open(&genesis, host, now_ms);
    machine.run_to(7).expect("it goes on");
    let block = ledger::block_at(&machine.host, ChainId::Delta, 7);
    let block = block.expect("memory").expect("decided").block;
    assert_eq!(block.body.evidence, [found.encode()]);
}

/// The two votes as messages of the network.
fn votes(found: &Equivocation) -> [crate::consensus::Message; 2] {
    [found.first, found.second].map(|statement| {
        let mut w = crate::codec::Writer::new();
        w.u8(1).u8(0).u64(found.height).u32(found.round);
        w.u8(1).hash(&statement.value.expect("a vote for a block"));
        w.raw(&found.validator.0).raw(&statement.signature);
        crate::consensus::Message::decode(&w.finish()).expect("the format of votes")
    })
}
