//! Opening: whose database it is, whether this release knows its layout, and where it stands.
//!
//! Invariant: nothing is written to a database of another network or of a newer release.

use super::failure::{FailureKind, Failures};
use super::migration::{MIGRATIONS, migrate};
use super::options::{self, StoreOptions};
use super::record::{self, NetworkIdentity, SCHEMA_VERSION, Tip};
use super::statistics::StoreCounters;
use super::{Inner, Store};
use adnet_common::chain_id::ChainId;
use adnet_common::codec::DecodeError;
use adnet_common::store::Family;
use rocksdb::{DB, ErrorKind, IteratorMode, WriteBatch, WriteOptions};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    #[error("the database in {} is in use: is a node running there already?", path.display())]
    Locked { path: PathBuf },
    #[error(
        "the database in {} has schema version {found}, and this release knows versions up to {known}: \
         use a newer release", path.display()
    )]
    NewerSchema {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    #[error(
        "the database in {} has schema version {found}, of a build before the first release, whose \
         network has begun anew: move it away, and run `adnet init` with the new genesis", path.display()
    )]
    OlderSchema { path: PathBuf, found: u32 },
    #[error("the database in {} was written by a newer release: it has the unknown family `{family}`", path.display())]
    UnknownFamily { path: PathBuf, family: String },
    #[error("the database in {} belongs to network {found}, not to {wanted}", path.display())]
    OtherNetwork {
        path: PathBuf,
        found: Box<NetworkIdentity>,
        wanted: Box<NetworkIdentity>,
    },
    #[error(
        "the database in {} is corrupt ({detail}): restore a backup, or move it away and sync again",
        path.display()
    )]
    Corrupt { path: PathBuf, detail: String },
    #[error("the disk that holds the database in {} is full ({detail}): free some space", path.display())]
    DiskFull { path: PathBuf, detail: String },
    #[error("the database in {} cannot be opened: {detail}", path.display())]
    Io { path: PathBuf, detail: String },
}

impl StoreOpenError {
    fn of(path: &Path, error: &rocksdb::Error) -> Self {
        let (path, detail) = (path.to_owned(), error.to_string());
        // By another process, or by this one.
        let locked = ["While lock file", "lock hold by current process"];
        if error.kind() == ErrorKind::IOError && locked.iter().any(|words| detail.contains(words)) {
            return StoreOpenError::Locked { path };
        }
        match FailureKind::of(error) {
            FailureKind::DiskFull => StoreOpenError::DiskFull { path, detail },
            FailureKind::Corruption => StoreOpenError::Corrupt { path, detail },
            FailureKind::Io => StoreOpenError::Io { path, detail },
        }
    }

    fn io(path: &Path, error: &io::Error) -> Self {
        let (path, detail) = (path.to_owned(), error.to_string());
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreOpenError::DiskFull { path, detail }
            }
            _ => StoreOpenError::Io { path, detail },
        }
    }

    fn record(path: &Path, what: &str, error: &DecodeError) -> Self {
        let detail = format!("{what}: {error}");
        StoreOpenError::Corrupt {
            path: path.to_owned(),
            detail,
        }
    }
}

impl Store {
    /// Opens the database in the directory `path`, or makes it there.
    ///
    /// # Errors
    /// See [`StoreOpenError`]; each says what to do.
    pub fn open(
        path: &Path,
        options: &StoreOptions,
        network: &NetworkIdentity,
    ) -> Result<Store, StoreOpenError> {
        let rocks = |error: rocksdb::Error| StoreOpenError::of(path, &error);
        make_directory(path).map_err(|error| StoreOpenError::io(path, &error))?;
        let database_options = options::database(options);
        if path.join("CURRENT").exists() {
            let names = DB::list_cf(&database_options, path).map_err(rocks)?;
            check_families(path, names)?;
        } else {
            check_nothing_is_lost(path)?;
        }
        let cache = options::cache(options);
        let families = options::families(&cache);
        let db = DB::open_cf_descriptors(&database_options, path, families).map_err(rocks)?;
        check_meta(&db, path, network)?;
        let tips = [
            read_tip(&db, path, ChainId::Alpha)?,
            read_tip(&db, path, ChainId::Delta)?,
        ];
        let inner = Inner {
            db,
            cache,
            failures: Failures::default(),
            counters: StoreCounters::new(),
            tips: tips.map(Mutex::new),
        };
        Ok(Store {
            inner: Arc::new(inner),
        })
    }
}

/// Makes the directory for this user alone, its name durable before anything is acknowledged in it.
fn make_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    match path.parent() {
        Some(parent) if parent != Path::new("") => fs::File::open(parent)?.sync_all(),
        _ => fs::File::open(".")?.sync_all(),
    }
}

fn check_families(path: &Path, names: Vec<String>) -> Result<(), StoreOpenError> {
    let is_known = |name: &str| {
        name == rocksdb::DEFAULT_COLUMN_FAMILY_NAME || Family::ALL.iter().any(|f| f.name() == name)
    };
    match names.into_iter().find(|name| !is_known(name)) {
        Some(family) => Err(StoreOpenError::UnknownFamily {
            path: path.to_owned(),
            family,
        }),
        None => Ok(()),
    }
}

/// Without its `CURRENT` file RocksDB would take a directory for empty and start afresh among the
/// old tables.
fn check_nothing_is_lost(path: &Path) -> Result<(), StoreOpenError> {
    let io = |error: io::Error| StoreOpenError::io(path, &error);
    for entry in fs::read_dir(path).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let is_data =
            |extension| Path::new(&name).extension() == Some(std::ffi::OsStr::new(extension));
        if is_data("sst") || is_data("log") {
            let detail = "the file CURRENT is missing beside tables and logs".to_owned();
            return Err(StoreOpenError::Corrupt {
                path: path.to_owned(),
                detail,
            });
        }
    }
    Ok(())
}

/// Checks schema and network; writes both, as the last act of its making, into a new database.
fn check_meta(db: &DB, path: &Path, network: &NetworkIdentity) -> Result<(), StoreOpenError> {
    let rocks = |error: rocksdb::Error| StoreOpenError::of(path, &error);
    let meta = db
        .cf_handle(Family::SharedMeta.name())
        .expect("open created all families");
    let Some(schema) = db.get_cf(meta, record::SCHEMA_KEY).map_err(rocks)? else {
        check_is_empty(db, path)?;
        let mut batch = WriteBatch::default();
        batch.put_cf(meta, record::SCHEMA_KEY, SCHEMA_VERSION.to_be_bytes());
        batch.put_cf(meta, record::NETWORK_KEY, network.encode());
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        return db.write_opt(batch, &synced).map_err(rocks);
    };
    let found = record::decode_schema(&schema)
        .map_err(|error| StoreOpenError::record(path, "the schema version", &error))?;
    if found > SCHEMA_VERSION {
        let (path, known) = (path.to_owned(), SCHEMA_VERSION);
        return Err(StoreOpenError::NewerSchema { path, found, known });
    }
    if found < record::OLDEST_SCHEMA_VERSION {
        let path = path.to_owned();
        return Err(StoreOpenError::OlderSchema { path, found });
    }
    let bytes = db
        .get_cf(meta, record::NETWORK_KEY)
        .map_err(rocks)?
        .unwrap_or_default();
    let stored = NetworkIdentity::decode(&bytes)
        .map_err(|error| StoreOpenError::record(path, "the network", &error))?;
    if !stored.is_same_network(network) {
        let (path, found, wanted) = (path.to_owned(), Box::new(stored), Box::new(network.clone()));
        return Err(StoreOpenError::OtherNetwork {
            path,
            found,
            wanted,
        });
    }
    let reached = migrate(db, found, MIGRATIONS).map_err(rocks)?;
    assert_eq!(reached, SCHEMA_VERSION, "there is a step for each version");
    Ok(())
}

/// A database without a schema version must be one whose making was cut off.
fn check_is_empty(db: &DB, path: &Path) -> Result<(), StoreOpenError> {
    for family in Family::ALL {
        let handle = db
            .cf_handle(family.name())
            .expect("open created all families");
        match db.iterator_cf(handle, IteratorMode::Start).next() {
            None => {}
            Some(Err(error)) => return Err(StoreOpenError::of(path, &error)),
            Some(Ok(_)) => {
                let detail = format!("no schema version, but entries in {}", family.name());
                return Err(StoreOpenError::Corrupt {
                    path: path.to_owned(),
                    detail,
                });
            }
        }
    }
    Ok(())
}

fn read_tip(db: &DB, path: &Path, chain: ChainId) -> Result<Option<Tip>, StoreOpenError> {
    let meta = db
        .cf_handle(Family::SharedMeta.name())
        .expect("open created all families");
    let bytes = db.get_cf(meta, record::tip_key(chain));
    let bytes = bytes.map_err(|error| StoreOpenError::of(path, &error))?;
    let decode = |bytes: Vec<u8>| {
        let what = format!("the last height of {chain}");
        Tip::decode(&bytes).map_err(|error| StoreOpenError::record(path, &what, &error))
    };
    bytes.map(decode).transpose()
}
