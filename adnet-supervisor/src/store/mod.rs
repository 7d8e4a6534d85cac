//! The node's only database: RocksDB, one handle, in the supervisor.
//!
//! Invariants:
//!
//! * What was acknowledged is on the disk: every write is one synced batch, whole or absent.
//! * A worker changes its own families and its part of the shared attestations, nothing else; sign
//!   marks are written by the signer alone.
//! * The heights of a chain are committed one after the other, each with one batch.
//! * After the first error the store is failed for good: each later write answers
//!   [`StoreError::Failed`](adnet_common::store::StoreError), and the node stops in order. Only a
//!   new [`Store::open`] finds out how much of the unacknowledged rest is there. Reads go on as
//!   long as they can, since what they find is committed.
//!
//! Commits of both chains may run at the same time; RocksDB then writes and syncs them as a group.

mod failure;
mod migration;
mod open;
mod options;
mod read;
mod record;
mod statistics;
mod write;

#[cfg(test)]
mod tests;

pub use failure::{FailureKind, StoreFailure};
pub use open::StoreOpenError;
pub use options::StoreOptions;
pub use record::{NetworkIdentity, SCHEMA_VERSION};
pub use statistics::{FamilyStatistics, StoreStatistics};
pub use write::MarkUpdate;

use adnet_common::chain_id::ChainId;
use adnet_common::store::{Family, StoreError};
use failure::Failures;
use record::Tip;
use rocksdb::{Cache, ColumnFamily, DB};
use statistics::StoreCounters;
use std::sync::{Arc, Mutex};

/// The open database. Clones share one handle; the last one that goes closes it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    db: DB,
    cache: Cache,
    failures: Failures,
    counters: StoreCounters,
    /// Last committed height of Alpha and Delta. The lock is held over a commit, so that a chain's
    /// commits follow each other, while the chains do not wait for one another.
    tips: [Mutex<Option<Tip>>; 2],
}

impl Store {
    /// The last height that `chain` committed; `None` before its genesis block.
    pub fn committed_height(&self, chain: ChainId) -> Option<u64> {
        self.tip(chain).as_ref().map(|tip| tip.height)
    }

    /// Why the store takes no more writes, if it has failed. Looks for errors of background work
    /// as well, so that a full disk shows before the next block meets it.
    pub fn failure(&self) -> Option<StoreFailure> {
        self.inner.failures.first().or_else(|| {
            let errors = self
                .inner
                .db
                .property_int_value(rocksdb::properties::BACKGROUND_ERRORS);
            match errors {
                Ok(Some(0) | None) => None,
                Ok(Some(count)) => {
                    let message = format!("{count} errors in RocksDB's background work");
                    Some(self.inner.failures.record(StoreFailure::io(message)))
                }
                Err(error) => Some(self.inner.failures.record(StoreFailure::of(&error))),
            }
        })
    }

    pub fn is_failed(&self) -> bool {
        self.failure().is_some()
    }

    fn family(&self, family: Family) -> &ColumnFamily {
        let handle = self.inner.db.cf_handle(family.name());
        handle.expect("open creates all families, and none is ever dropped")
    }

    fn tip(&self, chain: ChainId) -> std::sync::MutexGuard<'_, Option<Tip>> {
        let place = match chain {
            ChainId::Alpha => 0,
            ChainId::Delta => 1,
        };
        self.inner.tips[place]
            .lock()
            .expect("nobody panics while holding a tip")
    }

    /// Remembers that the database failed, and what to answer.
    fn failed(&self, error: &rocksdb::Error) -> StoreError {
        self.inner.failures.record(StoreFailure::of(error)).into()
    }

    /// Refuses when the store has failed before.
    fn check_alive(&self) -> Result<(), StoreError> {
        self.inner
            .failures
            .first()
            .map_or(Ok(()), |failure| Err(failure.into()))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.inner.db.path().display())
    }
}
