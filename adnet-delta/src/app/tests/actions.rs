//! Contracts write to programs through the action log: exactly what succeeded, exactly once.

use super::contracts::{call, deploy_forwarder, deploy_reverting_forwarder, scene};
use super::*;
use crate::abi::decode_with_bytes;
use crate::attest::{ATTEST_ADDRESS, FEE_POOL_ADDRESS, abi};
use crate::evm::simulate;
use crate::programs::actions::{action_of, applied_log, send_calldata};
use crate::programs::{ACTION_LOG_ADDRESS, DX_ADDRESS, PROGRAMS};
use alloy_consensus::{SignableTransaction, TxEip7702, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip7702::Authorization;
use alloy_primitives::keccak256;

const RECIPIENT: [u8; 32] = [0xcd; 32];

fn unlock_action() -> Bytes {
    send_calldata(&ATTEST_ADDRESS, &abi::unlock_calldata(&RECIPIENT))
}

/// Why the last log says that an action was refused.
fn refusal(made: &Made) -> String {
    let log = made.receipts[0].logs.last().expect("a log");
    let topic = keccak256("ActionRefused(address,address,uint256,string)");
    assert_eq!((log.address, log.topics()[0]), (ACTION_LOG_ADDRESS, topic));
    let (_, reason) = decode_with_bytes(&log.data.data, 200).expect("index and reason");
    String::from_utf8(reason.to_vec()).expect("text")
}

#[test]
fn a_contract_unlocks_exactly_its_value_exactly_once() {
    let mut chain = Chain::new(dev_genesis());
    let before = chain.app.view().supply();
    let contract = deploy_forwarder(&mut chain, ACTION_LOG_ADDRESS, 0xf1, true);
    let made = chain.call(0, contract, wei(12), unlock_action());
    let [sent] = &made.outbox[..] else {
        panic!("one message")
    };
    let payload = Payload::Unlock {
        recipient: RECIPIENT,
        amount_units: 12,
    };
    assert_eq!((sent.sequence, &sent.payload), (1, &payload));
    let [action, unlock, applied] = &made.receipts[0].logs[..] else {
        panic!("{:?}", made.receipts[0].logs)
    };
    let action = action_of(action).expect("an action");
    assert_eq!((action.sender, action.value_wei), (contract, wei(12)));
    assert_eq!(*unlock, abi::unlock_log(1, RECIPIENT, 12));
    assert_eq!(*applied, applied_log(&action, 0));
    let after = chain.app.view().supply();
    assert_eq!(after.burned_total_units, before.burned_total_units + 12);
    for address in [contract, ACTION_LOG_ADDRESS, ATTEST_ADDRESS] {
        assert_eq!(chain.balance(address), U256::ZERO);
    }
    // The same by a transaction straight to the log: the sender of the action is the account.
    let made = chain.call(0, ACTION_LOG_ADDRESS, wei(3), unlock_action());
    assert_eq!(made.outbox[0].sequence, 2);
    let action = action_of(&made.receipts[0].logs[0]).expect("an action");
    assert_eq!(action.sender, address(0));
}

#[test]
fn a_refused_action_says_why_and_gives_its_value_back() {
    let mut chain = Chain::new(dev_genesis());
    let contract = deploy_forwarder(&mut chain, ACTION_LOG_ADDRESS, 0xf1, true);
    let supply = chain.app.view().supply();
    let odd = wei(1) + U256::from(1);
    let made = chain.call(0, contract, odd, unlock_action());
    assert!(made.receipts[0].success && made.outbox.is_empty());
    assert!(refusal(&made).contains("not a multiple of 10^14"));
    assert_eq!(
        chain.balance(contract),
        odd,
        "the value is its sender's again"
    );
    let to = contracts::word(address(1));
    let transfer = contracts::calldata("transfer(address,uint256)", &[to, U256::from(1)]);
    let made = chain.call(
        0,
        contract,
        U256::ZERO,
        send_calldata(&DX_ADDRESS, &transfer),
    );
    assert!(refusal(&made).contains("not transferable"));
    assert_eq!(chain.app.view().supply(), supply);
}

#[test]
fn what_reverts_leaves_no_action() {
    let mut chain = Chain::new(dev_genesis());
    let reverting = deploy_reverting_forwarder(&mut chain, ACTION_LOG_ADDRESS);
    let outer = deploy_forwarder(&mut chain, reverting, 0xf1, true);
    // An inner frame that reverts, in a transaction that succeeds.
    let made = chain.call(0, outer, wei(5), unlock_action());
    assert!(made.receipts[0].success && made.receipts[0].logs.is_empty());
    assert!(made.outbox.is_empty());
    assert_eq!(chain.balance(outer), wei(5));
    // The whole transaction.
    let made = chain.call(0, reverting, wei(5), unlock_action());
    assert!(!made.receipts[0].success && made.outbox.is_empty());
    // Calls of all other kinds, to each program.
    for (opcode, has_value) in [(0xf2u8, true), (0xf4, false), (0xfa, false)] {
        let contract = deploy_forwarder(&mut chain, ACTION_LOG_ADDRESS, opcode, has_value);
        let made = chain.call(0, contract, wei(2), unlock_action());
        let view = chain.app.view();
        let said = view.state.storage(&contract, &U256::ZERO);
        assert_eq!(said, U256::from(1), "{opcode:#x} failed");
        assert!(made.receipts[0].logs.is_empty() && made.outbox.is_empty());
    }
}

#[test]
fn malformed_actions_revert_at_once() {
    let mut chain = Chain::new(dev_genesis());
    let good = unlock_action();
    let nested = send_calldata(&ACTION_LOG_ADDRESS, &good);
    let read = send_calldata(&ATTEST_ADDRESS, &abi::SUPPLY[..]);
    let stranger = send_calldata(&address(1), &abi::unlock_calldata(&RECIPIENT));
    let long = send_calldata(&ATTEST_ADDRESS, &[7; 1025]);
    let cases: [(Bytes, &str); 6] = [
        (good.slice(..good.len() - 1), "the calldata is not send"),
        (long, "the calldata is longer than any function takes"),
        (Bytes::new(), "the calldata is not send"),
        (nested, "no such action"),
        (read, "no such action"),
        (stranger, "no such action"),
    ];
    for (data, reason) in cases {
        let said = contracts::simulate(&chain, address(0), ACTION_LOG_ADDRESS, U256::ZERO, &data);
        let said = said.expect_err("the simulation says the same");
        assert!(said.contains(reason), "{said}");
        assert!(!chain.call(0, ACTION_LOG_ADDRESS, wei(1), data).receipts[0].success);
    }
}

#[test]
fn an_estimate_is_enough_for_a_call_with_actions() {
    let mut chain = Chain::new(dev_genesis());
    let contract = deploy_forwarder(&mut chain, ACTION_LOG_ADDRESS, 0xf1, true);
    let simulated = call(address(0), contract, wei(4), &unlock_action());
    let gas = simulate::estimate(&scene(&chain), &simulated).expect("an estimate");
    let envelope = chain.envelope(chain.nonce(0), gas);
    let signed = tx::sign_call(&secret(0), envelope, contract, wei(4), unlock_action());
    let made = chain.block(&[chain.verified(&signed.expect("signed"))], &[]);
    assert_eq!(made.outbox.len(), 1, "{gas} gas suffice");
    assert!(gas < made.receipts[0].gas_used * 12 / 10);
}

#[test]
fn an_account_that_delegates_to_a_program_gets_nothing_of_it() {
    let mut chain = Chain::new(dev_genesis());
    let key = secp256k1::SecretKey::from_byte_array(*secret(1).expose()).expect("a valid key");
    let sender = secp256k1::SecretKey::from_byte_array(*secret(0).expose()).expect("a valid key");
    let chain_id = chain.app.rules.chain_id;
    let before = chain.app.view();
    for (program, authority_nonce) in PROGRAMS.into_iter().zip(0..) {
        let authorization = Authorization {
            chain_id: U256::from(chain_id),
            address: program,
            nonce: authority_nonce,
        };
        let signature = tx::sign_digest(&key, &authorization.signature_hash());
        let data = match program {
            ACTION_LOG_ADDRESS => unlock_action(),
            _ => abi::unlock_calldata(&RECIPIENT),
        };
        let tx = TxEip7702 {
            chain_id,
            nonce: chain.nonce(0),
            gas_limit: 200_000,
            max_fee_per_gas: 4_000_000_000,
            to: address(1),
            value: wei(2),
            input: data,
            authorization_list: vec![authorization.into_signed(signature)],
            ..TxEip7702::default()
        };
        let signature = tx::sign_digest(&sender, &tx.signature_hash());
        let raw = TxEnvelope::from(tx.into_signed(signature)).encoded_2718();
        let hash = keccak256(&raw);
        let made = chain.block(&[chain.verified(&SignedTx { raw, hash })], &[]);
        assert!(!made.receipts[0].success, "{program}");
        assert!(made.outbox.is_empty() && made.receipts[0].logs.is_empty());
    }
    let after = chain.app.view();
    assert_eq!(after.supply(), before.supply());
}

#[test]
fn what_a_contract_would_burn_by_destroying_itself_goes_to_the_fee_pool() {
    let mut chain = Chain::new(dev_genesis());
    // Creation code: ADDRESS, SELFDESTRUCT.
    let envelope = chain.envelope(0, 200_000);
    let signed = tx::sign_deploy(
        &secret(0),
        envelope,
        wei(7),
        Bytes::from_static(&[0x30, 0xff]),
    );
    let made = chain.block(&[chain.verified(&signed.expect("signed"))], &[]);
    let receipt = &made.receipts[0];
    assert!(receipt.success);
    let fee = U256::from(receipt.effective_gas_price_wei) * U256::from(receipt.gas_used);
    assert_eq!(chain.balance(FEE_POOL_ADDRESS), fee + wei(7));
    let contract = receipt.contract.expect("an address");
    assert_eq!(chain.balance(contract), U256::ZERO);
    // With an heir nothing is left over: PUSH1 9, SELFDESTRUCT.
    let before = chain.balance(FEE_POOL_ADDRESS);
    let envelope = chain.envelope(1, 200_000);
    let code = Bytes::from_static(&[0x60, 0x09, 0xff]);
    let signed = tx::sign_deploy(&secret(0), envelope, wei(7), code);
    let made = chain.block(&[chain.verified(&signed.expect("signed"))], &[]);
    let receipt = &made.receipts[0];
    let fee = U256::from(receipt.effective_gas_price_wei) * U256::from(receipt.gas_used);
    assert_eq!(chain.balance(FEE_POOL_ADDRESS), before + fee);
    // The refund of a refused action to a contract that is gone by then ends there as well: creation
    // code that sends an action with an odd value, and then destroys itself in favour of itself.
    let action = unlock_action();
    let len = u8::try_from(action.len()).expect("short");
    let mut code = vec![0x60, len, 0x60, 0x29, 0x5f, 0x39]; // PUSH1 len, PUSH1 41, PUSH0, CODECOPY
    code.extend_from_slice(&[0x5f, 0x5f, 0x60, len, 0x5f, 0x34, 0x73]);
    code.extend_from_slice(ACTION_LOG_ADDRESS.as_slice());
    code.extend_from_slice(&[0x5a, 0xf1, 0x50, 0x30, 0xff]);
    code.resize(0x29, 0);
    code.extend_from_slice(&action);
    let before = chain.balance(FEE_POOL_ADDRESS);
    let odd = wei(1) + U256::from(5);
    let envelope = chain.envelope(2, 400_000);
    let signed = tx::sign_deploy(&secret(0), envelope, odd, code.into());
    let made = chain.block(&[chain.verified(&signed.expect("signed"))], &[]);
    let receipt = &made.receipts[0];
    assert!(receipt.success && refusal(&made).contains("not a multiple"));
    let fee = U256::from(receipt.effective_gas_price_wei) * U256::from(receipt.gas_used);
    assert_eq!(chain.balance(FEE_POOL_ADDRESS), before + fee + odd);
}
