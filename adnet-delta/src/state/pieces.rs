//! Pieces of the state for peers that restore it: where they are, what they look like, and cutting
//! them off.
//!
//! The accounts' trie, each account's storage trie and each code are cut on their own. See
//! [`adnet_common::restore`].

use super::trie::{Leaf, Subtrie, Trie};
use super::{Account, WorldState, leaves};
use adnet_common::codec::{DecodeError, Reader, Writer};
use adnet_common::restore::{PIECE_BYTES_MAX, PIECE_LEAVES_MAX};
use adnet_common::store::{ReadStore, StoreError};
use alloy_primitives::{B256, U256};
use alloy_trie::{Nibbles, TrieAccount};

/// Nibbles of a key.
const PATH_NIBBLES: usize = 64;

/// Where a piece is. In the order of their encodings codes and storage come before accounts, so that
/// who asks in this order never has the storage of many accounts outstanding.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The code with this hash.
    Code(B256),
    /// Below a node of the storage trie of the account with this path.
    Storage(B256, Nibbles),
    /// Below a node of the accounts' trie.
    Accounts(Nibbles),
}

impl Place {
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Place::Code(hash) => [&[1], hash.as_slice()].concat(),
            Place::Storage(account, path) => {
                [&[2], account.as_slice(), &path.to_vec()[..]].concat()
            }
            Place::Accounts(path) => [&[3], &path.to_vec()[..]].concat(),
        }
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let place = match r.u8("kind of place")? {
            1 => Place::Code(B256::new(r.array("code hash")?)),
            2 => Place::Storage(B256::new(r.array("account")?), path(&mut r)?),
            3 => Place::Accounts(path(&mut r)?),
            _ => return Err(r.invalid("kind of place", "unknown")),
        };
        r.end()?;
        Ok(place)
    }
}

/// All that is left, a nibble a byte.
fn path(r: &mut Reader<'_>) -> Result<Nibbles, DecodeError> {
    let nibbles = r.take("path", r.remaining())?;
    if nibbles.len() > PATH_NIBBLES || nibbles.iter().any(|nibble| *nibble > 0xf) {
        return Err(r.invalid("path", "not a path of nibbles"));
    }
    Ok(Nibbles::from_nibbles_unchecked(nibbles))
}

/// What is at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A node with too many leaves below it to send them all: its encoding.
    Node(Vec<u8>),
    /// All accounts below the node, by path.
    Accounts(Vec<(B256, TrieAccount)>),
    /// All slots below the node, by path.
    Slots(Vec<(B256, U256)>),
    Code(Vec<u8>),
}

impl Piece {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Piece::Node(node) => w.u8(1).raw(node),
            Piece::Accounts(accounts) => w.u8(2).list(accounts, |w, (path, account)| {
                w.raw(path.as_slice()).u64(account.nonce);
                w.raw(&account.balance.to_be_bytes::<32>());
                w.raw(account.storage_root.as_slice());
                w.raw(account.code_hash.as_slice());
            }),
            Piece::Slots(slots) => w.u8(3).list(slots, |w, (path, value)| {
                w.raw(path.as_slice()).raw(&value.to_be_bytes::<32>());
            }),
            Piece::Code(code) => w.u8(4).raw(code),
        };
        w.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        if bytes.len() > PIECE_BYTES_MAX {
            return Err(r.invalid("piece", "longer than 1 MiB"));
        }
        let piece = match r.u8("kind of piece")? {
            1 => Piece::Node(r.take("node", r.remaining())?.to_vec()),
            2 => Piece::Accounts(r.list("accounts", PIECE_LEAVES_MAX, |r| {
                let path = B256::new(r.array("account")?);
                let nonce = r.u64("nonce")?;
                let balance = U256::from_be_bytes(r.array::<32>("balance")?);
                let storage_root = B256::new(r.array("storage root")?);
                let code_hash = B256::new(r.array("code hash")?);
                let account = TrieAccount::new(nonce, balance, storage_root, code_hash);
                Ok((path, account))
            })?),
            3 => Piece::Slots(r.list("slots", PIECE_LEAVES_MAX, |r| {
                let path = B256::new(r.array("slot")?);
                Ok((path, U256::from_be_bytes(r.array::<32>("value")?)))
            })?),
            4 => Piece::Code(r.take("code", r.remaining())?.to_vec()),
            _ => return Err(r.invalid("kind of piece", "unknown")),
        };
        r.end()?;
        Ok(piece)
    }
}

/// Cuts off the piece at `place`; `None` if nothing begins there, or the place is none. Walks no more
/// leaves than a piece may have. `store` has the codes, which are kept for ever.
pub fn piece(
    state: &WorldState,
    store: &dyn ReadStore,
    place: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    let piece = match Place::decode(place) {
        Err(_) => None,
        Ok(Place::Code(hash)) => leaves::code(store, &hash)?.map(Piece::Code),
        Ok(Place::Storage(account, path)) => state
            .accounts
            .get(&account)
            .and_then(|account| cut(account.storage(), &path, |value| *value, Piece::Slots)),
        Ok(Place::Accounts(path)) => cut(&state.accounts, &path, Account::leaf, Piece::Accounts),
    };
    Ok(piece.map(|piece| piece.encode()))
}

fn cut<V: Leaf, L>(
    trie: &Trie<V>,
    path: &Nibbles,
    leaf: impl Fn(&V) -> L,
    piece: impl FnOnce(Vec<(B256, L)>) -> Piece,
) -> Option<Piece> {
    let below: Subtrie<'_, V> = trie.below(path)?;
    let Some(leaves) = below.leaves(PIECE_LEAVES_MAX) else {
        return Some(Piece::Node(below.encode()));
    };
    let leaves = leaves.into_iter();
    Some(piece(
        leaves.map(|(path, value)| (path, leaf(value))).collect(),
    ))
}
