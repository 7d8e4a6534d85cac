//! Reads: single keys, batches of keys, bounded pages.
//!
//! Invariant: a page and a batch each see one moment of the database. Behaves as
//! [`MemoryStore`](adnet_common::memory_store::MemoryStore) does; a test compares them.

use super::Store;
use adnet_common::store::{
    Family, MAX_SCAN_BYTES, MAX_SCAN_ENTRIES, Page, ReadStore, Scan, StoreError,
};
use rocksdb::ReadOptions;

impl ReadStore for Store {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.inner.db.get_cf(self.family(family), key);
        value.map_err(|error| self.failed(&error))
    }

    fn multi_get(
        &self,
        family: Family,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let values = self
            .inner
            .db
            .batched_multi_get_cf(self.family(family), keys, false);
        let copy = |value: Result<Option<rocksdb::DBPinnableSlice>, rocksdb::Error>| {
            let value = value.map_err(|error| self.failed(&error))?;
            Ok(value.map(|slice| slice.to_vec()))
        };
        values.into_iter().map(copy).collect()
    }

    fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        let mut page = Page::default();
        if scan.from >= scan.to {
            return Ok(page);
        }
        let mut bounds = ReadOptions::default();
        bounds.set_iterate_lower_bound(scan.from.as_slice());
        bounds.set_iterate_upper_bound(scan.to.as_slice());
        // An iterator sees the database as it was when it was made.
        let mut at = self
            .inner
            .db
            .raw_iterator_cf_opt(self.family(scan.family), bounds);
        if scan.reverse {
            at.seek_to_last();
        } else {
            at.seek_to_first();
        }
        let limit = scan.limit.min(MAX_SCAN_ENTRIES) as usize;
        let mut bytes = 0_usize;
        while let Some((key, value)) = at.item() {
            if page.entries.len() == limit || bytes > MAX_SCAN_BYTES {
                // The cursor is inclusive forwards and exclusive backwards.
                page.next = Some(if scan.reverse {
                    let last = page.entries.last();
                    last.map_or_else(|| scan.to.clone(), |(key, _)| key.clone())
                } else {
                    key.to_vec()
                });
                return Ok(page);
            }
            bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
            page.entries.push((key.to_vec(), value.to_vec()));
            if scan.reverse {
                at.prev();
            } else {
                at.next();
            }
        }
        match at.status() {
            Ok(()) => Ok(page),
            Err(error) => Err(self.failed(&error)),
        }
    }
}
