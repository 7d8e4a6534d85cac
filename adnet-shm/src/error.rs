//! What can go wrong with a segment, a loan and a read, each with its name.

use std::fmt;

/// A hash, printed in hexadecimal so that two of them can be compared in a log line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hex32(pub [u8; 32]);

impl fmt::Display for Hex32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hex32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes in shared memory that no correct process writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corruption {
    /// An index is not a multiple of the granule, or lies further from the other than a ring.
    #[error("an index is out of range")]
    Index,
    /// No journal slot describes the index.
    #[error("the journal does not describe the index")]
    Journal,
    /// A record does not carry the number that must come next.
    #[error("a record has the wrong sequence number")]
    Sequence,
    /// The check word of a record header is wrong.
    #[error("the check word of a record is wrong")]
    RecordCheck,
    /// A record reaches beyond the committed bytes, the end of the data or the largest message.
    #[error("a record has an impossible length")]
    RecordLength,
    /// Padding that does not end with the data, or behind which nothing was committed.
    #[error("padding is misplaced")]
    Padding,
    /// A flag of the heartbeat line has a value outside its range.
    #[error("a hint has an impossible value")]
    Hint,
}

/// Creating, attaching or checking a segment failed.
#[derive(Debug, thiserror::Error)]
pub enum ShmError {
    /// The name is empty, too long or has a character outside `[A-Za-z0-9_.-]`.
    #[error("segment name {0:?} is not usable: 1 to 200 characters of A-Z a-z 0-9 _ . -")]
    Name(String),
    /// The capacity is not a power of two within the bounds.
    #[error("capacity of {0} bytes is not a power of two between 4096 and 2^30")]
    Capacity(usize),
    /// The kernel's pages are not those of the layout.
    #[error("page size of {0} bytes is not supported, only 4096")]
    PageSize(usize),
    /// A segment of this name is there already.
    #[error("segment {0} exists already")]
    Exists(String),
    /// There is no segment of this name.
    #[error("segment {0} does not exist")]
    NotFound(String),
    /// /dev/shm has no room for the segment. Nothing is left behind.
    #[error(
        "/dev/shm is too full for segment {name}: {needed_bytes} bytes needed, {available_bytes} available"
    )]
    NoSpace {
        /// Name of the segment.
        name: String,
        /// Size of the whole segment.
        needed_bytes: u64,
        /// Free bytes at the time of the request.
        available_bytes: u64,
    },
    /// The operating system refused.
    #[error("{operation} of segment {name}: {source}")]
    Os {
        /// What was tried.
        operation: &'static str,
        /// Name of the segment.
        name: String,
        /// The answer.
        source: std::io::Error,
    },
    /// The length of the segment is not what its header, or the layout, says.
    #[error("segment has {found} bytes instead of {expected}")]
    Length {
        /// Bytes there must be, or the least there must be.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// The segment is not one of ours, or its creation has not finished.
    #[error("segment has no valid magic number")]
    Magic,
    /// The segment was made by a binary with another memory layout.
    #[error("segment has layout version {theirs}, this binary has {ours}")]
    AbiMismatch {
        /// Version of this binary.
        ours: u32,
        /// Version of the segment.
        theirs: u32,
    },
    /// The header bytes do not fit their checksum.
    #[error("segment header is damaged")]
    HeaderCrc,
    /// A field of the header has an impossible value although the checksum fits.
    #[error("segment header field {0} is out of range")]
    HeaderField(&'static str),
    /// Another ring than the expected one.
    #[error("segment holds ring {theirs}, expected ring {ours}")]
    RingMismatch {
        /// Ring that was expected.
        ours: u32,
        /// Ring of the segment.
        theirs: u32,
    },
    /// The two processes disagree about the messages.
    #[error("message schema differs: ours {ours}, theirs {theirs}")]
    SchemaMismatch {
        /// Hash of this process.
        ours: Hex32,
        /// Hash of the segment's creator.
        theirs: Hex32,
    },
    /// The epoch is not the current one: this process has been replaced, or was never meant.
    #[error("epoch {given} may not attach, the current one is {current}")]
    StaleEpoch {
        /// Epoch of the caller.
        given: u32,
        /// Epoch of the side.
        current: u32,
    },
    /// The side is in use under this epoch.
    #[error("this side of the ring is attached already in epoch {0}")]
    AlreadyAttached(u32),
    /// The ring's bytes are damaged.
    #[error("ring is corrupt: {0}")]
    Corrupt(#[from] Corruption),
}

/// A slot could not be had or committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoanError {
    /// The consumer has not yet released enough. Nothing is ever overwritten.
    #[error("the ring is full")]
    Full,
    /// The message can never fit.
    #[error("message is larger than the {max} bytes this ring allows")]
    TooLarge {
        /// Largest message of this ring in bytes.
        max: usize,
    },
    /// The supervisor has given this side to another process.
    #[error("this producer has been replaced")]
    Fenced,
    /// The consumer's index is impossible.
    #[error("ring is corrupt: {0}")]
    Corrupt(Corruption),
}

/// A record could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// Bytes that no correct producer writes. The consumer stays where it is.
    #[error("ring {ring_id} is corrupt at index {index}: {what}")]
    Corrupt {
        /// Ring.
        ring_id: u32,
        /// Where the consumer stands.
        index: u64,
        /// What is wrong.
        what: Corruption,
    },
    /// The supervisor has given this side to another process.
    #[error("this consumer has been replaced")]
    Fenced,
}
