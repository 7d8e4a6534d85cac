//! The adnet node: the supervisor of the two chains' workers, and the command line.
//!
//! `topology` is the picture of all processes and rings. `run` begins each role; `process` starts,
//! watches and confines processes; `new_node` makes the first data directory; `store`, `signer`, `network`, `metrics` and `control` own what
//! the supervisor owns.

pub mod cli;
pub mod control;
pub mod logging;
pub mod metrics;
pub mod network;
pub mod new_node;
pub mod node_state;
pub mod process;
pub mod run;
pub mod service_thread;
pub mod signer;
pub mod store;
pub mod topology;
