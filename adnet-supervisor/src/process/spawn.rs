//! Starting a worker: clone and exec of this very binary, with exactly the arguments, environment
//! and descriptors that the caller grants.
//!
//! - The program is `/proc/self/exe`: the same inode even after an upgrade replaced the file, so
//!   supervisor and worker are always the same build.
//! - PDEATHSIG is bound to the *thread* that made the child, not to its process. The [`Spawner`]
//!   therefore owns one thread for its whole life and every child is made there. Dropping the
//!   `Spawner` ends that thread, and with it every child.
//! - The child is made as `posix_spawn` makes it (`CLONE_VM | CLONE_VFORK` on a stack of its own):
//!   no page table is copied, so a supervisor with gigabytes of block cache restarts a worker as
//!   fast as an empty one. Until its exec the child shares this process's memory; it runs nothing
//!   but system calls on data prepared before, with every signal blocked.
//! - What is not granted is closed: all other descriptors are marked close-on-exec in one
//!   `close_range` per gap between the granted numbers. Linux 5.11 or newer is needed for that.
//!
//! Invariants: descriptors of the child after exec are 0 (`/dev/null`), 1, 2, [`LIFETIME_FD`] and
//! the targets of its grants, nothing else; signal dispositions are the defaults except SIGINT,
//! which a worker ignores from birth (Ctrl-C reaches the whole terminal group, and shutting down is
//! the supervisor's decision); no signal is blocked.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::mpsc;
use std::thread;

use nix::libc;
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

use super::child::Child;
use super::lifetime::{LIFETIME_FD, lifetime_pipe};

/// Highest descriptor number that a grant may ask for.
pub const GRANT_TARGET_MAX: RawFd = 255;

/// Bytes of stack for the few system calls between clone and exec.
const CHILD_STACK_BYTES: usize = 64 * 1024;

/// Added to a worker's badness, so that the kernel out of memory ends a worker, which restarts,
/// before the supervisor, which does not.
const WORKER_OOM_SCORE: &str = "300";

/// One descriptor for the worker, and the number under which it will find it.
#[derive(Debug)]
pub struct FdGrant {
    /// The supervisor's descriptor; it is duplicated for the child.
    pub source: OwnedFd,
    /// Its number in the worker: above [`LIFETIME_FD`], at most [`GRANT_TARGET_MAX`].
    pub target: RawFd,
}

impl FdGrant {
    /// A grant of a duplicate of `source`, which the caller keeps (listening sockets and rings
    /// outlive every worker).
    pub fn duplicate(source: impl AsFd, target: RawFd) -> io::Result<FdGrant> {
        Ok(FdGrant {
            source: source.as_fd().try_clone_to_owned()?,
            target,
        })
    }
}

/// What to start.
#[derive(Debug, Default)]
pub struct SpawnRequest {
    /// The argument list after the program's name, for example `["run", "--role", "alpha"]`.
    pub args: Vec<OsString>,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(OsString, OsString)>,
    /// The descriptors beside the standard streams and the lifetime pipe.
    pub grants: Vec<FdGrant>,
    /// Number of this start of the worker; the caller's epoch fence and logs use it.
    pub incarnation: u64,
}

/// Why a worker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// An argument or variable holds a NUL byte, which exec cannot carry.
    #[error("argument or variable {0:?} holds a NUL byte")]
    Nul(String),
    /// Two grants want one number, or a number is out of range.
    #[error(
        "descriptor number {0} cannot be granted: each number from {min} to {GRANT_TARGET_MAX} once",
        min = LIFETIME_FD + 1
    )]
    Target(RawFd),
    /// A step in the supervisor failed before there was a child.
    #[error("cannot {what}: {source}")]
    Prepare {
        /// The step.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A step in the child failed; it has ended and was reaped.
    #[error("the new process could not {what}: {source}")]
    Child {
        /// The step.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The thread that makes children is gone.
    #[error("the spawner thread has ended")]
    SpawnerGone,
}

type Job = (SpawnRequest, mpsc::SyncSender<Result<Child, SpawnError>>);

/// The thread that makes all children. Keep it as long as any of them shall live.
#[derive(Debug)]
pub struct Spawner {
    /// `None` only while dropping.
    jobs: Option<mpsc::SyncSender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Spawner {
    /// Starts the thread.
    pub fn start() -> io::Result<Spawner> {
        let null = File::open("/dev/null")?;
        let (jobs, requests) = mpsc::sync_channel::<Job>(0);
        let thread = thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                while let Ok((request, reply)) = requests.recv() {
                    // A caller that gave up waiting drops the child it never saw, which ends it.
                    let _ = reply.send(spawn_here(request, &null));
                }
            })?;
        Ok(Spawner {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Starts a worker and returns once it has passed its exec: an error means that there is no
    /// process.
    pub fn spawn(&self, request: SpawnRequest) -> Result<Child, SpawnError> {
        let (reply, answer) = mpsc::sync_channel(1);
        let jobs = self
            .jobs
            .as_ref()
            .expect("the channel is taken only while dropping");
        jobs.send((request, reply))
            .map_err(|_| SpawnError::SpawnerGone)?;
        answer.recv().map_err(|_| SpawnError::SpawnerGone)?
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

/// Everything the child needs, laid out before it exists: it must not allocate.
struct Prepared {
    argv: Vec<CString>,
    envp: Vec<CString>,
    /// `(number now, number in the child)`; the first is raised above every target in the child.
    moves: Vec<(RawFd, RawFd)>,
    /// Ranges of descriptor numbers, both ends included, that must not survive the exec.
    gaps: Vec<(u32, u32)>,
    supervisor: libc::pid_t,
}

fn spawn_here(request: SpawnRequest, null: &File) -> Result<Child, SpawnError> {
    let prepare = |what| move |source| SpawnError::Prepare { what, source };
    let (worker_end, supervisor_end) =
        lifetime_pipe().map_err(prepare("make the lifetime pipe"))?;
    let mut moves = vec![(null.as_raw_fd(), 0), (worker_end.as_raw_fd(), LIFETIME_FD)];
    moves.extend(
        request
            .grants
            .iter()
            .map(|grant| (grant.source.as_raw_fd(), grant.target)),
    );
    let prepared = Prepared {
        gaps: gaps_between(&request.grants)?,
        argv: std::iter::once(Ok(c"adnet".to_owned()))
            .chain(request.args.into_iter().map(|arg| c_string(arg.into_vec())))
            .collect::<Result<_, _>>()?,
        envp: request
            .env
            .into_iter()
            .map(environment_entry)
            .collect::<Result<_, _>>()?,
        moves,
        supervisor: nix::unistd::getpid().as_raw(),
    };
    let pid = clone_and_exec(prepared)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| {
        // Without a pidfd nobody could watch it. It cannot have been reaped: only we would.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
        SpawnError::Prepare {
            what: "open a pidfd for the new process",
            source: errno.into(),
        }
    })?;
    let number = pid.as_raw_nonzero();
    if let Err(error) = std::fs::write(format!("/proc/{number}/oom_score_adj"), WORKER_OOM_SCORE) {
        tracing::debug!(pid = number, %error, "the worker keeps its default out-of-memory score");
    }
    Ok(Child::new(pid, pidfd, request.incarnation, supervisor_end))
}

fn c_string(bytes: Vec<u8>) -> Result<CString, SpawnError> {
    CString::new(bytes)
        .map_err(|error| SpawnError::Nul(String::from_utf8_lossy(&error.into_vec()).into_owned()))
}

fn environment_entry((name, value): (OsString, OsString)) -> Result<CString, SpawnError> {
    let mut entry = name.into_vec();
    entry.push(b'=');
    entry.extend(value.into_vec());
    c_string(entry)
}

/// The ranges of numbers around the granted ones, from 4 to the end of all numbers.
fn gaps_between(grants: &[FdGrant]) -> Result<Vec<(u32, u32)>, SpawnError> {
    let mut targets: Vec<RawFd> = grants.iter().map(|grant| grant.target).collect();
    targets.sort_unstable();
    let mut gaps = Vec::with_capacity(targets.len() + 1);
    let mut next = LIFETIME_FD.unsigned_abs() + 1;
    for target in targets {
        let out_of_range = !(LIFETIME_FD + 1..=GRANT_TARGET_MAX).contains(&target);
        // A number that was seen before is below `next`.
        if out_of_range || target.unsigned_abs() < next {
            return Err(SpawnError::Target(target));
        }
        let number = target.unsigned_abs();
        if number > next {
            gaps.push((next, number - 1));
        }
        next = number + 1;
    }
    gaps.push((next, u32::MAX));
    Ok(gaps)
}

/// Where the child failed, and with which errno.
type Failure = Option<(&'static str, i32)>;

fn clone_and_exec(mut prepared: Prepared) -> Result<Pid, SpawnError> {
    let argv = pointers(&prepared.argv);
    let envp = pointers(&prepared.envp);
    let mut stack = vec![0_u8; CHILD_STACK_BYTES];
    let mut failure: Failure = None;

    // No handler of ours may run in the child: it would write to the pipes of this process, so
    // that one SIGTERM to the group would count twice.
    let mut mask_before = SigSet::empty();
    pthread_sigmask(
        SigmaskHow::SIG_SETMASK,
        Some(&SigSet::all()),
        Some(&mut mask_before),
    )
    .map_err(|errno| SpawnError::Prepare {
        what: "block signals",
        source: errno.into(),
    })?;
    let cloned = {
        let failure = &mut failure;
        let prepared = &mut prepared;
        let child = Box::new(move || -> isize {
            // SAFETY: this runs in the child of a vfork-like clone, on its own stack, with the
            // parent's thread suspended and all signals blocked; the pointers are NULL-terminated
            // and outlive the exec because the parent's frame holds what they point to.
            let (what, errno) = unsafe { run_in_child(prepared, &argv, &envp) };
            *failure = Some((what, errno));
            127
        });
        // SAFETY: the stack is 64 KiB for a handful of system calls. The child shares our memory
        // until its exec or exit, and CLONE_VFORK keeps this thread asleep until then, so nothing
        // it borrows can move; it neither allocates nor takes a lock.
        unsafe {
            nix::sched::clone(
                child,
                &mut stack,
                CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK,
                Some(libc::SIGCHLD),
            )
        }
    };
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&mask_before), None)
        .expect("restoring the mask that was in force before is always valid");

    let pid = cloned.map_err(|errno| SpawnError::Prepare {
        what: "clone a process",
        source: errno.into(),
    })?;
    let pid = Pid::from_raw(pid.as_raw()).expect("clone returns the child's number to the parent");
    if let Some((what, errno)) = failure {
        let _ = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), WaitIdOptions::EXITED));
        return Err(SpawnError::Child {
            what,
            source: io::Error::from_raw_os_error(errno),
        });
    }
    Ok(pid)
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings
        .iter()
        .map(|string| string.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}

/// The steps of the child up to its exec. Returns only when one of them failed.
///
/// # Safety
///
/// Call it in a fresh child that shares no descriptor table with anyone, with `argv` and `envp`
/// ending in NULL. Only system calls are made; nothing is allocated and no lock is taken.
unsafe fn run_in_child(
    prepared: &mut Prepared,
    argv: &[*const libc::c_char],
    envp: &[*const libc::c_char],
) -> (&'static str, i32) {
    // SAFETY: plain system calls and their libc wrappers, all async-signal-safe, with arguments
    // that live in this frame or in `prepared`.
    unsafe {
        // 1. Die with the supervisor's spawner thread, and see whether it is gone already.
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
            return ("tie its life to the supervisor", errno());
        }
        if libc::getppid() != prepared.supervisor {
            return ("find its supervisor alive", libc::ESRCH);
        }

        // 2. Default signal actions, SIGINT ignored, and only then nothing blocked. Errors are for
        // the numbers that have no changeable action (SIGKILL, SIGSTOP, libc's own).
        let mut action: libc::sigaction = std::mem::zeroed();
        for signal in 1..=64 {
            let ignored = signal == libc::SIGINT;
            action.sa_sigaction = if ignored {
                libc::SIG_IGN
            } else {
                libc::SIG_DFL
            };
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        if libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut()) != 0 {
            return ("unblock signals", errno());
        }

        // 3. First lift every source above all targets, so that no move overwrites a later source;
        // then put each in its place. dup2 leaves the copy open over the exec.
        for (source, _) in &mut prepared.moves {
            *source = libc::fcntl(*source, libc::F_DUPFD_CLOEXEC, GRANT_TARGET_MAX + 1);
            if *source < 0 {
                return ("duplicate a granted descriptor", errno());
            }
        }
        for (source, target) in &prepared.moves {
            if libc::dup2(*source, *target) < 0 {
                return ("place a granted descriptor", errno());
            }
        }
        for (first, last) in &prepared.gaps {
            let flags = libc::CLOSE_RANGE_CLOEXEC;
            if libc::syscall(libc::SYS_close_range, *first, *last, flags) != 0 {
                return (
                    "close every other descriptor (Linux 5.11 or newer is needed)",
                    errno(),
                );
            }
        }

        // 4. Pin no directory, and become the worker.
        if libc::chdir(c"/".as_ptr()) != 0 {
            return ("leave its directory", errno());
        }
        libc::execve(c"/proc/self/exe".as_ptr(), argv.as_ptr(), envp.as_ptr());
        ("execute /proc/self/exe", errno())
    }
}

fn errno() -> i32 {
    nix::errno::Errno::last_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(target: RawFd) -> FdGrant {
        FdGrant::duplicate(io::stderr(), target).unwrap()
    }

    #[test]
    fn gaps_leave_out_exactly_the_targets() {
        assert_eq!(gaps_between(&[]).unwrap(), [(4, u32::MAX)]);
        let adjacent = [grant(6), grant(4), grant(5)];
        assert_eq!(gaps_between(&adjacent).unwrap(), [(7, u32::MAX)]);
        let spread = [grant(200), grant(6)];
        assert_eq!(
            gaps_between(&spread).unwrap(),
            [(4, 5), (7, 199), (201, u32::MAX)]
        );
    }

    #[test]
    fn a_target_that_is_taken_or_out_of_range_is_refused() {
        for targets in [vec![3], vec![0], vec![-1], vec![256], vec![7, 7]] {
            let grants: Vec<_> = targets.iter().copied().map(grant).collect();
            assert!(
                matches!(gaps_between(&grants), Err(SpawnError::Target(_))),
                "{targets:?}"
            );
        }
    }

    #[test]
    fn a_nul_byte_is_refused_before_there_is_a_process() {
        let spawner = Spawner::start().unwrap();
        let args = vec![OsString::from("a\0b")];
        let refused = spawner.spawn(SpawnRequest {
            args,
            ..SpawnRequest::default()
        });
        assert!(matches!(refused, Err(SpawnError::Nul(_))), "{refused:?}");
    }
}
