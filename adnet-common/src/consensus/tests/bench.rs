//! A single engine among validators that the test plays itself, and a holder of its key.

use crate::chain_id::ChainId;
use crate::consensus::message::Inner;
use crate::consensus::{
    Action, BlockRef, CommitCertificate, CommitSignature, Domain, Engine, Event, Guard, Message,
    Origin, SignError, SignMarks, SignRequest, Signer, Step, Timeouts, TimerId, ValidatorSet,
    Verdict, WalEntry,
};
use crate::hash::Hash;
use crate::keys::PublicKey;
use ed25519_consensus::SigningKey;

pub const A: Hash = Hash([0xa; 32]);
pub const B: Hash = Hash([0xb; 32]);
pub const C: Hash = Hash([0xc; 32]);
pub const NOW_MS: u64 = 1_700_000_000_000;

#[derive(Clone)]
pub struct TestKey {
    pub secret: SigningKey,
    pub public: PublicKey,
}

impl TestKey {
    pub fn sign(&self, request: &SignRequest) -> [u8; 64] {
        self.secret.sign(&domain().sign_bytes(request)).to_bytes()
    }
}

pub fn test_key(number: u8) -> TestKey {
    let mut seed = [7; 32];
    seed[0] = number;
    let secret = SigningKey::from(seed);
    let public = PublicKey(secret.verification_key().to_bytes());
    TestKey { secret, public }
}

pub fn domain() -> Domain {
    Domain {
        network_id: 1,
        chain: ChainId::Delta,
        genesis: Hash([0xad; 32]),
    }
}

pub fn vote_request(step: Step, height: u64, round: u32, value: Option<Hash>) -> SignRequest {
    let value = value.map(|hash| hash.0);
    SignRequest {
        height,
        round,
        step,
        value,
        pol_round: None,
    }
}

/// Stands for the process that holds the key and the disk: its fields survive a crash.
pub struct KeyHolder {
    pub key: TestKey,
    pub marks: SignMarks,
    /// The durable log of the open height.
    pub wal: Vec<WalEntry>,
    /// Everything signed anew, in order.
    pub fresh: Vec<SignRequest>,
    /// What to answer instead of a signature.
    pub failure: Option<SignError>,
}

impl KeyHolder {
    pub fn new(key: TestKey) -> Self {
        let (marks, wal) = (SignMarks::new(), Vec::new());
        Self {
            key,
            marks,
            wal,
            fresh: Vec::new(),
            failure: None,
        }
    }

    pub fn append(&mut self, entries: &[WalEntry]) {
        for entry in entries {
            assert_eq!(entry.index, self.wal.len() as u64, "the log has no gaps");
            self.wal.push(entry.clone());
        }
    }
}

impl Signer for KeyHolder {
    fn sign(&mut self, wal: &[WalEntry], request: &SignRequest) -> Result<[u8; 64], SignError> {
        if let Some(error) = &self.failure {
            return Err(error.clone());
        }
        let guard = Guard::new(domain());
        match guard.check(&self.marks, request) {
            Verdict::Fresh => {
                let signature = self.key.sign(request);
                let (slot, mark) = guard.mark(request, signature);
                self.append(wal);
                self.marks.insert(slot, mark);
                self.fresh.push(*request);
                Ok(signature)
            }
            Verdict::Known(signature) => {
                self.append(wal);
                Ok(signature)
            }
            Verdict::Refused { why } => Err(SignError::Refused {
                why: why.to_string(),
            }),
        }
    }
}

/// One engine among validators that the test plays itself.
pub struct Bench {
    pub keys: Vec<TestKey>,
    pub set: ValidatorSet,
    pub me: usize,
    pub engine: Engine,
    pub holder: KeyHolder,
    pub timers: Vec<TimerId>,
}

impl Bench {
    pub fn new(validators: usize, me: usize) -> Self {
        let keys: Vec<_> = (0..validators).map(|i| test_key(i as u8)).collect();
        let set = ValidatorSet::new(keys.iter().map(|k| (k.public, 1))).expect("a sound set");
        let holder = KeyHolder::new(keys[me].clone());
        let engine = Engine::new(Some(keys[me].public), domain(), Timeouts::default());
        Self {
            keys,
            set,
            me,
            engine,
            holder,
            timers: Vec::new(),
        }
    }

    /// A bench whose engine proposes, or does not, in a round of height 1.
    pub fn proposing(validators: usize, round: u32, proposes: bool) -> Self {
        let all = (0..validators).map(|me| Bench::new(validators, me));
        let fits = |b: &Bench| (b.proposer(round) == b.me) == proposes;
        all.into_iter().find(fits).expect("one of them")
    }

    pub fn proposer(&self, round: u32) -> usize {
        let chosen = self.set.proposer(1, round).key();
        self.keys
            .iter()
            .position(|k| k.public == chosen)
            .expect("a member")
    }

    pub fn others(&self) -> Vec<usize> {
        (0..self.keys.len()).filter(|i| *i != self.me).collect()
    }

    /// A step that may fail.
    pub fn try_step(&mut self, event: Event) -> Vec<Action> {
        let actions = self.engine.step(NOW_MS, event, &mut self.holder);
        for action in &actions {
            match action {
                Action::Persist(entries) => self.holder.append(entries),
                Action::SetTimer { id, .. } => self.timers.push(*id),
                _ => {}
            }
        }
        actions
    }

    pub fn step(&mut self, event: Event) -> Vec<Action> {
        let actions = self.try_step(event);
        let halt = actions.iter().find(|a| matches!(a, Action::Halt(_)));
        assert!(halt.is_none(), "{halt:?}");
        actions
    }

    pub fn start(&mut self, height: u64) -> Vec<Action> {
        let (validators, wal) = (self.set.clone(), self.holder.wal.clone());
        self.step(Event::StartHeight {
            height,
            validators,
            wal,
        })
    }

    /// The worker dies and starts again: what was not durable is lost.
    pub fn restart(&mut self) -> Vec<Action> {
        let key = Some(self.keys[self.me].public);
        self.engine = Engine::new(key, domain(), Timeouts::default());
        self.start(1)
    }

    /// Lets all timers elapse that have been set so far.
    pub fn elapse(&mut self) -> Vec<Action> {
        let due = std::mem::take(&mut self.timers);
        due.into_iter()
            .flat_map(|id| self.step(Event::Timer(id)))
            .collect()
    }

    pub fn vote(&self, by: usize, step: Step, round: u32, value: Option<Hash>) -> Message {
        self.vote_at(1, by, step, round, value)
    }

    pub fn vote_at(
        &self,
        height: u64,
        by: usize,
        step: Step,
        round: u32,
        value: Option<Hash>,
    ) -> Message {
        let request = vote_request(step, height, round, value);
        signed(&self.keys[by], &request)
    }

    pub fn proposal(&self, round: u32, value: Hash) -> Message {
        let request = vote_request(Step::Proposal, 1, round, Some(value));
        signed(&self.keys[self.proposer(round)], &request)
    }

    pub fn block(&self, round: u32, hash: Hash) -> BlockRef {
        let proposer = self.keys[self.proposer(round)].public;
        BlockRef {
            height: 1,
            round,
            proposer,
            hash,
        }
    }

    pub fn judged(&self, round: u32, hash: Hash) -> Event {
        let block = self.block(round, hash);
        Event::Block {
            block,
            valid: true,
            origin: Origin::Consensus,
        }
    }

    /// A certificate with the precommits of all the others.
    pub fn certificate(&self, round: u32, value: Hash) -> CommitCertificate {
        let request = vote_request(Step::Precommit, 1, round, Some(value));
        let signatures = self.others().into_iter().map(|by| CommitSignature {
            validator: self.keys[by].public,
            signature: self.keys[by].sign(&request),
        });
        CommitCertificate {
            height: 1,
            round,
            value,
            signatures: signatures.collect(),
        }
    }

    pub fn sync(&mut self, certificate: CommitCertificate) -> Vec<Action> {
        self.step(Event::Synced {
            peer: [9; 32],
            certificate,
            body: b"a body".to_vec(),
        })
    }
}

/// Encodes by hand and decodes, so that the wire format is part of what is tested.
pub fn signed(key: &TestKey, request: &SignRequest) -> Message {
    let signature = key.sign(request);
    let mut w = crate::codec::Writer::new();
    match request.step {
        Step::Proposal => {
            w.u8(2).u64(request.height).u32(request.round);
            w.raw(&request.value.expect("proposals have a value"));
            match request.pol_round {
                None => w.u8(0),
                Some(round) => w.u8(1).u32(round),
            };
        }
        Step::Prevote | Step::Precommit => {
            w.u8(1)
                .u8(request.step.as_byte() - 1)
                .u64(request.height)
                .u32(request.round);
            match request.value {
                None => w.u8(0),
                Some(hash) => w.u8(1).raw(&hash),
            };
        }
    }
    w.raw(&key.public.0).raw(&signature);
    Message::decode(w.as_slice()).expect("a well-formed message")
}

/// The votes that a step publishes.
pub fn votes(actions: &[Action]) -> Vec<SignRequest> {
    published(actions, |m| matches!(m.0, Inner::Vote(_)))
}

/// The proposals that a step publishes.
pub fn proposals(actions: &[Action]) -> Vec<SignRequest> {
    published(actions, |m| matches!(m.0, Inner::Proposal(_)))
}

fn published(actions: &[Action], wanted: impl Fn(&Message) -> bool) -> Vec<SignRequest> {
    let message = |action: &Action| match action {
        Action::Publish(message) if wanted(message) => message.request(),
        _ => None,
    };
    actions.iter().filter_map(message).collect()
}

pub fn has(actions: &[Action], wanted: impl Fn(&Action) -> bool) -> bool {
    actions.iter().any(wanted)
}
