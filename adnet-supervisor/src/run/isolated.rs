//! `adnet run --role alpha|delta`, typed by a person: one chain in one foreground process.
//!
//! For a debugger or a profiler. The chain runs in this process, over the same rings and the same
//! services as under a supervisor, with its own database handle and network for that chain only.
//! There is no sandbox, no restart, and no other chain: a panic ends it all, where it happened.

use super::events::{Event, Events};
use super::shared::{Shared, chain_config};
use super::worker::run_chain;
use crate::process::death::{Waker, wait_readable};
use crate::process::exit_code;
use crate::process::signals::{Signals, StopRequest};
use crate::process::sockets;
use adnet_common::chain_id::ChainId;
use adnet_common::config::Config;
use adnet_common::hash::Hash;
use adnet_common::messages::SCHEMA_HASH;
use adnet_common::worker::{Launch, Links};
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::TryRecvError;
use std::thread;
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_millis(100);

pub fn run(chain: ChainId, config: Config) -> anyhow::Result<i32> {
    let mut signals = Signals::supervisor()?;
    let waker = Arc::new(Waker::new()?);
    let (events, inbox) = Events::new(Arc::clone(&waker));
    let settings = chain_config(&config, chain);
    let listener = sockets::bind(&format!("{chain}.api_listen"), settings.api_listen)?;
    let metrics = sockets::bind("metrics.listen", config.metrics.listen)?;
    let address = listener.local_addr()?;
    let listens = BTreeMap::from([(chain, address)]);
    let shared = Shared::open(&config, &[chain], &listens, metrics, &events)?;
    tracing::info!(%chain, %address, "isolated: one chain in this process, the API listens");

    let launch = Launch {
        chain,
        incarnation: 1,
        schema_hash: Hash(SCHEMA_HASH),
        genesis: config.node.genesis_file(),
        validator: shared.validator,
        config: settings.clone(),
        alpha_api: config.alpha_api.clone(),
        delta_api: config.delta_api.clone(),
        rings: shared.topology.worker_rings(chain),
    };
    let mut links = Links::join(&launch)?;
    links.set_doorbell(shared.topology.doorbell(chain).try_clone_to_owned()?)?;
    shared
        .state
        .worker_started(chain, std::process::id(), false);
    let genesis = Arc::clone(&shared.genesis);
    let worker = thread::Builder::new()
        .name(chain.name().to_owned())
        .spawn(move || run_chain(links, launch, genesis, listener))?;

    let mut code = exit_code::OK;
    while !worker.is_finished() {
        let ready = wait_readable(&[signals.as_fd(), waker.as_fd()], Some(LOOK_EVERY))?;
        if ready.contains(&1) {
            waker.clear()?;
        }
        if ready.contains(&0) {
            match signals.take()? {
                Some(StopRequest::Orderly) => stop(&shared, chain, &config),
                Some(StopRequest::AtOnce) => return Ok(exit_code::ENDED_AT_ONCE),
                None => {}
            }
        }
        loop {
            match inbox.try_recv() {
                Ok(Event::Ready(chain, _)) => shared.state.worker_running(chain),
                Ok(Event::StopAsked) => stop(&shared, chain, &config),
                Ok(Event::StoreFailed) => {
                    code = exit_code::STORE_FAILED;
                    stop(&shared, chain, &config);
                }
                Ok(Event::Dying(..)) => {}
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
    }
    let ended = worker.join();
    shared.close(Vec::new());
    match ended {
        Ok(Ok(())) => Ok(code),
        Ok(Err(error)) => Err(error),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn stop(shared: &Shared, chain: ChainId, config: &Config) {
    shared.state.set_stopping();
    shared.ask_to_stop(
        chain,
        Duration::from_millis(config.supervisor.shutdown_deadline_ms),
    );
}
