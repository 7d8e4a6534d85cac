//! A supervisor and its worker in miniature, for `tests/sandbox.rs`: a test process has threads and
//! must not confine itself, so it starts this program, which uses the process layer as the node
//! does. One word on the command line says what to try; answers go to standard output, one a line.
//!
//! - `supervise MODE…` prints `listening ADDRESS`, spawns itself as `worker MODE…` and prints
//!   `ended: …` at its end. It also ends the worker when its own standard input closes.
//! - `worker MODE…`, only to be started by the former, prints `worker PID` and what its mode says.
//! - `signals`, `notify`, `sockets`, `activate` and `panic` try one part in this very process.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};
use std::time::Duration;

use adnet_supervisor::process::death::wait_readable;
use adnet_supervisor::process::lifetime::{LIFETIME_FD, SupervisorWatch};
use adnet_supervisor::process::notify::Notifier;
use adnet_supervisor::process::sandbox::{self, Policy, Require, SandboxError};
use adnet_supervisor::process::signals::{Signals, StopRequest};
use adnet_supervisor::process::sockets::{self, PassedSockets};
use adnet_supervisor::process::spawn::{FdGrant, SpawnRequest, Spawner};
use adnet_supervisor::process::{exit_code, inherit, panic};
use anyhow::{Context, Result, bail};
use nix::libc;

/// Where the worker finds the listening socket.
const LISTENER_FD: RawFd = 7;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["supervise", mode @ ..] => supervise(mode),
        ["worker", mode @ ..] => worker(mode),
        ["signals"] => signals(),
        ["notify"] => notify(),
        ["activate", names] => activate(names),
        ["sockets"] => passed_sockets(),
        ["panic"] => {
            panic::abort_on_panic("probe");
            let thread = std::thread::spawn(|| panic!("a broken invariant"));
            // The join must never return: the panic ends the process.
            let _ = thread.join();
            say("survived")
        }
        other => bail!("unknown mode {other:?}"),
    }
}

fn say(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn supervise(mode: &[&str]) -> Result<()> {
    let spawner = Spawner::start()?;
    let listener = sockets::bind("probe", ([127, 0, 0, 1], 0).into())?;
    say(&format!("listening {}", listener.local_addr()?))?;
    // Descriptors that must not reach the worker, some of them inheritable by carelessness.
    let secrets: Vec<File> = (0..40)
        .map(|_| File::open("/etc/passwd"))
        .collect::<io::Result<_>>()?;
    for secret in secrets.iter().step_by(2) {
        rustix::io::fcntl_setfd(secret, rustix::io::FdFlags::empty())?;
    }
    let args = ["worker"].iter().chain(mode).map(OsString::from).collect();
    let request = SpawnRequest {
        args,
        env: vec![("ADNET_PROBE".into(), "yes".into())],
        grants: vec![FdGrant::duplicate(&listener, LISTENER_FD)?],
        incarnation: 1,
    };
    let mut child = spawner.spawn(request)?;
    let stdin = io::stdin();
    loop {
        let ready = wait_readable(&[child.pidfd(), stdin.as_fd()], None)?;
        if ready.contains(&0) {
            let exit = child
                .try_reap()?
                .context("a readable pidfd means an ended process")?;
            return say(&format!("ended: {exit}"));
        }
        let mut command = [0_u8; 1];
        if stdin.lock().read(&mut command)? == 0 {
            child.kill_and_reap()?;
            return Ok(());
        }
    }
}

fn policy() -> Policy {
    let descriptors = BTreeSet::from([0, 1, 2, LIFETIME_FD, LISTENER_FD]);
    Policy {
        descriptors,
        open_files_max: 128,
        identity: None,
    }
}

fn worker(mode: &[&str]) -> Result<()> {
    say(&format!("worker {}", std::process::id()))?;
    match mode {
        // What was inherited, before anything is confined.
        ["inherited"] => {
            for entry in std::fs::read_dir("/proc/self/fd")? {
                let entry = entry?;
                let target = std::fs::read_link(entry.path())?;
                if !target.ends_with("fd") {
                    say(&format!("fd {}", entry.file_name().display()))?;
                }
            }
            for (name, value) in std::env::vars() {
                say(&format!("env {name}={value}"))?;
            }
            let status = std::fs::read_to_string("/proc/self/status")?;
            status
                .lines()
                .filter(|line| line.starts_with("Sig"))
                .try_for_each(say)?;
            say(&format!("cwd {}", std::env::current_dir()?.display()))
        }
        ["descriptor-too-many"] => {
            let _extra = File::open("/dev/null")?;
            refused(sandbox::enter(&policy(), Require::All).map(|_| ()))
        }
        ["descriptor-too-few"] => {
            let mut policy = policy();
            policy.descriptors.insert(99);
            refused(sandbox::enter(&policy, Require::All).map(|_| ()))
        }
        ["thread-too-early"] => {
            let (stop, wait) = std::sync::mpsc::channel::<()>();
            let thread = std::thread::spawn(move || wait.recv());
            refused(sandbox::enter(&policy(), Require::All).map(|_| ()))?;
            drop(stop);
            let _ = thread.join();
            Ok(())
        }
        // Only the parent-death signal holds this one.
        ["sleep"] => loop {
            std::thread::sleep(Duration::from_secs(3_600));
        },
        // Only the lifetime pipe holds this one.
        ["lifetime"] => {
            sandbox::enter(&policy(), Require::All)?;
            nix::sys::prctl::set_pdeathsig(None).or_else(not_permitted)?;
            SupervisorWatch::inherited()?.exit_with_supervisor()?;
            say("watching")?;
            loop {
                std::thread::sleep(Duration::from_secs(3_600));
            }
        }
        ["no-pdeathsig"] => {
            nix::sys::prctl::set_pdeathsig(None)?;
            SupervisorWatch::inherited()?.exit_with_supervisor()?;
            say("watching")?;
            loop {
                std::thread::sleep(Duration::from_secs(3_600));
            }
        }
        ["spin"] => loop {
            std::hint::spin_loop();
        },
        ["confined"] => {
            say(&sandbox::enter(&policy(), Require::All)?.to_string())?;
            say("ready")?;
            SupervisorWatch::inherited()?.exit_with_supervisor()?;
            loop {
                std::thread::sleep(Duration::from_secs(3_600));
            }
        }
        ["identity", uid] => {
            let uid = uid.parse()?;
            let mut policy = policy();
            policy.identity = Some(sandbox::Identity { uid, gid: uid });
            sandbox::enter(&policy, Require::All)?;
            say("ready")?;
            loop {
                std::thread::sleep(Duration::from_secs(3_600));
            }
        }
        ["serve"] => serve(),
        ["try", what] => {
            sandbox::enter(&policy(), Require::All)?;
            attempt(what)
        }
        ["abort"] => {
            sandbox::enter(&policy(), Require::All)?;
            panic::abort_on_panic("probe");
            panic!("inside the sandbox")
        }
        ["stop-hint"] => {
            sandbox::enter(&policy(), Require::All)?;
            let mut signals = Signals::worker()?;
            say("ready")?;
            wait_readable(&[signals.as_fd()], None)?;
            say(&format!("{:?}", signals.take()?))
        }
        other => bail!("unknown worker mode {other:?}"),
    }
}

fn not_permitted(errno: nix::errno::Errno) -> nix::Result<()> {
    if errno == nix::errno::Errno::EPERM {
        Ok(())
    } else {
        Err(errno)
    }
}

fn refused(result: std::result::Result<(), SandboxError>) -> Result<()> {
    match result {
        Ok(()) => say("entered"),
        Err(error) => say(&format!("refused: {error}")),
    }
}

/// The HTTP server as a worker has it: tokio on two threads, axum, the inherited socket.
fn serve() -> Result<()> {
    sandbox::enter(&policy(), Require::All)?;
    SupervisorWatch::inherited()?.exit_with_supervisor()?;
    let listener = TcpListener::from(inherit::adopt(LISTENER_FD)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("probe-api")
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let app = axum::Router::new()
            .route("/", axum::routing::get(|| async { "hello from inside" }))
            .route(
                "/echo",
                axum::routing::post(|body: String| async move { body }),
            )
            .route("/sleep", axum::routing::get(sleepy))
            .route("/threads", axum::routing::get(threads))
            .into_make_service_with_connect_info::<std::net::SocketAddr>();
        say("ready")?;
        Ok(axum::serve(listener, app).await?)
    })
}

async fn sleepy() -> &'static str {
    tokio::time::sleep(Duration::from_millis(5)).await;
    "slept"
}

/// A pool of plain threads that allocates and computes, as a prover does.
async fn threads() -> String {
    let count = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let sum = tokio::task::spawn_blocking(move || {
        let threads: Vec<_> = (0..count)
            .map(|n| {
                std::thread::spawn(move || {
                    let memory = vec![u8::try_from(n % 7).unwrap_or(0); 64 << 20];
                    memory.iter().map(|byte| u64::from(*byte)).sum::<u64>()
                })
            })
            .collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .count()
    });
    format!("{} of {count}", sum.await.unwrap_or(0))
}

/// Tries one forbidden thing and says how it was answered. The deadly ones never answer.
fn attempt(what: &str) -> Result<()> {
    const PATH: *const libc::c_char = c"/etc/passwd".as_ptr();
    let path = PATH as libc::c_long;
    let nowhere = c"/nonexistent/adnet".as_ptr() as libc::c_long;
    let page: libc::c_long = 4_096;
    let anonymous = libc::c_long::from(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let own_pid = libc::c_long::from(nix::unistd::getpid().as_raw());
    let address = [0_u8; 16];
    let (number, args): (libc::c_long, [libc::c_long; 6]) = match what {
        "open" => (libc::SYS_open, [path, 0, 0, 0, 0, 0]),
        "openat" => (libc::SYS_openat, [libc::AT_FDCWD.into(), path, 0, 0, 0, 0]),
        "openat2" => (libc::SYS_openat2, [libc::AT_FDCWD.into(), path, 0, 0, 0, 0]),
        "stat" => (libc::SYS_stat, [path, 0, 0, 0, 0, 0]),
        "readlink" => (libc::SYS_readlink, [path, 0, 0, 0, 0, 0]),
        // Should the filter fail, these must do no harm: the path does not exist.
        "unlink" => (libc::SYS_unlink, [nowhere, 0, 0, 0, 0, 0]),
        "mkdir" => (libc::SYS_mkdir, [nowhere, 0, 0, 0, 0, 0]),
        "memfd_create" => (libc::SYS_memfd_create, [path, 0, 0, 0, 0, 0]),
        "socket" => (
            libc::SYS_socket,
            [libc::AF_INET.into(), libc::SOCK_STREAM.into(), 0, 0, 0, 0],
        ),
        "socketpair-datagram" => (
            libc::SYS_socketpair,
            [libc::AF_UNIX.into(), libc::SOCK_DGRAM.into(), 0, path, 0, 0],
        ),
        "connect" => (libc::SYS_connect, [LISTENER_FD.into(), path, 16, 0, 0, 0]),
        "bind" => (libc::SYS_bind, [LISTENER_FD.into(), path, 16, 0, 0, 0]),
        "listen" => (libc::SYS_listen, [LISTENER_FD.into(), 1, 0, 0, 0, 0]),
        "sendto-address" => {
            let to = address.as_ptr() as libc::c_long;
            (libc::SYS_sendto, [LISTENER_FD.into(), path, 1, 0, to, 16])
        }
        "sendmsg" => (libc::SYS_sendmsg, [LISTENER_FD.into(), 0, 0, 0, 0, 0]),
        "recvmsg" => (libc::SYS_recvmsg, [LISTENER_FD.into(), 0, 0, 0, 0, 0]),
        "attach-filter" => (
            libc::SYS_setsockopt,
            [
                LISTENER_FD.into(),
                libc::SOL_SOCKET.into(),
                libc::SO_ATTACH_FILTER.into(),
                0,
                0,
                0,
            ],
        ),
        "tiocsti" => (libc::SYS_ioctl, [1, 0x5412, path, 0, 0, 0]),
        "fork" => (libc::SYS_fork, [0; 6]),
        "vfork" => (libc::SYS_clone, [libc::SIGCHLD.into(), 0, 0, 0, 0, 0]),
        "clone-namespace" => (libc::SYS_clone, [libc::CLONE_NEWUSER.into(), 0, 0, 0, 0, 0]),
        "clone3" => (libc::SYS_clone3, [0, 0, 0, 0, 0, 0]),
        "kill-parent" => (
            libc::SYS_kill,
            [nix::unistd::getppid().as_raw().into(), 0, 0, 0, 0, 0],
        ),
        "tgkill-parent" => {
            let parent = nix::unistd::getppid().as_raw().into();
            (libc::SYS_tgkill, [parent, parent, 0, 0, 0, 0])
        }
        "tgkill-self" => (libc::SYS_tgkill, [own_pid, own_pid, 0, 0, 0, 0]),
        "setpriority-self" => (libc::SYS_setpriority, [0, 0, 10, 0, 0, 0]),
        "setpriority-parent" => {
            let parent = nix::unistd::getppid().as_raw().into();
            (libc::SYS_setpriority, [0, parent, 10, 0, 0, 0])
        }
        "setuid" => (libc::SYS_setuid, [0; 6]),
        "capset" => (libc::SYS_capset, [0; 6]),
        "prlimit" => (libc::SYS_prlimit64, [own_pid, 0, path, 0, 0, 0]),
        "prctl-dumpable" => (
            libc::SYS_prctl,
            [libc::PR_SET_DUMPABLE.into(), 1, 0, 0, 0, 0],
        ),
        "mmap-data" => (
            libc::SYS_mmap,
            [0, page, libc::PROT_READ.into(), anonymous, -1, 0],
        ),
        "mmap-exec" => {
            let executable = libc::c_long::from(libc::PROT_READ | libc::PROT_EXEC);
            (libc::SYS_mmap, [0, page, executable, anonymous, -1, 0])
        }
        "mprotect-exec" => (
            libc::SYS_mprotect,
            [0, page, libc::PROT_EXEC.into(), 0, 0, 0],
        ),
        "execve" => (libc::SYS_execve, [path, 0, 0, 0, 0, 0]),
        "execveat" => (libc::SYS_execveat, [-1, path, 0, 0, 0, 0]),
        "ptrace" => (
            libc::SYS_ptrace,
            [libc::PTRACE_TRACEME.into(), 0, 0, 0, 0, 0],
        ),
        "process_vm_readv" => (libc::SYS_process_vm_readv, [own_pid, 0, 0, 0, 0, 0]),
        "pidfd_getfd" => (libc::SYS_pidfd_getfd, [0; 6]),
        "mount" => (libc::SYS_mount, [path, path, 0, 0, 0, 0]),
        "unshare" => (
            libc::SYS_unshare,
            [libc::CLONE_NEWUSER.into(), 0, 0, 0, 0, 0],
        ),
        "bpf" => (libc::SYS_bpf, [0; 6]),
        "perf_event_open" => (libc::SYS_perf_event_open, [0; 6]),
        "io_uring_setup" => (libc::SYS_io_uring_setup, [8, 0, 0, 0, 0, 0]),
        "userfaultfd" => (libc::SYS_userfaultfd, [0; 6]),
        "seccomp" => (libc::SYS_seccomp, [0; 6]),
        "keyctl" => (libc::SYS_keyctl, [0; 6]),
        "init_module" => (libc::SYS_init_module, [0; 6]),
        "reboot" => (libc::SYS_reboot, [0; 6]),
        "clock_settime" => (libc::SYS_clock_settime, [0; 6]),
        other => bail!("unknown attempt {other:?}"),
    };
    // SAFETY: every call is one the filter refuses before the kernel looks at its arguments, or
    // (tgkill-self with signal 0, mmap-data) one without an effect on this process's memory; where
    // a filter failed to refuse, pointers are to static strings or null.
    let answer =
        unsafe { libc::syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]) };
    match nix::errno::Errno::result(answer) {
        Ok(_) => say("allowed"),
        Err(errno) => say(&format!("{errno:?}")),
    }
}

fn signals() -> Result<()> {
    let mut signals = Signals::supervisor()?;
    say("ready")?;
    loop {
        wait_readable(&[signals.as_fd()], None)?;
        match signals.take()? {
            None => {}
            Some(StopRequest::Orderly) => say("orderly")?,
            Some(StopRequest::AtOnce) => {
                say("at once")?;
                // As a loop that is stuck in its clean-up: only the handler can end this.
                std::thread::sleep(Duration::from_secs(3_600));
            }
        }
    }
}

fn notify() -> Result<()> {
    let mut notifier = Notifier::from_env();
    say(&format!(
        "active {} {:?}",
        notifier.is_active(),
        notifier.watchdog_interval()
    ))?;
    notifier.ready("alpha 1, delta 5")?;
    notifier.status("alpha 1, delta 5")?;
    notifier.status("alpha 2\nREADY=0")?;
    notifier.watchdog()?;
    notifier.stopping("draining", Duration::from_secs(10))?;
    say("done")
}

/// Does what systemd does before it executes a service with sockets: descriptors from 3 on, and the
/// variables that describe them.
fn activate(names: &str) -> Result<()> {
    let count = names.split(':').count();
    let mut listeners = Vec::new();
    for (target, name) in (3..).zip(names.split(':')) {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        say(&format!("{name} {}", listener.local_addr()?))?;
        listeners.push((listener, target));
    }
    for (listener, target) in listeners {
        if listener.as_raw_fd() == target {
            rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty())?;
            std::mem::forget(listener);
        } else {
            bail!("descriptor {target} is taken; run this with the standard streams only");
        }
    }
    let error = Command::new("/proc/self/exe")
        .arg("sockets")
        .env("LISTEN_PID", std::process::id().to_string())
        .env("LISTEN_FDS", count.to_string())
        .env("LISTEN_FDNAMES", names)
        .exec();
    Err(error).context("cannot execute itself")
}

fn passed_sockets() -> Result<()> {
    let mut passed = match PassedSockets::from_env() {
        Ok(passed) => passed,
        Err(error) => {
            say(&format!("refused: {error}"))?;
            exit(exit_code::OS_REFUSED);
        }
    };
    for name in [sockets::ALPHA_API, sockets::DELTA_API, sockets::METRICS] {
        let address = ([127, 0, 0, 1], 0).into();
        let is_passed = passed
            .take(name)
            .map(|listener| listener.local_addr())
            .transpose()?;
        match is_passed {
            Some(address) => say(&format!("took {name} {address}"))?,
            None => {
                passed.take_or_bind(name, name, address)?;
                say(&format!("bound {name}"))?;
            }
        }
    }
    Ok(())
}
