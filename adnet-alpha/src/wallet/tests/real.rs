//! Payments with their proofs, verified and executed by the chain itself.

use adnet_common::genesis::dev_governor_seed;
use adnet_common::hash::Hash;
use adnet_common::keys::EvmAddress;

use super::super::*;
use super::world::keys;
use crate::compact::{CompactBlock, CompactTx};
use crate::pool::tree::NoteTree;
use crate::tests::harness::{Chain, REASON};
use crate::tx::{FeeSchedule, Terms, Transaction, TransferPublic, approve, sign};

/// Far above any fee of the dev genesis.
const LOT: u64 = 1_000_000;

struct Node {
    chain: Chain,
    tree: NoteTree,
    tip: BlockRef,
}

impl Node {
    /// Commits a block, and gives its compact form.
    fn block(&mut self, transactions: &[Transaction]) -> CompactBlock {
        let commitments_before = self.tree.len();
        self.chain.must_block(transactions);
        let bundles = transactions
            .iter()
            .filter_map(|tx| tx.payload.function.bundle());
        for action in bundles.flat_map(|bundle| &bundle.actions) {
            self.tree.extend(&[action.cmx]);
        }
        let height = self.chain.height();
        let block = CompactBlock {
            height,
            hash: Hash::of("test block", &[&height.to_be_bytes()]),
            parent: self.tip.hash,
            time_ms: height,
            commitments_before,
            txs: transactions.iter().map(CompactTx::of).collect(),
            unlocks: Vec::new(),
        };
        let hash = block.hash;
        self.tip = BlockRef { height, hash };
        block
    }
}

#[test]
fn the_chain_takes_what_a_wallet_builds() {
    let chain = Chain::new();
    let genesis = chain.genesis.hash();
    let fees = FeeSchedule::of(&chain.genesis.alpha);
    let tip = BlockRef {
        height: 0,
        hash: Hash::ZERO,
    };
    let mut node = Node {
        chain,
        tree: NoteTree::default(),
        tip,
    };
    let keys = keys(1);
    let network = Network {
        name: "dev".into(),
        genesis,
    };
    let birthday = Birthday {
        block: tip,
        tree: NoteTree::default(),
    };
    let mut wallet = Wallet::new(network, keys.viewing().clone(), birthday).expect("begins");

    // Money from a dev account, and some from the governors, to a note.
    let own = keys.viewing().shielded_address(0);
    let terms = Terms {
        genesis,
        fee_units: 1000,
        expiry_height: 10,
    };
    let giver = crate::tests::harness::key(0);
    let gift = crate::tx::Function::TransferPublic(TransferPublic {
        sender: crate::tests::harness::address(0).0,
        nonce: 0,
        recipient: keys.viewing().alpha.0,
        amount_units: 20 * LOT,
    });
    let gift = sign(&giver, &terms, gift).expect("own key");
    let mint = PrivateMint {
        genesis,
        order_nonce: 1,
        recipient: own,
        amount_units: 20 * LOT,
        reason_hash: REASON,
        memo: Memo::text("a grant").expect("fits"),
        expiry_height: 10,
    };
    let governors = node.chain.genesis.alpha.governors.threshold as usize;
    let mut phases = Vec::new();
    let mut minted = mint
        .propose(&fees, governors, &mut |phase| phases.push(phase))
        .expect("builds");
    assert_eq!(phases[phases.len() - 2..], [Phase::Prove, Phase::Sign]);
    for governor in 0..governors {
        let approval = approve(&dev_governor_seed(governor), &minted.payload).expect("a key");
        minted = add_approval(minted, approval).expect("is a mint to a note");
    }
    let block = node.block(&[gift, minted.clone()]);
    wallet.scan(&[block]).expect("honest");
    assert_eq!(wallet.wanted(), [minted.id()]);
    wallet.enrich(&minted).expect("is wanted");
    for _ in 0..3 {
        let block = node.block(&[]);
        wallet.scan(&[block]).expect("honest");
    }
    assert!(wallet.pool_balance().spendable_units > 19 * LOT);

    let evm = EvmAddress([3; 20]);
    let account = keys.viewing().alpha;
    let from = Source::Pool;
    let intents = [
        Intent::Shield {
            recipient: own,
            amount_units: LOT,
            memo: Memo::none(),
        },
        Intent::Send {
            recipient: super::world::keys(2).viewing().shielded_address(5),
            amount_units: LOT,
            memo: Memo::text("with a proof").expect("fits"),
        },
        Intent::Unshield {
            recipient: account,
            amount_units: LOT,
        },
        Intent::Lock {
            from,
            recipient: evm,
            amount_units: LOT,
        },
        Intent::Burn {
            from,
            amount_units: LOT,
        },
    ];
    for intent in &intents {
        let held = node.chain.app.committed().account(&account.0);
        let conditions = Conditions {
            fees,
            expiry_window_blocks: node.chain.genesis.alpha.expiry_window_blocks,
            account: Some(Account {
                balance_units: held.balance_units,
                nonce: held.nonce,
            }),
        };
        let plan = wallet.plan(intent, &conditions).expect("there is enough");
        let built = wallet
            .build(&plan, &keys, &mut |_| {})
            .expect("can be built");
        wallet.add(&built);
        let mut blocks = vec![node.block(std::slice::from_ref(&built.transaction))];
        blocks.extend((0..3).map(|_| node.block(&[])));
        let scanned = wallet.scan(&blocks).expect("honest");
        assert_eq!(scanned.finalised, [built.id]);
    }
    let kinds: Vec<Kind> = wallet.history().iter().map(|line| line.kind).collect();
    let expected = [
        Kind::Received,
        Kind::Minted,
        Kind::Shielded,
        Kind::Sent,
        Kind::Unshielded,
        Kind::Locked,
        Kind::Burned,
    ];
    assert_eq!(kinds, expected);
    assert!(wallet.wanted().is_empty());
    let pool: i64 = wallet
        .history()
        .iter()
        .map(|line| line.pool_change_units)
        .sum();
    assert_eq!(pool as u64, wallet.pool_balance().total_units);
    let account_units: i64 = wallet
        .history()
        .iter()
        .map(|line| line.public_change_units)
        .sum();
    let held = node.chain.app.committed().account(&account.0);
    assert_eq!(account_units as u64, held.balance_units);
    let others = wallet.build(
        &wallet
            .plan(
                &intents[1],
                &Conditions {
                    fees,
                    expiry_window_blocks: 9,
                    account: None,
                },
            )
            .expect("there is enough"),
        &super::world::keys(2),
        &mut |_| {},
    );
    assert_eq!(others, Err(BuildError::OtherKeys));
}
