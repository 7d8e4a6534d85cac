//! A worker's sign of life, in a small segment of its own.
//!
//! ```text
//!   P0  header (form: heartbeat)
//!   P1  written by the worker, read-only elsewhere
//!         0x00  state      u32   meaning agreed by the users
//!         0x04  epoch      u32   incarnation that wrote last
//!         0x08  progress   u64   grows with the work done
//!         0x10  beat_ns    u64   CLOCK_MONOTONIC of the last beat, stored last
//!         0x80  ready      raw_sync BusyEvent
//!         0x100 alive      u32   thread id while alive, then FUTEX_OWNER_DIED (see robust.rs)
//!   P2  written by the supervisor, read-only in the worker
//!         0x00  epoch      u32   incarnation that may attach
//!         0x80  stop       raw_sync BusyEvent
//!   P3  unused (every segment has a data area)
//! ```
//!
//! The two events are hints that are polled. A `BusyEvent` is one byte that is stored and loaded
//! with Relaxed order: whoever dies beside it leaves nothing locked, and it publishes no data.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use raw_sync::Timeout;
use raw_sync::events::{BusyEvent, EventInit, EventState};
use rustix::mm::{MprotectFlags, mprotect};
use rustix::time::{ClockId, clock_gettime};

use crate::error::{Corruption, ShmError};
use crate::header::Form;
use crate::layout::{CONSUMER_PAGE, PAGE, PRODUCER_PAGE};
use crate::mapping::{self, Access, Mapping};
use crate::robust;
use crate::segment::OwnedMemory;
use crate::wait::sleep_on;

#[repr(C, align(128))]
struct Line<T>(T);

/// The bytes of one BusyEvent: the signal and a flag for automatic reset.
type Hint = [AtomicU8; 2];

#[repr(C)]
struct Pulse {
    state: AtomicU32,
    epoch: AtomicU32,
    progress: AtomicU64,
    beat_ns: AtomicU64,
}

#[repr(C)]
struct WorkerPage {
    pulse: Line<Pulse>,
    ready: Line<Hint>,
    alive: Line<AtomicU32>,
}

#[repr(C)]
struct SupervisorPage {
    epoch: Line<AtomicU32>,
    stop: Line<Hint>,
}

const _: () = assert!(
    std::mem::size_of::<WorkerPage>() <= PAGE && std::mem::size_of::<SupervisorPage>() <= PAGE
);

/// What the heartbeat line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// State as the worker gave it.
    pub state: u32,
    /// Work done, as the worker counts it.
    pub progress: u64,
    /// CLOCK_MONOTONIC in nanoseconds at the last beat, 0 before the first.
    pub monotonic_ns: u64,
    /// Incarnation of the worker that wrote last, 0 before the first.
    pub epoch: u32,
}

/// The supervisor's side: creates, reads and unlinks.
pub struct HeartbeatSegment {
    memory: OwnedMemory,
}

impl HeartbeatSegment {
    /// Creates the segment, in epoch 1. `worker_id` identifies the worker within its node.
    ///
    /// # Errors
    /// As for a ring.
    pub fn create(
        name: &str,
        worker_id: u32,
        build_id: [u8; 16],
    ) -> Result<HeartbeatSegment, ShmError> {
        let header = mapping::new_header(Form::Heartbeat, worker_id, PAGE, [0; 32], build_id);
        let shmem = mapping::create(name, &header, |base| {
            // SAFETY: `create` passes the whole mapping; a fresh one is zero, which is a cleared
            // event as BusyEvent lays it out, and nobody else has it yet.
            let page = unsafe { &*base.add(CONSUMER_PAGE).cast::<SupervisorPage>() };
            page.epoch.0.store(1, Ordering::Release);
        })?;
        Ok(HeartbeatSegment {
            memory: OwnedMemory::new(shmem),
        })
    }

    /// Name below /dev/shm.
    pub fn name(&self) -> &str {
        self.memory.shmem.get_os_id()
    }

    /// The incarnation that may attach.
    pub fn epoch(&self) -> u32 {
        self.supervisor().epoch.0.load(Ordering::Acquire)
    }

    /// Fences the present worker off, clears both hints, and returns the epoch of its successor.
    ///
    /// Only when the old process is known to be gone.
    pub fn bump_epoch(&self) -> u32 {
        let next = self
            .epoch()
            .checked_add(1)
            .expect("four billion restarts take longer than any node lives");
        set_hint(&self.supervisor().stop, false);
        set_hint(&self.worker().ready, false);
        self.worker().alive.0.store(0, Ordering::Relaxed);
        self.supervisor().epoch.0.store(next, Ordering::Release);
        next
    }

    /// The last beat. Each field is whole; together they may span two beats.
    pub fn read(&self) -> Beat {
        let pulse = &self.worker().pulse.0;
        // Stored last by the worker, so the rest is at least as new.
        let monotonic_ns = pulse.beat_ns.load(Ordering::Acquire);
        Beat {
            state: pulse.state.load(Ordering::Relaxed),
            progress: pulse.progress.load(Ordering::Relaxed),
            epoch: pulse.epoch.load(Ordering::Relaxed),
            monotonic_ns,
        }
    }

    /// Whether the worker has said that it is ready.
    ///
    /// # Errors
    /// `Corrupt` if the hint has an impossible value.
    pub fn is_ready(&self) -> Result<bool, ShmError> {
        read_hint(&self.worker().ready)
    }

    /// Asks the worker to stop, by a hint that it polls.
    pub fn request_stop(&self) {
        set_hint(&self.supervisor().stop, true);
    }

    /// Whether the worker has announced its death watch; only then can a death be seen here.
    pub fn is_watched(&self) -> bool {
        robust::is_alive(self.worker().alive.0.load(Ordering::Acquire))
    }

    /// Waits until the kernel reports that the worker is dying, or for `timeout`; says whether so.
    ///
    /// This comes before the process is gone: memory is torn down afterwards, which takes tens of
    /// milliseconds for a large one. Treat it as an early warning and the pidfd as the authority.
    /// Returns false at once if the worker has not announced a watch.
    pub fn wait_for_death(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let word = &self.worker().alive.0;
        loop {
            let seen = word.load(Ordering::Acquire);
            if robust::is_dead(seen) {
                return true;
            }
            if !robust::is_alive(seen) || Instant::now() >= deadline {
                return false;
            }
            sleep_on(word, seen, deadline);
        }
    }

    fn worker(&self) -> &WorkerPage {
        // SAFETY: every segment has at least three pages; the page consists of atomics and of
        // bytes that are only touched through BusyEvent.
        unsafe { &*self.memory.base().add(PRODUCER_PAGE).cast::<WorkerPage>() }
    }

    fn supervisor(&self) -> &SupervisorPage {
        // SAFETY: as in `worker`.
        unsafe {
            &*self
                .memory
                .base()
                .add(CONSUMER_PAGE)
                .cast::<SupervisorPage>()
        }
    }
}

impl std::fmt::Debug for HeartbeatSegment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeartbeatSegment")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// The worker's side: writes beats, reads the hint to stop.
#[derive(Debug)]
pub struct Heartbeat {
    mapping: Mapping,
    epoch: u32,
}

/// A heartbeat that this process has mapped and does not beat yet.
#[derive(Debug)]
pub struct MappedHeartbeat(Mapping);

impl MappedHeartbeat {
    /// Maps the heartbeat `name` of the worker `worker_id`. Leaves no descriptor.
    ///
    /// # Errors
    /// `RingMismatch` for another worker's segment, and whatever is wrong with the segment.
    pub fn open(name: &str, worker_id: u32) -> Result<MappedHeartbeat, ShmError> {
        // The worker's page is where a producer's is; the data area has no use here.
        let mapping = Mapping::open(name, Access::Producer)?;
        let header = mapping.header();
        if header.form != Form::Heartbeat {
            return Err(ShmError::HeaderField("form"));
        }
        if header.ring_id != worker_id {
            return Err(ShmError::RingMismatch {
                ours: worker_id,
                theirs: header.ring_id,
            });
        }
        // SAFETY: the last page of the mapping, which no type here refers to.
        unsafe { mprotect(mapping.data().cast::<c_void>(), PAGE, MprotectFlags::READ) }.map_err(
            |errno| ShmError::Os {
                operation: "mprotect",
                name: name.to_owned(),
                source: errno.into(),
            },
        )?;
        Ok(MappedHeartbeat(mapping))
    }

    /// Attaches under the epoch that the supervisor gave.
    ///
    /// # Errors
    /// `StaleEpoch` if this incarnation has been replaced.
    pub fn attach(self, epoch: u32) -> Result<Heartbeat, ShmError> {
        let MappedHeartbeat(mapping) = self;
        let heartbeat = Heartbeat { mapping, epoch };
        let current = heartbeat.supervisor().epoch.0.load(Ordering::Acquire);
        if current != epoch {
            return Err(ShmError::StaleEpoch {
                given: epoch,
                current,
            });
        }
        let pulse = &heartbeat.worker().pulse.0;
        pulse.epoch.store(epoch, Ordering::Relaxed);
        Ok(heartbeat)
    }
}

impl Heartbeat {
    /// Maps the heartbeat and attaches to it at once, as [`MappedHeartbeat`] does in two steps.
    ///
    /// # Errors
    /// Those of both steps.
    pub fn attach(name: &str, worker_id: u32, epoch: u32) -> Result<Heartbeat, ShmError> {
        MappedHeartbeat::open(name, worker_id)?.attach(epoch)
    }

    /// Says that the worker lives, what it is doing and how far it has come.
    pub fn beat(&self, state: u32, progress: u64) {
        let pulse = &self.worker().pulse.0;
        pulse.state.store(state, Ordering::Relaxed);
        pulse.progress.store(progress, Ordering::Relaxed);
        pulse.beat_ns.store(monotonic_ns(), Ordering::Release);
    }

    /// A beat with one more of progress than the last: for a worker whose progress is its turns.
    pub fn count(&self, state: u32) {
        // Nobody else writes this line, so nothing is lost between the two.
        let progress = self.worker().pulse.0.progress.load(Ordering::Relaxed);
        self.beat(state, progress.wrapping_add(1));
    }

    /// Tells the supervisor that the worker serves.
    pub fn mark_ready(&self) {
        set_hint(&self.worker().ready, true);
    }

    /// Whether the supervisor has asked to stop.
    ///
    /// # Errors
    /// `Corrupt` if the hint has an impossible value.
    pub fn stop_requested(&self) -> Result<bool, ShmError> {
        read_hint(&self.supervisor().stop)
    }

    /// Whether the supervisor has given this heartbeat to another process.
    pub fn is_fenced(&self) -> bool {
        self.supervisor().epoch.0.load(Ordering::Acquire) != self.epoch
    }

    /// Makes the kernel mark the heartbeat when this process dies, before its memory is torn down.
    ///
    /// Starts one thread that sleeps for the rest of the process and shares ownership of the
    /// mapping, which therefore stays until then. Call it before the sandbox if that forbids
    /// threads or `set_robust_list`.
    ///
    /// # Errors
    /// `Os` if the thread cannot be started or the kernel refuses.
    pub fn watch_death(self: &std::sync::Arc<Self>) -> Result<(), ShmError> {
        let heartbeat = std::sync::Arc::clone(self);
        robust::hold_until_death(move || heartbeat.alive_word()).map_err(|source| ShmError::Os {
            operation: "robust list",
            name: "heartbeat".to_owned(),
            source,
        })
    }

    fn alive_word(&self) -> std::ptr::NonNull<AtomicU32> {
        std::ptr::NonNull::from(&self.worker().alive.0)
    }

    fn worker(&self) -> &WorkerPage {
        // SAFETY: as in `HeartbeatSegment::worker`; this mapping was opened with write access to
        // this page.
        unsafe { &*self.page(PRODUCER_PAGE).cast::<WorkerPage>() }
    }

    fn supervisor(&self) -> &SupervisorPage {
        // SAFETY: as above, read-only.
        unsafe { &*self.page(CONSUMER_PAGE).cast::<SupervisorPage>() }
    }

    fn page(&self, offset: usize) -> *const u8 {
        // The data follows the three pages, so this stays in the mapping.
        self.mapping
            .data()
            .wrapping_sub(crate::layout::DATA)
            .wrapping_add(offset)
    }
}

/// CLOCK_MONOTONIC in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).expect("the monotonic clock counts from boot");
    let nanos = u64::try_from(now.tv_nsec).expect("below 10^9");
    seconds * 1_000_000_000 + nanos
}

fn set_hint(hint: &Line<Hint>, on: bool) {
    let state = if on {
        EventState::Signaled
    } else {
        EventState::Clear
    };
    // SAFETY: the two bytes are mapped writable for the caller's side and as long as a BusyEvent,
    // which stores into them atomically. `new` clears the event and makes its reset manual.
    let event = unsafe { BusyEvent::new(hint.0[0].as_ptr(), false) };
    let set = event.and_then(|(event, _)| event.set(state));
    debug_assert!(set.is_ok(), "a BusyEvent has nothing that can fail");
}

fn read_hint(hint: &Line<Hint>) -> Result<bool, ShmError> {
    // Looked at in a copy: an event with a damaged flag would store when it is waited for, and this
    // side may not write there.
    let mut copy = [
        hint.0[0].load(Ordering::Relaxed),
        hint.0[1].load(Ordering::Relaxed),
    ];
    // SAFETY: the copy has the size of a BusyEvent and outlives it.
    let event = unsafe { BusyEvent::from_existing(copy.as_mut_ptr()) };
    match event {
        Ok((event, _)) => Ok(event.wait(Timeout::Val(Duration::ZERO)).is_ok()),
        Err(_) => Err(Corruption::Hint.into()),
    }
}
