//! A worker's ends of its rings: mapped before it enters its sandbox, attached once it is the worker
//! of its chain. A standby lives between the two.

use super::launch::{Launch, RingEnd, WorkerRings};
use super::pulse::{BEAT_EVERY_MS, STATE_WAITING};
use crate::chain_id::ChainId;
use crate::hash::Hash;
use crate::ipc::{Receiver, Remote, Sender};
use crate::messages::SCHEMA_HASH;
use adnet_shm::{Heartbeat, MappedConsumer, MappedHeartbeat, MappedProducer, RingExpect, ShmError};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// A worker cannot join its supervisor.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error(
        "this worker and its supervisor are of different builds: message schema {ours} here, {theirs} there"
    )]
    Schema { ours: Hash, theirs: Hash },
    #[error("ring {name}: {error}")]
    Ring { name: String, error: ShmError },
    #[error("a doorbell cannot be duplicated: {0}")]
    Doorbell(std::io::Error),
}

/// See the module.
pub struct Links {
    /// Reads, commits and signatures of the chain's own thread.
    pub(super) data: Remote,
    /// Reads of the API's threads.
    pub(super) query: Arc<Remote>,
    /// To and from the other chain, where it runs.
    pub(super) attest: Option<(Sender, Receiver)>,
    pub(super) supervisor: SupervisorLinks,
}

/// What the chain's loop itself reads and writes.
pub(super) struct SupervisorLinks {
    pub control_up: Sender,
    pub control_down: Receiver,
    pub network_up: Sender,
    pub network_down: Receiver,
    pub heartbeat: Arc<Heartbeat>,
    /// Rung by everybody who has something for the chain's thread; see [`Links::set_doorbell`].
    pub doorbell: Option<OwnedFd>,
}

/// All segments of a worker, mapped. Nothing is read or written in them.
pub struct MappedLinks {
    data: (MappedProducer, MappedConsumer),
    query: (MappedProducer, MappedConsumer),
    control: (MappedProducer, MappedConsumer),
    network: (MappedProducer, MappedConsumer),
    attest: Option<(MappedProducer, MappedConsumer)>,
    heartbeat: MappedHeartbeat,
}

impl MappedLinks {
    /// Maps every segment that `launch` names and leaves no descriptor.
    ///
    /// # Errors
    /// Another build's messages, and segments that are not as they should be.
    pub fn map(launch: &Launch) -> Result<Self, JoinError> {
        let (ours, theirs) = (Hash(SCHEMA_HASH), launch.schema_hash);
        if ours != theirs {
            return Err(JoinError::Schema { ours, theirs });
        }
        let rings = &launch.rings;
        let attest = match (&rings.attest_out, &rings.attest_in) {
            (Some(out), Some(input)) => Some(both(out, input)?),
            _ => None,
        };
        let beat = &rings.heartbeat;
        let heartbeat = MappedHeartbeat::open(&beat.name, beat.ring_id);
        Ok(Self {
            data: both(&rings.data_up, &rings.data_down)?,
            query: both(&rings.query_up, &rings.query_down)?,
            control: both(&rings.control_up, &rings.control_down)?,
            network: both(&rings.network_up, &rings.network_down)?,
            attest,
            heartbeat: heartbeat.map_err(named(beat))?,
        })
    }

    /// Attaches to them, as the worker of `chain` in its life number `incarnation`, under the epochs in
    /// `rings`. Opens nothing.
    ///
    /// # Errors
    /// `Ring` where an epoch is stale or what a ring says of itself cannot be.
    pub fn join(
        self,
        chain: ChainId,
        incarnation: u32,
        rings: &WorkerRings,
    ) -> Result<Links, JoinError> {
        let remote = |(up, down): (MappedProducer, MappedConsumer), ends: (&RingEnd, &RingEnd)| {
            let (requests, answers) = (sender(up, ends.0)?, receiver(down, ends.1)?);
            Ok(Remote::new(chain, requests, answers, incarnation))
        };
        let attest = match (self.attest, &rings.attest_out, &rings.attest_in) {
            (Some((out, input)), Some(to_sibling), Some(from_sibling)) => {
                Some((sender(out, to_sibling)?, receiver(input, from_sibling)?))
            }
            _ => None,
        };
        let beat = &rings.heartbeat;
        let heartbeat = self.heartbeat.attach(beat.epoch).map_err(named(beat))?;
        let heartbeat = Arc::new(heartbeat);
        // The supervisor knows by itself how long it has not answered, so this wait is no hang.
        let waiting = Arc::clone(&heartbeat);
        let every = Duration::from_millis(BEAT_EVERY_MS);
        let data = remote(self.data, (&rings.data_up, &rings.data_down))?;
        let query = remote(self.query, (&rings.query_up, &rings.query_down))?;
        Ok(Links {
            data: data.while_waiting(every, move || waiting.count(STATE_WAITING)),
            query: Arc::new(query),
            attest,
            supervisor: SupervisorLinks {
                control_up: sender(self.control.0, &rings.control_up)?,
                control_down: receiver(self.control.1, &rings.control_down)?,
                network_up: sender(self.network.0, &rings.network_up)?,
                network_down: receiver(self.network.1, &rings.network_down)?,
                heartbeat,
                doorbell: None,
            },
        })
    }
}

impl Links {
    /// Maps every segment that `launch` names and attaches to it at once.
    ///
    /// # Errors
    /// Those of both steps.
    pub fn join(launch: &Launch) -> Result<Self, JoinError> {
        MappedLinks::map(launch)?.join(launch.chain, launch.incarnation, &launch.rings)
    }

    /// The pulse that this worker shows.
    pub fn heartbeat(&self) -> &Arc<Heartbeat> {
        &self.supervisor.heartbeat
    }

    /// Sets the eventfd that wakes this worker's chain thread.
    pub fn set_doorbell(&mut self, doorbell: OwnedFd) -> Result<(), JoinError> {
        let duplicate = || doorbell.try_clone().map_err(JoinError::Doorbell);
        let links = &mut self.supervisor;
        links.control_down.ring().set_doorbell(duplicate()?);
        links.network_down.ring().set_doorbell(duplicate()?);
        links.doorbell = Some(doorbell);
        Ok(())
    }
}

fn expect(end: &RingEnd) -> RingExpect {
    RingExpect {
        ring_id: end.ring_id,
        schema_hash: SCHEMA_HASH,
    }
}

fn named(end: &RingEnd) -> impl FnOnce(ShmError) -> JoinError {
    let name = end.name.clone();
    move |error| JoinError::Ring { name, error }
}

/// Maps the two rings of a link.
fn both(out: &RingEnd, input: &RingEnd) -> Result<(MappedProducer, MappedConsumer), JoinError> {
    let producer = MappedProducer::open(&out.name, &expect(out)).map_err(named(out))?;
    let consumer = MappedConsumer::open(&input.name, &expect(input)).map_err(named(input))?;
    Ok((producer, consumer))
}

fn sender(mapped: MappedProducer, end: &RingEnd) -> Result<Sender, JoinError> {
    Ok(Sender::new(mapped.attach(end.epoch).map_err(named(end))?))
}

fn receiver(mapped: MappedConsumer, end: &RingEnd) -> Result<Receiver, JoinError> {
    Ok(Receiver::new(mapped.attach(end.epoch).map_err(named(end))?))
}
