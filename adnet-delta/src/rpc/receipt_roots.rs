//! The roots of blocks' receipts. Delta's header does not hold them, and hashing the receipts of a large block
//! takes a good part of the time in which it was executed: so a root is computed when somebody asks for it.

use crate::history::block::BlockFigures;
use crate::history::receipt::{self, Receipt};
use crate::history::{self, HistoryError};
use adnet_common::store::ReadStore;
use alloy_primitives::B256;
use alloy_trie::EMPTY_ROOT_HASH;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Roots that are kept, of 40 bytes each: the lowest block's goes first.
const KEPT: usize = 10_000;
/// The receipts of so much gas (about 500 transfers, or 1 MB of logs) are hashed within a few milliseconds.
const QUICK_GAS: u64 = 10_000_000;

/// See the module. Cheap to clone; all clones share what they know.
#[derive(Clone, Default)]
pub struct ReceiptRoots(Arc<Mutex<BTreeMap<u64, B256>>>);

impl ReceiptRoots {
    /// Whether there is so much to hash that whoever asks takes a slot first.
    pub fn takes_long(&self, of: &BlockFigures) -> bool {
        of.gas_used > QUICK_GAS && !self.known().contains_key(&of.height)
    }

    pub fn read(&self, store: &dyn ReadStore, of: &BlockFigures) -> Result<B256, HistoryError> {
        if of.gas_used == 0 {
            return Ok(EMPTY_ROOT_HASH); // no transaction is free
        }
        let known = self.known().get(&of.height).copied();
        match known {
            Some(root) => Ok(root),
            None => Ok(self.compute(of.height, &history::receipts_of(store, of.height)?)),
        }
    }

    /// The root of all receipts of the block at `height`.
    pub fn compute(&self, height: u64, receipts: &[Receipt]) -> B256 {
        let root = receipt::root(receipts);
        let mut known = self.known();
        known.insert(height, root);
        if known.len() > KEPT {
            known.pop_first();
        }
        root
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<u64, B256>> {
        let known = self.0.lock();
        known.expect("nobody panics while holding roots")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::tests::{Chain, dev_genesis};
    use alloy_primitives::{Address, U256};

    #[test]
    fn a_root_is_read_once_and_is_that_of_all_receipts() {
        let mut chain = Chain::new(dev_genesis());
        chain.block(&[], &[]);
        let txs: Vec<_> = (0..200)
            .map(|nonce| chain.transfer(0, nonce, Address::repeat_byte(5), U256::from(1)))
            .collect();
        let receipts = chain.block(&txs, &[]).receipts;
        let figures = |height| {
            let figures = history::figures(&chain.store, height).expect("it reads");
            figures.expect("the block was executed")
        };
        let roots = ReceiptRoots::default();
        let root = |of: &BlockFigures| roots.read(&chain.store, of).expect("it reads");
        assert_eq!(root(&figures(1)), EMPTY_ROOT_HASH);
        assert_eq!(root(&figures(2)), receipt::root(&receipts));
        assert_ne!(receipt::root(&receipts), receipt::root(&receipts[..199]));
        let nothing = adnet_common::memory_store::MemoryStore::new();
        assert_eq!(roots.read(&nothing, &figures(2)), Ok(root(&figures(2))));

        let mut large = figures(2);
        large.gas_used = QUICK_GAS + 1;
        assert!(!roots.takes_long(&large), "it is known");
        assert!(ReceiptRoots::default().takes_long(&large));
        assert!(!ReceiptRoots::default().takes_long(&figures(2)));
    }

    #[test]
    fn the_lowest_goes_first() {
        let roots = ReceiptRoots::default();
        for height in (0..=KEPT as u64).rev() {
            roots.compute(height, &[]);
        }
        assert_eq!(roots.known().len(), KEPT);
        assert!(!roots.known().contains_key(&0));
    }
}
