//! The classes of messages between two peers: stream, priority, bounds, and what gives way when a queue is full.
//!
//! quinn's priorities are strict, but order only what is buffered locally; so each class has a
//! queue of its own per peer, and the queue is bounded in messages and bytes.

use std::time::Duration;

/// What a message is for. The number is the first byte of the stream that carries it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Votes, signed proposals, commit certificates.
    Consensus = 1,
    /// The body of one proposed block.
    Body = 2,
    /// A chain's status or a request for blocks.
    SyncRequest = 3,
    /// Blocks with their certificates.
    SyncResponse = 4,
}

/// How messages of a class are laid on streams.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// One stream per direction for as long as the link lives; each message is preceded by its
    /// length as u32, big-endian.
    Framed,
    /// A stream per message, ended by FIN: a large one never holds up another.
    StreamPerMessage,
}

/// What a full queue drops.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest: what is newer supersedes it. (Heights and rounds are not visible here, but
    /// the oldest message of a queue is of the stalest.)
    DropOldest,
    /// The newcomer: nothing makes it worth more than what waits.
    DropNewest,
}

/// The bounds of a class on one link and direction.
#[derive(Copy, Clone, Debug)]
pub struct Limits {
    pub carrier: Carrier,
    /// quinn's: a stream gets a turn only when none above it has data to send.
    pub priority: i32,
    pub message_bytes_max: usize,
    pub queue_messages_max: usize,
    pub queue_bytes_max: usize,
    pub overflow: Overflow,
    /// Sustained messages per second that are read from a peer. Above it, reading pauses.
    pub rate_per_s: u32,
    /// Messages that may come at once before the rate binds.
    pub burst: u32,
    /// How long one message may take to arrive, from its first byte on.
    pub transfer_timeout: Duration,
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

const CONSENSUS: Limits = Limits {
    carrier: Carrier::Framed,
    priority: 100,
    message_bytes_max: 256 * KIB,
    queue_messages_max: 1024,
    queue_bytes_max: 4 * MIB,
    overflow: Overflow::DropOldest,
    rate_per_s: 2_000,
    burst: 4_000,
    transfer_timeout: Duration::from_secs(10),
};

const BODY: Limits = Limits {
    carrier: Carrier::StreamPerMessage,
    priority: 80,
    message_bytes_max: 9 * MIB,
    queue_messages_max: 4,
    queue_bytes_max: 18 * MIB,
    overflow: Overflow::DropOldest,
    rate_per_s: 10,
    burst: 20,
    transfer_timeout: Duration::from_secs(30),
};

const SYNC_REQUEST: Limits = Limits {
    carrier: Carrier::StreamPerMessage,
    priority: 20,
    message_bytes_max: 64 * KIB,
    queue_messages_max: 64,
    queue_bytes_max: MIB,
    overflow: Overflow::DropNewest,
    rate_per_s: 20,
    burst: 100,
    transfer_timeout: Duration::from_secs(10),
};

const SYNC_RESPONSE: Limits = Limits {
    carrier: Carrier::StreamPerMessage,
    priority: 20,
    message_bytes_max: 9 * MIB,
    queue_messages_max: 8,
    queue_bytes_max: 27 * MIB,
    overflow: Overflow::DropNewest,
    rate_per_s: 20,
    burst: 100,
    transfer_timeout: Duration::from_secs(30),
};

// A queue that could not hold one message of the largest size would drop it for ever.
const _: () = assert!(CONSENSUS.message_bytes_max <= CONSENSUS.queue_bytes_max);
const _: () = assert!(BODY.message_bytes_max <= BODY.queue_bytes_max);
const _: () = assert!(SYNC_REQUEST.message_bytes_max <= SYNC_REQUEST.queue_bytes_max);
const _: () = assert!(SYNC_RESPONSE.message_bytes_max <= SYNC_RESPONSE.queue_bytes_max);

impl Class {
    pub const ALL: [Class; 4] = [
        Class::Consensus,
        Class::Body,
        Class::SyncRequest,
        Class::SyncResponse,
    ];

    /// The first byte of a stream of this class.
    pub const fn tag(self) -> u8 {
        self as u8
    }

    pub fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.tag() == tag)
    }

    /// Place in arrays that hold one item per class, in the order of [`Class::ALL`].
    pub(super) const fn index(self) -> usize {
        self as usize - 1
    }

    /// The class's label in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Consensus => "consensus",
            Class::Body => "body",
            Class::SyncRequest => "sync_request",
            Class::SyncResponse => "sync_response",
        }
    }

    /// The largest message, in bytes.
    pub const fn message_bytes_max(self) -> usize {
        self.limits().message_bytes_max
    }

    pub(super) const fn limits(self) -> &'static Limits {
        match self {
            Class::Consensus => &CONSENSUS,
            Class::Body => &BODY,
            Class::SyncRequest => &SYNC_REQUEST,
            Class::SyncResponse => &SYNC_RESPONSE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_indices_name_each_class_once() {
        for (index, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(Class::from_tag(class.tag()), Some(class));
            assert_eq!(class.index(), index);
        }
        assert_eq!(Class::from_tag(0), None);
        assert_eq!(Class::from_tag(5), None);
    }
}
