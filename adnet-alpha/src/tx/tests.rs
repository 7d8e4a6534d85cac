//! The transaction format: round trips, canonical form, hostile bytes, frozen hashes.

use adnet_common::keys::{AlphaAddress, EvmAddress, KeyKind, PublicKey, SecretKey};
use proptest::prelude::*;

use super::*;
use crate::pool::Bundle;

fn terms() -> Terms {
    Terms {
        genesis: Hash([0xaa; 32]),
        fee_units: 300,
        expiry_height: 41,
    }
}

/// A bundle whose bytes are noise: well-formed, and no more.
fn bundle() -> impl Strategy<Value = Bundle> {
    let noise = (1..=4usize, any::<[u8; 32]>(), any::<u8>(), any::<i64>());
    noise.prop_map(|(actions, anchor, flags, value_balance)| {
        let mut bundle = Bundle::blank(actions);
        for (index, action) in bundle.actions.iter_mut().enumerate() {
            action.nullifier = Hash::of("test", &[&anchor, &[index as u8]]).0;
            action.enc_ciphertext[index] = flags;
        }
        (bundle.flags, bundle.value_balance, bundle.anchor) = (flags, value_balance, anchor);
        bundle
    })
}

fn shielded_function() -> impl Strategy<Value = Function> {
    let named = any::<([u8; 32], u64, u64)>();
    (0..6, named, bundle()).prop_map(
        |(which, (name, number, amount_units), bundle)| match which {
            0 => Function::Shield(Shield {
                sender: name,
                nonce: number,
                bundle,
            }),
            1 => Function::Unshield(Unshield {
                recipient: name,
                bundle,
            }),
            2 => Function::TransferPrivate(TransferPrivate { bundle }),
            3 => Function::MintPrivate(MintPrivate {
                order_nonce: number,
                amount_units,
                reason_hash: Hash(name),
                bundle,
            }),
            4 => Function::BurnPrivate(BurnPrivate { bundle }),
            _ => Function::LockPrivate(LockPrivate {
                recipient: *name.first_chunk().expect("32 bytes have 20"),
                bundle,
            }),
        },
    )
}

fn function() -> impl Strategy<Value = Function> {
    prop_oneof![public_function(), shielded_function()]
}

fn public_function() -> impl Strategy<Value = Function> {
    let transfer = any::<([u8; 32], u64, [u8; 32], u64)>();
    let mint = any::<(u64, [u8; 32], u64, [u8; 32])>();
    let burn = any::<([u8; 32], u64, u64)>();
    let lock = any::<([u8; 32], u64, [u8; 20], u64)>();
    prop_oneof![
        transfer.prop_map(|(sender, nonce, recipient, amount_units)| {
            Function::TransferPublic(TransferPublic {
                sender,
                nonce,
                recipient,
                amount_units,
            })
        }),
        mint.prop_map(|(order_nonce, recipient, amount_units, reason)| {
            let reason_hash = Hash(reason);
            Function::Mint(MintOrder {
                order_nonce,
                recipient,
                amount_units,
                reason_hash,
            })
        }),
        burn.prop_map(|(sender, nonce, amount_units)| {
            Function::Burn(Burn {
                sender,
                nonce,
                amount_units,
            })
        }),
        lock.prop_map(|(sender, nonce, recipient, amount_units)| {
            Function::Lock(Lock {
                sender,
                nonce,
                recipient,
                amount_units,
            })
        }),
    ]
}

fn transaction() -> impl Strategy<Value = Transaction> {
    let approvals = proptest::collection::btree_set(any::<[u8; 32]>(), 0..5);
    let shared = (any::<[u8; 32]>(), any::<u64>(), any::<u64>(), any::<u8>());
    (function(), approvals, shared).prop_map(|(function, governors, shared)| {
        let (genesis, fee_units, expiry_height, seed) = shared;
        let signature = [seed; 64];
        let approval = |key| Approval {
            governor: PublicKey(key),
            signature,
        };
        let approvals: Vec<Approval> = governors.into_iter().map(approval).collect();
        let mut witness = Witness::blank(&function, approvals.len());
        match &mut witness {
            Witness::Governors(given) | Witness::GovernorsAndBundle(given, _) => *given = approvals,
            Witness::Account(given) | Witness::AccountAndBundle(given, _) => *given = signature,
            Witness::Bundle(proof) => proof.binding_signature = signature,
        }
        let genesis = Hash(genesis);
        let payload = Payload {
            genesis,
            function,
            fee_units,
            expiry_height,
        };
        Transaction { payload, witness }
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(tx in transaction()) {
        prop_assert_eq!(Transaction::decode(&tx.encode()), Ok(tx));
    }

    #[test]
    fn garbage_never_panics_and_what_decodes_is_canonical(
        tx in transaction(),
        at: prop::sample::Index,
        byte: u8,
        cut: prop::sample::Index,
    ) {
        let mut raw = tx.encode();
        let at = at.index(raw.len());
        raw[at] = byte;
        if let Ok(decoded) = Transaction::decode(&raw) {
            prop_assert_eq!(decoded.encode(), raw.clone());
        }
        let cut = cut.index(raw.len());
        prop_assert!(Transaction::decode(&raw[..cut]).is_err());
    }

    #[test]
    fn noise_is_refused(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Transaction::decode(&noise).is_err());
    }

    #[test]
    fn json_names_the_function_of_a_shielded_transaction(function in shielded_function()) {
        let witness = Witness::blank(&function, 2);
        let tx = Transaction { payload: terms().payload(function), witness };
        let json = serde_json::to_value(TransactionJson::from(&tx)).expect("serialises");
        prop_assert_eq!(json["function"].as_str(), Some(tx.payload.function.name()));
        let actions = json["bundle"]["actions"].as_array().expect("a list").len();
        prop_assert_eq!(actions, tx.payload.function.bundle().expect("shielded").actions.len());
    }

    #[test]
    fn json_says_the_same(function in public_function(), seed: u8) {
        let mut witness = Witness::blank(&function, 0);
        if let Witness::Account(signature) = &mut witness {
            *signature = [seed; 64];
        }
        let tx = Transaction { payload: terms().payload(function), witness };
        let json = serde_json::to_value(TransactionJson::from(&tx)).expect("serialises");
        let mut body = json.as_object().expect("an object").clone();
        let name = body.remove("function").expect("tagged");
        prop_assert_eq!(name.as_str(), Some(tx.payload.function.name()));
        let body = serde_json::Value::Object(body);
        let wrong = "the body of the route is the JSON form";
        let back = match tx.payload.function {
            Function::TransferPublic(_) => {
                Transaction::from(serde_json::from_value::<SignedTransfer>(body).expect(wrong))
            }
            Function::Mint(_) => {
                Transaction::from(serde_json::from_value::<SignedMint>(body).expect(wrong))
            }
            Function::Burn(_) => {
                Transaction::from(serde_json::from_value::<SignedBurn>(body).expect(wrong))
            }
            Function::Lock(_) => {
                Transaction::from(serde_json::from_value::<SignedLock>(body).expect(wrong))
            }
            _ => unreachable!("the strategy is of public functions"),
        };
        prop_assert_eq!(back, tx);
    }
}

/// Computed apart from this code, with Python's hashlib. Other values mean another format, in
/// which every signature made so far is void.
#[test]
fn id_and_sighash_are_frozen() {
    let transfer = TransferPublic {
        sender: [1; 32],
        nonce: 7,
        recipient: [2; 32],
        amount_units: 12_345,
    };
    let payload = terms().payload(Function::TransferPublic(transfer));
    assert_eq!(payload.encode().len(), 136);
    let id = "7db24216b64d28d34c82557c7844dc9f4ff01b19013c705ed1bade90d6d12397";
    assert_eq!(payload.id().to_string(), id);
    let sighash = "5a008e6ecc017382ae01a2c8102a2a5d254b943ae35a02dee6b8387629947805";
    assert_eq!(payload.sighash().to_string(), sighash);
}

#[test]
fn the_id_is_the_payloads_and_the_witness_id_is_not() {
    let key = SecretKey::from_bytes(KeyKind::Alpha, &[5; 32]).expect("any seed");
    let tx = sign_transfer(&key, &terms(), 0, AlphaAddress([2; 32]), 9).expect("own key");
    let mut other = tx.clone();
    other.witness = Witness::Account([1; 64]);
    assert_eq!(tx.id(), other.id());
    assert_ne!(tx.witness_id(), other.witness_id());
    assert_ne!(tx.id(), tx.payload.sighash(), "an id is no message to sign");
    let next = sign_transfer(&key, &terms(), 1, AlphaAddress([2; 32]), 9).expect("own key");
    assert_ne!(tx.id(), next.id());
}

#[test]
fn signing_needs_the_right_key() {
    let delta = SecretKey::from_bytes(KeyKind::Delta, &[5; 32]).expect("in range");
    let refused = sign_lock(&delta, &terms(), 0, EvmAddress([1; 20]), 5);
    assert_eq!(refused, Err(SignError::WrongKind));
    let key = SecretKey::from_bytes(KeyKind::Alpha, &[5; 32]).expect("any seed");
    let burn = Burn {
        sender: [1; 32],
        nonce: 0,
        amount_units: 5,
    };
    assert_eq!(
        sign(&key, &terms(), Function::Burn(burn)),
        Err(SignError::NotTheSender)
    );
    let order = MintOrder {
        order_nonce: 1,
        recipient: [1; 32],
        amount_units: 5,
        reason_hash: Hash::ZERO,
    };
    assert_eq!(
        sign(&key, &terms(), Function::Mint(order)),
        Err(SignError::NotAnAccounts)
    );
}

#[test]
fn a_second_witness_section_is_refused() {
    let key = SecretKey::from_bytes(KeyKind::Alpha, &[5; 32]).expect("any seed");
    let tx = sign_transfer(&key, &terms(), 0, AlphaAddress([2; 32]), 9).expect("own key");
    let Witness::Account(signature) = tx.witness else {
        unreachable!("a transfer is signed by its account")
    };
    let with_sections = |kinds: &[u8]| {
        let mut w = Writer::new();
        w.raw(&tx.payload.encode());
        w.list(kinds, |w, kind| {
            w.u8(*kind).bytes(&signature);
        });
        Transaction::decode(&w.finish()).map_err(|refusal| refusal.code())
    };
    assert_eq!(with_sections(&[1]), Ok(tx.clone()));
    for kinds in [&[][..], &[2], &[3], &[1, 3], &[1, 1], &[3, 1], &[1, 2, 3]] {
        assert_eq!(with_sections(kinds), Err("INVALID_REQUEST"), "{kinds:?}");
    }
}
