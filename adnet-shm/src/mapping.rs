//! Memory of a segment in this process: creation, opening, protection, and typed access.
//!
//! The `shared_memory` crate creates and opens segments by name. It always maps everything
//! writable and keeps a descriptor; a side wants neither. So a side duplicates the mapping it was
//! given, lets go of the original together with its descriptor, and takes the right to write from
//! the pages that are not its own.

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;

use rustix::fs::statvfs;
use rustix::mm::{Advice, MprotectFlags, MremapFlags, madvise, mprotect, mremap, munmap};
use shared_memory::{Shmem, ShmemConf, ShmemError};

use crate::error::ShmError;
use crate::header::{Form, HEADER_BYTES, Header, check_capacity, decode_header};
use crate::layout::{CONSUMER_PAGE, DATA, MAGIC, PAGE, PRODUCER_PAGE, SHM_DIR};
use crate::side::{Side, SidePage};

/// Which pages a mapping may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Its own page and the data.
    Producer,
    /// Its own page.
    Consumer,
}

/// A private duplicate of a segment's mapping, without a descriptor.
///
/// Invariant: `base` points to `len` mapped bytes until drop, `len` is at least `DATA`, and the
/// header has been checked against `len`.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
    header: Header,
}

// SAFETY: the mapping belongs to this value alone and is reached only through it. What lies behind
// is shared with other processes anyway; all access to words that others store is atomic.
unsafe impl Send for Mapping {}
// SAFETY: as above; shared references give out atomics and raw pointers only.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Opens the segment `name`, checks it, and keeps the right to write only as `access` says.
    pub(crate) fn open(name: &str, access: Access) -> Result<Mapping, ShmError> {
        check_name(name)?;
        check_page_size()?;
        let shmem = match ShmemConf::new().os_id(name).open() {
            Ok(shmem) => shmem,
            Err(error) => return Err(open_error(name, error)),
        };
        let mapping = Mapping::duplicate(&shmem, name)?;
        drop(shmem);
        let pages: &[(usize, usize)] = match access {
            Access::Producer => &[(0, PAGE), (CONSUMER_PAGE, PAGE)],
            Access::Consumer => &[(0, PRODUCER_PAGE + PAGE), (DATA, mapping.len - DATA)],
        };
        for &(from, len) in pages {
            // SAFETY: the range lies in the mapping (`DATA <= len`), begins on a page, and nothing
            // in this process writes there: the types below give no write access to it.
            unsafe {
                mprotect(
                    mapping.base.as_ptr().add(from).cast::<c_void>(),
                    len,
                    MprotectFlags::READ,
                )
            }
            .map_err(|errno| os_error("mprotect", name, errno))?;
        }
        Ok(mapping)
    }

    fn duplicate(shmem: &Shmem, name: &str) -> Result<Mapping, ShmError> {
        let len = shmem.len();
        if len < DATA {
            return Err(ShmError::Length {
                expected: DATA as u64,
                found: len as u64,
            });
        }
        // SAFETY: an old size of zero asks Linux for a second mapping of the same shared pages at
        // a fresh address; nothing existing is moved or unmapped.
        let base = unsafe {
            mremap(
                shmem.as_ptr().cast::<c_void>(),
                0,
                len,
                MremapFlags::MAYMOVE,
            )
        }
        .map_err(|errno| os_error("mremap", name, errno))?;
        let base = NonNull::new(base.cast::<u8>()).expect("the kernel maps nothing at address 0");
        // SAFETY: `base` points to `len >= DATA` freshly mapped bytes, page aligned. The creator
        // stores the magic last, so if it is there, the bytes behind it do not change any more.
        let bytes = unsafe {
            let magic = std::sync::atomic::AtomicU64::from_ptr(base.as_ptr().cast::<u64>());
            let mut bytes = [0u8; HEADER_BYTES];
            bytes[..8].copy_from_slice(
                &magic
                    .load(std::sync::atomic::Ordering::Acquire)
                    .to_le_bytes(),
            );
            std::ptr::copy_nonoverlapping(
                base.as_ptr().add(8),
                bytes.as_mut_ptr().add(8),
                HEADER_BYTES - 8,
            );
            bytes
        };
        match decode_header(&bytes, len as u64) {
            Ok(header) => Ok(Mapping { base, len, header }),
            Err(error) => {
                // SAFETY: the range was mapped just above and nothing refers to it.
                let _ = unsafe { munmap(base.as_ptr().cast::<c_void>(), len) };
                Err(error)
            }
        }
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The page of one side. Store only through the page this mapping was opened for.
    pub(crate) fn side(&self, side: Side) -> &SidePage {
        // SAFETY: the mapping is at least `DATA` long and lives as long as `self`.
        unsafe { side_page(self.base.as_ptr(), side) }
    }

    /// First byte of the data area, `header().capacity` bytes long.
    pub(crate) fn data(&self) -> *mut u8 {
        // SAFETY: `DATA <= len`, so the result lies in the mapping or one past its end.
        unsafe { self.base.as_ptr().add(DATA) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is ours alone, and whoever borrowed from it borrowed `self`.
        let _ = unsafe { munmap(self.base.as_ptr().cast::<c_void>(), self.len) };
    }
}

/// The page of one side of the segment mapped at `base`.
///
/// # Safety
/// `base` points to at least [`DATA`] mapped bytes that stay mapped for `'a`.
pub(crate) unsafe fn side_page<'a>(base: *mut u8, side: Side) -> &'a SidePage {
    let offset = match side {
        Side::Producer => PRODUCER_PAGE,
        Side::Consumer => CONSUMER_PAGE,
    };
    // SAFETY: in bounds by the contract, page aligned, and any bytes are a valid SidePage since it
    // consists of atomic integers.
    unsafe { &*base.add(offset).cast::<SidePage>() }
}

/// Creates the segment, gives it all its pages, and lets `initialise` fill them before the magic
/// makes it valid.
pub(crate) fn create(
    name: &str,
    header: &Header,
    initialise: impl FnOnce(*mut u8),
) -> Result<Shmem, ShmError> {
    check_name(name)?;
    check_page_size()?;
    check_capacity(header.form, header.capacity)?;
    let total = header.total_bytes();
    // Asked first, because populating would take all memory there is before it fails.
    let free = free_bytes(name)?;
    if total > free {
        return Err(no_space(name, total, free));
    }
    let size = usize::try_from(total).expect("capacity is at most 2^30");
    let shmem = match ShmemConf::new().os_id(name).size(size).create() {
        Ok(shmem) => shmem,
        Err(ShmemError::MappingIdExists) => return Err(ShmError::Exists(name.to_owned())),
        Err(error) => return Err(other_error("create", name, error)),
    };
    // From here on, dropping `shmem` unlinks the segment.
    // SAFETY: the range is the mapping just made. Populating only allocates what a first touch
    // would allocate; without it a full /dev/shm is a SIGBUS in the middle of a store.
    let populated = unsafe {
        madvise(
            shmem.as_ptr().cast::<c_void>(),
            size,
            Advice::LinuxPopulateWrite,
        )
    };
    match populated {
        Ok(()) => {}
        Err(rustix::io::Errno::FAULT | rustix::io::Errno::NOMEM | rustix::io::Errno::NOSPC) => {
            return Err(no_space(name, total, free_bytes(name)?));
        }
        Err(errno) => return Err(os_error("populate", name, errno)),
    }
    initialise(shmem.as_ptr());
    let bytes = header.encode();
    // SAFETY: the mapping is larger than a header; nobody else reads it before the magic is there,
    // and the magic is one aligned atomic store.
    unsafe {
        std::ptr::copy_nonoverlapping(
            bytes.as_ptr().add(8),
            shmem.as_ptr().add(8),
            HEADER_BYTES - 8,
        );
        std::sync::atomic::AtomicU64::from_ptr(shmem.as_ptr().cast::<u64>())
            .store(MAGIC, std::sync::atomic::Ordering::Release);
    }
    Ok(shmem)
}

/// A header of this process for a new segment.
pub(crate) fn new_header(
    form: Form,
    ring_id: u32,
    capacity: usize,
    schema_hash: [u8; 32],
    build_id: [u8; 16],
) -> Header {
    let pid = std::process::id();
    Header {
        ring_id,
        capacity,
        schema_hash,
        build_id,
        owner_pid: pid,
        form,
        owner_start_ticks: crate::stale::start_ticks(pid).unwrap_or(0),
    }
}

fn check_name(name: &str) -> Result<(), ShmError> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.');
    if (1..=200).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with('.') {
        Ok(())
    } else {
        Err(ShmError::Name(name.chars().take(200).collect()))
    }
}

fn check_page_size() -> Result<(), ShmError> {
    match rustix::param::page_size() {
        PAGE => Ok(()),
        other => Err(ShmError::PageSize(other)),
    }
}

fn free_bytes(name: &str) -> Result<u64, ShmError> {
    let stat = statvfs(SHM_DIR).map_err(|errno| os_error("statvfs of /dev/shm", name, errno))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn no_space(name: &str, needed_bytes: u64, available_bytes: u64) -> ShmError {
    ShmError::NoSpace {
        name: name.to_owned(),
        needed_bytes,
        available_bytes,
    }
}

fn os_error(operation: &'static str, name: &str, errno: rustix::io::Errno) -> ShmError {
    ShmError::Os {
        operation,
        name: name.to_owned(),
        source: errno.into(),
    }
}

fn open_error(name: &str, error: ShmemError) -> ShmError {
    match error {
        ShmemError::MapOpenFailed(code)
            if code == rustix::io::Errno::NOENT.raw_os_error().unsigned_abs() =>
        {
            ShmError::NotFound(name.to_owned())
        }
        // An empty segment cannot be mapped; it is one whose creation has just begun.
        ShmemError::MapOpenFailed(code)
            if code == rustix::io::Errno::INVAL.raw_os_error().unsigned_abs() =>
        {
            ShmError::Length {
                expected: DATA as u64,
                found: 0,
            }
        }
        other => other_error("open", name, other),
    }
}

fn other_error(operation: &'static str, name: &str, error: ShmemError) -> ShmError {
    let source = match error {
        ShmemError::MapCreateFailed(code)
        | ShmemError::MapOpenFailed(code)
        | ShmemError::UnknownOsError(code) => {
            io::Error::from_raw_os_error(i32::try_from(code).unwrap_or(i32::MAX))
        }
        other => io::Error::other(other.to_string()),
    };
    ShmError::Os {
        operation,
        name: name.to_owned(),
        source,
    }
}
