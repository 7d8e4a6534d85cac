//! Private transfers with real proofs, and the blocks that a wallet reads.

use std::time::{Duration, Instant};

use adnet_alpha::compact::{CompactBlock, CompactTx};
use adnet_alpha::pool::tree::NoteTree;
use adnet_alpha::tx::{FeeSchedule, Transaction, approve};
use adnet_alpha::wallet::keys::SpendingKeys;
use adnet_alpha::wallet::mnemonic::Mnemonic;
use adnet_alpha::wallet::{
    ANCHOR_DEPTH_BLOCKS, Birthday, BlockRef, Conditions, Intent, Memo, Network, PrivateMint,
    Wallet, add_approval,
};
use adnet_common::genesis::{Genesis, dev_governor_seed};
use adnet_common::hash::Hash;

const NOTE_UNITS: u64 = 1_000_000;

/// A wallet that begins with the chain.
pub fn wallet_of(genesis: &Genesis, keys: &SpendingKeys) -> Wallet {
    let network = Network {
        name: genesis.network_name.clone(),
        genesis: genesis.hash(),
    };
    let block = BlockRef {
        height: 0,
        hash: Hash::ZERO,
    };
    let tree = NoteTree::default();
    let wallet = Wallet::new(network, keys.viewing().clone(), Birthday { block, tree });
    wallet.expect("it begins at the genesis")
}

/// Blocks on end, as wallets read them.
#[derive(Default)]
pub struct Blocks {
    pub blocks: Vec<CompactBlock>,
    /// Notes in them.
    pub commitments: u64,
}

impl Blocks {
    pub fn push(&mut self, txs: Vec<CompactTx>) {
        let height = self.blocks.len() as u64 + 1;
        let parent = self.blocks.last().map_or(Hash::ZERO, |block| block.hash);
        let notes: usize = txs.iter().map(|tx| tx.actions.len()).sum();
        self.blocks.push(CompactBlock {
            height,
            hash: Hash::of("bench block", &[&height.to_be_bytes()]),
            parent,
            time_ms: height,
            commitments_before: self.commitments,
            txs,
            unlocks: Vec::new(),
        });
        self.commitments += notes as u64;
    }
}

/// So many transfers of one owner to a stranger, each of another note, and the shortest time that one
/// took to be made.
pub fn private_transfers(genesis: &Genesis, count: usize) -> (Vec<Transaction>, Duration) {
    let words = "abandon ".repeat(23) + "art";
    let mnemonic = Mnemonic::parse(&words).expect("a mnemonic of BIP-39's vectors");
    let keys = SpendingKeys::derive(&mnemonic.seed(), 0).expect("any seed");
    let mut wallet = wallet_of(genesis, &keys);
    let mut chain = Blocks::default();
    let mints = (0..count as u64).map(|number| mint(genesis, &keys, number));
    chain.push(mints.map(|tx| CompactTx::of(&tx)).collect());
    (0..ANCHOR_DEPTH_BLOCKS).for_each(|_| chain.push(Vec::new()));
    wallet.scan(&chain.blocks).expect("they follow each other");

    let stranger = SpendingKeys::derive(&Mnemonic::generate().seed(), 0).expect("any seed");
    let intent = Intent::Send {
        recipient: stranger.viewing().shielded_address(0),
        amount_units: NOTE_UNITS / 2,
        memo: Memo::none(),
    };
    let conditions = Conditions {
        fees: FeeSchedule::of(&genesis.alpha),
        expiry_window_blocks: genesis.alpha.expiry_window_blocks,
        account: None,
    };
    let mut best = Duration::MAX;
    let transfers = (0..count).map(|_| {
        let plan = wallet.plan(&intent, &conditions);
        let plan = plan.expect("there is a note for each");
        let began = Instant::now();
        let built = wallet.build(&plan, &keys, &mut |_| {}).expect("it builds");
        best = best.min(began.elapsed());
        wallet.add(&built);
        built.transaction
    });
    let transfers = transfers.collect();
    (transfers, best)
}

fn mint(genesis: &Genesis, keys: &SpendingKeys, order_nonce: u64) -> Transaction {
    let fees = FeeSchedule::of(&genesis.alpha);
    let governors = genesis.alpha.governors.threshold as usize;
    let mint = PrivateMint {
        genesis: genesis.hash(),
        order_nonce,
        recipient: keys.viewing().shielded_address(0),
        amount_units: NOTE_UNITS,
        reason_hash: Hash::ZERO,
        memo: Memo::none(),
        expiry_height: 30,
    };
    let proposed = mint.propose(&fees, governors, &mut |_| {});
    (0..governors).fold(proposed.expect("it builds"), |tx, governor| {
        let approval = approve(&dev_governor_seed(governor), &tx.payload);
        add_approval(tx, approval.expect("an ed25519 seed")).expect("a mint to a note")
    })
}
