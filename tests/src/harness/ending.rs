//! How a test's node ends, and the checks that nothing of it is left.

use std::{
    fs,
    path::Path,
    process::ExitStatus,
    thread,
    time::{Duration, Instant},
};

use nix::{sys::signal, unistd::Pid};

use super::{
    PATIENCE, Process, TestNode, node::Signal, processes::workers_of, report::tail, segments_of,
};

/// How long a worker may outlive its supervisor.
const ORPHAN_DEADLINE: Duration = Duration::from_millis(500);

impl TestNode {
    /// Sends a signal to the supervisor.
    pub fn signal(&self, which: Signal) {
        send(self.supervisor(), which);
    }

    /// Waits until the node has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let mut running = self.running.take().expect("the node runs");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = running.child.try_wait().expect("it is our child") {
                return status;
            }
            if Instant::now() >= deadline {
                let _ = running.child.kill();
                let _ = running.child.wait();
                panic!("the node did not end within {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGTERM, and the check that nothing is left.
    pub fn stop(&mut self) -> ExitStatus {
        let process = self.supervisor();
        let children = process.children();
        self.outages.begin();
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        assert_nothing_left(process, &children);
        status
    }

    /// `kill -9` of the supervisor. Its segments stay: nobody was left to remove them.
    ///
    /// # Panics
    /// If a worker outlives it by 500 ms.
    pub fn kill(&mut self) -> Killed {
        let process = self.supervisor();
        let children = process.children();
        self.outages.begin();
        self.signal(Signal::SIGKILL);
        let at = Instant::now();
        let mut running = self.running.take().expect("the node runs");
        running.child.wait().expect("it is our child");
        // A worker may have been born between the look and the signal; its environment tells.
        let late_born = || workers_of(process.pid);
        while children.iter().any(Process::is_alive) || !late_born().is_empty() {
            let late = at.elapsed();
            assert!(
                late < ORPHAN_DEADLINE,
                "workers outlive their supervisor by {late:?}: {children:?} {:?}",
                late_born()
            );
            thread::sleep(Duration::from_millis(1));
        }
        Killed {
            pid: process.pid,
            orphans_gone_after: at.elapsed(),
        }
    }
}

/// What `kill -9` of a supervisor left.
pub struct Killed {
    pub pid: u32,
    pub orphans_gone_after: Duration,
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if thread::panicking() {
            self.dir.disable_cleanup(true);
            eprintln!("the node's folder stays: {}", self.dir.path().display());
        }
        let Some(mut running) = self.running.take() else {
            return;
        };
        let children = running.process.children();
        if thread::panicking() {
            let said = fs::read_to_string(&running.log).unwrap_or_default();
            eprintln!("the end of the node's log:\n{}", tail(&said));
            let _ = running.child.kill();
            let _ = running.child.wait();
            remove_segments(running.process.pid);
            return;
        }
        send(running.process, Signal::SIGTERM);
        let deadline = Instant::now() + PATIENCE;
        while running.child.try_wait().expect("it is our child").is_none() {
            if Instant::now() >= deadline {
                let _ = running.child.kill();
                let _ = running.child.wait();
                panic!("the node did not stop within {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(5));
        }
        assert_nothing_left(running.process, &children);
    }
}

/// Sends a signal to a process that a test has looked up.
pub(super) fn send(process: Process, which: Signal) {
    let pid = i32::try_from(process.pid).expect("pids are positive");
    signal::kill(Pid::from_raw(pid), which).expect("it is alive");
}

impl Process {
    pub fn signal(self, which: Signal) {
        send(self, which);
    }
}

/// For a test that has failed already.
pub(super) fn remove_segments(supervisor: u32) {
    for name in segments_of(supervisor) {
        let _ = fs::remove_file(Path::new("/dev/shm").join(name));
    }
}

fn assert_nothing_left(supervisor: Process, children: &[Process]) {
    let alive: Vec<_> = children.iter().filter(|child| child.is_alive()).collect();
    assert!(alive.is_empty(), "workers are left: {alive:?}");
    let segments = segments_of(supervisor.pid);
    assert!(segments.is_empty(), "segments are left: {segments:?}");
}
