//! Drives the consensus engine and carries out its actions, strictly in order.

use super::event::{Class, Offence};
use super::timers::Timer;
use super::verifying::Urgency;
use super::{Host, Node, NodeFault, Output};
use crate::application::Application;
use crate::block::Block;
use crate::consensus::{Action, BlockRef, Event, Origin};
use crate::consensus_keys::{body_key, body_range, built_range, load_wal, wal_writes};
use crate::hash::Hash;
use crate::store::{Family, Part, StoreError, Write, scan_all};
use std::collections::VecDeque;

impl<A: Application> Node<A> {
    /// Steps the engine with `event` and whatever our answers to its actions are.
    pub(super) fn drive(
        &mut self,
        now_ms: u64,
        event: Event,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.engine.step(now_ms, event, host) {
                self.perform(now_ms, action, host, outputs, &mut events)?;
            }
        }
        Ok(())
    }

    fn perform(
        &mut self,
        now_ms: u64,
        action: Action,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
        events: &mut VecDeque<Event>,
    ) -> Result<(), NodeFault> {
        match action {
            Action::Persist(entries) => host.append(wal_writes(A::CHAIN, &entries))?,
            Action::Publish(message) => outputs.push(Output::Broadcast {
                class: Class::Consensus,
                bytes: message.encode(),
            }),
            Action::SetTimer { id, at_ms } => {
                let height = self.open.expect("the engine works on an open height");
                self.timers.set(at_ms, Timer::Engine { height, id });
            }
            Action::BuildBlock { height, round, .. } => {
                events.extend(self.propose(now_ms, height, round, host, outputs)?);
            }
            Action::Relay(message) => self.pass_on(now_ms, &message, outputs),
            Action::NeedBlock { block, is_new } => {
                self.needed.insert(block, is_new);
                events.extend(self.answer_needed(now_ms, host, outputs)?);
                if self.needed.contains_key(&block) {
                    self.await_body(now_ms);
                }
            }
            Action::Restream(block) => self.spread(&block.hash, outputs),
            Action::CheckSynced {
                peer, block, body, ..
            } => match self.keep_synced(block, &body, host)? {
                true => events.extend(self.accept_synced(block, host, outputs)?),
                false => self.blame(now_ms, peer, Offence::BadBlock, outputs),
            },
            Action::RejectSynced(peer) => {
                self.blame(now_ms, peer, Offence::BadBlock, outputs);
            }
            Action::Commit {
                certificate,
                evidence,
            } => self.decide(now_ms, certificate, evidence, host, outputs)?,
            Action::Finalized { evidence, .. } => {
                self.keep_evidence(evidence, host)?;
                let next = self.tip.height + 1;
                self.timers.set(self.next_due(now_ms), Timer::Open(next));
            }
            Action::Halt(reason) => return Err(NodeFault::Halt(reason)),
        }
        Ok(())
    }

    /// When the height after the tip may start.
    pub(super) fn next_due(&self, now_ms: u64) -> u64 {
        self.cadence.due(self.tip.time_ms).max(now_ms)
    }

    /// Opens the height after the tip, with what an earlier run has stored of it.
    pub(super) fn open_height(
        &mut self,
        now_ms: u64,
        height: u64,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        if height != self.tip.height + 1 || self.open == Some(height) {
            return Ok(());
        }
        self.open = Some(height);
        self.needed.clear();
        self.flood.end_height();
        self.load_bodies(height, host)?;
        let wal = load_wal(host, A::CHAIN, height)?;
        if !wal.is_empty() {
            tracing::info!(chain = %A::CHAIN, height, entries = wal.len(), "replaying the consensus log");
        }
        let validators = (*self.app.validators().own.set).clone();
        let start = Event::StartHeight {
            height,
            validators,
            wal,
        };
        self.drive(now_ms, start, host, outputs)?;
        if self.tip.height == height {
            return Ok(()); // the log has led to its decision: one commit is enough for a step
        }
        self.feed_fetched(now_ms, host, outputs)
    }

    /// Reads back the undecided blocks of a height. What does not decode was never acknowledged.
    fn load_bodies(&mut self, height: u64, host: &dyn Host) -> Result<(), StoreError> {
        let family = Family::of(A::CHAIN, Part::Consensus);
        let mut blocks = Vec::new();
        let (from, to) = body_range(height);
        scan_all(host, family, from, to, |_, value| {
            blocks.extend(Block::decode(&value));
            Ok::<_, StoreError>(())
        })?;
        blocks.into_iter().for_each(|block| self.bodies.add(block));
        let (from, to) = built_range(height);
        let mut built = Vec::new();
        scan_all(host, family, from, to, |key, value| {
            built.push((key, value));
            Ok::<_, StoreError>(())
        })?;
        for (key, value) in built {
            let round = key
                .last_chunk::<4>()
                .map(|round| u32::from_be_bytes(*round));
            let hash = <[u8; 32]>::try_from(value).map(Hash);
            if let (Some(round), Ok(hash)) = (round, hash)
                && self.bodies.known.contains_key(&hash)
            {
                self.bodies.built.insert(round, hash);
            }
        }
        Ok(())
    }

    /// Judges the needed blocks that we have; the others stay needed, and so do those whose transactions
    /// are not verified yet.
    pub(super) fn answer_needed(
        &mut self,
        now_ms: u64,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<Vec<Event>, NodeFault> {
        let here = |block: &BlockRef| self.bodies.known.contains_key(&block.hash);
        let ready: Vec<BlockRef> = self.needed.keys().copied().filter(here).collect();
        let mut events = Vec::with_capacity(ready.len());
        for block in ready {
            let is_new = self.needed[&block];
            if block.height != self.tip.height + 1 {
                self.needed.remove(&block);
                continue;
            }
            let new_from = is_new.then_some(block.proposer.0);
            let Some(valid) = self.judge(now_ms, &block.hash, new_from, host, outputs)? else {
                continue;
            };
            self.needed.remove(&block);
            let origin = Origin::Consensus;
            events.push(Event::Block {
                block,
                valid,
                origin,
            });
        }
        Ok(events)
    }

    /// Takes in an undecided block from a peer.
    pub(super) fn on_body(
        &mut self,
        now_ms: u64,
        block: Block,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let (height, hash) = (block.header.height, block.hash());
        let is_new = !self.bodies.known.contains_key(&hash);
        if !is_new || !self.bodies.has_room(height, self.tip.height) {
            return Ok(());
        }
        self.keep(block, host)?;
        self.hand_on_body(&hash, outputs);
        for event in self.answer_needed(now_ms, host, outputs)? {
            self.drive(now_ms, event, host, outputs)?;
        }
        Ok(())
    }

    /// Stores a block before the engine hears of it.
    fn keep(&mut self, block: Block, host: &mut dyn Host) -> Result<(), StoreError> {
        let family = Family::of(A::CHAIN, Part::Consensus);
        let key = body_key(block.header.height, &block.hash());
        host.append(vec![Write::put(family, key, block.encode())])?;
        self.bodies.add(block);
        Ok(())
    }

    /// Keeps the body that a certificate names, if it is that body.
    fn keep_synced(
        &mut self,
        block: BlockRef,
        body: &[u8],
        host: &mut dyn Host,
    ) -> Result<bool, NodeFault> {
        if self.bodies.known.contains_key(&block.hash) {
            return Ok(true);
        }
        let decoded = Block::decode(body).ok().filter(|b| b.hash() == block.hash);
        let Some(decoded) = decoded.filter(|b| b.header.height == block.height) else {
            return Ok(false);
        };
        self.keep(decoded, host)?;
        Ok(true)
    }

    /// Tells the engine that a block that a certificate names is valid, at once or when its
    /// transactions are verified. One that a quorum has decided and that is not valid here is a fault
    /// of this node.
    pub(super) fn accept_synced(
        &mut self,
        block: BlockRef,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<Option<Event>, NodeFault> {
        let BlockRef { height, hash, .. } = block;
        let Some(tried) = self.try_known(&hash, Urgency::Consensus, host, outputs)? else {
            self.verifying.synced = Some(block);
            return Ok(None);
        };
        tried.map_err(|error| {
            let why = error.to_string();
            NodeFault::DecidedInvalid { height, why }
        })?;
        let (valid, origin) = (true, Origin::Sync);
        Ok(Some(Event::Block {
            block,
            valid,
            origin,
        }))
    }

    pub(super) fn spread(&self, hash: &Hash, outputs: &mut Vec<Output<A>>) {
        if let Some(candidate) = self.bodies.known.get(hash) {
            outputs.push(Output::Broadcast {
                class: Class::Body,
                bytes: candidate.block.encode(),
            });
        }
    }
}
