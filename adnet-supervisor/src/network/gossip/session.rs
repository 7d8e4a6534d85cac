//! The gossip sessions of one link, one after the other.
//!
//! A session is never resumed: what a router holds of it may be broken. It has a number, its
//! *epoch*, at the head of each of its streams, so that no stream of one session is taken for one
//! of another. Whoever's router lets go of a session says so (*bye*); then both sides go on to the
//! next epoch, each after a pause, or at once when the other's first stream of it is there.
//!
//! ```text
//! gossip stream (bidi)  0x20 · epoch u32 · flags u8 · what the routers say
//! bye (uni)             0x21 · epoch u32
//! ```

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use quinn::{Connection, ReadExactError, RecvStream, SendStream, VarInt, WriteError};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{sleep, timeout},
};

use super::{
    super::{
        Direction,
        frame::{self, FrameError},
        identity::{PeerId, Short},
        link::Link,
    },
    handle::Gossip,
    muxer::{GossipStream, Muxer},
    pace::Pace,
};

/// First byte of a gossip stream.
pub const GOSSIP_TAG: u8 = 0x20;
/// First byte of the stream that ends a session.
pub const BYE_TAG: u8 = 0x21;
/// Below all others: gossip goes when nothing else has to.
const PRIORITY: i32 = 0;
/// The flag of a sender that has configured the receiver.
const CONFIGURED: u8 = 1;
/// What follows a tag must come soon.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Streams of a session that wait for the router. It opens one, and a new one after an error.
const STREAMS_WAITING_MAX: usize = 4;
/// How far ahead of us a peer may be: byes and streams arrive in any order.
const EPOCHS_AHEAD_MAX: u32 = 8;
/// The pause between two sessions; it doubles while they are short.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A session that has lasted so long was a good one.
const GOOD_SESSION: Duration = Duration::from_secs(60);
/// Refuses a stream of a session that is over.
const OVER: VarInt = VarInt::from_u32(2);

/// What is said at the head of a gossip stream.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub epoch: u32,
    /// The sender has configured the receiver as a peer.
    pub configured: bool,
}

/// Opens a stream of a session.
pub async fn open(
    connection: &Connection,
    header: Header,
) -> Result<(SendStream, RecvStream), WriteError> {
    let (mut send, recv) = connection.open_bi().await?;
    send.set_priority(PRIORITY)?;
    let [a, b, c, d] = header.epoch.to_be_bytes();
    let flags = if header.configured { CONFIGURED } else { 0 };
    send.write_all(&[GOSSIP_TAG, a, b, c, d, flags]).await?;
    Ok((send, recv))
}

/// Reads what follows the tag of a gossip stream.
pub async fn read_header(stream: &mut RecvStream) -> Result<Header, FrameError> {
    let [a, b, c, d, flags] = read(stream).await?;
    if flags & !CONFIGURED != 0 {
        return Err(FrameError::Malformed);
    }
    Ok(Header {
        epoch: u32::from_be_bytes([a, b, c, d]),
        configured: flags == CONFIGURED,
    })
}

/// Reads what follows the tag of a bye: the epoch that has ended.
pub async fn read_bye(stream: &mut RecvStream) -> Result<u32, FrameError> {
    let epoch = u32::from_be_bytes(read(stream).await?);
    frame::read_end(stream).await?;
    Ok(epoch)
}

async fn read<const N: usize>(stream: &mut RecvStream) -> Result<[u8; N], FrameError> {
    let mut bytes = [0; N];
    match timeout(HEADER_TIMEOUT, stream.read_exact(&mut bytes)).await {
        Ok(Ok(())) => Ok(bytes),
        Ok(Err(ReadExactError::FinishedEarly(_))) => Err(FrameError::Malformed),
        Ok(Err(ReadExactError::ReadError(error))) => Err(error.into()),
        Err(_) => Err(FrameError::Reset),
    }
}

pub async fn say_bye(connection: &Connection, epoch: u32) {
    let said = async {
        let mut stream = frame::open(connection, BYE_TAG, PRIORITY).await?;
        stream.write_all(&epoch.to_be_bytes()).await?;
        stream.finish().map_err(WriteError::from)
    };
    // A link that is lost ends the session as well.
    let _ = said.await;
}

/// A session for the router, with what it wants to know of the link.
pub struct Attachment {
    pub peer: PeerId,
    pub remote: SocketAddr,
    pub direction: Direction,
    /// Whether the peer has said that it has configured us.
    pub configured_us: Arc<AtomicBool>,
    pub muxer: Muxer,
}

/// Where the sessions of a link stand.
struct State {
    epoch: u32,
    /// For streams of this epoch.
    streams: mpsc::Sender<GossipStream>,
    /// The other end of `streams`, until the router has this session.
    waiting: Option<mpsc::Receiver<GossipStream>>,
    peer_left: Arc<Notify>,
}

impl State {
    fn new(epoch: u32) -> Self {
        let (streams, waiting) = mpsc::channel(STREAMS_WAITING_MAX);
        Self {
            epoch,
            streams,
            waiting: Some(waiting),
            peer_left: Arc::default(),
        }
    }

    /// Ends the session and goes on to another epoch.
    fn advance(&mut self, epoch: u32) {
        // Keeps the notice for a muxer that looks later.
        self.peer_left.notify_one();
        *self = State::new(epoch);
    }
}

/// See the module.
pub struct Sessions {
    state: Mutex<State>,
    /// The peer has begun with the next session.
    begun: Notify,
    configured_us: Arc<AtomicBool>,
    pace: Arc<Mutex<Pace>>,
}

impl Sessions {
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State::new(0)),
            begun: Notify::new(),
            configured_us: Arc::default(),
            pace: Arc::new(Mutex::new(Pace::new(Instant::now()))),
        }
    }

    /// Hands a stream of the peer to the session that it belongs to.
    ///
    /// # Errors
    /// The epoch is nowhere near.
    pub fn take_in(
        &self,
        header: Header,
        (send, recv): (SendStream, RecvStream),
    ) -> Result<(), FrameError> {
        // Before the router hears of it by another way, so that a session that is attached later
        // finds it here.
        self.configured_us
            .fetch_or(header.configured, Ordering::Relaxed);
        let stream = GossipStream::new(send, recv, self.pace.clone());
        let mut state = self.lock();
        if header.epoch > state.epoch {
            is_near(state.epoch, header.epoch)?;
            state.advance(header.epoch);
        }
        let refused = if header.epoch < state.epoch {
            Some(stream)
        } else {
            let sent = state.streams.try_send(stream);
            sent.err().map(|error| error.into_inner())
        };
        if state.waiting.is_some() {
            self.begun.notify_one();
        }
        if let Some(mut stream) = refused {
            // Lost streams are refused already.
            let _ = stream.send.reset(OVER);
            let _ = stream.recv.stop(OVER);
        }
        Ok(())
    }

    /// The peer's router has let go of a session.
    ///
    /// # Errors
    /// The epoch is nowhere near.
    pub fn bye(&self, epoch: u32) -> Result<(), FrameError> {
        let mut state = self.lock();
        if epoch >= state.epoch {
            is_near(state.epoch, epoch)?;
            state.advance(epoch.saturating_add(1));
        }
        Ok(())
    }

    /// The present session, which nobody has yet, and what tells its end.
    fn next(&self, link: &Link, configured: bool) -> (u32, Muxer, oneshot::Receiver<()>) {
        let mut state = self.lock();
        let epoch = state.epoch;
        let inbound = state.waiting.take();
        let inbound = inbound.expect("the end of the last session has made a new one");
        let (held, ended) = oneshot::channel();
        let muxer = Muxer::new(
            link.connection.clone(),
            Header { epoch, configured },
            self.pace.clone(),
            inbound,
            state.peer_left.clone(),
            held,
        );
        (epoch, muxer, ended)
    }

    /// Our router has let go of this session.
    fn ended(&self, epoch: u32) {
        let mut state = self.lock();
        if state.epoch == epoch {
            state.advance(epoch.saturating_add(1));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under this lock")
    }
}

fn is_near(ours: u32, theirs: u32) -> Result<(), FrameError> {
    match theirs.saturating_sub(ours) <= EPOCHS_AHEAD_MAX {
        true => Ok(()),
        false => Err(FrameError::Malformed),
    }
}

/// Gives the router one session after the other for as long as the link lives.
///
/// `configured` tells whether this peer is one of our configuration.
pub async fn keep_session(gossip: &Gossip, link: &Link, sessions: &Sessions, configured: bool) {
    let mut pause = PAUSE_MIN;
    loop {
        let begun = Instant::now();
        let (epoch, muxer, ended) = sessions.next(link, configured);
        let attachment = Attachment {
            peer: link.peer,
            remote: link.connection.remote_address(),
            direction: link.direction,
            configured_us: sessions.configured_us.clone(),
            muxer,
        };
        if !gossip.attach(attachment).await {
            return;
        }
        // The muxer sends nothing: its end is the sign.
        let _ = ended.await;
        sessions.ended(epoch);
        tracing::debug!(peer = %Short(link.peer), epoch, "gossip session ended");
        pause = match begun.elapsed() >= GOOD_SESSION {
            true => PAUSE_MIN,
            false => (pause * 2).min(PAUSE_MAX),
        };
        // However the peer hurries, sessions do not follow each other faster than this.
        sleep(PAUSE_MIN).await;
        tokio::select! {
            () = sleep(pause - PAUSE_MIN) => {}
            () = sessions.begun.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch_of(sessions: &Sessions) -> u32 {
        sessions.lock().epoch
    }

    #[test]
    fn byes_move_on_in_any_order_and_old_ones_change_nothing() {
        let sessions = Sessions::new();
        sessions.bye(0).unwrap();
        assert_eq!(epoch_of(&sessions), 1);
        sessions.bye(0).unwrap();
        sessions.ended(0);
        assert_eq!(epoch_of(&sessions), 1);
        sessions.bye(3).unwrap();
        assert_eq!(epoch_of(&sessions), 4);
        sessions.ended(4);
        assert_eq!(epoch_of(&sessions), 5);
    }

    #[test]
    fn an_epoch_that_is_nowhere_near_is_a_violation() {
        let sessions = Sessions::new();
        assert!(sessions.bye(EPOCHS_AHEAD_MAX).is_ok());
        assert!(sessions.bye(u32::MAX).is_err());
        assert_eq!(epoch_of(&sessions), EPOCHS_AHEAD_MAX + 1);
    }
}
