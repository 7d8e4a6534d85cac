//! Which system calls a worker may make, each with the reason. Everything not named here is refused
//! with EPERM, so that a library that merely tries its luck gets an answer it can live with.
//!
//! Two tables and a range, by what a call tells about the caller:
//! - [`allowed`]: what the rings, tokio, hyper, threads and memory need; where a call could do more
//!   than that, its arguments are pinned.
//! - [`MODERN_FIRST`] to [`MODERN_LAST`]: answered as an old kernel would, with ENOSYS. A libc then
//!   takes its older path, whose arguments can be judged: `clone3` hides its flags behind a pointer,
//!   `clone` does not.
//! - [`deadly`]: no correct worker tries these, so one that does is under foreign control and is
//!   killed with SIGSYS at the call.
//!
//! A filter sees numbers and registers, never memory. That is why `sendmsg` and `recvmsg` are out
//! (addresses and passed descriptors sit behind a pointer) while `sendto` is in with a null address.

use nix::libc;

/// A test of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// The low 32 bits of the argument, masked, have this value.
    Masked32 {
        /// Which argument, from 0.
        index: u8,
        /// The bits looked at.
        mask: u32,
        /// What they must be.
        value: u32,
    },
    /// The whole argument is zero: a null pointer.
    Null {
        /// Which argument, from 0.
        index: u8,
    },
}

/// A system call of one of the tables.
#[derive(Debug, Clone)]
pub struct Syscall {
    /// Its constant in libc, for messages and tests.
    pub name: &'static str,
    /// Its number on this architecture.
    pub number: i64,
    /// It matches if all tests of any of these match; with none, always.
    pub any_of: Vec<Vec<Test>>,
    /// Why it is in this table.
    pub why: &'static str,
}

macro_rules! table {
    ($( $(#[$arch:meta])* $call:ident $(if $any_of:expr)? => $why:literal, )*) => {
        Vec::from([$(
            $(#[$arch])*
            Syscall {
                name: stringify!($call),
                number: libc::$call,
                any_of: table!(@any_of $($any_of)?),
                why: $why,
            },
        )*])
    };
    (@any_of) => { Vec::new() };
    (@any_of $any_of:expr) => { $any_of };
}

/// The argument, as a 32-bit number, equals `value`.
fn is(index: u8, value: i32) -> Test {
    Test::Masked32 {
        index,
        mask: u32::MAX,
        value: value.cast_unsigned(),
    }
}

/// The bits of `mask` in the argument equal `value`.
fn bits(index: u8, mask: i32, value: i32) -> Test {
    Test::Masked32 {
        index,
        mask: mask.cast_unsigned(),
        value: value.cast_unsigned(),
    }
}

/// One of `values` in argument `index`.
fn one_of(index: u8, values: &[i32]) -> Vec<Vec<Test>> {
    values.iter().map(|value| vec![is(index, *value)]).collect()
}

/// One of `options` (argument 2) at socket level `level` (argument 1).
fn options(level: i32, options: &[i32]) -> Vec<Vec<Test>> {
    options
        .iter()
        .map(|option| vec![is(1, level), is(2, *option)])
        .collect()
}

const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;
const THREAD: i32 = libc::CLONE_THREAD | libc::CLONE_VM | libc::CLONE_SIGHAND;
const NOT_A_THREAD: i32 =
    NAMESPACES | libc::CLONE_VFORK | libc::CLONE_PTRACE | libc::CLONE_PARENT | libc::CLONE_PIDFD;

/// What a worker with process number `own_pid` may do.
pub fn allowed(own_pid: i32) -> Vec<Syscall> {
    let setsockopt = [
        options(
            libc::IPPROTO_TCP,
            &[
                libc::TCP_NODELAY,
                libc::TCP_QUICKACK,
                libc::TCP_KEEPIDLE,
                libc::TCP_KEEPINTVL,
                libc::TCP_KEEPCNT,
                libc::TCP_USER_TIMEOUT,
            ],
        ),
        options(
            libc::SOL_SOCKET,
            &[
                libc::SO_KEEPALIVE,
                libc::SO_LINGER,
                libc::SO_RCVBUF,
                libc::SO_SNDBUF,
            ],
        ),
    ]
    .concat();
    table! {
        // Memory. Nothing that is or becomes executable; see also `deadly`.
        SYS_mmap if vec![vec![bits(2, libc::PROT_EXEC, 0)]]
            => "the allocator and thread stacks; never executable",
        SYS_mprotect if vec![vec![bits(2, libc::PROT_EXEC, 0)]]
            => "guard pages and the allocator's arenas; never executable",
        SYS_munmap => "the allocator gives memory back; a worker unmaps its rings",
        SYS_mremap => "large vectors grow without a copy",
        SYS_madvise => "the allocator gives pages back",
        SYS_brk => "the allocator's main arena",

        // Threads of this process, and no other process.
        SYS_clone if vec![vec![bits(0, THREAD | NOT_A_THREAD, THREAD)]]
            => "start a thread; fork, vfork and namespaces have other flags",
        SYS_set_robust_list => "every new thread registers its robust futexes",
        SYS_rseq => "every new thread registers its restartable sequences",
        SYS_futex => "ring doorbells, locks, channels",
        SYS_sched_yield => "spin loops give way",
        SYS_sched_getaffinity => "thread pools count the processors",
        SYS_setpriority if vec![vec![is(0, PRIO_PROCESS), is(1, 0)]]
            => "threads that verify, and a standby's, stand back behind those at work; of others' \
                priority nothing, and without capabilities there is no way up again",
        SYS_exit => "a thread ends",
        SYS_exit_group => "the process ends",
        SYS_gettid => "abort and thread names",
        SYS_getpid => "abort, logs",
        SYS_getppid => "to see that the supervisor is still the parent",
        SYS_prctl if one_of(0, &[libc::PR_SET_NAME, libc::PR_SET_NO_NEW_PRIVS])
            => "thread names; no_new_privs, which installing a filter sets once more",
        SYS_seccomp => "the two filters installed after this one; the last takes it away",

        // Signals to itself.
        SYS_rt_sigaction => "handlers for SIGTERM and stack overflow; abort resets SIGABRT",
        SYS_rt_sigprocmask => "starting threads and abort block signals",
        SYS_rt_sigreturn => "return from a handler",
        SYS_sigaltstack => "each thread's stack for the stack overflow handler",
        SYS_restart_syscall => "the kernel resumes sleeps with it after SIGSTOP and SIGCONT",
        SYS_tgkill if vec![vec![is(0, own_pid)]] => "abort signals its own thread",

        // Time, chance, accounting: all read only.
        SYS_clock_gettime => "clocks, where the vDSO cannot answer (CPU time, some hypervisors)",
        SYS_clock_getres => "clock resolution",
        SYS_gettimeofday => "as clock_gettime",
        SYS_clock_nanosleep => "thread::sleep",
        SYS_nanosleep => "thread::sleep of older libraries",
        SYS_getrandom => "hash seeds, nonces",
        SYS_getrusage => "CPU and memory metrics of this worker",

        // Waiting. The descriptors made here are local and reach nothing outside.
        #[cfg(target_arch = "x86_64")]
        SYS_epoll_wait => "tokio's event loop",
        SYS_epoll_pwait => "tokio's event loop on other architectures",
        SYS_epoll_create1 => "tokio starts its event loop",
        SYS_epoll_ctl => "tokio watches a connection",
        SYS_eventfd2 => "tokio's waker",
        #[cfg(target_arch = "x86_64")]
        SYS_poll => "wait for the lifetime pipe",
        SYS_ppoll => "as poll",
        SYS_socketpair if vec![vec![is(0, libc::AF_UNIX), bits(1, 0xf, libc::SOCK_STREAM)]]
            => "signal handlers wake tokio through a pair connected to itself; a datagram pair \
                could be sent to others and is out",

        // The descriptors it was given and the connections it accepts.
        SYS_read => "eventfds, pipes, connections",
        SYS_readv => "as read",
        SYS_write => "eventfds, logs on standard error, connections",
        SYS_writev => "responses in several parts",
        SYS_close => "connections end",
        SYS_accept4 => "connections on the inherited listening socket",
        SYS_recvfrom => "requests",
        SYS_sendto if vec![vec![Test::Null { index: 4 }]]
            => "responses; with an address it could reach a peer it was not given",
        SYS_shutdown => "half-close of a connection",
        SYS_getsockname => "the address the API listens on",
        SYS_getpeername => "the client's address, for rate limits",
        SYS_getsockopt => "SO_ERROR after an event",
        SYS_setsockopt if setsockopt
            => "latency and keep-alive of connections; above all no socket filters",
        SYS_fcntl if one_of(1, &[
            libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL, libc::F_DUPFD_CLOEXEC,
        ]) => "non-blocking and close-on-exec flags, duplicates of its own descriptors",
        SYS_ioctl if one_of(1, &[FIONBIO, TCGETS])
            => "non-blocking mode of a connection; whether the log goes to a terminal",
    }
}

// libc types these differently per architecture; the numbers are those of Linux's generic ABI.
const PRIO_PROCESS: i32 = 0;
const FIONBIO: i32 = 0x5421;
const TCGETS: i32 = 0x5401;
/// A third of the processor time of whatever else wants it. At the lowest priority, 19, it would be a
/// seventieth: a busy node would never have a standby, and a thread that is killed has to run once more
/// to die, which would take hundreds of milliseconds, in which its process holds the listening socket.
pub const STANDBY_NICENESS: i32 = 5;

/// From this number on, a call is the same on all architectures and newer than Linux 5.0. It is
/// answered with ENOSYS, `clone3` above all, so that a libc takes the older path that the tables
/// can judge. [`deadly`] wins over it.
pub const MODERN_FIRST: u32 = 424;
/// Numbers are handed out one after the other; 470 was the highest when this was written.
pub const MODERN_LAST: u32 = 511;

/// Answered with SIGSYS to the whole process.
pub fn deadly() -> Vec<Syscall> {
    let executable = || vec![vec![bits(2, libc::PROT_EXEC, libc::PROT_EXEC)]];
    table! {
        SYS_execve => "a worker never becomes another program",
        SYS_execveat => "as execve",
        SYS_mmap if executable() => "all its code was mapped at its start; more is injected code",
        SYS_mprotect if executable() => "as mmap: data never turns into code",
        SYS_pkey_mprotect => "as mprotect",
        SYS_seccomp => "the filters are final; installing one feeds a program to the kernel",
        SYS_ptrace => "reads and steers other processes",
        SYS_process_vm_readv => "reads the memory of others: keys",
        SYS_process_vm_writev => "writes the memory of others",
        SYS_kcmp => "compares kernel objects of other processes",
        SYS_pidfd_getfd => "takes descriptors out of other processes",
        SYS_bpf => "programs in the kernel",
        SYS_perf_event_open => "side channels, and a long history of kernel bugs",
        SYS_userfaultfd => "widens races in the kernel",
        SYS_io_uring_setup => "makes system calls that no filter sees",
        SYS_io_uring_enter => "as io_uring_setup",
        SYS_io_uring_register => "as io_uring_setup",
        SYS_mount => "the view of the file system is the administrator's",
        SYS_umount2 => "as mount",
        SYS_pivot_root => "as mount",
        SYS_chroot => "as mount",
        SYS_move_mount => "as mount",
        SYS_open_tree => "as mount",
        SYS_fsopen => "as mount",
        SYS_fsconfig => "as mount",
        SYS_fsmount => "as mount",
        SYS_fspick => "as mount",
        SYS_mount_setattr => "as mount",
        SYS_open_by_handle_at => "opens files past every directory's permissions",
        SYS_unshare => "new namespaces bring capabilities",
        SYS_setns => "as unshare",
        SYS_init_module => "code in the kernel",
        SYS_finit_module => "as init_module",
        SYS_delete_module => "as init_module",
        SYS_kexec_load => "another kernel",
        #[cfg(target_arch = "x86_64")]
        SYS_kexec_file_load => "another kernel",
        SYS_reboot => "the machine is the administrator's",
        SYS_swapon => "as reboot",
        SYS_swapoff => "as reboot",
        SYS_settimeofday => "consensus lives on the clock",
        SYS_clock_settime => "as settimeofday",
        SYS_clock_adjtime => "as settimeofday",
        SYS_adjtimex => "as settimeofday",
        SYS_keyctl => "the kernel's key rings",
        SYS_add_key => "as keyctl",
        SYS_request_key => "as keyctl",
        SYS_personality => "switches protections such as address randomisation off",
        #[cfg(target_arch = "x86_64")]
        SYS_iopl => "hardware ports",
        #[cfg(target_arch = "x86_64")]
        SYS_ioperm => "as iopl",
        #[cfg(target_arch = "x86_64")]
        SYS_modify_ldt => "segment tricks of 16-bit programs",
        SYS_acct => "the system's accounting",
        SYS_syslog => "kernel addresses",
        SYS_quotactl => "the file systems' quotas",
        SYS_memfd_secret => "memory hidden from the kernel itself",
    }
}
