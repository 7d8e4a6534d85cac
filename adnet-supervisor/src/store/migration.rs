//! Forward migrations: numbered steps from one schema version to the next.
//!
//! Invariant: a step and the version that it leads to become durable in one batch, so a step that
//! was cut off is simply done again. There is no way back; an older release refuses the database.

use super::record::SCHEMA_KEY;
use adnet_common::store::Family;
use rocksdb::{DB, WriteBatch, WriteOptions};

/// One step. It adds to the batch what has to change, reading what it needs.
pub(super) struct Migration {
    /// The version that the step leads to, from the one before.
    pub(super) to: u32,
    pub(super) run: fn(&DB, &mut WriteBatch) -> Result<(), rocksdb::Error>,
}

/// All steps, in order, from the oldest version on. It is the present one, so there is none yet.
pub(super) const MIGRATIONS: &[Migration] = &[];

/// Runs the steps above `found`, each durably; returns the version that was reached.
pub(super) fn migrate(db: &DB, found: u32, steps: &[Migration]) -> Result<u32, rocksdb::Error> {
    let meta = db.cf_handle(Family::SharedMeta.name());
    let meta = meta.expect("open creates all families before it migrates");
    let mut version = found;
    for step in steps.iter().filter(|step| step.to > found) {
        assert_eq!(step.to, version + 1, "steps are numbered without gaps");
        let mut batch = WriteBatch::default();
        (step.run)(db, &mut batch)?;
        batch.put_cf(meta, SCHEMA_KEY, step.to.to_be_bytes());
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        db.write_opt(batch, &synced)?;
        tracing::info!(from = version, to = step.to, "migrated the database");
        version = step.to;
    }
    Ok(version)
}
