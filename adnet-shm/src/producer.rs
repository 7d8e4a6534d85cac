//! The writing end of a ring.
//!
//! `try_loan` gives a slot inside the shared data, the caller writes its message in place, and
//! `commit` makes it visible with one store. A dropped slot has never existed. The wake of a
//! sleeping consumer is separate ([`Producer::flush`]), so that a batch pays for one fence. A batch
//! may also be made visible by one store as a whole: `stage` its messages, then `flush`.
//!
//! Invariant: bytes between the consumer's index and ours are never touched; a slot lies entirely
//! in the free part.

use std::ops::{Deref, DerefMut};
use std::os::fd::OwnedFd;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

use crate::error::{Corruption, LoanError, ShmError};
use crate::header::{Header, RingExpect};
use crate::layout::{
    GRANULE, KIND_PAD, MESSAGE_FRACTION, RECORD_HEADER, RecordHeader, record_span,
};
use crate::mapping::{Access, Mapping};
use crate::side::{Cursor, Side, SidePage, Wake, Waker};
use crate::wait::{SPIN_ROUNDS, ring, sleep_on, spin, wake_all};

/// How far ahead of its records a producer fetches lines for writing, in bytes. It keeps the stores
/// of a stream from waiting for each line in turn, and makes it about three times as fast.
const PREFETCH_BYTES: u64 = 1024;

/// The writing end of a ring. One per ring and epoch.
#[derive(Debug)]
pub struct Producer {
    mapping: Mapping,
    epoch: u32,
    ring_id: u32,
    capacity: u64,
    message_max: usize,
    /// What the consumer sees: everything before it is committed.
    tail: Cursor,
    /// Where the next record begins, behind what is staged, and its number.
    end: u64,
    end_seq: u64,
    /// The consumer's index as last loaded; it only lags, so it only makes the ring look fuller.
    head_seen: u64,
    waker: Waker,
    /// Whether anything was committed since the last flush.
    unflushed: bool,
    doorbell: Option<OwnedFd>,
    spin_rounds: u32,
}

/// A ring that this process has mapped for writing, and not attached to: it holds no side yet, and
/// whoever holds one is not disturbed.
#[derive(Debug)]
pub struct MappedProducer(Mapping);

impl MappedProducer {
    /// Maps the ring `name`. Call it before the process gives up the right to open files;
    /// afterwards no descriptor remains.
    ///
    /// # Errors
    /// Any difference between the segment and `expect`.
    pub fn open(name: &str, expect: &RingExpect) -> Result<MappedProducer, ShmError> {
        let mapping = Mapping::open(name, Access::Producer)?;
        mapping.header().require(expect)?;
        Ok(MappedProducer(mapping))
    }

    /// Attaches under the epoch that the supervisor gave, and continues where the previous producer
    /// stopped.
    ///
    /// # Errors
    /// A stale epoch, a side in use, and indices that cannot be.
    pub fn attach(self, epoch: u32) -> Result<Producer, ShmError> {
        let MappedProducer(mapping) = self;
        let capacity = mapping.header().capacity;
        let page = mapping.side(Side::Producer);
        claim(page, epoch)?;
        let resumed = page.resume().and_then(|tail| {
            let head_seen = mapping.side(Side::Consumer).index();
            check_distance(head_seen, tail.index, capacity as u64)?;
            Ok((tail, head_seen))
        });
        let (tail, head_seen) = match resumed {
            Ok(found) => found,
            Err(corruption) => {
                page.release_claim(epoch);
                return Err(corruption.into());
            }
        };
        // What a killed predecessor left here describes nobody's sleep.
        page.disarm();
        Ok(Producer {
            epoch,
            ring_id: mapping.header().ring_id,
            capacity: capacity as u64,
            message_max: capacity / MESSAGE_FRACTION,
            end: tail.index,
            end_seq: tail.seq,
            tail,
            head_seen,
            waker: Waker::default(),
            unflushed: true,
            doorbell: None,
            spin_rounds: SPIN_ROUNDS,
            mapping,
        })
    }
}

impl Producer {
    /// Maps the ring `name` and attaches to it at once, as [`MappedProducer`] does in two steps.
    ///
    /// # Errors
    /// Those of both steps.
    pub fn attach(name: &str, expect: &RingExpect, epoch: u32) -> Result<Producer, ShmError> {
        MappedProducer::open(name, expect)?.attach(epoch)
    }

    /// Largest message in bytes: an eighth of the capacity.
    pub fn max_message(&self) -> usize {
        self.message_max
    }

    /// Number that the next record will have. The first of a segment is 1.
    pub fn next_seq(&self) -> u64 {
        self.end_seq
    }

    /// Bytes of the ring that the consumer has not released yet, headers and padding included.
    pub fn used_bytes(&self) -> u64 {
        self.end.wrapping_sub(self.consumer().index())
    }

    /// The header of the segment.
    pub fn header(&self) -> &Header {
        self.mapping.header()
    }

    /// Whether the supervisor has given this side to another process.
    #[inline]
    pub fn is_fenced(&self) -> bool {
        self.page().epoch() != self.epoch
    }

    /// Borrows room for a message of at most `max_len` bytes.
    ///
    /// Its payload is 16-byte aligned and holds whatever was there before.
    ///
    /// # Errors
    /// `Full` when the consumer is behind: nothing is overwritten, try again later. `TooLarge` when
    /// it could never fit. `Fenced` when this side has been replaced. `Corrupt` when the consumer's
    /// index is impossible.
    #[inline]
    pub fn try_loan(&mut self, max_len: usize) -> Result<Slot<'_>, LoanError> {
        if self.is_fenced() {
            return Err(LoanError::Fenced);
        }
        if max_len > self.message_max {
            return Err(LoanError::TooLarge {
                max: self.message_max,
            });
        }
        let pad = self.padding_before(max_len);
        if !self.has_room(pad + record_span(max_len))? {
            // The consumer can make room only behind what it sees.
            self.publish_staged();
            return Err(LoanError::Full);
        }
        Ok(Slot {
            pad,
            max_len,
            producer: self,
        })
    }

    /// Commits what is staged, and tells the consumer, if it sleeps, about everything committed so
    /// far. Once per batch.
    #[inline]
    pub fn flush(&mut self) {
        self.publish_staged();
        if !self.unflushed {
            return;
        }
        self.unflushed = false;
        fence(Ordering::SeqCst);
        let consumer = self.mapping.side(Side::Consumer);
        match self.waker.due(consumer, self.tail.index) {
            None => {}
            Some(Wake::Futex) => wake_all(self.page().futex_word()),
            Some(Wake::Doorbell) => {
                if let Some(doorbell) = &self.doorbell {
                    ring(doorbell);
                }
            }
        }
    }

    /// The eventfd on which an event-loop consumer waits; see [`crate::Consumer::arm_doorbell`].
    pub fn set_doorbell(&mut self, fd: OwnedFd) {
        self.doorbell = Some(fd);
    }

    /// Sets how many rounds of `pause` [`Producer::wait_for_space`] looks before it sleeps.
    pub fn set_spin_rounds(&mut self, rounds: u32) {
        self.spin_rounds = rounds;
    }

    /// Waits until a message of `len` bytes fits, and says whether it does.
    ///
    /// The consumer wakes a waiting producer when half of the ring is free, not at each record.
    /// Returns false at the timeout, when fenced, and for a length that never fits.
    pub fn wait_for_space(&mut self, len: usize, timeout: Duration) -> bool {
        if len > self.message_max || self.is_fenced() {
            return false;
        }
        self.flush();
        let span = self.padding_before(len) + record_span(len);
        let deadline = Instant::now() + timeout;
        if spin(self.spin_rounds, || self.has_room(span).unwrap_or(true)) {
            return self.has_room(span).unwrap_or(false);
        }
        loop {
            if self.is_fenced() {
                return false;
            }
            let seen = self.consumer().index();
            self.page().arm(seen, Wake::Futex);
            // The second look, after the fence in `arm`.
            if self.consumer().index() == seen {
                sleep_on(self.consumer().futex_word(), seen as u32, deadline);
            }
            self.page().disarm();
            match self.has_room(span) {
                Ok(true) => return true,
                Ok(false) if Instant::now() < deadline => {}
                Ok(false) | Err(_) => return false,
            }
        }
    }

    fn page(&self) -> &SidePage {
        self.mapping.side(Side::Producer)
    }

    fn consumer(&self) -> &SidePage {
        self.mapping.side(Side::Consumer)
    }

    /// Makes all staged records visible by the one store of the commit.
    ///
    /// A fenced producer commits nothing: what it has staged never existed.
    #[inline]
    fn publish_staged(&mut self) {
        if self.end == self.tail.index || self.is_fenced() {
            return;
        }
        let mut tail = self.tail;
        self.page().publish(&mut tail, self.end, self.end_seq);
        self.tail = tail;
        self.unflushed = true;
    }

    /// Bytes up to the end of the data if a message of `len` bytes does not fit before it, or 0.
    #[inline]
    fn padding_before(&self, len: usize) -> u64 {
        let to_end = self.capacity - (self.end & (self.capacity - 1));
        if record_span(len) > to_end { to_end } else { 0 }
    }

    /// Whether `span` bytes are free; asks the consumer's index only if the last one is not enough.
    #[inline]
    fn has_room(&mut self, span: u64) -> Result<bool, LoanError> {
        let free = self.capacity - self.end.wrapping_sub(self.head_seen);
        if span <= free {
            return Ok(true);
        }
        let head = self.consumer().index();
        check_distance(head, self.tail.index, self.capacity).map_err(LoanError::Corrupt)?;
        self.head_seen = head;
        Ok(span <= self.capacity - self.end.wrapping_sub(head))
    }

    /// Pointer to the data at `index`.
    #[inline]
    fn at(&self, index: u64) -> *mut u8 {
        let offset = (index & (self.capacity - 1)) as usize;
        // SAFETY: the masked offset is smaller than the capacity, which the header check has
        // compared with the length of the mapping.
        unsafe { self.mapping.data().add(offset) }
    }

    #[inline]
    fn put_header(&mut self, index: u64, header: RecordHeader) {
        let words = header.encode(self.ring_id, self.end_seq);
        let place = self.at(index).cast::<u64>();
        // SAFETY: `index` is a multiple of 64 in the free part of the data, where a granule is at
        // least as long as a header; nobody reads there before the index moves.
        unsafe {
            place.write(words[0]);
            place.add(1).write(words[1]);
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.flush();
        self.page().release_claim(self.epoch);
    }
}

/// Room for one message inside the ring, not yet visible to anyone.
///
/// Dropping it gives the room back.
#[derive(Debug)]
pub struct Slot<'a> {
    producer: &'a mut Producer,
    pad: u64,
    max_len: usize,
}

impl<'a> Slot<'a> {
    /// Makes the first `len` bytes visible as a record, with all that was staged before, and
    /// returns its number.
    ///
    /// A sleeping consumer is not woken: call [`Producer::flush`] after the last of a batch.
    ///
    /// # Errors
    /// `Fenced` when this side has been replaced meanwhile; nothing was committed then.
    ///
    /// # Panics
    /// If `len` is larger than the loan, or `kind` is the reserved [`KIND_PAD`].
    #[inline]
    pub fn commit(self, kind: u16, flags: u16, len: usize) -> Result<u64, LoanError> {
        let (seq, producer) = self.put(kind, flags, len)?;
        producer.publish_staged();
        prefetch_for_write(producer.at(producer.end.wrapping_add(GRANULE)));
        prefetch_for_write(producer.at(producer.end));
        Ok(seq)
    }

    /// Completes the record like [`Slot::commit`], but leaves it invisible until the next commit
    /// or flush, which makes everything staged visible by one store.
    ///
    /// For batches: the consumer is not disturbed record by record. A process that dies before has
    /// staged nothing. A ring found full commits what is staged.
    ///
    /// # Errors
    /// As for [`Slot::commit`].
    ///
    /// # Panics
    /// As for [`Slot::commit`].
    #[inline]
    pub fn stage(self, kind: u16, flags: u16, len: usize) -> Result<u64, LoanError> {
        self.put(kind, flags, len).map(|(seq, _)| seq)
    }

    /// [`Slot::commit`] and [`Producer::flush`] in one, for a message that stands alone.
    pub fn commit_and_wake(self, kind: u16, flags: u16, len: usize) -> Result<u64, LoanError> {
        let Slot {
            producer,
            pad,
            max_len,
        } = self;
        let slot = Slot {
            producer: &mut *producer,
            pad,
            max_len,
        };
        let seq = slot.commit(kind, flags, len)?;
        producer.flush();
        Ok(seq)
    }

    /// Writes the header, and that of padding before it; the record follows what is staged.
    #[inline]
    fn put(self, kind: u16, flags: u16, len: usize) -> Result<(u64, &'a mut Producer), LoanError> {
        assert!(len <= self.max_len, "a commit stays within its loan");
        assert!(kind != KIND_PAD, "the kind of padding is not for messages");
        let Slot { producer, pad, .. } = self;
        if producer.is_fenced() {
            return Err(LoanError::Fenced);
        }
        let start = producer.end;
        if pad > 0 {
            let len = u32::try_from(pad).expect("padding is shorter than the ring")
                - RECORD_HEADER as u32;
            let header = RecordHeader {
                kind: KIND_PAD,
                flags: 0,
                len,
            };
            producer.put_header(start, header);
        }
        let record = start.wrapping_add(pad);
        let header = RecordHeader {
            kind,
            flags,
            len: u32::try_from(len).expect("a message is shorter than the ring"),
        };
        producer.put_header(record, header);
        let seq = producer.end_seq;
        producer.end = record.wrapping_add(record_span(len));
        producer.end_seq = seq.wrapping_add(1);
        let ahead = producer.end.wrapping_add(PREFETCH_BYTES);
        prefetch_for_write(producer.at(ahead));
        prefetch_for_write(producer.at(ahead.wrapping_add(GRANULE)));
        Ok((seq, producer))
    }

    fn payload(&self) -> *mut u8 {
        let index = self.producer.end.wrapping_add(self.pad);
        // SAFETY: the loan was checked to have room for header and payload, contiguously.
        unsafe { self.producer.at(index).add(RECORD_HEADER) }
    }
}

impl Deref for Slot<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `max_len` bytes from there lie in the free part of the data, which only this
        // slot may touch as long as it lives; mapped memory is always initialised.
        unsafe { std::slice::from_raw_parts(self.payload(), self.max_len) }
    }
}

impl DerefMut for Slot<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; the slot borrows the only producer mutably.
        unsafe { std::slice::from_raw_parts_mut(self.payload(), self.max_len) }
    }
}

/// Takes a side for `epoch` after checking that it is the current one.
pub(crate) fn claim(page: &SidePage, epoch: u32) -> Result<(), ShmError> {
    let current = page.epoch();
    if current != epoch || epoch == 0 {
        return Err(ShmError::StaleEpoch {
            given: epoch,
            current,
        });
    }
    if page.claim(epoch) {
        Ok(())
    } else {
        Err(ShmError::AlreadyAttached(epoch))
    }
}

/// Checks that a consumer at `head` and a producer at `tail` can belong to one ring.
#[inline]
pub(crate) fn check_distance(head: u64, tail: u64, capacity: u64) -> Result<(), Corruption> {
    if head.is_multiple_of(GRANULE)
        && tail.is_multiple_of(GRANULE)
        && tail.wrapping_sub(head) <= capacity
    {
        Ok(())
    } else {
        Err(Corruption::Index)
    }
}

/// Fetches the line for writing while nobody waits for it, instead of in the middle of a commit.
#[inline]
fn prefetch_for_write(place: *mut u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no architectural effect, whatever the address; processors without the
    // instruction execute it as a no-op.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) place, options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
