//! Answers the core's effects: signs, verifies, keeps timers, collects actions in order.
//!
//! Invariant: every answer has the type its effect asks for. A wrong one, or an error, would not
//! stop the core: it would go on in the middle of a transition. So a failure is only remembered
//! here, everything after it is dropped, and the engine halts when the core returns.

use super::block_ref::BlockRef;
use super::certificate::{CommitCertificate, verify_certificate};
use super::context::{Ctx, defined};
use super::domain::Domain;
use super::event::{Action, HaltReason, PeerId, TimeMs, TimerId};
use super::evidence::Equivocation;
use super::message::{Inner, Message, verify_polka, verify_round_certificate};
use super::sign::{SignError, SignRequest, Signer, WalEntry};
use super::timeouts::Timeouts;
use super::wal;
use crate::hash::Hash;
use crate::keys::PublicKey;
use arc_malachitebft_core_consensus::{
    ConsensusMsg, Effect, Error, Input, LivenessMsg, Resumable, Resume, SignedConsensusMsg,
    VoteExtensionError,
};
use arc_malachitebft_core_types::{SignedMessage, SignedProposal, Timeout, TimeoutKind};
use arc_malachitebft_signing_ed25519::Signature;
use std::collections::{BTreeMap, BTreeSet};

/// Everything the effect handler needs besides the core's state.
pub struct Io {
    /// Our key if we are a validator; an observer signs nothing.
    pub validator: Option<PublicKey>,
    domain: Domain,
    timeouts: Timeouts,
    pub now_ms: TimeMs,
    timers: BTreeMap<(u8, u32), (TimerId, Timeout)>,
    next_timer: TimerId,
    /// The open height.
    height: u64,
    /// The place of the next log entry of the open height.
    next_index: u64,
    /// Log entries that are not durable yet.
    pending: Vec<WalEntry>,
    pending_bytes: usize,
    /// Entries that the log had at the start: replaying them must not log them twice.
    pub replayed: BTreeSet<Vec<u8>>,
    /// Blocks that proposals name and the host has not judged yet, by round and hash.
    pub needed: BTreeSet<(u32, Hash)>,
    /// The block of a verified commit certificate, until the host has checked its body.
    pub checking: Option<BlockRef>,
    /// Where the certificate that is being processed came from, and its body.
    pub syncing: Option<(PeerId, Vec<u8>)>,
    /// The open height is decided: nothing more of it needs to be logged.
    pub decided: bool,
    failure: Option<HaltReason>,
    pub out: Vec<Action>,
}

/// Entries left over at the end of a step are handed out above this size (64 KiB).
pub const SPILL_BYTES: usize = 64 << 10;

impl Io {
    pub fn new(validator: Option<PublicKey>, domain: Domain, timeouts: Timeouts) -> Self {
        Self {
            validator,
            domain,
            timeouts,
            now_ms: 0,
            timers: BTreeMap::new(),
            next_timer: 0,
            height: 0,
            next_index: 0,
            pending: Vec::new(),
            pending_bytes: 0,
            replayed: BTreeSet::new(),
            needed: BTreeSet::new(),
            checking: None,
            syncing: None,
            decided: false,
            failure: None,
            out: Vec::new(),
        }
    }

    /// Begins the log of a height; the log of the last one has ended with its commit.
    pub fn open(&mut self, height: u64, log: &[WalEntry]) {
        self.height = height;
        self.next_index = log.len() as u64;
        self.pending.clear();
        self.pending_bytes = 0;
        self.replayed = log.iter().map(|entry| entry.bytes.clone()).collect();
        self.needed.clear();
        self.checking = None;
        self.decided = false;
    }

    /// The first failure, if there was one.
    pub fn failure(&self) -> Option<HaltReason> {
        self.failure.clone()
    }

    /// Hands the pending entries out if they have become many.
    pub fn spill(&mut self) {
        if self.pending_bytes > SPILL_BYTES {
            self.pending_bytes = 0;
            let entries = std::mem::take(&mut self.pending);
            self.push(Action::Persist(entries));
        }
    }

    /// Answers one effect.
    pub fn effect(&mut self, effect: Effect<Ctx>, signer: &mut dyn Signer) -> Resume<Ctx> {
        use Effect::*;
        match effect {
            WalAppend(_, input, r) => {
                self.log(&input);
                r.resume_with(())
            }
            PublishConsensusMsg(SignedConsensusMsg::Vote(v), r)
            | PublishLivenessMsg(LivenessMsg::Vote(v), r)
            | RepublishVote(v, r) => {
                self.push(Action::Publish(Message(Inner::Vote(v))));
                r.resume_with(())
            }
            PublishConsensusMsg(SignedConsensusMsg::Proposal(p), r) => {
                self.push(Action::Publish(Message(Inner::Proposal(p))));
                r.resume_with(())
            }
            PublishLivenessMsg(LivenessMsg::PolkaCertificate(c), r) => {
                self.push(Action::Publish(Message(Inner::Polka(c))));
                r.resume_with(())
            }
            PublishLivenessMsg(LivenessMsg::SkipRoundCertificate(c), r)
            | RepublishRoundCertificate(c, r) => {
                self.push(Action::Publish(Message(Inner::Round(c))));
                r.resume_with(())
            }
            ScheduleTimeout(timeout, r) => {
                self.set_timer(timeout);
                r.resume_with(())
            }
            CancelTimeout(timeout, r) => {
                self.timers.remove(&timer_slot(&timeout));
                r.resume_with(())
            }
            CancelAllTimeouts(r) => {
                self.timers.clear();
                r.resume_with(())
            }
            StartRound(_, _, _, _, r) => r.resume_with(()),
            GetValue(height, round, timeout, r) => {
                let deadline_ms = self.now_ms.saturating_add(self.timeouts.after_ms(timeout));
                let (height, round) = (height.0, defined(round));
                self.push(Action::BuildBlock {
                    height,
                    round,
                    deadline_ms,
                });
                r.resume_with(())
            }
            RestreamProposal(height, round, _, proposer, hash, r) => {
                let (height, round) = (height.0, defined(round));
                self.push(Action::Restream(BlockRef {
                    height,
                    round,
                    proposer,
                    hash,
                }));
                r.resume_with(())
            }
            CertVerifiedSyncValue(response, proposer, r) => {
                let certificate = response.certificate.trim_vote_extensions();
                self.check_synced(CommitCertificate::from_core(&certificate), proposer);
                r.resume_with(())
            }
            CertRejectedSyncValue(_, _, error, r) => {
                match (error, self.syncing.take()) {
                    (Error::InvalidCommitCertificate(..), Some((peer, _))) => {
                        self.push(Action::RejectSynced(peer));
                    }
                    // Our own fault, or a certificate that we have logged as good.
                    (error, _) => self.fail(HaltReason::Core(error.to_string())),
                }
                r.resume_with(())
            }
            Decide(certificate, _, r) => {
                let certificate = CommitCertificate::from_core(&certificate);
                self.decided = true;
                self.pending.clear();
                self.pending_bytes = 0;
                // The engine adds the evidence: the core still has it in hand.
                let evidence = Vec::new();
                self.push(Action::Commit {
                    certificate,
                    evidence,
                });
                r.resume_with(())
            }
            Finalize(certificate, _, found, r) => {
                let certificate = CommitCertificate::from_core(&certificate);
                let evidence = Equivocation::collect(&found);
                self.push(Action::Finalized {
                    certificate,
                    evidence,
                });
                r.resume_with(())
            }
            SignVote(vote, r) => {
                let signature = self.sign(&vote.request(), signer);
                r.resume_with(SignedMessage::new(vote, signature))
            }
            SignProposal(proposal, r) => {
                let signature = self.sign(&proposal.request(), signer);
                r.resume_with(SignedMessage::new(proposal, signature))
            }
            VerifySignature(message, key, r) => {
                let request = match &message.message {
                    ConsensusMsg::Vote(v) => v.request(),
                    ConsensusMsg::Proposal(p) => p.request(),
                };
                let signature = message.signature.to_bytes();
                r.resume_with(
                    self.domain
                        .verify_decoded(key.inner(), &request, &signature),
                )
            }
            VerifyCommitCertificate(c, set, _, r) => {
                let certificate = CommitCertificate::from_core(&c);
                let result = verify_certificate(&self.domain, &set, &certificate);
                r.resume_with(result.map_err(Into::into))
            }
            VerifyExtendedCommitCertificate(c, set, _, _, r) => {
                let certificate = CommitCertificate::from_core(&c.trim_vote_extensions());
                let result = verify_certificate(&self.domain, &set, &certificate);
                if result.is_ok() {
                    self.log(&wal::sync_input(&certificate)); // see the header of `wal`
                }
                r.resume_with(result.map_err(Into::into))
            }
            VerifyPolkaCertificate(c, set, _, r) => {
                let result = verify_polka(&self.domain, &set, &c);
                r.resume_with(result.map_err(Into::into))
            }
            VerifyRoundCertificate(c, set, _, r) => {
                let result = verify_round_certificate(&self.domain, &set, &c);
                if result.is_ok() && !self.decided {
                    self.push(Action::Relay(Message(Inner::Round(c))));
                }
                r.resume_with(result.map_err(Into::into))
            }
            ExtendVote(_, _, _, _, r) => r.resume_with(None),
            VerifyVoteExtension(_, _, _, _, _, _, r) => {
                r.resume_with(Err(VoteExtensionError::InvalidVoteExtension))
            }
        }
    }

    /// Nothing that follows a failure leaves the engine.
    fn push(&mut self, action: Action) {
        if self.failure.is_none() {
            self.out.push(action);
        }
    }

    /// Our block of a round goes out once more, as we proposed it before a crash.
    pub fn restream_own(&mut self, round: u32, hash: Hash) {
        let proposer = self.validator.expect("only a validator has proposed");
        let height = self.height;
        self.push(Action::Restream(BlockRef {
            height,
            round,
            proposer,
            hash,
        }));
    }

    /// A proposal of ours that is in the log, and therefore durable, with its body.
    pub fn publish_again(&mut self, proposal: SignedProposal<Ctx>) {
        self.restream_own(defined(proposal.message.round), proposal.message.value);
        self.push(Action::Publish(Message(Inner::Proposal(proposal))));
    }

    fn fail(&mut self, reason: HaltReason) {
        self.failure.get_or_insert(reason);
    }

    fn log(&mut self, input: &Input<Ctx>) {
        if self.decided {
            return;
        }
        if let Input::Proposal(p) = input {
            // The core has verified the proposal and keeps it: now its body is of use.
            let block = BlockRef {
                height: p.message.height.0,
                round: defined(p.message.round),
                proposer: p.message.proposer,
                hash: p.message.value,
            };
            // That a quorum has prevoted it there is for the core to see before it votes.
            self.need(block, p.message.pol_round.is_nil());
        }
        let bytes = wal::encode(input).expect("the core logs inputs that have an encoding");
        if self.replayed.contains(&bytes) {
            return;
        }
        self.relay(input);
        self.pending_bytes += bytes.len();
        self.pending.push(WalEntry {
            height: self.height,
            index: self.next_index,
            bytes,
        });
        self.next_index += 1;
    }

    /// The core logs what is new to it and verified: that is what others may lack.
    fn relay(&mut self, input: &Input<Ctx>) {
        let message = match input {
            Input::Vote(v) => Message(Inner::Vote(v.clone())),
            Input::Proposal(p) => Message(Inner::Proposal(p.clone())),
            Input::PolkaCertificate(c) => Message(Inner::Polka(c.clone())),
            _ => return,
        };
        if message.author().is_none_or(|a| self.validator != Some(a)) {
            self.push(Action::Relay(message));
        }
    }

    fn need(&mut self, block: BlockRef, is_new: bool) {
        let is_own = self.validator == Some(block.proposer);
        if !is_own && self.needed.insert((block.round, block.hash)) {
            self.push(Action::NeedBlock { block, is_new });
        }
    }

    fn check_synced(&mut self, certificate: CommitCertificate, proposer: PublicKey) {
        // In a replay there is no body: the block is fetched again.
        let Some((peer, body)) = self.syncing.take() else {
            return;
        };
        let CommitCertificate {
            height,
            round,
            value: hash,
            ..
        } = certificate;
        let block = BlockRef {
            height,
            round,
            proposer,
            hash,
        };
        self.checking = Some(block);
        self.push(Action::CheckSynced {
            peer,
            block,
            certificate,
            body,
        });
    }

    /// All pending entries go with the request and are durable when the signature is there.
    fn sign(&mut self, request: &SignRequest, signer: &mut dyn Signer) -> Signature {
        // Never leaves: everything after a failure is dropped.
        let nothing = Signature::from_bytes([0; 64]);
        if self.failure.is_some() {
            return nothing;
        }
        let Some(validator) = self.validator else {
            let why = "this node has no validator key".to_owned();
            self.fail_signing(request, SignError::Unavailable { why });
            return nothing;
        };
        match signer.sign(&self.pending, request) {
            Ok(signature) if self.domain.verify(&validator, request, &signature) => {
                self.pending.clear();
                self.pending_bytes = 0;
                Signature::from_bytes(signature)
            }
            Ok(_) => {
                self.fail(HaltReason::ForeignSignature);
                nothing
            }
            Err(error) => {
                self.fail_signing(request, error);
                nothing
            }
        }
    }

    fn fail_signing(&mut self, request: &SignRequest, error: SignError) {
        let SignRequest {
            height,
            round,
            step,
            ..
        } = request;
        let step = format!("{step:?} of height {height}, round {round}");
        self.fail(HaltReason::Sign { step, error });
    }

    /// A timer replaces the one of its kind and round: the core's timeouts carry no height, and
    /// it schedules the rebroadcast again and again without cancelling it.
    fn set_timer(&mut self, timeout: Timeout) {
        if matches!(timeout.kind, TimeoutKind::FinalizeHeight(_)) {
            return; // the host decides when a height ends
        }
        let id = self.next_timer;
        self.next_timer += 1;
        self.timers.insert(timer_slot(&timeout), (id, timeout));
        let at_ms = self.now_ms.saturating_add(self.timeouts.after_ms(timeout));
        self.push(Action::SetTimer { id, at_ms });
    }

    /// Takes the timer `id`, unless it was replaced or cancelled meanwhile.
    pub fn take_timer(&mut self, id: TimerId) -> Option<Timeout> {
        let found = self.timers.iter().find(|(_, timer)| timer.0 == id);
        let slot = *found?.0;
        self.timers.remove(&slot).map(|(_, timeout)| timeout)
    }
}

fn timer_slot(timeout: &Timeout) -> (u8, u32) {
    let kind = match timeout.kind {
        TimeoutKind::Propose => 0,
        TimeoutKind::Prevote => 1,
        TimeoutKind::Precommit => 2,
        TimeoutKind::Rebroadcast => 3,
        TimeoutKind::FinalizeHeight(_) => 4,
    };
    (kind, timeout.round.as_u32().unwrap_or(u32::MAX))
}
