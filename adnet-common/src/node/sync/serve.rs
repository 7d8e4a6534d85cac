//! Serving decided blocks to whoever is behind, within bounds of time.
//!
//! A range is one bounded scan of the store, and its bytes go out as they are stored. What all peers
//! together may take per second is bounded, so that no number of requests delays the chain; who comes
//! too late gets an empty answer, which tells it to ask elsewhere.

use super::bucket::Bucket;
use super::message::{Message, RANGE_BLOCKS_MAX};
use super::peers::Share;
use crate::application::Application;
use crate::hash::Hash;
use crate::ledger;
use crate::node::Node;
use crate::node::event::{Class, Host, NodeFault, Offence, Output, Peer};

/// Bytes of one answer, unless its first block alone is longer.
const ANSWER_BYTES_MAX: usize = 2 << 20;
/// All peers together.
const RANGES_PER_S: u64 = 100;
const KIB_PER_S: u64 = 32 << 10;
const KIB_BURST: u64 = 16 << 10;

/// What is left to be served.
pub(in crate::node) struct Serving {
    pub(super) ranges: Bucket,
    kib: Bucket,
}

impl Serving {
    pub fn new(now_ms: u64) -> Self {
        Self {
            ranges: Bucket::new(RANGES_PER_S, RANGES_PER_S, now_ms),
            kib: Bucket::new(KIB_PER_S, KIB_BURST, now_ms),
        }
    }
}

impl<A: Application> Node<A> {
    /// Takes one answer off the peer's share; a flood is reported.
    fn has_share(&mut self, now_ms: u64, peer: Peer, outputs: &mut Vec<Output<A>>) -> bool {
        let share = self.sync.peers.share(now_ms, peer);
        if share == Share::Flooding {
            let offence = Offence::Flood;
            outputs.push(Output::Distrust { peer, offence });
        }
        share == Share::Granted
    }

    /// Whether the peer may be given an answer that takes reading, and takes it off its share: not at
    /// all, or only an empty one because all peers together have taken what there is.
    pub(super) fn may_serve(
        &mut self,
        now_ms: u64,
        peer: Peer,
        outputs: &mut Vec<Output<A>>,
    ) -> Option<bool> {
        let serving = &mut self.sync.serving;
        let is_left = serving.ranges.has_any(now_ms) && serving.kib.has_any(now_ms);
        self.has_share(now_ms, peer, outputs).then_some(is_left)
    }

    /// Takes an answer off what all peers together may have.
    pub(super) fn served(&mut self, bytes: usize) {
        let serving = &mut self.sync.serving;
        serving.ranges.take(1);
        serving.kib.take((bytes as u64).div_ceil(1 << 10));
    }

    /// The body of a block that is proposed.
    pub(super) fn serve_wanted(
        &mut self,
        now_ms: u64,
        peer: Peer,
        height: u64,
        hash: Hash,
        outputs: &mut Vec<Output<A>>,
    ) {
        let has_share = self.has_share(now_ms, peer, outputs);
        if has_share && self.sync.serving.kib.has_any(now_ms) {
            let sent = self.serve_body(peer, height, hash, outputs);
            self.sync.serving.kib.take((sent as u64).div_ceil(1 << 10));
        }
    }

    pub(super) fn serve(
        &mut self,
        now_ms: u64,
        peer: Peer,
        from: u64,
        count: u64,
        host: &dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        if !self.has_share(now_ms, peer, outputs) {
            return Ok(());
        }
        let serving = &mut self.sync.serving;
        let has_share = serving.ranges.has_any(now_ms) && serving.kib.has_any(now_ms);
        let count = count.min(RANGE_BLOCKS_MAX);
        let is_here = (1..=self.tip.height).contains(&from);
        let mut blocks = Vec::new();
        if has_share && is_here && count > 0 {
            blocks = ledger::encoded_blocks(host, A::CHAIN, from, count)?;
            let mut bytes = 0;
            let fits = blocks.iter().position(|block| {
                bytes += block.len();
                bytes > ANSWER_BYTES_MAX
            });
            blocks.truncate(fits.unwrap_or(blocks.len()).max(1));
            let sent: usize = blocks.iter().map(Vec::len).sum();
            self.served(sent);
            self.sync.figures.blocks_served += blocks.len() as u64;
        }
        outputs.push(Output::Send {
            peer,
            class: Class::SyncResponse,
            bytes: Message::Response { from, blocks }.encode(),
        });
        Ok(())
    }
}
