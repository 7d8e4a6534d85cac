//! The virtual clock and what is on the way: messages, restarts, clients.

use super::Report;
use super::chain::Nodes;
use super::disk::Disk;
use super::host::Gate;
use super::network::{genesis, public, validator_key};
use super::oracle::{Oracle, Violation};
use super::random::{Random, mixed};
use super::scenario::Scenario;
use super::stepping::Stimulus;
use super::trouble::Passage;
use super::workload::Client;
use adnet_alpha::AlphaApp;
use adnet_common::chain_id::ChainId;
use adnet_common::consensus::Timeouts;
use adnet_common::genesis::Genesis;
use adnet_common::hash::Hash;
use adnet_common::keys::SecretKey;
use adnet_common::mempool::MempoolLimits;
use adnet_common::node::{Class, Exchange, NodeConfig, Topic, VerifyJob};
use adnet_common::supply::{AlphaSupply, DeltaSupply};
use adnet_common::trusted_block::TrustedBlock;
use adnet_delta::DeltaApp;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const GENESIS_MS: u64 = 1_800_000_000_000;
/// What is on the way when the troubles end must have arrived after this.
const SETTLE_MS: u64 = 240_000;
/// How often a client looks at its transaction.
const CLIENT_MAX_MS: u64 = 2_500;

/// Something that will happen to a chain of a machine, or to a client.
#[expect(
    clippy::large_enum_variant,
    reason = "made and taken apart at once, never kept in numbers"
)]
pub(super) enum Event {
    Network {
        from: usize,
        class: Class,
        bytes: Vec<u8>,
    },
    Gossip {
        from: usize,
        topic: Topic,
        bytes: Vec<u8>,
    },
    Sibling(Exchange),
    /// A machine has verified what this life of its chain has handed out.
    Verified {
        life: u64,
        job: VerifyJob,
    },
    Restart,
    Client(usize),
    /// A cut or an outage begins or ends.
    Turn,
    /// What was sent before a cut has arrived.
    CutIsComplete,
}

/// Whom an event is for.
#[derive(Copy, Clone)]
pub(super) struct Place {
    pub machine: usize,
    pub chain: ChainId,
}

/// Often enough that Alpha, with its few blocks in a run, has snapshots.
const SNAPSHOT_EVERY_BLOCKS: u64 = 3;

pub(super) struct Machine {
    pub key: ed25519_consensus::SigningKey,
    pub config: NodeConfig,
    pub disk: Disk,
    pub gate: Gate,
    pub nodes: Nodes,
    /// How often each chain was started here.
    pub lives: BTreeMap<ChainId, u64>,
    /// How far its clock is behind that of the simulation, which is the first of all clocks.
    pub behind_ms: u64,
    /// Until when each chain waits for the disk or sleeps.
    pub busy_until_ms: BTreeMap<ChainId, u64>,
    /// It was killed or is not there yet, and nothing starts on it.
    pub is_down: bool,
    /// The blocks with which it begins, if it comes late.
    pub trusted: BTreeMap<ChainId, TrustedBlock>,
    /// It has stopped for good, as only a machine may whose validator is two.
    pub is_lost: bool,
}

pub(super) struct Simulation {
    pub scenario: Scenario,
    pub genesis: Arc<Genesis>,
    pub genesis_hash: Hash,
    pub random: Random,
    pub oracle: Oracle,
    pub now_ms: u64,
    pub machines: Vec<Machine>,
    pub clients: Vec<Client>,
    queue: BTreeMap<(u64, u64), (Place, Event)>,
    queued: u64,
    /// Whether clients and troubles are over.
    pub is_quiet: bool,
    /// What is sent in this step leaves so much later.
    pub waits_ms: u64,
    pub deaths: u64,
    settled: u64,
    pub crossed_units: BTreeMap<ChainId, u64>,
    pub at_genesis: Option<(AlphaSupply, DeltaSupply)>,
}

impl Simulation {
    pub fn new(scenario: Scenario) -> Self {
        let keys: Vec<SecretKey> = (0..scenario.validators).map(validator_key).collect();
        let genesis = Arc::new(genesis(scenario.validators));
        let mut random = Random::new(mixed(scenario.seed ^ 0xad_0e7));
        let machine = |index: usize| {
            let key = &keys[scenario.validator_of(index)];
            Machine {
                key: key.ed25519().expect("an ed25519 seed"),
                config: NodeConfig {
                    genesis: Arc::clone(&genesis),
                    validator: Some(public(key)),
                    mempool: MempoolLimits {
                        max_txs: 1_000,
                        max_bytes: 1 << 20,
                        max_per_sender: 16,
                        ttl_ms: 600_000,
                    },
                    timeouts: Timeouts::default(),
                    trusted: None,
                    snapshot_every: SNAPSHOT_EVERY_BLOCKS,
                },
                disk: Disk::default(),
                gate: Gate::default(),
                nodes: Nodes::default(),
                lives: BTreeMap::new(),
                behind_ms: match scenario.skew_max_ms {
                    0 => 0,
                    most => random.below(2 * most + 1),
                },
                busy_until_ms: BTreeMap::new(),
                is_down: scenario.comes_late(index),
                trusted: BTreeMap::new(),
                is_lost: false,
            }
        };
        let machines = (0..scenario.machines()).map(machine).collect();
        let guilty = (0..scenario.validators).filter(|v| scenario.is_byzantine(*v));
        let guilty = guilty.map(|validator| public(&keys[validator])).collect();
        Self {
            oracle: Oracle::new(guilty),
            random,
            clients: Client::of(&scenario),
            genesis_hash: genesis.hash(),
            genesis,
            now_ms: GENESIS_MS,
            machines,
            queue: BTreeMap::new(),
            queued: 0,
            is_quiet: false,
            waits_ms: 0,
            deaths: 0,
            settled: 0,
            crossed_units: BTreeMap::new(),
            at_genesis: None,
            scenario,
        }
    }

    pub fn play(mut self) -> Result<Report, Violation> {
        for machine in 0..self.machines.len() {
            self.plan_crash(machine);
            for chain in self.scenario.chains() {
                self.later(1, Place { machine, chain }, Event::Restart);
            }
        }
        for client in 0..self.clients.len() {
            let (machine, chain) = (0, self.clients[client].chain);
            let delay_ms = 10 + self.random.below(CLIENT_MAX_MS);
            self.later(delay_ms, Place { machine, chain }, Event::Client(client));
        }
        for at_ms in self.scenario.turns() {
            let (machine, chain) = (0, ChainId::Alpha); // It is for all of them.
            self.later(at_ms, Place { machine, chain }, Event::Turn);
        }
        self.turn();
        let busy_end = GENESIS_MS + self.scenario.busy_ms;
        while self.next_event(busy_end)? {}
        self.is_quiet = true;
        self.turn();
        self.machines.iter_mut().for_each(|m| m.gate.crash = None);
        let deadline = busy_end + SETTLE_MS;
        while !self.is_settled() {
            if !self.next_event(deadline)? {
                self.oracle.violated(self.unsettled());
            }
            self.check()?;
        }
        if self.scenario.only.is_none() {
            self.check_totals();
        }
        self.check()?;
        let crossed = |chain| self.crossed_units.get(&chain).copied().unwrap_or(0);
        Ok(Report {
            digest: self.oracle.digest,
            ops: self.machines[0].gate.ops,
            deaths: self.deaths,
            equivocations: self.oracle.proved.len() as u64,
            snapshots: self.oracle.snapshots.len() as u64,
            recoveries: self.oracle.liveness.recoveries,
            settled: self.settled,
            notes_settled: self.clients.iter().map(Client::notes_settled).sum(),
            contracts_settled: self.clients.iter().map(Client::contracts_settled).sum(),
            locked_units: crossed(ChainId::Alpha),
            unlocked_units: crossed(ChainId::Delta),
            decided: self.oracle.decided,
        })
    }

    fn check(&self) -> Result<(), Violation> {
        self.oracle.violation.clone().map_or(Ok(()), Err)
    }

    /// Lets the next thing before `end_ms` happen; false if there is none.
    fn next_event(&mut self, end_ms: u64) -> Result<bool, Violation> {
        if let Some(late) = self.oracle.liveness.overdue(self.now_ms - GENESIS_MS) {
            self.oracle.violated(late);
        }
        let queued_ms = self.queue.first_key_value().map(|((at, _), _)| *at);
        let timer = self.next_timer();
        let at_ms = queued_ms.into_iter().chain(timer.map(|(at, _)| at)).min();
        let Some(at_ms) = at_ms.filter(|at| *at < end_ms) else {
            return Ok(false);
        };
        self.now_ms = self.now_ms.max(at_ms);
        self.oracle.now_ms = self.now_ms - GENESIS_MS;
        if queued_ms == Some(at_ms) {
            let (_, (place, event)) = self.queue.pop_first().expect("it was seen above");
            self.happen(place, event);
        } else if let Some((_, place)) = timer {
            self.stimulate(place, Stimulus::Tick);
        }
        self.check()?;
        Ok(true)
    }

    /// The first timer of a living node, with its lateness.
    fn next_timer(&self) -> Option<(u64, Place)> {
        let mut first: Option<(u64, Place)> = None;
        for (machine, m) in self.machines.iter().enumerate() {
            let alpha = m.nodes.alpha.as_ref().and_then(|n| n.next_deadline_ms());
            let delta = m.nodes.delta.as_ref().and_then(|n| n.next_deadline_ms());
            for (chain, due_ms) in [(ChainId::Alpha, alpha), (ChainId::Delta, delta)] {
                let Some(due_ms) = due_ms else { continue };
                let name =
                    mixed(due_ms ^ (machine as u64) << 56 ^ u64::from(chain.as_byte()) << 48);
                let late_ms = name % (self.scenario.timer_late_max_ms + 1);
                let awake_ms = m.busy_until_ms.get(&chain).copied().unwrap_or(0);
                let at_ms = due_ms.saturating_add(m.behind_ms + late_ms).max(awake_ms);
                if first.is_none_or(|(at, _)| at_ms < at) {
                    first = Some((at_ms, Place { machine, chain }));
                }
            }
        }
        first
    }

    pub fn later(&mut self, delay_ms: u64, place: Place, event: Event) {
        let at_ms = self.now_ms + delay_ms;
        self.queue.insert((at_ms, self.queued), (place, event));
        self.queued += 1;
    }

    /// Sends something that may be lost or come twice, and arrives `1 + below(delay_max_ms)` after
    /// `from_ms`.
    pub fn send(
        &mut self,
        from_ms: u64,
        delay_max_ms: u64,
        place: Place,
        make: impl Fn() -> Event,
    ) {
        let (lost, doubled) = match self.is_quiet {
            true => (0, 0),
            false => (self.scenario.lost_percent, self.scenario.doubled_percent),
        };
        let copies = match (self.random.chance(lost), self.random.chance(doubled)) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 1,
        };
        for _ in 0..copies {
            let delay_ms = 1 + self.random.below(delay_max_ms);
            self.later(from_ms - self.now_ms + delay_ms, place, make());
        }
    }

    /// Sends something to another machine, if the cuts let it through.
    pub fn send_between(&mut self, from: Place, to: usize, make: impl Fn() -> Event) {
        let sent_ms = self.now_ms + self.waits_ms;
        let from_ms = match self
            .scenario
            .passage(from.machine, to, sent_ms - GENESIS_MS)
        {
            Passage::Lost => return,
            Passage::Open => sent_ms,
            Passage::HeldUntil(at_ms) => sent_ms.max(GENESIS_MS + at_ms),
        };
        let link = (from.machine as u64) << 32 | to as u64;
        let is_slow = mixed(self.scenario.seed ^ link) % 100 < self.scenario.slow_links_percent;
        let more_ms = if is_slow {
            self.scenario.slow_link_ms
        } else {
            0
        };
        let place = Place {
            machine: to,
            ..from
        };
        self.send(from_ms + more_ms, self.scenario.delay_max_ms, place, make);
    }

    fn happen(&mut self, place: Place, event: Event) {
        match event {
            Event::Turn => self.turn(),
            Event::CutIsComplete => self.forbid_decisions(),
            Event::Network { from, class, bytes } => {
                self.stimulate(place, Stimulus::Network { from, class, bytes });
            }
            Event::Gossip { from, topic, bytes } => {
                self.stimulate(place, Stimulus::Gossip { from, topic, bytes });
            }
            Event::Sibling(exchange) => self.stimulate(place, Stimulus::Sibling(exchange)),
            Event::Verified { life, job } => {
                self.stimulate(place, Stimulus::Verified { life, job });
            }
            Event::Restart if self.asleep_until_ms(place).is_some() => {
                let until_ms = self.asleep_until_ms(place).expect("seen above");
                self.later(until_ms - self.now_ms, place, Event::Restart);
            }
            Event::Restart => match place.chain {
                ChainId::Alpha => self.open::<AlphaApp>(place),
                ChainId::Delta => self.open::<DeltaApp>(place),
            },
            Event::Client(client) => self.client(client),
        }
        if self.at_genesis.is_none() {
            self.at_genesis = self.oracle.supplies();
        }
    }

    fn client(&mut self, index: usize) {
        let chain = self.clients[index].chain;
        let height = self.oracle.height(chain);
        let client = &mut self.clients[index];
        if let Some(outstanding) = &client.outstanding {
            if self.oracle.is_included(&outstanding.raw) {
                *self.crossed_units.entry(chain).or_default() += client.settle();
                self.settled += 1;
            } else if outstanding.last_height < height {
                client.outstanding = None;
            }
        }
        if client.outstanding.is_none() && !self.is_quiet {
            client.sign(&self.genesis, height, &mut self.random);
        }
        if let Some(outstanding) = &client.outstanding {
            let raw = outstanding.raw.clone();
            let machine = self.random.below(self.machines.len() as u64) as usize;
            let place = Place { machine, chain };
            match chain {
                ChainId::Alpha => self.submit::<AlphaApp>(place, raw),
                ChainId::Delta => self.submit::<DeltaApp>(place, raw),
            }
        }
        let delay_ms = 200 + self.random.below(CLIENT_MAX_MS);
        let machine = 0; // A client belongs to no machine.
        self.later(delay_ms, Place { machine, chain }, Event::Client(index));
    }
}
