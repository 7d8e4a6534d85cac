//! Keeps the link to one configured peer: dials, and dials again with growing pauses.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::Connection;
use tokio::{
    net::lookup_host,
    time::{sleep, timeout},
};

use super::{
    Direction,
    address::PeerAddr,
    error::LinkError,
    hello::Hello,
    identity::{PeerId, Short},
    node::ChainNode,
    session::{self, HANDSHAKE_TIMEOUT, Session},
    tls::Presented,
};

/// The shortest and the longest pause between two dials; jitter adds up to a half. Peers are few and
/// a dial is one datagram, and while these pauses last a network that was cut apart stands still: with
/// the time-out of a handshake that began too early, it is whole again within 10 s.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(3);
/// A link that has lasted so long was a good one: the pauses begin anew.
const GOOD_LINK: Duration = Duration::from_secs(10);

/// Pauses that double from 1 s to 3 s, each stretched at random by up to a half, so that the
/// nodes of a network that lost the same peer do not come back at once.
struct BackOff {
    next: Duration,
}

impl BackOff {
    fn new() -> Self {
        Self { next: PAUSE_MIN }
    }

    /// `chance` is uniform over all of u64.
    fn pause(&mut self, chance: u64) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(PAUSE_MAX);
        let share = u32::try_from(chance >> 32).expect("32 bits are left");
        pause + pause.mul_f64(f64::from(share) / f64::from(u32::MAX) / 2.0)
    }
}

/// Runs for as long as the network.
pub async fn keep_linked(node: Arc<ChainNode>, address: PeerAddr) {
    let mut back_off = BackOff::new();
    let mut attempt = 0usize;
    loop {
        let begun = Instant::now();
        if let Some(link) = node.links.get(&address.peer) {
            // The peer was faster.
            link.connection.closed().await;
        } else {
            match dial(&node, &address, attempt).await {
                Ok(session) => session.run(node.clone()).await,
                Err((to, error)) => match to {
                    Some(to) => node.report(to, &error),
                    None => {
                        let (chain, peer) = (node.chain, Short(address.peer));
                        tracing::warn!(%chain, %peer, %error, "peer cannot be dialled");
                    }
                },
            }
            attempt = attempt.wrapping_add(1);
        }
        if begun.elapsed() >= GOOD_LINK + HANDSHAKE_TIMEOUT * 2 {
            back_off = BackOff::new();
        }
        // Without randomness the pause is merely the longest.
        let chance = getrandom::u64().unwrap_or(u64::MAX);
        sleep(back_off.pause(chance)).await;
    }
}

/// One attempt; the error comes with the address that was tried, if it came so far.
async fn dial(
    node: &Arc<ChainNode>,
    address: &PeerAddr,
    attempt: usize,
) -> Result<Session, (Option<SocketAddr>, LinkError)> {
    let to = resolve(node, address, attempt)
        .await
        .ok_or_else(|| (None, LinkError::Unresolved(address.to_string())))?;
    link(node, address.peer, to)
        .await
        .map_err(|error| (Some(to), error))
}

/// Of several addresses of a name each has its turn.
async fn resolve(node: &ChainNode, address: &PeerAddr, attempt: usize) -> Option<SocketAddr> {
    let v4_only = node.local_address()?.is_ipv4();
    let name = (address.host.as_str(), address.port);
    let found = timeout(HANDSHAKE_TIMEOUT, lookup_host(name)).await.ok()?;
    let usable: Vec<SocketAddr> = found
        .ok()?
        .filter(|found| found.is_ipv4() || !v4_only)
        .collect();
    usable.get(attempt.checked_rem(usable.len())?).copied()
}

/// Dials an address at which this peer is expected, and links it.
pub async fn link(
    node: &Arc<ChainNode>,
    expected: PeerId,
    to: SocketAddr,
) -> Result<Session, LinkError> {
    let connection = handshake(node, expected, to).await?;
    session::greet(node, connection, Direction::Outbound, Instant::now()).await
}

/// Dials an address to see whether this peer is there, hears its hello and takes leave.
pub async fn test(
    node: &Arc<ChainNode>,
    expected: PeerId,
    to: SocketAddr,
) -> Result<Hello, LinkError> {
    let connection = handshake(node, expected, to).await?;
    session::probe(node, &connection).await
}

async fn handshake(
    node: &Arc<ChainNode>,
    expected: PeerId,
    to: SocketAddr,
) -> Result<Connection, LinkError> {
    let presented = Presented::default();
    let connecting = node.quic.connect(to, expected, presented.clone())?;
    match timeout(HANDSHAKE_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(match presented.get() {
            Some(other) if *other != expected => LinkError::WrongKey {
                address: to,
                expected,
                presented: *other,
            },
            _ => error.into(),
        }),
        Err(_) => Err(LinkError::HandshakeTimeout(to)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound_and_are_stretched_by_half_at_most() {
        let mut shortest = BackOff::new();
        let mut longest = BackOff::new();
        let mut last = Duration::ZERO;
        for _ in 0..10 {
            let (low, high) = (shortest.pause(0), longest.pause(u64::MAX));
            assert!(low >= PAUSE_MIN && low >= last && low <= PAUSE_MAX);
            assert_eq!(high, low + low / 2);
            last = low;
        }
        assert_eq!(last, PAUSE_MAX);
        assert_eq!(longest.pause(u64::MAX), PAUSE_MAX + PAUSE_MAX / 2);
    }
}
