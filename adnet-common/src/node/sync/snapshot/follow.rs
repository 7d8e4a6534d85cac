//! From a trusted block along the commit certificates to a later one.

use crate::attestation::FinalityProof;
use crate::chain_id::ChainId;
use crate::consensus::Domain;
use crate::light_client::LightClient;
use crate::trusted_block::TrustedBlock;
use crate::validators::SetFrom;

/// Why a list of proofs leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It begins with another block of the trusted height.
    OtherBlock,
    Wrong(String),
}

/// Follows `proofs`: the trusted block with the set after it, then later blocks in order, each signed by
/// the set that the ones before it lead to. Returns the last.
pub(super) fn follow(
    chain: ChainId,
    domain: Domain,
    trusted: &TrustedBlock,
    proofs: &[FinalityProof],
) -> Result<TrustedBlock, Refused> {
    let wrong = |why: &str| Refused::Wrong(why.to_owned());
    let (first, later) = proofs.split_first().ok_or_else(|| wrong("no proof"))?;
    let header = &first.header;
    if header.height != trusted.height {
        return Err(wrong("it begins at another height"));
    }
    if header.hash() != trusted.hash {
        return Err(Refused::OtherBlock);
    }
    if header.chain != chain || header.genesis != domain.genesis {
        return Err(wrong("the trusted block is of another network or chain"));
    }
    let set = first.next_set.as_ref();
    let set = set.filter(|set| set.hash() == header.next_validators);
    let set = set.and_then(|set| set.open().ok());
    let set =
        set.ok_or_else(|| wrong("the set after the trusted block is not the announced one"))?;
    let from = SetFrom::new(header.height.saturating_add(1), set);
    let light = LightClient::new(chain, domain.network_id, domain.genesis, &from);
    let mut last = *trusted;
    for proof in later {
        if proof.header.height <= last.height {
            return Err(wrong("its blocks are not in order"));
        }
        light
            .learn(proof)
            .map_err(|error| Refused::Wrong(error.to_string()))?;
        last = TrustedBlock {
            height: proof.header.height,
            hash: proof.header.hash(),
        };
    }
    Ok(last)
}
