//! Random blocks keep every invariant: the checks are in `Chain::block`.

use super::contracts::{calldata, deploy_forwarder, word};
use super::*;
use crate::attest::{ATTEST_ADDRESS, abi};
use crate::programs::actions::send_calldata;
use crate::programs::{ACTION_LOG_ADDRESS, DX_ADDRESS};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Action {
    Transfer {
        from: usize,
        to: u8,
        wei: u64,
    },
    Drain {
        from: usize,
    },
    Unlock {
        from: usize,
        units: u64,
        odd_wei: u64,
    },
    Deploy {
        from: usize,
        code: Vec<u8>,
    },
    Lock {
        to: u8,
        units: u64,
    },
    /// By a contract, through the action log.
    ContractUnlock {
        from: usize,
        units: u64,
        odd_wei: u64,
    },
    SendDx {
        from: usize,
        to: u8,
        amount: u128,
        by_contract: bool,
    },
    /// Nonces of this sender skip one.
    Gap {
        from: usize,
    },
}

fn action() -> impl Strategy<Value = Action> {
    let from = 0..3usize;
    prop_oneof![
        4 => (from.clone(), 0..6u8, any::<u64>())
            .prop_map(|(from, to, wei)| Action::Transfer { from, to, wei }),
        1 => from.clone().prop_map(|from| Action::Drain { from }),
        3 => (from.clone(), 0..1000u64, prop_oneof![3 => Just(0u64), 1 => any::<u64>()])
            .prop_map(|(from, units, odd_wei)| Action::Unlock { from, units, odd_wei }),
        2 => (from.clone(), 0..1000u64, prop_oneof![3 => Just(0u64), 1 => any::<u64>()])
            .prop_map(|(from, units, odd_wei)| Action::ContractUnlock { from, units, odd_wei }),
        3 => (from.clone(), 0..6u8, any::<u128>(), any::<bool>())
            .prop_map(|(from, to, amount, by_contract)| {
                Action::SendDx { from, to, amount, by_contract }
            }),
        2 => (from.clone(), prop::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(from, code)| Action::Deploy { from, code }),
        3 => (0..6u8, 0..1_000_000u64).prop_map(|(to, units)| Action::Lock { to, units }),
        1 => from.prop_map(|from| Action::Gap { from }),
    ]
}

fn recipient(to: u8) -> Address {
    match to {
        0..=2 => address(to.into()),
        3 => ATTEST_ADDRESS,
        _ => Address::repeat_byte(to),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn random_blocks_keep_the_books(
        blocks in prop::collection::vec(prop::collection::vec(action(), 0..14), 1..6),
    ) {
        let mut genesis = dev_genesis();
        genesis.delta.dx_transferable = true;
        let mut chain = Chain::new(genesis);
        let contract = deploy_forwarder(&mut chain, ACTION_LOG_ADDRESS, 0xf1, true);
        for actions in blocks {
            let nonce_of = |i: usize| {
                chain.app.view().state.account(&address(i)).map_or(0, |account| account.nonce)
            };
            let mut nonces = [nonce_of(0), nonce_of(1), nonce_of(2)];
            let (mut txs, mut locks) = (Vec::new(), Vec::new());
            for action in actions {
                let mut send = |from: usize, gas: u64, to: Option<Address>, value, data: Bytes| {
                    let envelope = chain.envelope(nonces[from], gas);
                    nonces[from] += 1;
                    let signed = match to {
                        Some(to) => tx::sign_call(&secret(from), envelope, to, value, data),
                        None => tx::sign_deploy(&secret(from), envelope, value, data),
                    };
                    txs.push(chain.verified(&signed.expect("signed")));
                };
                match action {
                    Action::Transfer { from, to, wei } => {
                        send(from, 60_000, Some(recipient(to)), U256::from(wei), Bytes::new());
                    }
                    Action::Drain { from } => {
                        let all = chain.balance(address(from));
                        let value = all.saturating_sub(wei(10));
                        send(from, 21_000, Some(Address::repeat_byte(8)), value, Bytes::new());
                    }
                    Action::Unlock { from, units, odd_wei } => {
                        let value = wei(units) + U256::from(odd_wei);
                        let data = abi::unlock_calldata(&[9; 32]);
                        send(from, tx::UNLOCK_GAS_LIMIT, Some(ATTEST_ADDRESS), value, data);
                    }
                    Action::ContractUnlock { from, units, odd_wei } => {
                        let value = wei(units) + U256::from(odd_wei);
                        let data = abi::unlock_calldata(&[9; 32]);
                        let data = send_calldata(&ATTEST_ADDRESS, &data);
                        send(from, 150_000, Some(contract), value, data);
                    }
                    Action::SendDx { from, to, amount, by_contract } => {
                        // 2^90 is a little more than all DX there is.
                        let words = [word(recipient(to)), U256::from(amount >> 38)];
                        let data = calldata("transfer(address,uint256)", &words);
                        if by_contract {
                            let data = send_calldata(&DX_ADDRESS, &data);
                            send(from, 150_000, Some(contract), U256::ZERO, data);
                        } else {
                            send(from, 100_000, Some(DX_ADDRESS), U256::ZERO, data);
                        }
                    }
                    Action::Deploy { from, code } => {
                        send(from, 200_000, None, U256::from(3), code.into());
                    }
                    Action::Lock { to, units } => locks.push(chain.lock(recipient(to), units)),
                    Action::Gap { from } => nonces[from] += 1,
                }
            }
            let offered = locks.len();
            let made = chain.block(&txs, &locks);
            prop_assert_eq!(made.receipts.len(), made.included.len());
            prop_assert_eq!(offered, locks.len());
        }
    }
}
