//! Every refusal by name, every type accepted, and no panic on any bytes.

use super::*;
use crate::app::tests::{dev_genesis, secret};
use crate::tx::{Envelope, Fees, sign_digest, sign_transfer};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{B256, Bytes, Signature, TxKind};
use proptest::prelude::*;

fn rules() -> Rules {
    Rules::new(&dev_genesis())
}

fn key() -> secp256k1::SecretKey {
    secp256k1::SecretKey::from_byte_array(*secret(0).expose()).expect("a valid key")
}

fn signed<T: SignableTransaction<Signature>>(tx: T) -> Vec<u8>
where
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = sign_digest(&key(), &tx.signature_hash());
    TxEnvelope::from(tx.into_signed(signature)).encoded_2718()
}

fn plain() -> TxEip1559 {
    TxEip1559 {
        chain_id: rules().chain_id,
        nonce: 3,
        gas_limit: 21_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 5,
        to: TxKind::Call(Address::repeat_byte(1)),
        value: U256::from(1),
        ..TxEip1559::default()
    }
}

fn code(raw: &[u8]) -> &'static str {
    verify(&rules(), raw).expect_err("it is refused").code
}

fn refused(change: impl FnOnce(&mut TxEip1559)) -> &'static str {
    let mut tx = plain();
    change(&mut tx);
    code(&signed(tx))
}

#[test]
fn all_four_types_are_taken_with_their_sender_and_priority() {
    let chain_id = rules().chain_id;
    let to = TxKind::Call(Address::repeat_byte(1));
    let item = AccessListItem {
        address: Address::ZERO,
        storage_keys: vec![B256::ZERO],
    };
    let access_list = AccessList(vec![item]);
    let legacy = TxLegacy {
        chain_id: Some(chain_id),
        gas_price: 2_000_000_000,
        gas_limit: 21_000,
        to,
        ..TxLegacy::default()
    };
    let eip2930 = TxEip2930 {
        chain_id,
        gas_price: 2_000_000_000,
        gas_limit: 50_000,
        to,
        access_list: access_list.clone(),
        ..TxEip2930::default()
    };
    let authorization = Authorization {
        chain_id: U256::from(chain_id),
        address: Address::repeat_byte(9),
        nonce: 0,
    };
    let signature = sign_digest(&key(), &authorization.signature_hash());
    let eip7702 = TxEip7702 {
        chain_id,
        gas_limit: 100_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 5,
        to: Address::repeat_byte(1),
        authorization_list: vec![authorization.into_signed(signature)],
        ..TxEip7702::default()
    };
    let sender = crate::tx::address(&secret(0)).expect("a Delta key");
    let floor = u128::from(rules().min_base_fee_wei);
    let above_floor = 2_000_000_000 - floor;
    for (raw, tip) in [
        (signed(legacy), above_floor),
        (signed(eip2930), above_floor),
        (signed(plain()), 5),
        (signed(eip7702), 5),
    ] {
        let tx = verify(&rules(), &raw).expect("it is valid");
        assert_eq!(tx.sender[12..], sender[..]);
        assert_eq!(tx.id.0, keccak256(&raw).0);
        assert_eq!(tx.bid.at(floor), Some(tip));
        assert_eq!(tx.inner.env.caller, sender);
        for authorization in &tx.inner.env.authorization_list {
            let recovered = authorization.as_ref().right().expect("recovered in verify");
            assert_eq!(recovered.authority(), Some(sender));
        }
    }
}

#[test]
fn refusals_have_names() {
    assert_eq!(refused(|tx| tx.chain_id += 1), "WRONG_CHAIN_ID");
    assert_eq!(refused(|tx| tx.gas_limit = 20_999), "INTRINSIC_GAS_TOO_LOW");
    assert_eq!(refused(|tx| tx.gas_limit = u64::MAX), "GAS_LIMIT_TOO_HIGH");
    assert_eq!(refused(|tx| tx.nonce = u64::MAX), "NONCE_OVERFLOW");
    assert_eq!(
        refused(|tx| tx.max_priority_fee_per_gas = 1 << 40),
        "TIP_ABOVE_FEE_CAP"
    );
    assert_eq!(refused(|tx| tx.max_fee_per_gas = 99_999_999), "FEE_TOO_LOW");
    assert_eq!(refused(|tx| tx.value = U256::MAX), "COST_OVERFLOW");
    let long = |tx: &mut TxEip1559| {
        (tx.to, tx.gas_limit) = (TxKind::Create, 10_000_000);
        tx.input = Bytes::from(vec![0; MAX_INITCODE_SIZE + 1]);
    };
    assert_eq!(refused(long), "INITCODE_TOO_LARGE");
    let unprotected = TxLegacy {
        gas_price: 2_000_000_000,
        gas_limit: 21_000,
        to: TxKind::Call(Address::ZERO),
        ..TxLegacy::default()
    };
    assert_eq!(code(&signed(unprotected)), "CHAIN_ID_REQUIRED");
    let no_authority = TxEip7702 {
        chain_id: rules().chain_id,
        gas_limit: 100_000,
        max_fee_per_gas: 2_000_000_000,
        ..TxEip7702::default()
    };
    assert_eq!(code(&signed(no_authority)), "EMPTY_AUTHORIZATION_LIST");
    assert_eq!(code(&[]), "INVALID_TRANSACTION");
    assert_eq!(code(&[3, 0xc0]), "UNSUPPORTED_TX_TYPE");
    assert_eq!(code(&[5, 0xc0]), "UNSUPPORTED_TX_TYPE");
    assert_eq!(code(&[0x7f]), "UNSUPPORTED_TX_TYPE");
    assert_eq!(code(&vec![2; MAX_TX_BYTES + 1]), "TX_TOO_LARGE");
    let raw = signed(plain());
    assert_eq!(code(&[&raw[..], &[0]].concat()), "INVALID_TRANSACTION");
    assert_eq!(code(&raw[..raw.len() - 1]), "INVALID_TRANSACTION");
}

#[test]
fn signatures_with_high_s_or_out_of_range_are_refused() {
    let tx = plain();
    let low = sign_digest(&key(), &tx.signature_hash());
    let order: U256 = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
        .parse()
        .expect("the order of the group");
    let high = Signature::new(low.r(), order - low.s(), !low.v());
    let zero = Signature::new(U256::ZERO, U256::ZERO, false);
    let outside = Signature::new(order, U256::from(1), false);
    for signature in [high, zero, outside] {
        let raw = TxEnvelope::from(tx.clone().into_signed(signature)).encoded_2718();
        assert_eq!(code(&raw), "INVALID_SIGNATURE");
    }
}

#[test]
fn an_authority_with_a_bad_signature_has_no_effect_and_does_no_harm() {
    let authorization = Authorization {
        chain_id: U256::ZERO,
        address: Address::ZERO,
        nonce: 0,
    };
    let bad = Signature::new(U256::from(1), U256::MAX, false);
    let tx = TxEip7702 {
        chain_id: rules().chain_id,
        gas_limit: 100_000,
        max_fee_per_gas: 2_000_000_000,
        authorization_list: vec![authorization.into_signed(bad)],
        ..TxEip7702::default()
    };
    let tx = verify(&rules(), &signed(tx)).expect("the transaction itself is valid");
    let recovered = tx.inner.env.authorization_list[0]
        .as_ref()
        .right()
        .expect("recovered");
    assert_eq!(recovered.authority(), None);
}

proptest! {
    #[test]
    fn no_bytes_make_verification_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        with: u8,
    ) {
        let _ = verify(&rules(), &bytes);
        let fees = Fees {
            gas_limit: 21_000,
            max_fee_per_gas_wei: 2_000_000_000,
            max_priority_fee_per_gas_wei: 1,
        };
        let envelope = Envelope { chain_id: rules().chain_id, nonce: 0, fees };
        let transfer = sign_transfer(&secret(0), envelope, Address::ZERO, U256::from(1));
        let mut raw = transfer.expect("a Delta key").raw;
        let whole = verify(&rules(), &raw).expect("valid");
        let at = at.index(raw.len());
        raw[at] = with;
        if let Ok(bent) = verify(&rules(), &raw) {
            // Only another sender or the very same transaction can come out of a changed byte.
            prop_assert!(bent.id != whole.id || bent.sender == whole.sender);
        }
    }
}

#[test]
fn many_get_the_verdicts_that_each_gets_alone() {
    let good: Vec<Vec<u8>> = (0..40)
        .map(|nonce| {
            let nonced = TxEip1559 { nonce, ..plain() };
            signed(nonced)
        })
        .collect();
    let bad = vec![2, 1, 1];
    for count in [0, 1, 15, 16, 40] {
        for place in [None, Some(0), Some(count / 2)] {
            let mut raws: Vec<&[u8]> = good[..count].iter().map(Vec::as_slice).collect();
            if let Some(place) = place.filter(|place| *place < count) {
                raws[place] = &bad;
            }
            let alone: Vec<_> = raws.iter().map(|raw| verify(&rules(), raw)).collect();
            let ids = |all: &[VerifyResult<DeltaTx>]| -> Vec<Option<Hash>> {
                all.iter()
                    .map(|one| one.as_ref().ok().map(|tx| tx.id))
                    .collect()
            };
            let all = verify_all(&rules(), &raws, Until::End);
            assert_eq!(ids(&all), ids(&alone));
            let until_bad = verify_all(&rules(), &raws, Until::FirstInvalid);
            let expected = alone
                .iter()
                .position(Result::is_err)
                .map_or(count, |at| at + 1);
            assert_eq!(ids(&until_bad), ids(&alone)[..expected]);
        }
    }
}
