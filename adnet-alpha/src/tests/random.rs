//! Random sequences of every function against a model that is nothing but balances.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use adnet_common::application::Application;
use proptest::prelude::*;

use super::harness::{Chain, FEE, address, key, unlock};
use crate::state::{Account, StateKey};
use crate::tx::{Transaction, sign_burn, sign_lock, sign_transfer};

const ACCOUNTS: usize = 6;

#[derive(Clone, Debug)]
enum Op {
    Transfer { from: usize, to: usize, amount: u64 },
    Burn { from: usize, amount: u64 },
    Lock { from: usize, amount: u64 },
    Mint { order: u64, to: usize, amount: u64 },
}

#[derive(Clone, Debug)]
struct Unlock {
    to: usize,
    amount: u64,
    /// Distance from the sequence that is due.
    skew: u64,
}

#[derive(Clone, Debug)]
struct Step {
    unlocks: Vec<Unlock>,
    ops: Vec<Op>,
}

/// The rules again, in the plainest form.
#[derive(Default)]
struct Model {
    accounts: BTreeMap<usize, (u64, u64)>,
    orders: BTreeSet<u64>,
    issued: u64,
    burned: u64,
    fees: u64,
    locked: u64,
    consumed: u64,
    sent: u64,
}

impl Model {
    fn account(&mut self, index: usize) -> &mut (u64, u64) {
        self.accounts.entry(index).or_default()
    }

    fn pay(&mut self, from: usize, amount: u64) -> bool {
        let (balance, nonce) = self.account(from);
        if *balance < amount + FEE {
            return false;
        }
        *balance -= amount + FEE;
        *nonce += 1;
        self.fees += FEE;
        true
    }

    fn run(&mut self, op: &Op) -> bool {
        match *op {
            Op::Transfer { from, to, amount } => {
                let paid = self.pay(from, amount);
                if paid {
                    self.account(to).0 += amount;
                }
                paid
            }
            Op::Burn { from, amount } => {
                let paid = self.pay(from, amount);
                self.burned += if paid { amount } else { 0 };
                paid
            }
            Op::Lock { from, amount } => {
                let paid = self.pay(from, amount);
                if paid {
                    self.locked += amount;
                    self.sent += 1;
                }
                paid
            }
            Op::Mint { order, to, amount } => {
                let fresh = self.orders.insert(order);
                if fresh {
                    self.issued += amount;
                    self.fees += FEE;
                    self.account(to).0 += amount - FEE;
                }
                fresh
            }
        }
    }

    fn unlock(&mut self, unlock: &Unlock) -> bool {
        let good = unlock.skew == 0 && unlock.amount <= self.locked;
        if good {
            self.locked -= unlock.amount;
            self.consumed += 1;
            self.account(unlock.to).0 += unlock.amount;
        }
        good
    }
}

/// The transaction of `op` with the nonce that the model expects next.
fn signed(chain: &Chain, model: &mut Model, op: &Op) -> Transaction {
    let terms = chain.terms();
    let tx = match *op {
        Op::Transfer { from, to, amount } => sign_transfer(
            &key(from),
            &terms,
            model.account(from).1,
            address(to),
            amount,
        ),
        Op::Burn { from, amount } => sign_burn(&key(from), &terms, model.account(from).1, amount),
        Op::Lock { from, amount } => {
            let recipient = super::harness::EVM;
            sign_lock(&key(from), &terms, model.account(from).1, recipient, amount)
        }
        Op::Mint { order, to, amount } => return chain.mint(order, to, amount, 2),
    };
    tx.expect("the sender's own key")
}

fn amount() -> impl Strategy<Value = u64> {
    prop_oneof![1..100_000u64, 1..20_000_000_000u64]
}

fn op() -> impl Strategy<Value = Op> {
    let account = || 0..ACCOUNTS;
    prop_oneof![
        4 => (account(), account(), amount())
            .prop_map(|(from, to, amount)| Op::Transfer { from, to, amount }),
        1 => (account(), amount()).prop_map(|(from, amount)| Op::Burn { from, amount }),
        2 => (account(), amount()).prop_map(|(from, amount)| Op::Lock { from, amount }),
        2 => (0..8u64, account(), FEE..1_000_000)
            .prop_map(|(order, to, amount)| Op::Mint { order, to, amount }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let skew = prop_oneof![8 => Just(0u64), 1 => 1..3u64];
    let unlock =
        (0..ACCOUNTS, amount(), skew).prop_map(|(to, amount, skew)| Unlock { to, amount, skew });
    let unlocks = proptest::collection::vec(unlock, 0..3);
    let ops = proptest::collection::vec(op(), 0..6);
    (unlocks, ops).prop_map(|(unlocks, ops)| Step { unlocks, ops })
}

fn take(chain: &mut Chain, model: &mut Model, step: &Step) {
    let mut due = model.consumed + 1;
    let mut offered = Vec::new();
    let mut taken = 0;
    for each in &step.unlocks {
        offered.push(unlock(due + each.skew, each.to, each.amount));
        let still_in_order = taken + 1 == offered.len();
        if still_in_order && model.unlock(each) {
            taken += 1;
            due += 1;
        }
    }
    let mut expected = Vec::new();
    let mut candidates = Vec::new();
    for (index, op) in step.ops.iter().enumerate() {
        let tx = signed(chain, model, op);
        candidates.push(chain.verify(&tx).expect("well formed and signed"));
        if model.run(op) {
            expected.push(index);
        }
    }
    let context = chain.context();
    let proposed = chain
        .app
        .propose(&chain.store, &context, &candidates, &offered);
    let proposed = proposed.expect("memory does not fail");
    assert_eq!(proposed.attestations, taken);
    assert_eq!(proposed.included, expected);
    let included: Vec<_> = expected
        .iter()
        .map(|i| Arc::clone(&candidates[*i]))
        .collect();
    let executed = chain
        .app
        .execute(&chain.store, &context, &included, &offered[..taken]);
    let executed = executed
        .expect("memory does not fail")
        .expect("the block is valid");
    assert_eq!(executed.state_root, proposed.executed.state_root);
    chain.commit(executed);
}

fn compare(chain: &mut Chain, model: &mut Model) {
    for index in 0..ACCOUNTS {
        let (balance_units, nonce) = *model.account(index);
        let account = Account {
            balance_units,
            nonce,
        };
        assert_eq!(chain.account(index), account, "account {index}");
        let leaf = chain.leaf(chain.height(), &StateKey::Account(address(index).0));
        let value = leaf.expect("kept").value;
        let known = value.map(|value| Account::decode(&value).expect("decodes"));
        assert_eq!(known.unwrap_or_default(), account);
    }
    let supply = chain.supply();
    assert_eq!(supply.issued_units, model.issued);
    assert_eq!(supply.burned_units, model.burned);
    assert_eq!(supply.fees_units, model.fees);
    assert_eq!(supply.locked_units(), Some(model.locked));
    assert_eq!(
        (supply.last_sent, supply.last_consumed),
        (model.sent, model.consumed)
    );
    assert_eq!(chain.outbox.len() as u64, model.sent);
    let sequences = chain.outbox.iter().map(|message| message.sequence);
    assert!(sequences.eq(1..=model.sent), "sequences have no gaps");
    let sum: u64 = model.accounts.values().map(|(balance, _)| balance).sum();
    assert_eq!(supply.public_units, sum);
    chain.reopen();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_chain_does_what_the_model_does(steps in proptest::collection::vec(step(), 1..12)) {
        let mut chain = Chain::new();
        let mut model = Model {
            issued: chain.supply().issued_units,
            locked: chain.supply().locked_units().expect("positive"),
            ..Model::default()
        };
        for index in 0..ACCOUNTS {
            model.account(index).0 = chain.balance(index);
        }
        for step in &steps {
            take(&mut chain, &mut model, step);
            compare(&mut chain, &mut model);
        }
    }
}
