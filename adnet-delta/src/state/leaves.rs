//! The state as it lies in the store: flat leaves, and the way back from them.
//!
//! Keys of `Family::DeltaState`: `a` + account → nonce, balance, code hash; `c` + code hash → code
//! (kept for ever: accounts may share it); `s` + account + slot → value. Accounts and slots are named by
//! the hashes that are their paths in the tries, so that a state that comes from peers needs nothing
//! that its root does not prove. Numbers are big-endian.

use super::trie::Trie;
use super::{Account, Code, WorldState};
use adnet_common::application::OpenError;
use adnet_common::codec::{DecodeError, Reader, Writer};
use adnet_common::store::{Family, ReadStore, StoreError, Write, scan_all};
use alloy_primitives::{B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use revm::bytecode::Bytecode;
use std::collections::BTreeMap;

const FAMILY: Family = Family::DeltaState;
const ACCOUNT: u8 = b'a';
const CODE: u8 = b'c';
const SLOT: u8 = b's';

fn account_key(path: &B256) -> Vec<u8> {
    [&[ACCOUNT], path.as_slice()].concat()
}

fn storage_prefix(path: &B256) -> Vec<u8> {
    [&[SLOT], path.as_slice()].concat()
}

/// What the row of an account holds. Its storage root follows from its slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    pub nonce: u64,
    pub balance: U256,
    pub code_hash: B256,
}

impl AccountRow {
    pub fn of(account: &Account) -> Self {
        Self {
            nonce: account.nonce,
            balance: account.balance,
            code_hash: account.code_hash(),
        }
    }
}

pub fn put_account(path: &B256, row: &AccountRow) -> Write {
    let mut w = Writer::with_capacity(72);
    w.u64(row.nonce).raw(&row.balance.to_be_bytes::<32>());
    w.raw(row.code_hash.as_slice());
    Write::put(FAMILY, account_key(path), w.finish())
}

pub fn delete_account(path: &B256) -> Write {
    let (family, key) = (FAMILY, account_key(path));
    Write::Delete { family, key }
}

/// Deletes every slot of an account.
pub fn delete_storage(path: &B256) -> Write {
    let from = storage_prefix(path);
    // The end is exclusive and slots have 32 bytes: 33 of 0xff lie behind the last.
    let to = [&from[..], &[u8::MAX; 33]].concat();
    Write::DeleteRange {
        family: FAMILY,
        from,
        to,
    }
}

pub fn put_code(hash: &B256, code: &[u8]) -> Write {
    let key = [&[CODE], hash.as_slice()].concat();
    Write::put(FAMILY, key, code)
}

/// The leaves that a write changes.
#[derive(Debug, PartialEq, Eq)]
pub enum Changed {
    /// The account with this path.
    Account(B256),
    /// The slot with the second path, of the account with the first.
    Slot(B256, B256),
    /// All slots of the account with this path.
    Storage(B256),
    /// No leaf.
    Nothing,
}

/// What one of the writes that are made here changes.
pub fn changed_by(write: &Write) -> Changed {
    let (family, key) = match write {
        Write::Put { family, key, .. } | Write::Delete { family, key } => (family, key),
        Write::DeleteRange { family, from, .. } => (family, from),
    };
    if *family != FAMILY {
        return Changed::Nothing;
    }
    let path = |from: usize| B256::from_slice(&key[from..from + 32]);
    match (key[0], write) {
        (ACCOUNT, _) => Changed::Account(path(1)),
        (SLOT, Write::DeleteRange { .. }) => Changed::Storage(path(1)),
        (SLOT, _) => Changed::Slot(path(1), path(33)),
        _ => Changed::Nothing,
    }
}

/// A row cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{what} in the database is corrupt: {error}")]
    Corrupt {
        what: &'static str,
        error: DecodeError,
    },
}

/// The account with this path.
pub fn account(store: &dyn ReadStore, path: &B256) -> Result<Option<AccountRow>, RowError> {
    let key = account_key(path);
    let Some(value) = store.get(FAMILY, &key)? else {
        return Ok(None);
    };
    let decoded = decode_account(&key, &value);
    let (_, row) = decoded.map_err(|error| RowError::Corrupt {
        what: "an account",
        error,
    })?;
    Ok(Some(row))
}

/// A slot of the account with this path; zero where nothing is stored.
pub fn slot(store: &dyn ReadStore, path: &B256, slot: &B256) -> Result<U256, RowError> {
    let key = [&storage_prefix(path)[..], slot.as_slice()].concat();
    let Some(value) = store.get(FAMILY, &key)? else {
        return Ok(U256::ZERO);
    };
    let decoded = decode_slot(&key, &value);
    let (.., value) = decoded.map_err(|error| RowError::Corrupt {
        what: "a slot",
        error,
    })?;
    Ok(value)
}

/// The code with this hash.
pub fn code(store: &dyn ReadStore, hash: &B256) -> Result<Option<Vec<u8>>, StoreError> {
    store.get(FAMILY, &[&[CODE], hash.as_slice()].concat())
}

/// Puts a slot, or deletes it where the value is zero.
pub fn slot_write(path: &B256, slot: &B256, value: U256) -> Write {
    let key = [&storage_prefix(path)[..], slot.as_slice()].concat();
    if value.is_zero() {
        Write::Delete {
            family: FAMILY,
            key,
        }
    } else {
        Write::put(FAMILY, key, value.to_be_bytes::<32>())
    }
}

fn corrupt(what: &str, why: impl std::fmt::Display) -> OpenError {
    OpenError::Corrupt(format!("{what}: {why}"))
}

fn scan(
    store: &dyn ReadStore,
    kind: u8,
    each: impl FnMut(Vec<u8>, Vec<u8>) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    scan_all(store, FAMILY, vec![kind], vec![kind + 1], each)
}

/// A code as it was stored, if it has this hash.
pub fn checked_code(hash: &B256, code: Vec<u8>) -> Result<Option<Code>, OpenError> {
    if keccak256(&code) != *hash {
        return Err(corrupt("a code", format!("its hash is not {hash}")));
    }
    let bytecode = Bytecode::new_raw_checked(Bytes::from(code));
    let bytecode = bytecode.map_err(|e| corrupt("a code", e))?;
    Ok(Code::new(*hash, bytecode))
}

/// Rebuilds the state from its leaves. Time and memory are linear in their number.
///
/// # Errors
/// The store's, and leaves that do not decode. Whether the root is the right one is for the caller.
pub fn load(store: &dyn ReadStore) -> Result<WorldState, OpenError> {
    let mut codes: BTreeMap<B256, Code> = BTreeMap::new();
    scan(store, CODE, |key, value| {
        let mut r = Reader::new(&key[1..]);
        let hash = r
            .array("code hash")
            .and_then(|hash| r.end().map(|()| B256::new(hash)));
        let hash = hash.map_err(|e| corrupt("a code key", e))?;
        codes.extend(checked_code(&hash, value)?.map(|code| (hash, code)));
        Ok(())
    })?;

    // Slots of one account follow one another, in the order of their paths.
    let mut storages: BTreeMap<B256, Trie<U256>> = BTreeMap::new();
    let mut run: Option<(B256, Vec<(B256, U256)>)> = None;
    scan(store, SLOT, |key, value| {
        let (path, slot, value) = decode_slot(&key, &value).map_err(|e| corrupt("a slot", e))?;
        if value.is_zero() {
            return Err(corrupt("a slot", "it holds zero"));
        }
        match &mut run {
            Some((account, slots)) if *account == path => slots.push((slot, value)),
            _ => {
                let done = run.replace((path, vec![(slot, value)]));
                storages.extend(done.map(|(path, slots)| (path, Trie::of_sorted(slots))));
            }
        }
        Ok(())
    })?;
    storages.extend(run.map(|(path, slots)| (path, Trie::of_sorted(slots))));

    let mut accounts = Vec::new();
    scan(store, ACCOUNT, |key, value| {
        let (path, row) = decode_account(&key, &value).map_err(|e| corrupt("an account", e))?;
        let hash = row.code_hash;
        let code = match codes.get(&hash) {
            Some(code) => Some(code.clone()),
            None if hash == KECCAK256_EMPTY => None,
            None => return Err(corrupt("an account", format!("code {hash} is missing"))),
        };
        let storage = storages.remove(&path).unwrap_or_default();
        accounts.push((path, Account::new(row.nonce, row.balance, code, storage)));
        Ok(())
    })?;
    match storages.keys().next() {
        Some(path) => Err(corrupt("storage", format!("account {path} does not exist"))),
        None => Ok(WorldState {
            accounts: Trie::of_many_sorted(accounts),
        }),
    }
}

fn decode_slot(key: &[u8], value: &[u8]) -> Result<(B256, B256, U256), DecodeError> {
    let mut r = Reader::new(&key[1..]);
    let path = B256::new(r.array("account")?);
    let slot = B256::new(r.array("slot")?);
    r.end()?;
    let mut r = Reader::new(value);
    let value = U256::from_be_bytes(r.array::<32>("slot value")?);
    r.end()?;
    Ok((path, slot, value))
}

fn decode_account(key: &[u8], value: &[u8]) -> Result<(B256, AccountRow), DecodeError> {
    let mut r = Reader::new(&key[1..]);
    let path = B256::new(r.array("account")?);
    r.end()?;
    let mut r = Reader::new(value);
    let row = AccountRow {
        nonce: r.u64("nonce")?,
        balance: U256::from_be_bytes(r.array::<32>("balance")?),
        code_hash: B256::new(r.array("code hash")?),
    };
    r.end()?;
    Ok((path, row))
}
