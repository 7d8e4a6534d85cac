//! What the chains of a node ask of each other when something is missing, and how often.

use super::bare::{Bare, GENESIS_MS, Machine, Plan, genesis, set};
use super::host::TestHost;
use crate::attestation::{Attestation, OutboundMessage, Payload};
use crate::chain_id::ChainId;
use crate::consensus::ValidatorSet;
use crate::ledger::attestation_key;
use crate::node::{Exchange, Input, Output};
use crate::store::{Family, Write};

/// Another set, and a message that says so, with each of the blocks 2 to 4.
struct Talking;

impl Plan for Talking {
    fn after(height: u64) -> Option<ValidatorSet> {
        let power = height + 10;
        (2..=4)
            .contains(&height)
            .then(|| set(&[(0, power), (1, 1)]))
    }
}

fn machine() -> Machine<Talking> {
    let genesis = genesis(&[(0, 10), (1, 1)]);
    let mut machine = Machine::open(&genesis, TestHost::new(&genesis, 0), GENESIS_MS);
    machine.run_to(5).expect("it goes on");
    machine
}

fn hear(machine: &mut Machine<Talking>, exchange: Exchange) -> Vec<Exchange> {
    let Machine { node, host, now_ms } = machine;
    let mut outputs: Vec<Output<Bare<Talking>>> = Vec::new();
    node.step(*now_ms, Input::Sibling(exchange), host, &mut outputs)
        .expect("it goes on");
    said(outputs)
}

fn said(outputs: Vec<Output<Bare<Talking>>>) -> Vec<Exchange> {
    let said = outputs.into_iter().filter_map(|output| match output {
        Output::Sibling(exchange) => Some(exchange),
        _ => None,
    });
    said.collect()
}

/// A message of Alpha whose block nobody has proved here.
fn unproved(sequence: u64) -> Attestation {
    let payload = Payload::Lock {
        recipient: [7; 20],
        amount_units: 1,
    };
    let message = OutboundMessage { sequence, payload };
    Attestation::of_block(ChainId::Alpha, 5 + sequence, &[message]).remove(0)
}

/// Each answer is many messages, and each of them may be of no use again: asking for every one of them
/// at once would grow without bound.
#[test]
fn messages_of_no_use_are_asked_for_once_in_a_while() {
    let mut machine = machine();
    machine.now_ms += 10_000;
    let asked: Vec<Exchange> = (1..=200)
        .flat_map(|sequence| hear(&mut machine, Exchange::Attestation(unproved(sequence))))
        .collect();
    assert_eq!(asked, [Exchange::Resume { next_sequence: 1 }]);
    // Once more a little later, as long as they do not come.
    let again = (0..20).find_map(|_| {
        let said = said(machine.tick().expect("it goes on"));
        said.contains(&Exchange::Resume { next_sequence: 1 })
            .then_some(machine.now_ms)
    });
    assert!(again.is_some(), "it asks again");
}

fn sequences(said: &[Exchange]) -> Vec<u64> {
    let messages = said.iter().filter_map(|exchange| match exchange {
        Exchange::Attestation(attestation) => Some(attestation.message.sequence),
        _ => None,
    });
    messages.collect()
}

/// A chain that began with a snapshot does not have the messages before it.
#[test]
fn messages_are_sent_again_from_the_one_that_is_asked_for_or_not_at_all() {
    let mut machine = machine();
    let all = hear(&mut machine, Exchange::Resume { next_sequence: 1 });
    assert_eq!(sequences(&all), [1, 2, 3]);
    let family = Family::SharedAttestations;
    let key = attestation_key(ChainId::Delta, 1);
    machine.host.store.apply(&[Write::Delete { family, key }]);
    let gap = hear(&mut machine, Exchange::Resume { next_sequence: 1 });
    assert!(sequences(&gap).is_empty());
    assert!(
        matches!(gap.as_slice(), [Exchange::Finality(_)]),
        "the last block is proved all the same"
    );
    let rest = hear(&mut machine, Exchange::Resume { next_sequence: 2 });
    assert_eq!(sequences(&rest), [2, 3]);
}
