//! Proofs and headers as a chain serves them, and what is made of them on their way.

use super::follow::{Refused, follow};
use super::history::{BadHistory, History, Link};
use super::serve::{links, proofs};
use crate::application::Application;
use crate::attestation::FinalityProof;
use crate::chain_id::ChainId;
use crate::consensus::{EncodedSet, ValidatorSet};
use crate::hash::Hash;
use crate::ledger;
use crate::node::tests::bare::{Bare, GENESIS_MS, Machine, Plan, genesis, set};
use crate::node::tests::host::TestHost;
use crate::store::ReadStore;
use crate::trusted_block::TrustedBlock;

/// Others come and go after heights 3, 4, 9 and 20.
struct Changing;

impl Plan for Changing {
    fn after(height: u64) -> Option<ValidatorSet> {
        match height {
            3 => Some(set(&[(0, 10), (1, 1)])),
            4 => Some(set(&[(0, 10), (1, 2)])),
            9 => Some(set(&[(0, 12), (5, 3)])),
            20 => Some(set(&[(0, 10), (1, 1)])),
            _ => None,
        }
    }
}

type App = Bare<Changing>;

/// A chain at height 24.
fn machine() -> Machine<Changing> {
    let genesis = genesis(&[(0, 10), (1, 1), (2, 1)]);
    let mut machine = Machine::open(&genesis, TestHost::new(&genesis, 0), GENESIS_MS);
    machine.run_to(24).expect("it goes on");
    assert_eq!(machine.node.tip().height, 24);
    machine
}

fn trusted(machine: &Machine<Changing>, height: u64) -> TrustedBlock {
    let header = ledger::header_at(&machine.host, ChainId::Delta, height);
    let hash = header.expect("memory").expect("decided").hash();
    TrustedBlock { height, hash }
}

fn lead(
    machine: &Machine<Changing>,
    from: &TrustedBlock,
    proofs: &[FinalityProof],
) -> Result<TrustedBlock, Refused> {
    follow(ChainId::Delta, machine.host.domain, from, proofs)
}

#[test]
fn certificates_lead_from_a_trusted_block_to_a_later_one() {
    let machine = machine();
    for from in 1..=24 {
        let begin = trusted(&machine, from);
        let proofs = proofs::<App>(&machine.host, from, 22).expect("memory");
        let changes = [3, 4, 9, 20].iter().filter(|change| **change > from);
        let later = if from < 22 { changes.count() + 1 } else { 0 };
        assert_eq!(proofs.len(), 1 + later, "from {from}");
        let last = lead(&machine, &begin, &proofs).expect("good proofs");
        assert_eq!(last, trusted(&machine, from.max(22)));
        // A part leads as far as it goes.
        let part = lead(&machine, &begin, &proofs[..1]);
        assert_eq!(part, Ok(begin));
    }
}

#[test]
fn proofs_of_something_else_are_refused() {
    let machine = machine();
    let begin = trusted(&machine, 2);
    let good = proofs::<App>(&machine.host, 2, 22).expect("memory");
    let other = TrustedBlock {
        hash: Hash([7; 32]),
        ..begin
    };
    assert_eq!(lead(&machine, &other, &good), Err(Refused::OtherBlock));
    let wrong = |proofs: &[FinalityProof], what: &str| {
        let refused = lead(&machine, &begin, proofs);
        assert!(
            matches!(refused, Err(Refused::Wrong(_))),
            "{what}: {refused:?}"
        );
    };
    wrong(&[], "nothing");
    wrong(&good[1..], "it begins later");
    for skipped in 1..good.len() - 1 {
        // Without a change on the way the same signers may do, but they lead nowhere else.
        let mut gap = good.clone();
        gap.remove(skipped);
        match lead(&machine, &begin, &gap) {
            Ok(last) => assert_eq!(last, trusted(&machine, 22)),
            Err(error) => assert!(matches!(error, Refused::Wrong(_))),
        }
    }
    let mut swapped = good.clone();
    swapped.swap(1, 2);
    wrong(&swapped, "out of order");
    let mut no_set = good.clone();
    no_set[0].next_set = None;
    wrong(&no_set, "the first comes without a set");
    let mut usurped = good.clone();
    usurped[0].next_set = Some(EncodedSet::of(&set(&[(7, 1)])));
    wrong(&usurped, "another set comes with the first");
    for index in 1..good.len() {
        let mut forged = good.clone();
        let last = forged[index].certificate.len() - 1;
        forged[index].certificate[last] ^= 1;
        wrong(&forged, "a forged signature");
        let mut bent = good.clone();
        bent[index].header.state_root = Hash([9; 32]);
        wrong(&bent, "another state");
    }
}

/// All headers from `top` down to `floor`, in answers of `size`.
fn walk(machine: &Machine<Changing>, top: u64, floor: u64, size: u64) -> History {
    let begin = trusted(machine, top);
    let mut history = History::new(ChainId::Delta, (top, begin.hash), floor);
    while let Some(next) = history.wanted() {
        let count = size.min(history.wanted_count());
        let answer = links::<App>(&machine.host, next - (count - 1), next).expect("memory");
        assert_eq!(answer.len() as u64, count);
        let headers = history.take(answer).expect("a good answer");
        assert!(headers.iter().all(|h| *h == header(machine, h.height)));
    }
    history
}

fn header(machine: &Machine<Changing>, height: u64) -> crate::block::Header {
    let header = ledger::header_at(&machine.host, ChainId::Delta, height);
    header.expect("memory").expect("decided")
}

#[test]
fn headers_lead_down_and_name_the_sets_of_all_heights_between() {
    let machine = machine();
    for (top, floor, size) in [(24, 1, 1), (24, 1, 5), (20, 4, 3), (22, 9, 64), (5, 5, 2)] {
        let history = walk(&machine, top, floor, size);
        for height in floor + 1..=top {
            let stored = ledger::validators_at(&machine.host, ChainId::Delta, height);
            let stored = stored.expect("memory").expect("a set");
            let known = history.set_of(height).expect("a set");
            assert_eq!(**known, stored, "{height} of {top}..{floor} by {size}");
        }
        // Where nothing has changed nothing is written, but at the end.
        let mut store = crate::memory_store::MemoryStore::new();
        store.apply(&history.set_writes(top));
        let changes = ledger::changes_of_validators(&store, ChainId::Delta, floor + 1, 99, 99);
        let expected =
            ledger::changes_of_validators(&machine.host, ChainId::Delta, floor + 1, top + 1, 99);
        assert_eq!(changes.expect("memory"), expected.expect("memory"));
    }
}

#[test]
fn headers_of_something_else_are_refused() {
    let machine = machine();
    let good: Vec<Link> = links::<App>(&machine.host, 1, 24).expect("memory");
    let begin = trusted(&machine, 24);
    let take = |links: Vec<Link>| {
        let mut history = History::new(ChainId::Delta, (24, begin.hash), 1);
        let taken = history.take(links);
        if taken.is_err() {
            assert_eq!(history.wanted(), Some(24), "nothing has changed");
        }
        taken
    };
    assert_eq!(take(good.clone()).map(|headers| headers.len()), Ok(24));
    assert_eq!(take(Vec::new()), Err(BadHistory::Empty));
    for index in 0..good.len() {
        let height = 24 - index as u64;
        let mut bent = good.clone();
        bent[index].header.time_ms += 1;
        assert_eq!(take(bent), Err(BadHistory::NotTheParent(height)));
        let mut other = good.clone();
        other[index].next_set = Some(EncodedSet::of(&set(&[(7, 1)])));
        assert_eq!(take(other), Err(BadHistory::WrongSet(height)));
        if good[index].next_set.is_some() {
            let mut kept_back = good.clone();
            kept_back[index].next_set = None;
            assert_eq!(take(kept_back), Err(BadHistory::WrongSet(height)));
        }
    }
    let with_set = good.iter().filter(|link| link.next_set.is_some());
    assert_eq!(with_set.count(), 5, "four changes and the end");
}

/// The hash of an answer that nobody asked for with such a height must not end the process.
#[test]
fn requests_for_heights_that_are_none_are_answered_with_nothing() {
    let machine = machine();
    let host: &dyn ReadStore = &machine.host;
    for height in [25, 26, u64::MAX - 1, u64::MAX] {
        assert_eq!(
            links::<App>(host, height.saturating_sub(3), height).expect("memory"),
            []
        );
        assert_eq!(proofs::<App>(host, height, 22).expect("memory"), []);
    }
    assert_eq!(proofs::<App>(host, 0, 22).expect("memory"), []);
    assert!(
        machine
            .node
            .application()
            .piece(host, 99, b"own")
            .expect("memory")
            .is_none()
    );
}
