//! Who is linked to us on one chain, and what becomes of a second connection of the same pair.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use adnet_common::{chain_id::ChainId, keys::PublicKey};
use quinn::Connection;

use super::{
    Direction, PeerInfo,
    class::Class,
    hello::{Hello, Role},
    identity::PeerId,
    limits::Limits,
    queue::SendQueue,
    refusal::Refusal,
    validators::ValidatorKeys,
};

/// Two connections of a pair, opened from both sides within this time, are taken for crossing
/// dials; later ones for a restart of the peer.
const CROSSING: Duration = Duration::from_secs(3);

/// An authenticated connection that has said an agreeable hello.
pub struct Link {
    pub peer: PeerId,
    pub connection: Connection,
    pub direction: Direction,
    /// The validator key that has proved to belong to this peer. Whether it votes may change.
    pub validator: Option<PublicKey>,
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
            validator: hello.proof.map(|proof| proof.key),
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

    pub fn info(&self, chain: ChainId, role: Role, score: f64) -> PeerInfo {
        let stats = self.connection.stats();
        PeerInfo {
            peer: self.peer,
            chain,
            address: self.connection.remote_address(),
            direction: self.direction,
            role,
            tip_height: self.tip_height.load(Ordering::Relaxed),
            connected_since: self.since,
            round_trip: self.connection.rtt(),
            bytes_in: stats.udp_rx.bytes,
            bytes_out: stats.udp_tx.bytes,
            score,
        }
    }

    /// How long it has been there.
    pub fn age(&self) -> Duration {
        self.established.elapsed()
    }

    fn standing(&self) -> Standing {
        Standing {
            direction: self.direction,
            validator: self.validator,
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

/// What decides whether a peer has a place.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Standing {
    direction: Direction,
    validator: Option<PublicKey>,
}

/// All links of one chain.
pub struct LinkTable {
    us: PeerId,
    /// These always have a place.
    configured: BTreeSet<PeerId>,
    /// So has one peer of each of these.
    validators: ValidatorKeys,
    /// Places for all others: those that dialled in, and those that we have chosen.
    inbound_max: usize,
    outbound_max: usize,
    links: Mutex<BTreeMap<PeerId, Arc<Link>>>,
}

impl LinkTable {
    pub fn new(
        us: PeerId,
        configured: BTreeSet<PeerId>,
        validators: ValidatorKeys,
        limits: &Limits,
    ) -> Self {
        Self {
            us,
            configured,
            validators,
            inbound_max: limits.inbound_max(),
            outbound_max: limits.outbound_peers,
            links: Mutex::default(),
        }
    }

    pub fn is_configured(&self, peer: &PeerId) -> bool {
        self.configured.contains(peer)
    }

    pub fn configured(&self) -> &BTreeSet<PeerId> {
        &self.configured
    }

    /// True if the peer of this link has proved to be a validator that votes at present.
    pub fn is_validator(&self, link: &Link) -> bool {
        link.validator
            .is_some_and(|key| self.validators.contains(&key))
    }

    /// True if the peer has a place whatever strangers do.
    pub fn is_trusted(&self, link: &Link) -> bool {
        self.is_configured(&link.peer) || self.is_validator(link)
    }

    /// False if a link of this peer would be refused whatever it proves in its hello.
    pub fn may_have_place(&self, peer: &PeerId, direction: Direction) -> bool {
        let links = self.lock();
        let standing = Standing {
            direction,
            validator: None,
        };
        if self.place_among(peer, standing, &links) {
            return true;
        }
        let linked = links.values().filter(|link| self.is_validator(link));
        linked.count() < self.validators.count()
    }

    /// Enters a link. Closes the one whose place it takes.
    ///
    /// # Errors
    /// [`Refusal::Duplicate`] or [`Refusal::TooManyPeers`]; the new connection is still open then.
    pub fn admit(&self, link: &Arc<Link>) -> Result<(), Refusal> {
        let mut links = self.lock();
        if !self.place_among(&link.peer, link.standing(), &links) {
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

    /// The links of strangers that we have chosen ourselves, or that have come.
    pub fn strangers(&self, direction: Direction) -> Vec<Arc<Link>> {
        let links = self.lock();
        let of = links.values().filter(|link| link.direction == direction);
        of.filter(|link| !self.is_trusted(link)).cloned().collect()
    }

    fn place_among(
        &self,
        peer: &PeerId,
        standing: Standing,
        links: &BTreeMap<PeerId, Arc<Link>>,
    ) -> bool {
        let others = links
            .iter()
            .filter(|(other, _)| *other != peer)
            .map(|(other, link)| (other, link.standing()));
        self.has_place(peer, standing, others)
    }

    /// Whether there is a place beside the links of other peers.
    fn has_place<'a>(
        &self,
        peer: &PeerId,
        standing: Standing,
        others: impl Iterator<Item = (&'a PeerId, Standing)> + Clone,
    ) -> bool {
        if self.is_configured(peer) {
            return true;
        }
        let votes = |key: &PublicKey| self.validators.contains(key);
        if let Some(key) = standing.validator.filter(votes) {
            // One node per validator: more would let it have as many places as it likes.
            let mut others = others.clone();
            if !others.any(|(_, other)| other.validator == Some(key)) {
                return true;
            }
        }
        let max = match standing.direction {
            Direction::Inbound => self.inbound_max,
            Direction::Outbound => self.outbound_max,
        };
        let strangers = others.filter(|(other, link)| {
            link.direction == standing.direction
                && !self.is_configured(other)
                && !link.validator.as_ref().is_some_and(votes)
        });
        strangers.count() < max
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

    /// A table with two places of each kind, one configured peer and one validator.
    fn table() -> LinkTable {
        let limits = Limits {
            peers_max: 4,
            outbound_peers: 2,
            ..Limits::default()
        };
        let validators = ValidatorKeys::new([PublicKey([7; 32])]);
        LinkTable::new([0; 32], BTreeSet::from([[1; 32]]), validators, &limits)
    }

    fn of(direction: Direction, validator: Option<u8>) -> Standing {
        let validator = validator.map(|key| PublicKey([key; 32]));
        Standing {
            direction,
            validator,
        }
    }

    #[test]
    fn inbound_links_never_fill_the_places_for_outbound_ones() {
        let table = table();
        let strangers: Vec<PeerId> = (10..110).map(|i| [i; 32]).collect();
        let inbound = of(Direction::Inbound, None);
        let mut linked: Vec<(&PeerId, Standing)> = Vec::new();
        for peer in &strangers {
            if table.has_place(peer, inbound, linked.iter().copied()) {
                linked.push((peer, inbound));
            }
        }
        assert_eq!(linked.len(), 2, "the flood has the places of its kind");
        let outbound = of(Direction::Outbound, None);
        for peer in [[200; 32], [201; 32]] {
            assert!(table.has_place(&peer, outbound, linked.iter().copied()));
        }
        // And the other way round.
        let chosen = [(&[200; 32], outbound), (&[201; 32], outbound)];
        assert!(!table.has_place(&[202; 32], outbound, chosen.into_iter()));
        assert!(table.has_place(&[202; 32], inbound, chosen.into_iter()));
    }

    #[test]
    fn configured_peers_and_validators_have_their_places() {
        let table = table();
        let inbound = of(Direction::Inbound, None);
        let full = [(&[10; 32], inbound), (&[11; 32], inbound)];
        assert!(!table.has_place(&[12; 32], inbound, full.into_iter()));
        assert!(table.has_place(&[1; 32], inbound, full.into_iter()));
        let validator = of(Direction::Inbound, Some(7));
        assert!(table.has_place(&[12; 32], validator, full.into_iter()));
        let other_key = of(Direction::Inbound, Some(8));
        assert!(!table.has_place(&[12; 32], other_key, full.into_iter()));
        // A validator has one place, however many peer ids it signs.
        let with = full.into_iter().chain([(&[12; 32], validator)]);
        assert!(!table.has_place(&[13; 32], validator, with));
        // One that votes no more is a stranger.
        table.validators.replace([]);
        assert!(!table.has_place(&[12; 32], validator, full.into_iter()));
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
