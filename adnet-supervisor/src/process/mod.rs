//! The process layer: how the supervisor starts, watches, judges, restarts and ends its workers,
//! and how a worker locks itself in. Nothing in here knows a chain, a ring or a configuration file;
//! callers pass what is needed.
//!
//! | file | idea | runs in |
//! | --- | --- | --- |
//! | [`spawn`] | start this very binary as a worker, with exactly the descriptors granted | supervisor |
//! | [`child`] | one running worker: signal it, reap it, say how it ended | supervisor |
//! | [`death`] | sleep until a worker dies or something is readable | supervisor |
//! | [`lifetime`] | the pipe by which a worker notices that its supervisor is gone | both |
//! | [`inherit`] | take over a descriptor that was passed by number | both |
//! | [`sandbox`], [`seccomp`], [`seccomp_policy`] | the numbered steps by which a worker gives up every right | worker |
//! | [`restart`], [`hang`], [`dead_letter`] | pure judgements: when to restart, what is hung, which input is poison | supervisor |
//! | [`proc_stat`] | what the kernel says about a worker's CPU time and state | supervisor |
//! | [`sockets`] | listening sockets: bound here or passed by systemd | supervisor |
//! | [`notify`] | readiness, status and watchdog for systemd | supervisor |
//! | [`signals`] | SIGTERM and SIGINT as events on a descriptor | both |
//! | [`panic`] | a panic ends the worker | worker |
//! | [`exit_code`] | every exit code the binary can end with | both |
//!
//! Invariants:
//! - `unsafe` lives in [`spawn`], [`inherit`] and [`sandbox`] only.
//! - A worker never outlives its supervisor: PDEATHSIG, checked again after it is set, and the
//!   lifetime pipe, which also covers what PDEATHSIG cannot (a change of user clears it).
//! - The judgements take the time as an argument and read no clock, so tests replay them exactly.

pub mod child;
pub mod dead_letter;
pub mod death;
pub mod exit_code;
pub mod hang;
pub mod inherit;
pub mod lifetime;
pub mod notify;
pub mod panic;
pub mod proc_stat;
pub mod restart;
pub mod sandbox;
pub mod seccomp;
pub mod seccomp_policy;
pub mod signals;
pub mod sockets;
pub mod spawn;
