//! The viewing file: what a wallet needs to see everything and spend nothing.
//!
//! It stands beside the key file, so that scanning asks for no passphrase; alone it is a wallet that
//! watches. `export-viewing-key --json` prints it and `import-viewing-key` takes it.

use adnet_alpha::wallet::{Network, keys::ViewingKeys};
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::folder::Folder;

pub(super) const VIEWING_FILE: &str = "viewing.json";
pub(super) const VIEWING_FILE_BYTES_MAX: u64 = 16 << 10;
const VERSION: u32 = 1;

/// What the viewing file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ViewingFile {
    version: u32,
    pub keys: ViewingKeys,
    /// No block before it concerns this wallet.
    pub birthday_height: u64,
    /// The network that the wallet is for, once it has met it.
    pub network: Option<Network>,
}

impl ViewingFile {
    pub fn new(keys: ViewingKeys, birthday_height: u64, network: Option<Network>) -> Self {
        ViewingFile {
            version: VERSION,
            keys,
            birthday_height,
            network,
        }
    }

    pub fn decode(bytes: &[u8]) -> anyhow::Result<Self> {
        // A message of serde_json may quote the key.
        let file: ViewingFile = serde_json::from_slice(bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            anyhow::anyhow!("it is no viewing file (line {line}, column {column})")
        })?;
        match file.version {
            VERSION => Ok(file),
            other => bail!("it has version {other}, this release reads version {VERSION}"),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a struct of plain fields serialises")
    }

    pub fn load(folder: &Folder) -> anyhow::Result<Option<Self>> {
        let bytes = folder.read(VIEWING_FILE, VIEWING_FILE_BYTES_MAX)?;
        let file = bytes.map(|bytes| Self::decode(&bytes)).transpose();
        file.with_context(|| folder.path_of(VIEWING_FILE).display().to_string())
    }

    pub fn store(&self, folder: &Folder) -> anyhow::Result<()> {
        Ok(folder.replace(VIEWING_FILE, &self.encode())?)
    }
}
