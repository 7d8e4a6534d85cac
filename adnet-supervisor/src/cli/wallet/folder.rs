//! The wallet's directory: who may use it now, and files that are whole or not there.
//!
//! Invariants: one process at a time has the directory (a lock that the kernel lifts when its holder
//! dies, however it dies); a file is replaced by rename after its bytes are on the disk, so a crash
//! leaves the old or the new one; files and directory are their owner's alone, and one that others
//! may read is refused.

use std::{
    env,
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use adnet_common::durable_file::{self, Before};

const LOCK_FILE: &str = "lock";

/// Why a wallet's file could not be read or written. Never carries what is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    #[error(
        "there is no wallet in {0}; make one with `adnet wallet new`, or name another by --wallet"
    )]
    NoWallet(PathBuf),
    #[error(
        "another `adnet wallet` (process {holder}) is at work in {path}: wait until it has ended, \
         or give this one a wallet of its own by --wallet"
    )]
    InUse { path: PathBuf, holder: String },
    #[error(
        "{0} exists already, and keys are never overwritten: name another directory by --wallet"
    )]
    Exists(PathBuf),
    #[error("{path} may be read by others (mode {mode:04o}); run: chmod 600 {path}")]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{path} has more than {max} bytes, so it is no file of a wallet")]
    TooLarge { path: PathBuf, max: u64 },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// A wallet's directory, which is ours until this is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Held for its lock.
    _lock: File,
}

/// Where a wallet is if nobody says otherwise.
pub(super) fn default_path() -> Option<PathBuf> {
    let home = env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(PathBuf::from(home).join(".adnet").join("wallet"))
}

impl Folder {
    /// Takes the directory, and makes it if it does not exist.
    pub fn make(path: &Path) -> Result<Self, FolderError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(at(path))?;
        Self::take(path)
    }

    /// Takes a directory that exists.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        match path.is_dir() {
            true => Self::take(path),
            false => Err(FolderError::NoWallet(path.to_path_buf())),
        }
    }

    fn take(path: &Path) -> Result<Self, FolderError> {
        let lock_path = path.join(LOCK_FILE);
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path);
        let mut lock = opened.map_err(at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // It names the holder; where it cannot be read the message says less.
                let _ = lock.take(20).read_to_string(&mut holder);
                let path = path.to_path_buf();
                let holder = match holder.trim() {
                    "" => "of unknown id".to_owned(),
                    id => id.to_owned(),
                };
                return Err(FolderError::InUse { path, holder });
            }
            Err(TryLockError::Error(source)) => {
                let path = lock_path;
                return Err(FolderError::Io { path, source });
            }
        }
        let id = format!("{}\n", std::process::id());
        lock.set_len(0)
            .and_then(|()| lock.write_all(id.as_bytes()))
            .map_err(at(&lock_path))?;
        Ok(Folder {
            path: path.to_path_buf(),
            _lock: lock,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn has(&self, name: &str) -> bool {
        self.path_of(name).exists()
    }

    /// The bytes of a file of at most `max` bytes; `None` if it does not exist.
    pub fn read(&self, name: &str, max: u64) -> Result<Option<Vec<u8>>, FolderError> {
        let path = self.path_of(name);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(at(&path))?,
        };
        let mode = file.metadata().map_err(at(&path))?.mode();
        if mode & 0o077 != 0 {
            let mode = mode & 0o7777;
            return Err(FolderError::Exposed { path, mode });
        }
        let mut bytes = Vec::new();
        file.take(max.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(at(&path))?;
        match bytes.len() as u64 > max {
            true => Err(FolderError::TooLarge { path, max }),
            false => Ok(Some(bytes)),
        }
    }

    /// Puts `bytes` in the place of whatever the file was.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        self.write(name, bytes, Before::Anything)
    }

    /// Makes a file that does not exist yet.
    pub fn create(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        self.write(name, bytes, Before::Nothing)
    }

    fn write(&self, name: &str, bytes: &[u8], before: Before) -> Result<(), FolderError> {
        let path = self.path_of(name);
        let written = durable_file::write(&path, bytes, 0o600, before);
        written.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => FolderError::Exists(path),
            _ => FolderError::Io { path, source },
        })
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FolderError + use<> {
    let path = path.to_path_buf();
    move |source| FolderError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = Folder::make(&dir.path().join("wallet")).expect("made");
        (dir, folder)
    }

    #[test]
    fn one_holder_at_a_time() {
        let (_dir, folder) = folder();
        let path = folder.path().to_path_buf();
        let refused = Folder::open(&path).expect_err("it is ours");
        let own = std::process::id().to_string();
        assert!(refused.to_string().contains(&own), "{refused}");
        drop(folder);
        Folder::open(&path).expect("it is free again");
    }

    #[test]
    fn files_are_their_owners_whole_and_kept() {
        let (_dir, folder) = folder();
        assert_eq!(folder.read("a", 10).expect("read"), None);
        folder.create("a", b"first").expect("created");
        let again = folder.create("a", b"second").expect_err("it exists");
        assert!(matches!(again, FolderError::Exists(_)), "{again}");
        assert_eq!(folder.read("a", 5).expect("read"), Some(b"first".to_vec()));
        folder.replace("a", b"second").expect("replaced");
        assert!(matches!(
            folder.read("a", 5),
            Err(FolderError::TooLarge { .. })
        ));
        let path = folder.path_of("a");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(folder.path())), (0o600, 0o700));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
        let exposed = folder.read("a", 10).expect_err("others may read it");
        assert!(exposed.to_string().contains("chmod 600"), "{exposed}");
    }

    #[test]
    fn a_directory_without_a_wallet_is_named() {
        let nowhere = Path::new("/nonexistent/wallet");
        let error = Folder::open(nowhere).expect_err("there is none");
        assert!(error.to_string().contains("adnet wallet new"), "{error}");
    }
}
