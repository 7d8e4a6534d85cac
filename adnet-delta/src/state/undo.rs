//! What a block has changed, as it was before. One row per block is written in the block's own batch, so
//! that a node that starts gets the states of the last blocks back.
//!
//! Key in `Family::DeltaTxs`: `u` + height. Accounts and slots are named by their paths in the tries.

use super::account::Code;
use super::leaves::{self, AccountRow, Changed, RowError};
use super::{Account, WorldState};
use adnet_common::application::OpenError;
use adnet_common::codec::{DecodeError, Reader, Writer};
use adnet_common::store::{Family, ReadStore, Write};
use alloy_primitives::{B256, KECCAK256_EMPTY, U256};
use alloy_trie::Nibbles;

const FAMILY: Family = Family::DeltaTxs;
/// A bound for what is read back. What is written stays below it because gas pays for it: 5,000 per slot.
const MAX_LEAVES: usize = 1 << 20;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undo {
    /// Accounts by their paths; none where there was none.
    accounts: Vec<(B256, Option<AccountRow>)>,
    /// Slots of accounts that were there: the account's path, the slot's, and what it held.
    slots: Vec<(B256, B256, U256)>,
}

fn key(height: u64) -> Vec<u8> {
    [b"u".as_slice(), &height.to_be_bytes()].concat()
}

impl Undo {
    /// What leads back to `parent`, on which a block makes these writes.
    pub fn of(parent: &WorldState, writes: &[Write]) -> Self {
        let mut undo = Self::default();
        for write in writes {
            match leaves::changed_by(write) {
                Changed::Account(path) => {
                    let before = parent.account_at(&path).map(AccountRow::of);
                    undo.accounts.push((path, before));
                }
                Changed::Slot(path, slot) => {
                    let before = parent.account_at(&path);
                    undo.slots
                        .extend(before.map(|account| (path, slot, account.slot_at(&slot))));
                }
                Changed::Storage(path) => {
                    let before = parent.account_at(&path);
                    let slots = before.into_iter().flat_map(all_slots);
                    undo.slots
                        .extend(slots.map(|(slot, value)| (path, slot, value)));
                }
                Changed::Nothing => {}
            }
        }
        undo
    }

    /// How many leaves it changes back.
    pub fn changes(&self) -> usize {
        self.accounts.len() + self.slots.len()
    }

    /// The row of the block at `height`, and the end of the one that is `kept` blocks older.
    pub fn writes(&self, height: u64, kept: u64) -> Vec<Write> {
        let mut writes = vec![Write::put(FAMILY, key(height), self.encode())];
        let old = height.checked_sub(kept).map(key);
        writes.extend(old.map(|key| Write::Delete {
            family: FAMILY,
            key,
        }));
        writes
    }

    /// The row of the block at `height`, if that was executed here and not too long ago.
    pub fn read(store: &dyn ReadStore, height: u64) -> Result<Option<Self>, RowError> {
        let Some(bytes) = store.get(FAMILY, &key(height))? else {
            return Ok(None);
        };
        let undo = Self::decode(&bytes).map_err(|error| RowError::Corrupt {
            what: "what a block has changed",
            error,
        })?;
        Ok(Some(undo))
    }

    /// The state before the block whose state is `after`. Codes come from the store.
    ///
    /// # Errors
    /// The store's, and rows that do not fit the state.
    pub fn lead_back(
        &self,
        after: &WorldState,
        store: &dyn ReadStore,
    ) -> Result<WorldState, OpenError> {
        let mut state = after.clone();
        for (path, before) in &self.accounts {
            match before {
                None => state.accounts.remove(path),
                Some(row) => {
                    let mut account = state.account_at(path).cloned().unwrap_or_default();
                    account.nonce = row.nonce;
                    account.balance = row.balance;
                    if account.code_hash() != row.code_hash {
                        account.code = stored_code(store, &row.code_hash)?;
                    }
                    state.accounts.insert(path, account);
                }
            }
        }
        for of_one in self.slots.chunk_by(|a, b| a.0 == b.0) {
            let path = of_one[0].0;
            let account = state.account_at(&path).cloned();
            let mut account = account.ok_or_else(|| {
                OpenError::Corrupt(format!("slots of account {path}, which does not exist"))
            })?;
            for (_, slot, value) in of_one {
                account.set_slot(slot, *value);
            }
            state.accounts.insert(&path, account);
        }
        Ok(state)
    }

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(8 + 105 * self.accounts.len() + 96 * self.slots.len());
        w.list(&self.accounts, |w, (path, before)| {
            w.raw(path.as_slice());
            match before {
                None => w.u8(0),
                Some(row) => {
                    w.u8(1).u64(row.nonce);
                    w.raw(&row.balance.to_be_bytes::<32>())
                        .raw(row.code_hash.as_slice())
                }
            };
        });
        w.list(&self.slots, |w, (path, slot, value)| {
            w.raw(path.as_slice()).raw(slot.as_slice());
            w.raw(&value.to_be_bytes::<32>());
        });
        w.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let accounts = r.list("accounts", MAX_LEAVES, |r| {
            let path = B256::new(r.array("account")?);
            let before = match r.u8("account flag")? {
                0 => None,
                1 => Some(AccountRow {
                    nonce: r.u64("nonce")?,
                    balance: U256::from_be_bytes(r.array::<32>("balance")?),
                    code_hash: B256::new(r.array("code hash")?),
                }),
                _ => return Err(r.invalid("account flag", "neither 0 nor 1")),
            };
            Ok((path, before))
        })?;
        let slots = r.list("slots", MAX_LEAVES, |r| {
            let (path, slot) = (B256::new(r.array("account")?), B256::new(r.array("slot")?));
            let value = U256::from_be_bytes(r.array::<32>("slot value")?);
            Ok((path, slot, value))
        })?;
        r.end()?;
        Ok(Self { accounts, slots })
    }
}

fn all_slots(account: &Account) -> Vec<(B256, U256)> {
    let all = account.storage().below(&Nibbles::default());
    let slots = all.and_then(|all| all.leaves(usize::MAX));
    let slots = slots.unwrap_or_default().into_iter();
    slots.map(|(slot, value)| (slot, *value)).collect()
}

fn stored_code(store: &dyn ReadStore, hash: &B256) -> Result<Option<Code>, OpenError> {
    if *hash == KECCAK256_EMPTY {
        return Ok(None);
    }
    let code = leaves::code(store, hash)?;
    let code = code.ok_or_else(|| OpenError::Corrupt(format!("code {hash} is missing")))?;
    leaves::checked_code(hash, code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::trie::Trie;
    use adnet_common::memory_store::MemoryStore;
    use alloy_primitives::Address;

    #[test]
    fn what_came_went_and_changed_is_led_back() {
        let (gone, kept, new) = (
            Address::repeat_byte(1),
            Address::repeat_byte(2),
            Address::repeat_byte(3),
        );
        let account = |balance: u64| Account::new(1, U256::from(balance), None, Trie::default());
        let slot = U256::from;
        let mut parent = WorldState::default();
        for address in [gone, kept] {
            parent.set_account(&address, account(5), &mut Vec::new());
            for number in 1u64..4 {
                parent.set_slot(&address, slot(number), slot(number), &mut Vec::new());
            }
        }
        let (mut after, mut writes) = (parent.clone(), Vec::new());
        after.set_account(&gone, Account::default(), &mut writes);
        after.set_account(&new, account(6), &mut writes);
        after.set_slot(&new, slot(1), slot(9), &mut writes);
        for (number, value) in [(1u64, 0u64), (2, 7), (2, 8), (9, 9)] {
            after.set_slot(&kept, slot(number), slot(value), &mut writes);
        }
        assert_ne!(after.root(), parent.root());
        let undo = Undo::of(&parent, &writes);
        let store = MemoryStore::new();
        let before = undo.lead_back(&after, &store).expect("it fits");
        assert_eq!(before.root(), parent.root());
        let elsewhere = undo.lead_back(&WorldState::default(), &store);
        assert!(matches!(elsewhere, Err(OpenError::Corrupt(_))));
    }

    #[test]
    fn a_row_survives_its_encoding_and_no_prefix_of_it_does() {
        let row = AccountRow {
            nonce: 7,
            balance: U256::from(8),
            code_hash: B256::repeat_byte(9),
        };
        let undo = Undo {
            accounts: vec![
                (B256::repeat_byte(1), None),
                (B256::repeat_byte(2), Some(row)),
            ],
            slots: vec![(B256::repeat_byte(2), B256::repeat_byte(3), U256::MAX)],
        };
        let bytes = undo.encode();
        assert_eq!(Undo::decode(&bytes), Ok(undo));
        for len in 0..bytes.len() {
            assert!(Undo::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
        assert!(Undo::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
}
