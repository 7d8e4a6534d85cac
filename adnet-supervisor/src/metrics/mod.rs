//! Port 9090: `/metrics` of all processes, `/health`, `/ready`. Reads, and changes nothing.
//!
//! Invariant: a worker's figures survive it. Until its successor reports, the last ones are shown;
//! counters then begin again, as Prometheus allows, and `adnet_worker_incarnation` says why.

mod node;
mod process;
mod server;

#[cfg(test)]
mod tests;

pub use server::{MetricsServer, MetricsServerError};

use adnet_common::chain_id::ChainId;
use adnet_common::metrics::{MetricFamilyText, check_report, gather_text, render};
use prometheus::{IntCounterVec, Opts, Registry};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// The last metrics that each worker sent.
pub struct WorkerMetrics {
    reports: Mutex<BTreeMap<ChainId, Vec<MetricFamilyText>>>,
    refused: IntCounterVec,
}

/// The role of this process on the page.
const SUPERVISOR: &str = "supervisor";

impl Default for WorkerMetrics {
    fn default() -> Self {
        let refused = Opts::new(
            "adnet_worker_metrics_refused_total",
            "Malformed reports of metrics by a worker.",
        );
        Self {
            reports: Mutex::default(),
            refused: IntCounterVec::new(refused, &["chain"]).expect("name and label are valid"),
        }
    }
}

impl WorkerMetrics {
    /// Keeps what a worker reported in place of its last report. A malformed report is counted and
    /// dropped.
    pub fn set(&self, chain: ChainId, families: Vec<MetricFamilyText>) {
        if let Err(error) = check_report(&families) {
            self.refused.with_label_values(&[chain.name()]).inc();
            tracing::warn!(%chain, %error, "refused a worker's metrics");
            return;
        }
        self.reports
            .lock()
            .expect(UNPOISONED)
            .insert(chain, families);
    }

    /// The page with the metrics of this process and of the workers, in the Prometheus text format
    /// 0.0.4.
    fn page(&self, own: &Registry) -> String {
        let own = gather_text(own);
        let reports = self.reports.lock().expect(UNPOISONED);
        let workers = reports
            .iter()
            .map(|(chain, families)| (chain.name(), families.as_slice()));
        let roles: Vec<_> = std::iter::once((SUPERVISOR, own.as_slice()))
            .chain(workers)
            .collect();
        render(&roles)
    }
}

const UNPOISONED: &str = "nobody panics while holding the reports";
