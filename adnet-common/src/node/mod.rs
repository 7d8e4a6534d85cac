//! One chain of one node: consensus, mempool, state and the other chain's messages, sans-io.
//!
//! `step(now, input, host, outputs)` is all there is: no clock, no randomness, no socket. The host
//! stores and signs synchronously, so whatever is in `outputs` depends only on what is durable.
//! The same code runs in a worker process and, a hundred times over, in the simulator.
//!
//! Invariants: a block is executed before we vote for it; what is committed was executed here and
//! led to the root in its header; the committed state changes only in `commit`, after the store
//! has acknowledged the block's batch; no transaction is verified in a step (`verifying`).

mod announce;
mod bodies;
mod boot;
mod commit;
mod decide;
mod drive;
mod event;
mod evidence;
mod exchange;
mod flood;
mod gossip;
mod inbox;
mod intake;
mod judge;
mod sibling;
mod sync;
mod timers;
mod verified;
mod verifying;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use boot::stored_tip;
pub use event::{Class, Exchange, Host, Input, NodeFault, Offence, Output, Peer};
pub use evidence::EVIDENCE_MAX_AGE_BLOCKS;
pub use gossip::{Fault, GossipId, Topic, Verdict};
pub use sibling::Sibling;
pub use sync::SyncFigures;
pub use verified::Verified;
pub use verifying::{Checked, Urgency, VerifyJob};

use crate::application::Application;
use crate::attestation::FinalityProof;
use crate::block::Header;
use crate::cadence::Cadence;
use crate::consensus::{BlockRef, Domain, Engine, Timeouts, ValidatorSet};
use crate::genesis::Genesis;
use crate::hash::Hash;
use crate::keys::PublicKey;
use crate::mempool::{Arrivals, Mempool, MempoolLimits};
use crate::trusted_block::TrustedBlock;
use crate::worker::{ChainStatus, SiblingError, SiblingValue, Snapshot};
use bodies::Bodies;
use commit::Untold;
use evidence::EvidencePool;
use flood::Flood;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use sync::{SnapshotSync, Sync};
use timers::{Timer, Timers};
use tokio::sync::oneshot;
use verifying::Verifying;

/// What a node is started with.
#[derive(Clone)]
pub struct NodeConfig {
    pub genesis: Arc<Genesis>,
    /// The key of this validator; `None` follows the chain without voting.
    pub validator: Option<PublicKey>,
    pub mempool: MempoolLimits,
    pub timeouts: Timeouts,
    /// A block that an operator vouches for. A node that has nothing but the genesis begins with a
    /// snapshot that this block leads to.
    pub trusted: Option<TrustedBlock>,
    /// Every so many blocks the state is kept for others to begin with.
    pub snapshot_every: u64,
}

/// Bounds that a genesis gives to the blocks of one chain.
#[derive(Copy, Clone, Debug)]
struct BlockLimits {
    max_bytes: usize,
    max_txs: usize,
    max_attestations: usize,
}

/// See the module.
pub struct Node<A: Application> {
    genesis_hash: Hash,
    domain: Domain,
    validator: Option<PublicKey>,
    cadence: Cadence,
    limits: BlockLimits,
    app: A,
    engine: Engine,
    mempool: Mempool<A::Tx>,
    /// What the API tells of new transactions.
    arrivals: Arrivals,
    verified: Arc<Verified<A::Tx>>,
    verifying: Verifying<A::Tx>,
    tip: Header,
    tip_hash: Hash,
    /// That the tip is final; `None` for the genesis block, which nobody has signed.
    tip_proof: Option<FinalityProof>,
    /// Who has decided the tip.
    tip_set: Arc<ValidatorSet>,
    /// The highest block of which an announcement was made here or came by.
    announced: u64,
    /// The height that consensus works on.
    open: Option<u64>,
    bodies: Bodies<A>,
    /// Blocks that a genuine proposal of the open height names and that were not judged yet, and
    /// whether they were proposed for the first time.
    needed: BTreeMap<BlockRef, bool>,
    sibling: Arc<Sibling>,
    evidence: EvidencePool,
    /// When the other chain was asked last what we have missed.
    asked_sibling_ms: u64,
    queries: Queries,
    sync: Sync,
    snapshot_sync: Option<SnapshotSync<A::Restore>>,
    /// Heights whose state is kept for peers, the last ones.
    snapshots: VecDeque<u64>,
    config: NodeConfig,
    untold: Untold,
    flood: Flood,
    timers: Timers,
}

type SiblingReply = oneshot::Sender<Result<SiblingValue, SiblingError>>;

/// State queries that the other chain has not answered yet.
#[derive(Default)]
struct Queries {
    next_id: u64,
    open: BTreeMap<u64, OpenQuery>,
}

struct OpenQuery {
    key: Vec<u8>,
    deadline_ms: u64,
    reply: SiblingReply,
}

impl<A: Application> Node<A> {
    /// Takes one input and adds to `outputs` what follows from it, in order.
    ///
    /// Commits one block at most. A node that catches up has the timers of many heights due at once,
    /// or many fetched blocks in hand; they stay due, so that its host can show a sign of life and
    /// serve others in between.
    ///
    /// # Errors
    /// After an error the node is of no more use: what is durable is where the next one begins.
    pub fn step(
        &mut self,
        now_ms: u64,
        input: Input<A>,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let height = self.tip.height;
        match input {
            Input::Tick => {}
            Input::Network { peer, class, bytes } => {
                self.on_network(now_ms, peer, class, bytes, host, outputs)?;
            }
            Input::Gossip {
                peer,
                topic,
                id,
                bytes,
            } => self.on_gossip(now_ms, peer, topic, id, &bytes, host, outputs)?,
            Input::Sibling(exchange) => self.on_sibling(now_ms, exchange, host, outputs)?,
            Input::Request(request) => self.on_request(now_ms, request, host, outputs)?,
            Input::Verified { job, checked } => {
                self.on_verified(now_ms, job, checked, host, outputs)?
            }
        }
        while self.tip.height == height
            && let Some(timer) = self.timers.pop(now_ms)
        {
            self.on_timer(now_ms, timer, host, outputs)?;
        }
        Ok(())
    }

    /// When the node wants its next [`Input::Tick`].
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.timers.next_ms()
    }

    /// Where the chain stands.
    pub fn status(&self) -> ChainStatus {
        ChainStatus {
            height: self.tip.height,
            block_hash: self.tip_hash,
            state_root: self.tip.state_root,
            block_time_ms: self.tip.time_ms,
            block_interval_ms: self.cadence.interval_ms,
            sibling_height: self.sibling.light.best_height(),
            last_consumed: self.app.last_consumed(),
            inbox_waiting: self.sibling.inbox().len() as u64,
            mempool_txs: self.mempool.len() as u64,
            mempool_bytes: self.mempool.bytes() as u64,
        }
    }

    pub fn snapshot(&self) -> Arc<Snapshot<A>> {
        let (status, view) = (self.status(), self.app.view());
        Arc::new(Snapshot { status, view })
    }

    /// What we have of the other chain, for the thread that listens to it.
    pub fn sibling(&self) -> &Arc<Sibling> {
        &self.sibling
    }

    /// What was verified here, for those that verify: they need not do it twice.
    pub fn verified(&self) -> &Arc<Verified<A::Tx>> {
        &self.verified
    }

    pub fn application(&self) -> &A {
        &self.app
    }

    /// The last committed header.
    pub fn tip(&self) -> &Header {
        &self.tip
    }

    /// The height and round that consensus works on.
    pub fn position(&self) -> Option<(u64, u32)> {
        self.engine.position()
    }

    fn on_timer(
        &mut self,
        now_ms: u64,
        timer: Timer,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        use crate::consensus::Event;
        match timer {
            Timer::Engine { height, id } if self.open == Some(height) => {
                self.drive(now_ms, Event::Timer(id), host, outputs)
            }
            Timer::Close(height) if self.open == Some(height) => {
                self.drive(now_ms, Event::EndHeight, host, outputs)
            }
            Timer::Engine { .. } | Timer::Close(_) => Ok(()),
            Timer::Open(height) => {
                let is_next = height == self.tip.height + 1 && self.open != Some(height);
                if !is_next || self.is_held_back(now_ms, height, outputs) {
                    return Ok(());
                }
                self.open_height(now_ms, height, host, outputs)
            }
            Timer::Bodies => {
                self.ask_for_bodies(now_ms, outputs);
                Ok(())
            }
            Timer::Prunes => {
                self.send_prunes(now_ms, outputs);
                Ok(())
            }
            Timer::Sync => self.feed_fetched(now_ms, host, outputs),
            Timer::Status => {
                self.announce(now_ms, outputs);
                Ok(())
            }
            Timer::Remind => {
                self.remind(now_ms, outputs);
                Ok(())
            }
            Timer::Announce => {
                self.announce_block(outputs);
                Ok(())
            }
            Timer::Resume => {
                self.ask_sibling(now_ms, outputs);
                Ok(())
            }
        }
    }
}
