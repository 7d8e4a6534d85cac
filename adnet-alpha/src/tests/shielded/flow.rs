//! Every shielded function with real proofs, from a public account and back.

use super::super::harness::{Chain, EVM, REASON};
use super::prover::{Owner, START, pool_fee_units};
use crate::state::{BurnRecord, LockRecord, MintRecord, StateKey};
use crate::tx::Transaction;

struct Flow {
    chain: Chain,
    alice: Owner,
    bob: Owner,
}

impl Flow {
    fn block(&mut self, txs: &[Transaction]) {
        self.chain.must_block(txs);
        let height = self.chain.height();
        self.alice.follow(height, txs);
        self.bob.follow(height, txs);
        let notes = &self.chain.app.committed().notes;
        assert_eq!(notes.root(), self.alice.anchor().to_bytes(), "same tree");
        let pool = self.alice.balance() + self.bob.balance();
        assert_eq!(
            self.chain.supply().pool_units,
            pool,
            "the pool has all notes"
        );
        self.chain.reopen();
    }
}

#[test]
fn ax_goes_into_the_pool_through_it_and_out_of_it_again() {
    let mut flow = Flow {
        chain: Chain::new(),
        alice: Owner::new(1),
        bob: Owner::new(2),
    };
    let before = flow.chain.supply();

    // Shield: the account pays amount and fee.
    let shield = flow.alice.shield(&flow.chain, 0, 500_000);
    let shield_fee = shield.payload.fee_units;
    flow.block(std::slice::from_ref(&shield));
    assert_eq!(flow.alice.balance(), 500_000);
    assert_eq!(flow.chain.balance(0), START - 500_000 - shield_fee);

    // Pay somebody privately, with change, beside a mint to a note in the same block.
    let fee = pool_fee_units(&flow.chain);
    let to_bob = (flow.bob.address(), 120_000);
    let change = (flow.alice.address(), 380_000 - fee);
    let pay = flow.alice.transfer(&flow.chain, &[to_bob, change]);
    let mint = flow.bob.mint(&flow.chain, 5, 200_000);
    let mint_fee = mint.payload.fee_units;
    flow.block(&[pay.clone(), mint.clone()]);
    assert_eq!(flow.bob.balance(), 120_000 + 200_000 - mint_fee);
    assert_eq!(flow.alice.balance(), 380_000 - fee);
    let record = MintRecord {
        height: 2,
        tx: mint.id(),
        recipient: None,
        amount_units: 200_000,
        reason_hash: REASON,
    };
    let leaf = flow.chain.leaf(2, &StateKey::Mint(5)).expect("kept");
    assert_eq!(leaf.value, Some(record.encode()));

    // A spent note leaves its nullifier, which can be proved, and its absence before.
    let nullifier = pay.payload.function.bundle().expect("shielded").actions[0].nullifier;
    let key = StateKey::Nullifier(nullifier);
    let spent = flow.chain.leaf(2, &key).expect("kept");
    assert_eq!(spent.value, Some(2u64.to_be_bytes().to_vec()));
    assert_eq!(flow.chain.leaf(1, &key).expect("kept").value, None);

    // Out again, to Delta, and into nothing.
    let unshield = flow.alice.unshield(&flow.chain, 7, 100_000);
    let bob_has = flow.bob.balance();
    let lock = flow.bob.lock(&flow.chain, 150_000);
    let (unshield_fee, lock_fee) = (unshield.payload.fee_units, lock.payload.fee_units);
    flow.block(&[unshield, lock.clone()]);
    let unshielded = 280_000 - fee - unshield_fee;
    assert_eq!(flow.chain.balance(7), unshielded);
    let locked = bob_has - 150_000 - lock_fee;
    assert_eq!(flow.chain.outbox.len(), 1, "a lock tells Delta");
    let record = LockRecord {
        height: 3,
        tx: lock.id(),
        sender: None,
        recipient: EVM.0,
        amount_units: locked,
    };
    let leaf = flow.chain.leaf(3, &StateKey::Lock(1)).expect("kept");
    assert_eq!(leaf.value, Some(record.encode()));

    let burn = flow.bob.burn(&flow.chain, 1);
    flow.block(std::slice::from_ref(&burn));
    let burned = 150_000 - fee - 1;
    let record = BurnRecord {
        height: 4,
        sender: None,
        amount_units: burned,
    };
    let leaf = flow.chain.leaf(4, &StateKey::Burn(burn.id()));
    assert_eq!(leaf.expect("kept").value, Some(record.encode()));

    let after = flow.chain.supply();
    assert_eq!(after.issued_units, before.issued_units + 200_000);
    assert_eq!(after.burned_units, before.burned_units + burned);
    assert_eq!(after.locked_total_units, before.locked_total_units + locked);
    let fees = shield_fee + mint_fee + 2 * fee + unshield_fee + lock_fee;
    assert_eq!(after.fees_units, before.fees_units + fees);
    assert_eq!(after.pool_units, 100_000 + 1);

    // What was in a block can never be in one again.
    for (tx, code) in [
        (shield, "NONCE_TOO_LOW"),
        (pay, "NULLIFIER_SPENT"),
        (mint, "MINT_ALREADY_USED"),
        (lock, "NULLIFIER_SPENT"),
        (burn, "NULLIFIER_SPENT"),
    ] {
        let found = flow.chain.block_code(tx);
        assert!(
            found == code || found == "NULLIFIER_SPENT",
            "{found}, not {code}"
        );
    }
}
