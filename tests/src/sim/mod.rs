//! A whole network in one thread on a virtual clock: the real chain core with both real
//! applications, on disks and networks that fail as a seed says.
//!
//! [`run`] plays a [`Scenario`] and asks the oracle at every block and at the end. Nothing here reads
//! a clock or a random source, so a seed that fails fails again.

mod absence;
mod chain;
mod contracts;
mod disk;
mod equivocator;
mod host;
mod knobs;
mod liveness;
mod network;
mod oracle;
mod random;
mod scenario;
mod settling;
mod simulation;
mod stepping;
mod trouble;
mod validators;
mod workload;

pub use disk::Honesty;
pub use host::{Crash, Death, Moment};
pub use knobs::Family;
pub use liveness::Recovery;
pub use network::genesis;
pub use oracle::{Decided, Violation};
pub use random::Random;
pub use scenario::{Crashes, Scenario};
pub use trouble::{Absence, Cut, Outage, Shape, Wires};

use adnet_common::chain_id::ChainId;
use adnet_common::hash::Hash;
use simulation::Simulation;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// Over everything that was committed and every death, with its time.
    pub digest: Hash,
    /// The first commit of every block.
    pub decided: BTreeMap<(ChainId, u64), Decided>,
    /// Durable operations of machine 0.
    pub ops: u64,
    pub deaths: u64,
    /// Proofs in blocks that a validator has signed twice, over both chains.
    pub equivocations: u64,
    /// Chains of machines that came late and began with a snapshot.
    pub snapshots: u64,
    /// Transactions that were accepted and are in a block.
    pub settled: u64,
    /// Those of them that were prepared with proofs of Alpha's pool.
    pub notes_settled: u64,
    /// Those of them that deployed, called or delegated to contracts of Delta.
    pub contracts_settled: u64,
    /// How the chains went on whenever a cut or an outage had ended.
    pub recoveries: Vec<Recovery>,
    /// Units that crossed from Alpha to Delta and back.
    pub locked_units: u64,
    pub unlocked_units: u64,
}

/// Plays a scenario to its end.
///
/// # Errors
/// The first rule that was broken. A panic of a node is one, too.
pub fn run(scenario: &Scenario) -> Result<Report, Violation> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        Simulation::new(scenario.clone()).play()
    }));
    played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let what = format!("a node panicked: {}", text.unwrap_or("without a text"));
        Err(Violation { at_ms: 0, what })
    })
}
