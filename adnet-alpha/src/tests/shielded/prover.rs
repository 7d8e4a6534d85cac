//! Notes of one owner, and real transactions that make and spend them.

use std::sync::LazyLock;

use adnet_common::genesis::{UNITS_PER_AX, dev_governor_seed};
use adnet_common::keys::AlphaAddress;

use incrementalmerkletree::Retention;
use orchard::builder::{Builder, BundleType};
use orchard::bundle::Flags;
use orchard::circuit::ProvingKey;
use orchard::keys::{
    FullViewingKey, PreparedIncomingViewingKey, Scope, SpendAuthorizingKey, SpendingKey,
};
use orchard::note_encryption::IronwoodDomain;
use orchard::tree::{Anchor, MerkleHashOrchard, MerklePath};
use orchard::value::NoteValue;
use orchard::{Address, Note};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use shardtree::ShardTree;
use shardtree::store::memory::MemoryShardStore;
use zcash_note_encryption::try_note_decryption;

use super::super::harness::{Chain, EVM, REASON, address, key};
use crate::pool::bundle::{BUNDLE_VERSION, empty_anchor};
use crate::pool::verifying_key::CIRCUIT;
use crate::pool::{Bundle, BundleProof};
use crate::tx::{
    BurnPrivate, FeeSchedule, Function, LockPrivate, MintPrivate, Payload, Shield, Transaction,
    TransferPrivate, Unshield, Witness, approve, assemble_private_mint, sign_shield,
};

static PROVING_KEY: LazyLock<ProvingKey> = LazyLock::new(|| ProvingKey::build(CIRCUIT));

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// What each dev account has at genesis.
pub const START: u64 = 1_000_000 * UNITS_PER_AX;

/// A note that can be spent, with its place in the tree.
#[derive(Clone)]
struct Held {
    note: Note,
    position: u64,
}

/// Somebody who owns notes, and follows the chain's blocks to know their places.
pub struct Owner {
    spending: SpendingKey,
    viewing: FullViewingKey,
    tree: ShardTree<MemoryShardStore<MerkleHashOrchard, u64>, 32, 16>,
    size: u64,
    held: Vec<Held>,
}

impl Owner {
    pub fn new(seed: u8) -> Self {
        let spending = SpendingKey::from_zip32_seed(&[seed; 32], 8888, zip32::AccountId::ZERO)
            .expect("any seed of 32 bytes");
        Self {
            viewing: FullViewingKey::from(&spending),
            spending,
            tree: ShardTree::new(MemoryShardStore::empty(), 200),
            size: 0,
            held: Vec::new(),
        }
    }

    pub fn address(&self) -> Address {
        self.viewing.address_at(0u32, Scope::External)
    }

    /// Units of the notes held.
    pub fn balance(&self) -> u64 {
        self.held.iter().map(|held| held.note.value().inner()).sum()
    }

    /// Takes in the transactions of a block that was committed, in their order.
    pub fn follow(&mut self, height: u64, txs: &[Transaction]) {
        let bundles = txs.iter().filter_map(|tx| tx.payload.function.bundle());
        for (bundle, tx) in bundles.zip(txs.iter().filter(|tx| tx.witness.proof().is_some())) {
            let proof = tx.witness.proof().expect("filtered");
            let decoded = bundle.authorize(proof).expect("it is in a block");
            for action in decoded.actions() {
                let spent = *action.nullifier();
                let viewing = &self.viewing;
                self.held
                    .retain(|held| held.note.nullifier(viewing) != spent);
                let mine = [Scope::External, Scope::Internal].iter().find_map(|scope| {
                    let incoming = self.viewing.to_ivk(*scope);
                    let incoming = PreparedIncomingViewingKey::new(&incoming);
                    try_note_decryption(&IronwoodDomain::for_action(action), &incoming, action)
                });
                let retention = match mine {
                    Some(_) => Retention::Marked,
                    None => Retention::Ephemeral,
                };
                let leaf = MerkleHashOrchard::from_cmx(action.cmx());
                self.tree.append(leaf, retention).expect("room");
                let position = self.size;
                self.size += 1;
                self.held
                    .extend(mine.map(|(note, ..)| Held { note, position }));
            }
        }
        self.tree.checkpoint(height).expect("heights rise");
    }

    /// The tree's root as this owner has it.
    pub fn anchor(&self) -> Anchor {
        let root = self.tree.root_at_checkpoint_depth(Some(0));
        root.expect("memory")
            .map_or_else(empty_anchor, Anchor::from)
    }

    fn path(&self, position: u64) -> MerklePath {
        let path = self.tree.witness_at_checkpoint_depth(position.into(), 0);
        path.expect("memory").expect("a marked leaf").into()
    }

    /// A builder that spends all notes held into outputs of these values, to the owner or to others.
    fn spending(&self, outputs: &[(Address, u64)]) -> Builder {
        let builder = Builder::new(
            BundleType::DEFAULT,
            BUNDLE_VERSION,
            Flags::ENABLED,
            self.anchor(),
        );
        let mut builder = builder.expect("these flags are of this version");
        for held in &self.held {
            builder
                .add_spend(self.viewing.clone(), held.note, self.path(held.position))
                .expect("the path leads to the anchor");
        }
        add_outputs(&mut builder, outputs);
        builder
    }

    /// Proves and signs what `function` makes of the builder's bundle.
    fn prove(
        &self,
        chain: &Chain,
        fee_units: u64,
        builder: Builder,
        function: impl FnOnce(Bundle) -> Function,
    ) -> (Payload, BundleProof) {
        let built = builder.build::<i64>(rng()).expect("it balances");
        let (unproven, _) = built.expect("it has actions");
        let mut terms = chain.terms();
        terms.fee_units = fee_units;
        let payload = terms.payload(function(Bundle::of(&unproven)));
        let proven = unproven.create_proof(&PROVING_KEY, rng()).expect("sound");
        let ask = SpendAuthorizingKey::from(&self.spending);
        let signed = proven
            .apply_signatures(rng(), payload.sighash().0, &[ask])
            .expect("all spends are the owner's");
        (payload, BundleProof::of(&signed))
    }

    fn pool_transaction(
        &self,
        chain: &Chain,
        outputs: &[(Address, u64)],
        function: impl Fn(Bundle) -> Function,
    ) -> Transaction {
        let actions = self.held.len().max(outputs.len()).max(2);
        let fee_units = fee_units(chain, &function(Bundle::blank(actions)));
        let builder = self.spending(outputs);
        let (payload, proof) = self.prove(chain, fee_units, builder, function);
        let witness = Witness::Bundle(proof);
        Transaction { payload, witness }
    }

    /// All notes to these outputs; what is left is the fee.
    pub fn transfer(&self, chain: &Chain, outputs: &[(Address, u64)]) -> Transaction {
        self.pool_transaction(chain, outputs, |bundle| {
            Function::TransferPrivate(TransferPrivate { bundle })
        })
    }

    /// All notes less `kept` units, which stay the owner's, to a public account.
    pub fn unshield(&self, chain: &Chain, to: usize, kept: u64) -> Transaction {
        let AlphaAddress(recipient) = address(to);
        self.pool_transaction(chain, &[(self.address(), kept)], |bundle| {
            Function::Unshield(Unshield { recipient, bundle })
        })
    }

    pub fn burn(&self, chain: &Chain, kept: u64) -> Transaction {
        self.pool_transaction(chain, &[(self.address(), kept)], |bundle| {
            Function::BurnPrivate(BurnPrivate { bundle })
        })
    }

    pub fn lock(&self, chain: &Chain, kept: u64) -> Transaction {
        self.pool_transaction(chain, &[(self.address(), kept)], |bundle| {
            Function::LockPrivate(LockPrivate {
                recipient: EVM.0,
                bundle,
            })
        })
    }

    /// AX of a public account to this owner.
    pub fn shield(&self, chain: &Chain, from: usize, amount_units: u64) -> Transaction {
        let sender = address(from).0;
        let nonce = chain.account(from).nonce;
        let function = |bundle| {
            Function::Shield(Shield {
                sender,
                nonce,
                bundle,
            })
        };
        let fee_units = fee_units(chain, &function(Bundle::blank(2)));
        let builder = output_only(self.address(), amount_units);
        let (payload, proof) = self.prove(chain, fee_units, builder, function);
        sign_shield(&key(from), payload, proof).expect("the sender's key")
    }

    pub fn mint(&self, chain: &Chain, order_nonce: u64, amount_units: u64) -> Transaction {
        let function = |bundle| {
            Function::MintPrivate(MintPrivate {
                order_nonce,
                amount_units,
                reason_hash: REASON,
                bundle,
            })
        };
        let fees = FeeSchedule::of(&chain.genesis.alpha);
        let fee_units = fees.of_function(&function(Bundle::blank(2)), 2);
        let builder = output_only(self.address(), amount_units - fee_units);
        let (payload, proof) = self.prove(chain, fee_units, builder, function);
        let approval = |i| approve(&dev_governor_seed(i), &payload).expect("an ed25519 seed");
        let approvals = (0..2).map(approval).collect();
        assemble_private_mint(payload, approvals, proof)
    }
}

fn add_outputs(builder: &mut Builder, outputs: &[(Address, u64)]) {
    for (to, units) in outputs {
        builder
            .add_output(None, *to, NoteValue::from_raw(*units), [0; 512])
            .expect("outputs are enabled");
    }
}

fn output_only(to: Address, units: u64) -> Builder {
    let flags = Flags::SPENDS_DISABLED;
    let builder = Builder::new(BundleType::DEFAULT, BUNDLE_VERSION, flags, empty_anchor());
    let mut builder = builder.expect("these flags are of this version");
    add_outputs(&mut builder, &[(to, units)]);
    builder
}

/// What a transaction of this function costs.
pub fn fee_units(chain: &Chain, function: &Function) -> u64 {
    FeeSchedule::of(&chain.genesis.alpha).of_function(function, 0)
}

/// What a transaction from the pool with two actions costs.
pub fn pool_fee_units(chain: &Chain) -> u64 {
    let bundle = Bundle::blank(2);
    fee_units(chain, &Function::BurnPrivate(BurnPrivate { bundle }))
}
