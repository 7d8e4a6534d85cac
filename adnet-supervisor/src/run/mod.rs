//! `adnet run`: which role this process plays, and how each begins.
//!
//! A worker that a supervisor has started never comes here: it has its order in the environment
//! and begins in [`worker::main`].

mod dead_letters;
mod events;
mod isolated;
mod services;
mod shared;
mod slot;
mod supervise;
pub mod worker;

use crate::cli::{Role, RunArgs};
use crate::logging::{self, LogIdentity};
use adnet_common::config::Loaded;
use std::process::ExitCode;

/// Runs the role that was asked for until it is told to stop.
pub fn run(args: RunArgs, loaded: Loaded) -> anyhow::Result<ExitCode> {
    let role = match args.role {
        Role::Supervisor => "supervisor",
        Role::Alpha => "alpha",
        Role::Delta => "delta",
    };
    let identity = LogIdentity {
        role,
        incarnation: 0,
        pid: std::process::id(),
    };
    logging::start(&loaded.config.log, identity)?;
    let code = match args.role {
        Role::Supervisor => supervise::run(loaded.config)?,
        Role::Alpha => isolated::run(adnet_common::chain_id::ChainId::Alpha, loaded.config)?,
        Role::Delta => isolated::run(adnet_common::chain_id::ChainId::Delta, loaded.config)?,
    };
    Ok(ExitCode::from(
        u8::try_from(code).expect("exit codes are bytes"),
    ))
}
