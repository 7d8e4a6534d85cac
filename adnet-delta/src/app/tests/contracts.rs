//! Contracts: deployed, called, reverted, out of gas; simulated and estimated.

use super::*;
use crate::abi;
use crate::evm::simulate::{self, Call, EstimateError, Outcome, Scene};
use alloy_consensus::{SignableTransaction, TxEip7702, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Bytes, keccak256};

/// `Token.sol`, compiled; its constructor takes the supply.
const TOKEN: &str = include_str!("fixtures/token.bin");

fn selector(signature: &str) -> [u8; 4] {
    keccak256(signature)[..4].try_into().expect("four bytes")
}

pub fn calldata(signature: &str, words: &[U256]) -> Bytes {
    let words = words.iter().flat_map(|word| word.to_be_bytes::<32>());
    selector(signature).into_iter().chain(words).collect()
}

pub fn word(address: Address) -> U256 {
    U256::from_be_bytes(address.into_word().0)
}

pub fn call(from: Address, to: Address, value: U256, data: &Bytes) -> Call {
    Call {
        from,
        to: Some(to),
        value,
        data: data.clone(),
        ..Call::default()
    }
}

/// Output of a simulated call, or the reason of its failure.
pub fn simulate(
    chain: &Chain,
    from: Address,
    to: Address,
    value: U256,
    data: &Bytes,
) -> Result<Bytes, String> {
    match simulate::call(&scene(chain), &call(from, to, value, data)) {
        Ok(Outcome::Success { output, .. }) => Ok(output),
        Ok(Outcome::Revert { output, .. }) => Err(abi::decode_reason(&output).unwrap_or_default()),
        Ok(Outcome::Halt { reason, .. }) => Err(reason),
        Err(refusal) => Err(refusal.to_string()),
    }
}

/// After the last block.
pub fn scene(chain: &Chain) -> Scene {
    let view = chain.app.view();
    let place = simulate::next_place(&view, chain.parent, chain.context().time_ms);
    let block = Default::default();
    Scene { view, place, block }
}

fn deploy(chain: &mut Chain, init_code: Bytes) -> Address {
    let nonce = chain
        .app
        .view()
        .state
        .account(&address(0))
        .map_or(0, |account| account.nonce);
    let envelope = chain.envelope(nonce, 5_000_000);
    let signed = tx::sign_deploy(&secret(0), envelope, U256::ZERO, init_code).expect("signed");
    let made = chain.block(&[chain.verified(&signed)], &[]);
    assert!(made.receipts[0].success, "it deploys");
    let contract = made.receipts[0]
        .contract
        .expect("a deployment has an address");
    assert_eq!(contract, address(0).create(nonce));
    contract
}

/// A contract whose code is `runtime`.
fn deploy_runtime(chain: &mut Chain, runtime: &[u8]) -> Address {
    let len = u8::try_from(runtime.len()).expect("a short program");
    // PUSH1 len, DUP1, PUSH1 11, PUSH1 0, CODECOPY, PUSH1 0, RETURN
    let mut init = vec![
        0x60, len, 0x80, 0x60, 0x0b, 0x5f, 0x39, 0x5f, 0xf3, 0x00, 0x00,
    ];
    init.extend_from_slice(runtime);
    deploy(chain, init.into())
}

/// Code that calls `target` with the calldata (and value) that it gets itself; the success is left
/// on the stack.
fn forwarding(target: Address, opcode: u8, has_value: bool) -> Vec<u8> {
    // CALLDATASIZE, PUSH0, PUSH0, CALLDATACOPY, PUSH0, PUSH0, CALLDATASIZE, PUSH0
    let mut code = vec![0x36, 0x5f, 0x5f, 0x37, 0x5f, 0x5f, 0x36, 0x5f];
    if has_value {
        code.push(0x34); // CALLVALUE
    }
    code.push(0x73); // PUSH20
    code.extend_from_slice(target.as_slice());
    code.extend_from_slice(&[0x5a, opcode]); // GAS
    code
}

/// Forwards what it gets and stores success + 1 at slot 0.
pub fn deploy_forwarder(
    chain: &mut Chain,
    target: Address,
    opcode: u8,
    has_value: bool,
) -> Address {
    let mut code = forwarding(target, opcode, has_value);
    // PUSH1 1, ADD, PUSH0, SSTORE
    code.extend_from_slice(&[0x60, 0x01, 0x01, 0x5f, 0x55]);
    deploy_runtime(chain, &code)
}

/// Forwards what it gets and takes it back.
pub fn deploy_reverting_forwarder(chain: &mut Chain, target: Address) -> Address {
    let mut code = forwarding(target, 0xf1, true);
    // POP, PUSH0, PUSH0, REVERT
    code.extend_from_slice(&[0x50, 0x5f, 0x5f, 0xfd]);
    deploy_runtime(chain, &code)
}

/// Asks `target` (STATICCALL) what it is asked itself and stores the first word of the answer at slot 0.
pub fn deploy_reader(chain: &mut Chain, target: Address) -> Address {
    // As above, but with PUSH1 32, PUSH0 as the place for the answer.
    let mut code = vec![0x36, 0x5f, 0x5f, 0x37, 0x60, 0x20, 0x5f, 0x36, 0x5f, 0x73];
    code.extend_from_slice(target.as_slice());
    // GAS, STATICCALL, POP, PUSH0, MLOAD, PUSH0, SSTORE
    code.extend_from_slice(&[0x5a, 0xfa, 0x50, 0x5f, 0x51, 0x5f, 0x55]);
    deploy_runtime(chain, &code)
}

fn deploy_token(chain: &mut Chain) -> Address {
    let mut init = hex::decode(TOKEN.trim()).expect("the fixture is hex");
    init.extend_from_slice(&U256::from(1_000_000).to_be_bytes::<32>());
    deploy(chain, init.into())
}

#[test]
fn a_token_is_deployed_called_and_remembers() {
    let mut chain = Chain::new(dev_genesis());
    let token = deploy_token(&mut chain);
    let to = Address::repeat_byte(0x77);
    let transfer = calldata("transfer(address,uint256)", &[word(to), U256::from(25)]);
    let signed = tx::sign_call(
        &secret(0),
        chain.envelope(1, 100_000),
        token,
        U256::ZERO,
        transfer,
    );
    let made = chain.block(&[chain.verified(&signed.expect("signed"))], &[]);
    assert!(made.receipts[0].success);
    let [log] = &made.receipts[0].logs[..] else {
        panic!("one log")
    };
    assert_eq!(log.address, token);
    assert_eq!(
        log.topics()[0],
        keccak256("Transfer(address,address,uint256)")
    );
    let figures = history::figures(&chain.store, chain.height)
        .expect("decodes")
        .expect("exists");
    assert_eq!(figures.logs_bloom, made.receipts[0].bloom());

    chain.app = chain.reopen();
    let balance_of = calldata("balanceOf(address)", &[word(to)]);
    let output = simulate(&chain, Address::ZERO, token, U256::ZERO, &balance_of).expect("a view");
    assert_eq!(U256::from_be_slice(&output), U256::from(25));

    // Spending all of it clears a slot: the storage trie loses a leaf.
    let all = U256::from(1_000_000 - 25);
    let transfer = calldata("transfer(address,uint256)", &[word(to), all]);
    let signed = tx::sign_call(
        &secret(0),
        chain.envelope(2, 100_000),
        token,
        U256::ZERO,
        transfer,
    );
    assert!(
        chain
            .block(&[chain.verified(&signed.expect("signed"))], &[])
            .receipts[0]
            .success
    );
}

#[test]
fn a_failed_transaction_is_in_the_block_with_status_zero_and_pays() {
    let mut chain = Chain::new(dev_genesis());
    let token = deploy_token(&mut chain);
    let too_much = calldata("transfer(address,uint256)", &[word(address(1)), U256::MAX]);
    let core = calldata(
        "coreWrite(bytes,bool)",
        &[U256::from(64), U256::from(1), U256::ZERO],
    );
    let before = chain.balance(address(0));
    let envelope = chain.envelope(1, 100_000);
    let reverted = tx::sign_call(&secret(0), envelope, token, U256::ZERO, too_much);
    let envelope = chain.envelope(2, 22_200);
    let starved = tx::sign_call(&secret(0), envelope, token, U256::ZERO, core);
    let txs = [reverted, starved].map(|signed| chain.verified(&signed.expect("signed")));
    let made = chain.block(&txs, &[]);
    assert_eq!(made.included, [0, 1]);
    let [reverted, starved] = &made.receipts[..] else {
        panic!("two receipts")
    };
    assert!(!reverted.success && !starved.success);
    assert!(
        reverted.gas_used < 100_000,
        "a revert keeps the rest of the gas"
    );
    assert_eq!(starved.gas_used, 22_200, "running out takes all of it");
    assert_eq!(
        starved.cumulative_gas_used,
        reverted.gas_used + starved.gas_used
    );
    let fee = |r: &history::receipt::Receipt| {
        U256::from(r.effective_gas_price_wei) * U256::from(r.gas_used)
    };
    assert_eq!(
        before - chain.balance(address(0)),
        fee(reverted) + fee(starved)
    );
    assert_eq!(
        chain
            .app
            .view()
            .state
            .account(&address(0))
            .expect("it exists")
            .nonce,
        3
    );
}

#[test]
fn revert_reasons_come_through_and_estimates_suffice() {
    let mut chain = Chain::new(dev_genesis());
    let token = deploy_token(&mut chain);
    let failing = calldata("coreRead(uint32)", &[U256::from(1)]);
    assert!(simulate(&chain, address(0), token, U256::ZERO, &failing).is_err());

    let transfer = calldata(
        "transfer(address,uint256)",
        &[word(address(1)), U256::from(1)],
    );
    let simulated = call(address(0), token, U256::ZERO, &transfer);
    let gas = simulate::estimate(&scene(&chain), &simulated).expect("an estimate");
    let signed = tx::sign_call(
        &secret(0),
        chain.envelope(1, gas),
        token,
        U256::ZERO,
        transfer,
    );
    let made = chain.block(&[chain.verified(&signed.expect("signed"))], &[]);
    assert!(made.receipts[0].success, "{gas} gas suffice");
    assert!(
        gas < made.receipts[0].gas_used * 12 / 10,
        "and are not far off"
    );

    let scene = scene(&chain);
    let plain = call(address(0), address(1), wei(1), &Bytes::new());
    assert_eq!(simulate::estimate(&scene, &plain), Ok(21_000));
    let poor = Call {
        from: Address::repeat_byte(3),
        max_fee_per_gas_wei: 1,
        ..plain.clone()
    };
    assert!(matches!(
        simulate::estimate(&scene, &poor),
        Err(EstimateError::Refused(_))
    ));
    let tight = Call {
        gas: Some(21_500),
        ..simulated
    };
    let exceeds = EstimateError::Exceeds { allowance: 21_500 };
    assert_eq!(simulate::estimate(&scene, &tight), Err(exceeds));
}

#[test]
fn blockhash_reaches_the_last_256_blocks_over_a_restart() {
    let mut chain = Chain::new(dev_genesis());
    // PUSH0, CALLDATALOAD, BLOCKHASH, PUSH0, MSTORE, PUSH1 32, PUSH0, RETURN
    let runtime = [0x5f, 0x35, 0x40, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3];
    let contract = deploy_runtime(&mut chain, &runtime);
    let mut hashes = vec![Hash::ZERO, chain.parent];
    for _ in 0..260 {
        chain.block(&[], &[]);
        hashes.push(chain.parent);
    }
    chain.app = chain.reopen();
    let next = chain.height + 1;
    for height in [next - 1, next - 2, next - 256, next - 257, next] {
        let data = Bytes::from(U256::from(height).to_be_bytes::<32>());
        let said = simulate(&chain, address(0), contract, U256::ZERO, &data).expect("a view");
        let known = (next - 256..next).contains(&height);
        let expected = if known {
            hashes[height as usize]
        } else {
            Hash::ZERO
        };
        assert_eq!(said[..], expected.0, "height {height} in block {next}");
    }
}

#[test]
fn a_delegation_is_set_and_taken_back() {
    let mut chain = Chain::new(dev_genesis());
    // PUSH1 5, PUSH0, SSTORE
    let contract = deploy_runtime(&mut chain, &[0x60, 0x05, 0x5f, 0x55]);
    let key = secp256k1::SecretKey::from_byte_array(*secret(1).expose()).expect("a valid key");
    let sender = secp256k1::SecretKey::from_byte_array(*secret(0).expose()).expect("a valid key");
    let chain_id = chain.app.rules.chain_id;
    for (nonce, to) in [(0, contract), (1, Address::ZERO)] {
        let authorization = Authorization {
            chain_id: U256::from(chain_id),
            address: to,
            nonce,
        };
        let signature = tx::sign_digest(&key, &authorization.signature_hash());
        let tx = TxEip7702 {
            chain_id,
            nonce: 1 + nonce,
            gas_limit: 200_000,
            max_fee_per_gas: 4_000_000_000,
            to: address(1),
            authorization_list: vec![authorization.into_signed(signature)],
            ..TxEip7702::default()
        };
        let signature = tx::sign_digest(&sender, &tx.signature_hash());
        let raw = TxEnvelope::from(tx.into_signed(signature)).encoded_2718();
        let hash = keccak256(&raw);
        let made = chain.block(&[chain.verified(&SignedTx { raw, hash })], &[]);
        assert!(made.receipts[0].success);
        let view = chain.app.view();
        let account = view.state.account(&address(1)).expect("it exists");
        assert_eq!(account.nonce, nonce + 1);
        assert_eq!(account.code.is_some(), to == contract);
        assert_eq!(
            account.slot(&U256::ZERO),
            U256::from(5),
            "its code ran once, in its storage"
        );
    }
    // An account that delegates goes on sending.
    let transfer = chain.transfer(1, 2, Address::ZERO, wei(1));
    assert!(chain.block(&[transfer], &[]).receipts[0].success);
}
