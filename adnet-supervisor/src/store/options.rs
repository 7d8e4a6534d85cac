//! How the database is tuned: safety first, then little memory.
//!
//! Invariant: memory is bounded for all families together, by one block cache and one budget of
//! write buffers.

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, LogLevel,
    Options,
};

use adnet_common::store::Family;

/// What an operator may choose.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Cache of blocks, indexes and filters, shared by all families.
    pub cache_bytes: u64,
    /// Files that the database keeps open.
    pub max_open_files: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            max_open_files: 512,
        }
    }
}

impl StoreOptions {
    /// What RocksDB is opened with: options of the database, and the families with theirs. For
    /// whoever measures the store beside a bare database that is tuned alike.
    pub fn for_rocksdb(&self) -> (Options, Vec<ColumnFamilyDescriptor>) {
        (database(self), families(&cache(self)))
    }
}

/// Unflushed writes of all families together.
const WRITE_BUFFERS_BYTES: usize = 32 << 20;
/// Unflushed writes of one family.
const WRITE_BUFFER_BYTES: usize = 8 << 20;
/// Memory that a write buffer takes at a time.
const ARENA_BLOCK_BYTES: usize = 256 << 10;
/// Families that are seldom written hold back old logs; above this size they are flushed. Bounds
/// what a restart has to replay.
const LOGS_BYTES_MAX: u64 = 48 << 20;
const BLOOM_BITS_PER_KEY: f64 = 10.0;

pub(super) fn database(options: &StoreOptions) -> Options {
    let mut o = Options::default();
    o.create_if_missing(true);
    o.create_missing_column_families(true);
    o.set_paranoid_checks(true);
    // A log that ends in the middle of a record is what a crash leaves behind; the record was never
    // acknowledged. Damage anywhere else refuses to open, where the default would silently drop
    // acknowledged writes, sign marks among them.
    o.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    // A log file that is missing altogether is noticed as well.
    o.set_track_and_verify_wals_in_manifest(true);
    o.set_db_write_buffer_size(WRITE_BUFFERS_BYTES);
    o.set_max_total_wal_size(LOGS_BYTES_MAX);
    o.set_max_open_files(i32::try_from(options.max_open_files).unwrap_or(i32::MAX));
    o.set_max_background_jobs(2);
    o.set_max_file_opening_threads(2);
    o.set_is_fd_close_on_exec(true);
    o.set_bytes_per_sync(1 << 20);
    o.set_log_level(LogLevel::Warn);
    o.set_max_log_file_size(1 << 20);
    o.set_keep_log_file_num(4);
    o.set_max_manifest_file_size(4 << 20);
    o.set_stats_dump_period_sec(0);
    o.set_stats_persist_period_sec(0);
    o
}

pub(super) fn cache(options: &StoreOptions) -> Cache {
    Cache::new_lru_cache(usize::try_from(options.cache_bytes).unwrap_or(usize::MAX))
}

pub(super) fn families(cache: &Cache) -> Vec<ColumnFamilyDescriptor> {
    let describe = |f: Family| ColumnFamilyDescriptor::new(f.name(), family(cache));
    Family::ALL.into_iter().map(describe).collect()
}

fn family(cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(16 << 10);
    table.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_optimize_filters_for_memory(true);
    table.set_format_version(6);

    let mut o = Options::default();
    o.set_block_based_table_factory(&table);
    o.set_compression_type(DBCompressionType::Lz4);
    o.set_bottommost_compression_type(DBCompressionType::Zstd);
    o.set_level_compaction_dynamic_level_bytes(true);
    o.set_write_buffer_size(WRITE_BUFFER_BYTES);
    o.set_max_write_buffer_number(2);
    o.set_arena_block_size(ARENA_BLOCK_BYTES);
    o.set_target_file_size_base(16 << 20);
    o.set_max_bytes_for_level_base(64 << 20);
    o
}
