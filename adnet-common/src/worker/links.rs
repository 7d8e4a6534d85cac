//! A worker's ends of its rings, attached before it enters its sandbox.

use super::launch::{Launch, RingEnd};
use super::pulse::{BEAT_EVERY_MS, STATE_WAITING};
use crate::hash::Hash;
use crate::ipc::{Receiver, Remote, Sender};
use crate::messages::SCHEMA_HASH;
use adnet_shm::{Consumer, Heartbeat, Producer, RingExpect, ShmError};
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

impl Links {
    /// Attaches every ring and leaves no descriptor.
    pub fn join(launch: &Launch) -> Result<Self, JoinError> {
        let (ours, theirs) = (Hash(SCHEMA_HASH), launch.schema_hash);
        if ours != theirs {
            return Err(JoinError::Schema { ours, theirs });
        }
        let rings = &launch.rings;
        let attest = match (&rings.attest_out, &rings.attest_in) {
            (Some(to_sibling), Some(from_sibling)) => {
                let (out, input) = (producer(to_sibling)?, consumer(from_sibling)?);
                Some((Sender::new(out), Receiver::new(input)))
            }
            _ => None,
        };
        let remote = |up: &RingEnd, down: &RingEnd| {
            let (requests, answers) = (Sender::new(producer(up)?), Receiver::new(consumer(down)?));
            Ok(Remote::new(
                launch.chain,
                requests,
                answers,
                launch.incarnation,
            ))
        };
        let beat = &rings.heartbeat;
        let heartbeat = Heartbeat::attach(&beat.name, beat.ring_id, beat.epoch);
        let heartbeat = Arc::new(heartbeat.map_err(|error| named(beat, error))?);
        // The supervisor knows by itself how long it has not answered, so this wait is no hang.
        let waiting = Arc::clone(&heartbeat);
        let every = Duration::from_millis(BEAT_EVERY_MS);
        let data = remote(&rings.data_up, &rings.data_down)?;
        Ok(Self {
            data: data.while_waiting(every, move || waiting.count(STATE_WAITING)),
            query: Arc::new(remote(&rings.query_up, &rings.query_down)?),
            attest,
            supervisor: SupervisorLinks {
                control_up: Sender::new(producer(&rings.control_up)?),
                control_down: Receiver::new(consumer(&rings.control_down)?),
                network_up: Sender::new(producer(&rings.network_up)?),
                network_down: Receiver::new(consumer(&rings.network_down)?),
                heartbeat,
                doorbell: None,
            },
        })
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

fn named(end: &RingEnd, error: ShmError) -> JoinError {
    let name = end.name.clone();
    JoinError::Ring { name, error }
}

fn producer(end: &RingEnd) -> Result<Producer, JoinError> {
    Producer::attach(&end.name, &expect(end), end.epoch).map_err(|error| named(end, error))
}

fn consumer(end: &RingEnd) -> Result<Consumer, JoinError> {
    Consumer::attach(&end.name, &expect(end), end.epoch).map_err(|error| named(end, error))
}
