//! The worker shell: the loop that joins rings, chain core and API server in a worker process.

mod handle;

pub use handle::{
    ChainHandle, ChainStatus, PendingTx, Request, SiblingError, SiblingValue, Snapshot,
};
pub(crate) use handle::Inner;
