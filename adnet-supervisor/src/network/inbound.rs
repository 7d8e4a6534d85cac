//! From the streams of a link to the chain's lanes, and to the sessions of gossip.
//!
//! One task per connection, the demultiplexer, accepts all streams; each is read in a task of its
//! own, so that one that says nothing holds up no other. What a peer can make us hold is bounded:
//! streams times stream window, one message under way per class, and for unknown peers a few large
//! messages under way in all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use quinn::{ConnectionError, RecvStream, SendStream, VarInt};
use tokio::{
    sync::{Mutex, SemaphorePermit},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Inbound,
    class::{Carrier, Class},
    frame::{self, FrameError},
    gossip::{self, LinkSessions},
    link::Link,
    metrics::DropCause,
    node::ChainNode,
    rate::TokenBucket,
    refusal::Refusal,
};

/// Stops a stream whose message takes too long.
const TOO_SLOW: VarInt = VarInt::from_u32(1);
/// Messages above this count as large.
const LARGE_BYTES: usize = 1 << 20;

/// What the readers of one link share, by class.
struct Turns {
    /// Held while a message is read and handed over. Its bucket paces the messages.
    turns: [Mutex<TokenBucket>; Class::ALL.len()],
    /// The framed stream of the class has been opened; there is only one.
    framed: [AtomicBool; Class::ALL.len()],
}

impl Turns {
    fn new() -> Self {
        let now = Instant::now();
        let bucket = |class: Class| {
            let limits = class.limits();
            Mutex::new(TokenBucket::new(limits.rate_per_s, limits.burst, now))
        };
        Self {
            turns: Class::ALL.map(bucket),
            framed: Class::ALL.map(|_| AtomicBool::new(false)),
        }
    }
}

/// Accepts and reads every stream until the connection ends. Nobody else may call `accept_uni` or
/// `accept_bi`.
pub async fn demultiplex(
    node: &Arc<ChainNode>,
    link: &Arc<Link>,
    sessions: &Arc<LinkSessions>,
) -> ConnectionError {
    let turns = Arc::new(Turns::new());
    let mut readers = JoinSet::new(); // aborted with the connection
    loop {
        tokio::select! {
            stream = link.connection.accept_uni() => match stream {
                Ok(stream) => {
                    let (node, link) = (node.clone(), link.clone());
                    readers.spawn(serve(node, link, turns.clone(), sessions.clone(), stream));
                }
                Err(end) => return end,
            },
            stream = link.connection.accept_bi() => match stream {
                Ok(stream) => {
                    let (node, link) = (node.clone(), link.clone());
                    readers.spawn(serve_gossip(node, link, sessions.clone(), stream));
                }
                Err(end) => return end,
            },
            Some(_) = readers.join_next() => {} // reap
        }
    }
}

/// Reads one stream, and ends the connection if it breaks the rules.
async fn serve(
    node: Arc<ChainNode>,
    link: Arc<Link>,
    turns: Arc<Turns>,
    sessions: Arc<LinkSessions>,
    mut stream: RecvStream,
) {
    let read = read_stream(&node, &link, &turns, &sessions, &mut stream).await;
    judge(&node, &link, read);
}

/// Hands a stream of gossip to its session.
async fn serve_gossip(
    node: Arc<ChainNode>,
    link: Arc<Link>,
    sessions: Arc<LinkSessions>,
    (send, mut recv): (SendStream, RecvStream),
) {
    let header = async {
        let tag = frame::read_tag(&mut recv).await?;
        let topic = gossip::gossip_topic(tag).ok_or(FrameError::Malformed)?;
        gossip::read_header(topic, &mut recv).await
    };
    let taken_in = match header.await {
        Ok(header) => {
            let taken_in = sessions.take_in(header, (send, recv));
            if header.configured {
                node.gossip.configured_us(header.topic, link.peer).await;
            }
            taken_in
        }
        Err(error) => Err(error),
    };
    judge(&node, &link, taken_in);
}

fn judge(node: &ChainNode, link: &Link, read: Result<(), FrameError>) {
    let reason = match read {
        Ok(()) | Err(FrameError::Reset | FrameError::Lost(_)) => return,
        Err(FrameError::Oversize) => Refusal::Oversize,
        Err(FrameError::End | FrameError::Malformed) => Refusal::Protocol,
    };
    node.violated(link, reason);
}

async fn read_stream(
    node: &ChainNode,
    link: &Link,
    turns: &Turns,
    sessions: &LinkSessions,
    stream: &mut RecvStream,
) -> Result<(), FrameError> {
    let tag = frame::read_tag(stream).await?;
    if let Some(topic) = gossip::bye_topic(tag) {
        return sessions.bye(topic, gossip::read_bye(stream).await?);
    }
    let class = frame::class_of(tag)?;
    match class.limits().carrier {
        Carrier::Framed => {
            if turns.framed[class.index()].swap(true, Ordering::Relaxed) {
                return Err(FrameError::Malformed);
            }
            // The stream lives as long as the connection, so any other end is an error.
            loop {
                match read_one(node, link, turns, class, stream).await {
                    Ok(true) => {}
                    Ok(false) => return Ok(()),
                    Err(FrameError::Reset) => return Err(FrameError::Malformed),
                    Err(error) => return Err(error),
                }
            }
        }
        Carrier::StreamPerMessage => read_one(node, link, turns, class, stream).await.map(drop),
    }
}

/// Reads one message and hands it over. False if the network is ending.
async fn read_one(
    node: &ChainNode,
    link: &Link,
    turns: &Turns,
    class: Class,
    stream: &mut RecvStream,
) -> Result<bool, FrameError> {
    let limits = class.limits();
    let framed = limits.carrier == Carrier::Framed;
    // A framed stream rests between messages as long as it likes.
    let len = match framed {
        true => frame::read_len(stream, limits.message_bytes_max).await?,
        false => match timeout(
            limits.transfer_timeout,
            frame::read_len(stream, limits.message_bytes_max),
        )
        .await
        {
            Ok(len) => len?,
            Err(_) => return give_up(node, class, stream),
        },
    };
    let mut bucket = turns.turns[class.index()].lock().await;
    while let Err(wait) = bucket.take(Instant::now()) {
        sleep(wait).await;
    }
    let _place = place_for(node, link, len).await;
    let whole = async {
        let message = frame::read_message(stream, len).await?;
        if !framed {
            frame::read_end(stream).await?;
        }
        Ok::<_, FrameError>(message)
    };
    let bytes = match timeout(limits.transfer_timeout, whole).await {
        Ok(message) => message?,
        Err(_) => return give_up(node, class, stream),
    };
    node.metrics.received(class, len);
    let message = Inbound {
        chain: node.chain,
        peer: link.peer,
        class,
        bytes,
    };
    Ok(node.delivery.deliver(message).await)
}

/// Large messages of unknown peers share a few places.
async fn place_for<'a>(
    node: &'a ChainNode,
    link: &Link,
    len: usize,
) -> Option<SemaphorePermit<'a>> {
    if len <= LARGE_BYTES || node.links.is_trusted(link) {
        return None;
    }
    let place = node.unknown_transfers.acquire().await;
    Some(place.expect("the semaphore is never closed"))
}

/// A message that did not arrive in time. On a framed stream nothing can follow it.
fn give_up(node: &ChainNode, class: Class, stream: &mut RecvStream) -> Result<bool, FrameError> {
    node.metrics.dropped(class, DropCause::Timeout, 1);
    let _ = stream.stop(TOO_SLOW);
    match class.limits().carrier {
        Carrier::Framed => Err(FrameError::Malformed),
        Carrier::StreamPerMessage => Ok(true),
    }
}
