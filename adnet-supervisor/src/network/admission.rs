//! Who may begin a handshake: bounds in all and per address, before any cryptography is done.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Handshakes under way at a time.
const HANDSHAKES_MAX: usize = 32;
/// From so many handshakes on, a newcomer must first show that its address is its own, which
/// costs it one round trip and us no memory.
const HANDSHAKES_BEFORE_RETRY: usize = 8;
/// Connections from one address, beside those that configured peers may need.
const PER_ADDRESS_MAX: usize = 8;

pub struct Admission {
    handshakes: Arc<Semaphore>,
    per_address_max: usize,
    /// Connections by address. Entries are never zero.
    addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection's place among those of its address, for as long as it is kept.
pub struct AddressTicket {
    address: IpAddr,
    addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Admission {
    /// Several configured peers may share one address (a data centre, a test), so each adds one to
    /// the cap.
    pub fn new(configured_peers: usize) -> Self {
        Self {
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            per_address_max: PER_ADDRESS_MAX + configured_peers,
            addresses: Arc::default(),
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
        let address = owner_of(address);
        let mut addresses = self.addresses.lock().expect("no panic under this lock");
        let count = addresses.get(&address).copied().unwrap_or(0);
        if count >= self.per_address_max {
            return None;
        }
        addresses.insert(address, count + 1);
        drop(addresses);
        Some(AddressTicket {
            address,
            addresses: self.addresses.clone(),
        })
    }
}

impl Drop for AddressTicket {
    fn drop(&mut self) {
        let mut addresses = self.addresses.lock().expect("no panic under this lock");
        match addresses.get(&self.address).copied() {
            Some(count) if count > 1 => {
                addresses.insert(self.address, count - 1);
            }
            _ => {
                addresses.remove(&self.address);
            }
        }
    }
}

/// What one host can have at will counts as one: an IPv6 host has a /64 (RFC 6177).
fn owner_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let prefix = v6.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_its_places_back() {
        let admission = Admission::new(1);
        let one: IpAddr = "10.0.0.1".parse().unwrap();
        let mut tickets: Vec<_> = (0..PER_ADDRESS_MAX + 1)
            .map(|_| admission.take_address(one).unwrap())
            .collect();
        assert!(admission.take_address(one).is_none());
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        assert!(admission.take_address(mapped).is_none());
        let other = admission.take_address("10.0.0.2".parse().unwrap());
        assert!(other.is_some());
        tickets.pop();
        assert!(admission.take_address(one).is_some());
        drop((tickets, other));
        assert!(admission.addresses.lock().unwrap().is_empty());
    }

    #[test]
    fn an_ipv6_host_is_its_subnet() {
        let host = |text: &str| owner_of(text.parse().unwrap());
        assert_eq!(host("2001:db8:0:1::1"), host("2001:db8:0:1:ffff::2"));
        assert_ne!(host("2001:db8:0:1::1"), host("2001:db8:0:2::1"));
    }

    #[test]
    fn handshakes_are_bounded() {
        let admission = Admission::new(0);
        assert!(!admission.is_crowded());
        let places: Vec<_> = std::iter::from_fn(|| admission.begin()).collect();
        assert_eq!(places.len(), HANDSHAKES_MAX);
        assert!(admission.is_crowded());
    }
}
