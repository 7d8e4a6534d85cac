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

mod follow;
mod history;
mod serve;

#[cfg(test)]
mod tests;

pub(super) use history::Link;
pub(super) use serve::{LINKS_MAX, PIECES_MAX, PROOFS_MAX};

use super::message::Message;
use super::peers::Asked;
use crate::application::Application;
use crate::attestation::FinalityProof;
use crate::block::Header;
use crate::consensus::{CommitCertificate, verify_certificate};
use crate::ledger::{self, CommittedBlock};
use crate::node::event::{Class, Host, NodeFault, Offence, Output, Peer};
use crate::node::timers::Timer;
use crate::node::{EVIDENCE_MAX_AGE_BLOCKS, Node, NodeConfig};
use crate::restore::Restore;
use crate::store::{RestoreBatch, Write};
use crate::trusted_block::TrustedBlock;
use history::History;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
    /// When the first peer said that it has none.
    none_ms: Option<u64>,
    /// Snapshots that nobody had any more before they were complete.
    lost: u32,
    /// The store holds parts of a state, and no genesis any more.
    has_begun: bool,
    /// Peers whose block at the trusted height is another.
    disagreeing: BTreeSet<Peer>,
}

/// The snapshot that is being fetched.
struct Target<R> {
    height: u64,
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
            lost: 0,
            has_begun: false,
            disagreeing: BTreeSet::new(),
        })
    }

    fn progressed(&mut self, now_ms: u64) {
        self.progress_ms = now_ms;
        self.none_ms = None;
    }

    /// Whether it is time to fetch blocks instead.
    fn is_in_vain(&self, now_ms: u64) -> bool {
        let is_over = |since_ms: u64, patience_ms| now_ms >= since_ms.saturating_add(patience_ms);
        self.target.is_none()
            && (self.lost >= SNAPSHOTS_MAX
                || is_over(self.progress_ms, PATIENCE_MS)
                || self
                    .none_ms
                    .is_some_and(|since| is_over(since, NONE_PATIENCE_MS)))
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
    pub(super) fn ask_for_snapshot(&mut self, now_ms: u64, outputs: &mut Vec<Output<A>>) {
        for peer in self.expire_requests(now_ms, outputs) {
            if let Some(sync) = &mut self.snapshot_sync {
                sync.asked.remove(&peer);
            }
        }
        let Some(sync) = &mut self.snapshot_sync else {
            return;
        };
        let target_since = sync.progress_ms.saturating_add(SNAPSHOT_PATIENCE_MS);
        if now_ms >= target_since && sync.target.take().is_some() {
            tracing::warn!(chain = %A::CHAIN, "nobody has the snapshot any more: looking for another");
            sync.lost += 1;
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

    /// A peer proves its snapshot to us.
    pub(super) fn on_proofs(
        &mut self,
        now_ms: u64,
        peer: Peer,
        from: u64,
        snapshot: u64,
        proofs: &[FinalityProof],
        outputs: &mut Vec<Output<A>>,
    ) {
        if self
            .take_want(&peer, |want| *want == Want::Proofs)
            .is_none()
        {
            return;
        }
        let sync = self.snapshot_sync.as_mut().expect("it has asked");
        let trusted = sync.trusted;
        if sync.target.is_some() || from != trusted.height {
            return; // Another was faster.
        }
        if proofs.is_empty() {
            sync.none_ms.get_or_insert(now_ms);
            self.sync.peers.has_nothing_from(now_ms, &peer, from);
            return;
        }
        match follow::follow(A::CHAIN, self.domain, &trusted, proofs) {
            Ok(last) => {
                self.sync.peers.answered(&peer);
                sync.disagreeing.clear();
                let is_there = last.height >= snapshot;
                let floor = snapshot.saturating_sub(EVIDENCE_MAX_AGE_BLOCKS).max(1);
                // The last block is above the snapshot only where the trusted one is.
                let is_useful = snapshot > 1 && last.height - floor <= 2 * EVIDENCE_MAX_AGE_BLOCKS;
                if last.height > trusted.height {
                    sync.progressed(now_ms);
                }
                sync.trusted = last;
                if is_there && is_useful {
                    let top = (last.height, last.hash);
                    tracing::info!(chain = %A::CHAIN, height = snapshot, "beginning with a snapshot");
                    sync.progressed(now_ms);
                    sync.target = Some(Target {
                        height: snapshot,
                        history: History::new(A::CHAIN, top, floor),
                        state: None,
                        header: None,
                        block: None,
                    });
                } else if is_there {
                    self.sync.peers.has_nothing_from(now_ms, &peer, from);
                }
            }
            Err(follow::Refused::OtherBlock) => {
                // Who of the two is wrong cannot be known here.
                tracing::warn!(chain = %A::CHAIN, %trusted, peer = hex::encode(peer), "a peer has another block at the trusted height");
                sync.disagreeing.insert(peer);
                self.sync.peers.has_nothing_from(now_ms, &peer, from);
            }
            Err(follow::Refused::Wrong(why)) => {
                tracing::warn!(chain = %A::CHAIN, why, "a peer cannot prove its snapshot");
                self.blame(now_ms, peer, Offence::BadBlock, outputs);
            }
        }
    }

    /// Headers have come.
    pub(super) fn on_history(
        &mut self,
        now_ms: u64,
        peer: Peer,
        top: u64,
        links: Vec<Link>,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        if self
            .take_want(&peer, |want| *want == Want::History)
            .is_none()
        {
            return Ok(());
        }
        let sync = self.snapshot_sync.as_mut().expect("it has asked");
        let Some(target) = sync
            .target
            .as_mut()
            .filter(|t| t.history.wanted() == Some(top))
        else {
            return Ok(());
        };
        if links.is_empty() {
            self.sync.peers.has_nothing_from(now_ms, &peer, top);
            return Ok(());
        }
        let headers = match target.history.take(links) {
            Ok(headers) => headers,
            Err(error) => {
                tracing::warn!(chain = %A::CHAIN, %error, "a peer has sent wrong headers");
                self.blame(now_ms, peer, Offence::BadBlock, outputs);
                return Ok(());
            }
        };
        self.sync.peers.answered(&peer);
        let height = target.height;
        if let Some(header) = headers.iter().find(|header| header.height == height) {
            target.state = Some(A::Restore::new(height, header.state_root));
            target.header = Some(header.clone());
        }
        let below = headers.iter().filter(|header| header.height < height);
        let writes = below.map(|header| ledger::header_write(A::CHAIN, header));
        let writes = writes.collect();
        sync.progressed(now_ms);
        self.store_part(writes, host)
    }

    /// The block of the snapshot has come, if this is it. Any other answer to that request is not ours.
    pub(super) fn on_snapshot_block(&mut self, peer: Peer, blocks: &[Vec<u8>]) {
        if self.take_want(&peer, |want| *want == Want::Block).is_none() {
            return;
        }
        let sync = self.snapshot_sync.as_mut().expect("it has asked");
        let Some(target) = &mut sync.target else {
            return;
        };
        let hash = target.header.as_ref().map(Header::hash);
        let block = blocks
            .first()
            .and_then(|bytes| CommittedBlock::decode(bytes).ok());
        let block = block.filter(|block| Some(block.block.hash()) == hash);
        target.block = block.map(|block| (peer, block));
    }

    /// Pieces of the state have come.
    pub(super) fn on_pieces(
        &mut self,
        now_ms: u64,
        peer: Peer,
        height: u64,
        pieces: Vec<(Vec<u8>, Vec<u8>)>,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let want = self.take_want(&peer, |want| matches!(want, Want::Pieces(_)));
        let Some(Want::Pieces(places)) = want else {
            return Ok(());
        };
        let sync = self.snapshot_sync.as_mut().expect("it has asked");
        let target = sync.target.as_mut().filter(|t| t.height == height);
        let Some(state) = target.and_then(|target| target.state.as_mut()) else {
            return Ok(());
        };
        if pieces.is_empty() {
            self.sync.peers.has_nothing_from(now_ms, &peer, height);
            return Ok(());
        }
        let mut writes = Vec::new();
        for (place, piece) in pieces {
            if !places.contains(&place) {
                continue;
            }
            match state.take(&place, &piece) {
                Ok(taken) => writes.extend(taken),
                Err(error) => {
                    tracing::warn!(chain = %A::CHAIN, %error, peer = hex::encode(peer), "a peer has sent a wrong piece");
                    self.blame(now_ms, peer, Offence::BadBlock, outputs);
                    return self.store_part(writes, host);
                }
            }
        }
        self.sync.peers.answered(&peer);
        sync.progressed(now_ms);
        self.store_part(writes, host)
    }

    /// Writes what is proved. The first write clears what the chain had: its genesis.
    fn store_part(&mut self, writes: Vec<Write>, host: &mut dyn Host) -> Result<(), NodeFault> {
        let sync = self
            .snapshot_sync
            .as_mut()
            .expect("something of it has come");
        let starts = !std::mem::replace(&mut sync.has_begun, true);
        if starts || !writes.is_empty() {
            let ends = None;
            host.restore(RestoreBatch {
                starts,
                writes,
                ends,
            })?;
        }
        Ok(())
    }

    /// Goes on with what has come: finishes, or gives up.
    pub(super) fn drive_snapshot(
        &mut self,
        now_ms: u64,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let Some(sync) = &mut self.snapshot_sync else {
            return Ok(());
        };
        if sync.is_in_vain(now_ms) {
            return self.give_snapshot_up(now_ms, host, outputs);
        }
        if let Some(target) = &mut sync.target {
            let is_here = target.history.wanted().is_none()
                && target.block.is_some()
                && target
                    .state
                    .as_ref()
                    .is_some_and(|s| s.wanted().next().is_none());
            if is_here {
                let (peer, block) = target.block.take().expect("seen above");
                let set = target.history.set_of(target.height);
                let set = set.expect("the history goes down to the height before");
                let certificate = CommitCertificate::decode(&block.certificate).ok();
                let is_proved = certificate.is_some_and(|certificate| {
                    certificate.height == target.height
                        && certificate.value == block.block.hash()
                        && verify_certificate(&self.domain, set, &certificate).is_ok()
                });
                if !is_proved {
                    self.blame(now_ms, peer, Offence::BadBlock, outputs);
                } else {
                    let target = sync.target.take().expect("seen above");
                    return self.adopt_snapshot(now_ms, target, &block, host, outputs);
                }
            }
        }
        self.ask_for_snapshot(now_ms, outputs);
        Ok(())
    }

    /// Makes the snapshot the node's state: the last batch, durable with all before it.
    fn adopt_snapshot(
        &mut self,
        now_ms: u64,
        target: Target<A::Restore>,
        block: &CommittedBlock,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let height = target.height;
        let mut writes = target.history.set_writes(height);
        writes.extend(target.state.expect("it is complete").finish());
        writes.extend(ledger::block_writes(A::CHAIN, block));
        host.restore(RestoreBatch {
            starts: false,
            writes,
            ends: Some(height),
        })?;
        tracing::info!(chain = %A::CHAIN, height, root = %block.block.header.state_root, "the snapshot is complete");
        self.reopen(now_ms, host, outputs)
    }

    fn give_snapshot_up(
        &mut self,
        now_ms: u64,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let sync = self.snapshot_sync.take().expect("it is given up");
        if !sync.disagreeing.is_empty() {
            let TrustedBlock { height, hash } = sync.trusted;
            return Err(NodeFault::NotTrusted { height, hash });
        }
        tracing::warn!(chain = %A::CHAIN, "no peer has a snapshot to begin with: fetching all blocks instead");
        if sync.has_begun {
            return self.reopen(now_ms, host, outputs);
        }
        self.ask_for_blocks(now_ms, outputs);
        Ok(())
    }

    /// Opens the chain anew on what is stored now. Peers and the ways to the outside stay.
    fn reopen(
        &mut self,
        now_ms: u64,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let sibling = Some(Arc::clone(&self.sibling));
        let mut fresh = Self::open_with(self.config.clone(), now_ms, host, sibling)?;
        fresh.snapshot_sync = None;
        std::mem::swap(&mut fresh.sync.peers, &mut self.sync.peers);
        fresh.sync.figures = self.sync.figures;
        *self = fresh;
        outputs.push(Output::Committed {
            snapshot: self.snapshot(),
            blocks: 0,
            round: 0,
            transactions: 0,
            equivocations: 0,
        });
        Ok(())
    }
}
