//! The metrics of a worker.

use super::verifier::VerifierFigures;
use crate::messages::{FamilyMsg, MetricsMsg};
use crate::metrics::gather_text;
use crate::node::SyncFigures;
use crate::worker::ChainStatus;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

pub(super) struct Figures {
    registry: Registry,
    height: IntGauge,
    sibling_height: IntGauge,
    mempool_txs: IntGauge,
    mempool_bytes: IntGauge,
    consensus_height: IntGauge,
    consensus_round: IntGauge,
    inbox_waiting: IntGauge,
    sync_peers: IntGauge,
    sync_best_height: IntGauge,
    sync_catching_up: IntGauge,
    sync_blocks: IntGauge,
    sync_requests: IntGauge,
    sync_timeouts: IntGauge,
    sync_bad_ranges: IntGauge,
    sync_blocks_served: IntGauge,
    sync_pieces: IntGauge,
    pub blocks: IntCounter,
    pub transactions: IntCounter,
    pub equivocations: IntCounter,
    pub block_delay: Histogram,
    pub decided_rounds: Histogram,
    pub attestation_delay: Histogram,
    pub sibling_dropped: IntCounter,
    pub network_dropped: IntCounter,
    pub bad_messages: IntCounter,
    pub verifier: VerifierFigures,
}

impl Figures {
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let histogram = Histogram::with_opts(opts)?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let verifier = VerifierFigures::new()?;
        verifier.register(registry)?;
        Ok(Self {
            verifier,
            height: gauge("adnet_chain_height", "Height of the last committed block.")?,
            sibling_height: gauge(
                "adnet_sibling_height",
                "Height of the other chain that the light client has verified.",
            )?,
            mempool_txs: gauge(
                "adnet_mempool_transactions",
                "Transactions that wait for a block.",
            )?,
            mempool_bytes: gauge("adnet_mempool_bytes", "Bytes of the waiting transactions.")?,
            inbox_waiting: gauge(
                "adnet_inbox_waiting",
                "Attestations of the other chain that wait for a block.",
            )?,
            sync_peers: gauge(
                "adnet_sync_peers",
                "Peers of which the chain knows how high their chains are said to be.",
            )?,
            sync_best_height: gauge(
                "adnet_sync_best_height",
                "Highest height that a peer in good standing claims.",
            )?,
            sync_catching_up: gauge(
                "adnet_sync_catching_up",
                "1 while blocks are fetched from peers and consensus waits.",
            )?,
            sync_blocks: gauge(
                "adnet_sync_blocks",
                "Blocks of peers that this process has verified and committed.",
            )?,
            sync_requests: gauge(
                "adnet_sync_requests",
                "Ranges of blocks that this process has asked peers for.",
            )?,
            sync_timeouts: gauge(
                "adnet_sync_timeouts",
                "Requests for ranges that were not answered in time.",
            )?,
            sync_bad_ranges: gauge(
                "adnet_sync_bad_ranges",
                "Ranges that were not what was asked for, or did not verify.",
            )?,
            sync_blocks_served: gauge(
                "adnet_sync_blocks_served",
                "Blocks that this process has served to peers.",
            )?,
            sync_pieces: gauge(
                "adnet_sync_pieces",
                "Pieces of a snapshot that were verified and stored.",
            )?,
            blocks: counter("adnet_blocks_total", "Blocks committed by this process.")?,
            transactions: counter(
                "adnet_transactions_total",
                "Transactions in the blocks committed by this process.",
            )?,
            equivocations: counter(
                "adnet_equivocations_total",
                "Proofs that a validator has signed twice, in the blocks committed by this process.",
            )?,
            block_delay: histogram(
                "adnet_block_delay_seconds",
                "Time from when a block was due to when it was committed.",
                &[
                    0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0,
                    5.0,
                ],
            )?,
            decided_rounds: histogram(
                "adnet_consensus_decided_round",
                "Round in which a block was decided; 0 is the first.",
                &[0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0],
            )?,
            consensus_height: gauge(
                "adnet_consensus_height",
                "Height that consensus works on; 0 between two heights.",
            )?,
            consensus_round: gauge(
                "adnet_consensus_round",
                "Round that consensus works on. High for long means that votes do not arrive.",
            )?,
            attestation_delay: histogram(
                "adnet_attestation_delay_seconds",
                "Time of an attestation from durable on the other chain to verified in our inbox.",
                &[
                    1e-5, 2.5e-5, 5e-5, 7.5e-5, 1e-4, 1.5e-4, 2.5e-4, 5e-4, 1e-3, 1e-2, 0.1,
                ],
            )?,
            sibling_dropped: counter(
                "adnet_sibling_dropped_total",
                "Messages to the other chain that found its ring full; it asks for them again.",
            )?,
            network_dropped: counter(
                "adnet_network_dropped_total",
                "Messages to peers that found the ring to the supervisor full.",
            )?,
            bad_messages: counter(
                "adnet_bad_messages_total",
                "Messages from rings that did not validate.",
            )?,
            registry: registry.clone(),
        })
    }

    pub fn show(&self, status: &ChainStatus, sync: &SyncFigures) {
        let set = |gauge: &IntGauge, n: u64| gauge.set(i64::try_from(n).unwrap_or(i64::MAX));
        set(&self.height, status.height);
        set(&self.sibling_height, status.sibling_height);
        set(&self.mempool_txs, status.mempool_txs);
        set(&self.mempool_bytes, status.mempool_bytes);
        set(&self.inbox_waiting, status.inbox_waiting);
        set(&self.sync_peers, sync.peers);
        set(&self.sync_best_height, sync.best_height);
        set(&self.sync_catching_up, sync.is_catching_up.into());
        set(&self.sync_blocks, sync.blocks);
        set(&self.sync_requests, sync.requests);
        set(&self.sync_timeouts, sync.timeouts);
        set(&self.sync_bad_ranges, sync.bad_ranges);
        set(&self.sync_blocks_served, sync.blocks_served);
        set(&self.sync_pieces, sync.pieces);
    }

    /// The height and round that consensus works on, if any.
    pub fn show_consensus(&self, position: Option<(u64, u32)>) {
        let (height, round) = position.unwrap_or_default();
        let height = i64::try_from(height).unwrap_or(i64::MAX);
        self.consensus_height.set(height);
        self.consensus_round.set(i64::from(round));
    }

    /// Everything in the registry, for the supervisor's page.
    pub fn report(&self) -> MetricsMsg {
        let family = |f: crate::metrics::MetricFamilyText| FamilyMsg {
            name: f.name,
            help: f.help,
            kind: f.kind.as_byte(),
            lines: f.lines,
        };
        let families = gather_text(&self.registry)
            .into_iter()
            .map(family)
            .collect();
        MetricsMsg { families }
    }
}
