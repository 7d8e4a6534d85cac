//! The protocol on the two side pages: commit, resume after death, sleep and wake.
//!
//! Nothing here touches the data, the kernel or a mapping; that is why loom can explore it with
//! the very code that runs. Every function is a handful of atomic operations, and a process may be
//! killed between any two of them.
//!
//! The rules:
//!
//! * The owner of a page is the only one that stores into it, except for `epoch`, which only the
//!   supervisor stores.
//! * `index` moves by one Release store after all that it promises; the other side loads it with
//!   Acquire.
//! * Sleep: store `armed`, fence, look at the other index again, sleep only if it has not moved.
//!   Wake: store the index, fence, look at `armed`. With both fences SeqCst, at least one of the
//!   two sees the other (Dekker).
//! * `armed` holds the index that its owner had seen, so a waker knows whether there is anything
//!   new for the sleeper, and wakes once per arming.

use crate::Corruption;
use crate::atomics::{AtomicU32, AtomicU64, Ordering, fence};
use crate::layout::GRANULE;

/// One of the two ends of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Writes records.
    Producer,
    /// Reads records.
    Consumer,
}

/// How a sleeping side is to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// It waits on the futex, which is the other side's index.
    Futex,
    /// It waits in an event loop for its doorbell, an eventfd.
    Doorbell,
}

const MODE_MASK: u64 = GRANULE - 1;
const MODE_FUTEX: u64 = 1;
const MODE_DOORBELL: u64 = 2;

/// A value on a pair of cache lines of its own.
#[repr(C, align(128))]
struct Line<T>(T);

#[repr(C)]
struct JournalSlot {
    at: AtomicU64,
    seq: AtomicU64,
}

#[repr(C)]
struct Standing {
    epoch: AtomicU32,
    attached: AtomicU32,
}

/// The page of one side. See [`crate::layout`] for the picture.
#[repr(C)]
pub struct SidePage {
    index: Line<AtomicU64>,
    journal: Line<[JournalSlot; 2]>,
    standing: Line<Standing>,
    armed: Line<AtomicU64>,
}

#[cfg(not(loom))]
const _: () = {
    assert!(std::mem::size_of::<SidePage>() == 0x200);
    assert!(std::mem::offset_of!(SidePage, journal) == 0x80);
    assert!(std::mem::offset_of!(SidePage, standing) == 0x100);
    assert!(std::mem::offset_of!(SidePage, armed) == 0x180);
};

/// Where a side stands: what its owner knows about its own page without loading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The side's index.
    pub index: u64,
    /// Number of the record that comes next at this index.
    pub seq: u64,
    /// Journal slot that describes `index`; the other one is free for the next store.
    slot: usize,
}

impl SidePage {
    /// A page at `index` whose next record has the number `seq`, in epoch 1, not attached.
    #[cfg(loom)]
    pub fn new(index: u64, seq: u64) -> SidePage {
        let slot = |at, seq| JournalSlot {
            at: AtomicU64::new(at),
            seq: AtomicU64::new(seq),
        };
        SidePage {
            index: Line(AtomicU64::new(index)),
            journal: Line([slot(index, seq), slot(index.wrapping_sub(1), 0)]),
            standing: Line(Standing {
                epoch: AtomicU32::new(1),
                attached: AtomicU32::new(0),
            }),
            armed: Line(AtomicU64::new(0)),
        }
    }

    /// Gives a fresh page its first state. Only for its creator, before the header is valid.
    pub fn initialise(&self, index: u64, seq: u64) {
        self.journal.0[0].at.store(index, Ordering::Relaxed);
        self.journal.0[0].seq.store(seq, Ordering::Relaxed);
        // Not a multiple of the granule, hence never equal to an index.
        self.journal.0[1]
            .at
            .store(index.wrapping_sub(1), Ordering::Relaxed);
        self.standing.0.epoch.store(1, Ordering::Relaxed);
        self.index.0.store(index, Ordering::Release);
    }

    /// The index with all that it promises.
    #[inline]
    pub fn index(&self) -> u64 {
        self.index.0.load(Ordering::Acquire)
    }

    /// The word on which the OTHER side sleeps: the low half of the index.
    #[cfg(not(loom))]
    pub(crate) fn futex_word(&self) -> &AtomicU32 {
        // SAFETY: an AtomicU64 is 8-byte aligned and lives as long as `self`; its first four bytes
        // are its low half (little endian is asserted in the crate root). The reference is only
        // handed to the futex system call, which is atomic with respect to the 8-byte stores.
        unsafe { AtomicU32::from_ptr(self.index.0.as_ptr().cast::<u32>()) }
    }

    /// Reads back where the side stands, as its next owner must before the first store.
    pub fn resume(&self) -> Result<Cursor, Corruption> {
        let index = self.index();
        if !index.is_multiple_of(GRANULE) {
            return Err(Corruption::Index);
        }
        let slot = self
            .journal
            .0
            .iter()
            .position(|slot| slot.at.load(Ordering::Relaxed) == index)
            .ok_or(Corruption::Journal)?;
        Ok(Cursor {
            index,
            seq: self.journal.0[slot].seq.load(Ordering::Relaxed),
            slot,
        })
    }

    /// Moves the side to `index`, after which the record `seq` comes next. This is the commit.
    ///
    /// Precondition: `index` differs from the current one. All stores before the last concern
    /// bytes that nobody looks at while the index is the old one.
    #[inline]
    pub fn publish(&self, cursor: &mut Cursor, index: u64, seq: u64) {
        let whole = self.publish_while(cursor, index, seq, || true);
        debug_assert!(whole, "nothing has stopped it");
    }

    /// [`SidePage::publish`], with the question after each store whether the process still lives;
    /// so a model can kill it there. Returns whether it came to the end.
    #[inline]
    pub fn publish_while(
        &self,
        cursor: &mut Cursor,
        index: u64,
        seq: u64,
        mut alive: impl FnMut() -> bool,
    ) -> bool {
        debug_assert_ne!(cursor.index, index);
        let free = cursor.slot ^ 1;
        let slot = &self.journal.0[free];
        slot.at.store(index, Ordering::Relaxed);
        if !alive() {
            return false;
        }
        slot.seq.store(seq, Ordering::Relaxed);
        if !alive() {
            return false;
        }
        self.index.0.store(index, Ordering::Release);
        *cursor = Cursor {
            index,
            seq,
            slot: free,
        };
        true
    }

    /// Announces that the owner of this page sleeps until the other index is no longer `seen`.
    ///
    /// After this call the owner MUST look at the other index once more before it sleeps.
    pub fn arm(&self, seen: u64, wake: Wake) {
        let mode = match wake {
            Wake::Futex => MODE_FUTEX,
            Wake::Doorbell => MODE_DOORBELL,
        };
        self.armed.0.store(seen | mode, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Takes the announcement back.
    pub fn disarm(&self) {
        self.armed.0.store(0, Ordering::Relaxed);
    }

    /// The announcement as it stands, for [`Waker::due`].
    #[inline]
    fn armed(&self) -> u64 {
        self.armed.0.load(Ordering::Relaxed)
    }

    /// The epoch that may use this side.
    #[inline]
    pub fn epoch(&self) -> u32 {
        self.standing.0.epoch.load(Ordering::Acquire)
    }

    /// Fences the incarnations so far off and returns the epoch of the next one.
    ///
    /// Only for the supervisor, and only when the old process is known to be gone: a process that
    /// has passed its last check may still be about to store.
    pub fn bump_epoch(&self) -> u32 {
        let next = self
            .epoch()
            .checked_add(1)
            .expect("four billion restarts take longer than any node lives");
        self.standing.0.epoch.store(next, Ordering::Release);
        next
    }

    /// The epoch under which the side is in use, 0 for none. A killed process leaves its own.
    pub fn attached(&self) -> u32 {
        self.standing.0.attached.load(Ordering::Acquire)
    }

    /// Takes the side for `epoch`. Returns false if it is in use under this very epoch.
    pub fn claim(&self, epoch: u32) -> bool {
        self.standing.0.attached.swap(epoch, Ordering::AcqRel) != epoch
    }

    /// Gives the side back, unless a later incarnation has it.
    pub fn release_claim(&self, epoch: u32) {
        // A failure means that somebody else owns the side by now, which is nothing to undo.
        let _ = self.standing.0.attached.compare_exchange(
            epoch,
            0,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
    }
}

/// What a waker remembers: for which arming of the other side it has rung.
#[derive(Debug, Default)]
pub struct Waker {
    rung: u64,
}

impl Waker {
    /// Whether the other side sleeps and does not know of `index` yet, and how to wake it.
    ///
    /// To miss nobody, a SeqCst fence lies between the store of `index` and this call. Without the
    /// fence the answer may be late, never wrong.
    ///
    /// One ring per arming is enough: the sleeper armed itself at another index than `index`, so
    /// it either is in the kernel and gets the wake, or is about to enter and is turned back by
    /// the changed futex word. It cannot arm itself at that old index again.
    #[inline]
    pub fn due(&mut self, sleeper: &SidePage, index: u64) -> Option<Wake> {
        let armed = sleeper.armed();
        let wake = match armed & MODE_MASK {
            MODE_FUTEX => Wake::Futex,
            MODE_DOORBELL => Wake::Doorbell,
            _ => return None,
        };
        if armed & !MODE_MASK == index || armed == self.rung {
            return None;
        }
        self.rung = armed;
        Some(wake)
    }
}
