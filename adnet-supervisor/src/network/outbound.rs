//! From the queues of a link to its streams: one task per class.

use std::sync::Arc;

use bytes::Bytes;
use quinn::{SendStream, VarInt, WriteError};
use tokio::time::timeout;

use super::{
    class::{Carrier, Class},
    frame,
    link::Link,
    metrics::DropCause,
    node::ChainNode,
    refusal::Refusal,
};

/// Resets a stream whose message was given up.
const GIVEN_UP: VarInt = VarInt::from_u32(1);

/// Sends the messages of a class until the connection ends.
pub async fn send_class(node: Arc<ChainNode>, link: Arc<Link>, class: Class) {
    let limits = class.limits();
    let ended = match limits.carrier {
        Carrier::Framed => send_framed(&node, &link, class).await,
        Carrier::StreamPerMessage => send_each(&node, &link, class).await,
    };
    match ended {
        Ok(never) => match never {},
        Err(WriteError::ConnectionLost(_)) => {}
        // A peer that stops a framed stream breaks the agreement.
        Err(_) => node.violated(&link, Refusal::Protocol),
    }
}

async fn send_framed(
    node: &ChainNode,
    link: &Link,
    class: Class,
) -> Result<std::convert::Infallible, WriteError> {
    let priority = class.limits().priority;
    let mut stream = frame::open(&link.connection, class.tag(), priority).await?;
    loop {
        let message = link.queue(class).pop().await;
        let bytes = message.len();
        frame::write(&mut stream, message).await?;
        node.metrics.sent(class, bytes);
    }
}

async fn send_each(
    node: &ChainNode,
    link: &Link,
    class: Class,
) -> Result<std::convert::Infallible, WriteError> {
    let limits = class.limits();
    loop {
        let message = link.queue(class).pop().await;
        let bytes = message.len();
        let mut stream = frame::open(&link.connection, class.tag(), limits.priority).await?;
        match timeout(limits.transfer_timeout, write_last(&mut stream, message)).await {
            Ok(Ok(())) => node.metrics.sent(class, bytes),
            // The peer gave this message up, for instance because it took too long.
            Ok(Err(WriteError::Stopped(_))) => node.metrics.dropped(class, DropCause::Timeout, 1),
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                // Too slow: the next message is newer, and worth more.
                let _ = stream.reset(GIVEN_UP);
                node.metrics.dropped(class, DropCause::Timeout, 1);
            }
        }
    }
}

async fn write_last(stream: &mut SendStream, message: Bytes) -> Result<(), WriteError> {
    frame::write(stream, message).await?;
    stream.finish().map_err(WriteError::from)
}
