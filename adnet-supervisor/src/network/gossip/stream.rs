//! The streams of a session: what they are for, what they begin with, and who goes first.
//!
//! ```text
//! gossip stream (bidi)  0x20 + topic · epoch u32 · flags u8 · what the routers say
//! bye (uni)             0x30 + topic · epoch u32
//! ```

use std::time::Duration;

use adnet_common::node::Topic;
use quinn::{Connection, ReadExactError, RecvStream, SendStream, WriteError};
use tokio::time::timeout;

use super::super::frame::{self, FrameError};

/// The first byte of a gossip stream, and of one that ends a session, before the topic is added.
const GOSSIP: u8 = 0x20;
const BYE: u8 = 0x30;
/// The flag of a sender that has configured the receiver.
const CONFIGURED: u8 = 1;
/// What follows a tag must come soon.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Transactions go when nothing else has to. An announced block goes before them and before blocks
/// for those that are behind, who have time.
const fn priority(topic: Topic) -> i32 {
    match topic {
        Topic::Transaction => 0,
        Topic::Block => 40,
    }
}

/// The topic of a gossip stream by its tag.
pub fn gossip_topic(tag: u8) -> Option<Topic> {
    Topic::from_byte(tag.checked_sub(GOSSIP)?)
}

/// The topic of a bye by its tag.
pub fn bye_topic(tag: u8) -> Option<Topic> {
    Topic::from_byte(tag.checked_sub(BYE)?)
}

pub const fn gossip_tag(topic: Topic) -> u8 {
    GOSSIP + topic as u8
}

pub const fn bye_tag(topic: Topic) -> u8 {
    BYE + topic as u8
}

/// What is said at the head of a gossip stream.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub topic: Topic,
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
    send.set_priority(priority(header.topic))?;
    let [a, b, c, d] = header.epoch.to_be_bytes();
    let flags = if header.configured { CONFIGURED } else { 0 };
    let tag = gossip_tag(header.topic);
    send.write_all(&[tag, a, b, c, d, flags]).await?;
    Ok((send, recv))
}

/// Reads what follows the tag of a gossip stream.
pub async fn read_header(topic: Topic, stream: &mut RecvStream) -> Result<Header, FrameError> {
    let [a, b, c, d, flags] = read(stream).await?;
    if flags & !CONFIGURED != 0 {
        return Err(FrameError::Malformed);
    }
    Ok(Header {
        topic,
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

pub async fn say_bye(connection: &Connection, topic: Topic, epoch: u32) {
    let said = async {
        let mut stream = frame::open(connection, bye_tag(topic), priority(topic)).await?;
        stream.write_all(&epoch.to_be_bytes()).await?;
        stream.finish().map_err(WriteError::from)
    };
    // A link that is lost ends the session as well.
    let _ = said.await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Class;

    #[test]
    fn a_first_byte_means_one_thing_at_most() {
        for tag in 0..=u8::MAX {
            let meanings = [
                Class::from_tag(tag).is_some(),
                tag == frame::HELLO_TAG,
                gossip_topic(tag).is_some_and(|topic| gossip_tag(topic) == tag),
                bye_topic(tag).is_some_and(|topic| bye_tag(topic) == tag),
            ];
            let count = meanings.iter().filter(|holds| **holds).count();
            let is_known = [1, 2, 3, 4, 0x10, 0x21, 0x22, 0x31, 0x32].contains(&tag);
            assert_eq!(count, usize::from(is_known), "{tag:#x}");
        }
    }
}
