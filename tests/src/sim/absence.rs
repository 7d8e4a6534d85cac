//! Machines that die or sleep, cuts that begin and end, and what that means for what is owed.

use super::chain::Chain;
use super::disk::Honesty;
use super::host::{Crash, Death, Moment};
use super::scenario::Crashes;
use super::simulation::{Event, GENESIS_MS, Place, Simulation};
use super::trouble::Absence;
use adnet_alpha::AlphaApp;
use adnet_common::chain_id::ChainId;
use adnet_common::trusted_block::TrustedBlock;
use adnet_delta::DeltaApp;

/// How long a machine is away.
const DOWN_MAX_MS: u64 = 4_000;

impl Simulation {
    /// Plans the next death of a machine.
    pub fn plan_crash(&mut self, machine: usize) {
        let gate = &mut self.machines[machine].gate;
        gate.crash = match self.scenario.crashes {
            Crashes::Once(crash) if machine == 0 && self.deaths == 0 => Some(crash),
            Crashes::Often { within_ops } if !self.is_quiet => Some(Crash {
                op: gate.ops + self.random.below(within_ops),
                moment: [Moment::Before, Moment::After][self.random.below(2) as usize],
                death: [Death::Worker, Death::Node, Death::Power][self.random.below(3) as usize],
            }),
            _ => None,
        };
    }

    /// The process that made the last durable operation of this machine is dead.
    pub fn die(&mut self, place: Place) {
        let crash = self.machines[place.machine].gate.crash.take();
        let crash = crash.expect("nobody dies without a plan");
        self.deaths += 1;
        let machine = &mut self.machines[place.machine];
        machine.gate.is_dead = false;
        let dead = match crash.death {
            Death::Worker => vec![place.chain],
            Death::Node | Death::Power => ChainId::ALL.to_vec(),
        };
        if crash.death == Death::Power {
            machine.disk.lose_power(&mut self.random);
        }
        if self.scenario.honesty == Honesty::ForgetsConsensus {
            machine.disk.forget_consensus();
        }
        self.oracle
            .record(format!("{} {crash:?}", place.machine).as_bytes());
        for chain in dead {
            // The other chain may be away already, with its restart on the way.
            let nodes = &mut self.machines[place.machine].nodes;
            let was_there = match chain {
                ChainId::Alpha => AlphaApp::slot(nodes).take().is_some(),
                ChainId::Delta => DeltaApp::slot(nodes).take().is_some(),
            };
            if was_there || chain == place.chain {
                let delay_ms = 100 + self.random.below(DOWN_MAX_MS);
                self.later(delay_ms, Place { chain, ..place }, Event::Restart);
            }
        }
        self.plan_crash(place.machine);
    }

    /// A cut or an outage begins or ends now.
    pub fn turn(&mut self) {
        let at_ms = self.now_ms - GENESIS_MS;
        for outage in self.scenario.outages.clone() {
            let machine = outage.machine;
            match outage.absence {
                Absence::Paused if outage.from_ms == at_ms => {
                    let until_ms = GENESIS_MS + outage.to_ms;
                    for chain in ChainId::ALL {
                        self.occupy(Place { machine, chain }, until_ms);
                    }
                }
                Absence::Killed if outage.from_ms == at_ms => self.kill(machine),
                Absence::Killed if outage.to_ms == at_ms => {
                    self.rise(machine);
                }
                Absence::New if outage.to_ms == at_ms => {
                    for chain in self.scenario.chains() {
                        let trusted = self.some_block(chain);
                        self.machines[machine]
                            .trusted
                            .extend(trusted.map(|t| (chain, t)));
                    }
                    self.rise(machine);
                }
                Absence::Paused | Absence::Killed | Absence::New => {}
            }
        }
        self.oracle.record(b"a turn");
        self.oracle.liveness.allow_all();
        let is_cut = self.scenario.cuts.iter().any(|cut| cut.is_open_at(at_ms));
        if let (true, Some(grace_ms)) = (is_cut, self.scenario.grace_ms()) {
            let (machine, chain) = (0, ChainId::Alpha); // It is for all of them.
            self.later(grace_ms, Place { machine, chain }, Event::CutIsComplete);
        }
        if self.is_quiet || self.scenario.promises_progress() {
            let quorum = self.scenario.calm_quorum(at_ms);
            let ends = self.scenario.ends_trouble(at_ms);
            self.oracle
                .owe(self.scenario.chains(), quorum.as_ref(), ends);
        }
    }

    /// All that was said before the last turn has arrived: from now on a machine that is cut off
    /// decides nothing new.
    pub fn forbid_decisions(&mut self) {
        let at_ms = self.now_ms - GENESIS_MS;
        let grace_ms = self.scenario.grace_ms().expect("it was planned with it");
        let mut turns = self.scenario.turns().into_iter();
        if turns.any(|turn| (at_ms - grace_ms + 1..=at_ms).contains(&turn)) {
            return; // Something else has begun since.
        }
        let cut_off = |m: &usize| !self.scenario.can_decide(*m, at_ms);
        let cut_off: Vec<usize> = (0..self.machines.len()).filter(cut_off).collect();
        self.oracle.forbid(&cut_off);
    }

    /// Both chains of a machine start.
    fn rise(&mut self, machine: usize) {
        self.machines[machine].is_down = false;
        for chain in self.scenario.chains() {
            self.later(1, Place { machine, chain }, Event::Restart);
        }
    }

    /// A block that somebody has decided.
    fn some_block(&mut self, chain: ChainId) -> Option<TrustedBlock> {
        let height = match self.oracle.height(chain) {
            0 => return None,
            decided => 1 + self.random.below(decided),
        };
        let hash = self.oracle.decided.get(&(chain, height))?.hash;
        Some(TrustedBlock { height, hash })
    }

    fn kill(&mut self, machine: usize) {
        self.deaths += 1;
        let killed = &mut self.machines[machine];
        killed.is_down = true;
        AlphaApp::slot(&mut killed.nodes).take();
        DeltaApp::slot(&mut killed.nodes).take();
        killed.disk.lose_power(&mut self.random);
    }

    /// A chain of a machine does nothing before `until_ms`.
    pub fn occupy(&mut self, place: Place, until_ms: u64) {
        let busy = &mut self.machines[place.machine].busy_until_ms;
        let busy = busy.entry(place.chain).or_default();
        *busy = until_ms.max(*busy);
    }

    /// Until when the chain of a machine takes nothing in, if it does not at the moment.
    pub fn asleep_until_ms(&self, place: Place) -> Option<u64> {
        let busy = &self.machines[place.machine].busy_until_ms;
        let until_ms = busy.get(&place.chain).copied();
        until_ms.filter(|until_ms| *until_ms > self.now_ms)
    }
}
