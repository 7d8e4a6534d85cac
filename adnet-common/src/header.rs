//! The header of a block: it commits to the body and to the state after it, and its hash is the value
//! that consensus decides.

use crate::chain_id::ChainId;
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;

/// Version of the block format.
pub const VERSION: u16 = 1;

/// What a block says of itself and of the state after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub chain: ChainId,
    /// Hash of the network's genesis: headers of another network are not ours.
    pub genesis: Hash,
    /// 0 is the genesis block, 1 the first decided one.
    pub height: u64,
    /// When this height was due, in milliseconds since the UNIX epoch (not when it was built).
    pub time_ms: u64,
    pub parent: Hash,
    /// Public key of the validator that built the block; zero in the genesis block.
    pub proposer: [u8; 32],
    pub body_root: Hash,
    /// Root of the state after the body was executed.
    pub state_root: Hash,
    /// Root over the messages that this block sends to the other chain.
    pub outbox_root: Hash,
    /// Hash of the validator set that decides the NEXT height.
    pub next_validators: Hash,
}

impl Header {
    pub fn hash(&self) -> Hash {
        Hash::of("adnet/header/v1", &[&self.encode()])
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(256);
        self.encode_into(&mut w);
        w.finish()
    }

    pub fn encode_into(&self, w: &mut Writer) {
        w.u16(VERSION).u8(self.chain.as_byte()).hash(&self.genesis);
        w.u64(self.height).u64(self.time_ms).hash(&self.parent);
        w.raw(&self.proposer).hash(&self.body_root);
        w.hash(&self.state_root).hash(&self.outbox_root);
        w.hash(&self.next_validators);
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let header = Self::decode_from(&mut r)?;
        r.end()?;
        Ok(header)
    }

    pub fn decode_from(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if r.u16("header version")? != VERSION {
            return Err(r.invalid("header version", "this node knows version 1"));
        }
        let chain = ChainId::from_byte(r.u8("header chain")?);
        Ok(Self {
            chain: chain.ok_or_else(|| r.invalid("header chain", "unknown chain"))?,
            genesis: r.hash("genesis hash")?,
            height: r.u64("height")?,
            time_ms: r.u64("block time")?,
            parent: r.hash("parent")?,
            proposer: r.array("proposer")?,
            body_root: r.hash("body root")?,
            state_root: r.hash("state root")?,
            outbox_root: r.hash("outbox root")?,
            next_validators: r.hash("next validators")?,
        })
    }
}
