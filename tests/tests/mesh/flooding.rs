//! Networks in which not everybody is linked with everybody agree all the same, and those in which
//! everybody is do not pay for it.

use crate::world::{Passing, World};
use adnet_alpha::AlphaApp;
use adnet_common::application::Application;
use adnet_common::consensus::Message;
use adnet_common::node::Class;
use adnet_delta::DeltaApp;
use std::collections::BTreeSet;

const LINE: [(usize, usize); 3] = [(0, 1), (1, 2), (2, 3)];
/// The third is the sentry of the others.
const STAR: [(usize, usize); 3] = [(2, 0), (2, 1), (2, 3)];
const FULL: [(usize, usize); 6] = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)];
/// The last is linked with the third and the fourth, its sentries, and hears all others twice.
const BEHIND_TWO: [(usize, usize); 7] = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 4), (3, 4)];

/// What passed over the links while the network made so many blocks.
struct Traffic {
    blocks: u64,
    took_ms: u64,
    passed: Vec<Passing>,
}

impl Traffic {
    fn of(&self, class: Class) -> impl Iterator<Item = &Passing> {
        self.passed.iter().filter(move |p| p.class == class)
    }

    /// How often a consensus message is sent for each node that has to get it.
    fn amplification(&self) -> f64 {
        let messages: BTreeSet<&[u8]> = self.of(Class::Consensus).map(|p| &p.bytes[..]).collect();
        self.of(Class::Consensus).count() as f64 / (messages.len() * 3) as f64
    }

    fn bodies_per_block(&self) -> f64 {
        self.of(Class::Body).count() as f64 / self.blocks as f64
    }
}

fn play<A: Application>(links: &[(usize, usize)], blocks: u64) -> Traffic {
    let mut world = World::<A>::new(4);
    world.link_only(links);
    (0..4).for_each(|index| world.start(index));
    // Links come up, and who gets things twice has said so.
    assert!(world.run_until(200_000, |w| w.height(0) >= 3), "it begins");
    world.passed.clear();
    let (from, began_ms) = (world.height(0), world.now_ms);
    let done = |w: &World<A>| (0..4).all(|index| w.height(index) >= from + blocks);
    let done = world.run_until(3_600_000, done);
    assert!(done, "{:?}", [0, 1, 2, 3].map(|i| world.height(i)));
    assert!(world.blamed.is_empty(), "{:?}", world.blamed);
    Traffic {
        blocks,
        took_ms: world.now_ms - began_ms,
        passed: std::mem::take(&mut world.passed),
    }
}

fn keeps_the_cadence<A: Application>(what: &str, links: &[(usize, usize)], interval_ms: u64) {
    let traffic = play::<A>(links, 20);
    let planned_ms = 20 * interval_ms;
    assert!(
        traffic.took_ms <= planned_ms + interval_ms,
        "{what}: {} ms",
        traffic.took_ms
    );
    println!(
        "{what}: a consensus message is sent {:.2} times for each node that lacks it, {:.2} bodies a block",
        traffic.amplification(),
        traffic.bodies_per_block()
    );
    // Each node but the proposer gets the body, and nobody gets it twice.
    assert!(traffic.bodies_per_block() < 3.5, "{what}");
    assert!(traffic.amplification() < 1.5, "{what}");
}

#[test]
fn a_line_and_a_star_of_validators_keep_the_cadence() {
    keeps_the_cadence::<DeltaApp>("line", &LINE, 3_000);
    keeps_the_cadence::<DeltaApp>("star", &STAR, 3_000);
    keeps_the_cadence::<AlphaApp>("line of Alpha", &LINE, 15_000);
}

#[test]
fn where_everybody_is_linked_messages_come_from_their_authors_alone() {
    keeps_the_cadence::<DeltaApp>("full mesh", &FULL, 3_000);
}

/// The control: without what others pass on, a line decides nothing.
#[test]
fn a_line_that_passes_nothing_on_stands_still() {
    let mut world = World::<DeltaApp>::new(4);
    world.link_only(&LINE);
    let keys = world.keys.clone();
    world.tamper = Some(Box::new(move |passing| {
        let author = (passing.class == Class::Consensus)
            .then(|| Message::decode(&passing.bytes).ok()?.author())
            .flatten();
        let is_passed_on = author.is_some_and(|author| keys[passing.from] != author);
        if is_passed_on { vec![] } else { vec![passing] }
    }));
    (0..4).for_each(|index| world.start(index));
    assert!(!world.run_until(60_000, |w| w.height(0) >= 1));
}

/// One link of a mesh carries nothing any more, without being closed: the tree that messages take
/// is broken, and mends itself.
#[test]
fn a_dead_link_costs_a_repetition_and_no_standstill() {
    let mut world = World::<DeltaApp>::new(4);
    (0..4).for_each(|index| world.start(index));
    assert!(world.run_until(100_000, |w| w.height(0) >= 5));
    world.tamper = Some(Box::new(|passing| {
        let is_dead = matches!(
            (passing.from, passing.to),
            (0, 1) | (1, 0) | (2, 3) | (3, 2)
        );
        if is_dead { vec![] } else { vec![passing] }
    }));
    let from = world.height(0);
    let grown = |w: &World<DeltaApp>| (0..4).all(|index| w.height(index) >= from + 10);
    let began_ms = world.now_ms;
    assert!(world.run_until(60_000, grown), "ten blocks in a minute");
    println!(
        "ten blocks of 3 s after two links died: {} ms",
        world.now_ms - began_ms
    );
}

/// Both sentries bring the same at the same time: the validator behind them refuses one of them, never
/// both. With one of the others dead, each block needs what the sentries pass on in both directions.
#[test]
fn a_validator_behind_two_sentries_keeps_one_of_them_and_the_cadence() {
    let mut world = World::<DeltaApp>::new(5);
    world.link_only(&BEHIND_TWO);
    (0..5).for_each(|index| world.start(index));
    let grown = |by: u64| move |w: &World<DeltaApp>| (1..5).all(|index| w.height(index) >= by);
    assert!(world.run_until(200_000, grown(5)), "it begins");
    world.tamper = Some(Box::new(|passing| {
        let is_dead = passing.from == 0 || passing.to == 0;
        if is_dead { vec![] } else { vec![passing] }
    }));
    let (from, began_ms) = (world.height(1), world.now_ms);
    assert!(world.run_until(120_000, grown(from + 20)), "twenty blocks");
    let took_ms = world.now_ms - began_ms;
    println!("twenty blocks of 3 s without one of five validators: {took_ms} ms");
    // A dead proposer costs a round; its height is late, and the next is on time again.
    assert!(took_ms <= 21 * 3_000, "{took_ms} ms");
    assert!(world.blamed.is_empty(), "{:?}", world.blamed);
}
