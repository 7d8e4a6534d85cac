//! What the database holds and how fast it commits, for metrics and for `adnet status`.

use super::{Inner, Store};
use adnet_common::chain_id::ChainId;
use adnet_common::store::Family;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use rocksdb::properties;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// One family, as far as RocksDB knows without looking at everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyStatistics {
    pub family: Family,
    /// Table files on the disk.
    pub file_bytes: u64,
    /// Write buffers in memory.
    pub memory_bytes: u64,
    /// An estimate.
    pub keys: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreStatistics {
    /// In the order of [`Family::ALL`].
    pub families: Vec<FamilyStatistics>,
    pub cache_used_bytes: u64,
}

impl StoreStatistics {
    pub fn file_bytes(&self) -> u64 {
        self.families.iter().map(|f| f.file_bytes).sum()
    }
}

impl Store {
    pub fn statistics(&self) -> StoreStatistics {
        let families = Family::ALL.map(|family| {
            let handle = self.family(family);
            // A property that cannot be told reads as zero: statistics never fail a node.
            let number = |name| {
                let value = self.inner.db.property_int_value_cf(handle, name);
                value.ok().flatten().unwrap_or_default()
            };
            FamilyStatistics {
                family,
                file_bytes: number(properties::LIVE_SST_FILES_SIZE),
                memory_bytes: number(properties::SIZE_ALL_MEM_TABLES),
                keys: number(properties::ESTIMATE_NUM_KEYS),
            }
        });
        StoreStatistics {
            families: families.to_vec(),
            cache_used_bytes: self.inner.cache.get_usage() as u64,
        }
    }

    /// Adds the metrics of the store to a registry.
    ///
    /// # Errors
    /// When they are registered there already.
    pub fn register_metrics(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        let counters = &self.inner.counters;
        registry.register(Box::new(counters.commit_seconds.clone()))?;
        registry.register(Box::new(counters.wal_seconds.clone()))?;
        registry.register(Box::new(counters.committed_bytes.clone()))?;
        registry.register(Box::new(SizeCollector::new(Arc::downgrade(&self.inner))?))
    }
}

/// Counted as it happens.
pub(super) struct StoreCounters {
    commit_seconds: HistogramVec,
    wal_seconds: HistogramVec,
    committed_bytes: IntCounterVec,
}

impl StoreCounters {
    pub(super) fn new() -> Self {
        let seconds = |name: &str, help: &str| {
            // 62 microseconds to 2 seconds: from a fast device without a queue to a dying one.
            let buckets = prometheus::exponential_buckets(0.000_062_5, 2.0, 16)
                .expect("start, factor and count are positive");
            let options = HistogramOpts::new(name, help).buckets(buckets);
            HistogramVec::new(options, &["chain"]).expect("name and label are valid")
        };
        let bytes = Opts::new(
            "adnet_store_committed_bytes_total",
            "Bytes in block batches.",
        );
        Self {
            commit_seconds: seconds(
                "adnet_store_commit_seconds",
                "Duration of the synced batch of a block.",
            ),
            wal_seconds: seconds(
                "adnet_store_wal_seconds",
                "Duration of the synced batch of consensus log entries and sign marks.",
            ),
            committed_bytes: IntCounterVec::new(bytes, &["chain"])
                .expect("name and label are valid"),
        }
    }

    pub(super) fn committed(&self, chain: ChainId, took: Duration, bytes: usize) {
        self.commit_seconds
            .with_label_values(&[chain.name()])
            .observe(took.as_secs_f64());
        self.committed_bytes
            .with_label_values(&[chain.name()])
            .inc_by(bytes as u64);
    }

    pub(super) fn logged(&self, chain: ChainId, took: Duration) {
        self.wal_seconds
            .with_label_values(&[chain.name()])
            .observe(took.as_secs_f64());
    }
}

/// Asks the database for its sizes when metrics are gathered. A registry does not keep it open.
struct SizeCollector {
    store: Weak<Inner>,
    file_bytes: IntGaugeVec,
    memory_bytes: IntGaugeVec,
    keys: IntGaugeVec,
    cache_bytes: IntGauge,
    failed: IntGauge,
}

impl SizeCollector {
    fn new(store: Weak<Inner>) -> Result<Self, prometheus::Error> {
        let gauges = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &["family"]);
        Ok(Self {
            store,
            file_bytes: gauges("adnet_store_file_bytes", "Table files on the disk.")?,
            memory_bytes: gauges("adnet_store_buffer_bytes", "Write buffers in memory.")?,
            keys: gauges("adnet_store_keys", "Estimated number of keys.")?,
            cache_bytes: IntGauge::new("adnet_store_cache_bytes", "Block cache in use.")?,
            failed: IntGauge::new(
                "adnet_store_failed",
                "1 after an error of the database, when nothing is acknowledged any more.",
            )?,
        })
    }
}

impl Collector for SizeCollector {
    fn desc(&self) -> Vec<&Desc> {
        let vectors = [&self.file_bytes, &self.memory_bytes, &self.keys];
        let mut all: Vec<&Desc> = vectors.into_iter().flat_map(|v| v.desc()).collect();
        all.extend(self.cache_bytes.desc());
        all.extend(self.failed.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let Some(inner) = self.store.upgrade() else {
            return Vec::new();
        };
        let store = Store { inner };
        let statistics = store.statistics();
        for f in &statistics.families {
            let label = [f.family.name()];
            self.file_bytes
                .with_label_values(&label)
                .set(gauge(f.file_bytes));
            self.memory_bytes
                .with_label_values(&label)
                .set(gauge(f.memory_bytes));
            self.keys.with_label_values(&label).set(gauge(f.keys));
        }
        self.cache_bytes.set(gauge(statistics.cache_used_bytes));
        self.failed.set(i64::from(store.is_failed()));
        let mut all = self.file_bytes.collect();
        all.extend(self.memory_bytes.collect());
        all.extend(self.keys.collect());
        all.extend(self.cache_bytes.collect());
        all.extend(self.failed.collect());
        all
    }
}
