//! Places for connections: a bound for all, and half of it for one address.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::rate_limit::Client;

/// The open connections of one server.
#[derive(Clone)]
pub(super) struct Connections {
    places: Arc<Semaphore>,
    per_client: Arc<Mutex<BTreeMap<Client, u64>>>,
    per_client_max: u64,
    max: u32,
}

/// A connection's place. Dropping it makes room.
pub(super) struct Place {
    connections: Connections,
    client: Client,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn new(max: u64) -> Self {
        let bounded = max.clamp(1, Semaphore::MAX_PERMITS as u64);
        Self {
            places: Arc::new(Semaphore::new(bounded as usize)),
            per_client: Arc::default(),
            per_client_max: (bounded / 2).max(1),
            max: u32::try_from(bounded).unwrap_or(u32::MAX),
        }
    }

    /// Waits until there is room for one more connection.
    pub(super) async fn room(&self) -> OwnedSemaphorePermit {
        let permit = Arc::clone(&self.places).acquire_owned().await;
        permit.expect("the semaphore is never closed")
    }

    /// Waits until nobody has a place.
    pub(super) async fn all_free(&self) {
        let all = self.places.acquire_many(self.max).await;
        drop(all.expect("the semaphore is never closed"));
    }

    /// A place for `client`, if there is one at once.
    pub(super) fn try_place(&self, client: Client) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        self.admit(client, permit)
    }

    /// Gives `client` the place, unless it holds too many already.
    pub(super) fn admit(&self, client: Client, permit: OwnedSemaphorePermit) -> Option<Place> {
        let mut per_client = self.lock();
        let held = per_client.entry(client).or_default();
        if *held >= self.per_client_max {
            return None;
        }
        *held += 1;
        Some(Place {
            connections: self.clone(),
            client,
            _permit: permit,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Client, u64>> {
        self.per_client
            .lock()
            .expect("nobody panics while counting connections")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut per_client = self.connections.lock();
        if let Some(held) = per_client.get_mut(&self.client) {
            *held -= 1;
            if *held == 0 {
                per_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_address_gets_half_and_gives_back_what_it_drops() {
        let connections = Connections::new(4);
        let (a, b) = (Client::V4([1; 4]), Client::V4([2; 4]));
        let first = connections
            .admit(a, connections.room().await)
            .expect("room");
        let _second = connections
            .admit(a, connections.room().await)
            .expect("room");
        assert!(connections.admit(a, connections.room().await).is_none());
        let _other = connections
            .admit(b, connections.room().await)
            .expect("another address");
        drop(first);
        assert!(connections.admit(a, connections.room().await).is_some());
    }
}
