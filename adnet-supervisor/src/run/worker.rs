//! A worker process from exec to exit: map the rings, enter the sandbox, join the rings, run the chain.
//! A standby waits between the second and the third step, and builds what takes long to build.
//!
//! The order matters. What needs files or names (the genesis, the segments) comes before the
//! sandbox; what needs threads comes after it, because it wants to be entered by one thread.

use super::call::{self, Call, CallError};
use crate::logging::{self, Incarnation, LogIdentity};
use crate::process::lifetime::{LIFETIME_FD, SupervisorWatch};
use crate::process::sandbox::{self, Policy, Require};
use crate::process::seccomp_policy::STANDBY_NICENESS;
use crate::process::{exit_code, inherit, panic};
use adnet_alpha::AlphaApp;
use adnet_common::api::ApiLimits;
use adnet_common::application::Application;
use adnet_common::chain_id::ChainId;
use adnet_common::config::LogConfig;
use adnet_common::consensus::Timeouts;
use adnet_common::genesis::Genesis;
use adnet_common::mempool::MempoolLimits;
use adnet_common::node::NodeConfig;
use adnet_common::worker::{
    JoinError, LAUNCH_VARIABLE, Launch, Links, MappedLinks, Opening, WorkerSetup, run_worker,
};
use adnet_delta::DeltaApp;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::net::TcpListener;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;

/// Descriptors of a worker beside the standard streams and the lifetime pipe.
pub const LISTENER_FD: RawFd = 4;
pub const DOORBELL_FD: RawFd = 5;
/// Only where the log goes to the journal.
pub const JOURNAL_FD: RawFd = 6;
/// Only in a standby.
pub const CALL_FD: RawFd = 7;

/// Descriptors that a worker needs beside its connections.
const OWN_DESCRIPTORS: u64 = 64;

/// What the supervisor puts into [`LAUNCH_VARIABLE`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerOrder {
    pub launch: Launch,
    pub log: LogConfig,
    pub require_sandbox: bool,
    /// Whether [`JOURNAL_FD`] is a connection to the journal.
    pub has_journal: bool,
    /// Whether it is to wait until it is called, by [`CALL_FD`]. `launch` has no incarnation then, and
    /// the epochs of its rings are another's.
    pub is_standby: bool,
}

/// Whether this process was started by a supervisor.
pub fn is_ordered() -> bool {
    std::env::var_os(LAUNCH_VARIABLE).is_some()
}

/// Runs the worker that the environment orders and returns the exit code.
pub fn main() -> i32 {
    match run() {
        Ok(()) => exit_code::OK,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the worker ends");
            match error.downcast_ref::<JoinError>() {
                Some(JoinError::Schema { .. }) => exit_code::SCHEMA_MISMATCH,
                _ if matches!(error.downcast_ref(), Some(CallError::SupervisorLost)) => {
                    exit_code::SUPERVISOR_LOST
                }
                _ if error.is::<sandbox::SandboxError>() => exit_code::SANDBOX_REFUSED,
                _ => exit_code::FAILURE,
            }
        }
    }
}

fn run() -> anyhow::Result<()> {
    let order = std::env::var(LAUNCH_VARIABLE).context("the launch is not readable")?;
    let order: WorkerOrder = serde_json::from_str(&order).context("the launch does not parse")?;
    let WorkerOrder {
        mut launch,
        log,
        require_sandbox,
        has_journal,
        is_standby,
    } = order;
    let role = launch.chain.name();
    // Without it the sandbox refuses to begin, and says so on standard error.
    let journal = has_journal
        .then(|| inherit::adopt(JOURNAL_FD).ok())
        .flatten();
    let incarnation = Incarnation::from(launch.incarnation);
    start_logging(&log, role, &incarnation, journal);
    show_as(if is_standby { "standby" } else { role })?;
    panic::abort_on_panic(role);

    let genesis = Genesis::load(&launch.genesis).context("the genesis cannot be read")?;
    let mapped = MappedLinks::map(&launch)?;
    let watch = SupervisorWatch::inherited()?;
    let listener = TcpListener::from(inherit::adopt(LISTENER_FD)?);
    let doorbell = inherit::adopt(DOORBELL_FD)?;
    let call_socket = is_standby.then(|| inherit::adopt(CALL_FD)).transpose()?;
    let mut descriptors = vec![0, 1, 2, LIFETIME_FD, LISTENER_FD, DOORBELL_FD];
    descriptors.extend(has_journal.then_some(JOURNAL_FD));
    descriptors.extend(is_standby.then_some(CALL_FD));
    let policy = Policy {
        descriptors: descriptors.into_iter().collect(),
        open_files_max: launch.config.api_max_connections + OWN_DESCRIPTORS,
        identity: None,
    };
    let require = if require_sandbox {
        Require::All
    } else {
        Require::BestEffort
    };
    let report = sandbox::enter(&policy, require)?;
    report.log();

    watch.exit_with_supervisor()?;
    if let Some(socket) = call_socket {
        Call {
            incarnation: launch.incarnation,
            rings: launch.rings,
        } = stand_by(launch.chain, socket)?;
        incarnation.set(launch.incarnation);
        show_as(role)?;
    }
    let mut links = mapped.join(launch.chain, launch.incarnation, &launch.rings)?;
    links.set_doorbell(doorbell)?;
    links
        .heartbeat()
        .watch_death()
        .context("the death watch cannot be set")?;
    if launch.rings.attest_out.is_some() {
        tracing::info!(
            event = "ipc_channel_established",
            chain = role,
            pid = std::process::id(),
            incarnation = launch.incarnation,
            "the rings to the supervisor and to the other chain are attached"
        );
    }
    run_chain(links, launch, Arc::new(genesis), listener)
}

/// What `ps` and `top` show, which would be `exe`.
fn show_as(what: &str) -> anyhow::Result<()> {
    let name = std::ffi::CString::new(format!("adnet-{what}")).expect("a role has no NUL");
    rustix::thread::set_name(&name).context("the process cannot be named")
}

/// Builds what takes long to build, behind everybody at work, and waits for the call.
fn stand_by(chain: ChainId, socket: OwnedFd) -> anyhow::Result<Call> {
    let warm_up = match chain {
        ChainId::Alpha => AlphaApp::warm_up,
        ChainId::Delta => DeltaApp::warm_up,
    };
    // A priority is a thread's own on Linux and goes to the threads that it starts. Nobody without
    // rights can raise it again, so it is lowered only where nothing else will ever run.
    let builder = std::thread::Builder::new()
        .name("warm-up".to_owned())
        .spawn(move || {
            if let Err(error) = rustix::process::setpriority_process(None, STANDBY_NICENESS) {
                tracing::warn!(%error, "the standby prepares itself at the priority of a worker");
            }
            warm_up();
        })
        .context("the standby cannot start a thread")?;
    if let Err(panic) = builder.join() {
        std::panic::resume_unwind(panic);
    }
    Ok(call::wait(socket)?)
}

/// Runs the chain that `launch` names until it is asked to stop.
pub fn run_chain(
    links: Links,
    launch: Launch,
    genesis: Arc<Genesis>,
    listener: TcpListener,
) -> anyhow::Result<()> {
    let config = &launch.config;
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let setup = WorkerSetup {
        config: NodeConfig {
            genesis: Arc::clone(&genesis),
            validator: launch.validator,
            mempool: MempoolLimits {
                max_txs: count(config.mempool_max_txs),
                max_bytes: count(config.mempool_max_bytes),
                max_per_sender: count(config.mempool_max_per_sender),
                ttl_ms: config.mempool_ttl_s.saturating_mul(1000),
            },
            timeouts: Timeouts::default(),
            trusted: config.trusted_block(),
            snapshot_every: match launch.chain {
                ChainId::Alpha => adnet_alpha::SNAPSHOT_EVERY_BLOCKS,
                ChainId::Delta => adnet_delta::SNAPSHOT_EVERY_BLOCKS,
            },
        },
        listener,
        limits: ApiLimits::from(config),
        incarnation: launch.incarnation,
    };
    match launch.chain {
        ChainId::Alpha => {
            // Its state is read as it is asked for: there is hardly anything to wait for.
            let opening = |opening: Opening<AlphaApp>| opening.later.into_router();
            run_worker(links, setup, opening, |chain| {
                adnet_alpha::api::router(chain, &launch.alpha_api)
            })?;
        }
        ChainId::Delta => run_worker(links, setup, adnet_delta::api::opening_router, |chain| {
            let limits = ApiLimits::from(config);
            adnet_delta::api::router(chain, &launch.delta_api, &limits)
        })?,
    }
    Ok(())
}

fn start_logging(
    log: &LogConfig,
    role: &'static str,
    incarnation: &Incarnation,
    journal: Option<OwnedFd>,
) {
    let identity = LogIdentity {
        role,
        incarnation: incarnation.clone(),
        pid: std::process::id(),
    };
    logging::start(log, identity, journal).expect("logging is started once");
}
