//! The filters of a node: in memory, in a bounded number, an eighth of it for one address.

use crate::history::logs::LogQuery;
use crate::rpc::RpcError;
use crate::rpc::logs::Where;
use adnet_common::api::Client;
use adnet_common::config::DeltaApiConfig;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What a filter is about, and what its client has seen already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Blocks from height `next` on.
    Blocks { next: u64 },
    /// Transactions of the mempool from number `next` on.
    Pending { next: u64 },
    /// Logs from height `next` on, up to `last`.
    Logs {
        query: LogQuery,
        whole: Where,
        next: u64,
        last: u64,
    },
}

struct Entry {
    filter: Filter,
    owner: Client,
    asked: Instant,
}

/// All filters of a node.
pub struct Filters {
    entries: Mutex<BTreeMap<u64, Entry>>,
    /// Keys what ids are made from.
    ids: RandomState,
    max: usize,
    ttl: Duration,
}

impl Filters {
    pub fn new(bounds: &DeltaApiConfig) -> Self {
        Self {
            entries: Mutex::default(),
            ids: RandomState::new(),
            max: usize::try_from(bounds.filters_max).unwrap_or(usize::MAX),
            ttl: Duration::from_secs(bounds.filter_ttl_s),
        }
    }

    /// The filters that live at `now`.
    fn living(&self, now: Instant) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        let mut entries = self
            .entries
            .lock()
            .expect("nobody panics while holding filters");
        entries.retain(|_, entry| now.saturating_duration_since(entry.asked) < self.ttl);
        entries
    }

    pub fn add(&self, filter: Filter, owner: Client, now: Instant) -> Result<u64, RpcError> {
        let mut entries = self.living(now);
        let own = entries
            .values()
            .filter(|entry| entry.owner == owner)
            .count();
        if entries.len() >= self.max || own >= (self.max / 8).max(1) {
            let message = "too many filters exist: uninstall those that you do not need, or use a subscription";
            return Err(RpcError::limit(message));
        }
        let mut id = self.ids.hash_one((entries.len(), now));
        while entries.contains_key(&id) {
            id = self.ids.hash_one(id);
        }
        let asked = now;
        entries.insert(
            id,
            Entry {
                filter,
                owner,
                asked,
            },
        );
        Ok(id)
    }

    /// The filter, which lives on because somebody asks it.
    pub fn ask(&self, id: u64, now: Instant) -> Result<Filter, RpcError> {
        let mut entries = self.living(now);
        let entry = entries.get_mut(&id).ok_or_else(not_found)?;
        entry.asked = now;
        Ok(entry.filter.clone())
    }

    /// Remembers what has been seen by now. Who asks twice at a time may come back in any order.
    pub fn saw(&self, id: u64, seen: u64) {
        let mut entries = self.living(Instant::now());
        if let Some(entry) = entries.get_mut(&id) {
            match &mut entry.filter {
                Filter::Blocks { next } | Filter::Pending { next } | Filter::Logs { next, .. } => {
                    *next = seen.max(*next);
                }
            }
        }
    }

    pub fn remove(&self, id: u64) -> bool {
        self.living(Instant::now()).remove(&id).is_some()
    }
}

pub fn not_found() -> RpcError {
    RpcError::server("filter not found")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(max: u64) -> Filters {
        Filters::new(&DeltaApiConfig {
            filters_max: max,
            filter_ttl_s: 10,
            ..DeltaApiConfig::default()
        })
    }

    const BLOCKS: Filter = Filter::Blocks { next: 1 };

    #[test]
    fn filters_are_bounded_an_eighth_for_one_address_and_die_unless_asked() {
        let filters = filters(16);
        let (a, b) = (Client::V4([1; 4]), Client::V4([2; 4]));
        let start = Instant::now();
        let first = filters.add(BLOCKS, a, start).expect("room");
        let second = filters.add(BLOCKS, a, start).expect("room");
        assert_ne!(first, second);
        assert!(
            filters.add(BLOCKS, a, start).is_err(),
            "an eighth for one address"
        );
        filters.add(BLOCKS, b, start).expect("room");
        let later = start + Duration::from_secs(9);
        assert_eq!(filters.ask(first, later), Ok(BLOCKS));
        let dead = start + Duration::from_secs(11);
        assert_eq!(filters.ask(second, dead), Err(not_found()));
        assert_eq!(
            filters.ask(first, dead),
            Ok(BLOCKS),
            "it was asked in between"
        );
    }

    #[test]
    fn a_filter_goes_on_from_what_was_seen() {
        let filters = filters(4);
        let id = filters
            .add(BLOCKS, Client::V4([1; 4]), Instant::now())
            .expect("room");
        filters.saw(id, 8);
        filters.saw(id, 5);
        let now = Instant::now();
        assert_eq!(filters.ask(id, now), Ok(Filter::Blocks { next: 8 }));
        assert!(filters.remove(id));
        assert!(!filters.remove(id));
    }
}
