use super::metrics::Outcome;
use super::*;
use crate::store::{NetworkIdentity, StoreOptions};
use adnet_common::consensus::{SignSlot, Step};
use adnet_common::consensus_keys::load_wal;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use tempfile::TempDir;

const GENESIS: Hash = Hash([3; 32]);

fn store(path: &Path) -> Store {
    let network = NetworkIdentity {
        network_id: 7,
        genesis: GENESIS,
        name: "test".into(),
    };
    Store::open(path, &StoreOptions::default(), &network).expect("a good database")
}

fn key() -> SecretKey {
    SecretKey::from_bytes(KeyKind::Validator, &[9; 32]).expect("any bytes are a seed")
}

fn signer(path: &Path) -> LocalSigner {
    LocalSigner::open(&key(), 7, GENESIS, store(path)).expect("a good database")
}

fn prevote(height: u64, round: u32, value: u8) -> SignRequest {
    let value = (value > 0).then_some([value; 32]);
    SignRequest {
        height,
        round,
        step: Step::Prevote,
        value,
        pol_round: None,
    }
}

fn entry(height: u64, index: u64) -> WalEntry {
    WalEntry {
        height,
        index,
        bytes: vec![index as u8; 9],
    }
}

#[test]
fn a_signature_comes_with_its_log_and_survives_a_restart() {
    let dir = TempDir::new().expect("a temporary directory");
    let signer = signer(dir.path());
    let request = prevote(5, 0, 1);
    let wal = [entry(5, 0), entry(5, 1)];
    let signature = signer.sign(ChainId::Delta, &wal, &request).expect("fresh");
    let domain = Domain {
        network_id: 7,
        chain: ChainId::Delta,
        genesis: GENESIS,
    };
    assert!(domain.verify(&signer.public_key(), &request, &signature));
    let on_alpha = signer
        .sign(ChainId::Alpha, &[], &request)
        .expect("the chains are apart");
    assert_ne!(on_alpha, signature);
    drop(signer);

    let signer = self::signer(dir.path());
    assert_eq!(load_wal(&signer.store, ChainId::Delta, 5), Ok(wal.to_vec()));
    assert_eq!(
        signer.sign(ChainId::Delta, &[entry(5, 2)], &request),
        Ok(signature)
    );
    assert_eq!(
        load_wal(&signer.store, ChainId::Delta, 5).map(|w| w.len()),
        Ok(3)
    );
    let other = signer.sign(ChainId::Delta, &[entry(5, 3)], &prevote(5, 0, 2));
    assert!(matches!(other, Err(SignError::Refused { .. })));
    assert!(signer.sign(ChainId::Delta, &[], &prevote(4, 9, 1)).is_err());
    assert_eq!(
        load_wal(&signer.store, ChainId::Delta, 5).map(|w| w.len()),
        Ok(3)
    );
    assert_eq!(signer.counters.get(ChainId::Delta, Outcome::Repeated), 1);
    assert_eq!(signer.counters.get(ChainId::Delta, Outcome::Refused), 2);
}

#[test]
fn marks_of_older_heights_go_with_the_first_of_a_new_one() {
    let dir = TempDir::new().expect("a temporary directory");
    let signer = signer(dir.path());
    for (height, round) in [(1, 0), (1, 1), (2, 0), (2, 1)] {
        signer
            .sign(ChainId::Alpha, &[], &prevote(height, round, 1))
            .expect("fresh");
    }
    let domain = Domain {
        network_id: 7,
        chain: ChainId::Alpha,
        genesis: GENESIS,
    };
    let stored = ChainMarks::load(&signer.store, domain).expect("good marks");
    let slots: Vec<SignSlot> = stored.marks.lock().expect("free").keys().copied().collect();
    let slot = |round| SignSlot {
        height: 2,
        round,
        step: Step::Prevote,
    };
    assert_eq!(slots, [slot(0), slot(1)]);
}

#[test]
fn what_does_not_belong_to_a_request_is_refused() {
    let dir = TempDir::new().expect("a temporary directory");
    let signer = signer(dir.path());
    let large = WalEntry {
        height: 1,
        index: 0,
        bytes: vec![0; PENDING_BYTES_MAX + 1],
    };
    for wal in [
        vec![entry(2, 0)],
        vec![entry(1, 0), entry(1, 2)],
        vec![large],
    ] {
        let answer = signer.sign(ChainId::Alpha, &wal, &prevote(1, 0, 1));
        assert!(matches!(answer, Err(SignError::Refused { .. })));
    }
    let mut malformed = prevote(1, 0, 1);
    malformed.pol_round = Some(0);
    assert!(signer.sign(ChainId::Alpha, &[], &malformed).is_err());
    let node_key = SecretKey::random(KeyKind::Node);
    let wrong = LocalSigner::open(&node_key, 7, GENESIS, signer.store.clone());
    assert_eq!(wrong.err(), Some(SignerOpenError::WrongKey(KeyKind::Node)));
}

#[test]
fn a_damaged_mark_stops_the_signer() {
    let dir = TempDir::new().expect("a temporary directory");
    let store = store(dir.path());
    let slot = SignSlot {
        height: 1,
        round: 0,
        step: Step::Prevote,
    };
    let update = MarkUpdate {
        key: mark_key(&slot),
        value: vec![1],
        delete: vec![],
    };
    store
        .append_wal(ChainId::Alpha, &[], Some(&update), &[])
        .expect("written");
    let opened = LocalSigner::open(&key(), 7, GENESIS, store);
    assert!(matches!(
        opened,
        Err(SignerOpenError::Corrupt {
            chain: ChainId::Alpha,
            ..
        })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Any order of requests, with restarts between them: never two messages for one slot, and
    /// never one below an earlier one.
    #[test]
    fn nothing_is_signed_twice_over_any_restarts(
        asked in prop::collection::vec((0_u64..4, 0_u32..3, 0_u8..3, prop::bool::weighted(0.2)), 1..40),
    ) {
        let dir = TempDir::new().expect("a temporary directory");
        let mut signer = Some(signer(dir.path()));
        let mut signed: BTreeMap<SignSlot, (SignRequest, [u8; 64])> = BTreeMap::new();
        for (height, round, value, restarts) in asked {
            if restarts {
                drop(signer.take());
                signer = Some(self::signer(dir.path()));
            }
            let request = prevote(height, round, value);
            let slot = SignSlot::from(&request);
            let highest = signed.last_key_value().map(|(slot, _)| *slot);
            let answer = signer.as_ref().expect("reopened").sign(ChainId::Alpha, &[], &request);
            match (answer, signed.get(&slot)) {
                (Ok(signature), Some(before)) => prop_assert_eq!((request, signature), *before),
                (Ok(signature), None) => {
                    prop_assert!(highest.is_none_or(|highest| slot > highest));
                    signed.insert(slot, (request, signature));
                }
                (Err(_), _) => prop_assert!(highest.is_some_and(|highest| slot <= highest)),
            }
        }
    }
}
