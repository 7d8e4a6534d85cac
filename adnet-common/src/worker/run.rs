//! A worker from its launch to its end: serves the API, opens the chain, runs the chain loop.

use super::chain_loop::{ChainLoop, WorkerFault, tip_words};
use super::clock::unix_ms;
use super::figures::Figures;
use super::handle::{ChainHandle, Inner};
use super::host::ChainHost;
use super::links::Links;
use super::listen::{HANDED_ON_MAX, Listener};
use super::opening::Opening;
use super::pulse::{STATE_STARTING, STATE_STOPPING};
use super::verifier::{Chain, Verifier};
use crate::api::{self, ApiLimits, ApiMetrics, Later};
use crate::application::Application;
use crate::ipc::LinkError;
use crate::messages::ReadyMsg;
use crate::node::{Node, NodeConfig, stored_tip};
use crate::store::ReadStore;
use axum::Router;
use prometheus::Registry;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::{Arc, RwLock, mpsc};
use std::thread;
use std::time::Duration;
use tokio::sync::watch;

/// Requests of the API that wait for the chain's thread.
const REQUEST_QUEUE: usize = 4096;
/// Threads that serve connections; the rest of the work runs on blocking threads.
const API_THREADS: usize = 2;
/// Threads that may block at once on reads of the store.
const BLOCKING_THREADS_MAX: usize = 32;

/// What a worker runs with, beside its rings.
pub struct WorkerSetup {
    pub config: NodeConfig,
    pub listener: TcpListener,
    pub limits: ApiLimits,
    pub incarnation: u32,
}

/// A worker ended in disorder.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Chain(#[from] WorkerFault),
    #[error("the chain cannot be opened: {0}")]
    Open(#[from] crate::node::NodeFault),
    #[error("the API cannot be served: {0}")]
    Api(std::io::Error),
    #[error("a thread of the worker cannot be started: {0}")]
    Thread(std::io::Error),
    #[error("metrics cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("the supervisor cannot be told that we are ready: {0}")]
    Ready(LinkError),
}

/// Runs one chain until the supervisor asks to stop. Everything was attached before, and the
/// sandbox entered: from here on no file and no socket is opened.
///
/// The API serves `opening` while the state is rebuilt, and `router` from then on.
pub fn run_worker<A: Application>(
    links: Links,
    setup: WorkerSetup,
    opening: impl FnOnce(Opening<A>) -> Router,
    router: impl FnOnce(ChainHandle<A>) -> Router,
) -> Result<(), WorkerError> {
    let Links {
        data,
        query,
        attest,
        supervisor: mut links,
    } = links;
    links.heartbeat.beat(STATE_STARTING, 0);
    let registry = Registry::new();
    let figures = Figures::new(&registry)?;
    let (to_sibling, from_sibling) = attest.unzip();
    let mut host = ChainHost::new(data, to_sibling, figures.sibling_dropped.clone());
    let rules = A::rules(&setup.config.genesis);
    let reader: Arc<dyn ReadStore + Send + Sync> = query;
    let api_metrics = ApiMetrics::new(&registry)?;
    let later = Later::new(&setup.limits, api_metrics.clone());
    let opening = opening(Opening {
        rules: rules.clone(),
        tip: stored_tip::<A>(&mut host)?.map(|block| block.header),
        reader: Arc::clone(&reader),
        later: later.clone(),
    });
    let (stop, stopping) = watch::channel(false);
    let server = {
        let (listener, limits) = (setup.listener, setup.limits);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(API_THREADS)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("api")
            .enable_all()
            .build()
            .map_err(WorkerError::Api)?;
        let routes = (opening, later.clone());
        let serve = api::serve(listener, routes, limits, api_metrics, stopping);
        thread::Builder::new()
            .name("api-main".into())
            .spawn(move || runtime.block_on(serve))
            .map_err(WorkerError::Api)?
    };
    let node = Node::<A>::open(setup.config, unix_ms(), &mut host)?;
    let (sender, requests) = mpsc::sync_channel(REQUEST_QUEUE);
    let (heights, heights_seen) = watch::channel(node.tip().height);
    let doorbell = links
        .doorbell
        .as_ref()
        .expect("the doorbells are set before a worker runs");
    let wake = waker(doorbell).map_err(WorkerError::Thread)?;
    let (hand_on, heard) = mpsc::sync_channel(HANDED_ON_MAX);
    if let Some(ring) = from_sibling {
        let listener = Listener {
            ring,
            sibling: Arc::clone(node.sibling()),
            chain: hand_on,
            wake: waker(doorbell).map_err(WorkerError::Thread)?,
            delay: figures.attestation_delay.clone(),
            bad_messages: figures.bad_messages.clone(),
        };
        thread::Builder::new()
            .name("listener".into())
            .spawn(move || listener.run())
            .map_err(WorkerError::Thread)?;
    }
    // Bounded by the jobs that the node hands out, and by the room for clients.
    let (done, verified) = mpsc::channel();
    let verifier = Verifier::start(
        rules.clone(),
        Arc::clone(node.verified()),
        Chain {
            done,
            wake: waker(doorbell).map_err(WorkerError::Thread)?,
        },
        figures.verifier.clone(),
    );
    let shared = Arc::new(Inner {
        rules,
        verifier: verifier.map_err(WorkerError::Thread)?,
        requests: sender,
        wake,
        snapshot: RwLock::new(node.snapshot()),
        reader,
        heights: heights_seen,
        peers: RwLock::default(),
    });
    let handle = ChainHandle {
        inner: Arc::clone(&shared),
    };
    later.open(router(handle));
    let tip = node.tip();
    let at = tip_words(tip.height, &node.status().block_hash);
    let ready = ReadyMsg {
        pid: std::process::id(),
        incarnation: setup.incarnation,
        height: tip.height,
    };
    let sent = links.control_up.send(&ready, Duration::from_secs(1));
    sent.map_err(WorkerError::Ready)?;
    links.heartbeat.mark_ready();
    let (chain, incarnation) = (A::CHAIN, setup.incarnation);
    let event = match chain {
        crate::chain_id::ChainId::Alpha => "alpha_runtime_started",
        crate::chain_id::ChainId::Delta => "delta_runtime_started",
    };
    tracing::info!(event, %chain, pid = std::process::id(), incarnation, at, "the chain is open and its API answers");
    // Only now: a start does not share its processor with it.
    thread::Builder::new()
        .name("warm-up".into())
        .spawn(A::warm_up)
        .map_err(WorkerError::Thread)?;

    let mut chain_loop = ChainLoop {
        node,
        host,
        links,
        heard,
        requests,
        verified,
        shared,
        heights,
        figures,
        outputs: Vec::new(),
        metrics_due_ms: 0,
        told_validators: 0,
    };
    let ended = chain_loop.run();
    chain_loop.links.heartbeat.count(STATE_STOPPING);
    // No more requests are taken: those that wait are answered with an error when this drops them.
    stop.send_replace(true);
    drop(chain_loop.requests);
    match server.join() {
        Ok(served) => served.map_err(WorkerError::Api)?,
        Err(panic) => std::panic::resume_unwind(panic),
    }
    ended.map_err(WorkerError::Chain)
}

/// Rings the doorbell of the chain's thread.
fn waker(doorbell: &OwnedFd) -> std::io::Result<Box<dyn Fn() + Send + Sync>> {
    let bell = doorbell.try_clone()?;
    Ok(Box::new(move || {
        // A full counter means that the bell rings already.
        let _ = rustix::io::write(&bell, &1u64.to_ne_bytes());
    }))
}
