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
use crate::mapping::SHM_DIR;

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
    let Some(running_since) = start_ticks(pid) else {
        // No such process. A failure to read /proc for any other reason must not cost a live node
        // its rings, so ask the kernel in the second way, too.
        return rustix::process::Pid::from_raw(i32::try_from(pid).unwrap_or(0)).is_none_or(|pid| {
            rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
        });
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

/// When the process started, in clock ticks since boot; `None` if there is no such process.
pub(crate) fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command in parentheses may contain anything, also spaces and parentheses. The 22nd field
    // of all is the 20th behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
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
    fn this_process_has_a_start_time_and_an_impossible_one_has_none() {
        assert!(start_ticks(std::process::id()).is_some());
        assert_eq!(start_ticks(u32::MAX), None);
    }
}
