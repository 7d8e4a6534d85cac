//! The life of one connection after its handshake: hello, tasks, end.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use adnet_common::node::Topic;
use quinn::{Connection, RecvStream, SendStream, WriteError};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Direction,
    admission::IdentityTicket,
    class::Class,
    endpoint,
    error::LinkError,
    frame::{self, FrameError, HELLO_TAG},
    gossip::{LinkSessions, keep_sessions},
    hello::{HELLO_BYTES_MAX, Hello},
    identity::{PeerId, Short},
    inbound,
    link::Link,
    node::ChainNode,
    outbound,
    rate::TokenBucket,
    refusal::{By, Refusal},
};

/// The QUIC and TLS handshake may take this long.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Then both hellos may take this long.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// The stream of hello and tips goes before all others; it is tiny.
const HELLO_PRIORITY: i32 = 110;
/// New tips are told no more often than this.
const TIP_PAUSE: Duration = Duration::from_millis(250);
/// A peer's tips are read no faster than this.
const TIP_RATE_PER_S: u32 = 10;
const TIP_BURST: u32 = 20;

/// A link that is entered in the table, with its first stream in both directions.
pub struct Session {
    link: Arc<Link>,
    ours: SendStream,
    theirs: RecvStream,
    ticket: IdentityTicket,
}

/// Exchanges hellos and enters the link. On an error the connection is closed by its reason.
pub async fn greet(
    node: &ChainNode,
    connection: Connection,
    direction: Direction,
    established: Instant,
) -> Result<Session, LinkError> {
    let result = try_greet(node, &connection, direction, established).await;
    if let Err(LinkError::Refused { by: By::Us, reason }) = &result {
        reason.close(&connection);
    }
    result
}

async fn try_greet(
    node: &ChainNode,
    connection: &Connection,
    direction: Direction,
    established: Instant,
) -> Result<Session, LinkError> {
    let (peer, ticket) = identify(node, connection)?;
    if !node.links.may_have_place(&peer, direction) {
        return Err(LinkError::refused(Refusal::TooManyPeers));
    }
    let (hello, ours, theirs) = timeout(HELLO_TIMEOUT, hellos(node, connection, direction))
        .await
        .map_err(|_| LinkError::refused(Refusal::HelloTimeout))??;
    enter(node, peer, connection, direction, &hello, established).map(|link| Session {
        link,
        ours,
        theirs,
        ticket,
    })
}

/// Who is at the other end, by the key that TLS has proved, if it may be there at all.
fn identify(
    node: &ChainNode,
    connection: &Connection,
) -> Result<(PeerId, IdentityTicket), LinkError> {
    let peer = endpoint::peer_of(connection).ok_or(LinkError::refused(Refusal::Protocol))?;
    if peer == node.us {
        return Err(LinkError::refused(Refusal::OwnKey));
    }
    if node.limits.configured_only && !node.links.is_configured(&peer) {
        return Err(LinkError::refused(Refusal::NotConfigured));
    }
    if node.is_banned(&peer) {
        return Err(LinkError::refused(Refusal::Banned));
    }
    let ticket = node.identities.take(peer);
    let ticket = ticket.ok_or(LinkError::refused(Refusal::Busy))?;
    Ok((peer, ticket))
}

/// Hears the hello of a node that was dialled for a test only, and takes leave. The acceptor speaks
/// first, so it never counts us as a peer.
pub async fn probe(node: &ChainNode, connection: &Connection) -> Result<Hello, LinkError> {
    let result = async {
        let (_, _ticket) = identify(node, connection)?;
        let (hello, _) = timeout(HELLO_TIMEOUT, hear(node, connection))
            .await
            .map_err(|_| LinkError::refused(Refusal::HelloTimeout))??;
        Ok(hello)
    };
    let result = result.await;
    match &result {
        Err(LinkError::Refused { by: By::Us, reason }) => reason.close(connection),
        _ => Refusal::Feeler.close(connection),
    }
    result
}

/// The acceptor speaks first: in TLS 1.3 the dialer's handshake is over before the acceptor has
/// judged its key, so only a hello proves to the dialer that it may stay.
async fn hellos(
    node: &ChainNode,
    connection: &Connection,
    direction: Direction,
) -> Result<(Hello, SendStream, RecvStream), LinkError> {
    match direction {
        Direction::Inbound => {
            let ours = say(node, connection).await?;
            let (hello, theirs) = hear(node, connection).await?;
            Ok((hello, ours, theirs))
        }
        Direction::Outbound => {
            let (hello, theirs) = hear(node, connection).await?;
            let ours = say(node, connection).await?;
            Ok((hello, ours, theirs))
        }
    }
}

async fn say(node: &ChainNode, connection: &Connection) -> Result<SendStream, LinkError> {
    let said = async {
        let mut ours = frame::open(connection, HELLO_TAG, HELLO_PRIORITY).await?;
        frame::write(&mut ours, node.hello().encode().into()).await?;
        Ok(ours)
    };
    said.await.map_err(|error| match error {
        WriteError::ConnectionLost(error) => error.into(),
        _ => LinkError::refused(Refusal::Protocol),
    })
}

async fn hear(node: &ChainNode, connection: &Connection) -> Result<(Hello, RecvStream), LinkError> {
    let mut theirs = connection.accept_uni().await?;
    let heard = async {
        match frame::read_tag(&mut theirs).await? {
            HELLO_TAG => {}
            _ => return Err(FrameError::Malformed),
        }
        let len = frame::read_len(&mut theirs, HELLO_BYTES_MAX).await?;
        frame::read_message(&mut theirs, len).await
    };
    let bytes = heard.await.map_err(|error| match error {
        FrameError::Lost(error) => error.into(),
        _ => LinkError::refused(Refusal::BadHello),
    })?;
    let peer = endpoint::peer_of(connection).ok_or(LinkError::refused(Refusal::Protocol))?;
    let hello = node
        .judge_hello(&bytes, &peer)
        .map_err(LinkError::refused)?;
    Ok((hello, theirs))
}

fn enter(
    node: &ChainNode,
    peer: PeerId,
    connection: &Connection,
    direction: Direction,
    hello: &Hello,
    established: Instant,
) -> Result<Arc<Link>, LinkError> {
    let connection = connection.clone();
    let link = Link::new(peer, connection, direction, hello, established);
    let link = Arc::new(link);
    node.links.admit(&link).map_err(LinkError::refused)?;
    node.show_peers();
    Ok(link)
}

impl Session {
    /// Serves the link until its connection ends.
    pub async fn run(self, node: Arc<ChainNode>) {
        let Session {
            link,
            ours,
            theirs,
            ticket: _ticket,
        } = self;
        let (chain, peer) = (node.chain, Short(link.peer));
        let address: SocketAddr = link.connection.remote_address();
        let direction = link.direction;
        tracing::info!(%chain, %peer, %address, ?direction, "peer linked");

        endpoint::admit(&link.connection, node.links.is_trusted(&link));
        let mut tasks = JoinSet::new(); // aborted when this function ends
        tasks.spawn(tell_tips(node.clone(), link.clone(), ours));
        tasks.spawn(hear_tips(node.clone(), link.clone(), theirs));
        for class in Class::ALL {
            tasks.spawn(outbound::send_class(node.clone(), link.clone(), class));
        }
        let sessions = Arc::new(LinkSessions::new());
        for topic in Topic::ALL {
            tasks.spawn(gossip_on(
                node.clone(),
                topic,
                link.clone(),
                sessions.clone(),
            ));
        }
        let end = inbound::demultiplex(&node, &link, &sessions).await;

        node.links.forget(&link);
        node.show_peers();
        let error = LinkError::from(end);
        if let Some((by, reason)) = error.refusal() {
            node.metrics.refused(by, reason);
        }
        tracing::info!(%chain, %peer, %address, reason = %error, "peer unlinked");
    }
}

/// Lends the link to the router of a topic.
async fn gossip_on(
    node: Arc<ChainNode>,
    topic: Topic,
    link: Arc<Link>,
    sessions: Arc<LinkSessions>,
) {
    let configured = node.links.is_configured(&link.peer);
    keep_sessions(&node.gossip, topic, &link, &sessions, configured).await;
}

/// Passes on our new tips; those in between are left out.
async fn tell_tips(node: Arc<ChainNode>, link: Arc<Link>, mut stream: SendStream) {
    let mut tip = node.tip.subscribe();
    // Hello may have told an older one.
    tip.mark_changed();
    while tip.changed().await.is_ok() {
        let height = *tip.borrow_and_update();
        let message = height.to_be_bytes().to_vec();
        match frame::write(&mut stream, message.into()).await {
            Ok(()) => {}
            Err(WriteError::ConnectionLost(_)) => return,
            Err(_) => return node.violated(&link, Refusal::Protocol),
        }
        sleep(TIP_PAUSE).await;
    }
}

async fn hear_tips(node: Arc<ChainNode>, link: Arc<Link>, mut stream: RecvStream) {
    let mut rate = TokenBucket::new(TIP_RATE_PER_S, TIP_BURST, Instant::now());
    loop {
        match hear_tip(&mut stream).await {
            Ok(height) => link.set_tip(height),
            Err(FrameError::Lost(_)) => return,
            Err(_) => return node.violated(&link, Refusal::Protocol),
        }
        if let Err(wait) = rate.take(Instant::now()) {
            sleep(wait).await;
        }
    }
}

async fn hear_tip(stream: &mut RecvStream) -> Result<u64, FrameError> {
    let len = frame::read_len(stream, HELLO_BYTES_MAX).await?;
    let message = frame::read_message(stream, len).await?;
    let height = message.try_into().map_err(|_| FrameError::Malformed)?;
    Ok(u64::from_be_bytes(height))
}
