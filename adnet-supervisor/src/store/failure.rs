//! What kind of trouble the database is in, and the memory of the first one.
//!
//! Invariant: the first failure stays; nothing ever clears it.

use adnet_common::store::StoreError;
use rocksdb::{Error, ErrorKind};
use std::sync::OnceLock;

/// What an operator has to look at.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// No space (or quota) is left: free some, then start again.
    DiskFull,
    /// A checksum or a structure is wrong: restore a backup or re-sync.
    Corruption,
    /// The device or the file system failed.
    Io,
}

/// Why the database takes no more writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", .kind.in_words())]
pub struct StoreFailure {
    pub kind: FailureKind,
    /// RocksDB's own words.
    pub message: String,
}

impl FailureKind {
    /// RocksDB tells the kind of an error and the errno's text, but no errno.
    pub(super) fn of(error: &Error) -> Self {
        let text = error.as_ref();
        let is_full = ["No space left on device", "Disk quota exceeded", "NoSpace"];
        if is_full.iter().any(|words| text.contains(words)) {
            FailureKind::DiskFull
        } else if error.kind() == ErrorKind::Corruption {
            FailureKind::Corruption
        } else {
            FailureKind::Io
        }
    }

    pub fn in_words(self) -> &'static str {
        match self {
            FailureKind::DiskFull => "the disk is full",
            FailureKind::Corruption => "data on the disk is corrupt",
            FailureKind::Io => "the disk failed",
        }
    }
}

impl StoreFailure {
    pub(super) fn of(error: &Error) -> Self {
        let kind = FailureKind::of(error);
        let message = error.to_string();
        Self { kind, message }
    }

    pub(super) fn io(message: String) -> Self {
        let kind = FailureKind::Io;
        Self { kind, message }
    }
}

impl From<StoreFailure> for StoreError {
    fn from(failure: StoreFailure) -> Self {
        StoreError::Failed(failure.to_string())
    }
}

/// The first failure of a store.
#[derive(Debug, Default)]
pub(super) struct Failures(OnceLock<StoreFailure>);

impl Failures {
    pub(super) fn first(&self) -> Option<StoreFailure> {
        self.0.get().cloned()
    }

    /// Keeps `failure` if it is the first, logs it, and returns the first.
    pub(super) fn record(&self, failure: StoreFailure) -> StoreFailure {
        let mut is_first = false;
        let first = self.0.get_or_init(|| {
            is_first = true;
            failure
        });
        if is_first {
            tracing::error!(kind = ?first.kind, message = %first.message, "the database failed");
        }
        first.clone()
    }
}
