//! The state of the node as metrics.

use crate::node_state::{NodeState, WorkerState};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts};
use std::sync::Arc;

/// Reads [`NodeState`] when metrics are gathered.
pub(super) struct NodeCollector {
    state: Arc<NodeState>,
    build: IntGaugeVec,
    ready: IntGauge,
    started: Gauge,
    height: IntGaugeVec,
    last_block: GaugeVec,
    worker_state: IntGaugeVec,
    restarts: IntCounterVec,
    incarnation: IntGaugeVec,
    standby_ready: IntGaugeVec,
    takeovers: IntCounterVec,
    sibling_height: IntGaugeVec,
    inbox: IntGaugeVec,
    stalled: IntGaugeVec,
}

impl NodeCollector {
    pub(super) fn new(state: Arc<NodeState>) -> Self {
        let valid = "names and labels are valid";
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            IntGaugeVec::new(Opts::new(name, help), labels).expect(valid)
        };
        let restarts = Opts::new(
            "adnet_worker_restarts_total",
            "Unplanned deaths of a worker.",
        );
        let takeovers = Opts::new(
            "adnet_standby_takeovers_total",
            "Restarts of a worker that its standby served.",
        );
        let last_block = Opts::new(
            "adnet_last_block_timestamp_seconds",
            "When the last block became durable.",
        );
        Self {
            state,
            build: gauges(
                "adnet_build_info",
                "Release and network; always 1.",
                &["version", "network", "genesis"],
            ),
            ready: IntGauge::new("adnet_ready", "1 while all wanted chains progress.")
                .expect(valid),
            started: Gauge::new("adnet_start_time_seconds", "When this node started.")
                .expect(valid),
            height: gauges("adnet_chain_height", "Last committed height.", &["chain"]),
            last_block: GaugeVec::new(last_block, &["chain"]).expect(valid),
            worker_state: gauges(
                "adnet_worker_state",
                "1 for the state that the worker is in.",
                &["chain", "state"],
            ),
            restarts: IntCounterVec::new(restarts, &["chain"]).expect(valid),
            incarnation: gauges(
                "adnet_worker_incarnation",
                "Counts the workers of a chain since the node started.",
                &["chain"],
            ),
            standby_ready: gauges(
                "adnet_standby_ready",
                "1 while a standby could take the worker's place at once.",
                &["chain"],
            ),
            takeovers: IntCounterVec::new(takeovers, &["chain"]).expect(valid),
            sibling_height: gauges(
                "adnet_sibling_final_height",
                "Height of the other chain that the light client holds for final.",
                &["chain"],
            ),
            inbox: gauges(
                "adnet_inbox_waiting",
                "Attestations of the other chain that wait for a block.",
                &["chain"],
            ),
            stalled: gauges(
                "adnet_chain_stalled",
                "1 while a chain has been without a new block for three intervals.",
                &["chain"],
            ),
        }
    }

    fn refresh(&self) {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let identity = &self.state.identity;
        let build = [
            identity.version.as_str(),
            &identity.network_name,
            &identity.genesis.to_string(),
        ];
        self.build.with_label_values(&build).set(1);
        self.ready.set(i64::from(self.state.not_ready().is_empty()));
        self.started.set(seconds(self.state.started_unix_ms()));
        let stalled = self.state.stalled_chains();
        for (plan, chain) in self.state.chains() {
            let label = [plan.chain.name()];
            if let Some(height) = chain.height {
                self.height.with_label_values(&label).set(number(height));
            }
            if let Some(at) = chain.last_block_unix_ms {
                self.last_block.with_label_values(&label).set(seconds(at));
            }
            let is_stalled = i64::from(stalled.contains_key(&plan.chain));
            self.stalled.with_label_values(&label).set(is_stalled);
            for state in WorkerState::ALL {
                let labels = [plan.chain.name(), state.name()];
                let is_now = i64::from(state == chain.worker);
                self.worker_state.with_label_values(&labels).set(is_now);
            }
            let incarnation = self.incarnation.with_label_values(&label);
            incarnation.set(i64::from(chain.incarnation));
            let restarts = self.restarts.with_label_values(&label);
            restarts.inc_by(chain.restarts.saturating_sub(restarts.get()));
            if let Some(standby) = chain.standby {
                let standby_ready = self.standby_ready.with_label_values(&label);
                standby_ready.set(i64::from(standby.is_ready));
                let takeovers = self.takeovers.with_label_values(&label);
                takeovers.inc_by(chain.takeovers.saturating_sub(takeovers.get()));
            }
            if let Some(progress) = chain.progress {
                self.sibling_height
                    .with_label_values(&label)
                    .set(number(progress.sibling_height));
                self.inbox
                    .with_label_values(&label)
                    .set(number(progress.inbox_waiting));
            }
        }
    }

    fn parts(&self) -> [&dyn Collector; 13] {
        [
            &self.build,
            &self.ready,
            &self.started,
            &self.height,
            &self.last_block,
            &self.worker_state,
            &self.restarts,
            &self.incarnation,
            &self.standby_ready,
            &self.takeovers,
            &self.sibling_height,
            &self.inbox,
            &self.stalled,
        ]
    }
}

impl Collector for NodeCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.refresh();
        self.parts()
            .into_iter()
            .flat_map(Collector::collect)
            .collect()
    }
}

/// Prometheus counts in seconds. A double holds milliseconds since 1970 exactly.
fn seconds(unix_ms: u64) -> f64 {
    unix_ms as f64 / 1000.0
}
