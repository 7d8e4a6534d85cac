//! The engine: drives the core's coroutine, opens heights, replays logs, halts on any failure.

use super::block_ref::BlockRef;
use super::context::{Ctx, Height, defined};
use super::domain::Domain;
use super::effects::{Io, SPILL_BYTES};
use super::event::{Action, Event, HaltReason, Origin, TimeMs};
use super::evidence::Equivocation;
use super::message::{Inner, Message};
use super::sign::{PENDING_BYTES_MAX, Signer, WalEntry};
use super::timeouts::Timeouts;
use super::validators::{VALIDATORS_MAX, ValidatorSet};
use super::wal;
use crate::hash::Hash;
use crate::keys::PublicKey;
use arc_malachitebft_core_consensus::{
    Error, Input, LocallyProposedValue, MisbehaviorEvidence, Params, ProposedValue, State, process,
};
use arc_malachitebft_core_types::{
    Round, ThresholdParams, Timeout, Validity, ValueOrigin, ValuePayload, VoteExtensionPolicy,
};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;

/// Messages of so many later heights wait in the queue.
const AHEAD_MAX: u64 = 4;
/// Messages that wait for one later height.
const QUEUE_MAX: usize = 1024;
/// The longest vote, proposal or judged value in the log.
const QUEUED_ENTRY_BYTES_MAX: usize = 192;

// What may be pending at a signature: what the last step left, and either the queue of a height
// that starts, or what came before the first one, or the votes of one certificate.
const _: () = assert!(VALIDATORS_MAX < QUEUE_MAX);
const _: () = assert!(SPILL_BYTES + QUEUE_MAX * QUEUED_ENTRY_BYTES_MAX <= PENDING_BYTES_MAX);

/// The consensus engine of one chain on one node.
pub struct Engine {
    /// Made by the first `StartHeight`; nothing is processed before that.
    core: Option<State<Ctx>>,
    /// What came before that: peers whose clocks are ahead have begun the height already, and they
    /// do not say it again.
    early: Vec<Message>,
    io: Io,
    /// Set for good by the first failure: the core may have stopped in mid-transition.
    halted: bool,
}

impl Engine {
    /// An engine that votes with `validator`'s key whenever it is in the set, or only follows.
    pub fn new(validator: Option<PublicKey>, domain: Domain, timeouts: Timeouts) -> Self {
        let io = Io::new(validator, domain, timeouts);
        Self {
            core: None,
            early: Vec::new(),
            io,
            halted: false,
        }
    }

    /// Takes one event at the time `now_ms` and returns what is to be done, in order.
    ///
    /// After [`Action::Halt`] it returns nothing any more.
    pub fn step(&mut self, now_ms: TimeMs, event: Event, signer: &mut dyn Signer) -> Vec<Action> {
        if self.halted {
            return Vec::new();
        }
        self.io.now_ms = now_ms;
        match self.handle(event, signer) {
            Ok(()) => {
                self.attach_evidence();
                self.io.spill();
            }
            Err(reason) => {
                self.halted = true;
                self.io.out.push(Action::Halt(reason));
            }
        }
        self.io.syncing = None;
        std::mem::take(&mut self.io.out)
    }

    /// A commit goes out with what the core has found of its height. Waiting for the end of the
    /// height would leave that in memory alone for a whole block interval.
    fn attach_evidence(&mut self) {
        let is_commit = |action: &&mut Action| matches!(action, Action::Commit { .. });
        let commit = self.io.out.iter_mut().find(is_commit);
        if let (Some(Action::Commit { evidence, .. }), Some(core)) = (commit, &mut self.core) {
            *evidence = Equivocation::collect(&MisbehaviorEvidence {
                proposals: core.driver.take_proposal_evidence(),
                votes: core.driver.take_vote_evidence(),
            });
        }
    }

    /// The open height and its round.
    pub fn position(&self) -> Option<(u64, u32)> {
        let core = self.core.as_ref()?;
        Some((core.height().0, core.round().as_u32()?))
    }

    /// Whether the open height is decided.
    pub fn is_decided(&self) -> bool {
        self.io.decided
    }

    fn handle(&mut self, event: Event, signer: &mut dyn Signer) -> Result<(), HaltReason> {
        let input = match event {
            Event::StartHeight {
                height,
                validators,
                wal,
            } => {
                self.start_height(height, validators, wal, signer)?;
                return self.take_early(signer);
            }
            Event::Message(message) if self.core.is_none() => {
                if self.early.len() < QUEUE_MAX {
                    self.early.push(message);
                }
                return Ok(());
            }
            other => self.input(other),
        };
        match input {
            Some(input) => self.process(input, signer),
            None => Ok(()),
        }
    }

    /// Hands what came before the first height to the core.
    fn take_early(&mut self, signer: &mut dyn Signer) -> Result<(), HaltReason> {
        for message in std::mem::take(&mut self.early) {
            if let Some(input) = self.input(Event::Message(message)) {
                self.process(input, signer)?;
            }
        }
        Ok(())
    }

    /// Turns an event into the core's input; `None` for what is late, early or unasked for.
    fn input(&mut self, event: Event) -> Option<Input<Ctx>> {
        let core = self.core.as_ref()?;
        let open = core.height().0;
        match event {
            Event::StartHeight { .. } => None,
            Event::Message(message) => {
                if message.height() > open.saturating_add(AHEAD_MAX) {
                    return None;
                }
                Some(match message.0 {
                    Inner::Vote(v) => Input::Vote(v),
                    Inner::Proposal(p) => Input::Proposal(p),
                    Inner::Polka(c) => Input::PolkaCertificate(c),
                    Inner::Round(c) => Input::RoundCertificate(c),
                })
            }
            Event::Timer(id) => self.io.take_timer(id).map(Input::TimeoutElapsed),
            // The core asserts that this comes once, and only in this period.
            Event::EndHeight => core.finalization_period.then(|| {
                Input::TimeoutElapsed(Timeout::finalize_height(core.round(), Duration::ZERO))
            }),
            _ if self.io.decided => None,
            Event::Propose {
                height,
                round,
                hash,
            } => (height == open).then(|| {
                let value = LocallyProposedValue::new(Height(height), Round::new(round), hash);
                Input::Propose(value)
            }),
            Event::Block {
                block,
                valid,
                origin,
            } => {
                let is_asked_for = block.height == open && self.take_request(&block, origin);
                is_asked_for.then(|| {
                    let value = ProposedValue {
                        height: Height(block.height),
                        round: Round::new(block.round),
                        valid_round: Round::Nil,
                        proposer: block.proposer,
                        value: block.hash,
                        validity: Validity::from_bool(valid),
                    };
                    let origin = match origin {
                        Origin::Consensus => ValueOrigin::Consensus,
                        Origin::Sync => ValueOrigin::Sync,
                    };
                    Input::ProposedValue(value, origin)
                })
            }
            Event::Synced {
                peer,
                certificate,
                body,
            } => (certificate.height == open).then(|| {
                self.io.syncing = Some((peer, body));
                wal::sync_input(&certificate)
            }),
        }
    }

    /// Whether the block was asked for and not answered before.
    fn take_request(&mut self, block: &BlockRef, origin: Origin) -> bool {
        match origin {
            Origin::Consensus => self.io.needed.remove(&(block.round, block.hash)),
            Origin::Sync => self
                .io
                .checking
                .take_if(|checking| checking == block)
                .is_some(),
        }
    }

    /// Opens a height and replays its log, all before any other input.
    fn start_height(
        &mut self,
        height: u64,
        validators: ValidatorSet,
        log: Vec<WalEntry>,
        signer: &mut dyn Signer,
    ) -> Result<(), HaltReason> {
        let open = self.core.as_ref().map_or(0, |core| core.height().0);
        if height <= open {
            return Err(HaltReason::HeightOrder {
                asked: height,
                open,
            });
        }
        let entries = decode_log(height, &log)?;

        let core = self.core.get_or_insert_with(|| {
            let params = Params {
                address: self.io.validator.unwrap_or(PublicKey([0; 32])),
                threshold_params: ThresholdParams::default(),
                // With `ProposalOnly` the core takes every signed proposal as valid unasked.
                value_payload: ValuePayload::ProposalAndParts,
                enabled: self.io.validator.is_some(),
            };
            let queue_heights = AHEAD_MAX as usize + 1;
            State::new(
                Ctx,
                Height(height),
                validators.clone(),
                params,
                queue_heights,
                QUEUE_MAX,
            )
        });
        let is_window_open = core.finalization_period;
        if is_window_open {
            // The host skipped the end of the last height: its evidence still comes out.
            let end = Timeout::finalize_height(core.round(), Duration::ZERO);
            self.process(Input::TimeoutElapsed(end), signer)?;
        }
        self.io.open(height, &log);

        // A target time opens a window for late precommits and evidence after a decision. Its
        // length comes from the clock inside of the core, so it is set out of reach.
        let window = Some(Duration::from_secs(u32::MAX.into()));
        let policy = VoteExtensionPolicy::Disabled;
        // `false` also after a crash: `true` means "redo this height, forget its log".
        let start = Input::StartHeight(Height(height), validators, false, window, policy);
        self.process(start, signer)?;
        if !entries.is_empty() {
            self.replay(entries, signer)?;
        }
        self.io.replayed.clear();
        Ok(())
    }

    fn replay(
        &mut self,
        entries: Vec<Input<Ctx>>,
        signer: &mut dyn Signer,
    ) -> Result<(), HaltReason> {
        let me = self.io.validator;
        let mut own_values = BTreeMap::new();
        let mut own_proposals = Vec::new();
        let mut judged = BTreeSet::new();
        self.core_mut().index_wal_entries(&entries);
        for entry in entries {
            if let Input::ProposedValue(v, _) = &entry {
                let round = defined(v.round);
                judged.insert((round, v.value));
                if me == Some(v.proposer) {
                    own_values.insert(round, v.value);
                    // A value of our own enters the core past its limit of two per round, but in
                    // a replay the limit would be held against it: value and proposal would be
                    // dropped, and another proposal would be asked for in the same round.
                    self.core_mut().store_value(v);
                }
            }
            if let Input::Proposal(p) = &entry
                && me == Some(p.message.proposer)
            {
                own_proposals.push(p.clone());
            }
            self.process(entry, signer)?;
        }
        let core = self.core_mut();
        core.reset_entries_index();

        // The core asked for a block before it knew the log: only a request that still holds stays.
        let round = core.round().as_u32();
        let building = round.filter(|_| core.driver.step_is_propose());
        self.io.needed.retain(|name| !judged.contains(name));
        let own_value = building.and_then(|round| own_values.get(&round).copied());
        self.io.out.retain(|action| match action {
            Action::BuildBlock { round, .. } => Some(*round) == building && own_value.is_none(),
            Action::NeedBlock { block, .. } => !judged.contains(&(block.round, block.hash)),
            _ => true,
        });
        if let (Some(round), Some(hash)) = (building, own_value) {
            return self.propose_again(round, hash, signer);
        }
        let own_proposal = own_proposals
            .into_iter()
            .find(|p| p.message.round.as_u32() == round);
        if let Some(proposal) = own_proposal.filter(|_| !self.io.decided) {
            // The crash may have come before it was sent, and the replay sends votes only.
            self.io.publish_again(proposal);
        }
        Ok(())
    }

    /// The crash came between a value of our own and its proposal: propose the very same value,
    /// because the proposal may have been signed.
    fn propose_again(
        &mut self,
        round: u32,
        hash: Hash,
        signer: &mut dyn Signer,
    ) -> Result<(), HaltReason> {
        let height = self.core_mut().height();
        self.io.restream_own(round, hash);
        let value = LocallyProposedValue::new(height, Round::new(round), hash);
        self.process(Input::Propose(value), signer)
    }

    fn core_mut(&mut self) -> &mut State<Ctx> {
        self.core
            .as_mut()
            .expect("start_height makes the core before it replays")
    }

    /// Runs the core's coroutine to its end. Nothing in it waits.
    fn process(&mut self, input: Input<Ctx>, signer: &mut dyn Signer) -> Result<(), HaltReason> {
        let core = self
            .core
            .as_mut()
            .expect("inputs are made for an open height only");
        let io = &mut self.io;
        let result: Result<(), Error<Ctx>> = process!(
            input: input,
            state: core,
            metrics: &(),
            with: effect => Ok::<_, Infallible>(io.effect(effect, signer))
        );
        match (self.io.failure(), result) {
            (Some(failure), _) => Err(failure),
            (None, Err(error)) => Err(HaltReason::Core(error.to_string())),
            (None, Ok(())) => Ok(()),
        }
    }
}

/// Decodes a whole log. Entries must be of the height, in order and without gaps.
fn decode_log(height: u64, log: &[WalEntry]) -> Result<Vec<Input<Ctx>>, HaltReason> {
    let mut inputs = Vec::with_capacity(log.len());
    for (place, entry) in (0u64..).zip(log) {
        if entry.height != height || entry.index != place {
            return Err(HaltReason::WalOrder { height, place });
        }
        let input = wal::decode(&entry.bytes);
        let input = input.map_err(|error| HaltReason::CorruptWal {
            index: place,
            error,
        })?;
        if matches!(&input, Input::ProposedValue(v, _) if v.height.0 != height) {
            return Err(HaltReason::WalOrder { height, place });
        }
        inputs.push(input);
    }
    Ok(inputs)
}
