//! The defence against being surrounded, as far as it is a matter of the book.

use std::{collections::BTreeMap, net::IpAddr};

use adnet_common::{chain_id::ChainId, hash::Hash, keys::PublicKey};

use super::{
    buckets::{BUCKET_SIZE, NEW_PER_REGION, Placing, TRIED_PER_REGION},
    *,
};
use crate::{
    network::{discovery::Candidate, limits::Limits, reputation::Offence},
    store::{NetworkIdentity, StoreOptions},
};

const NOW_MS: u64 = 1_700_000_000_000;
const CHAIN: ChainId = ChainId::Alpha;

pub(in crate::network) fn candidate(n: u32, ip: impl Into<IpAddr>) -> Candidate {
    let mut peer = [0; 32];
    peer[..4].copy_from_slice(&n.to_be_bytes());
    Candidate {
        peer,
        ip: ip.into(),
        alpha_port: Some(4130),
        delta_port: Some(4131),
        record: format!("enr:-{n}"),
        seq: 1,
        record_id: peer,
    }
}

pub(in crate::network) fn empty_book(is_private: bool) -> Book {
    let secret = [3; 32];
    Book::new(Placing { secret, is_private })
}

fn added(book: &mut Book, candidate: &Candidate) -> bool {
    book.add(candidate, candidate.ip, NOW_MS)
}

/// Numbers that look like chance, the same each time.
pub(in crate::network) fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut count = 0u64;
    move || {
        count += 1;
        let hash = Hash::of("test", &[&seed.to_be_bytes(), &count.to_be_bytes()]);
        u64::from_be_bytes(*hash.0.first_chunk().unwrap())
    }
}

/// Honest nodes, each in a region of its own.
fn honest(book: &mut Book, count: u8) {
    for n in 0..count {
        assert!(added(book, &candidate(u32::from(n), [50 + n, n, 1, 1])));
    }
}

#[test]
fn a_flood_from_one_region_fills_few_buckets_and_drives_out_nobody() {
    let mut book = empty_book(false);
    honest(&mut book, 100);
    let mut taken = 0;
    for n in 0..65_536u32 {
        let [_, _, c, d] = n.to_be_bytes();
        taken += usize::from(added(&mut book, &candidate(1_000_000 + n, [9, 9, c, d])));
    }
    assert!(taken <= NEW_PER_REGION * BUCKET_SIZE, "{taken}");
    for n in 0..100 {
        assert!(book.get(&candidate(n, [0, 0, 0, 0]).peer).is_some(), "{n}");
    }
}

#[test]
fn a_flood_of_keys_at_one_address_is_one_entry_for_each_bucket() {
    let mut book = empty_book(false);
    let kept = (0..10_000).filter(|n| added(&mut book, &candidate(*n, [9, 9, 9, 9])));
    assert_eq!(kept.count(), 1);
    // Where all nodes are one operator's, they may share an address.
    let mut private = empty_book(true);
    let mut at_port = |n: u16| {
        let alpha_port = Some(n);
        let ip = [127, 0, 0, 1];
        let candidate = candidate(u32::from(n), ip);
        added(
            &mut private,
            &Candidate {
                alpha_port,
                ..candidate
            },
        )
    };
    assert!((1..=100).all(&mut at_port));
}

#[test]
fn choosing_is_by_chance_and_many_addresses_of_one_region_count_little() {
    let mut book = empty_book(false);
    honest(&mut book, 100);
    for n in 0..65_536u32 {
        let [_, _, c, d] = n.to_be_bytes();
        added(&mut book, &candidate(1_000_000 + n, [9, 9, c, d]));
    }
    let (mut random, mut chosen) = (numbers(1), BTreeMap::new());
    for _ in 0..4_000 {
        let entry = book.choose(CHAIN, NOW_MS, &mut random, |_| true).unwrap();
        *chosen.entry(entry.node.ip).or_insert(0) += 1;
    }
    let is_attacker = |ip: &IpAddr| ip.to_string().starts_with("9.9.");
    let attacker: u32 = chosen
        .iter()
        .filter(|(ip, _)| is_attacker(ip))
        .map(|(_, n)| n)
        .sum();
    let honest = chosen.keys().filter(|ip| !is_attacker(ip)).count();
    // 256 of 356 addresses, but 4 of some 50 buckets.
    assert!(attacker < 600, "{attacker} of 4000");
    assert!(honest > 90, "{honest} of 100 were ever chosen");
}

#[test]
fn a_contested_place_is_given_up_only_after_a_failed_test() {
    let mut book = empty_book(false);
    // One region, so at most so many tried buckets.
    let room = TRIED_PER_REGION * BUCKET_SIZE;
    for n in 0..2_000u32 {
        let [_, _, c, d] = n.to_be_bytes();
        let candidate = candidate(n, [9, 9, c, d]);
        if added(&mut book, &candidate) {
            book.succeeded(&candidate.peer, NOW_MS + u64::from(n));
        }
    }
    let (_, tried) = book.count();
    assert!(tried <= room, "{tried}");
    let incumbent = book
        .contested(CHAIN, NOW_MS)
        .expect("more came than there is room")
        .node
        .peer;
    // It answers: nothing changes.
    book.attempted(&incumbent, CHAIN, NOW_MS);
    book.succeeded(&incumbent, NOW_MS);
    assert!(book.get(&incumbent).is_some_and(|entry| entry.is_tried));
    let next = book
        .contested(CHAIN, NOW_MS)
        .expect("others are contested")
        .node
        .peer;
    assert_ne!(next, incumbent);
    // It does not, but we are cut off: nothing changes.
    book.failed(&next, false);
    assert!(book.get(&next).is_some());
    book.failed(&next, true);
    assert!(book.get(&next).is_none(), "its place is the newcomer's");
    assert_eq!(book.count().1, tried);
}

#[test]
fn a_record_that_lied_is_not_believed_again_and_its_victim_is_not_blamed() {
    let mut book = empty_book(false);
    let liar = candidate(1, [9, 9, 9, 9]);
    assert!(added(&mut book, &liar));
    book.lied(&liar.peer, liar.record_id);
    assert!(!added(
        &mut book,
        &Candidate {
            seq: 2,
            ..liar.clone()
        }
    ));
    // The same node key in another record is welcome.
    let record_id = [77; 32];
    assert!(added(&mut book, &Candidate { record_id, ..liar }));
}

#[test]
fn a_node_that_moved_has_to_prove_itself_anew() {
    let mut book = empty_book(false);
    let before = candidate(1, [50, 1, 1, 1]);
    assert!(added(&mut book, &before));
    book.succeeded(&before.peer, NOW_MS);
    let stale = Candidate {
        ip: [60, 1, 1, 1].into(),
        ..before.clone()
    };
    assert!(added(&mut book, &stale));
    assert_eq!(
        book.get(&before.peer).unwrap().node.ip,
        before.ip,
        "not a newer record"
    );
    let moved = Candidate { seq: 2, ..stale };
    assert!(added(&mut book, &moved));
    let entry = book.get(&before.peer).unwrap();
    assert_eq!((entry.node.ip, entry.is_tried), (moved.ip, false));
}

#[test]
fn addresses_that_never_worked_make_room() {
    let mut book = empty_book(false);
    let old = candidate(1, [9, 9, 9, 9]);
    assert!(added(&mut book, &old));
    let new = candidate(2, [9, 9, 9, 9]);
    assert!(!added(&mut book, &new));
    for _ in 0..3 {
        book.failed(&old.peer, true);
    }
    assert!(added(&mut book, &new));
    assert!(book.get(&old.peer).is_none());
}

#[test]
fn one_of_a_subnet_two_of_a_region_unless_private() {
    let limits = Limits::default();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let chosen = [ip("9.9.1.1")];
    assert!(!fits(ip("9.9.1.2"), &chosen, &limits));
    assert!(fits(ip("9.9.2.1"), &chosen, &limits));
    let two = [ip("9.9.1.1"), ip("9.9.2.1")];
    assert!(!fits(ip("9.9.3.1"), &two, &limits));
    assert!(fits(ip("9.8.3.1"), &two, &limits));
    let is_private = true;
    assert!(fits(
        ip("9.9.1.1"),
        &two,
        &Limits {
            is_private,
            ..limits
        }
    ));
}

fn store(dir: &std::path::Path) -> Store {
    let network = NetworkIdentity {
        network_id: 1,
        genesis: Hash([1; 32]),
        name: "book".into(),
    };
    Store::open(dir, &StoreOptions::default(), &network).unwrap()
}

#[test]
fn peers_anchors_validators_and_bans_are_kept_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let banned = [8; 32];
    let open = |store| {
        let reputation = Reputation::default();
        let book = AddressBook::open(Some(store), false, &reputation, NOW_MS + 1).unwrap();
        (book, reputation)
    };
    {
        let (book, reputation) = open(store(dir.path()));
        {
            let mut book = book.lock();
            honest(&mut book, 100);
            book.succeeded(&candidate(7, [0; 4]).peer, NOW_MS);
            book.is_of_validator(&candidate(7, [0; 4]).peer, PublicKey([5; 32]));
            let anchors = [candidate(3, [0; 4]).peer, candidate(7, [0; 4]).peer];
            book.set_anchors(CHAIN, &anchors);
            // One that is gone must not come back.
            book.lied(&candidate(9, [0; 4]).peer, [0; 32]);
        }
        for _ in 0..2 {
            if let Some(ban) = reputation.blame(&banned, Offence::Protocol, NOW_MS) {
                book.keep_ban(ban);
            }
        }
        book.save(NOW_MS).unwrap();
    }
    let (book, reputation) = open(store(dir.path()));
    let book = book.lock();
    assert_eq!(book.count(), (98, 1));
    let mut anchors = book.anchors(CHAIN);
    anchors.sort_unstable();
    assert_eq!(
        anchors,
        [candidate(3, [0; 4]).peer, candidate(7, [0; 4]).peer]
    );
    assert!(book.anchors(ChainId::Delta).is_empty());
    let known = book.get(&candidate(7, [0; 4]).peer).unwrap();
    assert_eq!(
        (known.validator, known.is_tried),
        (Some(PublicKey([5; 32])), true)
    );
    assert!(reputation.banned_until_ms(&banned, NOW_MS + 1).is_some());
}

#[test]
fn bans_that_are_over_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let open = |now_ms| {
        let reputation = Reputation::default();
        AddressBook::open(Some(store.clone()), false, &reputation, now_ms).unwrap()
    };
    let book = open(NOW_MS);
    book.keep_ban(Ban {
        peer: [8; 32],
        until_ms: NOW_MS + 10,
        count: 1,
    });
    book.save(NOW_MS).unwrap();
    let key = Key::Ban([8; 32]).encode();
    assert!(store.get(Family::SharedPeers, &key).unwrap().is_some());
    drop(open(NOW_MS + 11));
    assert!(store.get(Family::SharedPeers, &key).unwrap().is_none());
}
