//! Where every byte of a ring segment lies, and how a record is framed.
//!
//! ```text
//!  offset        page            written by     mapped by the other side
//!  ------------  --------------  -------------  ------------------------
//!  0x0000        P0  header      supervisor     read-only, by both
//!  0x1000        P1  producer    producer       read-only
//!  0x2000        P2  consumer    consumer       read-only
//!  0x3000 …      P3… data        producer       read-only
//! ```
//!
//! The supervisor, which made the segment, maps all of it writable and stores only epochs after
//! the beginning.
//!
//! ## P0, the header: immutable after creation
//!
//! ```text
//!   0        8        12       16            24            32                 64
//!   +--------+--------+--------+-------------+-------------+------------------+
//!   | magic  | abi    | ring   | capacity    | total       | schema hash      |
//!   | u64    | u32    | id u32 | u64, bytes  | u64, bytes  | 32 bytes         |
//!   +--------+--------+--------+-------------+-------------+------------------+
//!   64                 80      84      88             96       100
//!   +------------------+-------+-------+--------------+--------+
//!   | build id         | owner | form  | owner start  | crc32  |
//!   | 16 bytes         | pid   | u32   | u64, ticks   | u32    |
//!   +------------------+-------+-------+--------------+--------+
//! ```
//!
//! `magic` is stored last, with Release: who sees it sees all the rest. `crc32` covers the bytes
//! from 8 to 96. `form` tells a ring from a heartbeat. Pid and start time of the owner let a later
//! node recognise what a killed one left behind, even if its pid is in use again.
//!
//! ## P1 and P2: the two side pages have one shape
//!
//! Each word that another process polls has a line pair (128 bytes) of its own, because adjacent
//! lines are fetched in pairs.
//!
//! ```text
//!   0x000  index     u64     producer: tail, end of what is committed
//!                            consumer: head, end of what is consumed with its effect
//!   0x080  journal   2 × {at u64, seq u64}   the sequence number that belongs to an index
//!   0x100  epoch u32, attached u32           incarnation that may use, and that does use, the side
//!   0x180  armed     u64     index | mode while its owner sleeps until the OTHER index moves, or 0
//! ```
//!
//! *Indices* are byte positions that only grow, modulo 2⁶⁴; the place in the data is
//! `index & (capacity − 1)`. They are multiples of 64, which leaves the low bits of `armed` for the
//! way in which its owner wants to be woken.
//!
//! *The journal* makes a restart exact. The number of the next record must survive a `kill -9`, but
//! the commit may be one store only. So before the index moves, the new pair (index, number) goes
//! into the slot that does NOT describe the current index. Whenever the process dies, exactly one
//! slot describes the index that is there.
//!
//! *The futex* on which the consumer sleeps is the low half of the producer's index, and the other
//! way round. Sleeping needs no write access, and a change of the index between the last look and
//! the sleep makes the kernel return at once. The waker never writes into the sleeper's page.
//!
//! ## P3…, the data: records in granules of 64 bytes
//!
//! ```text
//!        0         4         8        10        12        16                16+len
//!        +---------+---------+---------+---------+---------+-----------------+·······+
//!        | seq_low | len     | kind    | flags   | check   | payload         | slack |
//!        | u32     | u32     | u16     | u16     | u32     | 16-byte aligned |       |
//!        +---------+---------+---------+---------+---------+-----------------+·······+
//!        ^ a multiple of 64                                   up to the next multiple ^
//! ```
//!
//! A record is contiguous. If it does not fit before the end of the data, a record of the kind
//! [`KIND_PAD`] fills the rest, and both become visible by the same store. Numbers are dense (padding has
//! none), so a consumer knows the number it must find; the low half of it is enough to check.
//! `check` mixes the full number, the ring id and the other header fields: a record of another ring,
//! of an earlier lap or out of a payload does not pass for the awaited one. Payload bytes carry no
//! checksum: the commit protocol excludes torn ones, and messages are validated where they are read.

/// Bytes in a page. A kernel with larger pages is refused, since protection is set per page.
pub const PAGE: usize = 4096;
/// Unit of allocation in the data, in bytes: one cache line.
pub const GRANULE: u64 = 64;
/// Bytes of a record header.
pub const RECORD_HEADER: usize = 16;
/// Offset of the producer's page.
pub const PRODUCER_PAGE: usize = PAGE;
/// Offset of the consumer's page.
pub const CONSUMER_PAGE: usize = 2 * PAGE;
/// Offset of the data.
pub const DATA: usize = 3 * PAGE;
/// Smallest data area, in bytes.
pub const CAPACITY_MIN: usize = PAGE;
/// Largest data area, in bytes. Lengths in a record are u32; a node has no use for more.
pub const CAPACITY_MAX: usize = 1 << 30;
/// Where Linux keeps POSIX shared memory.
pub(crate) const SHM_DIR: &str = "/dev/shm";
/// The largest message is the capacity divided by this. It bounds what wrapping can waste.
pub const MESSAGE_FRACTION: usize = 8;
/// Kind of a record that only fills the data to its end. Reserved; not usable for messages.
pub const KIND_PAD: u16 = u16::MAX;
/// Version of this layout. Any change of it is incompatible.
pub const ABI_VERSION: u32 = 1;
/// First bytes of a valid segment, `ADNETSHM` in ASCII.
pub const MAGIC: u64 = u64::from_le_bytes(*b"ADNETSHM");

const _: () = {
    assert!(CAPACITY_MIN.is_power_of_two() && CAPACITY_MAX.is_power_of_two());
    assert!(CAPACITY_MAX <= u32::MAX as usize, "a length fits into u32");
    // A record and the padding before it fit into half of an empty ring: whoever waits for half a
    // ring of space can store any message.
    assert!(
        2 * (CAPACITY_MIN / MESSAGE_FRACTION + RECORD_HEADER + GRANULE as usize)
            <= CAPACITY_MIN / 2
    );
    assert!(PAGE.is_multiple_of(GRANULE as usize));
};

use crate::Corruption;

/// Bytes that a record with `len` payload bytes takes: header and payload, in whole granules.
pub const fn record_span(len: usize) -> u64 {
    (RECORD_HEADER as u64 + len as u64).next_multiple_of(GRANULE)
}

/// A record header as it was found, checked against what had to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// What the payload is; [`KIND_PAD`] for filling.
    pub kind: u16,
    /// Free for the user of the ring.
    pub flags: u16,
    /// Payload bytes.
    pub len: u32,
}

/// Mixes the fields of a header into its check word.
fn check_word(ring_id: u32, seq: u64, len: u32, kind: u16, flags: u16) -> u32 {
    // A folded multiplication: two cycles more than none, and any flipped bit changes about half
    // of the result. It is a guard against stray bytes, not against forgery.
    let a = seq ^ 0x9e37_79b9_7f4a_7c15 ^ (u64::from(ring_id) << 17);
    let b = (u64::from(len) << 32 | u64::from(kind) << 16 | u64::from(flags))
        ^ 0xd1b5_4a32_d192_ed03
        ^ seq.rotate_left(32);
    let product = u128::from(a) * u128::from(b);
    let folded = (product as u64) ^ ((product >> 64) as u64);
    (folded as u32) ^ ((folded >> 32) as u32)
}

impl RecordHeader {
    /// The header as two little-endian words, for the record with number `seq` of ring `ring_id`.
    pub fn encode(self, ring_id: u32, seq: u64) -> [u64; 2] {
        let check = check_word(ring_id, seq, self.len, self.kind, self.flags);
        [
            (seq & 0xffff_ffff) | u64::from(self.len) << 32,
            u64::from(self.kind) | u64::from(self.flags) << 16 | u64::from(check) << 32,
        ]
    }

    /// Checks the two words found at a place of the data.
    ///
    /// `committed` is the number of committed bytes from that place on, `to_end` the bytes up to
    /// the end of the data, `message_max` the largest payload. All three come from the reader's own
    /// state. A record passes only if it lies inside all of them.
    pub fn decode(
        words: [u64; 2],
        ring_id: u32,
        seq: u64,
        committed: u64,
        to_end: u64,
        message_max: usize,
    ) -> Result<RecordHeader, Corruption> {
        let seq_low = words[0] as u32;
        let header = RecordHeader {
            len: (words[0] >> 32) as u32,
            kind: words[1] as u16,
            flags: (words[1] >> 16) as u16,
        };
        if seq_low != seq as u32 {
            return Err(Corruption::Sequence);
        }
        let check = check_word(ring_id, seq, header.len, header.kind, header.flags);
        if check != (words[1] >> 32) as u32 {
            return Err(Corruption::RecordCheck);
        }
        let len = header.len as usize;
        let span = record_span(len);
        if span > committed || span > to_end {
            return Err(Corruption::RecordLength);
        }
        if header.kind == KIND_PAD {
            // Padding is there only to reach the end, and something was committed behind it.
            if span != to_end || span == committed {
                return Err(Corruption::Padding);
            }
        } else if len > message_max {
            return Err(Corruption::RecordLength);
        }
        Ok(header)
    }
}
