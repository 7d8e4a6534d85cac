//! Where committed blocks and outgoing attestations stand in the store, and how to read them.
//!
//! Keys of a chain's blocks family: `h` + height → block and certificate, `x` + block hash → height,
//! `tip` → height of the last committed block, `g` + height → the block's header, `v` + height → the validator set that decides from that height on. Keys of the shared attestations:
//! chain byte + `s` + sequence → attestation, chain byte + `i` + id → sequence. All numbers are
//! big-endian.
//!
//! A chain whose state came from peers has no blocks below it, only the headers of the last ones.

use crate::attestation::{Attestation, FinalityProof, MAX_CERTIFICATE_BYTES};
use crate::block::{Block, Header, MAX_BODY_BYTES};
use crate::chain_id::ChainId;
use crate::codec::{DecodeError, Reader, Writer};
use crate::consensus::{EncodedSet, ValidatorSet};
use crate::hash::Hash;
use crate::store::{Family, Part, ReadStore, Scan, StoreError, Write};
use crate::validators::SetFrom;

/// A decided block with the encoded commit certificate (empty for the genesis block).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedBlock {
    pub block: Block,
    pub certificate: Vec<u8>,
}

impl CommittedBlock {
    pub fn encode(&self) -> Vec<u8> {
        let block = self.block.encode();
        let mut w = Writer::with_capacity(block.len() + self.certificate.len() + 16);
        w.bytes(&block).bytes(&self.certificate);
        w.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let block = Block::decode(r.bytes("block", MAX_BODY_BYTES)?)?;
        let certificate = r.bytes("certificate", MAX_CERTIFICATE_BYTES)?.to_vec();
        r.end()?;
        Ok(Self { block, certificate })
    }
}

/// What is stored does not decode, or the store failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{what} in the database is corrupt: {error}")]
    Corrupt { what: String, error: DecodeError },
}

const TIP: &[u8] = b"tip";

fn block_key(height: u64) -> Vec<u8> {
    [b"h".as_slice(), &height.to_be_bytes()].concat()
}

fn hash_key(hash: &Hash) -> Vec<u8> {
    [b"x".as_slice(), &hash.0].concat()
}

pub fn attestation_key(from: ChainId, sequence: u64) -> Vec<u8> {
    [[from.as_byte(), b's'].as_slice(), &sequence.to_be_bytes()].concat()
}

fn attestation_id_key(from: ChainId, id: &Hash) -> Vec<u8> {
    [[from.as_byte(), b'i'].as_slice(), &id.0].concat()
}

/// The writes that make `committed` the tip of `chain`.
pub fn block_writes(chain: ChainId, committed: &CommittedBlock) -> Vec<Write> {
    let family = Family::of(chain, Part::Blocks);
    let height = committed.block.header.height;
    vec![
        Write::put(family, block_key(height), committed.encode()),
        Write::put(
            family,
            hash_key(&committed.block.hash()),
            height.to_be_bytes(),
        ),
        header_write(chain, &committed.block.header),
        Write::put(family, TIP, height.to_be_bytes()),
    ]
}

fn validators_key(first_height: u64) -> Vec<u8> {
    [b"v".as_slice(), &first_height.to_be_bytes()].concat()
}

/// The write that records who decides from a height on: in the batch of the block before it.
pub fn validators_write(chain: ChainId, from: &SetFrom) -> Write {
    let (family, key) = (Family::of(chain, Part::Blocks), validators_key(from.height));
    Write::put(family, key, from.set.encode())
}

/// First heights of the sets that came after the one of `after`, up to `to`, at most `limit`.
pub fn changes_of_validators(
    store: &dyn ReadStore,
    chain: ChainId,
    after: u64,
    to: u64,
    limit: u32,
) -> Result<Vec<u64>, LedgerError> {
    let page = store.scan(&Scan {
        family: Family::of(chain, Part::Blocks),
        from: validators_key(after.saturating_add(1)),
        to: validators_key(to.saturating_add(1)),
        limit,
        reverse: false,
    })?;
    let height = |(key, _): (Vec<u8>, _)| number(&key[1..], "a change of validators");
    page.entries.into_iter().map(height).collect()
}

fn header_key(height: u64) -> Vec<u8> {
    [b"g".as_slice(), &height.to_be_bytes()].concat()
}

/// The write that keeps a header, with its block or without.
pub fn header_write(chain: ChainId, header: &Header) -> Write {
    let (family, key) = (Family::of(chain, Part::Blocks), header_key(header.height));
    Write::put(family, key, header.encode())
}

/// The header of `height`, whether or not its block is here.
pub fn header_at(
    store: &dyn ReadStore,
    chain: ChainId,
    height: u64,
) -> Result<Option<Header>, LedgerError> {
    Ok(headers(store, chain, height, height)?.pop())
}

/// The headers of `first..=last`, as many as are here and one scan of the store gives.
pub fn headers(
    store: &dyn ReadStore,
    chain: ChainId,
    first: u64,
    last: u64,
) -> Result<Vec<Header>, LedgerError> {
    let page = store.scan(&Scan {
        family: Family::of(chain, Part::Blocks),
        from: header_key(first),
        to: header_key(last.saturating_add(1)),
        limit: u32::MAX,
        reverse: false,
    })?;
    let what = || format!("a header of {chain}");
    let decode =
        |(_, bytes): (_, Vec<u8>)| Header::decode(&bytes).map_err(|error| corrupt(what(), error));
    page.entries.into_iter().map(decode).collect()
}

/// The set that decides `height`, if any block up to the one before it has said.
pub fn validators_at(
    store: &dyn ReadStore,
    chain: ChainId,
    height: u64,
) -> Result<Option<ValidatorSet>, LedgerError> {
    let mut to = validators_key(height);
    to.push(0); // The end is exclusive.
    let page = store.scan(&Scan {
        family: Family::of(chain, Part::Blocks),
        from: validators_key(0),
        to,
        limit: 1,
        reverse: true,
    })?;
    let set = page.entries.into_iter().next().map(|(_, bytes)| {
        let what = || format!("the validator set of {chain} at height {height}");
        ValidatorSet::decode(&bytes).map_err(|error| corrupt(what(), error))
    });
    set.transpose()
}

/// The proof that the block of `height` is final. `None` for the genesis block, which has no
/// certificate, and for blocks that are not there.
pub fn finality_proof(
    store: &dyn ReadStore,
    chain: ChainId,
    height: u64,
) -> Result<Option<FinalityProof>, LedgerError> {
    let block = block_at(store, chain, height)?;
    let Some(CommittedBlock { block, certificate }) = block.filter(|_| height > 0) else {
        return Ok(None);
    };
    let next = validators_key(height.saturating_add(1));
    let next = store.get(Family::of(chain, Part::Blocks), &next)?;
    let decode = |bytes: Vec<u8>| {
        let set = ValidatorSet::decode(&bytes).map_err(|e| corrupt("a validator set", e))?;
        Ok::<_, LedgerError>(EncodedSet::of(&set))
    };
    Ok(Some(FinalityProof {
        header: block.header,
        certificate,
        next_set: next.map(decode).transpose()?,
    }))
}

/// The writes that record the messages a block sends to the other chain.
pub fn attestation_writes(attestations: &[Attestation]) -> Vec<Write> {
    let family = Family::SharedAttestations;
    let both = |a: &Attestation| {
        let sequence = a.message.sequence;
        [
            Write::put(family, attestation_key(a.from, sequence), a.encode()),
            Write::put(
                family,
                attestation_id_key(a.from, &a.id()),
                sequence.to_be_bytes(),
            ),
        ]
    };
    attestations.iter().flat_map(both).collect()
}

fn number(bytes: &[u8], what: &str) -> Result<u64, LedgerError> {
    let mut r = Reader::new(bytes);
    let read = r.u64("number").and_then(|n| r.end().map(|()| n));
    read.map_err(|error| corrupt(what, error))
}

fn corrupt(what: impl Into<String>, error: DecodeError) -> LedgerError {
    LedgerError::Corrupt {
        what: what.into(),
        error,
    }
}

/// Height of the last committed block, if the store has a genesis block at all.
pub fn tip_height(store: &dyn ReadStore, chain: ChainId) -> Result<Option<u64>, LedgerError> {
    let bytes = store.get(Family::of(chain, Part::Blocks), TIP)?;
    bytes.map(|b| number(&b, "the tip")).transpose()
}

pub fn block_at(
    store: &dyn ReadStore,
    chain: ChainId,
    height: u64,
) -> Result<Option<CommittedBlock>, LedgerError> {
    let bytes = store.get(Family::of(chain, Part::Blocks), &block_key(height))?;
    let decode = |b: Vec<u8>| {
        CommittedBlock::decode(&b).map_err(|e| corrupt(format!("{chain} block {height}"), e))
    };
    bytes.map(decode).transpose()
}

/// Encoded committed blocks from `height` on, at most `limit`, and no more than one scan of the store
/// gives. Ends before the first that is not there.
pub fn encoded_blocks(
    store: &dyn ReadStore,
    chain: ChainId,
    height: u64,
    limit: u64,
) -> Result<Vec<Vec<u8>>, LedgerError> {
    let page = store.scan(&Scan {
        family: Family::of(chain, Part::Blocks),
        from: block_key(height),
        to: block_key(height.saturating_add(limit)),
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
        reverse: false,
    })?;
    let expected = page.entries.into_iter().zip(height..);
    let present = expected.take_while(|((key, _), height)| *key == block_key(*height));
    Ok(present.map(|((_, block), _)| block).collect())
}

pub fn height_of(
    store: &dyn ReadStore,
    chain: ChainId,
    hash: &Hash,
) -> Result<Option<u64>, LedgerError> {
    let bytes = store.get(Family::of(chain, Part::Blocks), &hash_key(hash))?;
    bytes.map(|b| number(&b, "a block index")).transpose()
}

/// Outgoing attestations of `from` beginning with `sequence`, at most `limit`.
pub fn attestations_from(
    store: &dyn ReadStore,
    from: ChainId,
    sequence: u64,
    limit: u32,
) -> Result<Vec<Attestation>, LedgerError> {
    let page = store.scan(&Scan {
        family: Family::SharedAttestations,
        from: attestation_key(from, sequence),
        to: vec![from.as_byte(), b's' + 1],
        limit,
        reverse: false,
    })?;
    let decode = |(_, v): (_, Vec<u8>)| {
        Attestation::decode(&v).map_err(|e| corrupt(format!("an attestation of {from}"), e))
    };
    page.entries.into_iter().map(decode).collect()
}

pub fn attestation_by_id(
    store: &dyn ReadStore,
    from: ChainId,
    id: &Hash,
) -> Result<Option<Attestation>, LedgerError> {
    let Some(bytes) = store.get(Family::SharedAttestations, &attestation_id_key(from, id))? else {
        return Ok(None);
    };
    let sequence = number(&bytes, "an attestation index")?;
    Ok(attestations_from(store, from, sequence, 1)?.pop())
}
