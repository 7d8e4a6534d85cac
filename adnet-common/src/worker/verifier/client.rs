//! Clients that wait for what becomes of their transactions, and the room for them.
//!
//! A client keeps its place from the moment it comes until it has its answer, so that the bound holds
//! for what waits to be verified and for what waits for the chain together.

use crate::application::{TxError, VerifiedTx};
use crate::mempool::Admitted;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Transactions of clients on their way, and their bytes.
const CLIENTS_MAX: usize = 8_192;
const BYTES_MAX: usize = 32 << 20;

pub type Reply = oneshot::Sender<Result<Admitted, TxError>>;

/// A client that waits. Dropped, it hears that nobody is left to answer.
pub struct Client {
    pub reply: Reply,
    /// Free again with the answer.
    _place: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl Client {
    pub fn refuse(self, error: TxError) {
        let _ = self.reply.send(Err(error)); // it may have gone away
    }

    /// Whether nobody waits any more.
    pub fn has_left(&self) -> bool {
        self.reply.is_closed()
    }
}

/// A client's verified transaction on its way to the chain.
pub struct Submission<T> {
    pub tx: Arc<VerifiedTx<T>>,
    pub client: Client,
}

/// See the module.
pub struct Room {
    clients: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            clients: Arc::new(Semaphore::new(CLIENTS_MAX)),
            bytes: Arc::new(Semaphore::new(BYTES_MAX)),
        }
    }
}

impl Room {
    /// A client with a transaction so long, if there is room for it.
    pub fn admit(&self, len: usize, reply: Reply) -> Option<Client> {
        let place = Arc::clone(&self.clients).try_acquire_owned().ok()?;
        let len = u32::try_from(len).ok()?;
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(len).ok()?;
        let _place = (place, bytes);
        Some(Client { reply, _place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_so_many_and_so_long_until_they_have_left() {
        let room = Room::default();
        let admit = |len| room.admit(len, oneshot::channel().0);
        let clients: Vec<Client> = (0..CLIENTS_MAX).map_while(|_| admit(100)).collect();
        assert_eq!(clients.len(), CLIENTS_MAX);
        assert!(admit(100).is_none());
        assert!(clients.iter().all(Client::has_left));
        drop(clients);
        assert!(admit(BYTES_MAX + 1).is_none());
        let longest = admit(BYTES_MAX).expect("it is alone");
        assert!(admit(1).is_none());
        longest.refuse(TxError::new("BAD", "bad"));
        assert!(admit(1).is_some());
    }
}
