//! The worker shell: the loop that joins rings, chain core and API server in a worker process.

mod chain_loop;
pub mod clock;
mod figures;
mod handle;
mod host;
mod launch;
mod links;
mod listen;
mod opening;
mod pulse;
mod run;
mod verifier;

pub use chain_loop::WorkerFault;
pub use handle::{
    ChainHandle, ChainStatus, PendingTx, Request, SiblingError, SiblingValue, Snapshot,
};
pub use launch::{LAUNCH_VARIABLE, Launch, RingEnd, WorkerRings};
pub use links::{JoinError, Links, MappedLinks};
pub use opening::Opening;
pub use pulse::{STATE_RUNNING, STATE_STARTING, STATE_STOPPING, STATE_WAITING};
pub use run::{WorkerError, WorkerSetup, run_worker};
