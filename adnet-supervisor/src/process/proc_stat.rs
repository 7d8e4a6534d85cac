//! What the kernel says about a worker in `/proc`: its CPU time, and whether it is stopped, wants
//! to run, or sleeps. The judge of hangs ([`super::hang`]) asks only when a worker is silent.
//!
//! Format: `proc_pid_stat(5)`. The second field is the thread's name in parentheses, which the
//! process chooses and which may hold spaces and parentheses, so fields are counted from the last
//! closing one.

use std::fs;
use std::io;

use super::hang::{ProcessSample, RunState};

/// Threads of one process that are looked at; a worker has a few dozen.
const THREADS_MAX: usize = 1_024;

/// Samples process `pid`. The number must belong to a child that is not reaped yet, or it may be
/// somebody else's.
///
/// # Errors
///
/// `NotFound` when the process is gone, `InvalidData` when the kernel's line cannot be read.
pub fn sample(pid: i32) -> io::Result<ProcessSample> {
    let process = parse(&fs::read_to_string(format!("/proc/{pid}/stat"))?)?;
    let ticks_per_s = rustix::param::clock_ticks_per_second();
    let ns_per_tick = 1_000_000_000_u64
        .checked_div(ticks_per_s)
        .ok_or_else(|| io::Error::other("the kernel counts zero ticks per second"))?;
    let cpu_ns = process.cpu_ticks.saturating_mul(ns_per_tick);
    Ok(ProcessSample {
        cpu_ns,
        state: run_state(pid, process.state)?,
    })
}

fn run_state(pid: i32, main_thread: char) -> io::Result<RunState> {
    if matches!(main_thread, 'T' | 't') {
        return Ok(RunState::Stopped);
    }
    for thread in fs::read_dir(format!("/proc/{pid}/task"))?.take(THREADS_MAX) {
        // A thread that ended since the directory was read says nothing.
        let Ok(line) = fs::read_to_string(thread?.path().join("stat")) else {
            continue;
        };
        if matches!(parse(&line)?.state, 'R' | 'D') {
            return Ok(RunState::Runnable);
        }
    }
    Ok(RunState::Asleep)
}

struct Stat {
    state: char,
    cpu_ticks: u64,
}

fn parse(line: &str) -> io::Result<Stat> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "unreadable /proc stat line");
    let (_, rest) = line.rsplit_once(')').ok_or_else(invalid)?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // After the name: state is field 3 of the manual page, utime 14 and stime 15.
    let state = fields
        .first()
        .and_then(|field| field.chars().next())
        .ok_or_else(invalid)?;
    let ticks = |index: usize| -> io::Result<u64> {
        fields
            .get(index)
            .and_then(|field| field.parse().ok())
            .ok_or_else(invalid)
    };
    let cpu_ticks = ticks(11)?.checked_add(ticks(12)?).ok_or_else(invalid)?;
    Ok(Stat { state, cpu_ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_parentheses_does_not_shift_the_fields() {
        let line = "12 (a) R (b) T 1 2 3 4 5 6 7 8 9 10 70 30 0 0";
        let stat = parse(line).unwrap();
        assert_eq!((stat.state, stat.cpu_ticks), ('T', 100));
        for garbage in [
            "",
            "12 (x",
            "12 (x)",
            "12 (x) S 1 2",
            "1 (x) S 1 2 3 4 5 6 7 8 9 0 -1 5",
        ] {
            assert!(parse(garbage).is_err(), "{garbage:?}");
        }
    }

    #[test]
    fn this_very_process_is_runnable() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(sample(pid).unwrap().state, RunState::Runnable);
    }
}
