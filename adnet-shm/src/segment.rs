//! The supervisor's side of a ring: creation, epochs, recovery after a death, removal.
//!
//! The segment outlives its users. When one of them dies, the supervisor raises the epoch of that
//! side, looks the ring over, wakes the survivor, and starts a successor with the new epoch.

use std::os::fd::OwnedFd;

use shared_memory::Shmem;

use crate::audit::{self, RingAudit};
use crate::error::ShmError;
use crate::header::{Form, Header};
use crate::layout::{DATA, GRANULE};
use crate::mapping::{self, side_page};
use crate::side::{Side, SidePage};
use crate::wait::{ring, wake_all};

/// What a ring is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingSpec {
    /// Name below /dev/shm, without a slash: `<prefix><pid of the supervisor>-<anything>`, so that
    /// [`crate::unlink_stale`] can tell whose it was.
    pub name: String,
    /// Identifies the ring within its node.
    pub ring_id: u32,
    /// Bytes of data: a power of two from 4096 to 2³⁰. The largest message is an eighth of it.
    pub capacity: usize,
    /// Hash of the definitions of all messages on the ring.
    pub schema_hash: [u8; 32],
    /// Build of this binary.
    pub build_id: [u8; 16],
}

/// A ring's memory, owned by the supervisor and unlinked when dropped.
pub struct Segment {
    memory: OwnedMemory,
    header: Header,
    doorbell: Option<OwnedFd>,
}

impl Segment {
    /// Creates the ring with all its memory allocated.
    ///
    /// # Errors
    /// `NoSpace` if /dev/shm cannot hold it, in which case nothing is left there; `Exists` if the
    /// name is taken; `Name` and `Capacity` for values out of bounds.
    pub fn create(spec: &RingSpec) -> Result<Segment, ShmError> {
        Segment::create_at(spec, 0)
    }

    /// [`Segment::create`] with both indices at `start_index`, to test what happens at 2⁶⁴.
    #[doc(hidden)]
    pub fn create_at(spec: &RingSpec, start_index: u64) -> Result<Segment, ShmError> {
        assert!(start_index.is_multiple_of(GRANULE), "indices are aligned");
        let header = mapping::new_header(
            Form::Ring,
            spec.ring_id,
            spec.capacity,
            spec.schema_hash,
            spec.build_id,
        );
        let shmem = mapping::create(&spec.name, &header, |base| {
            for side in [Side::Producer, Side::Consumer] {
                // SAFETY: `create` passes a mapping of the whole segment, which is larger than
                // `DATA` and stays while this closure runs.
                unsafe { side_page(base, side) }.initialise(start_index, 1);
            }
        })?;
        Ok(Segment {
            memory: OwnedMemory::new(shmem),
            header,
            doorbell: None,
        })
    }

    /// Name below /dev/shm.
    pub fn name(&self) -> &str {
        self.memory.shmem.get_os_id()
    }

    /// The header as it was written.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The epoch under which a process may attach to `side`; 1 in the beginning.
    pub fn epoch(&self, side: Side) -> u32 {
        self.page(side).epoch()
    }

    /// Fences the present owner of `side` off and returns the epoch of its successor.
    ///
    /// Only when the old process is known to be gone: the pidfd is the authority.
    pub fn bump_epoch(&self, side: Side) -> u32 {
        self.page(side).bump_epoch()
    }

    /// After the death of a side: checks header, indices and all committed records, and wakes
    /// whoever sleeps, because the dead may have owed a wake.
    ///
    /// Nothing has to be repaired. What was not committed does not exist, and what was not released
    /// is delivered again.
    ///
    /// # Errors
    /// `Corrupt` if the ring cannot be continued; make a new one then.
    pub fn recover(&self) -> Result<RingAudit, ShmError> {
        let audit = self.audit();
        self.wake_all();
        audit
    }

    /// Keeps a copy of the consumer's doorbell, to ring it in [`Segment::wake_all`].
    pub fn set_doorbell(&mut self, fd: OwnedFd) {
        self.doorbell = Some(fd);
    }

    /// Wakes both sides, whatever they wait for. They look at the ring and decide for themselves.
    pub fn wake_all(&self) {
        for side in [Side::Producer, Side::Consumer] {
            wake_all(self.page(side).futex_word());
        }
        if let Some(doorbell) = &self.doorbell {
            ring(doorbell);
        }
    }

    /// Checks everything that can be checked without changing anything, while the ring is in use.
    pub fn audit(&self) -> Result<RingAudit, ShmError> {
        // SAFETY: the mapping is as long as the header says, and lives as long as `self`.
        unsafe { audit::audit(self.memory.base(), self.memory.shmem.len() as u64) }
    }

    fn page(&self, side: Side) -> &SidePage {
        // SAFETY: the segment was created with at least `DATA` bytes and is mapped until drop.
        unsafe { side_page(self.memory.base(), side) }
    }
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment")
            .field("name", &self.name())
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// A created segment. Unlinked on drop, but only by the process that created it: a forked child
/// that drops its copy must not take the name away from its parent.
pub(crate) struct OwnedMemory {
    pub(crate) shmem: Shmem,
    owner_pid: u32,
}

// SAFETY: `Shmem` is a name, a descriptor and a mapping, none bound to a thread; it is not `Send`
// only for its raw pointer. What is behind the pointer is accessed through atomics.
unsafe impl Send for OwnedMemory {}
// SAFETY: as above; no method of `Shmem` used through a shared reference changes it.
unsafe impl Sync for OwnedMemory {}

impl OwnedMemory {
    pub(crate) fn new(shmem: Shmem) -> OwnedMemory {
        assert!(shmem.len() >= DATA, "every form has its three pages");
        OwnedMemory {
            shmem,
            owner_pid: std::process::id(),
        }
    }

    pub(crate) fn base(&self) -> *mut u8 {
        self.shmem.as_ptr()
    }
}

impl Drop for OwnedMemory {
    fn drop(&mut self) {
        if std::process::id() != self.owner_pid {
            self.shmem.set_owner(false);
        }
    }
}
