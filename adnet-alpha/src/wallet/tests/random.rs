//! Random lives of three wallets: payments of every kind, blocks that lose them, restarts from the
//! file, going back and reading again; and in the end, restoring each wallet from its words alone.

use adnet_common::keys::EvmAddress;
use proptest::prelude::*;

use super::super::select::SelectError;
use super::super::*;
use super::world::{LOT, World, keys};

const ACTORS: u8 = 3;
/// More than any transaction costs.
const FEE_MOST: u64 = 200_000;

#[derive(Clone, Debug)]
enum Step {
    Pay {
        payer: usize,
        payee: usize,
        what: u8,
        amount_units: u64,
        memo: String,
    },
    Blocks(usize),
    Lose,
    Reload(usize),
    Rewind(usize, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let actor = 0..usize::from(ACTORS);
    let amount = prop_oneof![Just(LOT), 1..LOT, LOT..20 * LOT];
    let memo = prop_oneof![Just(String::new()), "[a-zäß☕]{1,20}"];
    let pay = (actor.clone(), actor.clone(), 0u8..9, amount, memo);
    let pay = pay.prop_map(|(payer, payee, what, amount_units, memo)| Step::Pay {
        payer,
        payee,
        what,
        amount_units,
        memo,
    });
    prop_oneof![
        6 => pay,
        4 => (1usize..5).prop_map(Step::Blocks),
        1 => Just(Step::Lose),
        1 => actor.clone().prop_map(Step::Reload),
        1 => (actor, 1u64..20).prop_map(|(who, back)| Step::Rewind(who, back)),
    ]
}

fn intent(world: &World, payee: usize, what: u8, amount_units: u64, memo: &str) -> Intent {
    let memo = Memo::text(memo).expect("short");
    let recipient = world.address(payee, u32::from(what));
    let evm = EvmAddress([what; 20]);
    match what {
        0 | 1 => Intent::Shield {
            recipient,
            amount_units,
            memo,
        },
        2 | 3 => Intent::Send {
            recipient,
            amount_units,
            memo,
        },
        4 => Intent::Unshield {
            recipient: world.account(payee),
            amount_units,
        },
        5 => Intent::TransferPublic {
            recipient: world.account(payee),
            amount_units,
        },
        6 => Intent::Lock {
            from: Source::Pool,
            recipient: evm,
            amount_units,
        },
        7 => Intent::Burn {
            from: Source::Account,
            amount_units,
        },
        _ => Intent::Consolidate,
    }
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Pay {
            payer,
            payee,
            what,
            amount_units,
            memo,
        } => {
            let intent = intent(world, payee, what, amount_units, &memo);
            let payee = if intent == Intent::Consolidate {
                payer
            } else {
                payee
            };
            let spendable = world.actors[payer].wallet.pool_balance().spendable_units;
            match world.pay(payer, payee, &intent) {
                Ok(_) => {}
                Err(PlanError::Notes(SelectError::Insufficient { .. })) => {
                    assert!(spendable < amount_units + FEE_MOST, "there was enough");
                }
                Err(PlanError::Notes(_) | PlanError::Account { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        Step::Blocks(count) => world.blocks(count),
        Step::Lose => {
            world.next(true);
            world.sync_all();
        }
        Step::Reload(who) => {
            let wallet = world.take(who);
            let json = wallet.to_json();
            let again = Wallet::from_json(json.as_bytes()).expect("reads what it wrote");
            assert_eq!(again.to_json(), json);
            world.actors[who].wallet = again;
        }
        Step::Rewind(who, back) => {
            let mut wallet = world.take(who);
            let height = wallet.tip().height.saturating_sub(back);
            wallet.rewind(height).expect("is recent");
            assert_eq!(wallet.tip().height, height);
            world.actors[who].wallet = wallet;
            world.sync(who);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn wallets_hold_what_they_must(steps in prop::collection::vec(step(), 1..30)) {
        let mut world = World::new(ACTORS);
        for who in 0..usize::from(ACTORS) {
            let intent = intent(&world, who, 0, 30 * LOT, "");
            world.pay(who, who, &intent).expect("the account has it");
        }
        world.blocks(4);
        for step in steps {
            take(&mut world, step);
        }
        // What can still come does, and what cannot expires.
        world.blocks(12);
        for (who, name) in (1..=ACTORS).enumerate() {
            let mut restored = world.fresh(&keys(name), 0);
            world.read(&mut restored);
            let original = &world.actors[who].wallet;
            prop_assert_eq!(restored.tip(), original.tip());
            prop_assert_eq!(restored.pool_balance(), original.pool_balance());
            prop_assert!(restored.notes().eq(original.notes()));
            let happened = original.history().into_iter();
            let happened: Vec<_> = happened.filter(|e| e.status == Status::Final).collect();
            prop_assert_eq!(restored.history(), happened);
        }
    }
}
