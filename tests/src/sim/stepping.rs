//! Steps of single nodes: opening, inputs, and where their outputs go.

use super::chain::Chain;
use super::equivocator::second_vote;
use super::host::ChainHost;
use super::simulation::{Event, GENESIS_MS, Place, Simulation};
use crate::verification::verified;
use adnet_alpha::AlphaApp;
use adnet_common::application::Application;
use adnet_common::chain_id::ChainId;
use adnet_common::consensus::Domain;
use adnet_common::genesis::Genesis;
use adnet_common::ledger;
use adnet_common::node::{
    Class, Exchange, Input, Node, NodeFault, Offence, Output, Peer, Topic, Verdict, VerifyJob,
};
use adnet_common::worker::Request;
use adnet_delta::DeltaApp;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Peers keep what they have for a machine that does not answer for so long.
const KEPT_ASLEEP_MS: u64 = 5_000;
/// How long the ring between the chains of a machine takes.
const RING_MS: u64 = 1;

/// An input whose type does not depend on the chain.
#[expect(
    clippy::large_enum_variant,
    reason = "made and taken apart at once, never kept in numbers"
)]
pub(super) enum Stimulus {
    Tick,
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
    /// A job of the life of the node with this number is done.
    Verified {
        life: u64,
        job: VerifyJob,
    },
}

impl Stimulus {
    fn input<A: Application>(self, genesis: &Genesis) -> Input<A> {
        match self {
            Stimulus::Tick => Input::Tick,
            Stimulus::Verified { job, .. } => verified(&A::rules(genesis), &job),
            Stimulus::Sibling(exchange) => Input::Sibling(exchange),
            Stimulus::Gossip { from, topic, bytes } => Input::Gossip {
                peer: peer(from),
                topic,
                id: [0; 20], // Verdicts are not matched with messages here.
                bytes,
            },
            Stimulus::Network { from, class, bytes } => Input::Network {
                peer: peer(from),
                class,
                bytes,
            },
        }
    }
}

impl Stimulus {
    /// The same for a machine that takes it in only `wait_ms` later. Timers are looked up then, and
    /// what peers have sent to one that sleeps for long is lost: they have given up on it.
    fn event(self, wait_ms: u64) -> Option<Event> {
        match self {
            Stimulus::Tick => None,
            Stimulus::Network { .. } | Stimulus::Gossip { .. } if wait_ms > KEPT_ASLEEP_MS => None,
            Stimulus::Sibling(exchange) => Some(Event::Sibling(exchange)),
            Stimulus::Verified { life, job } => Some(Event::Verified { life, job }),
            Stimulus::Network { from, class, bytes } => Some(Event::Network { from, class, bytes }),
            Stimulus::Gossip { from, topic, bytes } => Some(Event::Gossip { from, topic, bytes }),
        }
    }
}

/// The node key of a machine in the simulation.
fn peer(machine: usize) -> Peer {
    [machine as u8; 32]
}

impl Simulation {
    pub fn stimulate(&mut self, place: Place, stimulus: Stimulus) {
        if let Some(until_ms) = self.asleep_until_ms(place) {
            let wait_ms = until_ms - self.now_ms;
            if let Some(event) = stimulus.event(wait_ms) {
                self.later(wait_ms, place, event);
            }
            return;
        }
        if let Stimulus::Verified { life, .. } = &stimulus
            && *life != self.life(place)
        {
            return; // The threads that verified it have died with the node.
        }
        let genesis = Arc::clone(&self.genesis);
        match place.chain {
            ChainId::Alpha => self.step::<AlphaApp>(place, stimulus.input(&genesis)),
            ChainId::Delta => self.step::<DeltaApp>(place, stimulus.input(&genesis)),
        }
    }

    /// Which life of the node this is.
    fn life(&self, place: Place) -> u64 {
        let lives = &self.machines[place.machine].lives;
        lives.get(&place.chain).copied().unwrap_or(0)
    }

    /// Does `work` with the host of `place`, and delivers what it tells the other chain.
    fn with_host<T>(&mut self, place: Place, work: impl FnOnce(&mut ChainHost<'_>) -> T) -> T {
        let mut to_sibling = Vec::new();
        let domain = self.domain(place.chain);
        let machine = &mut self.machines[place.machine];
        let synced = machine.gate.syncs;
        let mut host = ChainHost {
            machine: place.machine,
            chain: place.chain,
            disk: &mut machine.disk,
            gate: &mut machine.gate,
            oracle: &mut self.oracle,
            key: &machine.key,
            domain,
            honesty: self.scenario.honesty,
            to_sibling: &mut to_sibling,
        };
        let done = work(&mut host);
        let synced = machine.gate.syncs - synced;
        self.wait_for_disk(place, synced);
        for exchange in to_sibling {
            self.send_sibling(place, exchange);
        }
        done
    }

    /// After `syncs` writes of a step: its outputs leave when they are done.
    fn wait_for_disk(&mut self, place: Place, syncs: u64) {
        self.waits_ms = 0;
        if let Some(longest) = self
            .scenario
            .sync_max_ms
            .checked_add(1)
            .filter(|_| syncs > 0)
        {
            let one = |_| self.random.below(longest);
            self.waits_ms = (0..syncs).map(one).sum();
            self.occupy(place, self.now_ms + self.waits_ms);
        }
    }

    fn send_sibling(&mut self, from: Place, exchange: Exchange) {
        let Place { machine, chain } = from;
        let to = Place {
            machine,
            chain: chain.sibling(),
        };
        let sent_ms = self.now_ms + self.waits_ms;
        self.send(sent_ms, RING_MS, to, || Event::Sibling(exchange.clone()));
    }

    /// Starts a chain of a machine on what its disk has.
    pub fn open<A: Chain>(&mut self, place: Place) {
        let machine = &mut self.machines[place.machine];
        if machine.is_down || A::slot(&mut machine.nodes).is_some() {
            return;
        }
        *machine.lives.entry(place.chain).or_default() += 1;
        let mut config = machine.config.clone();
        config.trusted = machine.trusted.get(&place.chain).copied();
        let now_ms = self.now_ms - machine.behind_ms;
        match self.with_host(place, |host| Node::<A>::open(config, now_ms, host)) {
            Ok(node) => {
                self.show::<A>(place, node.tip().height);
                self.oracle
                    .supply(node.tip().height, A::leaf(&node.application().view()));
                *A::slot(&mut self.machines[place.machine].nodes) = Some(node);
            }
            Err(fault) => self.fault(place, &fault),
        }
    }

    /// The oracle sees what a machine has committed since it showed something last.
    fn show<A: Chain>(&mut self, place: Place, height: u64) {
        let Place { machine, chain } = place;
        self.oracle.opened(machine, chain, height);
        let from = self
            .oracle
            .shown(machine, chain)
            .map_or(0, |shown| shown + 1);
        for height in from..=height {
            let disk = self.machines[machine].disk.current();
            match ledger::block_at(disk, chain, height) {
                Ok(Some(block)) => self.oracle.committed(machine, chain, &block.block),
                Ok(None) if self.begins_above(place, height) => {}
                other => self.oracle.violated(format!(
                    "{chain} block {height} is not on the disk of machine {machine}: {other:?}"
                )),
            }
        }
    }

    /// Whether a machine that came late has no block of this height, but its header, which the oracle
    /// then sees.
    fn begins_above(&mut self, place: Place, height: u64) -> bool {
        let Place { machine, chain } = place;
        let disk = self.machines[machine].disk.current();
        let header = ledger::header_at(disk, chain, height).ok().flatten();
        let Some(header) = header.filter(|_| self.scenario.comes_late(machine)) else {
            return false;
        };
        self.oracle.has_header(machine, chain, &header);
        true
    }

    fn step<A: Chain>(&mut self, place: Place, input: Input<A>) {
        let Some(mut node) = A::slot(&mut self.machines[place.machine].nodes).take() else {
            return; // Nobody is there to hear it.
        };
        let now_ms = self.now_ms - self.machines[place.machine].behind_ms;
        let mut outputs = Vec::new();
        let stepped = self.with_host(place, |host| node.step(now_ms, input, host, &mut outputs));
        let is_commit = |output: &&Output<A>| matches!(output, Output::Committed { .. });
        if outputs.iter().filter(is_commit).count() > 1 {
            let Place { machine, chain } = place;
            self.oracle.violated(format!(
                "{chain} of machine {machine} was silent over several blocks of one step"
            ));
        }
        match stepped {
            Ok(()) => {
                *A::slot(&mut self.machines[place.machine].nodes) = Some(node);
                outputs
                    .into_iter()
                    .for_each(|output| self.route(place, output));
            }
            Err(fault) => self.fault(place, &fault),
        }
    }

    /// A node has stopped: by the planned death, or by something that must not happen.
    fn fault(&mut self, place: Place, fault: &NodeFault) {
        let Place { machine, chain } = place;
        if self.machines[machine].gate.is_dead {
            self.die(place);
        } else if self.scenario.has_twin(machine) {
            // It finds votes in its log that it has not cast: its validator is two, and that is the
            // end of this one.
            self.machines[machine].is_lost = true;
        } else {
            self.oracle
                .violated(format!("{chain} of machine {machine} stopped: {fault}"));
        }
    }

    fn route<A: Chain>(&mut self, place: Place, output: Output<A>) {
        let Place { machine, chain } = place;
        match output {
            Output::Broadcast { class, bytes } => {
                let second = self.second_vote(place, class, &bytes);
                for to in (0..self.machines.len()).filter(|to| *to != machine) {
                    self.send_network(place, to, class, &bytes);
                    if let Some(second) = &second {
                        self.send_network(place, to, class, second);
                    }
                }
            }
            Output::Relay {
                except,
                class,
                bytes,
            } => {
                for to in 0..self.machines.len() {
                    if to != machine && !except.contains(&peer(to)) {
                        self.send_network(place, to, class, &bytes);
                    }
                }
            }
            Output::Send {
                peer: to,
                class,
                bytes,
            } => {
                let to = usize::from(to[0]);
                self.send_network(place, to, class, &bytes);
            }
            Output::Publish { topic, bytes } => {
                for to in (0..self.machines.len()).filter(|to| *to != machine) {
                    self.send_between(place, to, || Event::Gossip {
                        from: machine,
                        topic,
                        bytes: bytes.clone(),
                    });
                }
            }
            Output::Verdict { verdict, peer, .. } => {
                if let Verdict::Reject(fault) = verdict {
                    let other = peer[0];
                    self.oracle.violated(format!(
                        "{chain} of machine {machine} rejects what machine {other} said: {fault:?}"
                    ));
                }
            }
            // Messages are lost here, so an honest machine may be silent.
            Output::Distrust {
                offence: Offence::Silence,
                ..
            } => {}
            Output::Distrust { peer, offence } => {
                let other = peer[0];
                self.oracle.violated(format!(
                    "{chain} of machine {machine} blames the honest machine {other} for {offence:?}"
                ));
            }
            Output::Sibling(exchange) => self.send_sibling(place, exchange),
            Output::Verify(job) => {
                let life = self.life(place);
                let takes_ms = match self.scenario.verify_max_ms {
                    0 => 0,
                    most => self.random.below(most + 1),
                };
                let after_ms = self.waits_ms + takes_ms;
                self.later(after_ms, place, Event::Verified { life, job });
            }
            Output::Abandon(_) => {}
            Output::Committed { snapshot, .. } => {
                let height = snapshot.status.height;
                self.show::<A>(place, height);
                self.oracle.supply(height, A::leaf(&snapshot.view));
            }
        }
    }

    fn send_network(&mut self, from: Place, to: usize, class: Class, bytes: &[u8]) {
        self.send_between(from, to, || Event::Network {
            from: from.machine,
            class,
            bytes: bytes.to_vec(),
        });
    }

    /// What the equivocator says beside this, as long as troubles last.
    fn second_vote(&self, place: Place, class: Class, bytes: &[u8]) -> Option<Vec<u8>> {
        let is_equivocator = self.scenario.equivocator == Some(place.machine);
        let is_spared = self.scenario.on_alpha_only && place.chain != ChainId::Alpha;
        if !is_equivocator || is_spared || class != Class::Consensus || self.is_quiet {
            return None;
        }
        let key = &self.machines[place.machine].key;
        second_vote(bytes, key, &self.domain(place.chain))
    }

    fn domain(&self, chain: ChainId) -> Domain {
        Domain {
            network_id: self.genesis.network_id,
            chain,
            genesis: self.genesis_hash,
        }
    }

    /// Sends a client's transaction, and checks the answer.
    pub fn submit<A: Chain>(&mut self, place: Place, raw: Vec<u8>) {
        if self.asleep_until_ms(place).is_some() {
            return; // The client waits in vain.
        }
        let verified = A::verify(&A::rules(&self.genesis), &raw);
        let tx = Arc::new(verified.expect("the clients sign valid transactions"));
        let (reply, mut answer) = oneshot::channel();
        self.step::<A>(place, Input::Request(Request::Submit { tx, reply }));
        match answer.try_recv() {
            Ok(Err(error)) if error.code == "NONCE_TOO_LOW" && !self.oracle.is_included(&raw) => {
                let at_ms = self.now_ms - GENESIS_MS;
                self.oracle.violated(format!(
                    "at {at_ms} ms the nonce of a waiting transaction was taken by another: {error}"
                ));
            }
            // Refused for the moment, or nobody was there: the client tries again.
            Ok(_) | Err(_) => {}
        }
    }
}
