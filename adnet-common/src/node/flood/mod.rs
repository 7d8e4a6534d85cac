//! Passing on what consensus says, for networks in which not everybody is linked with everybody.
//!
//! A message that was new and whose signature is good goes once to all linked peers but its sender.
//! Who gets messages twice keeps one sender and tells the other that it needs none of that author for a
//! while, so that where everybody is linked, messages come from their authors alone, and elsewhere
//! along a tree. When an author repeats itself, the repetition also goes to a few of those that are
//! spared, others each time; one for whom it is news wants to be spared no more. So a broken branch
//! costs a repetition or two. Bodies are not passed on; who lacks one asks whoever has sent it the
//! proposal.
//!
//! Invariants: nothing unverified is passed on, nothing of an old height, nothing twice within a
//! moment; the memory for it is bounded and ends with the height.

mod bodies;
mod prunes;

use super::event::{Class, Peer};
use super::timers::Timer;
use super::{Host, Node, NodeFault, Output};
use crate::application::Application;
use crate::consensus::{Event, Message};
use crate::hash::Hash;
use prunes::Prunes;
use std::collections::BTreeMap;

/// Messages of one height that are remembered, and so passed on, at most.
const PASSED_MAX: usize = 16_384;
/// A message that comes again after this is a repetition by its author.
const REPETITION_MS: u64 = 500;
/// Spared peers that get a repetition all the same.
const REPEATED_TO: usize = 4;
/// How long refusals are gathered before they are sent, and how long what takes some back.
const GATHER_MS: u64 = 500;
const TAKE_BACK_MS: u64 = 10;

/// A message that was passed on.
struct Passed {
    at_ms: u64,
    from: Option<Peer>,
    repetitions: usize,
}

#[derive(Default)]
pub(super) struct Flood {
    passed: BTreeMap<Hash, Passed>,
    /// Who has sent the message that the engine looks at.
    sender: Option<Peer>,
    /// Who has sent a proposal of this block, in order.
    proposal_senders: BTreeMap<Hash, Vec<Peer>>,
    /// Who has asked for a body that is not here yet.
    wanted_by: BTreeMap<Hash, Vec<Peer>>,
    /// How often bodies of this height were asked for.
    body_asks: usize,
    prunes: Prunes,
}

impl Flood {
    /// Forgets everything of a height.
    pub fn end_height(&mut self) {
        self.passed.clear();
        self.proposal_senders.clear();
        self.wanted_by.clear();
        self.body_asks = 0;
    }
}

fn name(bytes: &[u8]) -> Hash {
    Hash::of("adnet/flood/v1", &[bytes])
}

impl<A: Application> Node<A> {
    /// A consensus message of a peer.
    pub(super) fn on_consensus(
        &mut self,
        now_ms: u64,
        peer: Peer,
        bytes: Vec<u8>,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let Ok(message) = Message::decode(&bytes) else {
            return Ok(());
        };
        if let Some(passed) = self.flood.passed.get_mut(&name(&bytes)) {
            let is_repetition = now_ms >= passed.at_ms.saturating_add(REPETITION_MS);
            let is_second = passed.from != Some(peer);
            if is_repetition {
                passed.at_ms = now_ms;
                passed.repetitions += 1;
                let turn = passed.repetitions;
                let author = message.author();
                let mut except =
                    author.map_or_else(Vec::new, |a| self.flood.prunes.without(now_ms, &a));
                for _ in 0..REPEATED_TO.min(except.len()) {
                    except.swap_remove((turn * REPEATED_TO) % except.len());
                }
                except.push(peer);
                let class = Class::Consensus;
                outputs.push(Output::Relay {
                    except,
                    class,
                    bytes,
                });
            } else if let Some(author) = message.author().filter(|_| is_second)
                && self.flood.prunes.came_twice(author, passed.from, peer)
            {
                let at_ms = now_ms.saturating_add(GATHER_MS);
                self.timers.set(at_ms, Timer::Prunes);
            }
            if let Some(block) = message.proposed() {
                self.flood.add_proposal_sender(block.hash, peer);
            }
            return Ok(());
        }
        self.flood.sender = Some(peer);
        let driven = self.drive(now_ms, Event::Message(message), host, outputs);
        self.flood.sender = None;
        driven
    }

    /// The engine has verified a message that it did not know.
    pub(super) fn pass_on(&mut self, now_ms: u64, message: &Message, outputs: &mut Vec<Output<A>>) {
        let from = self.flood.sender;
        if let (Some(block), Some(peer)) = (message.proposed(), from) {
            self.flood.add_proposal_sender(block.hash, peer);
        }
        let is_old = message.height() <= self.tip.height;
        if is_old || self.flood.passed.len() >= PASSED_MAX {
            return;
        }
        let bytes = message.encode();
        let passed = Passed {
            at_ms: now_ms,
            from,
            repetitions: 0,
        };
        let before = self.flood.passed.insert(name(&bytes), passed);
        if before.is_some() {
            return;
        }
        let author = message.author();
        if let (Some(author), Some(from)) = (author, from)
            && self.flood.prunes.is_news(now_ms, author, from)
        {
            self.timers.cancel(Timer::Prunes);
            let at_ms = now_ms.saturating_add(TAKE_BACK_MS);
            self.timers.set(at_ms, Timer::Prunes);
        }
        let mut except = author.map_or_else(Vec::new, |a| self.flood.prunes.without(now_ms, &a));
        except.extend(from);
        let class = Class::Consensus;
        outputs.push(Output::Relay {
            except,
            class,
            bytes,
        });
    }

    /// Tells peers whose messages they need not pass on to us.
    pub(super) fn send_prunes(&mut self, now_ms: u64, outputs: &mut Vec<Output<A>>) {
        for (peer, authors) in self.flood.prunes.take_gathered(now_ms) {
            outputs.push(Output::Send {
                peer,
                class: Class::SyncRequest,
                bytes: super::sync::prune(authors),
            });
        }
    }

    /// This peer gets the messages of these authors from others.
    pub(super) fn on_prune(&mut self, now_ms: u64, peer: Peer, authors: Vec<[u8; 32]>) {
        let known = authors.into_iter().map(crate::keys::PublicKey);
        let validators = &self.app.validators().own.set;
        let known: Vec<_> = known.filter(|a| validators.contains(a)).collect();
        self.flood.prunes.on_prune(now_ms, peer, known);
    }
}
