//! A store in memory: for tests of the applications, and the disk of the simulator.
//!
//! Behaves as the database does, page bounds included, but forgets everything with the process.

use crate::store::{
    Family, MAX_SCAN_BYTES, MAX_SCAN_ENTRIES, Page, ReadStore, Scan, StoreError, Write,
};
use std::collections::BTreeMap;
use std::ops::Bound;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStore {
    families: BTreeMap<Family, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies writes in order, all of them.
    pub fn apply(&mut self, writes: &[Write]) {
        for write in writes {
            let family = self.families.entry(write.family()).or_default();
            match write {
                Write::Put { key, value, .. } => {
                    family.insert(key.clone(), value.clone());
                }
                Write::Delete { key, .. } => {
                    family.remove(key);
                }
                Write::DeleteRange { from, to, .. } => {
                    if from < to {
                        family.retain(|key, _| !(from <= key && key < to));
                    }
                }
            }
        }
    }

    /// All entries of a family, in key order.
    pub fn family(&self, family: Family) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
        self.families.get(&family).into_iter().flatten()
    }
}

impl ReadStore for MemoryStore {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.families.get(&family).and_then(|f| f.get(key)).cloned())
    }

    fn multi_get(
        &self,
        family: Family,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        keys.iter().map(|key| self.get(family, key)).collect()
    }

    fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        let mut page = Page::default();
        let Some(family) = self.families.get(&scan.family) else {
            return Ok(page);
        };
        if scan.from >= scan.to {
            return Ok(page);
        }
        let bounds = (Bound::Included(&scan.from), Bound::Excluded(&scan.to));
        let mut range = family.range::<Vec<u8>, _>(bounds);
        let limit = scan.limit.min(MAX_SCAN_ENTRIES) as usize;
        let mut bytes = 0;
        loop {
            let entry = if scan.reverse {
                range.next_back()
            } else {
                range.next()
            };
            let Some((key, value)) = entry else {
                return Ok(page);
            };
            if page.entries.len() == limit || bytes > MAX_SCAN_BYTES {
                // The cursor is inclusive forwards and exclusive backwards.
                page.next = Some(if scan.reverse {
                    let last = page.entries.last();
                    last.map_or_else(|| scan.to.clone(), |(key, _)| key.clone())
                } else {
                    key.clone()
                });
                return Ok(page);
            }
            bytes += key.len() + value.len();
            page.entries.push((key.clone(), value.clone()));
        }
    }
}
