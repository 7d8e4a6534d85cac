//! What a block proves against validators, as the APIs show it.

use crate::block::Block;
use crate::consensus::{Equivocation, Step};
use crate::keys::PublicKey;
use serde::Serialize;

/// One validator has signed two messages for one slot.
#[derive(Debug, Serialize)]
pub struct EvidenceBody {
    pub validator: PublicKey,
    pub height: u64,
    pub round: u32,
    /// `proposal`, `prevote` or `precommit`.
    pub step: &'static str,
}

impl EvidenceBody {
    /// All evidence in a committed block.
    pub fn of(block: &Block) -> Vec<EvidenceBody> {
        let decoded = block.body.evidence.iter();
        let decoded = decoded.filter_map(|bytes| Equivocation::decode(bytes).ok());
        decoded
            .map(|evidence| EvidenceBody {
                validator: evidence.validator,
                height: evidence.height,
                round: evidence.round,
                step: match evidence.step {
                    Step::Proposal => "proposal",
                    Step::Prevote => "prevote",
                    Step::Precommit => "precommit",
                },
            })
            .collect()
    }
}
