//! The guard's promise, for any sequence of requests, and the formats of its marks.

use super::bench::{domain, test_key, vote_request};
use crate::consensus::{
    Guard, RefusedWhy, SignMark, SignMarks, SignRequest, SignSlot, Step, Verdict,
};
use crate::hash::Hash;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn requests() -> impl Strategy<Value = SignRequest> {
    let value = prop::option::of((0u8..3).prop_map(|n| [n; 32]));
    (1u64..4, 0u32..4, 0u8..3, value, prop::option::of(0u32..4)).prop_map(
        |(height, round, step, value, pol_round)| SignRequest {
            height,
            round,
            step: Step::from_byte(step).expect("below three"),
            value,
            pol_round,
        },
    )
}

proptest! {
    /// Whatever is asked, in whatever order: one message per slot, slots only ever rise, and a
    /// repeated request gets the stored signature.
    #[test]
    fn no_two_messages_of_a_slot_are_ever_signed(
        asked in prop::collection::vec(requests(), 1..200),
        prune_every in 1usize..50,
    ) {
        let (guard, key) = (Guard::new(domain()), test_key(0));
        let mut marks = SignMarks::new();
        let mut signed: BTreeMap<SignSlot, SignRequest> = BTreeMap::new();
        for (i, request) in asked.iter().enumerate() {
            let slot = SignSlot::from(request);
            let highest = signed.last_key_value().map(|(slot, _)| *slot);
            match guard.check(&marks, request) {
                Verdict::Fresh => {
                    prop_assert!(request.is_well_formed());
                    prop_assert!(highest.is_none_or(|h| slot > h), "{slot:?} is not above {highest:?}");
                    let (slot, mark) = guard.mark(request, key.sign(request));
                    marks.insert(slot, mark);
                    signed.insert(slot, *request);
                }
                Verdict::Known(signature) => {
                    prop_assert_eq!(signed.get(&slot), Some(request));
                    prop_assert_eq!(signature, key.sign(request));
                }
                Verdict::Refused { why } => {
                    prop_assert_ne!(marks.get(&slot).map(|_| signed.get(&slot)), Some(Some(request)));
                    match why {
                        RefusedWhy::Malformed => prop_assert!(!request.is_well_formed()),
                        RefusedWhy::Conflict(at) => prop_assert_eq!(at, slot),
                        RefusedWhy::NotAbove(at) => prop_assert_eq!(Some(at), highest),
                    }
                }
            }
            if i % prune_every == 0 && let Some(highest) = highest {
                Guard::prune(&mut marks, highest.height);
                prop_assert!(marks.contains_key(&highest));
            }
        }
    }

    #[test]
    fn slots_sort_as_bytes_and_round_trip(a in requests(), b in requests()) {
        let (a, b) = (SignSlot::from(&a), SignSlot::from(&b));
        prop_assert_eq!(a.cmp(&b), a.encode().cmp(&b.encode()));
        prop_assert_eq!(SignSlot::decode(&a.encode()), Ok(a));
    }

    #[test]
    fn marks_round_trip_and_garbage_is_an_error(
        request in requests(), signature: [u8; 32], garbage: Vec<u8>,
    ) {
        let mut whole = [0; 64];
        whole[..32].copy_from_slice(&signature);
        let (_, mark) = Guard::new(domain()).mark(&request, whole);
        prop_assert_eq!(SignMark::decode(&mark.encode()), Ok(mark));
        let _ = SignMark::decode(&garbage);
        let _ = SignSlot::decode(&garbage);
    }

    /// No two requests share sign bytes, in one domain or in two.
    #[test]
    fn sign_bytes_are_injective(a in requests(), b in requests()) {
        let sibling = crate::consensus::Domain { chain: domain().chain.sibling(), ..domain() };
        let same = domain().sign_bytes(&a) == domain().sign_bytes(&b);
        prop_assert_eq!(same, a == b);
        prop_assert_ne!(domain().sign_bytes(&a), sibling.sign_bytes(&b));
        prop_assert!(domain().sign_bytes(&a).len() <= crate::consensus::SIGN_BYTES_MAX);
    }
}

#[test]
fn a_barrier_refuses_everything_up_to_its_height() {
    let guard = Guard::new(domain());
    let marks = SignMarks::from([SignMark::barrier(7)]);
    let precommit = |height, round| vote_request(Step::Precommit, height, round, None);
    for refused in [precommit(1, 0), precommit(7, 0), precommit(7, u32::MAX)] {
        assert!(matches!(
            guard.check(&marks, &refused),
            Verdict::Refused { .. }
        ));
    }
    assert_eq!(guard.check(&marks, &precommit(8, 0)), Verdict::Fresh);
}

/// A signature holds for one network, chain, genesis, step, height, round and value.
#[test]
fn a_signature_holds_in_its_domain_only() {
    let key = test_key(0);
    let request = vote_request(Step::Prevote, 1, 0, Some(Hash([1; 32])));
    let signature = key.sign(&request);
    let home = domain();
    assert!(home.verify(&key.public, &request, &signature));
    let mut domains = [home; 3];
    domains[0].network_id += 1;
    domains[1].chain = home.chain.sibling();
    domains[2].genesis = Hash([0; 32]);
    assert!(
        domains
            .iter()
            .all(|d| !d.verify(&key.public, &request, &signature))
    );
    let mut requests = [request; 5];
    requests[0].step = Step::Precommit;
    requests[1].height = 2;
    requests[2].round = 1;
    requests[3].value = None;
    requests[4].pol_round = Some(0);
    assert!(
        requests
            .iter()
            .all(|r| !home.verify(&key.public, r, &signature))
    );
}
