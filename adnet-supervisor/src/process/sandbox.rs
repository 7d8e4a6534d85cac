//! The numbered steps by which a worker gives up every right it does not need. Call [`enter`] after
//! the rings are attached and before the first thread starts; it cannot be undone.
//!
//! 1. One thread only: what follows binds the calling thread and those it starts.
//! 2. The open descriptors are exactly the granted ones.
//! 3. Resource limits: no core file, a bounded number of descriptors.
//! 4. No capabilities, in any set; another user and group if configured.
//! 5. no_new_privs: nothing that is executed could gain rights.
//! 6. The parent-death signal again, because a change of user clears it, and the parent still lives.
//! 7. Landlock: no file, no TCP port, no signal and no abstract socket outside.
//! 8. seccomp: only the system calls of [`super::seccomp_policy`].
//!
//! A step the kernel lacks is reported, and refused with [`Require::All`]. A step that fails for
//! another reason is an error: a worker is never half locked in without anybody knowing.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr, RulesetStatus, Scope,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid};
use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::seccomp::{self, SeccompError};

/// The newest Landlock interface whose rights this code was tested with (Linux 6.15). Newer kernels
/// enforce the same; older ones less, which the report says.
const LANDLOCK_ABI: ABI = ABI::V7;

/// Another user for the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// User number.
    pub uid: u32,
    /// Group number; there are no supplementary groups.
    pub gid: u32,
}

/// What the worker keeps.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Numbers of all descriptors that must be open now, the standard streams and the lifetime pipe
    /// included. One more or one less is an error.
    pub descriptors: BTreeSet<RawFd>,
    /// Descriptors that may be open at once later on, connections included.
    pub open_files_max: u64,
    /// The user to switch to; needs root. `None` keeps the present one.
    pub identity: Option<Identity>,
}

/// What to do where the kernel lacks a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Require {
    /// Refuse.
    All,
    /// Go on with less and say so.
    BestEffort,
}

/// How far a step got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// In force, with a detail worth knowing.
    Applied(String),
    /// In force except for parts that are too new for this kernel and that another step covers.
    Reduced(String),
    /// Not in force: the kernel lacks it.
    Unavailable(String),
}

/// One step and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name: `descriptors`, `limits`, `capabilities`, `no_new_privs`, `parent_death`,
    /// `landlock` or `seccomp`.
    pub name: &'static str,
    /// How far it got.
    pub outcome: Outcome,
}

/// All steps in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The steps.
    pub steps: Vec<Step>,
}

impl Report {
    /// Names of the steps that are not in force.
    pub fn missing(&self) -> Vec<&'static str> {
        let missing = |step: &&Step| matches!(step.outcome, Outcome::Unavailable(_));
        self.steps
            .iter()
            .filter(missing)
            .map(|step| step.name)
            .collect()
    }

    /// Writes the report to the log: one quiet line if all is in force, a warning per lack.
    pub fn log(&self) {
        for Step { name, outcome } in &self.steps {
            match outcome {
                Outcome::Applied(detail) => tracing::debug!(step = name, %detail, "sandbox step"),
                Outcome::Reduced(detail) => {
                    tracing::warn!(step = name, %detail, "sandbox step is in force in part");
                }
                Outcome::Unavailable(detail) => tracing::warn!(
                    step = name,
                    %detail,
                    "THIS WORKER IS LESS ISOLATED THAN IT SHOULD BE: a sandbox step is not in force"
                ),
            }
        }
        if self.missing().is_empty() {
            tracing::info!("sandbox entered, all steps are in force");
        }
    }

    fn add(&mut self, name: &'static str, outcome: Outcome) {
        self.steps.push(Step { name, outcome });
    }
}

/// Why the sandbox was not entered.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A thread was started too early; it would stay outside.
    #[error("the sandbox must be entered by a single thread, but there are {0}")]
    Threads(usize),
    /// The supervisor handed out something else than the worker's role has.
    #[error(
        "open descriptors differ from the allow-list: unexpected {unexpected:?}, missing {missing:?}"
    )]
    Descriptors {
        /// Open, but not on the list.
        unexpected: BTreeSet<RawFd>,
        /// On the list, but not open.
        missing: BTreeSet<RawFd>,
    },
    /// The parent went away meanwhile.
    #[error("the supervisor is gone")]
    SupervisorGone,
    /// A step failed although the kernel has the feature.
    #[error("sandbox step {step}: {source}")]
    Os {
        /// The step.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Landlock failed although the kernel has it.
    #[error("sandbox step landlock: {0}")]
    Landlock(#[from] landlock::RulesetError),
    /// seccomp failed although the kernel has it.
    #[error("sandbox step seccomp: {0}")]
    Seccomp(#[from] SeccompError),
    /// [`Require::All`] was asked for and the kernel lacks a part.
    #[error("this kernel lacks a part of the sandbox that is required: {0}")]
    Required(Report),
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Step { name, outcome }) in self.steps.iter().enumerate() {
            let (word, detail) = match outcome {
                Outcome::Applied(detail) => ("applied", detail),
                Outcome::Reduced(detail) => ("reduced", detail),
                Outcome::Unavailable(detail) => ("UNAVAILABLE", detail),
            };
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{name} {word} ({detail})")?;
        }
        Ok(())
    }
}

fn failed(step: &'static str) -> impl Fn(Errno) -> SandboxError {
    move |errno| SandboxError::Os {
        step,
        source: errno.into(),
    }
}

fn failed_nix(step: &'static str) -> impl Fn(nix::errno::Errno) -> SandboxError {
    move |errno| SandboxError::Os {
        step,
        source: errno.into(),
    }
}

/// Goes through the steps. On an error the process is in an unknown state of confinement: end it.
pub fn enter(policy: &Policy, require: Require) -> Result<Report, SandboxError> {
    let parent = rustix::process::getppid();
    let mut report = Report::default();

    // 1. One thread only.
    let threads = numbers_in("/proc/self/task")
        .map_err(failed("threads"))?
        .len();
    if threads != 1 {
        return Err(SandboxError::Threads(threads));
    }

    // 2. Descriptors.
    let open = numbers_in("/proc/self/fd").map_err(failed("descriptors"))?;
    if open != policy.descriptors {
        return Err(SandboxError::Descriptors {
            unexpected: open.difference(&policy.descriptors).copied().collect(),
            missing: policy.descriptors.difference(&open).copied().collect(),
        });
    }
    report.add("descriptors", Outcome::Applied(format!("exactly {open:?}")));

    // 3. Limits. A lower hard limit that is already in force stays.
    let (_, files_hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed_nix("limits"))?;
    let files = policy.open_files_max.min(files_hard);
    for (resource, limit) in [
        (Resource::RLIMIT_NOFILE, files),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_MSGQUEUE, 0),
    ] {
        setrlimit(resource, limit, limit).map_err(failed_nix("limits"))?;
    }
    report.add(
        "limits",
        Outcome::Applied(format!("no core file, {files} descriptors")),
    );

    // 4. Capabilities and user. The bounding set first: dropping from it needs a capability.
    report.add("capabilities", drop_privileges(policy.identity)?);

    // 5. no_new_privs.
    rustix::thread::set_no_new_privs(true).map_err(failed("no_new_privs"))?;
    report.add("no_new_privs", Outcome::Applied("for good".to_owned()));

    // 6. Parent death.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(failed("parent_death"))?;
    if rustix::process::getppid() != parent {
        return Err(SandboxError::SupervisorGone);
    }
    report.add("parent_death", Outcome::Applied("SIGKILL".to_owned()));

    // 7. Landlock.
    report.add("landlock", restrict_with_landlock()?);

    // 8. seccomp. Compiled before the report is judged, installed last of all.
    report.add("seccomp", probe_seccomp());
    if require == Require::All && !report.missing().is_empty() {
        return Err(SandboxError::Required(report));
    }
    if !report.missing().contains(&"seccomp") {
        seccomp::install(&seccomp::compile(nix::unistd::getpid().as_raw())?)?;
    }
    Ok(report)
}

/// The numeric names in a directory of `/proc`, without the descriptor used to read it.
fn numbers_in(directory: &str) -> Result<BTreeSet<RawFd>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut entries = Dir::new(rustix::fs::open(directory, flags, Mode::empty())?)?;
    let own = entries.fd()?.as_raw_fd();
    let mut numbers = BTreeSet::new();
    while let Some(entry) = entries.read() {
        if let Ok(number) = entry?.file_name().to_string_lossy().parse() {
            numbers.insert(number);
        }
    }
    if directory.ends_with("/fd") {
        numbers.remove(&own);
    }
    Ok(numbers)
}

fn drop_privileges(identity: Option<Identity>) -> Result<Outcome, SandboxError> {
    let step = "capabilities";
    let mut is_bounding_kept = false;
    for number in 0..CapabilitySet::all().bits().count_ones() {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match rustix::thread::capability_is_in_bounding_set(capability) {
            // The kernel knows no capability of this number nor of a higher one.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(failed(step)(errno)),
            Ok(false) => {}
            Ok(true) => match rustix::thread::remove_capability_from_bounding_set(capability) {
                Ok(()) => {}
                Err(Errno::PERM) => is_bounding_kept = true,
                Err(errno) => return Err(failed(step)(errno)),
            },
        }
    }
    if let Some(Identity { uid, gid }) = identity {
        nix::unistd::setgroups(&[]).map_err(failed_nix(step))?;
        let (gid, uid) = (Gid::from_raw(gid), Uid::from_raw(uid));
        nix::unistd::setresgid(gid, gid, gid).map_err(failed_nix(step))?;
        nix::unistd::setresuid(uid, uid, uid).map_err(failed_nix(step))?;
    }
    rustix::thread::clear_ambient_capability_set().map_err(failed(step))?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    // Setting what is already so is left out, because a service's own filter may forbid capset.
    if rustix::thread::capabilities(None).map_err(failed(step))? != none {
        rustix::thread::set_capabilities(None, none).map_err(failed(step))?;
    }
    Ok(Outcome::Applied(if is_bounding_kept {
        "none; the bounding set stays without CAP_SETPCAP but no_new_privs makes it void".to_owned()
    } else {
        "none, bounding set empty".to_owned()
    }))
}

fn restrict_with_landlock() -> Result<Outcome, SandboxError> {
    // Handling a right without adding a rule for it denies it everywhere.
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK_ABI))?
        .handle_access(AccessNet::from_all(LANDLOCK_ABI))?
        .scope(Scope::from_all(LANDLOCK_ABI))?
        .create()?
        .restrict_self()?;
    let kernel = match status.landlock {
        LandlockStatus::NotEnabled => "not among the enabled security modules (lsm=)".to_owned(),
        LandlockStatus::NotImplemented => "not built into this kernel (5.13 or newer)".to_owned(),
        LandlockStatus::Available { effective_abi, .. } => format!("{effective_abi:?}"),
    };
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => {
            Outcome::Applied(format!("no file, no TCP, no signal outside; ABI {kernel}"))
        }
        RulesetStatus::PartiallyEnforced => Outcome::Reduced(format!(
            "ABI {kernel} confines the file system only in part; seccomp denies the rest"
        )),
        RulesetStatus::NotEnforced => Outcome::Unavailable(kernel),
    })
}

/// Whether the kernel has seccomp filters: with a null program it answers EFAULT if it does.
fn probe_seccomp() -> Outcome {
    // SAFETY: the null pointer is never read: the kernel fails to copy from it and says so.
    let answer = unsafe {
        nix::libc::syscall(
            nix::libc::SYS_seccomp,
            nix::libc::SECCOMP_SET_MODE_FILTER,
            0,
            std::ptr::null::<u8>(),
        )
    };
    match nix::errno::Errno::result(answer) {
        Err(nix::errno::Errno::EFAULT) => {
            Outcome::Applied("allow-list; EPERM, ENOSYS or SIGSYS for the rest".to_owned())
        }
        Err(errno) => Outcome::Unavailable(format!("this kernel has no seccomp filters: {errno}")),
        Ok(_) => Outcome::Unavailable("this kernel accepted an empty seccomp filter".to_owned()),
    }
}

/// For the supervisor, which holds the validator key: no core file, and no other process of the
/// same user may attach to it or read its memory.
pub fn protect_key_holder() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    nix::sys::prctl::set_dumpable(false)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both Landlock and no_new_privs bind one thread, so a test can confine a thread of its own.
    #[test]
    fn landlock_alone_denies_files_and_tcp() {
        let confined = std::thread::spawn(|| {
            let outcome = restrict_with_landlock().expect("it works or is unavailable");
            let file = std::fs::File::open("/etc/passwd").map(|_| ());
            let bind = std::net::TcpListener::bind("127.0.0.1:0").map(|_| ());
            (outcome, file, bind)
        });
        let (outcome, file, bind) = confined.join().expect("the thread does not panic");
        match outcome {
            Outcome::Applied(_) => {
                let kind = |result: io::Result<()>| result.map_err(|error| error.kind());
                assert_eq!(kind(file), Err(io::ErrorKind::PermissionDenied));
                assert_eq!(kind(bind), Err(io::ErrorKind::PermissionDenied));
            }
            Outcome::Reduced(_) => assert!(file.is_err()),
            Outcome::Unavailable(reason) => assert!(file.is_ok() && !reason.is_empty()),
        }
        assert!(
            std::fs::File::open("/etc/passwd").is_ok(),
            "other threads are not confined"
        );
    }

    #[test]
    fn only_what_is_unavailable_counts_as_missing() {
        let step = |name, outcome: fn(String) -> Outcome| Step {
            name,
            outcome: outcome(name.to_owned()),
        };
        let report = Report {
            steps: vec![
                step("limits", Outcome::Applied),
                step("landlock", Outcome::Reduced),
                step("seccomp", Outcome::Unavailable),
            ],
        };
        assert_eq!(report.missing(), ["seccomp"]);
        assert!(
            report
                .to_string()
                .contains("; seccomp UNAVAILABLE (seccomp)")
        );
    }
}
