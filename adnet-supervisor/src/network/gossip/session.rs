//! The gossip sessions of one link: for each topic one after the other.
//!
//! A session is never resumed: what a router holds of it may be broken. It has a number, its
//! *epoch*, at the head of each of its streams, so that no stream of one session is taken for one
//! of another. Whoever's router lets go of a session says so (*bye*); then both sides go on to the
//! next epoch, each after a pause, or at once when the other's first stream of it is there.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use adnet_common::node::Topic;
use quinn::{RecvStream, SendStream, VarInt};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::sleep,
};

use super::{
    super::{
        Direction,
        frame::FrameError,
        identity::{PeerId, Short},
        link::Link,
    },
    handle::Gossip,
    index,
    muxer::{GossipStream, Muxer},
    pace::Pace,
    stream::Header,
};

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

/// Those of all topics.
pub struct LinkSessions([Sessions; Topic::ALL.len()]);

impl LinkSessions {
    pub fn new() -> Self {
        Self(Topic::ALL.map(Sessions::new))
    }

    /// Hands a stream of the peer to the session that it belongs to.
    ///
    /// # Errors
    /// The epoch is nowhere near.
    pub fn take_in(
        &self,
        header: Header,
        streams: (SendStream, RecvStream),
    ) -> Result<(), FrameError> {
        self.0[index(header.topic)].take_in(header, streams)
    }

    /// The peer's router of the topic has let go of a session.
    ///
    /// # Errors
    /// The epoch is nowhere near.
    pub fn bye(&self, topic: Topic, epoch: u32) -> Result<(), FrameError> {
        self.0[index(topic)].bye(epoch)
    }
}

/// Those of one topic.
struct Sessions {
    topic: Topic,
    state: Mutex<State>,
    /// The peer has begun with the next session.
    begun: Notify,
    configured_us: Arc<AtomicBool>,
    pace: Arc<Mutex<Pace>>,
}

impl Sessions {
    fn new(topic: Topic) -> Self {
        Self {
            topic,
            state: Mutex::new(State::new(0)),
            begun: Notify::new(),
            configured_us: Arc::default(),
            pace: Arc::new(Mutex::new(Pace::new(topic, Instant::now()))),
        }
    }

    fn take_in(
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

    fn bye(&self, epoch: u32) -> Result<(), FrameError> {
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
        let header = Header {
            topic: self.topic,
            epoch,
            configured,
        };
        let muxer = Muxer::new(
            link.connection.clone(),
            header,
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

/// Gives the router of a topic one session after the other for as long as the link lives.
///
/// `configured` tells whether this peer is one of our configuration.
pub async fn keep_sessions(
    gossip: &Gossip,
    topic: Topic,
    link: &Link,
    sessions: &LinkSessions,
    configured: bool,
) {
    let sessions = &sessions.0[index(topic)];
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
        if !gossip.attach(topic, attachment).await {
            return;
        }
        // The muxer sends nothing: its end is the sign.
        let _ = ended.await;
        sessions.ended(epoch);
        tracing::debug!(peer = %Short(link.peer), topic = topic.name(), epoch, "gossip session ended");
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
        let sessions = Sessions::new(Topic::Block);
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
        let sessions = Sessions::new(Topic::Block);
        assert!(sessions.bye(EPOCHS_AHEAD_MAX).is_ok());
        assert!(sessions.bye(u32::MAX).is_err());
        assert_eq!(epoch_of(&sessions), EPOCHS_AHEAD_MAX + 1);
    }
}
