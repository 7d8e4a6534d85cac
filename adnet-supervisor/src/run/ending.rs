//! Which exit code tells why a node could not run, so that a service manager knows whether another
//! start may help.

use crate::control::ControlError;
use crate::network::{NetworkError, PeerAddrError};
use crate::new_node::NewNodeError;
use crate::process::exit_code;
use crate::process::sockets::SocketError;
use crate::process::spawn::SpawnError;
use crate::signer::SignerOpenError;
use crate::store::StoreOpenError;
use adnet_common::genesis::GenesisError;
use adnet_common::keys::KeyFileError;
use adnet_shm::ShmError;
use std::io;

/// The exit code for `error`, by what lies at its root.
pub fn code_of(error: &anyhow::Error) -> i32 {
    if let Some(error) = error.downcast_ref::<StoreOpenError>() {
        return store_code(error);
    }
    if let Some(error) = error.downcast_ref::<NewNodeError>() {
        return match error {
            NewNodeError::Io { .. } => exit_code::OS_REFUSED,
            _ => exit_code::CONFIG,
        };
    }
    let is_settings = error.is::<GenesisError>()
        || error.is::<KeyFileError>()
        || error.is::<SignerOpenError>()
        || error.is::<PeerAddrError>();
    if is_settings {
        return exit_code::CONFIG;
    }
    if let Some(NetworkError::BootNode { .. }) = error.downcast_ref() {
        return exit_code::CONFIG;
    }
    let is_system = error.is::<SocketError>()
        || error.is::<SpawnError>()
        || error.is::<ShmError>()
        || error.is::<ControlError>()
        || error.is::<NetworkError>()
        || error.is::<io::Error>();
    if is_system {
        exit_code::OS_REFUSED
    } else {
        exit_code::FAILURE
    }
}

fn store_code(error: &StoreOpenError) -> i32 {
    match error {
        // Another release, or another data directory, is needed.
        StoreOpenError::NewerSchema { .. }
        | StoreOpenError::OlderSchema { .. }
        | StoreOpenError::UnknownFamily { .. }
        | StoreOpenError::OtherNetwork { .. } => exit_code::CONFIG,
        StoreOpenError::Locked { .. } => exit_code::OS_REFUSED,
        StoreOpenError::Corrupt { .. }
        | StoreOpenError::DiskFull { .. }
        | StoreOpenError::Io { .. } => exit_code::STORE_FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn the_code_follows_from_the_root_whatever_was_said_around_it() {
        let in_use = io::Error::from(io::ErrorKind::AddrInUse);
        let context = Err::<(), _>(in_use).context("alpha.p2p_listen: cannot bind");
        assert_eq!(code_of(&context.unwrap_err()), exit_code::OS_REFUSED);
        let full = StoreOpenError::DiskFull {
            path: "db".into(),
            detail: "no space".into(),
        };
        assert_eq!(code_of(&full.into()), exit_code::STORE_FAILED);
        let newer = StoreOpenError::NewerSchema {
            path: "db".into(),
            found: 9,
            known: 1,
        };
        assert_eq!(code_of(&newer.into()), exit_code::CONFIG);
        assert_eq!(code_of(&anyhow::anyhow!("what?")), exit_code::FAILURE);
    }
}
