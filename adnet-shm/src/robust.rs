//! Early warning of a death: a robust futex that the kernel marks when its owner dies.
//!
//! A process that is killed first has its threads ended, then its memory torn down, and only then
//! does its pidfd become readable: tens of milliseconds for a large process. The list of robust
//! futexes of a thread is walked at the very beginning of that.
//!
//! One thread is made for it, because the list is per thread and the C library registers its own
//! for every thread it starts. This thread uses no robust mutex, so replacing its list is harmless.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use nix::libc;

/// Set by the kernel in the word of a dead owner.
const OWNER_DIED: u32 = libc::FUTEX_OWNER_DIED;
/// Asks the kernel to wake one waiter when it marks the word.
const WAITERS: u32 = libc::FUTEX_WAITERS;
const TID_MASK: u32 = libc::FUTEX_TID_MASK;

/// Whether the word belongs to a living thread.
pub(crate) fn is_alive(word: u32) -> bool {
    word & OWNER_DIED == 0 && word & TID_MASK != 0
}

/// Whether the kernel has marked the word.
pub(crate) fn is_dead(word: u32) -> bool {
    word & OWNER_DIED != 0
}

/// `struct robust_list_head` of the kernel's ABI, here always with one entry.
#[repr(C)]
struct ListHead {
    first: *const ListNode,
    futex_offset: libc::c_long,
    pending: *const ListNode,
}

#[repr(C)]
struct ListNode {
    next: *const ListHead,
}

/// Starts a thread that owns the futex word until the process ends.
///
/// `word` runs in that thread and yields the word. What it has captured lives as long as the
/// process, and the word must live as long as that.
pub(crate) fn hold_until_death(
    word: impl Fn() -> NonNull<AtomicU32> + Send + 'static,
) -> io::Result<()> {
    let (report, result) = mpsc::channel();
    std::thread::Builder::new()
        .name("death-watch".to_owned())
        .stack_size(64 * 1024)
        .spawn(move || {
            let registered = register(word());
            let failed = registered.is_err();
            // The receiver waits for exactly one message.
            let _ = report.send(registered);
            if failed {
                return;
            }
            loop {
                std::thread::park();
            }
        })?;
    result
        .recv()
        .map_err(|_| io::Error::other("the watching thread ended"))?
}

fn register(word: NonNull<AtomicU32>) -> io::Result<()> {
    // Leaked on purpose: the kernel reads both when the thread ends, which is when the process does.
    let node = Box::leak(Box::new(ListNode {
        next: std::ptr::null(),
    }));
    let offset = (word.as_ptr() as isize).wrapping_sub(std::ptr::from_ref(node) as isize);
    let head = Box::leak(Box::new(ListHead {
        first: std::ptr::from_ref(node),
        futex_offset: offset as libc::c_long,
        pending: std::ptr::null(),
    }));
    node.next = std::ptr::from_ref(head);
    // SAFETY: gettid has no preconditions.
    let tid = unsafe { libc::syscall(libc::SYS_gettid) };
    let tid = u32::try_from(tid).expect("a thread id is a positive 22-bit number");
    // SAFETY: the caller guarantees that the word lives until the process ends.
    unsafe { word.as_ref() }.store(tid | WAITERS, Ordering::Release);
    // SAFETY: head and node are laid out as the kernel expects, form a circle, and are never freed;
    // this thread holds no robust mutex of the C library, whose list this replaces.
    let refused = unsafe {
        libc::syscall(
            libc::SYS_set_robust_list,
            std::ptr::from_ref(head),
            std::mem::size_of::<ListHead>(),
        )
    };
    if refused == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    // SAFETY: as above.
    unsafe { word.as_ref() }.store(0, Ordering::Release);
    Err(error)
}
