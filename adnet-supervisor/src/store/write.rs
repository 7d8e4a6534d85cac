//! Writes: one synced batch per block, one per signing request.
//!
//! Invariant: a batch is checked as a whole before the first byte of it is written.

use super::Store;
use super::record::{Tip, tip_key};
use adnet_common::chain_id::ChainId;
use adnet_common::consensus::WalEntry;
use adnet_common::consensus_keys::wal_writes;
use adnet_common::store::{
    CommitBatch, Family, MARK_PREFIX, Part, RestoreBatch, StoreError, Write, restore_wipe,
};
use rocksdb::{ReadOptions, WriteBatch, WriteOptions};
use std::time::Instant;

/// A new sign mark, and the older ones that it makes superfluous. For the signer only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkUpdate {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub delete: Vec<Vec<u8>>,
}

/// Keys are at most this long.
const KEY_BYTES_MAX: usize = 4096;

/// A range of a consensus family with at most so many keys is deleted key by key: each range
/// tombstone in a write buffer makes the next read sort all of them again, and every block leaves
/// three.
const SMALL_RANGE_KEYS: usize = 1024;

impl Store {
    /// Makes a block durable: all writes or none, on the disk when this returns.
    ///
    /// The first batch of a chain has height 0. The batch of the last committed height may come
    /// again, since its acknowledgement may have been lost; the same writes are then acknowledged
    /// without being written.
    ///
    /// # Errors
    /// [`StoreError::Forbidden`]: a write that is not `writer`'s, or a height that does not follow;
    /// nothing was written. [`StoreError::Failed`]: the batch may or may not be on the disk.
    pub fn commit(&self, writer: ChainId, batch: &CommitBatch) -> Result<(), StoreError> {
        self.commit_with(writer, batch, true)
    }

    /// As [`Store::commit`], but on the disk only after the next synced write of either chain, or
    /// [`Store::sync`]: the database has one log, and a later write is never there without an
    /// earlier one.
    ///
    /// # Errors
    /// As for [`Store::commit`].
    pub fn commit_deferred(&self, writer: ChainId, batch: &CommitBatch) -> Result<(), StoreError> {
        self.commit_with(writer, batch, false)
    }

    /// Brings everything that was written onto the disk.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn sync(&self) -> Result<(), StoreError> {
        self.check_alive()?;
        let synced = self.inner.db.flush_wal(true);
        synced.map_err(|error| self.failed(&error))
    }

    /// Stores a part of a state that comes from peers instead of blocks; see
    /// [`RestoreBatch`]. Only the last part is synced, and all before it with it.
    ///
    /// # Errors
    /// [`StoreError::Forbidden`]: a write that is not `writer`'s, or a chain with blocks beyond its
    /// genesis; nothing was written. [`StoreError::Failed`]: it may or may not be on the disk.
    pub fn restore(&self, writer: ChainId, batch: &RestoreBatch) -> Result<(), StoreError> {
        self.check_alive()?;
        check_writes(writer, &batch.writes)?;
        let mut tip = self.tip(writer);
        let is_allowed = match *tip {
            Some(Tip { height, .. }) => batch.starts && height == 0,
            None => true,
        };
        if !is_allowed {
            let family = Family::of(writer, Part::State);
            let why = "a state is restored only where no block was decided";
            return Err(StoreError::Forbidden {
                writer,
                family,
                why,
            });
        }
        let meta = self.family(Family::SharedMeta);
        let mut rocks = WriteBatch::default();
        if batch.starts {
            self.add(&mut rocks, &restore_wipe(writer))?;
            rocks.delete_cf(meta, tip_key(writer));
        }
        self.add(&mut rocks, &batch.writes)?;
        let last = batch.ends.map(|height| Tip::new(height, &batch.writes));
        if let Some(last) = last {
            rocks.put_cf(meta, tip_key(writer), last.encode());
        }
        self.write(rocks, last.is_some())?;
        *tip = last;
        Ok(())
    }

    fn commit_with(
        &self,
        writer: ChainId,
        batch: &CommitBatch,
        is_synced: bool,
    ) -> Result<(), StoreError> {
        self.check_alive()?;
        check_writes(writer, &batch.writes)?;
        let next = Tip::new(batch.height, &batch.writes);
        let mut tip = self.tip(writer);
        if *tip == Some(next) {
            return Ok(());
        }
        check_height(writer, *tip, next)?;

        let mut rocks = WriteBatch::default();
        self.add(&mut rocks, &batch.writes)?;
        let meta = self.family(Family::SharedMeta);
        rocks.put_cf(meta, tip_key(writer), next.encode());
        let started = Instant::now();
        let bytes = rocks.size_in_bytes();
        self.write(rocks, is_synced)?;
        self.inner
            .counters
            .committed(writer, started.elapsed(), bytes);
        *tip = Some(next);
        Ok(())
    }

    /// Makes log entries of consensus durable, with the mark of the signature that depends on them
    /// and whatever else `chain` wants to have in its consensus family, all or nothing.
    ///
    /// # Errors
    /// As for [`Store::commit`]. `extra` may write the chain's consensus family only, and no marks.
    pub fn append_wal(
        &self,
        chain: ChainId,
        wal: &[WalEntry],
        mark: Option<&MarkUpdate>,
        extra: &[Write],
    ) -> Result<(), StoreError> {
        self.check_alive()?;
        check_writes(chain, extra)?;
        let family = Family::of(chain, Part::Consensus);
        if let Some(outside) = extra.iter().find(|write| write.family() != family) {
            let why = "only a block changes anything but the consensus family";
            return Err(StoreError::Forbidden {
                writer: chain,
                family: outside.family(),
                why,
            });
        }
        let mut rocks = WriteBatch::default();
        let mut writes = wal_writes(chain, wal);
        writes.extend_from_slice(extra);
        self.add(&mut rocks, &writes)?;
        let handle = self.family(family);
        if let Some(mark) = mark {
            let is_mark = |key: &Vec<u8>| key.first() == Some(&MARK_PREFIX);
            assert!(
                is_mark(&mark.key) && mark.delete.iter().all(is_mark),
                "the signer writes marks"
            );
            rocks.put_cf(handle, &mark.key, &mark.value);
            for old in &mark.delete {
                rocks.delete_cf(handle, old);
            }
        }
        if rocks.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        self.write_synced(rocks)?;
        self.inner.counters.logged(chain, started.elapsed());
        Ok(())
    }

    /// Writes of the supervisor itself, which is trusted with the shared families.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn write_shared(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.check_alive()?;
        let is_shared = |write: &Write| write.family().owner().is_none();
        assert!(
            writes.iter().all(is_shared),
            "the supervisor writes no family of a chain"
        );
        let mut rocks = WriteBatch::default();
        self.add(&mut rocks, writes)?;
        self.write_synced(rocks)
    }

    fn write_synced(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.write(batch, true)
    }

    fn write(&self, batch: WriteBatch, is_synced: bool) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(is_synced);
        self.inner
            .db
            .write_opt(batch, &options)
            .map_err(|error| self.failed(&error))
    }

    fn add(&self, batch: &mut WriteBatch, writes: &[Write]) -> Result<(), StoreError> {
        for (place, write) in writes.iter().enumerate() {
            let handle = self.family(write.family());
            match write {
                Write::Put { key, value, .. } => batch.put_cf(handle, key, value),
                Write::Delete { key, .. } => batch.delete_cf(handle, key),
                Write::DeleteRange { family, from, to } => {
                    match self.small_range(*family, from, to)? {
                        Some(stored) => {
                            let earlier = puts_between(&writes[..place], *family, from, to);
                            let stored = stored.iter().map(Vec::as_slice);
                            stored
                                .chain(earlier)
                                .for_each(|key| batch.delete_cf(handle, key));
                        }
                        None => batch.delete_range_cf(handle, from, to),
                    }
                }
            }
        }
        Ok(())
    }

    /// The keys of a range of a consensus family, if they are few. Only the chain's own worker
    /// writes there, one request at a time, so none is added before the batch is written.
    fn small_range(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
    ) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        if !matches!(family, Family::AlphaConsensus | Family::DeltaConsensus) {
            return Ok(None);
        }
        let mut bounds = ReadOptions::default();
        bounds.set_iterate_lower_bound(from);
        bounds.set_iterate_upper_bound(to);
        let mut at = self
            .inner
            .db
            .raw_iterator_cf_opt(self.family(family), bounds);
        at.seek_to_first();
        let mut keys = Vec::new();
        while let Some(key) = at.key() {
            if keys.len() == SMALL_RANGE_KEYS {
                return Ok(None);
            }
            keys.push(key.to_vec());
            at.next();
        }
        match at.status() {
            Ok(()) => Ok(Some(keys)),
            Err(error) => Err(self.failed(&error)),
        }
    }
}

/// Keys of a range that the same batch has put before.
fn puts_between<'a>(
    writes: &'a [Write],
    family: Family,
    from: &'a [u8],
    to: &'a [u8],
) -> impl Iterator<Item = &'a [u8]> {
    let puts = writes.iter().filter_map(move |write| match write {
        Write::Put { family: f, key, .. } if *f == family => Some(key.as_slice()),
        _ => None,
    });
    puts.filter(move |key| from <= *key && *key < to)
}

/// Whether `writer` may write all of this.
fn check_writes(writer: ChainId, writes: &[Write]) -> Result<(), StoreError> {
    for write in writes {
        let family = write.family();
        let forbidden = |why| {
            Err(StoreError::Forbidden {
                writer,
                family,
                why,
            })
        };
        if !write.is_allowed(writer) {
            return forbidden("the key is not the writer's");
        }
        let longest = match write {
            Write::Put { key, .. } | Write::Delete { key, .. } => key.len(),
            Write::DeleteRange { from, to, .. } if from > to => {
                return forbidden("the range ends before it begins");
            }
            Write::DeleteRange { from, to, .. } => from.len().max(to.len()),
        };
        if longest > KEY_BYTES_MAX {
            return forbidden("the key is too long");
        }
    }
    Ok(())
}

fn check_height(writer: ChainId, last: Option<Tip>, next: Tip) -> Result<(), StoreError> {
    let why = match last {
        None if next.height == 0 => return Ok(()),
        None => "the first height is 0",
        Some(last) if last.height.checked_add(1) == Some(next.height) => return Ok(()),
        Some(last) if last.height == next.height => "this height was committed with other writes",
        Some(_) => "the height does not follow the last committed one",
    };
    let family = Family::of(writer, Part::Blocks);
    Err(StoreError::Forbidden {
        writer,
        family,
        why,
    })
}
