//! The state as the EVM reads it: accounts and slots from memory, hashes of the last 256 blocks.

use super::BlockPlace;
use crate::state::{Code, WorldState};
use adnet_common::hash::Hash;
use alloy_primitives::{Address, B256, U256};
use revm::DatabaseRef;
use revm::bytecode::Bytecode;
use revm::database::{State, WrapDatabaseRef};
use revm::state::AccountInfo;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

/// BLOCKHASH reaches this far back.
const BLOCK_HASH_WINDOW: usize = 256;

/// Hashes of the last blocks, for BLOCKHASH. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct RecentHashes(Arc<VecDeque<(u64, Hash)>>);

impl RecentHashes {
    /// These and one more, which must be the next one.
    pub fn with(&self, height: u64, hash: Hash) -> Self {
        let mut hashes = (*self.0).clone();
        if hashes.len() == BLOCK_HASH_WINDOW {
            hashes.pop_front();
        }
        hashes.push_back((height, hash));
        Self(Arc::new(hashes))
    }

    /// The hash of the block at `height`, if it is one of them.
    pub fn get(&self, height: u64) -> Option<Hash> {
        let at = height.checked_sub(self.0.front()?.0)?;
        self.0.get(usize::try_from(at).ok()?).map(|(_, hash)| *hash)
    }
}

/// What the EVM's cache is filled from.
pub struct DatabaseView<'a> {
    pub state: &'a WorldState,
    pub hashes: &'a RecentHashes,
    pub place: BlockPlace,
}

/// The state with what a block has changed so far on top.
pub type LoadedState<'a> = State<WrapDatabaseRef<DatabaseView<'a>>>;

pub fn load(view: DatabaseView<'_>) -> LoadedState<'_> {
    State::builder()
        .with_database_ref(view)
        .with_bundle_update()
        .build()
}

impl DatabaseRef for DatabaseView<'_> {
    type Error = Infallible;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        let info = |account: &crate::state::Account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash(),
            code: Some(
                account
                    .code
                    .as_ref()
                    .map(Code::bytecode)
                    .cloned()
                    .unwrap_or_default(),
            ),
            account_id: None,
        };
        Ok(self.state.account(&address).map(info))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, Infallible> {
        unreachable!("accounts are read with their code, nobody asks for {hash} alone")
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, Infallible> {
        Ok(self.state.storage(&address, &slot))
    }

    fn block_hash_ref(&self, height: u64) -> Result<B256, Infallible> {
        let parent = self.place.height.checked_sub(1) == Some(height);
        let hash = if parent {
            Some(self.place.parent)
        } else {
            self.hashes.get(height)
        };
        Ok(hash.map_or(B256::ZERO, |hash| B256::new(hash.0)))
    }
}
