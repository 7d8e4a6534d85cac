//! Looks at the whole node once a second: tells the workers who their peers are, and raises the
//! alarm when a chain stands still.
//!
//! An alarm is one line when it begins and one when it is over, however long it lasts; the metric
//! `adnet_chain_stalled` shows it all the while.

use super::shared::SharedSender;
use crate::network::Network;
use crate::node_state::NodeState;
use adnet_common::chain_id::ChainId;
use adnet_common::messages::{LinkedPeer, PeersMsg};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How soon the end of the node is noticed.
const STOP_EVERY: Duration = Duration::from_millis(50);

pub(super) struct Watch {
    pub state: Arc<NodeState>,
    pub network: Arc<Network>,
    pub workers: BTreeMap<ChainId, SharedSender>,
}

impl Watch {
    pub fn run(&self, stop: &AtomicBool) {
        let mut alarms = Alarms::default();
        let mut due = Instant::now();
        while !stop.load(Ordering::Acquire) {
            if Instant::now() >= due {
                due = Instant::now() + LOOK_EVERY;
                self.tell_peers();
                if !self.state.is_stopping() {
                    alarms.look(&self.state.stalled_chains());
                }
            }
            thread::sleep(STOP_EVERY);
        }
    }

    fn tell_peers(&self) {
        let mut all: BTreeMap<ChainId, Vec<LinkedPeer>> = BTreeMap::new();
        for info in self.network.peers() {
            all.entry(info.chain).or_default().push(info.into());
        }
        for (chain, worker) in &self.workers {
            let peers = all.remove(chain).unwrap_or_default();
            let mut worker = worker.lock().expect("nobody panics while holding a sender");
            // A worker that is away or busy hears the next report.
            let _ = worker.send(&PeersMsg { peers }, Duration::ZERO);
        }
    }
}

/// The chains that stand still, as of the last look.
#[derive(Default)]
struct Alarms {
    raised: BTreeSet<ChainId>,
}

impl Alarms {
    fn look(&mut self, stalled: &BTreeMap<ChainId, String>) {
        for (chain, why) in stalled {
            if self.raised.insert(*chain) {
                tracing::error!(event = "chain_stalled", %chain, "{why}: its validators or the links to them may be down (`adnet peers` shows who is linked)");
            }
        }
        self.raised.retain(|chain| {
            let is_over = !stalled.contains_key(chain);
            if is_over {
                tracing::info!(event = "chain_goes_on", %chain, "blocks come again");
            }
            !is_over
        });
    }
}
