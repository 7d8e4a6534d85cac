//! Who may begin a handshake: bounds in all and per address, before any cryptography is done.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    identity::PeerId,
    limits::Limits,
    subnet::{host, subnet},
};

/// Handshakes under way at a time.
const HANDSHAKES_MAX: usize = 32;
/// From so many handshakes on, a newcomer must first show that its address is its own, which
/// costs it one round trip and us no memory.
const HANDSHAKES_BEFORE_RETRY: usize = 8;
/// Connections that one key may have on both endpoints together: a link on each, and one more on
/// each that is about to take its place.
const PER_IDENTITY_MAX: usize = 4;

/// Counts things by key, up to a bound for each key. Entries are never zero.
struct Tally<K> {
    counts: Arc<Mutex<BTreeMap<K, usize>>>,
    max: usize,
}

/// One place of a tally, given back when this is dropped.
pub struct Place<K: Ord> {
    key: K,
    counts: Arc<Mutex<BTreeMap<K, usize>>>,
}

impl<K: Ord + Copy> Tally<K> {
    fn new(max: usize) -> Self {
        let counts = Arc::default();
        Self { counts, max }
    }

    fn take(&self, key: K) -> Option<Place<K>> {
        let mut counts = self.counts.lock().expect("no panic under this lock");
        let count = counts.get(&key).copied().unwrap_or(0);
        if count >= self.max {
            return None;
        }
        counts.insert(key, count + 1);
        drop(counts);
        let counts = self.counts.clone();
        Some(Place { key, counts })
    }
}

impl<K: Ord> Drop for Place<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().expect("no panic under this lock");
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

/// The connections of each key, on both chains together. They are known after the handshake only.
pub struct Identities(Tally<PeerId>);

/// One connection's place among those of its key.
pub type IdentityTicket = Place<PeerId>;

impl Default for Identities {
    fn default() -> Self {
        Self(Tally::new(PER_IDENTITY_MAX))
    }
}

impl Identities {
    pub fn take(&self, peer: PeerId) -> Option<IdentityTicket> {
        self.0.take(peer)
    }
}

pub struct Admission {
    handshakes: Arc<Semaphore>,
    addresses: Tally<IpAddr>,
    subnets: Tally<IpAddr>,
}

/// One connection's place among those of its address and of its subnet, for as long as it is kept.
pub struct AddressTicket {
    _address: Place<IpAddr>,
    _subnet: Place<IpAddr>,
}

impl Admission {
    /// Several configured peers may share one address (a data centre, a test), so each adds one to
    /// the caps.
    pub fn new(configured_peers: usize, limits: &Limits) -> Self {
        let cap = |max: usize| limits.unless_private(max.saturating_add(configured_peers));
        Self {
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            addresses: Tally::new(cap(limits.per_address_max)),
            subnets: Tally::new(cap(limits.per_subnet_max)),
        }
    }

    /// True if newcomers must prove their address first.
    pub fn is_crowded(&self) -> bool {
        self.handshakes.available_permits() <= HANDSHAKES_MAX - HANDSHAKES_BEFORE_RETRY
    }

    /// A place for one more handshake, given back when the permit is dropped.
    pub fn begin(&self) -> Option<OwnedSemaphorePermit> {
        self.handshakes.clone().try_acquire_owned().ok()
    }

    /// A place for one more connection from this address.
    pub fn take_address(&self, address: IpAddr) -> Option<AddressTicket> {
        Some(AddressTicket {
            _address: self.addresses.take(host(address))?,
            _subnet: self.subnets.take(subnet(address))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_gets_its_places_back() {
        let limits = Limits::default();
        let admission = Admission::new(1, &limits);
        let one = ip("10.0.0.1");
        let mut tickets: Vec<_> = (0..limits.per_address_max + 1)
            .map(|_| admission.take_address(one).unwrap())
            .collect();
        assert!(admission.take_address(one).is_none());
        assert!(admission.take_address(ip("::ffff:10.0.0.1")).is_none());
        let other = admission.take_address(ip("10.0.0.2"));
        assert!(other.is_some());
        tickets.pop();
        assert!(admission.take_address(one).is_some());
        drop((tickets, other));
        assert!(admission.addresses.counts.lock().unwrap().is_empty());
        assert!(admission.subnets.counts.lock().unwrap().is_empty());
    }

    #[test]
    fn a_subnet_has_a_bound_of_its_own_unless_the_network_is_private() {
        let limits = Limits::default();
        let strict = Admission::new(0, &limits);
        let from = |i: usize| ip(&format!("10.0.0.{i}"));
        let tickets: Vec<_> = (0..100)
            .map_while(|i| strict.take_address(from(i)))
            .collect();
        assert_eq!(tickets.len(), limits.per_subnet_max);
        assert!(strict.take_address(ip("10.0.1.1")).is_some());
        let is_private = true;
        let private = Admission::new(
            0,
            &Limits {
                is_private,
                ..limits
            },
        );
        let tickets: Vec<_> = (0..100)
            .map_while(|_| private.take_address(from(1)))
            .collect();
        assert_eq!(tickets.len(), 100);
    }

    #[test]
    fn a_key_has_a_bound_on_both_chains_together() {
        let identities = Identities::default();
        let tickets: Vec<_> = (0..100).map_while(|_| identities.take([1; 32])).collect();
        assert_eq!(tickets.len(), PER_IDENTITY_MAX);
        assert!(identities.take([2; 32]).is_some());
        drop(tickets);
        assert!(identities.take([1; 32]).is_some());
    }

    #[test]
    fn handshakes_are_bounded() {
        let admission = Admission::new(0, &Limits::default());
        assert!(!admission.is_crowded());
        let places: Vec<_> = std::iter::from_fn(|| admission.begin()).collect();
        assert_eq!(places.len(), HANDSHAKES_MAX);
        assert!(admission.is_crowded());
    }
}
