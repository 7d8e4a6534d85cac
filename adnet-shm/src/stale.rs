//! Removal of segments whose owner is gone.
//!
//! A supervisor that was killed cannot unlink what it made. The next one on this machine does it
//! at its start. Several nodes may share /dev/shm, so only a segment whose owner is certainly dead
//! is touched: the pid stands in the name, and the header says when that process had started, in
//! case the pid belongs to somebody else by now.

use std::fs;
use std::io::Read;
use std::path::Path;

use crate::header::{HEADER_BYTES, decode_header};
use crate::layout::SHM_DIR;

/// Unlinks the segments named `<prefix><pid>-…` whose owner no longer runs; returns how many.
///
/// A segment of a running process is left alone, and so is every name of another shape.
pub fn unlink_stale(prefix: &str) -> usize {
    let Ok(entries) = fs::read_dir(SHM_DIR) else {
        return 0;
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| owner_in_name(name, prefix)) else {
                return false;
            };
            // Two sweeps at once: one of them finds the file gone, which is no removal of its own.
            is_stale(&entry.path(), pid) && fs::remove_file(entry.path()).is_ok()
        })
        .count()
}

/// The pid in a name of the form `<prefix><pid>-…`.
fn owner_in_name(name: &str, prefix: &str) -> Option<u32> {
    let (pid, _) = name.strip_prefix(prefix)?.split_once('-')?;
    if pid.is_empty() || !pid.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    pid.parse().ok()
}

fn is_stale(path: &Path, pid: u32) -> bool {
    let running_since = match process(pid) {
        Process::Running { since_ticks } => since_ticks,
        Process::Zombie => return true,
        // Nothing readable in /proc, for whatever reason. It must not cost a live node its rings,
        // so the kernel is asked in the second way, too.
        Process::Unknown => {
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap_or(0));
            return pid.is_none_or(|pid| {
                rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
            });
        }
    };
    let mut bytes = [0u8; HEADER_BYTES];
    let read = fs::File::open(path).and_then(|mut file| {
        file.read_exact(&mut bytes)?;
        file.metadata()
    });
    let Ok(metadata) = read else { return false };
    // Not valid means: perhaps being created at this moment by the process of that pid.
    decode_header(&bytes, metadata.len())
        .is_ok_and(|header| header.owner_pid == pid && header.owner_start_ticks != running_since)
}

/// What /proc says about a process.
#[derive(Debug, PartialEq, Eq)]
enum Process {
    /// It runs, since so many clock ticks after boot.
    Running { since_ticks: u64 },
    /// It has ended and is not reaped: it holds no memory any more, and a killed supervisor may
    /// wait a while for that.
    Zombie,
    /// There is none, or /proc does not tell.
    Unknown,
}

fn process(pid: u32) -> Process {
    let read = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command in parentheses may contain anything, also spaces and parentheses. Behind it
        // come the state and, as the 22nd field of all, the start time.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        if matches!(fields.next()?, "Z" | "X") {
            return Some(Process::Zombie);
        }
        let since_ticks = fields.nth(18)?.parse().ok()?;
        Some(Process::Running { since_ticks })
    };
    read().unwrap_or(Process::Unknown)
}

/// When the process started, in clock ticks since boot; `None` if it does not run.
pub(crate) fn start_ticks(pid: u32) -> Option<u64> {
    match process(pid) {
        Process::Running { since_ticks } => Some(since_ticks),
        Process::Zombie | Process::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_prefix_and_pid_have_an_owner() {
        assert_eq!(owner_in_name("adnet-dev-42-alpha", "adnet-dev-"), Some(42));
        for name in [
            "adnet-dev-alpha",
            "adnet-dev-42",
            "adnet-dev--x",
            "adnet-dev-4a-x",
            "adnet-dev-99999999999-x",
            "other-42-x",
        ] {
            assert_eq!(owner_in_name(name, "adnet-dev-"), None, "{name}");
        }
    }

    #[test]
    fn a_zombie_owns_nothing() {
        let mut child = std::process::Command::new("true").spawn().expect("a child");
        let pid = child.id();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while process(pid) != Process::Zombie {
            assert!(std::time::Instant::now() < deadline, "`true` ends");
            std::thread::yield_now();
        }
        assert!(is_stale(Path::new("/dev/shm/any"), pid));
        child.wait().expect("reaped");
    }

    #[test]
    fn this_process_has_a_start_time_and_an_impossible_one_has_none() {
        assert!(start_ticks(std::process::id()).is_some());
        assert_eq!(start_ticks(u32::MAX), None);
    }
}
