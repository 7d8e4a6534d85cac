//! Who is linked to us on one chain, and what becomes of a second connection of the same pair.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use adnet_common::chain_id::ChainId;
use quinn::Connection;

use super::{
    Direction, PeerInfo,
    class::Class,
    hello::{Hello, Role},
    identity::PeerId,
    queue::SendQueue,
    refusal::Refusal,
};

/// Two connections of a pair, opened from both sides within this time, are taken for crossing
/// dials; later ones for a restart of the peer.
const CROSSING: Duration = Duration::from_secs(3);

/// An authenticated connection that has said an agreeable hello.
pub struct Link {
    pub peer: PeerId,
    pub connection: Connection,
    pub direction: Direction,
    role: Role,
    /// When the handshake ended.
    established: Instant,
    since: SystemTime,
    tip_height: AtomicU64,
    /// One per class, by [`Class::index`].
    queues: [SendQueue; Class::ALL.len()],
}

impl Link {
    pub fn new(
        peer: PeerId,
        connection: Connection,
        direction: Direction,
        hello: &Hello,
        established: Instant,
    ) -> Self {
        Self {
            peer,
            connection,
            direction,
            role: hello.role,
            established,
            since: SystemTime::now(),
            tip_height: AtomicU64::new(hello.tip_height),
            queues: Class::ALL.map(SendQueue::new),
        }
    }

    pub fn queue(&self, class: Class) -> &SendQueue {
        &self.queues[class.index()]
    }

    pub fn set_tip(&self, height: u64) {
        self.tip_height.store(height, Ordering::Relaxed);
    }

    pub fn info(&self, chain: ChainId, score: f64) -> PeerInfo {
        let stats = self.connection.stats();
        PeerInfo {
            peer: self.peer,
            chain,
            address: self.connection.remote_address(),
            direction: self.direction,
            role: self.role,
            tip_height: self.tip_height.load(Ordering::Relaxed),
            connected_since: self.since,
            round_trip: self.connection.rtt(),
            bytes_in: stats.udp_rx.bytes,
            bytes_out: stats.udp_tx.bytes,
            score,
        }
    }

    fn claim(&self, us: PeerId) -> Claim {
        let initiator = match self.direction {
            Direction::Outbound => us,
            Direction::Inbound => self.peer,
        };
        Claim {
            initiator,
            established: self.established,
        }
    }
}

/// The facts about a connection that decide between two.
#[derive(Copy, Clone)]
struct Claim {
    initiator: PeerId,
    established: Instant,
}

/// True if the new connection takes the old one's place. Both ends come to the same result, in
/// whatever order they see the handshakes: of two crossing dials that of the smaller key stays; in
/// all other cases the old connection is the leftover of a peer that restarted.
fn replaces(new: Claim, old: Claim) -> bool {
    let apart = match new.established > old.established {
        true => new.established - old.established,
        false => old.established - new.established,
    };
    let crossing = old.initiator != new.initiator && apart < CROSSING;
    !crossing || new.initiator < old.initiator
}

/// All links of one chain.
pub struct LinkTable {
    us: PeerId,
    /// These always have a place.
    configured: BTreeSet<PeerId>,
    /// Places for all others together.
    unknown_max: usize,
    links: Mutex<BTreeMap<PeerId, Arc<Link>>>,
}

impl LinkTable {
    pub fn new(us: PeerId, configured: BTreeSet<PeerId>, peers_max: usize) -> Self {
        let unknown_max = peers_max.saturating_sub(configured.len());
        Self {
            us,
            configured,
            unknown_max,
            links: Mutex::default(),
        }
    }

    pub fn is_configured(&self, peer: &PeerId) -> bool {
        self.configured.contains(peer)
    }

    /// True if a link to this peer would be taken in at present.
    pub fn has_place(&self, peer: &PeerId) -> bool {
        self.place_among(peer, &self.lock())
    }

    /// Enters a link. Closes the one whose place it takes.
    ///
    /// # Errors
    /// [`Refusal::Duplicate`] or [`Refusal::TooManyPeers`]; the new connection is still open then.
    pub fn admit(&self, link: &Arc<Link>) -> Result<(), Refusal> {
        let mut links = self.lock();
        if !self.place_among(&link.peer, &links) {
            return Err(Refusal::TooManyPeers);
        }
        // A connection known to be dead has no say.
        let rival = links.get(&link.peer);
        let rival = rival.filter(|old| old.connection.close_reason().is_none());
        if rival.is_some_and(|old| !replaces(link.claim(self.us), old.claim(self.us))) {
            return Err(Refusal::Duplicate);
        }
        let old = links.insert(link.peer, link.clone());
        drop(links);
        if let Some(old) = old {
            Refusal::Duplicate.close(&old.connection);
        }
        Ok(())
    }

    /// Takes a link out, unless another has taken its place.
    pub fn forget(&self, link: &Arc<Link>) {
        let mut links = self.lock();
        let current = links.get(&link.peer);
        if current.is_some_and(|current| Arc::ptr_eq(current, link)) {
            links.remove(&link.peer);
        }
    }

    pub fn get(&self, peer: &PeerId) -> Option<Arc<Link>> {
        self.lock().get(peer).cloned()
    }

    /// In the order of peer ids.
    pub fn all(&self) -> Vec<Arc<Link>> {
        self.lock().values().cloned().collect()
    }

    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn place_among(&self, peer: &PeerId, links: &BTreeMap<PeerId, Arc<Link>>) -> bool {
        let unknown = |peer: &&PeerId| !self.is_configured(peer);
        self.is_configured(peer)
            || links.contains_key(peer)
            || links.keys().filter(unknown).count() < self.unknown_max
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PeerId, Arc<Link>>> {
        self.links.lock().expect("no code panics under this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_keep_the_same_of_two_crossing_dials() {
        let now = Instant::now();
        let claim = |key, established| Claim {
            initiator: [key; 32],
            established,
        };
        let later = now + CROSSING / 2;
        for (a, b) in [(now, later), (later, now), (now, now)] {
            assert!(!replaces(claim(2, a), claim(1, b)));
            assert!(replaces(claim(1, a), claim(2, b)));
        }
    }

    #[test]
    fn a_restarted_peer_takes_the_place_of_its_former_self() {
        let now = Instant::now();
        let old = Claim {
            initiator: [1; 32],
            established: now,
        };
        let dialled_back = Claim {
            initiator: [2; 32],
            established: now + CROSSING,
        };
        assert!(replaces(dialled_back, old));
        let dialled_again = Claim {
            established: now + CROSSING / 2,
            ..old
        };
        assert!(replaces(dialled_again, old));
    }
}
