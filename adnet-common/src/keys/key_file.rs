//! Key files: `DATA_DIR/keys/NAME.key`, one secret each, readable by their owner only.
//!
//! Invariants: a key file is created whole or not at all (temporary file, fsync, rename without
//! replacing, fsync of the folder) and is never overwritten, because a lost validator key cannot be
//! made again; a file that group or others may read is refused with the command that mends it;
//! a name is a plain word, so no name leaves the folder.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::secret::{KeyKind, SecretKey, SecretKeyError};
use crate::durable_file::{self, Before};

/// The name of the key that signs consensus messages.
pub const VALIDATOR_KEY_NAME: &str = "validator";

/// The name of the key that identifies the node in the network.
pub const NODE_KEY_NAME: &str = "node";

/// A larger file is no key file.
pub const KEY_FILE_MAX_BYTES: u64 = 4_096;

const KEY_FILE_VERSION: u32 = 1;
const KEY_NAME_MAX_CHARS: usize = 64;

/// Why a key could not be read or written. Never carries secret bytes.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("`{0}` is no key name: use 1 to 64 of a-z, 0-9, - and _")]
    Name(String),
    #[error("there is no key `{name}` ({path} does not exist)")]
    Missing { name: String, path: PathBuf },
    #[error("{path} exists already and a key is never overwritten")]
    Exists { path: PathBuf },
    #[error("{path} may be read by others (mode {mode:04o}); run: chmod 600 {path}")]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{path} is larger than {KEY_FILE_MAX_BYTES} bytes, so it is no key file")]
    TooLarge { path: PathBuf },
    #[error("{path} is no key file: {reason}")]
    Malformed { path: PathBuf, reason: String },
    #[error("{path} has version {found}, this release reads version {KEY_FILE_VERSION}")]
    Version { path: PathBuf, found: u32 },
    #[error("{path} holds a {found} key, a {wanted} key is needed here")]
    Kind {
        path: PathBuf,
        found: KeyKind,
        wanted: KeyKind,
    },
    #[error("{path}: {source}")]
    Secret {
        path: PathBuf,
        source: SecretKeyError,
    },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// The folder of key files of one node.
#[derive(Clone, Debug)]
pub struct KeyDir {
    dir: PathBuf,
}

/// What a key file holds, as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    version: u32,
    kind: KeyKind,
    /// 64 hex digits: an ed25519 seed or a secp256k1 secret.
    secret: String,
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl KeyDir {
    /// The key folder of the node that lives in `data_dir`. Touches nothing.
    pub fn of(data_dir: &Path) -> Self {
        KeyDir {
            dir: data_dir.join("keys"),
        }
    }

    /// Where the key `name` is or would be stored.
    ///
    /// # Errors
    /// `Name` if the name is not a plain word.
    pub fn path_of(&self, name: &str) -> Result<PathBuf, KeyFileError> {
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if name.is_empty() || name.len() > KEY_NAME_MAX_CHARS || !name.bytes().all(plain) {
            return Err(KeyFileError::Name(super::public_key::excerpt(name)));
        }
        Ok(self.dir.join(format!("{name}.key")))
    }

    /// Stores `key` as `name`, mode 0600, durably, and returns the path.
    ///
    /// # Errors
    /// `Exists` if the name is taken; `Name`; `Io`.
    pub fn create(&self, name: &str, key: &SecretKey) -> Result<PathBuf, KeyFileError> {
        let path = self.path_of(name)?;
        if path.exists() {
            return Err(KeyFileError::Exists { path });
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(in_path(&self.dir))?;
        let file = KeyFile {
            version: KEY_FILE_VERSION,
            kind: key.kind(),
            secret: key.to_hex().as_str().to_owned(),
        };
        let mut text = Zeroizing::new(
            serde_json::to_string_pretty(&file).expect("a struct of plain fields serialises"),
        );
        text.push('\n');
        let written = durable_file::write(&path, text.as_bytes(), 0o600, Before::Nothing);
        if let Err(source) = written {
            return Err(match source.kind() {
                io::ErrorKind::AlreadyExists => KeyFileError::Exists { path },
                _ => KeyFileError::Io { path, source },
            });
        }
        Ok(path)
    }

    /// Reads the key `name`, whatever its kind.
    ///
    /// # Errors
    /// `Missing`, `Exposed`, `TooLarge`, `Malformed`, `Version`, `Secret`, `Name`, `Io`.
    pub fn load(&self, name: &str) -> Result<SecretKey, KeyFileError> {
        let path = self.path_of(name)?;
        let file = File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => KeyFileError::Missing {
                name: name.to_owned(),
                path: path.clone(),
            },
            _ => KeyFileError::Io {
                path: path.clone(),
                source,
            },
        })?;
        let metadata = file.metadata().map_err(in_path(&path))?;
        if metadata.mode() & 0o077 != 0 {
            return Err(KeyFileError::Exposed {
                path,
                mode: metadata.mode() & 0o7777,
            });
        }
        let mut text = Zeroizing::new(String::new());
        file.take(KEY_FILE_MAX_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(in_path(&path))?;
        if text.len() as u64 > KEY_FILE_MAX_BYTES {
            return Err(KeyFileError::TooLarge { path });
        }
        let parsed: KeyFile =
            serde_json::from_str(&text).map_err(|error| KeyFileError::Malformed {
                path: path.clone(),
                // The message of serde_json may quote the input; the position says enough.
                reason: format!("line {}, column {}", error.line(), error.column()),
            })?;
        if parsed.version != KEY_FILE_VERSION {
            return Err(KeyFileError::Version {
                path,
                found: parsed.version,
            });
        }
        SecretKey::from_hex(parsed.kind, &parsed.secret)
            .map_err(|source| KeyFileError::Secret { path, source })
    }

    /// Reads the key `name` and insists on its kind.
    ///
    /// # Errors
    /// `Kind` for another kind, and all of `load`.
    pub fn load_kind(&self, name: &str, wanted: KeyKind) -> Result<SecretKey, KeyFileError> {
        let key = self.load(name)?;
        if key.kind() != wanted {
            return Err(KeyFileError::Kind {
                path: self.path_of(name)?,
                found: key.kind(),
                wanted,
            });
        }
        Ok(key)
    }

    /// The names of all key files, sorted. A folder that does not exist holds none.
    ///
    /// # Errors
    /// `Io` if the folder exists and cannot be read.
    pub fn names(&self) -> Result<Vec<String>, KeyFileError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => {
                return Err(KeyFileError::Io {
                    path: self.dir.clone(),
                    source,
                });
            }
        };
        let mut names = Vec::new();
        for entry in entries {
            let file_name = entry.map_err(in_path(&self.dir))?.file_name();
            if let Some(name) = file_name
                .to_str()
                .and_then(|file| file.strip_suffix(".key"))
                && self.path_of(name).is_ok()
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}

fn in_path(path: &Path) -> impl FnOnce(io::Error) -> KeyFileError + use<> {
    let path = path.to_path_buf();
    move |source| KeyFileError::Io { path, source }
}

#[cfg(test)]
mod tests;
