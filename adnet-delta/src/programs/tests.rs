//! The dispatcher against a plain model, with transactions that fail, and its bounds.

use super::actions::{Action, apply};
use super::native::MAX_BLOCK_ACTIONS;
use super::*;
use crate::abi;
use crate::app::DeltaApp;
use crate::app::tests::dev_genesis;
use crate::attest::{abi::unlock_calldata, wei};
use crate::rules::Rules;
use crate::state::WorldState;
use adnet_common::application::Application;
use adnet_common::attestation::{MAX_TX_OUTBOX, Payload};
use adnet_common::genesis::Genesis;
use adnet_common::memory_store::MemoryStore;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn genesis() -> Genesis {
    let mut genesis = dev_genesis();
    genesis.delta.dx_transferable = true;
    genesis
}

fn state() -> WorldState {
    let (root, writes) = DeltaApp::genesis_state(&genesis());
    let mut store = MemoryStore::new();
    store.apply(&writes);
    let app = DeltaApp::open(&genesis(), &store, 0, root).expect("genesis opens");
    app.view().state.clone()
}

fn owner(index: u8) -> Address {
    match genesis().delta.dx_accounts.get(usize::from(index)) {
        Some(account) => Address::new(account.address.0),
        None => Address::repeat_byte(index),
    }
}

fn transfer(to: Address, amount: U256) -> Bytes {
    let selector = abi::selector("transfer(address,uint256)");
    abi::call(selector, &[abi::address_word(&to), amount])
}

#[derive(Clone, Debug)]
enum Op {
    Transfer { from: u8, to: u8, part: u8 },
    Unlock { units: u64, odd_wei: u64 },
    Garbage { program: u8, data: Vec<u8> },
}

/// An operation and who asks for it.
type Asked = (Op, Origin);

fn asked() -> impl Strategy<Value = Asked> {
    let op = prop_oneof![
        4 => (0..5u8, 0..5u8, 0..6u8).prop_map(|(from, to, part)| Op::Transfer { from, to, part }),
        3 => (0..100u64, prop_oneof![3 => Just(0u64), 1 => 0..1000u64])
            .prop_map(|(units, odd_wei)| Op::Unlock { units, odd_wei }),
        2 => (0..8u8, prop::collection::vec(any::<u8>(), 0..70))
            .prop_map(|(program, data)| Op::Garbage { program, data }),
    ];
    let origin = prop_oneof![
        3 => Just(Origin::Direct),
        3 => Just(Origin::Action),
        1 => any::<bool>().prop_map(|is_static| Origin::Contract { is_static }),
    ];
    (op, origin)
}

#[derive(Clone, Debug, Default)]
struct Model {
    dx: BTreeMap<Address, U256>,
    burned_units: u64,
    sent: Vec<u64>,
}

impl Model {
    /// Whether the operation is to be done.
    fn does(&mut self, op: &Op, origin: Origin, amount: U256) -> bool {
        let writes = matches!(origin, Origin::Direct | Origin::Action);
        match op {
            Op::Transfer { from, to, .. } => {
                let have = self.dx.get(&owner(*from)).copied().unwrap_or_default();
                if !writes || have < amount || owner(*to).is_zero() {
                    return false;
                }
                *self.dx.entry(owner(*from)).or_default() -= amount;
                *self.dx.entry(owner(*to)).or_default() += amount;
                true
            }
            Op::Unlock { units, odd_wei } => {
                if !writes || *units == 0 || *odd_wei != 0 {
                    return false;
                }
                self.burned_units += units;
                self.sent.push(*units);
                true
            }
            Op::Garbage { .. } => false,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn programs_do_what_the_model_does(
        transactions in prop::collection::vec(
            (prop::collection::vec(asked(), 0..8), any::<bool>()), 0..12),
    ) {
        let before = state();
        let mut native = NativeState::new(&Rules::new(&genesis()), &before);
        let mut model = Model::default();
        for index in 0..3 {
            model.dx.insert(owner(index), dx::balance(&before, &owner(index)));
        }
        for (asked, fails) in transactions {
            native.begin_transaction();
            let (start, model_before) = (native.checkpoint(), model.clone());
            for (op, origin) in asked {
                let mut amount = U256::ZERO;
                let (program, caller, value_wei, data) = match &op {
                    Op::Transfer { from, to, part } => {
                        // A fifth of what the sender has per part: six are more than it has.
                        let have = model.dx.get(&owner(*from)).copied().unwrap_or_default();
                        amount = have / U256::from(5) * U256::from(*part);
                        let data = transfer(owner(*to), amount);
                        (DX_ADDRESS, owner(*from), U256::ZERO, data)
                    }
                    Op::Unlock { units, odd_wei } => {
                        let value = wei(*units) + U256::from(*odd_wei);
                        (ATTEST_ADDRESS, owner(0), value, unlock_calldata(&[1; 32]))
                    }
                    Op::Garbage { program, data } => {
                        (address(*program), owner(0), U256::ZERO, data.clone().into())
                    }
                };
                let call = Call { program, caller, value_wei, data: &data, origin };
                let done = dispatch(&mut native, &call);
                prop_assert_eq!(done.is_ok(), model.does(&op, origin, amount), "{:?} {:?}", op, done);
                let burned = done.map_or(U256::ZERO, |done| done.burned_wei);
                prop_assert!(burned.is_zero() || burned == value_wei);
            }
            if fails {
                native.roll_back(start);
                model = model_before;
            }
            prop_assert_eq!(native.supply().burned_total_units, model.burned_units);
            prop_assert_eq!(native.supply().last_sent, model.sent.len() as u64);
        }
        let (mut after, mut writes) = (before.clone(), Vec::new());
        let outbox = native.finish(&mut after, &mut writes);
        for (index, (message, units)) in outbox.iter().zip(&model.sent).enumerate() {
            prop_assert_eq!(message.sequence, index as u64 + 1);
            prop_assert_eq!(message.payload.amount_units(), Some(*units));
        }
        prop_assert_eq!(outbox.len(), model.sent.len());
        for (owner, amount) in &model.dx {
            prop_assert_eq!(dx::balance(&after, owner), *amount);
        }
        prop_assert!(dx::holds(&after));
        prop_assert_eq!(before.root() == after.root(), writes.is_empty());
    }
}

#[test]
fn the_outbox_of_a_block_is_bounded_and_a_failed_transaction_gives_its_room_back() {
    let state = state();
    let mut native = NativeState::new(&Rules::new(&genesis()), &state);
    let data = unlock_calldata(&[1; 32]);
    let call = Call {
        program: ATTEST_ADDRESS,
        caller: owner(0),
        value_wei: wei(1),
        data: &data,
        origin: Origin::Direct,
    };
    for _ in 0..MAX_TX_OUTBOX {
        dispatch(&mut native, &call).expect("there is room");
    }
    let supply = native.supply();
    let refused = dispatch(&mut native, &call).expect_err("it is full");
    assert!(refused.0.contains("no room"), "{refused}");
    assert_eq!(native.supply(), supply);
    // The chain itself may always add its own.
    let payload = Payload::Unlock {
        recipient: [0; 32],
        amount_units: 1,
    };
    assert_eq!(native.send(payload), Some(supply.last_sent + 1));
}

#[test]
fn the_actions_of_a_block_are_bounded() {
    let state = state();
    let mut native = NativeState::new(&Rules::new(&genesis()), &state);
    let action = Action {
        sender: owner(0),
        program: DX_ADDRESS,
        value_wei: U256::ZERO,
        data: transfer(owner(1), U256::from(1)),
    };
    for _ in 0..MAX_BLOCK_ACTIONS {
        native.begin_transaction();
        apply(&mut native, &action).expect("there is room");
    }
    let refused = apply(&mut native, &action).expect_err("no more");
    assert!(refused.0.contains("no room"), "{refused}");
    let data = actions::send_calldata(&DX_ADDRESS, &action.data);
    let call = Call {
        program: ACTION_LOG_ADDRESS,
        caller: owner(0),
        value_wei: U256::ZERO,
        data: &data,
        origin: Origin::Contract { is_static: false },
    };
    let refused = dispatch(&mut native, &call).expect_err("nor does the log take any");
    assert!(refused.0.contains("no room"), "{refused}");
}

#[test]
fn every_program_has_an_address_of_its_own_and_nothing_else_is_one() {
    for program in PROGRAMS {
        assert!(is_program(&program));
    }
    assert_eq!(PROGRAMS, [1, 2, 3, 4, 5].map(address));
    let mut high = DX_ADDRESS;
    high.0.0[0] = 1;
    for other in [address(0), address(6), high, Address::ZERO, owner(0)] {
        assert!(!is_program(&other));
    }
}
