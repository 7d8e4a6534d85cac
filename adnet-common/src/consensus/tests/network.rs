//! Small networks on a virtual clock: loss, crashes at any action, and an oracle that watches.

use super::bench::{KeyHolder, NOW_MS, TestKey, domain, test_key};
use crate::consensus::{
    Action, CommitCertificate, Engine, Equivocation, Event, Message, Origin, SignMarks,
    SignRequest, SignSlot, Timeouts, ValidatorSet, WalEntry, verify_certificate,
};
use crate::hash::Hash;
use crate::keys::PublicKey;
use std::collections::BTreeMap;

/// SplitMix64: small, fast and the same everywhere.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// What goes wrong while blocks are below `until_height`, per thousand.
#[derive(Clone, Copy, Default)]
pub struct Faults {
    pub loss: u64,
    pub crash: u64,
    pub until_height: u64,
    /// A restarted node has lost its log and its marks: the negative control.
    pub forgets: bool,
}

struct Node {
    key: TestKey,
    /// `None` while it is down.
    engine: Option<Engine>,
    holder: KeyHolder,
    /// Durable: decided blocks, and what was built in each round of the open height.
    chain: Vec<CommitCertificate>,
    built: BTreeMap<(u64, u32), Hash>,
    /// Counts the lives, so that wake-ups of an earlier one are dropped.
    life: u64,
}

enum What {
    Start,
    Event(Event),
    Status,
}

pub struct Network {
    nodes: Vec<Node>,
    pub set: ValidatorSet,
    /// Sets that take over from a height on.
    pub changes: BTreeMap<u64, ValidatorSet>,
    queue: BTreeMap<(u64, u64), (usize, Option<u64>, What)>,
    sequence: u64,
    now_ms: u64,
    rng: Rng,
    faults: Faults,
    /// Everything that anybody ever published, by validator and slot.
    published: BTreeMap<(PublicKey, SignSlot), (SignRequest, [u8; 64])>,
    pub equivocations: Vec<Equivocation>,
    pub crashes: u64,
    /// Signatures given in the open height with the log as it was then, of one node.
    pub logs: Vec<(u64, usize, Vec<WalEntry>, SignMarks)>,
}

impl Network {
    pub fn new(powers: &[u64], seed: u64, faults: Faults) -> Self {
        let keys: Vec<_> = (0..powers.len()).map(|i| test_key(i as u8)).collect();
        let members = keys.iter().zip(powers).map(|(k, power)| (k.public, *power));
        let set = ValidatorSet::new(members).expect("a sound set");
        let node = |key: &TestKey| Node {
            key: key.clone(),
            engine: None,
            holder: KeyHolder::new(key.clone()),
            chain: Vec::new(),
            built: BTreeMap::new(),
            life: 0,
        };
        let mut network = Self {
            nodes: keys.iter().map(node).collect(),
            set,
            changes: BTreeMap::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            now_ms: NOW_MS,
            rng: Rng(seed),
            faults,
            published: BTreeMap::new(),
            equivocations: Vec::new(),
            crashes: 0,
            logs: Vec::new(),
        };
        for i in 0..powers.len() {
            network.push(i, None, 0, What::Start);
        }
        network
    }

    pub fn lowest(&self) -> u64 {
        self.nodes
            .iter()
            .map(|n| n.chain.len() as u64)
            .min()
            .unwrap_or(0)
    }

    pub fn chain(&self, node: usize) -> &[CommitCertificate] {
        &self.nodes[node].chain
    }

    pub fn key(&self, node: usize) -> PublicKey {
        self.nodes[node].key.public
    }

    /// Who decides a height.
    pub fn set_of(&self, height: u64) -> &ValidatorSet {
        let last = self.changes.range(..=height).next_back();
        last.map_or(&self.set, |(_, set)| set)
    }

    fn faulty(&self) -> bool {
        self.lowest() < self.faults.until_height
    }

    fn push(&mut self, node: usize, life: Option<u64>, after_ms: u64, what: What) {
        self.sequence += 1;
        let at = self.now_ms + after_ms;
        self.queue.insert((at, self.sequence), (node, life, what));
    }

    /// Runs until every node has `height` blocks. Returns the virtual milliseconds it took.
    pub fn run(&mut self, height: u64) -> u64 {
        let start = self.now_ms;
        while self.lowest() < height {
            let first = self.queue.pop_first();
            let ((at, _), (node, life, what)) = first.expect("timers keep the queue filled");
            assert!(at < start + 3_600_000, "stuck at height {}", self.lowest());
            self.now_ms = at;
            if life.is_none_or(|life| life == self.nodes[node].life) {
                self.dispatch(node, what);
            }
        }
        self.now_ms - start
    }

    fn dispatch(&mut self, i: usize, what: What) {
        match what {
            What::Start => {
                let node = &mut self.nodes[i];
                let key = Some(node.key.public);
                node.engine = Some(Engine::new(key, domain(), Timeouts::default()));
                let life = node.life;
                self.push(i, Some(life), 500, What::Status);
                self.open(i);
            }
            What::Event(event) => self.step(i, event),
            What::Status => {
                let life = self.nodes[i].life;
                self.push(i, Some(life), 500, What::Status);
                self.sync(i);
            }
        }
    }

    fn open(&mut self, i: usize) {
        let node = &self.nodes[i];
        let height = node.chain.len() as u64 + 1;
        let wal = node.holder.wal.clone();
        let validators = self.set_of(height).clone();
        self.step(
            i,
            Event::StartHeight {
                height,
                validators,
                wal,
            },
        );
    }

    /// Fetches the next block from anybody who has it.
    fn sync(&mut self, i: usize) {
        let have = self.nodes[i].chain.len();
        let ahead: Vec<_> = self
            .nodes
            .iter()
            .filter_map(|n| n.chain.get(have))
            .cloned()
            .collect();
        if !ahead.is_empty() {
            let pick = self.rng.below(ahead.len() as u64) as usize;
            let certificate = ahead[pick].clone();
            self.step(
                i,
                Event::Synced {
                    peer: [1; 32],
                    certificate,
                    body: Vec::new(),
                },
            );
        }
    }

    fn step(&mut self, i: usize, event: Event) {
        let now = self.now_ms;
        let node = &mut self.nodes[i];
        let Some(engine) = &mut node.engine else {
            return;
        };
        let actions = engine.step(now, event, &mut node.holder);
        for action in actions {
            if self.faulty() && self.rng.below(1_000) < self.faults.crash {
                return self.crash(i);
            }
            self.execute(i, action);
        }
    }

    fn crash(&mut self, i: usize) {
        self.crashes += 1;
        let forgets = self.faults.forgets;
        let node = &mut self.nodes[i];
        node.engine = None;
        node.life += 1;
        if forgets {
            node.holder.wal.clear();
            node.holder.marks.clear();
            node.built.clear();
        }
        let height = node.chain.len() as u64 + 1;
        let log = (
            height,
            i,
            node.holder.wal.clone(),
            node.holder.marks.clone(),
        );
        self.logs.push(log);
        let down_ms = 50 + self.rng.below(2_000);
        self.push(i, None, down_ms, What::Start);
    }

    fn execute(&mut self, i: usize, action: Action) {
        let life = Some(self.nodes[i].life);
        match action {
            Action::Persist(entries) => self.nodes[i].holder.append(&entries),
            Action::Publish(message) => self.publish(i, message),
            Action::Relay(_) => {} // everybody is linked with everybody
            Action::SetTimer { id, at_ms } => {
                let after_ms = at_ms.saturating_sub(self.now_ms);
                self.push(i, life, after_ms, What::Event(Event::Timer(id)));
            }
            Action::BuildBlock { height, round, .. } => {
                let salt = self.rng.next().to_be_bytes();
                let fresh = Hash::of("block", &[&salt]);
                let built = &mut self.nodes[i].built;
                let hash = *built.entry((height, round)).or_insert(fresh);
                let event = Event::Propose {
                    height,
                    round,
                    hash,
                };
                self.push(i, life, 20, What::Event(event));
            }
            Action::NeedBlock { block, .. } => {
                let after_ms = 5 + self.rng.below(30);
                let event = Event::Block {
                    block,
                    valid: true,
                    origin: Origin::Consensus,
                };
                self.push(i, life, after_ms, What::Event(event));
            }
            Action::Restream(_) => {}
            Action::CheckSynced { block, .. } => {
                let event = Event::Block {
                    block,
                    valid: true,
                    origin: Origin::Sync,
                };
                self.push(i, life, 0, What::Event(event));
            }
            Action::RejectSynced(_) => panic!("no peer lies here"),
            Action::Commit {
                certificate,
                evidence,
            } => {
                self.equivocations.extend(evidence);
                self.commit(i, certificate);
            }
            Action::Finalized { evidence, .. } => {
                self.equivocations.extend(evidence);
                self.open_later(i);
            }
            Action::Halt(reason) if self.faults.forgets => {
                assert!(
                    reason.to_string().contains("refused") || reason.to_string().contains("core")
                );
                self.crash(i);
            }
            Action::Halt(reason) => panic!("node {i} halted: {reason}"),
        }
    }

    fn open_later(&mut self, i: usize) {
        let node = &self.nodes[i];
        let height = node.chain.len() as u64 + 1;
        let (life, validators) = (Some(node.life), self.set_of(height).clone());
        let start = Event::StartHeight {
            height,
            validators,
            wal: Vec::new(),
        };
        self.push(i, life, 10, What::Event(start));
    }

    fn commit(&mut self, i: usize, certificate: CommitCertificate) {
        assert_eq!(
            verify_certificate(&domain(), self.set_of(certificate.height), &certificate),
            Ok(())
        );
        let height = self.nodes[i].chain.len();
        assert_eq!(certificate.height, height as u64 + 1);
        if !self.faults.forgets {
            for other in &self.nodes {
                if let Some(theirs) = other.chain.get(height) {
                    assert_eq!(theirs.value, certificate.value, "two blocks at one height");
                }
            }
        }
        let node = &mut self.nodes[i];
        let marks = node.holder.marks.clone();
        self.logs.push((
            certificate.height,
            i,
            std::mem::take(&mut node.holder.wal),
            marks,
        ));
        node.built.clear();
        node.chain.push(certificate);
        let life = Some(node.life);
        self.push(i, life, 30, What::Event(Event::EndHeight));
    }

    /// Sends to all others, and lets the oracle look at it.
    fn publish(&mut self, i: usize, message: Message) {
        if let (Some(author), Some(request)) = (message.author(), message.request()) {
            let is_member = self.set_of(request.height).contains(&author);
            assert!(is_member, "{author} signs where it is no validator");
            let bytes = message.encode();
            let mut signature = [0; 64];
            signature.copy_from_slice(&bytes[bytes.len() - 64..]);
            let slot = SignSlot::from(&request);
            let first = self
                .published
                .entry((author, slot))
                .or_insert((request, signature));
            if first.0 != request {
                let pair = Equivocation::of(author, (&first.0, first.1), (&request, signature));
                self.equivocations
                    .push(pair.expect("two messages of one slot"));
            }
        }
        for to in 0..self.nodes.len() {
            let is_lost = self.faulty() && self.rng.below(1_000) < self.faults.loss;
            if to != i && !is_lost {
                let after_ms = 5 + self.rng.below(20);
                let event = Event::Message(message.clone());
                self.push(to, None, after_ms, What::Event(event));
            }
        }
    }
}

#[test]
fn four_validators_decide_the_same_blocks() {
    let mut network = Network::new(&[1; 4], 1, Faults::default());
    let took_ms = network.run(50);
    for node in 1..4 {
        for (ours, theirs) in network.chain(0).iter().zip(network.chain(node)) {
            assert_eq!(
                (ours.height, ours.round, ours.value),
                (theirs.height, 0, theirs.value)
            );
        }
    }
    assert!(took_ms < 50 * 300, "{took_ms} ms for 50 heights");
    assert!(network.equivocations.is_empty());
}

#[test]
fn unequal_powers_and_lone_validators_decide_as_well() {
    let mut network = Network::new(&[50, 20, 20, 10], 2, Faults::default());
    network.run(40);
    assert!(network.equivocations.is_empty());
    let mut alone = Network::new(&[3], 3, Faults::default());
    alone.run(40);
}

#[test]
fn crashes_and_losses_break_no_promise() {
    for seed in 0..30 {
        let faults = Faults {
            loss: 100,
            crash: 20,
            until_height: 12,
            forgets: false,
        };
        let mut network = Network::new(&[1; 4], seed, faults);
        network.run(16);
        assert!(network.crashes > 0, "seed {seed}");
        assert_eq!(network.equivocations, [], "seed {seed}");
    }
}

/// Members come and go between heights, under losses and deaths: everybody decides the same blocks,
/// and only members of a height sign for it.
#[test]
fn sets_that_change_between_heights_break_no_promise() {
    for seed in 0..15 {
        let faults = Faults {
            loss: 80,
            crash: 15,
            until_height: 16,
            forgets: false,
        };
        let mut network = Network::new(&[1; 6], seed, faults);
        let part = |members: &[(usize, u64)]| {
            let list = members.iter().map(|(i, power)| (network.key(*i), *power));
            ValidatorSet::new(list).expect("a sound set")
        };
        let changes = [
            (1, part(&[(0, 1), (1, 1), (2, 1), (3, 1)])),
            (4, part(&[(1, 1), (2, 1), (3, 1), (4, 1), (5, 3)])),
            (8, part(&[(5, 1)])),
            (9, part(&[(0, 5), (4, 5), (5, 5), (2, 5)])),
            (13, part(&[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)])),
        ];
        network.changes = BTreeMap::from(changes);
        network.run(18);
        assert_eq!(network.equivocations, [], "seed {seed}");
    }
}

/// The negative control: with its marks and its log lost, a validator equivocates, and both the
/// oracle and the other nodes' evidence say so.
#[test]
fn a_signer_that_forgets_is_caught() {
    let caught = (0..20).any(|seed| {
        let faults = Faults {
            loss: 0,
            crash: 60,
            until_height: 6,
            forgets: true,
        };
        let mut network = Network::new(&[1; 4], seed, faults);
        network.run(8);
        assert!(
            network
                .equivocations
                .iter()
                .all(|e| e.verify(&domain()).is_ok())
        );
        !network.equivocations.is_empty()
    });
    assert!(caught);
}
