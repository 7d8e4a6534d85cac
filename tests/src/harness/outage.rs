//! Tells connections that were refused while nobody could listen from those that no client may see.
//!
//! The supervisor holds the listening sockets. While it is dead, a refused connection is what must
//! happen; while it lives, whatever happens to its workers, there must be none.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Failure;

/// The failed requests of all clients of one node, over all its starts.
#[derive(Debug, Default)]
pub struct Outages {
    /// Odd from the end of a supervisor until the next one listens.
    epoch: AtomicU64,
    refused: AtomicU64,
    refused_in_outages: AtomicU64,
    broken: AtomicU64,
}

impl Outages {
    pub(super) fn begin(&self) {
        if self.epoch().is_multiple_of(2) {
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(super) fn end(&self) {
        if !self.epoch().is_multiple_of(2) {
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Counts the failure of a request that began in the epoch `begun`.
    pub(super) fn note(&self, begun: u64, failure: &Failure) {
        let in_outage = !begun.is_multiple_of(2) || self.epoch() != begun;
        let counter = match failure {
            Failure::ConnectionRefused if in_outage => &self.refused_in_outages,
            Failure::ConnectionRefused => &self.refused,
            Failure::Broken(_) => &self.broken,
            Failure::Refused { .. } => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that were refused although a supervisor lived.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Connections that were refused while there was none.
    pub fn refused_in_outages(&self) -> u64 {
        self.refused_in_outages.load(Ordering::Relaxed)
    }

    /// Requests that broke off without an answer.
    pub fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }
}
