//! Delta's state: accounts with code and storage, in memory, with a Merkle root.
//!
//! [`WorldState`] is a persistent value: a clone is one pointer and never changes under its reader.
//! The store holds the same leaves flat (`leaves`), so a block writes only what it changed and the
//! trie is rebuilt from a scan when the node starts.

pub mod account;
pub mod leaves;
mod pieces;
mod restore;
pub mod trie;
pub mod undo;

pub use account::{Account, Code};
pub use pieces::piece;
pub use restore::DeltaRestore;

use account::slot_path;
use adnet_common::store::Write;
use alloy_primitives::map::B256Map;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use leaves::AccountRow;
use revm::bytecode::Bytecode;
use revm::database::BundleState;
use revm::state::AccountInfo;
use std::collections::BTreeMap;
use trie::Trie;

/// From so many changed leaves on, starting threads for their hashes pays.
const MANY_CHANGES: usize = 2_000;

/// All accounts as of one block.
#[derive(Clone, Debug, Default)]
pub struct WorldState {
    accounts: Trie<Account>,
}

impl WorldState {
    pub fn account(&self, address: &Address) -> Option<&Account> {
        self.accounts.get(&keccak256(address))
    }

    /// The account with this path, the hash of its address.
    pub fn account_at(&self, path: &B256) -> Option<&Account> {
        self.accounts.get(path)
    }

    /// A storage slot; zero where nothing is stored.
    pub fn storage(&self, address: &Address, slot: &U256) -> U256 {
        let account = self.account(address);
        account.map_or(U256::ZERO, |account| account.slot(slot))
    }

    pub fn root(&self) -> B256 {
        self.accounts.root()
    }

    /// The same on all cores, where a block has changed many accounts.
    pub fn root_after(&self, changes: usize) -> B256 {
        if changes < MANY_CHANGES {
            return self.root();
        }
        self.accounts.root_on_all_cores()
    }

    /// Trie nodes that prove the account, or its absence.
    pub fn account_proof(&self, address: &Address) -> Vec<Bytes> {
        self.accounts.proof(&keccak256(address))
    }

    /// Sum of all balances, in wei. Walks every account.
    pub fn total_balance(&self) -> U256 {
        let mut total = U256::ZERO;
        self.accounts.for_each(|account| {
            total = total
                .checked_add(account.balance)
                .expect("all wei together fit 128 bits");
        });
        total
    }

    /// The state of exactly these leaves, for tests that begin with accounts which are empty.
    #[cfg(test)]
    pub fn of_leaves(leaves: impl IntoIterator<Item = (B256, Account)>) -> Self {
        let mut state = Self::default();
        for (path, account) in leaves {
            state.accounts.insert(&path, account);
        }
        state
    }

    /// Sets an account, or removes it if it is empty (EIP-161).
    pub fn set_account(&mut self, address: &Address, account: Account, writes: &mut Vec<Write>) {
        let path = keccak256(address);
        if account.is_empty() {
            self.remove_account(&path, writes);
        } else {
            writes.push(leaves::put_account(&path, &AccountRow::of(&account)));
            self.accounts.insert(&path, account);
        }
    }

    fn remove_account(&mut self, path: &B256, writes: &mut Vec<Write>) {
        writes.push(leaves::delete_account(path));
        writes.push(leaves::delete_storage(path));
        self.accounts.remove(path);
    }

    /// Sets one storage slot of an account that exists.
    ///
    /// # Panics
    /// If there is no such account: only system accounts are written this way.
    pub fn set_slot(
        &mut self,
        address: &Address,
        slot: U256,
        value: U256,
        writes: &mut Vec<Write>,
    ) {
        let account = self
            .account(address)
            .expect("system accounts exist since genesis");
        let mut account = account.clone();
        let slot = slot_path(&slot);
        account.set_slot(&slot, value);
        let path = keccak256(address);
        writes.push(leaves::slot_write(&path, &slot, value));
        self.accounts.insert(&path, account);
    }

    /// Applies what the EVM changed in a block. Writes come in the order of their keys: neighbours share
    /// most of their way, in the trie and in the store.
    pub fn apply_bundle(&mut self, bundle: BundleState, writes: &mut Vec<Write>) {
        let codes = bundle.contracts;
        let changed = bundle.state.into_iter();
        let changed = changed.map(|(address, change)| (keccak256(address), change));
        let changed: BTreeMap<B256, _> = changed.collect();
        for (path, change) in changed {
            let info = match &change.info {
                Some(info) if !info.is_empty() => info,
                _ => {
                    if self.accounts.get(&path).is_some() {
                        self.remove_account(&path, writes);
                    }
                    continue;
                }
            };
            let before = self.accounts.get(&path).cloned();
            let mut account = before.clone().unwrap_or_default();
            let mut storage_changed = change.was_destroyed() && account.has_storage();
            if storage_changed {
                account.clear_storage();
                writes.push(leaves::delete_storage(&path));
            }
            account.nonce = info.nonce;
            account.balance = info.balance;
            if account.code_hash() != info.code_hash {
                account.code = code_of(info, &codes);
                let code = account.code.as_ref();
                writes.extend(code.map(|code| leaves::put_code(&code.hash(), &code.bytes())));
            }
            let slots = change.storage.into_iter();
            let slots = slots.map(|(slot, value)| (slot_path(&slot), value.present_value));
            let slots: BTreeMap<B256, U256> = slots.collect();
            let changes = slots.len();
            for (slot, value) in slots {
                if account.slot_at(&slot) != value {
                    account.set_slot(&slot, value);
                    writes.push(leaves::slot_write(&path, &slot, value));
                    storage_changed = true;
                }
            }
            if changes >= MANY_CHANGES {
                account.storage().root_on_all_cores();
            }
            let fields = |a: &Account| (a.nonce, a.balance, a.code_hash());
            let fields_changed = before.as_ref().map(fields) != Some(fields(&account));
            if fields_changed {
                writes.push(leaves::put_account(&path, &AccountRow::of(&account)));
            }
            if fields_changed || storage_changed {
                self.accounts.insert(&path, account);
            }
        }
    }
}

/// The code that an account got in a block; none where a delegation was taken back (EIP-7702).
fn code_of(info: &AccountInfo, codes: &B256Map<Bytecode>) -> Option<Code> {
    if info.code_hash == KECCAK256_EMPTY {
        return None;
    }
    let code = info
        .code
        .clone()
        .or_else(|| codes.get(&info.code_hash).cloned());
    Code::new(
        info.code_hash,
        code.expect("the EVM keeps the code of what a block deploys"),
    )
}
