//! A node that was away, and what peers may do to it.

use crate::world::{Passing, World};
use adnet_alpha::AlphaApp;
use adnet_common::application::Application;
use adnet_common::node::{Class, Offence};
use adnet_delta::DeltaApp;
use std::collections::{BTreeMap, BTreeSet};

/// The kind byte of a request for a range, of a range, and of a status.
const STATUS: u8 = 1;
const REQUEST: u8 = 2;
const RANGE: u8 = 3;
/// Virtual time within which a few hundred blocks are made by far.
const LONG_MS: u64 = 40_000_000;

fn is_of(passing: &Passing, class: Class, kind: u8) -> bool {
    passing.class == class && passing.bytes.first() == Some(&kind)
}

fn status(from: usize, to: usize, height: u64) -> Passing {
    Passing {
        from,
        to,
        class: Class::SyncRequest,
        bytes: [&[STATUS][..], &height.to_be_bytes()].concat(),
    }
}

fn request(from: usize, to: usize, first: u64) -> Passing {
    Passing {
        from,
        to,
        class: Class::SyncRequest,
        bytes: [&[REQUEST][..], &first.to_be_bytes(), &32u64.to_be_bytes()].concat(),
    }
}

/// Four validators of which three have made this many blocks; the fourth was never started.
fn three_of_four<A: Application>(blocks: u64) -> World<A> {
    let mut world = World::new(4);
    (0..3).for_each(|index| world.start(index));
    assert!(world.run_until(LONG_MS, |w| w.height(0) >= blocks));
    world.run_until(100, |_| false); // nothing is on its way to the fourth
    world.passed.clear();
    world
}

/// First heights of the ranges that the fourth has asked for, by peer.
fn asked<A: Application>(world: &World<A>) -> BTreeMap<usize, Vec<u64>> {
    let mut asked: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for passing in &world.passed {
        if passing.from == 3 && is_of(passing, Class::SyncRequest, REQUEST) {
            let first = passing.bytes[1..].first_chunk::<8>().expect("a height");
            asked
                .entry(passing.to)
                .or_default()
                .push(u64::from_be_bytes(*first));
        }
    }
    asked
}

fn catches_up_in_parallel_and_signs_nothing_old<A: Application>() {
    let mut world = three_of_four::<A>(300);
    let decided = world.height(0);
    world.start(3);
    let began_ms = world.now_ms;
    assert!(world.run_until(60_000, |w| w.height(3) >= decided));
    let took_ms = world.now_ms - began_ms;
    assert!(took_ms < 3_000, "{took_ms} ms for {decided} blocks");
    let asked = asked(&world);
    assert_eq!(asked.len(), 3, "{asked:?}");
    let all: Vec<u64> = asked.values().flatten().copied().collect();
    let distinct: BTreeSet<u64> = all.iter().copied().collect();
    assert_eq!(
        all.len(),
        distinct.len(),
        "no range was asked for twice: {asked:?}"
    );
    assert!(all.len() <= 20, "{} ranges for {decided} blocks", all.len());
    assert!(asked.values().all(|ranges| ranges.len() >= 2), "{asked:?}");
    // It takes part again, and has signed for no height that was decided before it came.
    assert!(world.run_until(LONG_MS, |w| w.height(3) >= decided + 5));
    let signed = &world.hosts[3].signed_heights;
    let first = signed.first().expect("it takes part again");
    assert!(
        *first > decided,
        "signed at {first}, {decided} were decided"
    );
    assert!(world.blamed.is_empty(), "{:?}", world.blamed);
}

#[test]
fn a_node_that_was_away_asks_all_peers_at_once_and_signs_nothing_old() {
    catches_up_in_parallel_and_signs_nothing_old::<AlphaApp>();
    catches_up_in_parallel_and_signs_nothing_old::<DeltaApp>();
}

/// What the test above would not see if a node that is behind never signed anyway.
#[test]
fn a_node_that_hears_nobody_takes_part_where_it_stands() {
    let mut world = three_of_four::<DeltaApp>(20);
    world.link_only(&[(0, 1), (0, 2), (1, 2)]);
    world.start(3);
    world.run_until(10_000, |_| false);
    assert_eq!(world.hosts[3].signed_heights.first(), Some(&1));
}

#[test]
fn a_liar_is_found_out_and_its_ranges_come_from_others() {
    let mut world = three_of_four::<DeltaApp>(200);
    let decided = world.height(0);
    // The last byte of a range is in the last certificate: a signature that does not verify.
    world.tamper = Some(Box::new(|mut passing| {
        if passing.from == 1 && is_of(&passing, Class::SyncResponse, RANGE) {
            *passing.bytes.last_mut().expect("a kind byte") ^= 1;
        }
        vec![passing]
    }));
    world.start(3);
    assert!(world.run_until(60_000, |w| !w.blamed.is_empty()));
    // It was asked for more before its first range had its turn, and is not asked again.
    let before = asked(&world)[&1].len();
    assert!(world.run_until(60_000, |w| w.height(3) >= decided));
    assert_eq!(world.blamed, [(3, 1, Offence::BadBlock)]);
    assert_eq!(asked(&world)[&1].len(), before);
}

#[test]
fn a_range_that_was_not_asked_for_is_found_out() {
    let mut world = three_of_four::<DeltaApp>(200);
    let decided = world.height(0);
    // The right first height, with the blocks of another range behind it.
    let mut kept: Option<Vec<u8>> = None;
    world.tamper = Some(Box::new(move |mut passing| {
        if passing.from == 2 && is_of(&passing, Class::SyncResponse, RANGE) {
            match &kept {
                None => kept = Some(passing.bytes.clone()),
                Some(first) => {
                    let wanted = passing.bytes[1..9].to_vec();
                    passing.bytes.clone_from(first);
                    passing.bytes[1..9].copy_from_slice(&wanted);
                }
            }
        }
        vec![passing]
    }));
    world.start(3);
    assert!(world.run_until(60_000, |w| w.height(3) >= decided));
    assert_eq!(world.blamed, [(3, 2, Offence::BadBlock)]);
}

#[test]
fn a_silent_peer_holds_nobody_up() {
    let mut world = three_of_four::<DeltaApp>(200);
    let decided = world.height(0);
    world.tamper = Some(Box::new(|passing| {
        let is_kept_back = passing.from == 0 && is_of(&passing, Class::SyncResponse, RANGE);
        if is_kept_back { vec![] } else { vec![passing] }
    }));
    world.start(3);
    assert!(world.run_until(4_000, |w| w.height(3) >= decided));
    assert!(world.run_until(LONG_MS, |w| !w.blamed.is_empty()));
    assert_eq!(world.blamed[0], (3, 0, Offence::Silence));
}

/// A peer that has nothing of what it claims costs the network no height.
#[test]
fn claims_of_heights_that_do_not_exist_stop_nobody() {
    let mut world = World::<DeltaApp>::new(4);
    (0..4).for_each(|index| world.start(index));
    assert!(world.run_until(LONG_MS, |w| w.height(0) >= 5));
    let before = world.height(0);
    for _ in 0..120 {
        for to in 0..3 {
            world.send(status(3, to, 1_000_000_000_000));
        }
        world.run_until(500, |_| false);
    }
    // A minute of Delta, of which a lie may cost its time once.
    let grown = world.height(0) - before;
    assert!(grown >= 16, "{grown} blocks in a minute");
    assert!(world.blamed.iter().all(|(_, peer, _)| *peer == 3));
}

#[test]
fn a_flood_of_requests_is_served_within_its_share_and_delays_nothing() {
    let mut world = World::<DeltaApp>::new(4);
    (0..4).for_each(|index| world.start(index));
    assert!(world.run_until(LONG_MS, |w| w.height(0) >= 40));
    world.passed.clear();
    world.hosts[0].reads.set(0);
    let (before, began_ms) = (world.height(0), world.now_ms);
    for _ in 0..10_000 {
        world.send(request(3, 0, 1));
    }
    assert!(world.run_until(60_000, |w| w.height(0) >= before + 3));
    assert!(world.now_ms - began_ms < 4 * 3_000, "the cadence is kept");
    let ranges = world.passed.iter();
    let ranges = ranges.filter(|p| p.from == 0 && is_of(p, Class::SyncResponse, RANGE));
    let served = ranges.count();
    assert!(
        (1..=128).contains(&served),
        "{served} ranges served at once"
    );
    assert!(
        world.hosts[0].reads.get() < 1_000,
        "{:?} reads",
        world.hosts[0].reads
    );
    assert_eq!(world.blamed[0], (0, 3, Offence::Flood));
    assert!(world.blamed.len() <= 4, "a flood is reported once a second");
}
