//! Reading and writing `genesis.json`: bounded in size, strict in its fields, valid as a whole.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{Genesis, GenesisProblem};
use crate::durable_file::{self, Before};

/// The file's name in the data directory.
pub const GENESIS_FILE_NAME: &str = "genesis.json";

/// A larger file is refused unread: 16 MiB hold about a hundred thousand accounts.
pub const GENESIS_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Why a genesis file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is larger than {GENESIS_MAX_BYTES} bytes")]
    TooLarge { path: PathBuf },
    #[error("{path} is not a genesis file: {source}")]
    Malformed {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{path} is not a valid genesis:{}", listed(.problems))]
    Invalid {
        path: PathBuf,
        problems: Vec<GenesisProblem>,
    },
}

impl Genesis {
    /// Reads and validates a genesis file.
    ///
    /// # Errors
    /// `Io`, `TooLarge`, `Malformed` with line and column, or `Invalid` with every problem at once.
    pub fn load(path: &Path) -> Result<Genesis, GenesisError> {
        let in_path = |source| GenesisError::Io {
            path: path.to_path_buf(),
            source,
        };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(in_path)?;
        file.take(GENESIS_MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(in_path)?;
        if bytes.len() as u64 > GENESIS_MAX_BYTES {
            return Err(GenesisError::TooLarge {
                path: path.to_path_buf(),
            });
        }
        let genesis: Genesis =
            serde_json::from_slice(&bytes).map_err(|source| GenesisError::Malformed {
                path: path.to_path_buf(),
                source,
            })?;
        let problems = genesis.validate();
        if problems.is_empty() {
            Ok(genesis)
        } else {
            Err(GenesisError::Invalid {
                path: path.to_path_buf(),
                problems,
            })
        }
    }

    /// Writes the genesis to a new file, durably; the file is there whole or not at all.
    ///
    /// # Errors
    /// `Io`, also if the file exists: a node's genesis is never replaced.
    pub fn create_file(&self, path: &Path) -> Result<(), GenesisError> {
        let in_path = |source| GenesisError::Io {
            path: path.to_path_buf(),
            source,
        };
        let mut text =
            serde_json::to_string_pretty(self).expect("a struct of plain fields serialises");
        text.push('\n');
        durable_file::write(path, text.as_bytes(), 0o644, Before::Nothing).map_err(in_path)
    }
}

fn listed(problems: &[GenesisProblem]) -> String {
    problems
        .iter()
        .map(|problem| format!("\n  - {problem}"))
        .collect()
}
