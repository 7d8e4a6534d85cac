//! Each kind of payment once, seen by payer and payee.

use adnet_common::keys::EvmAddress;

use super::super::select::{SPENDS_MAX, SelectError};
use super::super::tree::CHECKPOINTS_MAX;
use super::super::*;
use super::world::{LOT, World, keys};
use crate::compact::Unlock;

const ALICE: usize = 0;
const BOB: usize = 1;

fn memo(text: &str) -> Memo {
    Memo::text(text).expect("fits")
}

impl World {
    fn shield(&mut self, payer: usize, payee: usize, amount_units: u64) {
        let intent = Intent::Shield {
            recipient: self.address(payee, 0),
            amount_units,
            memo: Memo::none(),
        };
        self.pay(payer, payee, &intent).expect("the account has it");
    }

    fn last(&self, who: usize) -> HistoryEntry {
        let history = self.actors[who].wallet.history();
        history.last().expect("something happened").clone()
    }
}

/// A world in which Alice has plenty in the pool that she can spend.
fn shielded() -> World {
    let mut world = World::new(2);
    world.shield(ALICE, ALICE, 10 * LOT);
    world.blocks(4);
    world
}

#[test]
fn shielding_takes_a_few_blocks_to_be_spendable() {
    let mut world = World::new(2);
    world.shield(ALICE, ALICE, 10 * LOT);
    let balance = world.actors[ALICE].wallet.pool_balance();
    assert_eq!((balance.total_units, balance.incoming_units), (0, 10 * LOT));
    let line = world.last(ALICE);
    assert_eq!((line.kind, line.status), (Kind::Shielded, Status::Pending));
    for age in 0..5 {
        world.blocks(1);
        let balance = world.actors[ALICE].wallet.pool_balance();
        let spendable = if age >= ANCHOR_DEPTH_BLOCKS {
            10 * LOT
        } else {
            0
        };
        assert_eq!(balance.spendable_units, spendable, "age {age}");
    }
    let line = world.last(ALICE);
    assert_eq!((line.kind, line.status), (Kind::Shielded, Status::Final));
    assert_eq!((line.height, line.amount_units), (Some(2), 10 * LOT));
    assert!(line.fee_units > 0);
}

#[test]
fn a_payment_is_seen_by_both_sides_with_its_memo() {
    let mut world = shielded();
    let recipient = world.address(BOB, 7);
    let intent = Intent::Send {
        recipient,
        amount_units: 3 * LOT,
        memo: memo("für Kaffee ☕"),
    };
    let id = world.pay(ALICE, BOB, &intent).expect("Alice has it");
    let balance = world.actors[ALICE].wallet.pool_balance();
    let line = world.last(ALICE);
    assert_eq!(balance.locked_units, 10 * LOT);
    assert_eq!(balance.returning_units, 7 * LOT - line.fee_units);
    world.blocks(1);
    let sent = world.last(ALICE);
    assert_eq!(
        (sent.id, sent.kind, sent.amount_units),
        (id, Kind::Sent, 3 * LOT)
    );
    assert_eq!(sent.party(), Some(Party::Shielded(recipient)));
    assert_eq!(sent.memo(), Some(&memo("für Kaffee ☕")));
    let got = world.last(BOB);
    assert_eq!((got.id, got.kind, got.fee_units), (id, Kind::Received, 0));
    assert_eq!(
        (got.amount_units, got.party()),
        (3 * LOT, None),
        "nobody sees who pays"
    );
    assert_eq!(got.memo(), Some(&memo("für Kaffee ☕")));
    let note = world.actors[BOB]
        .wallet
        .notes()
        .next()
        .expect("Bob has a note")
        .clone();
    assert_eq!((note.recipient, note.is_change), (recipient, false));
}

#[test]
fn who_shields_to_somebody_is_public_and_to_whom_is_not() {
    let mut world = World::new(2);
    world.shield(ALICE, BOB, LOT);
    world.blocks(1);
    let sent = world.last(ALICE);
    assert_eq!((sent.kind, sent.pool_change_units), (Kind::Sent, 0));
    assert_eq!(sent.party(), Some(Party::Shielded(world.address(BOB, 0))));
    let got = world.last(BOB);
    assert_eq!(got.party(), Some(Party::Public(world.account(ALICE))));
}

#[test]
fn out_of_the_pool_to_accounts_to_delta_and_to_nobody() {
    let mut world = shielded();
    let evm = EvmAddress([7; 20]);
    let own = world.account(ALICE);
    let bobs = world.account(BOB);
    let cases = [
        (
            ALICE,
            Intent::Unshield {
                recipient: own,
                amount_units: LOT,
            },
            Kind::Unshielded,
            None,
        ),
        (
            BOB,
            Intent::Unshield {
                recipient: bobs,
                amount_units: LOT,
            },
            Kind::Sent,
            Some(Party::Public(bobs)),
        ),
        (
            BOB,
            Intent::Lock {
                from: Source::Pool,
                recipient: evm,
                amount_units: LOT,
            },
            Kind::Locked,
            Some(Party::Delta(evm)),
        ),
        (
            BOB,
            Intent::Burn {
                from: Source::Pool,
                amount_units: LOT,
            },
            Kind::Burned,
            None,
        ),
    ];
    for (payee, intent, kind, party) in cases {
        let id = world.pay(ALICE, payee, &intent).expect("Alice has it");
        world.blocks(1);
        let line = world.last(ALICE);
        assert_eq!((line.id, line.kind, line.amount_units), (id, kind, LOT));
        assert_eq!(line.party(), party);
        world.blocks(3);
    }
    let unshielded = world.last(BOB);
    assert_eq!(
        (unshielded.kind, unshielded.amount_units),
        (Kind::Received, LOT)
    );
}

#[test]
fn the_account_pays_in_its_own_order() {
    let mut world = World::new(2);
    let (evm, bobs) = (EvmAddress([7; 20]), world.account(BOB));
    let account = Source::Account;
    let intents = [
        Intent::TransferPublic {
            recipient: bobs,
            amount_units: LOT,
        },
        Intent::Lock {
            from: account,
            recipient: evm,
            amount_units: LOT,
        },
        Intent::Burn {
            from: account,
            amount_units: LOT,
        },
    ];
    for intent in &intents {
        world.pay(ALICE, BOB, intent).expect("Alice has it");
    }
    world.shield(ALICE, BOB, LOT);
    let nonces: Vec<_> = world
        .mempool
        .iter()
        .map(|waiting| waiting.plan.nonce)
        .collect();
    assert_eq!(nonces, [Some(0), Some(1), Some(2), Some(3)]);
    world.blocks(1);
    let kinds: Vec<Kind> = world.actors[ALICE]
        .wallet
        .history()
        .iter()
        .map(|e| e.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            Kind::Minted,
            Kind::Sent,
            Kind::Locked,
            Kind::Burned,
            Kind::Sent
        ]
    );
    let broke = Intent::Burn {
        from: account,
        amount_units: 100 * LOT,
    };
    let refused = world.pay(ALICE, ALICE, &broke).expect_err("too much");
    assert!(
        matches!(
            refused,
            PlanError::Account {
                pending_units: 0,
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn an_unlock_and_a_mint_to_a_note_come_from_nobody() {
    let mut world = World::new(2);
    let unlock = Unlock {
        recipient: world.account(BOB).0,
        amount_units: LOT,
    };
    world.block(Vec::new(), vec![unlock]);
    world.actors[BOB].account_units += LOT;
    world.sync_all();
    let line = world.last(BOB);
    assert_eq!(
        (line.kind, line.public_change_units),
        (Kind::Unlocked, LOT as i64)
    );
    assert_eq!(world.last(ALICE).kind, Kind::Minted, "it is Bob's alone");
}

#[test]
fn what_expires_frees_its_notes_and_can_be_built_again() {
    let mut world = shielded();
    let intent = Intent::Send {
        recipient: world.address(BOB, 0),
        amount_units: LOT,
        memo: memo("again"),
    };
    let conditions = world.conditions(ALICE);
    let first = world.actors[ALICE].wallet.plan(&intent, &conditions);
    let first = first.expect("Alice has it");
    let id = world.send(ALICE, BOB, first.clone());
    let second = world
        .pay(ALICE, BOB, &intent)
        .expect_err("her only note is in use");
    let SelectError::Insufficient {
        spendable_units: 0,
        waiting_units,
        ..
    } = (match second {
        PlanError::Notes(error) => error,
        other => panic!("{other}"),
    })
    else {
        panic!("nothing is spendable, change is waited for")
    };
    assert!(waiting_units > 8 * LOT);
    world.next(true);
    for _ in 0..8 {
        world.blocks(1);
    }
    assert_eq!(world.last(ALICE).status, Status::Expired);
    assert_eq!(
        world.actors[ALICE].wallet.pool_balance().spendable_units,
        10 * LOT
    );
    let wallet = &world.actors[ALICE].wallet;
    let plan = wallet.plan_again(id, &first, conditions.expiry_window_blocks);
    assert_eq!((&plan.spends, plan.replaces), (&first.spends, Some(id)));
    let again = world.send(ALICE, BOB, plan);
    assert_ne!(again, id);
    world.blocks(1);
    assert!(world.actors[ALICE].wallet.pending().is_empty());
    assert_eq!(world.last(BOB).memo(), Some(&memo("again")));
}

/// A node that lied, or a network that was reset: what was sent stays sent.
#[test]
fn a_final_payment_is_pending_again_where_the_wallet_goes_back_before_it() {
    let mut world = shielded();
    let before = world.height();
    let intent = Intent::Send {
        recipient: world.address(BOB, 0),
        amount_units: 2 * LOT,
        memo: memo("once"),
    };
    let id = world.pay(ALICE, BOB, &intent).expect("it is there");
    world.blocks(1);
    let settled = world.last(ALICE);
    assert_eq!((settled.id, settled.status), (id, Status::Final));

    // Also when the wallet was closed in between.
    let json = world.take(ALICE).to_json();
    let mut wallet = Wallet::from_json(json.as_bytes()).expect("its own file");
    wallet.rewind(before).expect("is recent");
    let line = wallet.history().pop().expect("it is there");
    assert_eq!(
        (line.id, line.status, line.height),
        (id, Status::Pending, None)
    );
    assert_eq!(line.memo(), Some(&memo("once")));
    let [pending] = wallet.pending() else {
        panic!("one is pending")
    };
    assert!(!pending.raw().is_empty());
    // Its notes pay for nothing else.
    assert!(wallet.plan(&intent, &world.conditions(ALICE)).is_err());

    world.read(&mut wallet);
    assert!(wallet.pending().is_empty());
    let again = wallet.history().pop().expect("it is there");
    assert_eq!(again, settled);
    world.actors[ALICE].wallet = wallet;
    // Whence the wallet cannot go back, nothing is kept of it.
    world.blocks(CHECKPOINTS_MAX);
    assert!(!world.take(ALICE).to_json().contains("settled"));
}

#[test]
fn many_notes_are_joined() {
    let mut world = World::new(2);
    for round in 0..5 {
        for _ in 0..8 {
            world.shield(ALICE, ALICE, LOT / 2);
        }
        world.blocks(1);
        world.blocks(if round == 4 { 4 } else { 0 });
    }
    let intent = Intent::Unshield {
        recipient: world.account(ALICE),
        amount_units: 16 * LOT,
    };
    let refused = world.pay(ALICE, ALICE, &intent).expect_err("40 notes");
    assert!(
        matches!(refused, PlanError::Notes(SelectError::Fragmented { .. })),
        "{refused}"
    );
    let id = world
        .pay(ALICE, ALICE, &Intent::Consolidate)
        .expect("worth it");
    assert_eq!(world.mempool[0].plan.spends.len(), SPENDS_MAX);
    world.blocks(4);
    let line = world.last(ALICE);
    assert_eq!((line.id, line.kind), (id, Kind::ToSelf));
    world.pay(ALICE, ALICE, &intent).expect("11 notes now");
    let conditions = world.conditions(ALICE);
    world.blocks(4);
    let rest = world.actors[ALICE].wallet.most_units(&intent, &conditions);
    let all = Intent::Unshield {
        recipient: world.account(ALICE),
        amount_units: rest,
    };
    world
        .pay(ALICE, ALICE, &all)
        .expect("the most is what can be paid");
    world.blocks(1);
}

#[test]
fn another_seed_sees_nothing() {
    let mut world = shielded();
    let mut stranger = world.fresh(&keys(99), 0);
    world.shield(ALICE, BOB, LOT);
    world.blocks(2);
    world.read(&mut stranger);
    assert_eq!(stranger.tip(), world.actors[ALICE].wallet.tip());
    assert_eq!(stranger.pool_balance(), PoolBalance::default());
    assert!(stranger.history().is_empty());
    let transaction = world.transactions.values().next().expect("some happened");
    let refused = stranger.enrich(transaction);
    assert_eq!(refused, Err(EnrichError::Unknown(transaction.id())));
    let plan = world.pay(ALICE, ALICE, &Intent::Consolidate);
    assert_eq!(plan, Err(PlanError::Notes(SelectError::NothingToJoin)));
}

#[test]
fn a_birthday_saves_reading_and_misses_nothing_after_it() {
    let mut world = shielded();
    let birthday = world.height();
    let intent = Intent::Send {
        recipient: world.address(BOB, 3),
        amount_units: LOT,
        memo: memo("after"),
    };
    world.pay(ALICE, BOB, &intent).expect("Alice has it");
    world.blocks(5);
    let mut late = world.fresh(&keys(2), birthday);
    world.read(&mut late);
    assert_eq!(late.pool_balance().spendable_units, LOT);
    assert_eq!(late.history()[0].memo(), Some(&memo("after")));
    let unshield = Intent::Unshield {
        recipient: world.account(BOB),
        amount_units: 1,
    };
    let refused = late.plan(&unshield, &world.conditions(BOB));
    let plan = refused.expect("it covers the fee");
    late.draft(&plan).expect("its path is known");
}
