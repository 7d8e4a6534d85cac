//! DX as wallets and contracts see it.

use super::contracts::{calldata, deploy_forwarder, deploy_reader, simulate, word};
use super::*;
use crate::abi::decode_string;
use crate::programs::actions::send_calldata;
use crate::programs::{ACTION_LOG_ADDRESS, DX_ADDRESS, dx};
use adnet_common::state_proof;

const WHOLE: u128 = 1_000_000_000_000_000_000;

fn transferable() -> Genesis {
    let mut genesis = dev_genesis();
    genesis.delta.dx_transferable = true;
    genesis
}

fn millions(count: u128) -> U256 {
    U256::from(count * 1_000_000 * WHOLE)
}

fn ask(chain: &Chain, signature: &str, words: &[U256]) -> Result<Bytes, String> {
    let data = calldata(signature, words);
    simulate(chain, Address::ZERO, DX_ADDRESS, U256::ZERO, &data)
}

fn balance(chain: &Chain, owner: Address) -> U256 {
    let said = ask(chain, "balanceOf(address)", &[word(owner)]).expect("a view");
    let said = U256::from_be_slice(&said);
    assert_eq!(said, dx::balance(&chain.app.view().state, &owner));
    said
}

fn transfer(to: Address, amount: U256) -> Bytes {
    calldata("transfer(address,uint256)", &[word(to), amount])
}

#[test]
fn it_reads_like_any_token() {
    let chain = Chain::new(dev_genesis());
    let text = |name| decode_string(&ask(&chain, name, &[]).expect("a view"));
    assert_eq!(text("name()").as_deref(), Some("DX"));
    assert_eq!(text("symbol()").as_deref(), Some("DX"));
    let number = |signature, words: &[U256]| {
        U256::from_be_slice(&ask(&chain, signature, words).expect("a view"))
    };
    assert_eq!(number("decimals()", &[]), U256::from(18));
    assert_eq!(number("totalSupply()", &[]), millions(1000));
    let pair = [word(address(0)), word(address(1))];
    assert_eq!(number("allowance(address,address)", &pair), U256::ZERO);
    let held = [0, 1, 2].map(|index| balance(&chain, address(index)));
    assert_eq!(held, [millions(400), millions(300), millions(300)]);
    assert_eq!(balance(&chain, Address::repeat_byte(7)), U256::ZERO);
    let dirty = word(address(0)) | (U256::from(1) << 200);
    for (signature, words) in [
        ("balanceOf(address)", vec![dirty]),
        ("balanceOf(address)", vec![]),
        ("name()", vec![U256::ZERO]),
        ("mint(address,uint256)", vec![U256::ZERO; 2]),
    ] {
        assert!(ask(&chain, signature, &words).is_err(), "{signature}");
    }
}

#[test]
fn nobody_moves_it_where_the_genesis_does_not_let_them() {
    let mut chain = Chain::new(dev_genesis());
    let cases = [
        (transfer(address(1), U256::from(1)), "not transferable"),
        (
            calldata(
                "approve(address,uint256)",
                &[word(address(1)), U256::from(1)],
            ),
            "no allowances",
        ),
        (
            calldata("transferFrom(address,address,uint256)", &[U256::ZERO; 3]),
            "no allowances",
        ),
    ];
    for (data, reason) in cases {
        let said = simulate(&chain, address(0), DX_ADDRESS, U256::ZERO, &data);
        assert!(said.expect_err("it reverts").contains(reason));
        let made = chain.call(0, DX_ADDRESS, U256::ZERO, data);
        assert!(!made.receipts[0].success && made.receipts[0].logs.is_empty());
    }
    assert_eq!(balance(&chain, address(0)), millions(400));
}

#[test]
fn where_it_may_move_it_moves_exactly() {
    let mut chain = Chain::new(transferable());
    let made = chain.call(0, DX_ADDRESS, U256::ZERO, transfer(address(1), millions(1)));
    let [log] = &made.receipts[0].logs[..] else {
        panic!("one log")
    };
    assert_eq!(
        log.topics()[1..],
        [address(0).into_word(), address(1).into_word()]
    );
    assert_eq!(balance(&chain, address(0)), millions(399));
    assert_eq!(balance(&chain, address(1)), millions(301));
    // To oneself, nothing, too much, to nobody, with value.
    let all = millions(399);
    let cases = [
        (transfer(address(0), all), U256::ZERO, true),
        (transfer(address(2), U256::ZERO), U256::ZERO, true),
        (transfer(address(2), all + U256::from(1)), U256::ZERO, false),
        (transfer(address(2), U256::MAX), U256::ZERO, false),
        (transfer(Address::ZERO, U256::from(1)), U256::ZERO, false),
        (transfer(address(2), U256::from(1)), wei(1), false),
    ];
    for (data, value, succeeds) in cases {
        let made = chain.call(0, DX_ADDRESS, value, data);
        assert_eq!(made.receipts[0].success, succeeds);
    }
    assert_eq!(balance(&chain, address(0)), all);
    // Sending everything clears the slot, over a restart too.
    chain.call(0, DX_ADDRESS, U256::ZERO, transfer(address(2), all));
    chain.app = chain.reopen();
    assert_eq!(balance(&chain, address(0)), U256::ZERO);
    assert_eq!(balance(&chain, address(2)), millions(699));
}

#[test]
fn contracts_read_the_start_of_the_block_and_write_through_the_action_log() {
    let mut chain = Chain::new(transferable());
    let reader = deploy_reader(&mut chain, DX_ADDRESS);
    let nonce = chain.nonce(0);
    let ask = calldata("balanceOf(address)", &[word(address(1))]);
    let txs = [
        chain.call_tx(
            0,
            nonce,
            DX_ADDRESS,
            U256::ZERO,
            transfer(address(1), millions(5)),
        ),
        chain.call_tx(0, nonce + 1, reader, U256::ZERO, ask.clone()),
    ];
    assert!(
        chain
            .block(&txs, &[])
            .receipts
            .iter()
            .all(|receipt| receipt.success)
    );
    let seen = |chain: &Chain| chain.app.view().state.storage(&reader, &U256::ZERO);
    assert_eq!(seen(&chain), millions(300), "as it was before the block");
    chain.call(0, reader, U256::ZERO, ask);
    assert_eq!(seen(&chain), millions(305));

    let contract = deploy_forwarder(&mut chain, ACTION_LOG_ADDRESS, 0xf1, true);
    chain.call(0, DX_ADDRESS, U256::ZERO, transfer(contract, millions(2)));
    let action = |amount| send_calldata(&DX_ADDRESS, &transfer(address(2), amount));
    for (amount, value) in [
        (millions(2), U256::ZERO),
        (millions(1), U256::ZERO),
        (millions(1), wei(1)),
    ] {
        let made = chain.call(0, contract, value, action(amount));
        assert!(made.receipts[0].success);
    }
    assert_eq!(
        balance(&chain, contract),
        U256::ZERO,
        "the second had nothing left to send"
    );
    assert_eq!(balance(&chain, address(2)), millions(302));
    assert_eq!(chain.balance(contract), wei(1), "the value came back");
    // Not without the log, and the same is said to a contract that asks directly.
    let direct = deploy_forwarder(&mut chain, DX_ADDRESS, 0xf1, true);
    chain.call(0, DX_ADDRESS, U256::ZERO, transfer(direct, millions(2)));
    chain.call(0, direct, U256::ZERO, transfer(address(2), millions(2)));
    assert_eq!(balance(&chain, direct), millions(2));
}

#[test]
fn a_balance_is_proved_like_any_slot() {
    let chain = Chain::new(dev_genesis());
    let slot: U256 = word(address(0)) | (U256::from(1) << 160);
    let key = [DX_ADDRESS.as_slice(), &slot.to_be_bytes::<32>()].concat();
    let proved = chain.app.prove(&chain.store, &key).expect("no store error");
    let value = proved.value.as_deref();
    assert_eq!(value, Some(&millions(400).to_be_bytes::<32>()[..]));
    state_proof::verify(ChainId::Delta, &chain.root, &key, value, &proved.proof)
        .expect("it verifies");
}
