//! What a node leaves in /proc and /dev/shm, seen from outside.

use std::fs;

use adnet_common::worker::LAUNCH_VARIABLE;

/// A process, told from a later one with the same id by its start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    started_ticks: u64,
}

struct Stat {
    state: char,
    parent: u32,
    started_ticks: u64,
}

impl Process {
    pub fn of(pid: u32) -> Option<Process> {
        let started_ticks = stat(pid)?.started_ticks;
        Some(Process { pid, started_ticks })
    }

    /// Whether it still runs; one that only waits to be reaped does not.
    pub fn is_alive(&self) -> bool {
        stat(self.pid)
            .is_some_and(|now| now.started_ticks == self.started_ticks && now.state != 'Z')
    }

    /// All processes whose parent it is.
    pub fn children(&self) -> Vec<Process> {
        let entries = fs::read_dir("/proc").expect("/proc is mounted");
        let pids = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| stat(*pid).is_some_and(|stat| stat.parent == self.pid))
            .filter_map(Process::of)
            .collect()
    }
}

/// The fields of /proc/PID/stat after the name, which may itself hold spaces and brackets.
fn stat(pid: u32) -> Option<Stat> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = line.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        started_ticks: fields.get(19)?.parse().ok()?,
    })
}

/// The living workers of the supervisor `pid`, dead or alive, known by their environment: it names
/// the segments that this supervisor made for them.
pub fn workers_of(pid: u32) -> Vec<Process> {
    let name = format!("{}{pid}-", adnet_supervisor::topology::SEGMENT_PREFIX);
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_theirs = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .filter(|variable| variable.starts_with(LAUNCH_VARIABLE.as_bytes()))
            .any(|launch| {
                launch
                    .windows(name.len())
                    .any(|part| part == name.as_bytes())
            })
    };
    pids.filter(is_theirs)
        .filter_map(Process::of)
        .filter(Process::is_alive)
        .collect()
}

/// The names of the segments that the supervisor `pid` has made and that are still there.
pub fn segments_of(pid: u32) -> Vec<String> {
    let prefix = format!("{}{pid}-", adnet_supervisor::topology::SEGMENT_PREFIX);
    let entries = fs::read_dir("/dev/shm").expect("/dev/shm is mounted");
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(&prefix))
        .collect()
}
