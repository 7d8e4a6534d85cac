//! Bodies of proposed blocks for who is not linked with the proposer: it asks whoever has sent it
//! the proposal. One that does not have the body itself yet sends it when it has.

use super::Flood;
use crate::application::Application;
use crate::consensus::BlockRef;
use crate::hash::Hash;
use crate::node::bodies::MAX_AHEAD;
use crate::node::event::{Class, Output, Peer};
use crate::node::timers::Timer;
use crate::node::{Node, sync};

/// How long the proposer's own sending may take before another is asked.
const ASK_AFTER_MS: u64 = 60;
const ASK_AGAIN_MS: u64 = 300;
/// Bodies that are asked for at once, each in its turn. A proposer that signs for blocks that do not
/// exist must not make us ask so much that we are taken for a flood.
const ASKED_AT_ONCE: usize = 3;
const PROPOSALS_MAX: usize = 64;
const SENDERS_MAX: usize = 8;
const WANTED_MAX: usize = 16;
const WANTERS_MAX: usize = 16;

impl Flood {
    pub(super) fn add_proposal_sender(&mut self, block: Hash, peer: Peer) {
        add(
            &mut self.proposal_senders,
            block,
            peer,
            PROPOSALS_MAX,
            SENDERS_MAX,
        );
    }
}

/// Adds to a map of short lists, within its bounds.
fn add(
    map: &mut std::collections::BTreeMap<Hash, Vec<Peer>>,
    block: Hash,
    peer: Peer,
    blocks_max: usize,
    peers_max: usize,
) {
    if map.len() >= blocks_max && !map.contains_key(&block) {
        return;
    }
    let peers = map.entry(block).or_default();
    if peers.len() < peers_max && !peers.contains(&peer) {
        peers.push(peer);
    }
}

impl<A: Application> Node<A> {
    /// A body is needed that is not here: it is asked for if it does not come by itself.
    pub(in crate::node) fn await_body(&mut self, now_ms: u64) {
        self.timers.cancel(Timer::Bodies);
        let at_ms = now_ms.saturating_add(ASK_AFTER_MS);
        self.timers.set(at_ms, Timer::Bodies);
    }

    pub(in crate::node) fn ask_for_bodies(&mut self, now_ms: u64, outputs: &mut Vec<Output<A>>) {
        let next = self.tip.height + 1;
        let is_missing =
            |b: &&BlockRef| b.height == next && !self.bodies.known.contains_key(&b.hash);
        let missing: Vec<BlockRef> = self.needed.keys().filter(is_missing).copied().collect();
        if missing.is_empty() {
            return;
        }
        let asks = self.flood.body_asks;
        self.flood.body_asks += 1;
        let class = Class::SyncRequest;
        let begin = asks.wrapping_mul(ASKED_AT_ONCE) % missing.len();
        let turn = missing.iter().cycle().skip(begin);
        for BlockRef { height, hash, .. } in turn.take(ASKED_AT_ONCE.min(missing.len())) {
            let bytes = sync::want_body(*height, *hash);
            let senders = self.flood.proposal_senders.get(hash);
            match senders.and_then(|s| s.get(asks % s.len().max(1))) {
                Some(peer) => outputs.push(Output::Send {
                    peer: *peer,
                    class,
                    bytes,
                }),
                // The proposal is from our own log: nobody has sent it since the restart.
                None => outputs.push(Output::Broadcast { class, bytes }),
            }
        }
        let at_ms = now_ms.saturating_add(ASK_AGAIN_MS);
        self.timers.cancel(Timer::Bodies);
        self.timers.set(at_ms, Timer::Bodies);
    }

    /// A peer lacks this body. Its share was taken.
    pub(in crate::node) fn serve_body(
        &mut self,
        peer: Peer,
        height: u64,
        hash: Hash,
        outputs: &mut Vec<Output<A>>,
    ) -> usize {
        if let Some(candidate) = self.bodies.known.get(&hash) {
            let bytes = candidate.block.encode();
            let len = bytes.len();
            let class = Class::Body;
            outputs.push(Output::Send { peer, class, bytes });
            return len;
        }
        let tip = self.tip.height;
        if height > tip && height <= tip.saturating_add(MAX_AHEAD) {
            let wanted = &mut self.flood.wanted_by;
            add(wanted, hash, peer, WANTED_MAX, WANTERS_MAX);
        }
        0
    }

    /// A body has come: those that have asked for it get it.
    pub(in crate::node) fn hand_on_body(&mut self, hash: &Hash, outputs: &mut Vec<Output<A>>) {
        let Some(peers) = self.flood.wanted_by.remove(hash) else {
            return;
        };
        let candidate = self.bodies.known.get(hash);
        let bytes = candidate.expect("it has just come").block.encode();
        for peer in peers {
            let (class, bytes) = (Class::Body, bytes.clone());
            outputs.push(Output::Send { peer, class, bytes });
        }
    }
}
