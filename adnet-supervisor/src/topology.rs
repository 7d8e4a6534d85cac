//! The one picture of all processes of a node and of every ring between them.
//!
//! ```text
//!                 ┌───────────────── SUPERVISOR ─────────────────┐
//!                 │ store · signer · QUIC · metrics · sockets    │
//!                 └──┬───┬───┬───┬──────────────────┬───┬───┬───┬┘
//!   data  (up, down) │   │   │   │                  │   │   │   │   commits, reads, signatures
//!   query (up, down)─────┘   │   │                  │   │   │   │   reads of the API's threads
//!   control (up, down)───────┘   │                  │   │   │   │   ready, progress, metrics, stop
//!   network (up, down)───────────┘                  │   │   │   │   messages to and from peers
//!                 ┌──┴───────────┐ attest (a→d) ┌───┴───┴───┴───┴┐
//!                 │ ALPHA WORKER │ ───────────▶ │  DELTA WORKER  │
//!                 │ API on 3030  │ ◀─────────── │  API on 4030   │
//!                 └──────────────┘ attest (d→a) └────────────────┘
//! ```
//!
//! Each arrow is one ring with one producer and one consumer. The supervisor creates all of them
//! and owns their memory; a restarted worker attaches to the same rings under a new epoch. Each
//! worker also has a heartbeat segment, a lifetime pipe and one doorbell (an eventfd that everybody
//! rings who has something for its chain thread).

use adnet_common::chain_id::ChainId;
use adnet_common::ipc::{Receiver, Sender};
use adnet_common::messages::SCHEMA_HASH;
use adnet_common::worker::{RingEnd, WorkerRings};
use adnet_shm::{
    Consumer, HeartbeatSegment, Producer, RingExpect, RingSpec, Segment, ShmError, Side,
    new_doorbell,
};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

/// Segments of nodes begin with this; the pid of the supervisor follows.
pub const SEGMENT_PREFIX: &str = "adnet-";

/// One end of a link.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    Supervisor,
    Worker(ChainId),
}

/// What a ring carries.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    Data,
    Query,
    Control,
    Network,
    Attest,
}

/// One ring.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RingPlan {
    pub link: Link,
    pub from: Party,
    pub to: Party,
    /// Bytes; the largest message in one piece is an eighth of it.
    pub capacity: usize,
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The rings between the supervisor and one worker.
fn worker_rings(chain: ChainId) -> [RingPlan; 8] {
    let (s, w) = (Party::Supervisor, Party::Worker(chain));
    let ring = |link, from, to, capacity| RingPlan {
        link,
        from,
        to,
        capacity,
    };
    [
        ring(Link::Data, w, s, 2 * MIB),
        ring(Link::Data, s, w, 2 * MIB),
        ring(Link::Query, w, s, 256 * KIB),
        ring(Link::Query, s, w, 2 * MIB),
        ring(Link::Control, w, s, MIB),
        ring(Link::Control, s, w, 512 * KIB),
        ring(Link::Network, w, s, 2 * MIB),
        ring(Link::Network, s, w, 2 * MIB),
    ]
}

/// All rings of a node that runs `chains`.
pub fn rings(chains: &[ChainId]) -> Vec<RingPlan> {
    let mut plans: Vec<RingPlan> = chains.iter().flat_map(|c| worker_rings(*c)).collect();
    if chains.len() == ChainId::ALL.len() {
        for chain in ChainId::ALL {
            plans.push(RingPlan {
                link: Link::Attest,
                from: Party::Worker(chain),
                to: Party::Worker(chain.sibling()),
                capacity: MIB,
            });
        }
    }
    plans
}

impl RingPlan {
    /// Names the ring within its node: link, then the ends.
    fn id(&self) -> u32 {
        let party = |p: Party| match p {
            Party::Supervisor => 0,
            Party::Worker(chain) => u32::from(chain.as_byte()),
        };
        (self.link as u32 + 1) << 16 | party(self.from) << 8 | party(self.to)
    }

    fn name(&self) -> String {
        let party = |p: Party| match p {
            Party::Supervisor => "supervisor",
            Party::Worker(chain) => chain.name(),
        };
        let link = match self.link {
            Link::Data => "data",
            Link::Query => "query",
            Link::Control => "control",
            Link::Network => "network",
            Link::Attest => "attest",
        };
        format!("{link}-{}-{}", party(self.from), party(self.to))
    }

    /// The side on which `party` is, if it is at this ring at all.
    pub fn side_of(&self, party: Party) -> Option<Side> {
        if self.from == party {
            Some(Side::Producer)
        } else if self.to == party {
            Some(Side::Consumer)
        } else {
            None
        }
    }
}

struct Ring {
    plan: RingPlan,
    segment: Segment,
}

/// The created rings, heartbeats and doorbells of a running node.
pub struct Topology {
    rings: Vec<Ring>,
    heartbeats: BTreeMap<ChainId, HeartbeatSegment>,
    doorbells: BTreeMap<ChainId, OwnedFd>,
}

/// The supervisor's ends of one worker's links.
pub struct SupervisorEnds {
    pub data: (Receiver, Sender),
    pub query: (Receiver, Sender),
    pub control: (Receiver, Sender),
    pub network: (Receiver, Sender),
}

impl Topology {
    /// Creates everything for a node that runs `chains`. What is created is removed again if
    /// something fails.
    ///
    /// # Errors
    /// `NoSpace` when /dev/shm cannot hold the rings.
    pub fn create(chains: &[ChainId], build_id: [u8; 16]) -> Result<Self, ShmError> {
        let pid = std::process::id();
        let mut heartbeats = BTreeMap::new();
        let mut doorbells = BTreeMap::new();
        for chain in chains {
            let name = format!("{SEGMENT_PREFIX}{pid}-heartbeat-{chain}");
            let id = u32::from(chain.as_byte());
            heartbeats.insert(*chain, HeartbeatSegment::create(&name, id, build_id)?);
            doorbells.insert(*chain, new_doorbell()?);
        }
        let mut created = Vec::new();
        for plan in rings(chains) {
            let segment = Segment::create(&RingSpec {
                name: format!("{SEGMENT_PREFIX}{pid}-{}", plan.name()),
                ring_id: plan.id(),
                capacity: plan.capacity,
                schema_hash: SCHEMA_HASH,
                build_id,
            })?;
            created.push(Ring { plan, segment });
        }
        Ok(Self {
            rings: created,
            heartbeats,
            doorbells,
        })
    }

    fn ring(&self, link: Link, from: Party, to: Party) -> Option<&Ring> {
        let is_it = |r: &&Ring| r.plan.link == link && r.plan.from == from && r.plan.to == to;
        self.rings.iter().find(is_it)
    }

    fn end(&self, link: Link, from: Party, to: Party, side: Side) -> Option<RingEnd> {
        let ring = self.ring(link, from, to)?;
        Some(RingEnd {
            name: ring.segment.name().to_owned(),
            ring_id: ring.plan.id(),
            epoch: ring.segment.epoch(side),
        })
    }

    /// The ends of a worker, at their present epochs.
    pub fn worker_rings(&self, chain: ChainId) -> WorkerRings {
        let (s, w) = (Party::Supervisor, Party::Worker(chain));
        let sibling = Party::Worker(chain.sibling());
        let up = |link| {
            let end = self.end(link, w, s, Side::Producer);
            end.expect("each worker has all links")
        };
        let down = |link| {
            let end = self.end(link, s, w, Side::Consumer);
            end.expect("each worker has all links")
        };
        let heartbeat = self.heartbeat(chain);
        WorkerRings {
            data_up: up(Link::Data),
            data_down: down(Link::Data),
            query_up: up(Link::Query),
            query_down: down(Link::Query),
            control_up: up(Link::Control),
            control_down: down(Link::Control),
            network_up: up(Link::Network),
            network_down: down(Link::Network),
            attest_out: self.end(Link::Attest, w, sibling, Side::Producer),
            attest_in: self.end(Link::Attest, sibling, w, Side::Consumer),
            heartbeat: RingEnd {
                name: heartbeat.name().to_owned(),
                ring_id: u32::from(chain.as_byte()),
                epoch: heartbeat.epoch(),
            },
        }
    }

    /// Attaches the supervisor to its ends of a worker's links. Once per chain.
    pub fn supervisor_ends(&self, chain: ChainId) -> Result<SupervisorEnds, ShmError> {
        let (s, w) = (Party::Supervisor, Party::Worker(chain));
        let both = |link| {
            let up = self.ring(link, w, s).expect("each worker has all links");
            let down = self.ring(link, s, w).expect("each worker has all links");
            let receiver = consumer(up)?;
            let mut sender = producer(down)?;
            let bell = self.doorbell(chain).try_clone_to_owned();
            sender.set_doorbell(bell.map_err(|source| ShmError::Os {
                operation: "duplicate the doorbell",
                name: down.plan.name(),
                source,
            })?);
            Ok::<_, ShmError>((Receiver::new(receiver), Sender::new(sender)))
        };
        Ok(SupervisorEnds {
            data: both(Link::Data)?,
            query: both(Link::Query)?,
            control: both(Link::Control)?,
            network: both(Link::Network)?,
        })
    }

    pub fn heartbeat(&self, chain: ChainId) -> &HeartbeatSegment {
        self.heartbeats
            .get(&chain)
            .expect("a wanted chain has a heartbeat")
    }

    /// The eventfd of a worker's chain thread.
    pub fn doorbell(&self, chain: ChainId) -> std::os::fd::BorrowedFd<'_> {
        self.doorbells
            .get(&chain)
            .expect("a wanted chain has a doorbell")
            .as_fd()
    }

    /// Whether the worker of the present epoch has come so far as to attach. One that has not can have
    /// read nothing.
    pub fn has_begun(&self, chain: ChainId) -> bool {
        let heartbeat = self.heartbeat(chain);
        heartbeat.read().epoch == heartbeat.epoch()
    }

    /// Fences off a worker that is known to be gone: new epochs on all its ends, so that nothing
    /// that held them can write any more, and a wake for everybody who may have waited for it.
    ///
    /// Returns what is wrong with rings that do not pass their audit.
    pub fn fence(&self, chain: ChainId) -> Vec<(String, ShmError)> {
        let worker = Party::Worker(chain);
        self.heartbeat(chain).bump_epoch();
        let mut broken = Vec::new();
        for ring in &self.rings {
            if let Some(side) = ring.plan.side_of(worker) {
                ring.segment.bump_epoch(side);
                if let Err(error) = ring.segment.recover() {
                    broken.push((ring.plan.name(), error));
                }
            }
        }
        broken
    }

    /// The rings that feed a worker with inputs of others, to look for what it died on.
    pub fn inputs(&self, chain: ChainId) -> Vec<InputRing> {
        let worker = Party::Worker(chain);
        let feeds =
            |r: &&Ring| r.plan.to == worker && matches!(r.plan.link, Link::Network | Link::Attest);
        let input = |r: &Ring| InputRing {
            name: r.segment.name().to_owned(),
            expect: expect(&r.plan),
            epoch: r.segment.epoch(Side::Consumer),
        };
        self.rings.iter().filter(feeds).map(input).collect()
    }
}

/// A ring whose consumer is dead, open for a look at its oldest record.
pub struct InputRing {
    name: String,
    expect: RingExpect,
    epoch: u32,
}

impl InputRing {
    /// Kind and bytes of the oldest record that was not released, if there is one. `take` says
    /// whether it is to be released.
    pub fn oldest(
        &self,
        take: impl FnOnce(u16, &[u8]) -> bool,
    ) -> Result<bool, adnet_shm::ShmError> {
        let mut ring = Consumer::attach(&self.name, &self.expect, self.epoch)?;
        let Ok(Some(record)) = ring.try_recv() else {
            return Ok(false);
        };
        let taken = take(record.kind, record.payload());
        if taken {
            record.release();
        }
        Ok(taken)
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

fn expect(plan: &RingPlan) -> RingExpect {
    RingExpect {
        ring_id: plan.id(),
        schema_hash: SCHEMA_HASH,
    }
}

fn producer(ring: &Ring) -> Result<Producer, ShmError> {
    let epoch = ring.segment.epoch(Side::Producer);
    Producer::attach(ring.segment.name(), &expect(&ring.plan), epoch)
}

fn consumer(ring: &Ring) -> Result<Consumer, ShmError> {
    let epoch = ring.segment.epoch(Side::Consumer);
    Consumer::attach(ring.segment.name(), &expect(&ring.plan), epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ring_has_a_name_and_number_of_its_own() {
        let plans = rings(&ChainId::ALL);
        assert_eq!(plans.len(), 18);
        for (i, a) in plans.iter().enumerate() {
            for b in &plans[..i] {
                assert!(a.id() != b.id() && a.name() != b.name());
            }
            assert!(a.capacity.is_power_of_two());
        }
    }

    #[test]
    fn one_chain_alone_has_nobody_to_attest_to() {
        assert!(
            rings(&[ChainId::Delta])
                .iter()
                .all(|r| r.link != Link::Attest)
        );
    }
}
