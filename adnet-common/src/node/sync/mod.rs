//! Decided blocks of peers, for whoever is behind.
//!
//! A vote is sent once and only the last ones are repeated, so a node that missed a proposal can
//! be stranded. Sync is therefore part of consensus, not only for late joiners. Peers say how high
//! their chains are; a node that is behind asks several of them for different ranges, verifies the
//! blocks in order by their commit certificates, and commits them without opening their heights for
//! consensus. At the tip it takes part again.
//!
//! Invariants: nothing of a peer is believed but what a certificate of the height's validators
//! proves; a node that is behind signs nothing; all that peers can make grow is bounded.

mod apply;
mod bucket;
mod fetched;
mod message;
mod mode;
mod peers;
mod plan;
mod serve;
mod snapshot;

use super::event::{Class, Offence, Peer};
use super::timers::Timer;
use super::{Host, Node, NodeFault, Output};
use crate::application::Application;
use crate::hash::Hash;
use crate::keys::PublicKey;
use crate::ledger::CommittedBlock;
use fetched::{Fetched, FetchedBlocks, WINDOW_BLOCKS};
use message::Message;
use mode::Mode;
use peers::{Asked, Peers};
use serve::Serving;
pub(super) use snapshot::SnapshotSync;
use std::collections::BTreeSet;

/// How often peers are told our height; at first more often, because links come up one by one.
const STATUS_FIRST_MS: u64 = 250;
const STATUS_EVERY_MS: u64 = 5_000;
/// How long consensus may take to come to a block that one peer has already, before it is asked for.
const ONE_BEHIND_MS: u64 = 250;
/// Requests on their way to all peers together; each answer may be as long as one block.
const REQUESTS_MAX: usize = 8;
/// Fetched blocks that are synced together.
const GROUP_BLOCKS: usize = 32;
/// How often a held height asks whether it may be opened.
const HOLD_STEP_MS: u64 = 50;

/// Asks for the body of a proposed block.
pub(super) fn want_body(height: u64, hash: Hash) -> Vec<u8> {
    Message::WantBody { height, hash }.encode()
}

/// Says whose messages need not be passed on to us.
pub(super) fn prune(authors: BTreeSet<PublicKey>) -> Vec<u8> {
    let authors = authors.into_iter().map(|author| author.0).collect();
    Message::Prune { authors }.encode()
}

/// What sync has done and sees, for the metrics.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncFigures {
    /// Peers that are known, and the highest claim of one that is believed for the moment.
    pub peers: u64,
    pub best_height: u64,
    pub is_catching_up: bool,
    /// Blocks of peers that were verified and committed.
    pub blocks: u64,
    pub requests: u64,
    /// Requests that were not answered in time.
    pub timeouts: u64,
    /// Ranges that were not what was asked for, or did not verify.
    pub bad_ranges: u64,
    pub blocks_served: u64,
    /// Pieces of a snapshot that were verified and stored.
    pub pieces: u64,
}

/// What a node knows of fetching and serving blocks.
pub(super) struct Sync {
    peers: Peers,
    fetched: FetchedBlocks,
    mode: Mode,
    serving: Serving,
    figures: SyncFigures,
    status_every_ms: u64,
    /// Since when a peer is one block ahead of the open height.
    one_behind_ms: Option<u64>,
    /// The height whose fetched block waits for its transactions to be verified.
    waits_at: Option<u64>,
}

impl Sync {
    pub fn new(now_ms: u64, is_alone: bool) -> Self {
        Self {
            peers: Peers::default(),
            fetched: FetchedBlocks::default(),
            mode: Mode::at_start(now_ms, is_alone),
            serving: Serving::new(now_ms),
            figures: SyncFigures::default(),
            status_every_ms: STATUS_FIRST_MS,
            one_behind_ms: None,
            waits_at: None,
        }
    }
}

impl<A: Application> Node<A> {
    /// What sync has done and sees.
    pub fn sync_figures(&self) -> SyncFigures {
        SyncFigures {
            peers: self.sync.peers.len() as u64,
            is_catching_up: self.sync.mode.is_catching_up(),
            ..self.sync.figures
        }
    }

    /// Tells peers our height, and again after a while.
    pub(super) fn announce(&mut self, now_ms: u64, outputs: &mut Vec<Output<A>>) {
        self.announce_tip(outputs);
        let every_ms = self.sync.status_every_ms;
        self.sync.status_every_ms = (every_ms * 2).min(STATUS_EVERY_MS);
        self.timers
            .set(now_ms.saturating_add(every_ms), Timer::Status);
    }

    pub(super) fn announce_tip(&self, outputs: &mut Vec<Output<A>>) {
        outputs.push(Output::Broadcast {
            class: Class::SyncRequest,
            bytes: Message::Status(self.tip.height).encode(),
        });
    }

    /// Whether blocks come from peers. Then nobody is told of each: they have long had it.
    pub(super) fn is_catching_up(&self) -> bool {
        self.sync.mode.is_catching_up()
    }

    /// Whether the block of this height, which is about to be committed, may be synced together with
    /// the next one: that one is here and verified, and will follow at once.
    pub(super) fn may_defer(&self, height: u64) -> bool {
        let next = self.sync.fetched.get(height + 1);
        let is_ready = |next: &Fetched| {
            let block = &next.block.block;
            block.body.txs.is_empty() || self.verifying.is_verified(&block.hash())
        };
        self.sync.mode.is_catching_up()
            && self.untold.blocks + 1 < GROUP_BLOCKS
            && next.is_some_and(is_ready)
    }

    pub(super) fn on_sync(
        &mut self,
        now_ms: u64,
        peer: Peer,
        bytes: &[u8],
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        if self.sync.peers.is_distrusted(&peer, now_ms) {
            return Ok(());
        }
        match Message::decode(bytes) {
            Ok(Message::Status(height)) => {
                self.on_status(now_ms, peer, height, outputs);
                Ok(())
            }
            Ok(Message::Request { from, count }) => {
                self.serve(now_ms, peer, from, count, host, outputs)
            }
            Ok(Message::Response { blocks, .. }) if self.is_restoring() => {
                self.on_snapshot_block(now_ms, peer, &blocks);
                self.drive_snapshot(now_ms, host, outputs)
            }
            Ok(Message::Response { from, blocks }) => {
                self.on_range(now_ms, peer, from, &blocks, outputs);
                self.feed_fetched(now_ms, host, outputs)
            }
            Ok(Message::WantBody { height, hash }) => {
                self.serve_wanted(now_ms, peer, height, hash, outputs);
                Ok(())
            }
            Ok(Message::Prune { authors }) => {
                self.on_prune(now_ms, peer, authors);
                Ok(())
            }
            Ok(Message::WantProofs(from)) => self.serve_proofs(now_ms, peer, from, host, outputs),
            Ok(Message::WantHistory { top, count }) => {
                self.serve_history(now_ms, peer, top, count, host, outputs)
            }
            Ok(Message::WantPieces { height, places }) => {
                self.serve_pieces(now_ms, peer, height, places, host, outputs)
            }
            Ok(Message::Proofs {
                from,
                snapshot,
                proofs,
            }) => {
                self.on_proofs(now_ms, peer, from, snapshot, &proofs, outputs);
                self.drive_snapshot(now_ms, host, outputs)
            }
            Ok(Message::History { top, links }) => {
                self.on_history(now_ms, peer, top, links, host, outputs)?;
                self.drive_snapshot(now_ms, host, outputs)
            }
            Ok(Message::Pieces { height, pieces }) => {
                self.on_pieces(now_ms, peer, height, pieces, host, outputs)?;
                self.drive_snapshot(now_ms, host, outputs)
            }
            Err(_) => {
                self.blame(now_ms, peer, Offence::Garbage, outputs);
                Ok(())
            }
        }
    }

    /// A peer claims this height.
    pub(super) fn on_status(
        &mut self,
        now_ms: u64,
        peer: Peer,
        height: u64,
        outputs: &mut Vec<Output<A>>,
    ) {
        self.sync.peers.heard(now_ms, peer, height);
        // Who has just started learns at once how far it is behind.
        if height < self.tip.height && self.sync.peers.tell(now_ms, &peer) {
            outputs.push(Output::Send {
                peer,
                class: Class::SyncRequest,
                bytes: Message::Status(self.tip.height).encode(),
            });
        }
        self.ask_for_blocks(now_ms, outputs);
    }

    /// Takes in a range that was asked for. What was not is dropped: it comes too late.
    fn on_range(
        &mut self,
        now_ms: u64,
        peer: Peer,
        from: u64,
        blocks: &[Vec<u8>],
        outputs: &mut Vec<Output<A>>,
    ) {
        let Some(asked) = self.sync.peers.take_asked(&peer, from) else {
            return;
        };
        if blocks.is_empty() {
            self.sync.peers.has_nothing_from(now_ms, &peer, from);
            return;
        }
        // A late answer to an earlier question from the same height may be the longer one.
        let count = usize::try_from(asked.count).unwrap_or(usize::MAX);
        let decoded = blocks
            .iter()
            .take(count)
            .zip(from..)
            .map(|(bytes, height)| {
                let block = CommittedBlock::decode(bytes).ok()?;
                let is_wanted = block.block.header.height == height;
                let bytes = bytes.len();
                let fetched = Fetched {
                    peer,
                    block,
                    bytes,
                    decided_by: None,
                };
                is_wanted.then_some((height, fetched))
            });
        let decoded: Option<Vec<_>> = decoded.collect();
        match decoded {
            Some(blocks) => {
                self.sync.peers.answered(&peer);
                for (height, fetched) in blocks {
                    self.sync.fetched.insert(height, fetched);
                }
            }
            None => self.blame(now_ms, peer, Offence::BadBlock, outputs),
        }
    }

    /// Asks peers for what is missing, as many at a time as there are.
    pub(super) fn ask_for_blocks(&mut self, now_ms: u64, outputs: &mut Vec<Output<A>>) {
        if self.is_restoring() {
            return self.ask_for_snapshot(now_ms, outputs);
        }
        self.expire_requests(now_ms, outputs);
        let tip = self.tip.height;
        let best = self.sync.peers.best_height(now_ms);
        self.sync.figures.best_height = best;
        self.sync.mode.update(now_ms, tip, best);
        if best <= tip {
            self.sync.one_behind_ms = None;
        } else if self.is_patient(now_ms, best) {
            let until_ms = self.sync.one_behind_ms.unwrap_or(now_ms) + ONE_BEHIND_MS;
            self.wake_sync(now_ms, until_ms);
            return;
        }
        while self.sync.peers.open_requests() < REQUESTS_MAX {
            let Sync { peers, fetched, .. } = &self.sync;
            let coming = peers.covered(now_ms).map(|a| (a.from, a.count));
            let others = peers.idle(now_ms, tip + 1).saturating_sub(1) + peers.open_requests();
            let range = plan::next_range(
                tip + 1,
                best,
                WINDOW_BLOCKS,
                fetched.heights(),
                coming,
                others,
            );
            let Some((from, count)) = range else { break };
            if fetched.is_full() && from > tip + 1 {
                break;
            }
            // Whoever has a higher block has this one: no peer for it, no peer for the rest.
            let Some((peer, claim)) = peers.choose(now_ms, from) else {
                break;
            };
            let count = count.min(claim - from + 1);
            let at_ms = now_ms;
            self.sync.peers.ask(&peer, Asked { from, count, at_ms });
            self.sync.figures.requests += 1;
            outputs.push(Output::Send {
                peer,
                class: Class::SyncRequest,
                bytes: Message::Request { from, count }.encode(),
            });
        }
        if let Some(next_ms) = self.sync.peers.next_ms(now_ms) {
            self.wake_sync(now_ms, next_ms);
        }
    }

    /// Forgets requests that were not answered in time.
    fn expire_requests(&mut self, now_ms: u64, outputs: &mut Vec<Output<A>>) {
        for peer in self.sync.peers.expire(now_ms) {
            self.sync.figures.timeouts += 1;
            let offence = Offence::Silence;
            outputs.push(Output::Distrust { peer, offence });
        }
    }

    /// Whether consensus is left a moment to come to the one block that we lack by itself.
    fn is_patient(&mut self, now_ms: u64, best: u64) -> bool {
        let next = self.tip.height + 1;
        if best > next || self.open != Some(next) || self.sync.mode.holds() {
            return false;
        }
        let since_ms = *self.sync.one_behind_ms.get_or_insert(now_ms);
        now_ms < since_ms.saturating_add(ONE_BEHIND_MS)
    }

    /// Sets the one timer of sync: at once if the next block is here and need not wait.
    fn wake_sync(&mut self, now_ms: u64, at_ms: u64) {
        let is_ready = self.has_next();
        self.timers.cancel(Timer::Sync);
        self.timers
            .set(if is_ready { now_ms } else { at_ms }, Timer::Sync);
    }

    /// Whether the next fetched block can be taken.
    fn has_next(&self) -> bool {
        let next = self.tip.height + 1;
        let waits = self.sync.waits_at == Some(next) || self.verifying.is_deciding();
        self.sync.fetched.has(next) && !waits
    }

    /// Transactions of a block were verified: the next fetched one may go on.
    pub(super) fn sync_goes_on(&mut self, now_ms: u64) {
        self.sync.waits_at = None;
        if self.has_next() {
            self.wake_sync(now_ms, now_ms);
        }
    }

    /// Blames a peer for what it has sent, and takes nothing of it for a while. With a fixed choice
    /// of peer, one liar could hold us back for ever.
    pub(super) fn blame(
        &mut self,
        now_ms: u64,
        peer: Peer,
        offence: Offence,
        outputs: &mut Vec<Output<A>>,
    ) {
        self.sync.figures.bad_ranges += 1;
        self.sync.peers.distrust(now_ms, peer);
        self.sync.fetched.forget(&peer);
        outputs.push(Output::Distrust { peer, offence });
    }
}
