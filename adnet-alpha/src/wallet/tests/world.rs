//! A chain in memory with several wallets on it, and beside them a plain account of what each of
//! them must hold. Bundles are real but for their proofs, which no scan looks at.

use std::collections::{BTreeMap, BTreeSet};

use adnet_common::hash::Hash;
use adnet_common::keys::AlphaAddress;

use super::super::keys::SpendingKeys;
use super::super::mnemonic::Mnemonic;
use super::super::*;
use crate::compact::{CompactBlock, CompactTx, Unlock};
use crate::pool::bundle::empty_anchor;
use crate::pool::tree::NoteTree;
use crate::pool::{BundleProof, ShieldedAddress};
use crate::tx::{FeeSchedule, Function, MintOrder, Payload, Transaction, Witness};

pub const FEES: FeeSchedule = FeeSchedule {
    base_units: 100,
    per_byte_units: 1,
    per_action_units: 500,
};
pub const WINDOW: u64 = 8;
/// Units that are many beside any fee.
pub const LOT: u64 = 1_000_000;

/// The owner of a wallet, and what must be in it.
pub struct Actor {
    pub keys: SpendingKeys,
    pub wallet: Wallet,
    pub pool_units: u64,
    pub account_units: u64,
    pub nonce: u64,
}

pub struct World {
    pub genesis: Hash,
    pub blocks: Vec<CompactBlock>,
    /// The tree after each block, that of the genesis first.
    pub trees: Vec<NoteTree>,
    pub transactions: BTreeMap<Hash, Transaction>,
    /// Sent, with who pays, who is paid how much in the pool, and who in an account.
    pub mempool: Vec<Waiting>,
    pub actors: Vec<Actor>,
    nullifiers: BTreeSet<[u8; 32]>,
    orders: u64,
}

#[derive(Clone)]
pub struct Waiting {
    pub payer: usize,
    pub payee: usize,
    pub plan: Plan,
    pub transaction: Transaction,
}

pub fn keys(name: u8) -> SpendingKeys {
    let words = bip39::Mnemonic::from_entropy(&[name; 32]).expect("256 bits");
    let mnemonic = Mnemonic::parse(&words.to_string()).expect("24 words");
    SpendingKeys::derive(&mnemonic.seed(), 0).expect("has keys")
}

/// What stands in for proofs and signatures.
pub fn unsigned(payload: Payload) -> Transaction {
    let actions = payload.function.bundle().map(|bundle| bundle.actions.len());
    let proof = actions.map(BundleProof::blank);
    let witness = match (payload.function.account(), payload.function.order(), proof) {
        (Some(_), _, Some(proof)) => Witness::AccountAndBundle([0; 64], proof),
        (Some(_), _, None) => Witness::Account([0; 64]),
        (None, Some(_), Some(proof)) => Witness::GovernorsAndBundle(Vec::new(), proof),
        (None, Some(_), None) => Witness::Governors(Vec::new()),
        (None, None, proof) => Witness::Bundle(proof.expect("nobody else pays")),
    };
    Transaction { payload, witness }
}

impl World {
    /// `actors` wallets that begin with the chain, and accounts with a hundred times a lot each.
    pub fn new(actors: u8) -> Self {
        let genesis = Hash([0xaa; 32]);
        let mut world = Self {
            genesis,
            blocks: Vec::new(),
            trees: vec![NoteTree::default()],
            transactions: BTreeMap::new(),
            mempool: Vec::new(),
            actors: Vec::new(),
            nullifiers: BTreeSet::new(),
            orders: 0,
        };
        for name in 1..=actors {
            let keys = keys(name);
            let wallet = world.fresh(&keys, 0);
            world.actors.push(Actor {
                keys,
                wallet,
                pool_units: 0,
                account_units: 0,
                nonce: 0,
            });
        }
        let mints: Vec<Transaction> = (0..world.actors.len()).map(|to| world.mint(to)).collect();
        world.block(mints, Vec::new());
        for actor in &mut world.actors {
            actor.account_units = 100 * LOT;
        }
        world.sync_all();
        world
    }

    /// A wallet that knows nothing yet, as one that is restored from its words.
    pub fn fresh(&self, keys: &SpendingKeys, birthday: u64) -> Wallet {
        let network = Network {
            name: "test".into(),
            genesis: self.genesis,
        };
        let birthday = Birthday {
            block: self.reference(birthday),
            tree: self.trees[birthday as usize].clone(),
        };
        Wallet::new(network, keys.viewing().clone(), birthday).expect("begins")
    }

    pub fn reference(&self, height: u64) -> BlockRef {
        let hash = match height {
            0 => Hash([0xbb; 32]),
            height => self.blocks[height as usize - 1].hash,
        };
        BlockRef { height, hash }
    }

    pub fn height(&self) -> u64 {
        self.blocks.len() as u64
    }

    pub fn conditions(&self, who: usize) -> Conditions {
        Conditions {
            fees: FEES,
            expiry_window_blocks: WINDOW,
            account: Some(Account {
                balance_units: self.actors[who].account_units,
                nonce: self.actors[who].nonce,
            }),
        }
    }

    /// An address of the actor that others can pay to.
    pub fn address(&self, who: usize, index: u32) -> ShieldedAddress {
        self.actors[who].keys.viewing().shielded_address(index)
    }

    pub fn account(&self, who: usize) -> AlphaAddress {
        self.actors[who].keys.viewing().alpha
    }

    fn mint(&mut self, to: usize) -> Transaction {
        self.orders += 1;
        unsigned(Payload {
            genesis: self.genesis,
            function: Function::Mint(MintOrder {
                order_nonce: self.orders,
                recipient: self.account(to).0,
                amount_units: 100 * LOT + 1000,
                reason_hash: Hash::ZERO,
            }),
            fee_units: 1000,
            expiry_height: self.height() + 1,
        })
    }

    /// Plans, builds without the proof, remembers and sends.
    pub fn pay(&mut self, payer: usize, payee: usize, intent: &Intent) -> Result<Hash, PlanError> {
        let conditions = self.conditions(payer);
        let plan = self.actors[payer].wallet.plan(intent, &conditions)?;
        Ok(self.send(payer, payee, plan))
    }

    pub fn send(&mut self, payer: usize, payee: usize, plan: Plan) -> Hash {
        let actor = &mut self.actors[payer];
        let draft = actor.wallet.draft(&plan).expect("a plan can be built");
        let transaction = unsigned(draft.payload);
        let (id, fee_units) = (transaction.id(), transaction.payload.fee_units);
        let function = &transaction.payload.function;
        assert_eq!(fee_units, FEES.of_function(function, 0), "the fee is exact");
        let entry = actor.wallet.expected(&plan, &transaction);
        actor.wallet.add(&Built {
            id,
            transaction: transaction.clone(),
            plan: plan.clone(),
            entry,
        });
        self.mempool.push(Waiting {
            payer,
            payee,
            plan,
            transaction,
        });
        id
    }

    /// The next block: what waits and is valid, or (`lost`) nothing of it, which then never comes.
    pub fn next(&mut self, lost: bool) {
        let height = self.height() + 1;
        let mut included = Vec::new();
        for waiting in std::mem::take(&mut self.mempool) {
            let payload = &waiting.transaction.payload;
            if lost || payload.expiry_height < height {
                continue;
            }
            if waiting
                .plan
                .nonce
                .is_some_and(|nonce| nonce != self.actors[waiting.payer].nonce)
            {
                self.mempool.push(waiting);
                continue;
            }
            self.settle(&waiting);
            included.push(waiting.transaction);
        }
        self.block(included, Vec::new());
    }

    /// Moves the money by what the plan says, not by what any wallet makes of it.
    fn settle(&mut self, waiting: &Waiting) {
        let Waiting {
            payer, payee, plan, ..
        } = waiting;
        let (amount, fee) = (plan.amount_units, plan.fee_units);
        let cost = match plan.intent {
            Intent::Consolidate => fee,
            _ => amount + fee,
        };
        let from = &mut self.actors[*payer];
        match plan.intent.source() {
            Source::Pool => from.pool_units -= cost,
            Source::Account => {
                from.account_units -= cost;
                from.nonce += 1;
            }
        }
        let to = &mut self.actors[*payee];
        match plan.intent {
            Intent::Send { .. } | Intent::Shield { .. } => to.pool_units += amount,
            Intent::Unshield { .. } | Intent::TransferPublic { .. } => to.account_units += amount,
            Intent::Lock { .. } | Intent::Burn { .. } | Intent::Consolidate => {}
        }
    }

    /// A block with these, as the chain's rules would have it.
    pub fn block(&mut self, transactions: Vec<Transaction>, unlocks: Vec<Unlock>) {
        let height = self.height() + 1;
        let mut tree = self.trees.last().expect("begins with the genesis'").clone();
        let commitments_before = tree.len();
        for transaction in &transactions {
            let payload = &transaction.payload;
            assert!(payload.function.amount_units(payload.fee_units).is_some());
            if let Some(bundle) = payload.function.bundle() {
                let mut recent = self.trees.iter().rev().take(100);
                let is_known = recent.any(|tree| tree.root() == bundle.anchor);
                assert!(is_known || bundle.anchor == empty_anchor().to_bytes());
                for action in &bundle.actions {
                    assert!(self.nullifiers.insert(action.nullifier), "spent twice");
                    tree.extend(&[action.cmx]);
                }
            }
            self.transactions
                .insert(transaction.id(), transaction.clone());
        }
        let parent = self.reference(height - 1).hash;
        let ids: Vec<u8> = transactions.iter().flat_map(|tx| tx.id().0).collect();
        self.blocks.push(CompactBlock {
            height,
            hash: Hash::of("test block", &[&parent.0, &ids]),
            parent,
            time_ms: 1_800_000_000_000 + 15_000 * height,
            commitments_before,
            txs: transactions.iter().map(CompactTx::of).collect(),
            unlocks,
        });
        self.trees.push(tree);
    }

    /// All that the wallet has not read yet, then what it wants in whole.
    pub fn read(&self, wallet: &mut Wallet) {
        let unread = &self.blocks[wallet.tip().height as usize..];
        // Some blocks at a time, as they come over the network.
        for blocks in unread.chunks(7) {
            wallet.scan(blocks).expect("blocks of an honest node");
        }
        for id in wallet.wanted() {
            wallet
                .enrich(&self.transactions[&id])
                .expect("is of the wallet");
        }
        assert!(wallet.wanted().is_empty());
    }

    pub fn sync(&mut self, who: usize) {
        let mut wallet = self.take(who);
        self.read(&mut wallet);
        self.actors[who].wallet = wallet;
        self.check(who);
    }

    pub fn sync_all(&mut self) {
        (0..self.actors.len()).for_each(|who| self.sync(who));
    }

    pub fn blocks(&mut self, count: usize) {
        (0..count).for_each(|_| self.next(false));
        self.sync_all();
    }

    pub fn take(&mut self, who: usize) -> Wallet {
        let stand_in = self.fresh(&self.actors[who].keys, 0);
        std::mem::replace(&mut self.actors[who].wallet, stand_in)
    }

    /// A wallet that has read everything holds what it must, and its history adds up to that.
    #[track_caller]
    pub fn check(&self, who: usize) {
        let Actor {
            wallet,
            pool_units,
            account_units,
            ..
        } = &self.actors[who];
        let balance = wallet.pool_balance();
        assert_eq!(balance.total_units, *pool_units, "actor {who}");
        let parts = balance.spendable_units + balance.confirming_units + balance.locked_units;
        assert_eq!(parts, balance.total_units, "the parts are the whole");
        let lines = wallet.history();
        let done = lines.iter().filter(|line| line.status == Status::Final);
        let (pool, account) = done.fold((0, 0), |(pool, account), line| {
            (
                pool + line.pool_change_units,
                account + line.public_change_units,
            )
        });
        assert_eq!(pool, *pool_units as i64, "the history adds up");
        assert_eq!(account, *account_units as i64, "the history adds up");
    }
}
