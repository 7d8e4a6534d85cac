//! The state as it lies in the store: flat leaves, and the way back from them.
//!
//! Keys of `Family::DeltaState`: `a` + address → nonce, balance, code hash; `c` + code hash → code
//! (kept for ever: accounts may share it); `s` + address + slot → value. Numbers are big-endian.

use super::trie::Trie;
use super::{Account, Code, WorldState};
use adnet_common::application::OpenError;
use adnet_common::codec::{DecodeError, Reader, Writer};
use adnet_common::store::{Family, ReadStore, Write, scan_all};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use revm::bytecode::Bytecode;
use std::collections::BTreeMap;

const FAMILY: Family = Family::DeltaState;
const ACCOUNT: u8 = b'a';
const CODE: u8 = b'c';
const SLOT: u8 = b's';

fn account_key(address: &Address) -> Vec<u8> {
    [&[ACCOUNT], address.as_slice()].concat()
}

fn storage_prefix(address: &Address) -> Vec<u8> {
    [&[SLOT], address.as_slice()].concat()
}

pub fn put_account(address: &Address, account: &Account) -> Write {
    let mut w = Writer::with_capacity(72);
    w.u64(account.nonce)
        .raw(&account.balance.to_be_bytes::<32>());
    w.raw(account.code_hash().as_slice());
    Write::put(FAMILY, account_key(address), w.finish())
}

pub fn delete_account(address: &Address) -> Write {
    let (family, key) = (FAMILY, account_key(address));
    Write::Delete { family, key }
}

/// Deletes every slot of an account.
pub fn delete_storage(address: &Address) -> Write {
    let from = storage_prefix(address);
    // The end is exclusive and slots have 32 bytes: 33 of 0xff lie behind the last.
    let to = [&from[..], &[u8::MAX; 33]].concat();
    Write::DeleteRange {
        family: FAMILY,
        from,
        to,
    }
}

pub fn put_code(code: &Code) -> Write {
    let key = [&[CODE], code.hash().as_slice()].concat();
    Write::put(FAMILY, key, code.bytes().to_vec())
}

/// Puts a slot, or deletes it where the value is zero.
pub fn slot_write(address: &Address, slot: &U256, value: U256) -> Write {
    let key = [&storage_prefix(address)[..], &slot.to_be_bytes::<32>()].concat();
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
        if keccak256(&value) != hash {
            return Err(corrupt("a code", format!("its hash is not {hash}")));
        }
        let bytecode = Bytecode::new_raw_checked(Bytes::from(value));
        let bytecode = bytecode.map_err(|e| corrupt("a code", e))?;
        codes.extend(Code::new(hash, bytecode).map(|code| (hash, code)));
        Ok(())
    })?;

    let mut storages: BTreeMap<Address, Trie<U256>> = BTreeMap::new();
    scan(store, SLOT, |key, value| {
        let (address, slot, value) = decode_slot(&key, &value).map_err(|e| corrupt("a slot", e))?;
        if value.is_zero() {
            return Err(corrupt("a slot", "it holds zero"));
        }
        storages
            .entry(address)
            .or_default()
            .insert(&keccak256(slot), value);
        Ok(())
    })?;

    let mut state = WorldState::default();
    scan(store, ACCOUNT, |key, value| {
        let (address, nonce, balance, hash) =
            decode_account(&key, &value).map_err(|e| corrupt("an account", e))?;
        let code = match codes.get(&hash) {
            Some(code) => Some(code.clone()),
            None if hash == KECCAK256_EMPTY => None,
            None => return Err(corrupt("an account", format!("code {hash} is missing"))),
        };
        let storage = storages.remove(&address).unwrap_or_default();
        state.accounts.insert(
            &keccak256(address),
            Account::new(nonce, balance, code, storage),
        );
        Ok(())
    })?;
    match storages.keys().next() {
        Some(address) => Err(corrupt(
            "storage",
            format!("account {address} does not exist"),
        )),
        None => Ok(state),
    }
}

fn decode_slot(key: &[u8], value: &[u8]) -> Result<(Address, [u8; 32], U256), DecodeError> {
    let mut r = Reader::new(&key[1..]);
    let address = Address::new(r.array("address")?);
    let slot = r.array("slot")?;
    r.end()?;
    let mut r = Reader::new(value);
    let value = U256::from_be_bytes(r.array::<32>("slot value")?);
    r.end()?;
    Ok((address, slot, value))
}

fn decode_account(key: &[u8], value: &[u8]) -> Result<(Address, u64, U256, B256), DecodeError> {
    let mut r = Reader::new(&key[1..]);
    let address = Address::new(r.array("address")?);
    r.end()?;
    let mut r = Reader::new(value);
    let nonce = r.u64("nonce")?;
    let balance = U256::from_be_bytes(r.array::<32>("balance")?);
    let hash = B256::new(r.array("code hash")?);
    r.end()?;
    Ok((address, nonce, balance, hash))
}
