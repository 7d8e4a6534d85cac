//! Peers: statuses, and decided blocks for whoever is behind.
//!
//! A vote is sent once and only the last ones are repeated, so a node that missed a proposal can
//! be stranded. Sync is therefore part of consensus, not only for late joiners: the engine checks
//! the certificate, we check that the body belongs to it.

use super::event::{Class, Peer};
use super::timers::Timer;
use super::{Host, Node, NodeFault, Output};
use crate::application::Application;
use crate::block::MAX_BODY_BYTES;
use crate::codec::{DecodeError, Reader, Writer};
use crate::consensus::{CommitCertificate, Event};
use crate::ledger::{self, CommittedBlock};
use std::collections::{BTreeMap, BTreeSet};

const STATUS_EVERY_MS: u64 = 5_000;
const ASK_EVERY_MS: u64 = 500;
/// Blocks of one answer at most, and the bytes after which it ends.
const BATCH_BLOCKS: u64 = 32;
const BATCH_BYTES: usize = 4 << 20;
const MAX_BLOCK_BYTES: usize = MAX_BODY_BYTES + (128 << 10);
/// Fetched blocks that wait for those below them: a few answers, and never what peers please.
const FETCHED_BLOCKS_MAX: usize = 4 * BATCH_BLOCKS as usize;
const FETCHED_BYTES_MAX: usize = 32 << 20;

/// What a node knows of fetching blocks.
#[derive(Default)]
pub(super) struct Sync {
    fetched: BTreeMap<u64, Fetched>,
    asked_ms: Option<u64>,
    /// Peers that have served us a bad block or certificate.
    distrusted: BTreeSet<Peer>,
}

/// A block as a peer has sent it: its certificate is not verified yet.
struct Fetched {
    peer: Peer,
    block: CommittedBlock,
    /// Encoded length.
    bytes: usize,
}

impl Sync {
    /// Keeps the lowest blocks from `wanted` on, within the bounds.
    fn trim(&mut self, wanted: u64) {
        self.fetched = self.fetched.split_off(&wanted);
        let (mut blocks, mut bytes) = (0, 0);
        self.fetched.retain(|_, fetched| {
            blocks += 1;
            bytes += fetched.bytes;
            blocks <= FETCHED_BLOCKS_MAX && bytes <= FETCHED_BYTES_MAX
        });
    }
}

/// What peers say in the classes [`Class::SyncRequest`] and [`Class::SyncResponse`].
#[derive(Clone, Debug, PartialEq, Eq)]
enum Message {
    /// "My chain is this high."
    Status(u64),
    /// "Send me decided blocks from this height on."
    Request(u64),
    /// Encoded committed blocks.
    Response(Vec<Vec<u8>>),
}

impl Message {
    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Message::Status(height) => w.u8(1).u64(*height),
            Message::Request(height) => w.u8(2).u64(*height),
            Message::Response(blocks) => w.u8(3).list(blocks, |w, b| {
                w.bytes(b);
            }),
        };
        w.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let message = match r.u8("sync message kind")? {
            1 => Message::Status(r.u64("height")?),
            2 => Message::Request(r.u64("height")?),
            3 => Message::Response(r.list("blocks", BATCH_BLOCKS as usize, |r| {
                Ok(r.bytes("block", MAX_BLOCK_BYTES)?.to_vec())
            })?),
            _ => return Err(r.invalid("sync message kind", "unknown")),
        };
        r.end()?;
        Ok(message)
    }
}

impl<A: Application> Node<A> {
    pub(super) fn announce(&mut self, now_ms: u64, outputs: &mut Vec<Output<A>>) {
        self.announce_tip(outputs);
        self.timers
            .set(now_ms.saturating_add(STATUS_EVERY_MS), Timer::Status);
    }

    pub(super) fn announce_tip(&self, outputs: &mut Vec<Output<A>>) {
        outputs.push(Output::Broadcast {
            class: Class::SyncRequest,
            bytes: Message::Status(self.tip.height).encode(),
        });
    }

    pub(super) fn on_sync(
        &mut self,
        now_ms: u64,
        peer: Peer,
        bytes: &[u8],
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        if self.sync.distrusted.contains(&peer) {
            return Ok(());
        }
        match Message::decode(bytes) {
            Ok(Message::Status(height)) => {
                self.on_status(now_ms, peer, height, outputs);
                Ok(())
            }
            Ok(Message::Request(from)) => self.serve(peer, from, host, outputs),
            Ok(Message::Response(blocks)) => {
                for bytes in blocks {
                    match CommittedBlock::decode(&bytes) {
                        Ok(block) => {
                            let height = block.block.header.height;
                            let bytes = bytes.len();
                            let fetched = Fetched { peer, block, bytes };
                            self.sync.fetched.insert(height, fetched);
                        }
                        Err(_) => {
                            self.distrust(peer, outputs);
                            return Ok(());
                        }
                    }
                }
                self.feed_fetched(now_ms, host, outputs)
            }
            Err(_) => {
                self.distrust(peer, outputs);
                Ok(())
            }
        }
    }

    /// A peer has a chain of this height, as it says itself or as an announcement has proved.
    pub(super) fn on_status(
        &mut self,
        now_ms: u64,
        peer: Peer,
        height: u64,
        outputs: &mut Vec<Output<A>>,
    ) {
        let last = self.sync.asked_ms;
        let rested = last.is_none_or(|at| now_ms >= at.saturating_add(ASK_EVERY_MS));
        // One ahead is what consensus is about to decide here anyway.
        if height > self.tip.height && rested {
            self.sync.asked_ms = Some(now_ms);
            outputs.push(Output::Send {
                peer,
                class: Class::SyncRequest,
                bytes: Message::Request(self.tip.height + 1).encode(),
            });
        }
    }

    fn serve(
        &self,
        peer: Peer,
        from: u64,
        host: &dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let (mut blocks, mut bytes) = (Vec::new(), 0);
        let last = self.tip.height.min(from.saturating_add(BATCH_BLOCKS - 1));
        for height in from.max(1)..=last {
            let block = ledger::block_at(host, A::CHAIN, height)?;
            let block = block.expect("all blocks up to the tip are kept").encode();
            bytes += block.len();
            blocks.push(block);
            if bytes > BATCH_BYTES {
                break;
            }
        }
        if !blocks.is_empty() {
            outputs.push(Output::Send {
                peer,
                class: Class::SyncResponse,
                bytes: Message::Response(blocks).encode(),
            });
        }
        Ok(())
    }

    /// Hands fetched blocks to the engine, one height after the other.
    pub(super) fn feed_fetched(
        &mut self,
        now_ms: u64,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let wanted = self.tip.height + 1;
        self.sync.trim(wanted);
        if self.open != Some(wanted) {
            return self.hasten(now_ms, wanted, host, outputs);
        }
        let Some(Fetched { peer, block, .. }) = self.sync.fetched.remove(&wanted) else {
            return Ok(());
        };
        let Ok(certificate) = CommitCertificate::decode(&block.certificate) else {
            self.distrust(peer, outputs);
            return Ok(());
        };
        let body = block.block.encode();
        let event = Event::Synced {
            peer,
            certificate,
            body,
        };
        self.drive(now_ms, event, host, outputs)
    }

    /// A later block has been decided elsewhere, so there is no need to wait for its schedule.
    fn hasten(
        &mut self,
        now_ms: u64,
        wanted: u64,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        if !self.sync.fetched.contains_key(&wanted) {
            return Ok(());
        }
        if self.open == Some(self.tip.height) && self.engine.is_decided() {
            self.drive(now_ms, Event::EndHeight, host, outputs)?;
        }
        self.open_height(now_ms, wanted, host, outputs)
    }

    /// Asks others from now on. With a fixed choice of peer, one liar could hold us back for ever.
    pub(super) fn distrust(&mut self, peer: Peer, outputs: &mut Vec<Output<A>>) {
        self.sync.distrusted.insert(peer);
        self.sync.fetched.retain(|_, fetched| fetched.peer != peer);
        self.sync.asked_ms = None;
        outputs.push(Output::Distrust(peer));
    }
}
