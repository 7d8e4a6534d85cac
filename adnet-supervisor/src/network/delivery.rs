//! From the links of one chain to its receiver: four lanes on a plain thread. Consensus and blocks
//! are bounded in bytes here, announcements and transactions by the inboxes of gossip.
//!
//! The receiver may block (its ring to the worker is full). Then the lanes fill, readers wait for
//! room, flow control slows the peers down, and keep-alives and the other chain go on.

use std::{
    sync::{Arc, mpsc as std_mpsc},
    thread,
};

use adnet_common::{chain_id::ChainId, node::Topic};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{Arrival, Gossiped, Inbound, class::Class, error::NetworkError};

/// Room is counted in units of this many bytes; a message takes one at least.
const UNIT_BYTES: usize = 1 << 10;
/// Room of the lanes, in units: consensus, blocks.
const LANE_UNITS: [usize; 2] = [16 << 10, 36 << 10];

const fn lane_of(class: Class) -> usize {
    match class {
        Class::Consensus => 0,
        Class::Body | Class::SyncRequest | Class::SyncResponse => 1,
    }
}

/// A message and its room, which is free again when the message has been handed over.
type Parcel = (Inbound, OwnedSemaphorePermit);

/// The lanes' ends for readers. The thread ends when this is dropped and the lanes are empty.
pub struct Delivery {
    lanes: [Lane; 2],
    /// Announcements, transactions: few messages at a time, by the bounds of their inboxes.
    announcements: mpsc::UnboundedSender<Gossiped>,
    transactions: mpsc::UnboundedSender<Gossiped>,
}

struct Lane {
    room: Arc<Semaphore>,
    /// Unbounded in messages, bounded by the room.
    parcels: mpsc::UnboundedSender<Parcel>,
}

/// Tells when the thread has ended.
pub struct DeliveryThread(std_mpsc::Receiver<()>);

impl DeliveryThread {
    /// False if the receiver is still at work after this time.
    pub fn wait(&self, timeout: std::time::Duration) -> bool {
        // The thread sends nothing: the end of its sender is the sign.
        self.0.recv_timeout(timeout) == Err(std_mpsc::RecvTimeoutError::Disconnected)
    }
}

impl Delivery {
    pub fn start(
        chain: ChainId,
        receiver: Arc<dyn Fn(Arrival) + Send + Sync>,
    ) -> Result<(Self, DeliveryThread), NetworkError> {
        let channels = LANE_UNITS.map(|units| {
            let (parcels, receiver) = mpsc::unbounded_channel();
            let room = Arc::new(Semaphore::new(units));
            (Lane { room, parcels }, receiver)
        });
        let [(consensus, first), (blocks, second)] = channels;
        let (announcements, third) = mpsc::unbounded_channel();
        let (transactions, fourth) = mpsc::unbounded_channel();
        // It only waits for channels, so it needs neither the I/O nor the time driver.
        let executor = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(NetworkError::Runtime)?;
        let (alive, ended) = std_mpsc::channel::<()>();
        thread::Builder::new()
            .name(format!("adnet-in-{chain}"))
            .spawn(move || {
                executor.block_on(run([first, second], [third, fourth], &*receiver));
                drop(alive);
            })
            .map_err(NetworkError::Runtime)?;
        let lanes = [consensus, blocks];
        let delivery = Self {
            lanes,
            announcements,
            transactions,
        };
        Ok((delivery, DeliveryThread(ended)))
    }

    /// Hands over a gossiped message, after all others.
    pub fn deliver_gossip(&self, message: Gossiped) {
        let lane = match message.topic {
            Topic::Block => &self.announcements,
            Topic::Transaction => &self.transactions,
        };
        // The thread is there until this end is gone.
        let _ = lane.send(message);
    }

    /// Waits for room, then hands the message over. False if the network is ending.
    pub async fn deliver(&self, message: Inbound) -> bool {
        let lane = &self.lanes[lane_of(message.class)];
        let units = message.bytes.len().div_ceil(UNIT_BYTES).max(1);
        let units = u32::try_from(units).expect("messages are below 4 TiB");
        match lane.room.clone().acquire_many_owned(units).await {
            Ok(room) => lane.parcels.send((message, room)).is_ok(),
            Err(_) => false,
        }
    }
}

/// Strictly by lane: a vote waits for at most the one message that is being handed over.
async fn run(
    [mut first, mut second]: [mpsc::UnboundedReceiver<Parcel>; 2],
    [mut third, mut fourth]: [mpsc::UnboundedReceiver<Gossiped>; 2],
    receiver: &(dyn Fn(Arrival) + Send + Sync),
) {
    loop {
        let (message, room) = tokio::select! {
            biased;
            Some(parcel) = first.recv() => parcel,
            Some(parcel) = second.recv() => parcel,
            Some(gossiped) = third.recv() => {
                receiver(Arrival::Gossip(gossiped));
                continue;
            }
            Some(gossiped) = fourth.recv() => {
                receiver(Arrival::Gossip(gossiped));
                continue;
            }
            else => return,
        };
        receiver(Arrival::Message(message));
        drop(room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Mutex, time::Duration};

    fn message(class: Class, mark: u8) -> Inbound {
        Inbound {
            chain: ChainId::Alpha,
            peer: [1; 32],
            class,
            bytes: vec![mark; 100],
        }
    }

    /// While the receiver is blocked, the lane of blocks fills up to its bound, and a vote that
    /// comes last is still handed over next.
    #[test]
    fn a_blocked_receiver_fills_a_lane_up_to_its_bound_and_votes_overtake() {
        let (release, blocked) = std_mpsc::channel::<()>();
        let blocked = Mutex::new(blocked);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let receiver = Arc::new(move |arrival: Arrival| {
            let Arrival::Message(message) = arrival else {
                panic!("nothing was gossiped");
            };
            // Blocks until released; after the sender is gone it never blocks again.
            let _ = blocked.lock().unwrap().recv();
            log.lock().unwrap().push(message.class);
        });
        let (delivery, thread) = Delivery::start(ChainId::Alpha, receiver).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut taken = 0;
            let patience = Duration::from_millis(300);
            while tokio::time::timeout(patience, delivery.deliver(message(Class::Body, 0)))
                .await
                .is_ok()
            {
                taken += 1;
                assert!(taken <= LANE_UNITS[1], "the lane took more than its room");
            }
            assert_eq!(taken, LANE_UNITS[1]);
            assert!(delivery.deliver(message(Class::Consensus, 0)).await);
        });
        drop(release);
        drop(delivery);
        assert!(thread.wait(Duration::from_secs(10)));
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), LANE_UNITS[1] + 1);
        assert_eq!(
            seen[..2],
            [Class::Body, Class::Consensus],
            "the vote overtakes all that wait"
        );
    }
}
