//! What the machine must allow: a data directory that can be written, and enough descriptors.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, access},
    process::{Resource, getrlimit},
};

use super::{Loaded, error::ConfigError, limits::error_at};

/// Descriptors that a process of the node needs beside database files and client connections.
const OWN_DESCRIPTORS: u64 = 128;

/// Everything that this machine refuses; empty if a `run` can begin.
pub fn check_machine(loaded: &Loaded) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    let config = &loaded.config;
    if let Err(problem) = can_write_below(&config.node.data_dir) {
        errors.push(error_at(loaded, "node.data_dir", problem));
    }
    let Some(limit) = getrlimit(Resource::Nofile).maximum else {
        return errors;
    };
    let mut wants = vec![("store.max_open_files", config.store.max_open_files)];
    if config.node.mode.runs_alpha() {
        wants.push((
            "alpha.api_max_connections",
            config.alpha.api_max_connections,
        ));
    }
    if config.node.mode.runs_delta() {
        wants.push((
            "delta.api_max_connections",
            config.delta.api_max_connections,
        ));
    }
    for (key, wanted) in wants {
        if wanted.saturating_add(OWN_DESCRIPTORS) > limit {
            let problem = format!(
                "a process may open {limit} files here and needs {OWN_DESCRIPTORS} for itself; \
                 lower this value or raise the limit (ulimit -Hn, LimitNOFILE=)"
            );
            errors.push(error_at(loaded, key, problem));
        }
    }
    errors
}

/// The directory, or the nearest one above it that exists, must be a writable directory.
fn can_write_below(path: &Path) -> Result<(), String> {
    let mut nearest = match path.is_absolute() {
        true => path.to_path_buf(),
        false => PathBuf::from(".").join(path),
    };
    loop {
        match nearest.metadata() {
            Ok(metadata) if metadata.is_dir() => break,
            Ok(_) => return Err(format!("{} is not a directory", nearest.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !nearest.pop() {
                    return Err("no directory above it exists".to_owned());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                nearest.pop();
            }
            Err(error) => return Err(format!("{}: {error}", nearest.display())),
        }
    }
    access(&nearest, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| format!("{} cannot be written: {error}", nearest.display()))
}
