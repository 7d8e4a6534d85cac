//! A node that begins with a snapshot, and what peers may do to it.

use crate::world::{Passing, World};
use adnet_alpha::AlphaApp;
use adnet_common::application::Application;
use adnet_common::ledger;
use adnet_common::node::{Class, Offence};
use adnet_common::store::Family;
use adnet_common::trusted_block::TrustedBlock;
use adnet_delta::DeltaApp;

/// The kind bytes of answers.
const PROOFS: u8 = 7;
const HISTORY: u8 = 9;
const PIECES: u8 = 11;
/// Virtual time within which a few hundred blocks are made by far.
const LONG_MS: u64 = 40_000_000;
/// The worlds keep every eighth state.
const EVERY: u64 = 8;

fn is_answer(passing: &Passing, kind: u8) -> bool {
    passing.class == Class::SyncResponse && passing.bytes.first() == Some(&kind)
}

/// Four validators of which three have made this many blocks; the fourth trusts one of them.
fn three_of_four<A: Application>(blocks: u64, trusts: u64) -> World<A> {
    let mut world = World::new(4);
    (0..3).for_each(|index| world.start(index));
    assert!(world.run_until(LONG_MS, |w| w.height(0) >= blocks));
    world.run_until(100, |_| false);
    world.passed.clear();
    let trusted = block_of(&world, 0, trusts);
    world.trust(3, trusted);
    world
}

fn block_of<A: Application>(world: &World<A>, index: usize, height: u64) -> TrustedBlock {
    let header = ledger::header_at(&world.hosts[index], A::CHAIN, height);
    let hash = header.expect("memory").expect("decided").hash();
    TrustedBlock { height, hash }
}

/// Heights of which the fourth has the block.
fn blocks_of_the_fourth<A: Application>(world: &World<A>) -> Vec<u64> {
    let heights = 0..=world.height(3);
    let here = |height: &u64| ledger::block_at(&world.hosts[3], A::CHAIN, *height);
    heights
        .filter(|height| here(height).expect("memory").is_some())
        .collect()
}

fn begins_with_a_snapshot<A: Application>(trusts: u64) {
    let mut world = three_of_four::<A>(300, trusts);
    let decided = world.height(0);
    world.start(3);
    let began_ms = world.now_ms;
    assert!(world.run_until(60_000, |w| w.height(3) >= decided));
    let took_ms = world.now_ms - began_ms;
    assert!(took_ms < 2_000, "{took_ms} ms");
    assert!(world.blamed.is_empty(), "{:?}", world.blamed);
    // It has the blocks from the snapshot on, and the headers before.
    let snapshot = decided / EVERY * EVERY;
    let blocks = blocks_of_the_fourth(&world);
    assert_eq!(blocks.first(), Some(&snapshot));
    let headers = ledger::headers(&world.hosts[3], A::CHAIN, 1, snapshot);
    assert_eq!(headers.expect("memory").len() as u64, snapshot);
    // Evidence may be about any height: both know who decided it.
    for height in 1..=decided {
        let set = |index: usize| ledger::validators_at(&world.hosts[index], A::CHAIN, height);
        assert_eq!(set(3), set(0), "at {height}");
        assert!(set(3).expect("memory").is_some());
    }
    // It takes part, by what it has as after a restart, and comes to the same blocks as the others.
    world.restart(3);
    assert!(world.run_until(LONG_MS, |w| w.height(3) >= decided + 5));
    let signed = &world.hosts[3].signed_heights;
    assert!(*signed.first().expect("it takes part") > decided);
    for height in decided..=world.height(3).min(world.height(0)) {
        assert_eq!(block_of(&world, 3, height), block_of(&world, 0, height));
    }
}

#[test]
fn a_fresh_node_begins_with_a_snapshot_and_takes_part() {
    begins_with_a_snapshot::<AlphaApp>(1);
    begins_with_a_snapshot::<AlphaApp>(250);
    begins_with_a_snapshot::<DeltaApp>(1);
    begins_with_a_snapshot::<DeltaApp>(250);
}

/// The trusted block may be younger than the newest snapshot.
#[test]
fn a_block_above_the_snapshot_is_trusted_as_well() {
    let world = three_of_four::<DeltaApp>(300, 1);
    let tip = world.height(0);
    assert_ne!(tip % EVERY, 0, "or this is the test above");
    begins_with_a_snapshot::<DeltaApp>(tip);
    begins_with_a_snapshot::<AlphaApp>(tip);
}

/// One of three peers bends every answer of a kind: it is found out, and the others' answers do.
#[test]
fn a_liar_is_found_out_whatever_it_lies_about() {
    for kind in [PROOFS, HISTORY, PIECES] {
        for from in 0..3 {
            let mut world = three_of_four::<DeltaApp>(100, 3);
            let decided = world.height(0);
            world.tamper = Some(Box::new(move |mut passing| {
                if passing.from == from && passing.to == 3 && is_answer(&passing, kind) {
                    let last = passing.bytes.len() - 1;
                    passing.bytes[last - 7] ^= 1;
                }
                vec![passing]
            }));
            world.start(3);
            assert!(world.run_until(120_000, |w| w.height(3) >= decided));
            let snapshot = blocks_of_the_fourth(&world)[0];
            assert!(
                snapshot > 0 && snapshot.is_multiple_of(EVERY),
                "at {snapshot}"
            );
            let only_it = world.blamed.iter().all(|b| (b.0, b.1) == (3, from));
            assert!(only_it, "{kind} of {from}: {:?}", world.blamed);
        }
    }
}

/// Who is asked for pieces first says nothing: others are asked, and it is reported.
#[test]
fn silence_costs_time_and_not_the_snapshot() {
    let mut world = three_of_four::<AlphaApp>(100, 3);
    let decided = world.height(0);
    world.tamper = Some(Box::new(move |passing| {
        let is_kept_back = passing.from != 2 && passing.to == 3;
        match is_kept_back && passing.class == Class::SyncResponse {
            true => Vec::new(),
            false => vec![passing],
        }
    }));
    world.start(3);
    assert!(world.run_until(120_000, |w| w.height(3) >= decided));
    assert!(blocks_of_the_fourth(&world)[0] > 0);
    let silent = |b: &(usize, usize, Offence)| b.0 == 3 && b.1 < 2 && b.2 == Offence::Silence;
    assert!(world.blamed.iter().all(silent), "{:?}", world.blamed);
}

/// Nobody has a snapshot to offer: all blocks are fetched.
#[test]
fn without_an_offer_all_blocks_are_fetched() {
    let mut world = three_of_four::<DeltaApp>(100, 3);
    let decided = world.height(0);
    world.tamper = Some(Box::new(|mut passing| {
        if is_answer(&passing, PROOFS) {
            // The height 0 and an empty list.
            passing.bytes.truncate(1 + 8);
            passing.bytes.extend([0; 8 + 4]);
        }
        vec![passing]
    }));
    world.start(3);
    assert!(world.run_until(300_000, |w| w.height(3) >= decided));
    let blocks = blocks_of_the_fourth(&world);
    assert!(blocks.into_iter().eq(0..=world.height(3)));
}

/// The node dies when parts of the state are stored: the next one begins anew and finishes.
#[test]
fn a_death_in_the_midst_of_it_loses_nothing() {
    for answers in [1, 2, 3] {
        let mut world = three_of_four::<DeltaApp>(100, 3);
        let decided = world.height(0);
        let mut left = answers;
        world.tamper = Some(Box::new(move |passing| {
            let counts = passing.to == 3 && passing.class == Class::SyncResponse;
            if counts && left == 0 {
                return Vec::new();
            }
            left -= usize::from(counts);
            vec![passing]
        }));
        world.start(3);
        world.run_until(1_000, |_| false);
        assert_eq!(world.height(3), 0);
        world.tamper = None;
        world.restart(3);
        assert!(world.run_until(120_000, |w| w.height(3) >= decided));
        let snapshot = blocks_of_the_fourth(&world)[0];
        assert!(snapshot > 0, "after {answers} answers");
    }
}

/// A snapshot is lost when a part of it is stored, and another one is begun with: nothing of the first is
/// left, and the late answers to the first cost nobody anything.
#[test]
fn a_second_snapshot_is_whole_by_itself() {
    for passed in [1, 2] {
        let mut world = three_of_four::<DeltaApp>(100, 3);
        let decided = world.height(0);
        let mut left = passed;
        // As many as three peers give within the patience for one snapshot.
        let mut lost = 14;
        world.tamper = Some(Box::new(move |mut passing| {
            if is_answer(&passing, PIECES) && left > 0 {
                left -= 1;
            } else if is_answer(&passing, PIECES) && lost > 0 {
                lost -= 1;
                passing.bytes.truncate(1 + 8);
                passing.bytes.extend([0; 4]);
            }
            vec![passing]
        }));
        world.start(3);
        assert!(world.run_until(300_000, |w| w.height(3) >= decided + 10));
        assert!(blocks_of_the_fourth(&world)[0] > 0);
        assert!(world.run_until(60_000, |w| w.height(3) == w.height(0)));
        let rows = |index: usize| world.hosts[index].store.family(Family::DeltaState);
        assert!(rows(3).eq(rows(0)), "after {passed} answers");
        let honest = |b: &(usize, usize, Offence)| b.2 == Offence::Silence;
        assert!(world.blamed.iter().all(honest), "{:?}", world.blamed);
    }
}

/// A peer that answers with pieces that nobody asked for keeps nobody busy for ever.
#[test]
fn pieces_that_nobody_asked_for_are_no_progress() {
    let mut world = three_of_four::<DeltaApp>(100, 3);
    let decided = world.height(0);
    world.tamper = Some(Box::new(|mut passing| {
        if passing.from == 1 && is_answer(&passing, PIECES) {
            // The place of each is another.
            passing.bytes[1 + 8 + 4 + 4] ^= 0x80;
        }
        vec![passing]
    }));
    world.start(3);
    assert!(world.run_until(120_000, |w| w.height(3) >= decided));
    assert!(blocks_of_the_fourth(&world)[0] > 0);
}

/// A peer claims a snapshot at a height that it cannot prove, or that nobody else has.
#[test]
fn an_offer_that_leads_nowhere_stops_nobody() {
    for claimed in [u64::MAX, 1 << 40, 97, 2, 1] {
        let mut world = three_of_four::<DeltaApp>(100, 3);
        let decided = world.height(0);
        world.tamper = Some(Box::new(move |mut passing| {
            if passing.from == 0 && is_answer(&passing, PROOFS) {
                passing.bytes[9..17].copy_from_slice(&u64::to_be_bytes(claimed));
            }
            vec![passing]
        }));
        world.start(3);
        assert!(
            world.run_until(120_000, |w| w.height(3) >= decided),
            "{claimed}"
        );
        assert!(blocks_of_the_fourth(&world)[0] > 0, "{claimed}");
    }
}

/// Parts of a state are stored when all peers lose it: the node goes back to the genesis.
#[test]
fn a_snapshot_that_nobody_finishes_is_given_up() {
    let mut world = three_of_four::<DeltaApp>(100, 3);
    let decided = world.height(0);
    world.tamper = Some(Box::new(|mut passing| {
        if is_answer(&passing, PIECES) {
            passing.bytes.truncate(1 + 8);
            passing.bytes.extend([0; 4]);
        }
        vec![passing]
    }));
    world.start(3);
    assert!(world.run_until(600_000, |w| w.height(3) >= decided));
    assert_eq!(blocks_of_the_fourth(&world)[0], 0);
}

/// What is trusted is not on this chain: the node stops, and says what to look at.
#[test]
fn a_chain_that_is_not_the_trusted_one_is_refused() {
    let mut world = three_of_four::<DeltaApp>(100, 3);
    let mut trusted = block_of(&world, 0, 50);
    trusted.hash.0[0] ^= 1;
    world.trust(3, trusted);
    world.start(3);
    let fault = world.run_to_fault(3, 300_000).expect("it does not go on");
    assert!(fault.contains("trusted_block"), "{fault}");
    // By blocks it comes no further either.
    world.tamper = Some(Box::new(|passing| match is_answer(&passing, PROOFS) {
        true => Vec::new(),
        false => vec![passing],
    }));
    world.start(3);
    let fault = world.run_to_fault(3, 300_000).expect("it does not go on");
    assert!(fault.contains("trusted_block"), "{fault}");
    let tip = ledger::tip_height(&world.hosts[3], DeltaApp::CHAIN);
    assert_eq!(tip.expect("memory"), Some(49));
    // A chain that is here already is looked at when it opens.
    let mut other = block_of(&world, 3, 20);
    other.hash.0[0] ^= 1;
    world.trust(3, other);
    assert!(
        world
            .try_start(3)
            .is_err_and(|fault| fault.contains("trusted_block"))
    );
}
