//! The floor of every exchange between two cores: one cache line there and one back, no payload.

use std::fs::OpenOptions;
use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hdrhistogram::Histogram;
use rustix::mm::{MapFlags, ProtFlags, mmap};

use super::{fresh_address, peer_command, pin};

#[repr(C, align(128))]
pub(super) struct Line(pub AtomicU64);

#[repr(C)]
pub(super) struct Lines {
    pub there: Line,
    pub back: Line,
}

/// Two shared cache lines and the process that answers.
pub struct Floor {
    lines: &'static Lines,
    path: String,
    next: u64,
    peer: Child,
}

impl Floor {
    /// Name in tables.
    pub const NAME: &'static str = "bare cache lines";

    /// Starts the other process.
    pub fn start() -> Floor {
        let path = format!("/dev/shm/{}-floor", fresh_address());
        let lines = map(&path, true);
        pin(1);
        let peer = peer_command(Floor::NAME)
            .arg(&path)
            .spawn()
            .expect("this binary");
        pin(0);
        let mut floor = Floor {
            lines,
            path,
            next: 0,
            peer,
        };
        floor.round_trip();
        floor
    }

    #[inline]
    fn round_trip(&mut self) {
        self.next += 1;
        self.lines.there.0.store(self.next, Ordering::Release);
        while self.lines.back.0.load(Ordering::Acquire) != self.next {
            std::hint::spin_loop();
        }
    }

    /// `count` round trips, recorded one by one. Returns their total time.
    pub fn round_trips(&mut self, count: u64, tail: &mut Histogram<u64>) -> std::time::Duration {
        let begin = Instant::now();
        for _ in 0..count {
            let begin = Instant::now();
            self.round_trip();
            tail.saturating_record(begin.elapsed().as_nanos() as u64);
        }
        begin.elapsed()
    }

    /// The other process.
    pub(super) fn serve(path: &str) {
        let lines = map(path, false);
        for number in 1u64.. {
            while lines.there.0.load(Ordering::Acquire) != number {
                std::hint::spin_loop();
            }
            lines.back.0.store(number, Ordering::Release);
        }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.peer.kill();
        let _ = self.peer.wait();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Maps a page of a file for the rest of the process.
pub(super) fn map(path: &str, create: bool) -> &'static Lines {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(create)
        .open(path)
        .expect("room in /dev/shm");
    if create {
        file.set_len(4096).expect("room in /dev/shm");
    }
    // SAFETY: a fresh shared mapping of a page that the file has; it is never unmapped, and two
    // zeroed atomics are a valid value.
    unsafe {
        let page = mmap(
            std::ptr::null_mut(),
            4096,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED,
            &file,
            0,
        )
        .expect("a page");
        &*page.cast::<Lines>()
    }
}
