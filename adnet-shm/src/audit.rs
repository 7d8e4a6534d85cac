//! Looking a ring over without taking part in it.
//!
//! Safe while both sides run: a record may be overwritten only after the consumer's index has
//! passed it, so after each look the auditor loads that index again and forgets what it saw if it
//! came too late.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::error::{Corruption, ShmError};
use crate::header::{HEADER_BYTES, decode_header};
use crate::layout::{DATA, GRANULE, KIND_PAD, MESSAGE_FRACTION, RecordHeader, record_span};
use crate::mapping::side_page;
use crate::side::{Cursor, Side, SidePage};

/// What an audit found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingAudit {
    /// Bytes of data.
    pub capacity: usize,
    /// The consumer's index.
    pub head: u64,
    /// The producer's index.
    pub tail: u64,
    /// Number of the next record that will be committed, as the producer's journal has it.
    pub next_seq: u64,
    /// Number of the first record that is not released, as the consumer's journal has it.
    pub released_seq: u64,
    /// Committed records found whole between the two.
    pub records: u64,
    /// Epoch of the producer's side.
    pub producer_epoch: u32,
    /// Epoch of the consumer's side.
    pub consumer_epoch: u32,
    /// Whether the producer's current epoch is in use.
    pub producer_attached: bool,
    /// Whether the consumer's current epoch is in use.
    pub consumer_attached: bool,
}

/// Attempts to see index and journal of a running side together before its state counts as wrong.
const SNAPSHOT_TRIES: u32 = 1_000;

/// # Safety
/// `base` points to a mapped segment of `total` bytes, at least [`DATA`], whose header was checked
/// against `total` when it was mapped; all of it stays mapped during the call.
pub(crate) unsafe fn audit(base: *mut u8, total: u64) -> Result<RingAudit, ShmError> {
    let mut bytes = [0u8; HEADER_BYTES];
    // SAFETY: the header page is mapped and nobody changes it after creation.
    unsafe { std::ptr::copy_nonoverlapping(base, bytes.as_mut_ptr(), HEADER_BYTES) };
    let header = decode_header(&bytes, total)?;
    let capacity = header.capacity as u64;

    // SAFETY: both pages lie below `DATA`.
    let (producer, consumer) = unsafe {
        (
            side_page(base, Side::Producer),
            side_page(base, Side::Consumer),
        )
    };
    // The consumer first: it can only fall behind a producer that is read later.
    let head = snapshot(consumer)?;
    let tail = snapshot(producer)?;
    // Between the two looks the consumer may have released and the producer filled again.
    let head_now = consumer.index();
    if tail.index.wrapping_sub(head_now) > capacity && head_now == head.index {
        return Err(Corruption::Index.into());
    }

    let mut at = head.index;
    let mut seq = head.seq;
    let mut records = 0u64;
    while at != tail.index && tail.index.wrapping_sub(at) <= capacity {
        let offset = at & (capacity - 1);
        // SAFETY: the masked offset is a multiple of 64 smaller than the capacity, and a granule
        // is longer than a header.
        let words = unsafe {
            let place = base.add(DATA + offset as usize).cast::<u64>();
            [
                AtomicU64::from_ptr(place).load(Ordering::Relaxed),
                AtomicU64::from_ptr(place.add(1)).load(Ordering::Relaxed),
            ]
        };
        fence(Ordering::Acquire);
        let released = consumer.index();
        if released.wrapping_sub(head.index) > at.wrapping_sub(head.index) {
            // Released meanwhile, so perhaps overwritten: what lies here proves nothing, and the
            // sides are alive. The records before were whole.
            break;
        }
        let found = RecordHeader::decode(
            words,
            header.ring_id,
            seq,
            tail.index.wrapping_sub(at),
            capacity - offset,
            header.capacity / MESSAGE_FRACTION,
        )?;
        at = at.wrapping_add(record_span(found.len as usize));
        if found.kind != KIND_PAD {
            seq = seq.wrapping_add(1);
            records += 1;
        }
    }
    if at == tail.index && seq != tail.seq {
        return Err(Corruption::Sequence.into());
    }
    debug_assert!(at.is_multiple_of(GRANULE));
    Ok(RingAudit {
        capacity: header.capacity,
        head: head.index,
        tail: tail.index,
        next_seq: tail.seq,
        released_seq: head.seq,
        records,
        producer_epoch: producer.epoch(),
        consumer_epoch: consumer.epoch(),
        producer_attached: producer.attached() == producer.epoch(),
        consumer_attached: consumer.attached() == consumer.epoch(),
    })
}

/// Index and number of a side that may be moving.
fn snapshot(page: &SidePage) -> Result<Cursor, Corruption> {
    let mut tries = 0;
    loop {
        let found = page.resume();
        fence(Ordering::Acquire);
        match found {
            // The journal slot was not reused while it was read if the index is still the same.
            Ok(cursor) if page.index() == cursor.index => return Ok(cursor),
            Err(corruption) if tries == SNAPSHOT_TRIES => return Err(corruption),
            Ok(cursor) if tries == SNAPSHOT_TRIES => return Ok(cursor),
            _ => tries += 1,
        }
        std::hint::spin_loop();
    }
}
