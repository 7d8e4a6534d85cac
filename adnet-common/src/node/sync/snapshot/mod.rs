//! Beginning with a snapshot: a node that has nothing but the genesis, and is told a block to trust, takes
//! the state of a recent height from peers instead of executing all blocks up to it.
//!
//! From the trusted block it follows the commit certificates to a height whose state peers keep
//! (`follow`), goes down from there by the parents' hashes (`history`), and fetches the state in pieces,
//! each held against the root in that height's header ([`crate::restore`]). What is missing afterwards
//! comes as blocks, as always.
//!
//! Invariants: nothing is written but what the trusted hash proves; while this goes on no height is
//! opened and nothing is signed; a node that dies in the midst of it finds no tip in its store and
//! begins anew. If nobody offers a snapshot in time, blocks are fetched from the genesis on, and the
//! trusted block is then one that the chain has to have (`NodeFault::NotTrusted`).

mod adopt;
mod follow;
mod history;
mod serve;
mod take;

#[cfg(test)]
mod tests;

pub(super) use history::Link;
pub(super) use serve::{LINKS_MAX, PIECES_MAX, PROOFS_MAX};

use super::message::Message;
use super::peers::Asked;
use crate::application::Application;
use crate::block::Header;
use crate::ledger::CommittedBlock;
use crate::node::event::{Class, Output, Peer};
use crate::node::timers::Timer;
use crate::node::{Node, NodeConfig};
use crate::restore::Restore;
use crate::trusted_block::TrustedBlock;
use history::History;
use std::collections::{BTreeMap, BTreeSet};

/// Peers that are asked for a snapshot at once.
const ASKED_FOR_PROOFS_MAX: usize = 3;
/// Requests on their way to all peers together.
const REQUESTS_MAX: usize = 8;
/// Without progress for so long, another snapshot is looked for.
const SNAPSHOT_PATIENCE_MS: u64 = 15_000;
/// Without progress for so long, blocks are fetched from the genesis on.
const PATIENCE_MS: u64 = 60_000;
/// When peers have said that they have no snapshot, for so long others are waited for.
const NONE_PATIENCE_MS: u64 = 3_000;
/// Snapshots that are begun with at most.
const SNAPSHOTS_MAX: u32 = 3;
/// How often something is done at least.
const TURN_MS: u64 = 500;

/// What a peer was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Want {
    Proofs,
    History,
    Block,
    Pieces(Vec<Vec<u8>>),
}

/// See the module.
pub(in crate::node) struct SnapshotSync<R> {
    /// The last block that is known to be final.
    trusted: TrustedBlock,
    progress_ms: u64,
    asked: BTreeMap<Peer, Want>,
    target: Option<Target<R>>,
    /// When the first peer said that it has none, and all that have said so.
    none_ms: Option<u64>,
    none: BTreeSet<Peer>,
    /// Peers whose snapshot nobody had any more before it was complete. They offer no second one.
    failed_offers: BTreeSet<Peer>,
    /// Snapshots that nobody had any more before they were complete.
    lost: u32,
    /// The store holds parts of a state, and no genesis any more.
    has_begun: bool,
}

/// The snapshot that is being fetched.
struct Target<R> {
    height: u64,
    offered_by: Peer,
    /// Parts of it are in the store, and of nothing else.
    is_begun: bool,
    history: History,
    /// Begins when the header is here.
    state: Option<R>,
    header: Option<Header>,
    /// With the peer that sent it: its certificate can be verified only when the sets are known.
    block: Option<(Peer, CommittedBlock)>,
}

impl<R: Restore> SnapshotSync<R> {
    /// `None` for a node that has blocks, or is told nothing to trust.
    pub fn at_start(config: &NodeConfig, height: u64, now_ms: u64) -> Option<Self> {
        let trusted = config.trusted.filter(|_| height == 0)?;
        Some(Self {
            trusted,
            progress_ms: now_ms,
            asked: BTreeMap::new(),
            target: None,
            none_ms: None,
            none: BTreeSet::new(),
            failed_offers: BTreeSet::new(),
            lost: 0,
            has_begun: false,
        })
    }

    fn progressed(&mut self, now_ms: u64) {
        self.progress_ms = now_ms;
        self.none_ms = None;
        self.none.clear();
    }

    /// Whether it is time to fetch blocks instead. `peers` are those that could be asked now.
    fn is_in_vain(&self, now_ms: u64, mut peers: impl Iterator<Item = Peer>) -> bool {
        let is_asking = self.asked.values().any(|want| *want == Want::Proofs);
        let all_have_none = !is_asking && peers.all(|peer| self.none.contains(&peer));
        let is_over = |since_ms: u64, patience_ms| now_ms >= since_ms.saturating_add(patience_ms);
        self.target.is_none()
            && (self.lost >= SNAPSHOTS_MAX
                || is_over(self.progress_ms, PATIENCE_MS)
                || (all_have_none
                    && self
                        .none_ms
                        .is_some_and(|since| is_over(since, NONE_PATIENCE_MS))))
    }

    /// What a peer could be asked for now.
    fn next_want(&self) -> Option<Want> {
        let is_asked = |want: &Want| self.asked.values().any(|asked| asked == want);
        let Some(target) = &self.target else {
            let asked = self.asked.values().filter(|want| **want == Want::Proofs);
            return (asked.count() < ASKED_FOR_PROOFS_MAX).then_some(Want::Proofs);
        };
        if target.history.wanted().is_some() && !is_asked(&Want::History) {
            return Some(Want::History);
        }
        if target.header.is_some() && target.block.is_none() && !is_asked(&Want::Block) {
            return Some(Want::Block);
        }
        let on_the_way: BTreeSet<&[u8]> = self
            .asked
            .values()
            .flat_map(|want| match want {
                Want::Pieces(places) => places.as_slice(),
                Want::Proofs | Want::History | Want::Block => &[],
            })
            .map(Vec::as_slice)
            .collect();
        let wanted = target.state.iter().flat_map(Restore::wanted);
        let places = wanted.filter(|place| !on_the_way.contains(place));
        let places: Vec<Vec<u8>> = places.take(PIECES_MAX).map(<[u8]>::to_vec).collect();
        (!places.is_empty()).then_some(Want::Pieces(places))
    }

    /// The request, and the height that a peer must have to answer it.
    fn request(&self, want: &Want) -> (Message, u64) {
        let height = self.target.as_ref().map_or(0, |target| target.height);
        let message = match want {
            Want::Proofs => Message::WantProofs(self.trusted.height),
            Want::Block => Message::Request {
                from: height,
                count: 1,
            },
            Want::Pieces(places) => Message::WantPieces {
                height,
                places: places.clone(),
            },
            Want::History => {
                let target = self.target.as_ref().expect("history is of a target");
                let top = target.history.wanted().expect("wanted when asked for");
                let count = target.history.wanted_count().min(LINKS_MAX as u64);
                Message::WantHistory { top, count }
            }
        };
        (message, height.max(self.trusted.height))
    }
}

impl<A: Application> Node<A> {
    /// Whether a snapshot is being fetched.
    pub(in crate::node) fn is_restoring(&self) -> bool {
        self.snapshot_sync.is_some()
    }

    /// Asks peers for what is missing, as many at a time as there are.
    pub(in crate::node::sync) fn ask_for_snapshot(
        &mut self,
        now_ms: u64,
        outputs: &mut Vec<Output<A>>,
    ) {
        self.expire_requests(now_ms, outputs);
        let Some(sync) = &mut self.snapshot_sync else {
            return;
        };
        // Too late, or blamed for something else.
        let peers = &self.sync.peers;
        sync.asked.retain(|peer, _| peers.is_asked(peer));
        let target_since = sync.progress_ms.saturating_add(SNAPSHOT_PATIENCE_MS);
        if now_ms >= target_since
            && let Some(Target {
                height, offered_by, ..
            }) = sync.target.take()
        {
            tracing::warn!(chain = %A::CHAIN, height, "nobody has the snapshot any more: looking for another");
            sync.lost += 1;
            sync.failed_offers.insert(offered_by);
            // Answers that are still on their way are to questions of the past; and who did not have
            // this one is not to blame for it.
            for peer in std::mem::take(&mut sync.asked).into_keys() {
                self.sync.peers.take_any(&peer);
            }
            self.sync.peers.forgive(now_ms);
        }
        while sync.asked.len() < REQUESTS_MAX {
            let Some(want) = sync.next_want() else { break };
            let (message, height) = sync.request(&want);
            let Some((peer, _)) = self.sync.peers.choose(now_ms, height) else {
                break;
            };
            let (from, count, at_ms) = (height, 0, now_ms);
            self.sync.peers.ask(&peer, Asked { from, count, at_ms });
            self.sync.figures.requests += 1;
            sync.asked.insert(peer, want);
            outputs.push(Output::Send {
                peer,
                class: Class::SyncRequest,
                bytes: message.encode(),
            });
        }
        let turn_ms = now_ms.saturating_add(TURN_MS);
        let next_ms = self.sync.peers.next_ms(now_ms).unwrap_or(turn_ms);
        self.timers.cancel(Timer::Sync);
        self.timers.set(next_ms.min(turn_ms), Timer::Sync);
    }

    /// What this peer was asked for, if the answer is one to that.
    fn take_want(&mut self, peer: &Peer, is_it: impl Fn(&Want) -> bool) -> Option<Want> {
        let sync = self.snapshot_sync.as_mut()?;
        sync.asked.get(peer).filter(|want| is_it(want))?;
        self.sync.peers.take_any(peer);
        sync.asked.remove(peer)
    }
}
