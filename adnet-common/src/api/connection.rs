//! The connection that a request came on, for what outlives the request: WebSockets.
//!
//! An upgraded connection keeps its place among the connections, sees the same stop as the server, and
//! its messages take from the same rate as requests of its address.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prometheus::IntGauge;
use tokio::sync::watch;

use super::clients::Place;
use super::outgoing::{Outgoing, Room};
use super::rate_limit::{Client, RateLimit};

/// The buckets of one server, if it has a limit.
pub(super) type Rate = Option<Arc<Mutex<RateLimit>>>;

/// Cheap to clone; the connection is over when the last clone is gone.
#[derive(Clone)]
pub(super) struct Connected {
    pub peer: SocketAddr,
    /// How long the client may take for a request, or to take an answer.
    pub patience: Duration,
    stopping: watch::Receiver<bool>,
    rate: Rate,
    outgoing: Outgoing,
    _held: Arc<Held>,
}

struct Held {
    open: IntGauge,
    _place: Place,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.open.dec();
    }
}

impl Connected {
    pub fn new(
        peer: SocketAddr,
        patience: Duration,
        place: Place,
        open: IntGauge,
        rate: Rate,
        outgoing: Outgoing,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        open.inc();
        let held = Held {
            open,
            _place: place,
        };
        Self {
            peer,
            patience,
            stopping,
            rate,
            outgoing,
            _held: Arc::new(held),
        }
    }

    /// Takes a token of the rate.
    ///
    /// # Errors
    /// The time after which there is one.
    pub fn take(&self) -> Result<(), Duration> {
        let Some(rate) = &self.rate else {
            return Ok(());
        };
        let mut rate = rate.lock().expect("nobody panics while taking a token");
        rate.take(Client::from(self.peer.ip()), Instant::now())
    }

    /// Room for an answer to the client, which holds nothing yet.
    pub fn room(&self) -> Room {
        self.outgoing.room(Client::from(self.peer.ip()))
    }

    /// Ends when the server stops.
    pub async fn stopped(&mut self) {
        // Without a sender nobody can stop it any more, and it is over as well.
        let _ = self.stopping.wait_for(|stop| *stop).await;
    }
}
