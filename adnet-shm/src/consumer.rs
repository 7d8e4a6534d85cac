//! The reading end of a ring.
//!
//! `try_recv` looks at the next record in place and moves a reading position that only this
//! process knows. [`Consumer::release`] moves the shared index behind everything read so far. Call
//! it AFTER the effect of the records: what was not released when the process dies comes again to
//! its successor, with the same number, and the sink drops numbers that it has applied already.
//!
//! Invariant: a payload borrows the consumer, so nothing can be released while it is in use.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};

use crate::error::{Corruption, RingError, ShmError};
use crate::header::{Header, RingExpect};
use crate::layout::{
    GRANULE, KIND_PAD, MESSAGE_FRACTION, RECORD_HEADER, RecordHeader, record_span,
};
use crate::mapping::{Access, Mapping};
use crate::producer::{check_distance, claim};
use crate::side::{Cursor, Side, SidePage, Wake, Waker};
use crate::wait::{SPIN_ROUNDS, WaitOutcome, sleep_on, spin, wake_all};

/// How far ahead a consumer fetches committed lines, in bytes.
const PREFETCH_BYTES: u64 = 512;

/// The reading end of a ring. One per ring and epoch.
#[derive(Debug)]
pub struct Consumer {
    mapping: Mapping,
    epoch: u32,
    ring_id: u32,
    capacity: u64,
    message_max: usize,
    /// What the producer sees: everything before it is released.
    head: Cursor,
    /// Where the next record begins, and its number.
    read: u64,
    read_seq: u64,
    /// The producer's index as last loaded.
    tail_seen: u64,
    waker: Waker,
    /// Whether anything was released since the last fenced look at the producer.
    unsignalled: bool,
    doorbell: Option<OwnedFd>,
    spin_rounds: u32,
    corrupt_count: u64,
}

/// A ring that this process has mapped for reading, and not attached to: it holds no side yet, and
/// whoever holds one is not disturbed.
#[derive(Debug)]
pub struct MappedConsumer(Mapping);

impl MappedConsumer {
    /// Maps the ring `name`. Call it before the process gives up the right to open files;
    /// afterwards no descriptor remains.
    ///
    /// # Errors
    /// Any difference between the segment and `expect`.
    pub fn open(name: &str, expect: &RingExpect) -> Result<MappedConsumer, ShmError> {
        let mapping = Mapping::open(name, Access::Consumer)?;
        mapping.header().require(expect)?;
        Ok(MappedConsumer(mapping))
    }

    /// Attaches under the epoch that the supervisor gave, and begins with the first record that the
    /// previous consumer did not release.
    ///
    /// # Errors
    /// A stale epoch, a side in use, and indices that cannot be.
    pub fn attach(self, epoch: u32) -> Result<Consumer, ShmError> {
        let MappedConsumer(mapping) = self;
        let capacity = mapping.header().capacity;
        let page = mapping.side(Side::Consumer);
        claim(page, epoch)?;
        let resumed = page.resume().and_then(|head| {
            let tail_seen = mapping.side(Side::Producer).index();
            check_distance(head.index, tail_seen, capacity as u64)?;
            Ok((head, tail_seen))
        });
        let (head, tail_seen) = match resumed {
            Ok(found) => found,
            Err(corruption) => {
                page.release_claim(epoch);
                return Err(corruption.into());
            }
        };
        // What a killed predecessor left here describes nobody's sleep.
        page.disarm();
        Ok(Consumer {
            epoch,
            ring_id: mapping.header().ring_id,
            capacity: capacity as u64,
            message_max: capacity / MESSAGE_FRACTION,
            read: head.index,
            read_seq: head.seq,
            head,
            tail_seen,
            waker: Waker::default(),
            unsignalled: true,
            doorbell: None,
            spin_rounds: SPIN_ROUNDS,
            corrupt_count: 0,
            mapping,
        })
    }
}

impl Consumer {
    /// Maps the ring `name` and attaches to it at once, as [`MappedConsumer`] does in two steps.
    ///
    /// # Errors
    /// Those of both steps.
    pub fn attach(name: &str, expect: &RingExpect, epoch: u32) -> Result<Consumer, ShmError> {
        MappedConsumer::open(name, expect)?.attach(epoch)
    }

    /// The next record, or `None` if the producer has committed no further one.
    ///
    /// Reading does not release. Several records may be read one after the other and released
    /// together.
    ///
    /// # Errors
    /// `Corrupt` for bytes that no correct producer writes; the consumer stays where it is and
    /// gives the same answer again. `Fenced` when this side has been replaced.
    #[inline]
    pub fn try_recv(&mut self) -> Result<Option<Record<'_>>, RingError> {
        if self.is_fenced() {
            return Err(RingError::Fenced);
        }
        if self.read == self.tail_seen && !self.look_for_more()? {
            // A poller soon sees the index move, and then needs these lines at once.
            prefetch_for_read(self.place(self.read));
            prefetch_for_read(self.place(self.read.wrapping_add(GRANULE)));
            self.signal_space();
            return Ok(None);
        }
        let mut header = self.header_at_read()?;
        if header.kind == KIND_PAD {
            // Padding never stands last, so a record follows it at the beginning of the data.
            self.read = self.read.wrapping_add(record_span(header.len as usize));
            header = self.header_at_read()?;
            if header.kind == KIND_PAD {
                return Err(self.corrupt(Corruption::Padding));
            }
        }
        if self.tail_seen.wrapping_sub(self.read) > PREFETCH_BYTES {
            let ahead = self.read.wrapping_add(PREFETCH_BYTES);
            prefetch_for_read(self.place(ahead));
            prefetch_for_read(self.place(ahead.wrapping_add(GRANULE)));
        }
        let payload = self.place(self.read).wrapping_add(RECORD_HEADER);
        let seq = self.read_seq;
        self.read = self.read.wrapping_add(record_span(header.len as usize));
        self.read_seq = seq.wrapping_add(1);
        Ok(Some(Record {
            kind: header.kind,
            flags: header.flags,
            seq,
            payload,
            len: header.len as usize,
            consumer: self,
        }))
    }

    /// Gives everything read so far back to the producer. Call it after the effect.
    #[inline]
    pub fn release(&mut self) {
        if self.read == self.head.index || self.is_fenced() {
            return;
        }
        let mut head = self.head;
        self.page().publish(&mut head, self.read, self.read_seq);
        self.head = head;
        self.unsignalled = true;
        // Without a fence this may miss a producer that goes to sleep right now. The fenced look
        // follows when the ring is found empty, at the latest.
        self.wake_producer();
    }

    /// Whether a record can be read, without reading it.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.read != self.tail_seen || self.read != self.producer().index()
    }

    /// Waits until a record can be read: a bounded spin, then sleep.
    pub fn wait(&mut self, timeout: Duration) -> WaitOutcome {
        self.wait_until(Instant::now() + timeout)
    }

    /// Like [`Consumer::wait`], with a point in time.
    pub fn wait_until(&mut self, deadline: Instant) -> WaitOutcome {
        if self.is_ready() {
            return WaitOutcome::Ready;
        }
        self.signal_space();
        if spin(self.spin_rounds, || self.is_ready()) {
            return WaitOutcome::Ready;
        }
        loop {
            if self.is_fenced() {
                return WaitOutcome::Fenced;
            }
            let seen = self.read;
            self.page().arm(seen, Wake::Futex);
            // The second look, after the fence in `arm`.
            if self.producer().index() == seen {
                sleep_on(self.producer().futex_word(), seen as u32, deadline);
            }
            self.page().disarm();
            if self.is_ready() {
                return WaitOutcome::Ready;
            }
            if Instant::now() >= deadline {
                return WaitOutcome::TimedOut;
            }
        }
    }

    /// Sets how many rounds of `pause` [`Consumer::wait`] looks before it sleeps. With 0 it sleeps
    /// at once, for where a core is scarcer than a wake is slow.
    pub fn set_spin_rounds(&mut self, rounds: u32) {
        self.spin_rounds = rounds;
    }

    /// Keeps the eventfd that the producer rings, for [`Consumer::doorbell`].
    pub fn set_doorbell(&mut self, fd: OwnedFd) {
        self.doorbell = Some(fd);
    }

    /// The eventfd to wait for in an event loop.
    pub fn doorbell(&self) -> Option<BorrowedFd<'_>> {
        self.doorbell.as_ref().map(|fd| fd.as_fd())
    }

    /// Asks the producer to ring the doorbell at its next flush.
    ///
    /// Returns true if the ring is empty and the doorbell will ring: wait for it then. False means
    /// that a record is there already, or that this side is fenced: read instead of waiting.
    /// A wait needs a timeout of [`crate::BACKSTOP`] all the same, since a producer may be killed
    /// between its commit and the ring.
    pub fn arm_doorbell(&mut self) -> bool {
        self.signal_space();
        if self.is_ready() || self.is_fenced() {
            return false;
        }
        self.page().arm(self.read, Wake::Doorbell);
        if self.producer().index() == self.read {
            return true;
        }
        self.page().disarm();
        false
    }

    /// Takes the request back and empties the doorbell's counter, after a wait.
    pub fn disarm_doorbell(&mut self) {
        self.page().disarm();
        if let Some(fd) = &self.doorbell {
            let mut counter = [0u8; 8];
            // Not readable means that it did not ring; both are fine.
            let _ = rustix::io::read(fd, &mut counter);
        }
    }

    /// Whether the supervisor has given this side to another process.
    #[inline]
    pub fn is_fenced(&self) -> bool {
        self.page().epoch() != self.epoch
    }

    /// How often corrupt bytes were found.
    pub fn corrupt_count(&self) -> u64 {
        self.corrupt_count
    }

    /// Number of the next record to read.
    pub fn next_seq(&self) -> u64 {
        self.read_seq
    }

    /// The header of the segment.
    pub fn header(&self) -> &Header {
        self.mapping.header()
    }

    fn page(&self) -> &SidePage {
        self.mapping.side(Side::Consumer)
    }

    fn producer(&self) -> &SidePage {
        self.mapping.side(Side::Producer)
    }

    fn place(&self, index: u64) -> *const u8 {
        // The masked offset is smaller than the capacity, so the place lies in the mapping.
        self.mapping
            .data()
            .wrapping_add((index & (self.capacity - 1)) as usize)
    }

    /// Loads the producer's index. Says whether anything unread is there.
    #[inline]
    fn look_for_more(&mut self) -> Result<bool, RingError> {
        let tail = self.producer().index();
        if tail == self.tail_seen {
            return Ok(false);
        }
        // Relative to what is released, the producer is at most one ring ahead. It also never goes
        // back behind what it has committed before.
        let ahead = tail.wrapping_sub(self.head.index);
        let known = self.tail_seen.wrapping_sub(self.head.index);
        if check_distance(self.head.index, tail, self.capacity).is_err() || ahead < known {
            return Err(self.corrupt(Corruption::Index));
        }
        self.tail_seen = tail;
        Ok(true)
    }

    /// Loads the header at the reading position once and checks it.
    #[inline]
    fn header_at_read(&mut self) -> Result<RecordHeader, RingError> {
        let place = self.place(self.read).cast_mut().cast::<u64>();
        // SAFETY: the position is a multiple of 64 in the data, where a granule is longer than a
        // header. Atomic, because a broken producer might store there at this moment.
        let words = unsafe {
            [
                AtomicU64::from_ptr(place).load(Ordering::Relaxed),
                AtomicU64::from_ptr(place.add(1)).load(Ordering::Relaxed),
            ]
        };
        let committed = self.tail_seen.wrapping_sub(self.read);
        let to_end = self.capacity - (self.read & (self.capacity - 1));
        RecordHeader::decode(
            words,
            self.ring_id,
            self.read_seq,
            committed,
            to_end,
            self.message_max,
        )
        .map_err(|what| self.corrupt(what))
    }

    #[cold]
    fn corrupt(&mut self, what: Corruption) -> RingError {
        self.corrupt_count = self.corrupt_count.saturating_add(1);
        RingError::Corrupt {
            ring_id: self.ring_id,
            index: self.read,
            what,
        }
    }

    /// Wakes a producer that waits for space, with the fence that makes the look certain.
    #[inline]
    fn signal_space(&mut self) {
        if self.unsignalled {
            self.unsignalled = false;
            fence(Ordering::SeqCst);
            self.wake_producer();
        }
    }

    #[inline]
    fn wake_producer(&mut self) {
        // Half of the ring is enough for any message, so waking earlier would only cost more.
        let used = self.tail_seen.wrapping_sub(self.head.index);
        if used <= self.capacity / 2
            && let Some(Wake::Futex) = self
                .waker
                .due(self.mapping.side(Side::Producer), self.head.index)
        {
            wake_all(self.page().futex_word());
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.signal_space();
        self.page().disarm();
        self.page().release_claim(self.epoch);
    }
}

/// One record, in place.
#[derive(Debug)]
pub struct Record<'a> {
    /// What the payload is.
    pub kind: u16,
    /// As given by the producer.
    pub flags: u16,
    /// Number of the record in its ring, dense from 1.
    pub seq: u64,
    payload: *const u8,
    len: usize,
    consumer: &'a mut Consumer,
}

impl Record<'_> {
    /// The message, 16-byte aligned, in shared memory.
    ///
    /// A correct producer does not touch it before it is released. One that is not trusted to be
    /// correct could; copy the bytes before validating them if that matters.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        // SAFETY: the header check has shown that `len` bytes lie within the committed part of the
        // data; the record borrows the consumer, so they cannot be released before.
        unsafe { std::slice::from_raw_parts(self.payload, self.len) }
    }

    /// Releases this record and all before it. Call it after the effect.
    #[inline]
    pub fn release(self) {
        self.consumer.release();
    }
}

/// Fetches a line that the producer is about to fill, so that it comes together with its index.
#[inline]
fn prefetch_for_read(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no architectural effect, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(place.cast::<i8>());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
