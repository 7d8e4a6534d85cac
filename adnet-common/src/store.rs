//! The store as a chain sees it: column families, writes, one batch per block, bounded reads.

use crate::chain_id::ChainId;

/// A column family of the node's database. The number is its name on the rings.
#[derive(
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    Copy,
    Clone,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
)]
#[repr(u8)]
pub enum Family {
    AlphaState = 1,
    AlphaBlocks = 2,
    AlphaTxs = 3,
    AlphaConsensus = 4,
    DeltaState = 5,
    DeltaBlocks = 6,
    DeltaTxs = 7,
    DeltaConsensus = 8,
    SharedAttestations = 9,
    SharedPeers = 10,
    SharedMeta = 11,
}

/// What a family of a chain holds.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// State leaves and tree nodes.
    State,
    /// Height → block and certificate; hash → height.
    Blocks,
    /// Transaction id → place and receipt.
    Txs,
    /// Consensus WAL, undecided bodies, sign marks.
    Consensus,
}

impl Family {
    pub const ALL: [Family; 11] = [
        Family::AlphaState,
        Family::AlphaBlocks,
        Family::AlphaTxs,
        Family::AlphaConsensus,
        Family::DeltaState,
        Family::DeltaBlocks,
        Family::DeltaTxs,
        Family::DeltaConsensus,
        Family::SharedAttestations,
        Family::SharedPeers,
        Family::SharedMeta,
    ];

    pub const fn of(chain: ChainId, part: Part) -> Family {
        match (chain, part) {
            (ChainId::Alpha, Part::State) => Family::AlphaState,
            (ChainId::Alpha, Part::Blocks) => Family::AlphaBlocks,
            (ChainId::Alpha, Part::Txs) => Family::AlphaTxs,
            (ChainId::Alpha, Part::Consensus) => Family::AlphaConsensus,
            (ChainId::Delta, Part::State) => Family::DeltaState,
            (ChainId::Delta, Part::Blocks) => Family::DeltaBlocks,
            (ChainId::Delta, Part::Txs) => Family::DeltaTxs,
            (ChainId::Delta, Part::Consensus) => Family::DeltaConsensus,
        }
    }

    pub fn from_byte(byte: u8) -> Option<Family> {
        Family::ALL.into_iter().find(|f| *f as u8 == byte)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Family::AlphaState => "alpha_state",
            Family::AlphaBlocks => "alpha_blocks",
            Family::AlphaTxs => "alpha_txs",
            Family::AlphaConsensus => "alpha_consensus",
            Family::DeltaState => "delta_state",
            Family::DeltaBlocks => "delta_blocks",
            Family::DeltaTxs => "delta_txs",
            Family::DeltaConsensus => "delta_consensus",
            Family::SharedAttestations => "shared_attestations",
            Family::SharedPeers => "shared_peers",
            Family::SharedMeta => "shared_meta",
        }
    }

    /// Whether a worker of `chain` may write here. In [`Family::SharedAttestations`] a worker may
    /// write only keys that begin with its own chain's byte; see [`Write::is_allowed`].
    pub fn owner(self) -> Option<ChainId> {
        match self {
            Family::AlphaState
            | Family::AlphaBlocks
            | Family::AlphaTxs
            | Family::AlphaConsensus => Some(ChainId::Alpha),
            Family::DeltaState
            | Family::DeltaBlocks
            | Family::DeltaTxs
            | Family::DeltaConsensus => Some(ChainId::Delta),
            Family::SharedAttestations | Family::SharedPeers | Family::SharedMeta => None,
        }
    }
}

/// One change of the database.
#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Put {
        family: Family,
        key: Vec<u8>,
        value: Vec<u8>,
    },
    Delete {
        family: Family,
        key: Vec<u8>,
    },
    /// Deletes every key in `from..to`.
    DeleteRange {
        family: Family,
        from: Vec<u8>,
        to: Vec<u8>,
    },
}

impl Write {
    pub fn put(family: Family, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        let (key, value) = (key.into(), value.into());
        Write::Put { family, key, value }
    }

    pub fn family(&self) -> Family {
        match self {
            Write::Put { family, .. }
            | Write::Delete { family, .. }
            | Write::DeleteRange { family, .. } => *family,
        }
    }

    /// Namespace isolation: a worker writes its own families, and of the shared attestations the
    /// keys that begin with its chain's byte. The sign marks in its consensus family begin with
    /// [`MARK_PREFIX`] and belong to the signer alone.
    pub fn is_allowed(&self, writer: ChainId) -> bool {
        let own_prefix = [writer.as_byte()];
        let inside = |key: &[u8]| key.starts_with(&own_prefix);
        let (family, is_mark) = match self {
            Write::Put { family, key, .. } | Write::Delete { family, key } => {
                if *family == Family::SharedAttestations {
                    return inside(key);
                }
                (*family, key.first() == Some(&MARK_PREFIX))
            }
            Write::DeleteRange { family, from, to } => {
                if *family == Family::SharedAttestations {
                    let last = [writer.as_byte() + 1];
                    return inside(from) && (inside(to) || to[..] == last[..]);
                }
                (
                    *family,
                    from[..] <= [MARK_PREFIX, u8::MAX][..] && to[..] > [MARK_PREFIX][..],
                )
            }
        };
        let consensus = Family::of(writer, Part::Consensus);
        family.owner() == Some(writer) && !(family == consensus && is_mark)
    }
}

/// First byte of the sign marks' keys in a consensus family.
pub const MARK_PREFIX: u8 = 0xf0;

/// All writes of one block, applied atomically and durably.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitBatch {
    /// The height that this batch commits.
    pub height: u64,
    pub writes: Vec<Write>,
}

/// A part of a state that comes from peers, instead of blocks: see [`restore_wipe`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreBatch {
    /// It is the first: what the chain had is deleted before.
    pub starts: bool,
    pub writes: Vec<Write>,
    /// It is the last, and the state is that of this height: durable, with all parts before it.
    pub ends: Option<u64>,
}

/// What is deleted before a state is restored: everything that blocks have made. Without a tip the
/// chain counts as empty, so parts of a state that was never completed are nobody's; the next genesis
/// or restoration deletes them. The log and the marks of consensus stay.
pub fn restore_wipe(chain: ChainId) -> Vec<Write> {
    let all = |family| Write::DeleteRange {
        family,
        from: Vec::new(),
        to: vec![u8::MAX; 64],
    };
    let byte = chain.as_byte();
    vec![
        all(Family::of(chain, Part::State)),
        all(Family::of(chain, Part::Blocks)),
        all(Family::of(chain, Part::Txs)),
        Write::DeleteRange {
            family: Family::SharedAttestations,
            from: vec![byte],
            to: vec![byte + 1],
        },
    ]
}

/// A bounded piece of a family, in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    pub family: Family,
    /// First key (inclusive).
    pub from: Vec<u8>,
    /// End (exclusive).
    pub to: Vec<u8>,
    /// Entries at most; the store has bounds of its own on top ([`MAX_SCAN_ENTRIES`], [`MAX_SCAN_BYTES`]).
    pub limit: u32,
    /// From the end downwards.
    pub reverse: bool,
}

pub const MAX_SCAN_ENTRIES: u32 = 4096;
pub const MAX_SCAN_BYTES: usize = 1 << 20;

/// What a scan found. `next` is the cursor to go on from (as `from`, or as `to` when in reverse).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub entries: Vec<(Vec<u8>, Vec<u8>)>,
    pub next: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The batch or key is not this writer's; nothing was written.
    #[error("{family} is not writable for {writer}: {why}", family = .family.name())]
    Forbidden {
        writer: ChainId,
        family: Family,
        why: &'static str,
    },
    /// Disk full, I/O error or corruption. Nothing is acknowledged after it; the node stops.
    #[error("the database failed: {0}")]
    Failed(String),
    /// The other end of the ring is gone.
    #[error("the store cannot be reached: {0}")]
    Unreachable(String),
}

/// Reads of committed data. Implementations may be asked from several threads.
pub trait ReadStore {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Values in the order of the keys.
    fn multi_get(
        &self,
        family: Family,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    fn scan(&self, scan: &Scan) -> Result<Page, StoreError>;
}

/// Calls `each` for every entry of `from..to`, page by page.
pub fn scan_all<E: From<StoreError>>(
    store: &dyn ReadStore,
    family: Family,
    from: Vec<u8>,
    to: Vec<u8>,
    mut each: impl FnMut(Vec<u8>, Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let mut scan = Scan {
        family,
        from,
        to,
        limit: MAX_SCAN_ENTRIES,
        reverse: false,
    };
    loop {
        let page = store.scan(&scan)?;
        for (key, value) in page.entries {
            each(key, value)?;
        }
        match page.next {
            Some(next) => scan.from = next,
            None => return Ok(()),
        }
    }
}
