//! Real shielded transactions for the simulated network of four validators, made once and kept in a
//! file: a proof takes seconds to make, and the simulator plays hundreds of networks.
//!
//! Each follows from those before it, because a payment names a root of the note tree: AX is minted to
//! a note, paid to somebody else with a memo, locked for Delta, taken out of the pool to a public
//! account, put into it again from there, and burned. They are good for the genesis of that network
//! alone, and up to [`EXPIRY_HEIGHT`].

use adnet_alpha::compact::{CompactBlock, CompactTx};
use adnet_alpha::pool::tree::NoteTree;
use adnet_alpha::tx::{FeeSchedule, Function, Transaction, approve};
use adnet_alpha::wallet::keys::SpendingKeys;
use adnet_alpha::wallet::mnemonic::Mnemonic;
use adnet_alpha::wallet::{
    Account, Birthday, BlockRef, Conditions, Intent, Memo, Network, PrivateMint, Source, Wallet,
    add_approval,
};
use adnet_common::codec::{Reader, Writer};
use adnet_common::genesis::{Genesis, dev_delta_secret, dev_governor_seed};
use adnet_common::hash::Hash;
use adnet_common::keys::EvmAddress;

/// The last height that may include any of them.
pub const EXPIRY_HEIGHT: u64 = 40;

const FILE: &[u8] = include_bytes!("../fixtures/shielded.bin");
/// More than there are.
const COUNT_MAX: usize = 64;
const BYTES_MAX: usize = 64 << 10;
/// A payment names a root some blocks back.
const BLOCKS_BETWEEN: usize = 4;

/// The transactions in the order in which they can be in blocks, in their wire form.
///
/// # Panics
/// If the file is damaged.
pub fn transactions() -> Vec<Vec<u8>> {
    let mut r = Reader::new(FILE);
    let transactions = r.list("transactions", COUNT_MAX, |r| {
        Ok(r.bytes("transaction", BYTES_MAX)?.to_vec())
    });
    let transactions = transactions.expect("the file is written by `encode`");
    r.end().expect("the file is written by `encode`");
    transactions
}

/// The file of these transactions.
pub fn encode(transactions: &[Transaction]) -> Vec<u8> {
    let mut w = Writer::new();
    w.list(transactions, |w, tx| {
        w.bytes(&tx.encode());
    });
    w.finish()
}

/// Units that a transaction locks for Delta.
pub fn locked_units(raw: &[u8]) -> u64 {
    let tx = Transaction::decode(raw).expect("a transaction of ours");
    match &tx.payload.function {
        Function::LockPrivate(_) => {
            let amount_units = tx.payload.function.amount_units(tx.payload.fee_units);
            amount_units.expect("a sound transaction")
        }
        _ => 0,
    }
}

/// Makes the transactions anew for a network: about four seconds each.
pub fn make(genesis: &Genesis) -> Vec<Transaction> {
    let mut maker = Maker::new(genesis);
    maker.mint(30_000_000);
    let friend = SpendingKeys::derive(&mnemonic("zoo ", "vote").seed(), 0).expect("any seed");
    maker.pay(&Intent::Send {
        recipient: friend.viewing().shielded_address(0),
        amount_units: 1_000_000,
        memo: Memo::text("for the simulator").expect("it is short"),
    });
    let secret = dev_delta_secret(0).expect("there is one");
    let delta = adnet_delta::tx::address(&secret).expect("a Delta key");
    maker.pay(&Intent::Lock {
        from: Source::Pool,
        recipient: EvmAddress(delta.0.0),
        amount_units: 2_000_000,
    });
    let account = maker.keys.viewing().alpha;
    maker.pay(&Intent::Unshield {
        recipient: account,
        amount_units: 4_000_000,
    });
    maker.account = Account {
        balance_units: 4_000_000,
        nonce: 0,
    };
    maker.pay(&Intent::Shield {
        recipient: maker.keys.viewing().shielded_address(1),
        amount_units: 3_000_000,
        memo: Memo::none(),
    });
    maker.pay(&Intent::Burn {
        from: Source::Pool,
        amount_units: 5_000_000,
    });
    maker.made
}

/// The mnemonic of one word 23 times and another that makes its checksum right.
fn mnemonic(word: &str, last: &str) -> Mnemonic {
    let words = word.repeat(23) + last;
    Mnemonic::parse(&words).expect("one of BIP-39's vectors")
}

/// A wallet with blocks that have its own transactions alone.
struct Maker<'a> {
    genesis: &'a Genesis,
    keys: SpendingKeys,
    wallet: Wallet,
    account: Account,
    commitments: u64,
    made: Vec<Transaction>,
}

impl<'a> Maker<'a> {
    fn new(genesis: &'a Genesis) -> Self {
        let keys = SpendingKeys::derive(&mnemonic("abandon ", "art").seed(), 0);
        let keys = keys.expect("any seed");
        let network = Network {
            name: genesis.network_name.clone(),
            genesis: genesis.hash(),
        };
        let block = BlockRef {
            height: 0,
            hash: Hash::ZERO,
        };
        let tree = NoteTree::default();
        let birthday = Birthday { block, tree };
        let wallet = Wallet::new(network, keys.viewing().clone(), birthday);
        Self {
            genesis,
            wallet: wallet.expect("it begins at the genesis"),
            keys,
            account: Account {
                balance_units: 0,
                nonce: 0,
            },
            commitments: 0,
            made: Vec::new(),
        }
    }

    fn mint(&mut self, amount_units: u64) {
        let mint = PrivateMint {
            genesis: self.genesis.hash(),
            order_nonce: 1_000_000,
            recipient: self.keys.viewing().shielded_address(0),
            amount_units,
            reason_hash: Hash::ZERO,
            memo: Memo::none(),
            expiry_height: EXPIRY_HEIGHT,
        };
        let fees = FeeSchedule::of(&self.genesis.alpha);
        let governors = self.genesis.alpha.governors.threshold as usize;
        let proposed = mint.propose(&fees, governors, &mut |_| {});
        let signed = (0..governors).fold(proposed.expect("it builds"), |tx, governor| {
            let approval = approve(&dev_governor_seed(governor), &tx.payload);
            add_approval(tx, approval.expect("an ed25519 seed")).expect("a mint to a note")
        });
        self.include(signed);
    }

    fn pay(&mut self, intent: &Intent) {
        let conditions = Conditions {
            fees: FeeSchedule::of(&self.genesis.alpha),
            expiry_window_blocks: self.genesis.alpha.expiry_window_blocks,
            account: Some(self.account),
        };
        let mut plan = self
            .wallet
            .plan(intent, &conditions)
            .expect("it can be paid");
        plan.expiry_height = EXPIRY_HEIGHT;
        let built = self.wallet.build(&plan, &self.keys, &mut |_| {});
        self.include(built.expect("it builds").transaction);
    }

    /// Reads a block with this transaction, and some empty ones.
    fn include(&mut self, tx: Transaction) {
        let mut txs = vec![CompactTx::of(&tx)];
        self.made.push(tx);
        for _ in 0..BLOCKS_BETWEEN {
            let tip = self.wallet.tip();
            let height = tip.height + 1;
            let block = CompactBlock {
                height,
                hash: Hash::of("fixture block", &[&height.to_be_bytes()]),
                parent: tip.hash,
                time_ms: height,
                commitments_before: self.commitments,
                txs: std::mem::take(&mut txs),
                unlocks: Vec::new(),
            };
            self.commitments += block.commitments();
            self.wallet.scan(&[block]).expect("an honest block");
        }
    }
}
