//! Streams and frames: one tag byte says what a stream is for, then come messages, each with its
//! length in front as u32, big-endian.
//!
//! A length is judged before anything is allocated, and memory grows only with what has arrived.
//! Dropping a `SendStream` ends it as if it were whole; the length shows the reader that it is not.

use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, ConnectionError, ReadError, ReadExactError, RecvStream, SendStream};
use tokio::time::timeout;

use super::class::Class;

/// The stream of hello and of the sender's later tips, always the first in its direction.
pub const HELLO_TAG: u8 = 0x10;
/// A stream that never says what it is for is given up. Long, because a stream is known to exist as
/// soon as a later one is, and its own bytes may wait behind those of a higher priority.
const TAG_TIMEOUT: Duration = Duration::from_secs(60);
/// What is reserved for a message before its bytes are here.
const RESERVED_BYTES_MAX: usize = 64 << 10;

/// Why a frame did not arrive.
#[derive(Debug)]
pub enum FrameError {
    /// The stream ended properly, between two frames.
    End,
    /// The sender gave this message up, or we did.
    Reset,
    /// A claimed length over the bound.
    Oversize,
    /// The stream ended inside a frame, or is not used as agreed.
    Malformed,
    Lost(ConnectionError),
}

impl From<ReadError> for FrameError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Reset(_) | ReadError::ClosedStream => FrameError::Reset,
            ReadError::ConnectionLost(error) => FrameError::Lost(error),
            ReadError::IllegalOrderedRead | ReadError::ZeroRttRejected => FrameError::Malformed,
        }
    }
}

/// Opens a stream and says what it is for; until then the peer knows nothing of it.
pub async fn open(
    connection: &Connection,
    tag: u8,
    priority: i32,
) -> Result<SendStream, quinn::WriteError> {
    let mut stream = connection.open_uni().await?;
    stream.set_priority(priority)?;
    stream.write_all(&[tag]).await?;
    Ok(stream)
}

/// Writes one message with its length.
pub async fn write(stream: &mut SendStream, message: Bytes) -> Result<(), quinn::WriteError> {
    let len = u32::try_from(message.len()).expect("bounded by its class");
    let head = Bytes::copy_from_slice(&len.to_be_bytes());
    // Both at once, so that a small message is one packet.
    stream.write_all_chunks(&mut [head, message]).await
}

/// The tag of a stream that a peer has opened.
pub async fn read_tag(stream: &mut RecvStream) -> Result<u8, FrameError> {
    let mut tag = [0; 1];
    match timeout(TAG_TIMEOUT, stream.read_exact(&mut tag)).await {
        Ok(Ok(())) => Ok(tag[0]),
        Ok(Err(ReadExactError::FinishedEarly(_))) => Err(FrameError::Malformed),
        Ok(Err(ReadExactError::ReadError(error))) => Err(error.into()),
        Err(_) => Err(FrameError::Reset),
    }
}

/// The length of the next message; waits for it without limit.
pub async fn read_len(stream: &mut RecvStream, bytes_max: usize) -> Result<usize, FrameError> {
    let mut len = [0; 4];
    match stream.read_exact(&mut len).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(0)) => return Err(FrameError::End),
        Err(ReadExactError::FinishedEarly(_)) => return Err(FrameError::Malformed),
        Err(ReadExactError::ReadError(error)) => return Err(error.into()),
    }
    let len = u32::from_be_bytes(len) as usize;
    if len > bytes_max {
        return Err(FrameError::Oversize);
    }
    Ok(len)
}

/// The message whose length has been read.
pub async fn read_message(stream: &mut RecvStream, len: usize) -> Result<Vec<u8>, FrameError> {
    let mut message = Vec::with_capacity(len.min(RESERVED_BYTES_MAX));
    while message.len() < len {
        // In order: out-of-order chunks would each pin the datagram that brought them.
        let Some(chunk) = stream.read_chunk(len - message.len(), true).await? else {
            return Err(FrameError::Malformed);
        };
        message.extend_from_slice(&chunk.bytes);
    }
    Ok(message)
}

/// Succeeds where the stream ends here, as that of a single message must.
pub async fn read_end(stream: &mut RecvStream) -> Result<(), FrameError> {
    match stream.read_chunk(1, true).await? {
        None => Ok(()),
        Some(_) => Err(FrameError::Malformed),
    }
}

/// The class of a stream by its tag.
pub fn class_of(tag: u8) -> Result<Class, FrameError> {
    Class::from_tag(tag).ok_or(FrameError::Malformed)
}
