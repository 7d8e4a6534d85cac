//! What the store itself keeps in `shared_meta`: schema version, network, committed heights.
//!
//! | key | value |
//! | --- | --- |
//! | `schema` | version, u32 |
//! | `network` | network id, genesis hash, name |
//! | `tip/` + chain byte | height and digest of the last committed batch |

use adnet_common::chain_id::ChainId;
use adnet_common::codec::{DecodeError, Reader, Writer};
use adnet_common::hash::Hash;
use adnet_common::store::Write;
use sha2::{Digest, Sha256};
use std::fmt;

/// The layout of keys and values that this release writes.
pub const SCHEMA_VERSION: u32 = 5;
/// The oldest layout from which there are steps to it. Earlier ones were of builds before the first
/// release, whose chains had other rules.
pub(super) const OLDEST_SCHEMA_VERSION: u32 = 5;

pub(super) const SCHEMA_KEY: &[u8] = b"schema";
pub(super) const NETWORK_KEY: &[u8] = b"network";

pub(super) fn tip_key(chain: ChainId) -> Vec<u8> {
    [b"tip/".as_slice(), &[chain.as_byte()]].concat()
}

/// The network that a database belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkIdentity {
    pub network_id: u32,
    /// Hash of the network's genesis.
    pub genesis: Hash,
    pub name: String,
}

/// Network names are at most this long.
const NAME_BYTES_MAX: usize = 256;

impl NetworkIdentity {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u32(self.network_id)
            .hash(&self.genesis)
            .bytes(self.name.as_bytes());
        w.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let network_id = r.u32("network id")?;
        let genesis = r.hash("genesis hash")?;
        let name = std::str::from_utf8(r.bytes("network name", NAME_BYTES_MAX)?);
        let name = name
            .map_err(|_| r.invalid("network name", "not UTF-8"))?
            .to_owned();
        r.end()?;
        Ok(Self {
            network_id,
            genesis,
            name,
        })
    }

    /// Names may be changed in a genesis file only together with its hash.
    pub(super) fn is_same_network(&self, other: &NetworkIdentity) -> bool {
        (self.network_id, self.genesis) == (other.network_id, other.genesis)
    }
}

impl fmt::Display for NetworkIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` (id {}, genesis {})",
            self.name, self.network_id, self.genesis
        )
    }
}

pub(super) fn decode_schema(bytes: &[u8]) -> Result<u32, DecodeError> {
    let mut r = Reader::new(bytes);
    let version = r.u32("schema version")?;
    r.end()?;
    Ok(version)
}

/// The last commit of a chain. The digest tells a repeated commit from a different one.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Tip {
    pub(super) height: u64,
    pub(super) digest: Hash,
}

impl Tip {
    pub(super) fn new(height: u64, writes: &[Write]) -> Self {
        let digest = digest(writes);
        Self { height, digest }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(40);
        w.u64(self.height).hash(&self.digest);
        w.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let tip = Self {
            height: r.u64("tip height")?,
            digest: r.hash("tip digest")?,
        };
        r.end()?;
        Ok(tip)
    }
}

/// SHA-256 over all writes in order, each field with its length.
fn digest(writes: &[Write]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(b"adnet/commit-batch/v1\0");
    let mut field = |kind: u8, write: &Write, a: &[u8], b: &[u8]| {
        hasher.update([kind, write.family() as u8]);
        hasher.update((a.len() as u64).to_be_bytes());
        hasher.update(a);
        hasher.update((b.len() as u64).to_be_bytes());
        hasher.update(b);
    };
    for write in writes {
        match write {
            Write::Put { key, value, .. } => field(0, write, key, value),
            Write::Delete { key, .. } => field(1, write, key, &[]),
            Write::DeleteRange { from, to, .. } => field(2, write, from, to),
        }
    }
    Hash(hasher.finalize().into())
}
