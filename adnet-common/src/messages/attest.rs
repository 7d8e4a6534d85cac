//! Alpha ↔ Delta, over the attest ring.
//!
//! The receiver reads in place: what it knows already is dropped without a copy.

use crate::application::StateProof;
use crate::attestation::{Attestation, FinalityProof};
use crate::codec::DecodeError;
use crate::node::Exchange;
use rkyv::{Archive, Deserialize, Serialize};

/// A decided header with its certificate. The header travels in the wire codec, because its hash
/// is over those bytes.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct FinalityMsg {
    pub height: u64,
    pub proof: Vec<u8>,
}

/// One message of a block with its path.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct AttestationMsg {
    pub sequence: u64,
    pub height: u64,
    /// When its block became durable, on the machine's monotonic clock; 0 in one sent again.
    pub durable_ns: u64,
    pub attestation: Vec<u8>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct QueryMsg {
    pub id: u64,
    pub key: Vec<u8>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ReplyMsg {
    pub id: u64,
    pub height: u64,
    pub value: Option<Vec<u8>>,
    pub proof: Vec<u8>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ResumeMsg {
    pub next_sequence: u64,
}

impl FinalityMsg {
    pub fn new(proof: &FinalityProof) -> Self {
        let height = proof.header.height;
        let proof = proof.encode();
        Self { height, proof }
    }

    pub fn into_exchange(self) -> Result<Exchange, DecodeError> {
        FinalityProof::decode(&self.proof).map(Exchange::Finality)
    }
}

impl AttestationMsg {
    pub fn new(attestation: &Attestation, durable_ns: u64) -> Self {
        Self {
            sequence: attestation.message.sequence,
            height: attestation.height,
            durable_ns,
            attestation: attestation.encode(),
        }
    }
}

impl ReplyMsg {
    pub fn new(id: u64, proof: StateProof) -> Self {
        let StateProof {
            height,
            value,
            proof,
        } = proof;
        Self {
            id,
            height,
            value,
            proof,
        }
    }

    pub fn into_exchange(self) -> Exchange {
        let Self {
            id,
            height,
            value,
            proof,
        } = self;
        let proof = StateProof {
            height,
            value,
            proof,
        };
        Exchange::Reply { id, proof }
    }
}
