//! The atomics of the protocol: those of the standard library, or loom's when it explores them.
//!
//! Only what [`crate::side`] needs is here. Everything that touches real shared memory is left out
//! of a loom build, because loom's atomics have another size.

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
