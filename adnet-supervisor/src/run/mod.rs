//! `adnet run`: which role this process plays, and how each begins.
//!
//! A worker that a supervisor has started never comes here: it has its order in the environment
//! and begins in [`worker::main`].

mod announce;
mod call;
mod dead_letters;
pub mod ending;
mod events;
mod isolated;
mod services;
mod shared;
mod slot;
mod standby;
mod supervise;
mod validators;
mod watch;
pub mod worker;

use crate::logging::{self, Incarnation, LogIdentity};
use adnet_common::chain_id::ChainId;
use adnet_common::config::Loaded;
use clap::ValueEnum;
use std::process::ExitCode;

/// Which process of the node this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    Supervisor,
    Alpha,
    Delta,
}

/// Runs the role that was asked for until it is told to stop.
pub fn run(asked: Role, loaded: Loaded) -> anyhow::Result<ExitCode> {
    let role = match asked {
        Role::Supervisor => "supervisor",
        Role::Alpha => "alpha",
        Role::Delta => "delta",
    };
    let identity = LogIdentity {
        role,
        incarnation: Incarnation::default(),
        pid: std::process::id(),
    };
    let log = &loaded.config.log;
    logging::start(log, identity, logging::journal_connection(log))?;
    let ended = match asked {
        Role::Supervisor => supervise::run(loaded.config),
        Role::Alpha => isolated::run(ChainId::Alpha, loaded.config),
        Role::Delta => isolated::run(ChainId::Delta, loaded.config),
    };
    let code = ended.unwrap_or_else(|error| {
        let code = ending::code_of(&error);
        tracing::error!(code, "the node cannot run: {error:#}");
        code
    });
    Ok(ExitCode::from(
        u8::try_from(code).expect("exit codes are bytes"),
    ))
}
