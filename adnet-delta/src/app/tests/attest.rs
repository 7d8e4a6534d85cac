//! Locks mint, unlocks burn, nothing else does either.

use super::*;
use crate::attest::{ATTEST_ADDRESS, abi};

fn unlock(chain: &Chain, nonce: u64, value: U256, calldata: Bytes) -> Verified {
    let envelope = chain.envelope(nonce, tx::UNLOCK_GAS_LIMIT);
    let signed = tx::sign_call(&secret(0), envelope, ATTEST_ADDRESS, value, calldata);
    chain.verified(&signed.expect("signed"))
}

#[test]
fn locks_mint_in_order_and_exactly_once() {
    let mut chain = Chain::new(dev_genesis());
    let to = Address::repeat_byte(5);
    let locks = [
        chain.lock(to, 70),
        chain.lock(to, 0),
        chain.lock(address(0), 3),
    ];
    chain.block(&[], &locks);
    assert_eq!(chain.balance(to), wei(70));
    assert_eq!(chain.app.last_consumed(), 3);

    let next = chain.lock(to, 1);
    let later = chain.lock(to, 1);
    let unlock = Attestation::of_block(
        ChainId::Delta,
        1,
        &[OutboundMessage {
            sequence: 4,
            payload: Payload::Unlock {
                recipient: [0; 32],
                amount_units: 1,
            },
        }],
    );
    let mut foreign = unlock[0].clone();
    foreign.from = ChainId::Alpha;
    let mut huge = next.clone();
    huge.message.payload = Payload::Lock {
        recipient: [1; 20],
        amount_units: u64::MAX,
    };
    let cases: [(&[Attestation], &str); 7] = [
        (&locks[..1], "ATTESTATION_OUT_OF_ORDER"),
        (std::slice::from_ref(&later), "ATTESTATION_OUT_OF_ORDER"),
        (&[next.clone(), next.clone()], "ATTESTATION_OUT_OF_ORDER"),
        (&unlock, "WRONG_ATTESTATION_CHAIN"),
        (std::slice::from_ref(&foreign), "WRONG_ATTESTATION_KIND"),
        (std::slice::from_ref(&huge), "SUPPLY_OVERFLOW"),
        (&vec![next.clone(); 257], "TOO_MANY_ATTESTATIONS"),
    ];
    for (attestations, code) in cases {
        let executed = chain
            .app
            .execute(&chain.store, &chain.context(), &[], attestations);
        let invalid = executed
            .expect("no store error")
            .err()
            .expect("it is invalid");
        assert_eq!(invalid.code, code);
    }
    // A proposer takes what is in order and leaves the rest.
    let context = chain.context();
    let offered = [next.clone(), later, locks[0].clone()];
    let proposed = chain
        .app
        .propose(&chain.store, &context, &[], &offered)
        .expect("no store error");
    assert_eq!(proposed.attestations, 2);
}

#[test]
fn an_unlock_burns_logs_and_leaves_for_alpha() {
    let mut chain = Chain::new(dev_genesis());
    let before = chain.app.view().supply();
    let recipient = [0xab; 32];
    let txs = [
        unlock(&chain, 0, wei(50), abi::unlock_calldata(&recipient)),
        unlock(&chain, 1, wei(7), abi::unlock_calldata(&recipient)),
    ];
    let made = chain.block(&txs, &[]);
    assert_eq!(made.included, [0, 1]);
    let amounts: Vec<(u64, u64)> = made
        .outbox
        .iter()
        .map(|m| (m.sequence, m.payload.amount_units().expect("an unlock")))
        .collect();
    assert_eq!(amounts, [(1, 50), (2, 7)]);
    for (receipt, message) in made.receipts.iter().zip(&made.outbox) {
        assert!(receipt.success);
        let [log] = &receipt.logs[..] else {
            panic!("one log")
        };
        let amount_units = message.payload.amount_units().expect("an unlock");
        assert_eq!(
            *log,
            abi::unlock_log(message.sequence, recipient, amount_units)
        );
    }
    assert_eq!(made.receipts[1].first_log, 1);
    let after = chain.app.view().supply();
    assert_eq!(after.burned_total_units, before.burned_total_units + 57);
    assert_eq!(
        (after.last_sent, after.minted_total_units),
        (2, before.minted_total_units)
    );
    assert_eq!(chain.balance(ATTEST_ADDRESS), U256::ZERO);

    // The sequence goes on in the next block, and over a restart.
    chain.app = chain.reopen();
    let more = unlock(&chain, 2, wei(1), abi::unlock_calldata(&recipient));
    assert_eq!(chain.block(&[more], &[]).outbox[0].sequence, 3);
}

#[test]
fn wrong_unlocks_revert_with_a_reason_and_burn_nothing() {
    let mut chain = Chain::new(dev_genesis());
    let supply = chain.app.view().supply();
    let good = abi::unlock_calldata(&[1; 32]);
    let cases: [(U256, Bytes, &str); 5] = [
        (U256::ZERO, good.clone(), "send the amount"),
        (
            wei(1) + U256::from(1),
            good.clone(),
            "not a multiple of 10^14",
        ),
        (wei(1), Bytes::new(), "not unlock(bytes32)"),
        (wei(1), good.slice(..35), "not unlock(bytes32)"),
        (
            wei(1),
            Bytes::from_static(&[1, 2, 3, 4]),
            "not unlock(bytes32)",
        ),
    ];
    for (nonce, (value, calldata, reason)) in cases.into_iter().enumerate() {
        let said = contracts::simulate(&chain, address(0), ATTEST_ADDRESS, value, &calldata);
        let said = said.expect_err("the simulation says the same");
        assert!(said.contains(reason), "{said}");
        let tx = unlock(&chain, nonce as u64, value, calldata);
        let made = chain.block(&[tx], &[]);
        assert!(!made.receipts[0].success, "{reason}");
        assert!(made.receipts[0].logs.is_empty() && made.outbox.is_empty());
        assert!(
            made.receipts[0].gas_used < tx::UNLOCK_GAS_LIMIT,
            "a revert gives gas back"
        );
    }
    assert_eq!(chain.app.view().supply(), supply);
}

#[test]
fn only_a_transaction_itself_can_unlock() {
    let mut chain = Chain::new(dev_genesis());
    // Calls the attest account with the value and calldata that it gets itself, by each kind of
    // call in turn, and stores at slot 0 whether that worked (plus one).
    for (opcode, has_value) in [(0xf1u8, true), (0xf2, true), (0xf4, false), (0xfa, false)] {
        let contract = contracts::deploy_forwarder(&mut chain, ATTEST_ADDRESS, opcode, has_value);
        let nonce = chain
            .app
            .view()
            .state
            .account(&address(0))
            .expect("it exists")
            .nonce;
        let calldata = abi::unlock_calldata(&[1; 32]);
        let envelope = chain.envelope(nonce, 300_000);
        let signed = tx::sign_call(&secret(0), envelope, contract, wei(3), calldata);
        let made = chain.block(&[chain.verified(&signed.expect("signed"))], &[]);
        assert!(made.receipts[0].success, "the outer call succeeds");
        assert!(made.outbox.is_empty(), "{opcode:#x}");
        let view = chain.app.view();
        assert_eq!(
            view.state.storage(&contract, &U256::ZERO),
            U256::from(1),
            "{opcode:#x} failed"
        );
        assert_eq!(chain.balance(contract), wei(3), "the value came back");
    }
    // A plain transfer to a system account fails as well, and only its fee is gone.
    for system in crate::programs::PROGRAMS {
        let nonce = chain
            .app
            .view()
            .state
            .account(&address(0))
            .expect("it exists")
            .nonce;
        let signed = tx::sign_transfer(&secret(0), chain.envelope(nonce, 100_000), system, wei(1));
        let made = chain.block(&[chain.verified(&signed.expect("signed"))], &[]);
        assert!(!made.receipts[0].success);
        assert!(
            made.receipts[0].gas_used < 60_000,
            "a revert gives gas back"
        );
    }
}
