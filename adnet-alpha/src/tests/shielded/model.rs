//! Random sequences of all functions of the pool against a model that is nothing but balances, a set
//! of nullifiers and a count of notes.

use std::collections::BTreeSet;

use adnet_common::application::Application;
use adnet_common::genesis::dev_governor_seed;
use proptest::prelude::*;

use super::super::harness::{Chain, EVM, REASON, address, key};
use super::refusals::{block, noise, of_pool, verified};
use crate::pool::Bundle;
use crate::pool::bundle::empty_anchor;
use crate::tx::{
    BurnPrivate, FeeSchedule, Function, LockPrivate, MintPrivate, Shield, Transaction,
    TransferPrivate, Unshield, Witness, approve, assemble_private_mint, sign_shield,
};

/// A mint to notes of this number.
pub fn mint(chain: &Chain, order_nonce: u64, amount_units: u64, number: u64) -> Transaction {
    let function = |bundle| {
        Function::MintPrivate(MintPrivate {
            order_nonce,
            amount_units,
            reason_hash: REASON,
            bundle,
        })
    };
    let fees = FeeSchedule::of(&chain.genesis.alpha);
    let mut terms = chain.terms();
    terms.fee_units = fees.of_function(&function(Bundle::blank(2)), 2);
    let entering = i64::try_from(amount_units - terms.fee_units).expect("small in tests");
    let bundle = noise(number, false, -entering, empty_anchor().to_bytes());
    let payload = terms.payload(function(bundle));
    let Witness::GovernorsAndBundle(_, proof) = Witness::blank(&payload.function, 2) else {
        unreachable!("governors sign a mint")
    };
    let approval = |i| approve(&dev_governor_seed(i), &payload).expect("an ed25519 seed");
    let approvals = (0..2).map(approval).collect();
    assemble_private_mint(payload, approvals, proof)
}

/// AX of a dev account into notes of this number.
fn shield(chain: &Chain, from: usize, amount_units: u64, number: u64) -> Transaction {
    let entering = i64::try_from(amount_units).expect("small in tests");
    let function = Function::Shield(Shield {
        sender: address(from).0,
        nonce: chain.account(from).nonce,
        bundle: noise(number, false, -entering, empty_anchor().to_bytes()),
    });
    let mut terms = chain.terms();
    terms.fee_units = super::prover::fee_units(chain, &function);
    let payload = terms.payload(function);
    let Witness::AccountAndBundle(_, proof) = Witness::blank(&payload.function, 0) else {
        unreachable!("an account signs shielding")
    };
    sign_shield(&key(from), payload, proof).expect("the sender's key")
}

#[derive(Clone, Debug)]
enum Op {
    Shield { from: usize, amount: u64 },
    Unshield { to: usize, amount: u64 },
    Transfer,
    Mint { order: u64, amount: u64 },
    Burn { amount: u64 },
    Lock { amount: u64 },
}

#[derive(Default, Debug)]
struct Model {
    public: [u64; 3],
    pool: u64,
    issued: u64,
    burned: u64,
    locked: u64,
    fees: u64,
    orders: BTreeSet<u64>,
    nullifiers: BTreeSet<u64>,
    notes: u64,
}

fn transaction(chain: &Chain, op: &Op, number: u64) -> Transaction {
    let anchor = *chain.app.committed().anchors.latest();
    let spending = |units: u64| {
        let balance = i64::try_from(units).expect("small in tests");
        noise(number, true, balance, anchor)
    };
    match *op {
        Op::Shield { from, amount } => shield(chain, from, amount, number),
        Op::Mint { order, amount } => mint(chain, order, amount, number),
        Op::Transfer => of_pool(chain, |fee| {
            let bundle = spending(fee);
            Function::TransferPrivate(TransferPrivate { bundle })
        }),
        Op::Unshield { to, amount } => of_pool(chain, |fee| {
            let bundle = spending(amount + fee);
            let recipient = address(to).0;
            Function::Unshield(Unshield { recipient, bundle })
        }),
        Op::Burn { amount } => of_pool(chain, |fee| {
            let bundle = spending(amount + fee);
            Function::BurnPrivate(BurnPrivate { bundle })
        }),
        Op::Lock { amount } => of_pool(chain, |fee| {
            let bundle = spending(amount + fee);
            let recipient = EVM.0;
            Function::LockPrivate(LockPrivate { recipient, bundle })
        }),
    }
}

impl Model {
    /// Whether the rules allow it; if so, it is done.
    fn run(&mut self, op: &Op, number: u64, fee: u64) -> bool {
        let fresh = !self.nullifiers.contains(&number);
        let allowed = fresh
            && match *op {
                Op::Shield { from, amount } => self.public[from] >= amount + fee,
                Op::Mint { order, .. } => !self.orders.contains(&order),
                Op::Transfer => self.pool >= fee,
                Op::Unshield { amount, .. } | Op::Burn { amount } | Op::Lock { amount } => {
                    self.pool >= amount + fee
                }
            };
        if !allowed {
            return false;
        }
        self.nullifiers.insert(number);
        self.notes += 2;
        self.fees += fee;
        match *op {
            Op::Shield { from, amount } => {
                self.public[from] -= amount + fee;
                self.pool += amount;
            }
            Op::Mint { order, amount } => {
                self.orders.insert(order);
                self.issued += amount;
                self.pool += amount - fee;
            }
            Op::Transfer => self.pool -= fee,
            Op::Unshield { to, amount } => {
                self.pool -= amount + fee;
                self.public[to] += amount;
            }
            Op::Burn { amount } => {
                self.pool -= amount + fee;
                self.burned += amount;
            }
            Op::Lock { amount } => {
                self.pool -= amount + fee;
                self.locked += amount;
            }
        }
        true
    }
}

fn op() -> impl Strategy<Value = Op> {
    // Around what a dev account has, so that some are refused.
    let large = 1..12_000_000_000u64;
    let small = 1..200_000u64;
    let amount = prop_oneof![large, small];
    (0..6, 0..3usize, amount, 0..4u64).prop_map(|(which, account, amount, order)| match which {
        0 | 1 => Op::Shield {
            from: account,
            amount,
        },
        2 => Op::Unshield {
            to: account,
            amount,
        },
        3 => Op::Transfer,
        4 => Op::Mint {
            order,
            amount: amount + 100_000,
        },
        _ if order < 2 => Op::Burn { amount },
        _ => Op::Lock { amount },
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_state_is_that_of_the_model(
        ops in proptest::collection::vec((op(), 0..12u64), 1..24),
    ) {
        let mut chain = Chain::new();
        let start = chain.supply();
        let mut model = Model {
            public: [0, 1, 2].map(|index| chain.balance(index)),
            ..Model::default()
        };
        for (op, number) in ops {
            let number = number + 1;
            let tx = transaction(&chain, &op, number);
            let fee = tx.payload.fee_units;
            let before = chain.app.committed().clone();
            let is_allowed = model.run(&op, number, fee);
            let done = block(&mut chain, std::slice::from_ref(&tx));
            prop_assert_eq!(done.is_ok(), is_allowed, "{:?}: {:?}", op, done);
            if !is_allowed {
                prop_assert_eq!(&before, chain.app.committed());
                // A proposer passes it by and makes the block without it.
                let waiting = verified(&chain, &tx).expect("semantically valid");
                let context = chain.context();
                let proposed = chain.app.propose(&chain.store, &context, &[waiting], &[]);
                prop_assert!(proposed.expect("memory").included.is_empty());
            }
            let supply = chain.supply();
            prop_assert!(supply.holds());
            prop_assert_eq!(supply.pool_units, model.pool);
            prop_assert_eq!(supply.public_units, model.public.iter().sum::<u64>());
            prop_assert_eq!(supply.issued_units, start.issued_units + model.issued);
            prop_assert_eq!(supply.burned_units, model.burned);
            prop_assert_eq!(supply.fees_units, model.fees);
            prop_assert_eq!(supply.locked_total_units, start.locked_total_units + model.locked);
            prop_assert_eq!(chain.app.committed().notes.len(), model.notes);
            for index in 0..3 {
                prop_assert_eq!(chain.balance(index), model.public[index]);
            }
        }
        chain.reopen();
    }
}
