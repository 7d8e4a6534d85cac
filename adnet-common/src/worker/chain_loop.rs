//! The loop of a worker's chain thread: rings and requests in, the node's step, rings out.
//!
//! One thread, nothing shared but the published snapshot. It sleeps on one eventfd, which the
//! supervisor, the other chain and the API's threads ring, with a timeout for timers and beats.

use super::clock::{monotonic_ns, unix_ms};
use super::figures::Figures;
use super::handle::{Inner, Request, Snapshot};
use super::links::Links;
use crate::application::Application;
use crate::attestation::Attestation;
use crate::hash::Hash;
use crate::ipc::LinkError;
use crate::messages::{
    AttestationMsg, FinalityMsg, Message, NetworkInMsg, NetworkOutMsg, PeerMsg, ProgressMsg,
    QueryMsg, ReplyMsg, ResumeMsg, StopMsg,
};
use crate::node::{Class, Exchange, Input, Node, NodeFault, Output};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::watch;

/// The longest sleep: the supervisor hears a beat at least this often.
pub(super) const BEAT_EVERY_MS: u64 = 100;
const METRICS_EVERY_MS: u64 = 1_000;
/// Messages taken from one source before the others have their turn.
const TURN: usize = 256;
/// How long the supervisor may keep us waiting for room; it only copies.
const SUPERVISOR_PATIENCE: Duration = Duration::from_millis(200);

/// State of a worker as its heartbeat says it.
pub const STATE_STARTING: u32 = 1;
pub const STATE_RUNNING: u32 = 2;
pub const STATE_STOPPING: u32 = 3;
/// The chain's thread waits for an answer of the supervisor: a slow disk, for instance.
pub const STATE_WAITING: u32 = 4;

/// Why the loop ended in disorder.
#[derive(Debug, thiserror::Error)]
pub enum WorkerFault {
    #[error(transparent)]
    Node(#[from] NodeFault),
    #[error("ring {ring}: {error}")]
    Ring {
        ring: &'static str,
        error: LinkError,
    },
    #[error("waiting failed: {0}")]
    Wait(rustix::io::Errno),
}

pub(super) struct ChainLoop<A: Application> {
    pub node: Node<A>,
    pub links: Links,
    pub requests: mpsc::Receiver<Request<A>>,
    pub shared: Arc<Inner<A>>,
    pub heights: watch::Sender<u64>,
    pub figures: Figures,
    pub outputs: Vec<Output<A>>,
    pub metrics_due_ms: u64,
}

impl<A: Application> ChainLoop<A> {
    /// Runs until the supervisor asks to stop.
    pub fn run(&mut self) -> Result<(), WorkerFault> {
        loop {
            if self.take_control()? {
                return Ok(());
            }
            let worked = self.take_network()? | self.take_sibling()? | self.take_requests()?;
            self.step(Input::Tick)?;
            self.links.heartbeat.count(STATE_RUNNING);
            self.report_metrics();
            if !worked {
                self.sleep()?;
            }
        }
    }

    fn step(&mut self, input: Input<A>) -> Result<(), WorkerFault> {
        let Self {
            node,
            links,
            outputs,
            ..
        } = self;
        node.step(unix_ms(), input, &mut links.data, outputs)?;
        self.send_outputs()
    }

    /// Whether the supervisor asks to stop.
    fn take_control(&mut self) -> Result<bool, WorkerFault> {
        let received = self.links.control_down.receive(|r| r.kind == StopMsg::KIND);
        let asked = received
            .map_err(|error| fault("control", error))?
            .unwrap_or(false);
        Ok(asked || self.links.heartbeat.stop_requested().unwrap_or(false))
    }

    fn take_network(&mut self) -> Result<bool, WorkerFault> {
        let mut worked = false;
        for _ in 0..TURN {
            // The message is released after the step, so a death in it delivers it again.
            let Self {
                node,
                links,
                outputs,
                figures,
                ..
            } = self;
            let (data, down) = (&mut links.data, &mut links.network_down);
            let received = down.receive(|r| {
                let read = (r.kind == NetworkInMsg::KIND).then(|| NetworkInMsg::read(r.payload));
                let Some(Ok(NetworkInMsg { peer, class, bytes })) = read else {
                    figures.bad_messages.inc();
                    return Ok(());
                };
                let Some(class) = Class::from_byte(class) else {
                    figures.bad_messages.inc();
                    return Ok(());
                };
                let input = Input::Network { peer, class, bytes };
                node.step(unix_ms(), input, data, outputs)
            });
            match received.map_err(|error| fault("network", error))? {
                Some(stepped) => stepped?,
                None => break,
            }
            worked = true;
            self.send_outputs()?;
        }
        Ok(worked)
    }

    fn take_sibling(&mut self) -> Result<bool, WorkerFault> {
        let mut worked = false;
        for _ in 0..TURN {
            let Self {
                node,
                links,
                outputs,
                figures,
                ..
            } = self;
            let data = &mut links.data;
            let Some((_, from_sibling)) = &mut links.attest else {
                return Ok(false);
            };
            let received = from_sibling.receive(|r| {
                let wants = |sequence| node.wants_attestation(sequence);
                match read_exchange(r.kind, r.payload, figures, wants) {
                    Some(exchange) => node.step(unix_ms(), Input::Sibling(exchange), data, outputs),
                    None => Ok(()),
                }
            });
            match received.map_err(|error| fault("attest", error))? {
                Some(stepped) => stepped?,
                None => break,
            }
            worked = true;
            self.send_outputs()?;
        }
        Ok(worked)
    }

    fn take_requests(&mut self) -> Result<bool, WorkerFault> {
        let mut worked = false;
        for _ in 0..TURN {
            let Ok(request) = self.requests.try_recv() else {
                break; // empty, or the API is gone while we stop
            };
            self.step(Input::Request(request))?;
            worked = true;
        }
        Ok(worked)
    }

    fn send_outputs(&mut self) -> Result<(), WorkerFault> {
        let outputs = std::mem::take(&mut self.outputs);
        let is_empty = outputs.is_empty();
        for output in outputs {
            match output {
                Output::Broadcast { class, bytes } => self.send_network(None, class, bytes)?,
                Output::Send { peer, class, bytes } => {
                    self.send_network(Some(peer), class, bytes)?
                }
                Output::Distrust(peer) => {
                    let sent = self
                        .links
                        .network_up
                        .push(&PeerMsg { peer }, Duration::ZERO);
                    self.count_network(sent)?;
                }
                Output::Sibling(exchange) => self.send_sibling(exchange)?,
                Output::Committed {
                    snapshot,
                    transactions,
                } => {
                    // The other chain first: it verifies while we tell our own readers.
                    self.flush_sibling();
                    self.publish(snapshot, transactions)?;
                }
            }
        }
        if !is_empty {
            self.links.network_up.flush();
            self.flush_sibling();
        }
        Ok(())
    }

    fn flush_sibling(&mut self) {
        if let Some((to_sibling, _)) = &mut self.links.attest {
            to_sibling.flush();
        }
    }

    fn send_network(
        &mut self,
        peer: Option<[u8; 32]>,
        class: Class,
        bytes: Vec<u8>,
    ) -> Result<(), WorkerFault> {
        let class = class as u8;
        let message = NetworkOutMsg { peer, class, bytes };
        let sent = self.links.network_up.push(&message, SUPERVISOR_PATIENCE);
        self.count_network(sent)
    }

    /// What peers do not get is repeated by consensus and sync.
    fn count_network(&mut self, sent: Result<(), LinkError>) -> Result<(), WorkerFault> {
        match sent {
            Ok(()) => Ok(()),
            Err(LinkError::Full(_) | LinkError::TooLarge(_)) => {
                self.figures.network_dropped.inc();
                Ok(())
            }
            Err(error) => Err(fault("network", error)),
        }
    }

    /// Never waits for the other chain: what its ring has no room for, it asks for again.
    fn send_sibling(&mut self, exchange: Exchange) -> Result<(), WorkerFault> {
        let Some((to_sibling, _)) = &mut self.links.attest else {
            return Ok(());
        };
        let now = Duration::ZERO;
        let sent = match exchange {
            Exchange::Finality(proof) => to_sibling.push(&FinalityMsg::new(&proof), now),
            Exchange::Attestation(attestation) => {
                to_sibling.push(&AttestationMsg::new(&attestation, monotonic_ns()), now)
            }
            Exchange::Query { id, key } => to_sibling.push(&QueryMsg { id, key }, now),
            Exchange::Reply { id, proof } => to_sibling.push(&ReplyMsg::new(id, proof), now),
            Exchange::Resume { next_sequence } => {
                to_sibling.push(&ResumeMsg { next_sequence }, now)
            }
        };
        match sent {
            Ok(()) => Ok(()),
            Err(LinkError::Full(_) | LinkError::TooLarge(_)) => {
                self.figures.sibling_dropped.inc();
                Ok(())
            }
            Err(error) => Err(fault("attest", error)),
        }
    }

    /// Makes a committed block visible to the API and the supervisor.
    fn publish(
        &mut self,
        snapshot: Arc<Snapshot<A>>,
        transactions: usize,
    ) -> Result<(), WorkerFault> {
        let status = &snapshot.status;
        let message = ProgressMsg {
            height: status.height,
            block_time_ms: status.block_time_ms,
            block_hash: status.block_hash.0,
            sibling_height: status.sibling_height,
            inbox_waiting: status.inbox_waiting,
            mempool_txs: status.mempool_txs,
        };
        let delay_ms = unix_ms().saturating_sub(status.block_time_ms);
        self.figures.blocks.inc();
        self.figures.transactions.inc_by(transactions as u64);
        self.figures.block_delay.observe(delay_ms as f64 / 1000.0);
        let height = status.height;
        tracing::debug!(chain = %A::CHAIN, height, hash = %status.block_hash, delay_ms, "block committed");
        *self.shared.snapshot.write().expect("readers do not panic") = snapshot;
        self.heights.send_replace(height);
        let sent = self.links.control_up.send(&message, SUPERVISOR_PATIENCE);
        sent.map_err(|error| fault("control", error))
    }

    fn report_metrics(&mut self) {
        let now_ms = unix_ms();
        if now_ms < self.metrics_due_ms {
            return;
        }
        self.metrics_due_ms = now_ms + METRICS_EVERY_MS;
        self.figures.show(&self.node.status());
        let report = self.figures.report();
        // A full control ring loses a report, and the next one says more.
        let _ = self.links.control_up.send(&report, Duration::ZERO);
    }

    /// Sleeps until the doorbell rings, the node's next timer, or the next beat.
    fn sleep(&mut self) -> Result<(), WorkerFault> {
        let now_ms = unix_ms();
        let beat_ms = now_ms + BEAT_EVERY_MS;
        let until_ms = self.node.next_deadline_ms().unwrap_or(beat_ms).min(beat_ms);
        let timeout_ms = until_ms.saturating_sub(now_ms);
        let Links {
            control_down,
            network_down,
            attest,
            doorbell,
            ..
        } = &mut self.links;
        let mut may_sleep = control_down.ring().arm_doorbell();
        may_sleep &= network_down.ring().arm_doorbell();
        if let Some((_, from_sibling)) = attest {
            may_sleep &= from_sibling.ring().arm_doorbell();
        }
        if may_sleep && timeout_ms > 0 {
            let timeout = Timespec {
                tv_sec: 0,
                tv_nsec: (timeout_ms * 1_000_000)
                    .try_into()
                    .expect("at most one beat"),
            };
            let doorbell = doorbell
                .as_ref()
                .expect("the doorbells are set before a worker runs");
            let mut fds = [PollFd::new(doorbell, PollFlags::IN)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(WorkerFault::Wait(error)),
            }
        }
        // Each ring holds a duplicate of the one doorbell: the first disarm empties it.
        control_down.ring().disarm_doorbell();
        network_down.ring().disarm_doorbell();
        if let Some((_, from_sibling)) = attest {
            from_sibling.ring().disarm_doorbell();
        }
        Ok(())
    }
}

fn fault(ring: &'static str, error: LinkError) -> WorkerFault {
    WorkerFault::Ring { ring, error }
}

/// Validates a message of the other chain in place; what we know already is not even copied.
fn read_exchange(
    kind: u16,
    payload: &[u8],
    figures: &Figures,
    wants: impl Fn(u64) -> bool,
) -> Option<Exchange> {
    let read = match kind {
        AttestationMsg::KIND => {
            let message = match AttestationMsg::access(payload) {
                Ok(message) => message,
                Err(error) => return bad(figures, &error),
            };
            let delay_ns = monotonic_ns().saturating_sub(message.sent_ns.to_native());
            figures.attestation_delay.observe(delay_ns as f64 / 1e9);
            if !wants(message.sequence.to_native()) {
                return None;
            }
            let decoded = Attestation::decode(&message.attestation);
            return decoded
                .map(Exchange::Attestation)
                .map_or_else(|e| bad(figures, &e), Some);
        }
        FinalityMsg::KIND => {
            let message = FinalityMsg::read(payload);
            return match message.map(FinalityMsg::into_exchange) {
                Ok(Ok(exchange)) => Some(exchange),
                Ok(Err(error)) => bad(figures, &error),
                Err(error) => bad(figures, &error),
            };
        }
        QueryMsg::KIND => QueryMsg::read(payload).map(|m| Exchange::Query {
            id: m.id,
            key: m.key,
        }),
        ReplyMsg::KIND => ReplyMsg::read(payload).map(ReplyMsg::into_exchange),
        ResumeMsg::KIND => ResumeMsg::read(payload).map(|m| Exchange::Resume {
            next_sequence: m.next_sequence,
        }),
        other => {
            let why = "not a message of this ring".to_string();
            Err(crate::messages::MessageError { kind: other, why })
        }
    };
    read.map_or_else(|error| bad(figures, &error), Some)
}

fn bad(figures: &Figures, error: &dyn std::error::Error) -> Option<Exchange> {
    figures.bad_messages.inc();
    tracing::warn!(%error, "a message of the other chain was dropped");
    None
}

/// What of a chain's tip goes into the log line of a (re)start.
pub(super) fn tip_words(height: u64, hash: &Hash) -> String {
    format!("height {height}, block {hash}")
}
