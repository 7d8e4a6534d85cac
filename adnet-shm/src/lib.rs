//! Shared-memory segments and lock-free rings between the processes of one node.
//!
//! This crate moves bytes. It knows no message type, no chain and no role; what the bytes mean is
//! agreed elsewhere and only a hash of that agreement passes through here.
//!
//! * [`Segment`] is the supervisor's side of one ring: it creates, populates, owns and unlinks the
//!   memory, raises the epoch of a side whose process is gone, and wakes whoever sleeps.
//! * [`Producer`] and [`Consumer`] are the two sides. A side maps its ring by name before its process
//!   enters its sandbox, keeps no descriptor, and attaches with the epoch it was given: at once, or
//!   later, when a standby takes the place of a worker that died.
//! * [`HeartbeatSegment`] and [`Heartbeat`] carry a worker's state and progress to the supervisor.
//!
//! Invariants of the whole crate:
//!
//! * One producer and one consumer per ring. A second attachment under one epoch is refused.
//! * A record exists for the consumer from ONE store on (the Release store of the producer's index);
//!   a process that dies before it has done nothing, one that dies after it has done all of it.
//! * Every value read from shared memory is loaded once and checked before it is used. Corrupt
//!   bytes are errors, never a panic and never an access outside the mapping.
//! * No lock and no wait on a dead process: a sleeper wakes by itself at the latest after
//!   [`BACKSTOP`].
//!
//! This is the only crate of the workspace with `unsafe` over shared memory. The memory layout is
//! drawn in [`layout`]; the protocol on the indices, which loom explores, is in [`side`].

#[doc(hidden)]
pub mod atomics;
pub mod layout;
#[doc(hidden)]
pub mod side;

#[cfg(not(loom))]
mod audit;
#[cfg(not(loom))]
mod consumer;
mod error;
#[cfg(not(loom))]
mod header;
#[cfg(not(loom))]
mod heartbeat;
#[cfg(not(loom))]
mod mapping;
#[cfg(not(loom))]
mod producer;
#[cfg(not(loom))]
mod robust;
#[cfg(not(loom))]
mod segment;
#[cfg(not(loom))]
mod stale;
#[cfg(not(loom))]
mod wait;

pub use error::{Corruption, LoanError, RingError, ShmError};
pub use side::Side;

#[cfg(not(loom))]
pub use {
    audit::RingAudit,
    consumer::{Consumer, MappedConsumer, Record},
    header::{Header, RingExpect, decode_header},
    heartbeat::{Beat, Heartbeat, HeartbeatSegment, MappedHeartbeat},
    producer::{MappedProducer, Producer, Slot},
    segment::{RingSpec, Segment},
    stale::unlink_stale,
    wait::{BACKSTOP, WaitOutcome, new_doorbell},
};

#[cfg(target_endian = "big")]
compile_error!("the futex word is the low half of an index and lies first only in little endian");
