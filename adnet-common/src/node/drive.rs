//! Drives the consensus engine and carries out its actions, strictly in order.

use super::bodies::Verdict;
use super::event::{Class, Offence};
use super::timers::Timer;
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
                if height == self.tip.height + 1
                    && let Some(hash) = self.build(now_ms, round, host)?
                {
                    self.spread(&hash, outputs);
                    events.push_back(Event::Propose {
                        height,
                        round,
                        hash,
                    });
                }
            }
            Action::Relay(message) => self.pass_on(now_ms, &message, outputs),
            Action::NeedBlock { block, is_new } => {
                self.needed.insert(block, is_new);
                events.extend(self.answer_needed(now_ms, host)?);
                if self.needed.contains_key(&block) {
                    self.await_body(now_ms);
                }
            }
            Action::Restream(block) => self.spread(&block.hash, outputs),
            Action::CheckSynced {
                peer, block, body, ..
            } => match self.accept_synced(block, &body, host)? {
                Some(event) => events.push_back(event),
                None => self.blame(now_ms, peer, Offence::BadBlock, outputs),
            },
            Action::RejectSynced(peer) => {
                self.blame(now_ms, peer, Offence::BadBlock, outputs);
            }
            Action::Commit {
                certificate,
                evidence,
            } => self.commit(now_ms, certificate, evidence, host, outputs)?,
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

    /// Judges the needed blocks that we have; the others stay needed.
    pub(super) fn answer_needed(
        &mut self,
        now_ms: u64,
        host: &mut dyn Host,
    ) -> Result<Vec<Event>, NodeFault> {
        let here = |block: &BlockRef| self.bodies.known.contains_key(&block.hash);
        let ready: Vec<BlockRef> = self.needed.keys().copied().filter(here).collect();
        let mut events = Vec::with_capacity(ready.len());
        for block in ready {
            let is_new = self.needed.remove(&block).expect("it was listed above");
            if block.height != self.tip.height + 1 {
                continue;
            }
            let new_from = is_new.then_some(block.proposer.0);
            let valid = self.judge(now_ms, &block.hash, new_from, host)?;
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
        for event in self.answer_needed(now_ms, host)? {
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

    /// Checks a body against the certificate that names it. A block that a quorum has decided and
    /// that is not valid here is a fault of this node.
    fn accept_synced(
        &mut self,
        block: BlockRef,
        body: &[u8],
        host: &mut dyn Host,
    ) -> Result<Option<Event>, NodeFault> {
        let decoded = Block::decode(body).ok().filter(|b| b.hash() == block.hash);
        let Some(decoded) = decoded.filter(|b| b.header.height == block.height) else {
            return Ok(None);
        };
        let known = self.bodies.known.get(&block.hash);
        if !known.is_some_and(|c| matches!(c.verdict, Verdict::Valid(_))) {
            let height = block.height;
            let executed = self.execute(&decoded, host)?.map_err(|error| {
                let why = error.to_string();
                NodeFault::DecidedInvalid { height, why }
            })?;
            self.keep(decoded, host)?;
            let candidate = self.bodies.known.get_mut(&block.hash).expect("kept above");
            candidate.verdict = Verdict::Valid(Box::new(executed));
        }
        let (valid, origin) = (true, Origin::Sync);
        Ok(Some(Event::Block {
            block,
            valid,
            origin,
        }))
    }

    fn spread(&self, hash: &Hash, outputs: &mut Vec<Output<A>>) {
        if let Some(candidate) = self.bodies.known.get(hash) {
            outputs.push(Output::Broadcast {
                class: Class::Body,
                bytes: candidate.block.encode(),
            });
        }
    }
}
