//! Incoming connections: bounds first, then the handshake, then hello.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use quinn::Incoming;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    Direction,
    admission::AddressTicket,
    error::LinkError,
    node::ChainNode,
    refusal::Refusal,
    session::{self, HANDSHAKE_TIMEOUT},
};

/// Runs until the endpoint is closed.
pub async fn accept(node: Arc<ChainNode>) {
    while let Some(incoming) = node.quic.endpoint.accept().await {
        let address = incoming.remote_address();
        let proved = incoming.remote_address_validated();
        if node.admission.is_crowded() && !proved && incoming.may_retry() {
            incoming.retry().expect("may_retry has said that it may");
            continue;
        }
        let places = node.admission.begin();
        match places.zip(node.admission.take_address(address.ip())) {
            Some((place, ticket)) => {
                let node = node.clone();
                tokio::spawn(welcome(node, incoming, address, place, ticket));
            }
            None => {
                incoming.refuse();
                node.report(address, &LinkError::refused(Refusal::Busy));
            }
        }
    }
}

/// One connection, from its first packet to its end.
async fn welcome(
    node: Arc<ChainNode>,
    incoming: Incoming,
    address: SocketAddr,
    place: OwnedSemaphorePermit,
    // Held until the connection has ended.
    _ticket: AddressTicket,
) {
    let connected = match timeout(HANDSHAKE_TIMEOUT, incoming).await {
        Ok(Ok(connection)) => {
            session::greet(&node, connection, Direction::Inbound, Instant::now()).await
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(LinkError::HandshakeTimeout(address)),
    };
    drop(place);
    match connected {
        Ok(session) => session.run(node).await,
        Err(error) => node.report(address, &error),
    }
}
