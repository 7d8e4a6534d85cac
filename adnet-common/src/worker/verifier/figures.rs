//! The metrics of verification.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

#[derive(Clone)]
pub(in crate::worker) struct VerifierFigures {
    batch_txs: Histogram,
    batch_seconds: Histogram,
    pub waiting: IntGauge,
    pub refused: IntCounter,
}

impl VerifierFigures {
    /// Figures that no page shows until they are registered.
    pub fn new() -> Result<Self, prometheus::Error> {
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
        };
        Ok(Self {
            batch_txs: histogram(
                "adnet_verify_batch_transactions",
                "Transactions that were verified together.",
                &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0],
            )?,
            batch_seconds: histogram(
                "adnet_verify_batch_seconds",
                "Time that it took to verify a batch of transactions.",
                &[
                    0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
                ],
            )?,
            waiting: IntGauge::new(
                "adnet_verify_waiting",
                "Transactions that wait to be verified, with those that are being verified.",
            )?,
            refused: IntCounter::new(
                "adnet_verify_refused_total",
                "Transactions of clients that were refused because too many waited.",
            )?,
        })
    }

    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.batch_txs.clone()))?;
        registry.register(Box::new(self.batch_seconds.clone()))?;
        registry.register(Box::new(self.waiting.clone()))?;
        registry.register(Box::new(self.refused.clone()))
    }

    pub fn observe(&self, txs: usize, took_ns: u64) {
        self.batch_txs.observe(txs as f64);
        self.batch_seconds.observe(took_ns as f64 / 1e9);
    }
}
