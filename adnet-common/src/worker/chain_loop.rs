//! The loop of a worker's chain thread: rings and requests in, the node's step, rings out.
//!
//! One thread, nothing shared but the published snapshot and what the listener knows of the other
//! chain. It sleeps on one eventfd, which the supervisor, the listener and the API's threads ring,
//! with a timeout for timers and beats.

use super::clock::unix_ms;
use super::figures::Figures;
use super::handle::{Inner, Request, Snapshot};
use super::host::ChainHost;
use super::links::SupervisorLinks;
use super::listen::Heard;
use super::pulse::{BEAT_EVERY_MS, STATE_RUNNING};
use super::verifier::{Answer, Done, Submission};
use crate::api::PeerReport;
use crate::application::Application;
use crate::hash::Hash;
use crate::ipc::LinkError;
use crate::messages::{
    GossipInMsg, GossipOutMsg, MemberMsg, Message, NetworkInMsg, NetworkOutMsg, PeerMsg, PeersMsg,
    ProgressMsg, StopMsg, ValidatorsMsg, VerdictMsg,
};
use crate::node::{Class, Input, Node, NodeFault, Output, Topic};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::watch;

const METRICS_EVERY_MS: u64 = 1_000;
/// Messages taken from one source before the others have their turn.
const TURN: usize = 256;
/// How long the supervisor may keep us waiting for room; it only copies.
const SUPERVISOR_PATIENCE: Duration = Duration::from_millis(200);

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
    pub host: ChainHost,
    pub links: SupervisorLinks,
    /// What the listener hands on; nothing ever comes where only one chain runs.
    pub heard: mpsc::Receiver<Heard>,
    pub requests: mpsc::Receiver<Request<A>>,
    /// What the verifier has done.
    pub verified: mpsc::Receiver<Done<A::Tx>>,
    pub shared: Arc<Inner<A>>,
    pub heights: watch::Sender<u64>,
    pub figures: Figures,
    pub outputs: Vec<Output<A>>,
    pub metrics_due_ms: u64,
    /// First height of the validator set that the supervisor has been told; 0 before the first.
    pub told_validators: u64,
}

impl<A: Application> ChainLoop<A> {
    /// Runs until the supervisor asks to stop.
    pub fn run(&mut self) -> Result<(), WorkerFault> {
        self.tell_validators()?;
        loop {
            if self.take_control()? {
                return Ok(());
            }
            let worked = self.take_network()?
                | self.take_sibling()?
                | self.take_verified()?
                | self.take_requests()?;
            self.step(Input::Tick)?;
            self.links.heartbeat.count(STATE_RUNNING);
            self.report_metrics();
            if !worked {
                self.sleep()?;
            }
        }
    }

    fn step(&mut self, input: Input<A>) -> Result<(), WorkerFault> {
        self.just_step(input)?;
        self.send_outputs()
    }

    /// A step whose outputs wait for those of others.
    fn just_step(&mut self, input: Input<A>) -> Result<(), WorkerFault> {
        let Self {
            node,
            host,
            outputs,
            ..
        } = self;
        Ok(node.step(unix_ms(), input, host, outputs)?)
    }

    /// Takes one message of the supervisor; tells whether it asks to stop.
    fn take_control(&mut self) -> Result<bool, WorkerFault> {
        let (figures, shared) = (&self.figures, &self.shared);
        let received = self.links.control_down.receive(|r| match r.kind {
            StopMsg::KIND => true,
            PeersMsg::KIND => {
                match PeersMsg::read(r.payload) {
                    Ok(PeersMsg { peers }) => {
                        let report = |peer| PeerReport::new(A::CHAIN, peer);
                        let peers = Arc::new(peers.into_iter().map(report).collect());
                        *shared.peers.write().expect("readers do not panic") = peers;
                    }
                    Err(_) => figures.bad_messages.inc(),
                }
                false
            }
            _ => {
                figures.bad_messages.inc();
                false
            }
        });
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
                host,
                links,
                outputs,
                figures,
                ..
            } = self;
            let received = links.network_down.receive(|r| {
                let Some(input) = from_peers(r.kind, r.payload) else {
                    figures.bad_messages.inc();
                    return Ok(());
                };
                node.step(unix_ms(), input, host, outputs)
            });
            match received.map_err(|error| fault("network", error))? {
                Some(stepped) => stepped?,
                None => break,
            }
            worked = true;
            self.send_outputs()?;
            // Judging a block takes a while, and there may be many in a turn.
            self.links.heartbeat.count(STATE_RUNNING);
        }
        Ok(worked)
    }

    /// What the listener could not answer by itself.
    fn take_sibling(&mut self) -> Result<bool, WorkerFault> {
        let mut worked = false;
        for _ in 0..TURN {
            match self.heard.try_recv() {
                Ok(Ok(exchange)) => self.step(Input::Sibling(exchange))?,
                Ok(Err(error)) => return Err(fault("attest", error)),
                Err(_) => break, // nothing, or no other chain
            }
            worked = true;
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

    /// What was verified: verdicts, blocks that can be judged now, and transactions of clients.
    fn take_verified(&mut self) -> Result<bool, WorkerFault> {
        let mut worked = false;
        for _ in 0..TURN {
            let Ok(done) = self.verified.try_recv() else {
                break; // nothing is
            };
            for Answer { job, checked } in done.answers {
                self.step(Input::Verified { job, checked })?;
            }
            for Submission { tx, client } in done.submissions {
                let reply = client.reply;
                self.just_step(Input::Request(Request::Submit { tx, reply }))?;
            }
            self.send_outputs()?;
            self.links.heartbeat.count(STATE_RUNNING);
            worked = true;
        }
        Ok(worked)
    }

    fn send_outputs(&mut self) -> Result<(), WorkerFault> {
        let outputs = std::mem::take(&mut self.outputs);
        let is_empty = outputs.is_empty();
        for output in outputs {
            match output {
                Output::Broadcast { class, bytes } => {
                    self.send_network(None, Vec::new(), class, bytes)?
                }
                Output::Relay {
                    except,
                    class,
                    bytes,
                } => self.send_network(None, except, class, bytes)?,
                Output::Send { peer, class, bytes } => {
                    self.send_network(Some(peer), Vec::new(), class, bytes)?
                }
                Output::Verify(job) => self.shared.verifier.add(job),
                Output::Abandon(job) => self.shared.verifier.abandon(job),
                Output::Publish { topic, bytes } => {
                    let topic = topic as u8;
                    self.push_network(&GossipOutMsg { topic, bytes }, SUPERVISOR_PATIENCE)?;
                }
                Output::Verdict {
                    peer,
                    topic,
                    id,
                    verdict,
                } => {
                    let message = VerdictMsg {
                        peer,
                        topic: topic as u8,
                        id,
                        verdict: verdict.as_byte(),
                    };
                    self.push_network(&message, SUPERVISOR_PATIENCE)?;
                }
                Output::Distrust { peer, offence } => {
                    let offence = offence as u8;
                    self.push_network(&PeerMsg { peer, offence }, Duration::ZERO)?;
                }
                Output::Sibling(exchange) => self.host.tell_sibling(exchange),
                Output::Committed {
                    snapshot,
                    round,
                    blocks,
                    transactions,
                    equivocations,
                } => {
                    self.figures.equivocations.inc_by(equivocations as u64);
                    self.figures.decided_rounds.observe(f64::from(round));
                    self.publish(snapshot, blocks, transactions)?;
                }
            }
        }
        if !is_empty {
            self.links.network_up.flush();
            self.host.flush();
        }
        match self.host.take_fault() {
            Some(error) => Err(fault("attest", error)),
            None => Ok(()),
        }
    }

    fn send_network(
        &mut self,
        peer: Option<[u8; 32]>,
        except: Vec<[u8; 32]>,
        class: Class,
        bytes: Vec<u8>,
    ) -> Result<(), WorkerFault> {
        let class = class as u8;
        let message = NetworkOutMsg {
            peer,
            except,
            class,
            bytes,
        };
        self.push_network(&message, SUPERVISOR_PATIENCE)
    }

    /// What peers do not get is repeated by consensus and sync. A verdict that does not arrive lets
    /// its message end here.
    fn push_network(
        &mut self,
        message: &impl Message,
        patience: Duration,
    ) -> Result<(), WorkerFault> {
        match self.links.network_up.push(message, patience) {
            Ok(()) => Ok(()),
            Err(LinkError::Full(_) | LinkError::TooLarge(_)) => {
                self.figures.network_dropped.inc();
                Ok(())
            }
            Err(error) => Err(fault("network", error)),
        }
    }

    /// Makes a committed block visible to the API and the supervisor.
    fn publish(
        &mut self,
        snapshot: Arc<Snapshot<A>>,
        blocks: usize,
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
        self.figures.blocks.inc_by(blocks as u64);
        self.figures.transactions.inc_by(transactions as u64);
        self.figures.block_delay.observe(delay_ms as f64 / 1000.0);
        let height = status.height;
        tracing::debug!(chain = %A::CHAIN, height, hash = %status.block_hash, delay_ms, "block committed");
        *self.shared.snapshot.write().expect("readers do not panic") = snapshot;
        self.heights.send_replace(height);
        let sent = self.links.control_up.send(&message, SUPERVISOR_PATIENCE);
        sent.map_err(|error| fault("control", error))?;
        self.tell_validators()
    }

    /// Tells the supervisor who decides the next height, if that has changed.
    fn tell_validators(&mut self) -> Result<(), WorkerFault> {
        let own = &self.node.application().validators().own;
        if own.height == self.told_validators {
            return Ok(());
        }
        self.told_validators = own.height;
        let members = own.set.members().iter();
        let message = ValidatorsMsg {
            from_height: own.height,
            members: members
                .map(|v| MemberMsg {
                    key: v.key().0,
                    power: v.power(),
                })
                .collect(),
        };
        let sent = self.links.control_up.send(&message, SUPERVISOR_PATIENCE);
        sent.map_err(|error| fault("control", error))
    }

    fn report_metrics(&mut self) {
        let now_ms = unix_ms();
        if now_ms < self.metrics_due_ms {
            return;
        }
        self.metrics_due_ms = now_ms + METRICS_EVERY_MS;
        self.figures
            .show(&self.node.status(), &self.node.sync_figures());
        self.figures.show_consensus(self.node.position());
        let waiting = self.shared.verifier.waiting();
        let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
        self.figures.verifier.waiting.set(waiting);
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
        let SupervisorLinks {
            control_down,
            network_down,
            doorbell,
            ..
        } = &mut self.links;
        let mut may_sleep = control_down.ring().arm_doorbell();
        may_sleep &= network_down.ring().arm_doorbell();
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
        Ok(())
    }
}

/// A record of the network ring, if it is one.
fn from_peers<A: Application>(kind: u16, payload: &[u8]) -> Option<Input<A>> {
    match kind {
        NetworkInMsg::KIND => {
            let NetworkInMsg { peer, class, bytes } = NetworkInMsg::read(payload).ok()?;
            let class = Class::from_byte(class)?;
            Some(Input::Network { peer, class, bytes })
        }
        GossipInMsg::KIND => {
            let GossipInMsg {
                peer,
                topic,
                id,
                bytes,
            } = GossipInMsg::read(payload).ok()?;
            Some(Input::Gossip {
                peer,
                topic: Topic::from_byte(topic)?,
                id,
                bytes,
            })
        }
        _ => None,
    }
}

fn fault(ring: &'static str, error: LinkError) -> WorkerFault {
    WorkerFault::Ring { ring, error }
}

/// What of a chain's tip goes into the log line of a (re)start.
pub(super) fn tip_words(height: u64, hash: &Hash) -> String {
    format!("height {height}, block {hash}")
}
