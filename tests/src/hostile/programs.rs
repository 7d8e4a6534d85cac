//! Calls of Delta's system programs, as anybody may send them: an answer or a reason, and a refusal
//! changes nothing.

use super::{Decoder, Group, history};
use adnet_common::application::Application;
use adnet_common::memory_store::MemoryStore;
use adnet_delta::DeltaApp;
use adnet_delta::abi;
use adnet_delta::attest::{ATTEST_ADDRESS, abi as attest, wei};
use adnet_delta::programs::actions::{self, send_calldata};
use adnet_delta::programs::native::NativeState;
use adnet_delta::programs::{ACTION_LOG_ADDRESS, Call, DX_ADDRESS, Origin, PROGRAMS};
use adnet_delta::programs::{dispatch, dx, gas};
use adnet_delta::rules::Rules;
use adnet_delta::state::WorldState;
use alloy_primitives::{Address, U256};
use std::sync::LazyLock;

/// The state of the genesis.
pub(super) static STATE: LazyLock<WorldState> = LazyLock::new(|| {
    let genesis = &history().genesis;
    let (root, writes) = DeltaApp::genesis_state(genesis);
    let mut store = MemoryStore::new();
    store.apply(&writes);
    let app = DeltaApp::open(genesis, &store, 0, root);
    let app = app.expect("a development genesis opens");
    app.view().state.clone()
});

fn owner(index: usize) -> Address {
    Address::new(history().genesis.delta.dx_accounts[index].address.0)
}

/// Program, caller and origin by number, the value in half units, then the calldata.
fn encode(program: Address, origin: u8, half_units: u8, data: &[u8]) -> Vec<u8> {
    let number = PROGRAMS.iter().position(|known| *known == program);
    let number = number.expect("a program") as u8;
    [&[number, 0, origin, half_units], data].concat()
}

fn samples() -> Vec<Vec<u8>> {
    let word = |index| abi::address_word(&owner(index));
    let function = |signature: &str, words: &[U256]| abi::call(abi::selector(signature), words);
    let transfer = function("transfer(address,uint256)", &[word(1), U256::from(5)]);
    let unlock = attest::unlock_calldata(&[7; 32]);
    let mut all = vec![
        encode(ATTEST_ADDRESS, 0, 2, &unlock),
        encode(ATTEST_ADDRESS, 3, 0, &attest::SUPPLY[..]),
        encode(
            ACTION_LOG_ADDRESS,
            2,
            2,
            &send_calldata(&ATTEST_ADDRESS, &unlock),
        ),
        encode(
            ACTION_LOG_ADDRESS,
            2,
            0,
            &send_calldata(&DX_ADDRESS, &transfer),
        ),
        encode(DX_ADDRESS, 1, 0, &transfer),
    ];
    let reads = [
        function("name()", &[]),
        function("totalSupply()", &[]),
        function("balanceOf(address)", &[word(0)]),
        function("allowance(address,address)", &[word(0), word(1)]),
        function("approve(address,uint256)", &[word(0), word(1)]),
        function(
            "transferFrom(address,address,uint256)",
            &[word(0), word(1), U256::ZERO],
        ),
    ];
    all.extend(reads.iter().map(|data| encode(DX_ADDRESS, 3, 0, data)));
    all
}

fn check(bytes: &[u8]) {
    let Some(([program, caller, origin, half_units], data)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    let rules = Rules {
        dx_transferable: true,
        ..DeltaApp::rules(&history().genesis)
    };
    let mut native = NativeState::new(&rules, &STATE);
    let call = Call {
        program: PROGRAMS[usize::from(*program) % PROGRAMS.len()],
        caller: owner(usize::from(*caller) % 3),
        value_wei: wei(u64::from(*half_units)) / U256::from(2),
        data,
        origin: match origin % 4 {
            0 => Origin::Direct,
            1 => Origin::Action,
            other => Origin::Contract {
                is_static: other == 3,
            },
        },
    };
    assert!(
        gas(&call.program, data) < 100_000,
        "a price that anybody can pay"
    );
    let supply = native.supply();
    let done = dispatch(&mut native, &call);
    match &done {
        Ok(done) => {
            let burned = native.supply().burned_total_units - supply.burned_total_units;
            assert_eq!(done.burned_wei, wei(burned));
            assert!(done.burned_wei.is_zero() || done.burned_wei == call.value_wei);
            for action in done.logs.iter().filter_map(actions::action_of) {
                assert_eq!(action.sender, call.caller);
                let _ = actions::apply(&mut native, &action);
            }
        }
        Err(refused) => assert!(!refused.0.is_empty()),
    }
    let (mut after, mut writes) = (STATE.clone(), Vec::new());
    let outbox = native.finish(&mut after, &mut writes);
    if done.is_err() || call.origin == (Origin::Contract { is_static: true }) {
        assert!(
            writes.is_empty() && outbox.is_empty(),
            "{call:?} left a trace"
        );
    }
    assert!(dx::holds(&after), "DX came or went by {call:?}");
}

pub fn decoders() -> Vec<Decoder> {
    vec![Decoder {
        name: "call of a system program",
        group: Group::Program,
        samples: |_| samples(),
        check,
    }]
}
