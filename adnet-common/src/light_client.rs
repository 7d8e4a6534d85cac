//! The light client of the other chain: believes a header only with a commit certificate.
//!
//! Authority comes from signatures of the validators alone, never from where a proof arrived. A proof
//! is verified with the set of its height, and says which set comes next: where that is another one,
//! its content comes along and is held against the hash in the certified header. So from the set that
//! our committed state knows, each change leads to the next.
//!
//! There are two judgements. [`LightClient::verify_inbox`] judges a block by the chain's state alone,
//! so that all nodes come to the same verdict. [`LightClient::learn`] follows the other chain as it
//! runs ahead of what our blocks have consumed; it begins with the state's set, too, and never with
//! the genesis', so whoever held power once cannot tell a restarted node about the present.

use crate::attestation::{Attestation, FinalityProof};
use crate::block::Header;
use crate::chain_id::ChainId;
use crate::consensus::{CommitCertificate, Domain, ValidatorSet, verify_certificate};
use crate::hash::Hash;
use crate::validators::SetFrom;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Verified headers that are kept for state queries.
const KEPT_HEADERS: usize = 256;
/// Changes of the set that are followed before our chain has consumed them.
const KNOWN_SETS_MAX: usize = 256;

/// Why a finality proof or attestation is refused. Each has a code of its own in logs and blocks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LightClientError {
    #[error("WRONG_CHAIN: the proof is of {got}, expected {expected}")]
    WrongChain { expected: ChainId, got: ChainId },
    #[error("WRONG_NETWORK: the header belongs to another genesis")]
    WrongNetwork,
    #[error("WRONG_HEIGHT: a block of height {0} cannot be proved")]
    WrongHeight(u64),
    #[error("OLD_PROOF: the validators of height {0} are forgotten, later messages were consumed")]
    OldProof(u64),
    #[error("UNKNOWN_VALIDATORS: the header announces a validator set that is not known")]
    UnknownValidators,
    #[error(
        "WRONG_VALIDATORS: the set that comes with height {0} is not the one that is announced"
    )]
    WrongValidators(u64),
    #[error("TOO_MANY_CHANGES: the set has changed more often than can be followed")]
    TooManyChanges,
    #[error("BAD_CERTIFICATE: {0}")]
    BadCertificate(String),
    #[error("MISSING_PROOF: no finality proof for height {0}")]
    MissingProof(u64),
    #[error("NOT_IN_OUTBOX: the path of message {0} does not lead to the header's outbox root")]
    NotInOutbox(u64),
}

/// See the module. Shared by the threads of a worker: nobody waits while another one verifies.
pub struct LightClient {
    chain: ChainId,
    domain: Domain,
    known: Mutex<Known>,
}

struct Known {
    /// Sets by the first height that they decide. The first is the one of our committed state.
    sets: BTreeMap<u64, Arc<ValidatorSet>>,
    verified: BTreeMap<u64, Verified>,
}

struct Verified {
    header: Header,
    /// Of the proof to the last byte, with the set that it was verified with.
    digest: Hash,
}

/// Names a verification. A known header is not enough: a node that has it would take a certificate
/// that others refuse.
fn digest(set: &ValidatorSet, proof: &FinalityProof) -> Hash {
    let set = set.validators_hash();
    Hash::of("adnet/verified-proof/v1", &[&set.0, &proof.encode()])
}

impl LightClient {
    /// Follows `chain` of the network that `domain` names, beginning with `from`.
    pub fn new(chain: ChainId, network_id: u32, genesis: Hash, from: &SetFrom) -> Self {
        let domain = Domain {
            network_id,
            chain,
            genesis,
        };
        let sets = BTreeMap::from([(from.height, Arc::clone(&from.set))]);
        let verified = BTreeMap::new();
        Self {
            chain,
            domain,
            known: Mutex::new(Known { sets, verified }),
        }
    }

    /// The highest verified height; 0 before the first.
    pub fn best_height(&self) -> u64 {
        let known = self.known();
        known.verified.last_key_value().map_or(0, |(h, _)| *h)
    }

    /// A header verified earlier, if it is still kept.
    pub fn header(&self, height: u64) -> Option<Header> {
        let known = self.known();
        known.verified.get(&height).map(|v| v.header.clone())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        let known = self.known.lock();
        known.expect("nothing panics between two changes of the maps")
    }

    /// Our committed state is another one now, and knows `from`: all else is forgotten.
    pub fn restart(&self, from: &SetFrom) {
        let mut known = self.known();
        known.sets = BTreeMap::from([(from.height, Arc::clone(&from.set))]);
        known.verified.clear();
    }

    /// Our committed state has come to know `from`: what was before it is of no more use.
    pub fn advance(&self, from: &SetFrom) {
        let mut known = self.known();
        known.sets = known.sets.split_off(&from.height);
        known.sets.insert(from.height, Arc::clone(&from.set));
    }

    /// Verifies a proof with the set that decided its height. Returns the set that it leads to, if
    /// that is another one.
    fn verify(
        &self,
        set: &ValidatorSet,
        proof: &FinalityProof,
    ) -> Result<Option<ValidatorSet>, LightClientError> {
        let header = &proof.header;
        if header.chain != self.chain {
            return Err(LightClientError::WrongChain {
                expected: self.chain,
                got: header.chain,
            });
        }
        if header.genesis != self.domain.genesis {
            return Err(LightClientError::WrongNetwork);
        }
        if header.height == 0 {
            return Err(LightClientError::WrongHeight(0));
        }
        let changes = header.next_validators != set.validators_hash();
        match &proof.next_set {
            None if changes => return Err(LightClientError::UnknownValidators),
            Some(next) if !changes || next.hash() != header.next_validators => {
                return Err(LightClientError::WrongValidators(header.height));
            }
            None | Some(_) => {}
        }
        let digest = digest(set, proof);
        let is_known = |v: &Verified| v.digest == digest;
        if !self
            .known()
            .verified
            .get(&header.height)
            .is_some_and(is_known)
        {
            let bad = |why: String| LightClientError::BadCertificate(why);
            let certificate = CommitCertificate::decode(&proof.certificate);
            let certificate = certificate.map_err(|e| bad(e.to_string()))?;
            if certificate.height != header.height || certificate.value != header.hash() {
                return Err(bad("it decides another block".into()));
            }
            verify_certificate(&self.domain, set, &certificate).map_err(|e| bad(e.to_string()))?;
        }
        let opened = proof.next_set.as_ref().map(|next| next.open()).transpose();
        opened.map_err(|_| LightClientError::WrongValidators(header.height))
    }

    /// Verifies a proof, and remembers its header and the set that it leads to.
    pub fn learn(&self, proof: &FinalityProof) -> Result<(), LightClientError> {
        let height = proof.header.height;
        let (set, is_full) = {
            let known = self.known();
            let set = known.sets.range(..=height).next_back();
            let set = set.ok_or(LightClientError::OldProof(height))?;
            (Arc::clone(set.1), known.sets.len() >= KNOWN_SETS_MAX)
        };
        let next = self.verify(&set, proof)?;
        let mut known = self.known();
        if let Some(next) = next {
            let from = height.checked_add(1);
            let from = from.ok_or(LightClientError::WrongHeight(height))?;
            if is_full && !known.sets.contains_key(&from) {
                return Err(LightClientError::TooManyChanges);
            }
            // Our state may have moved on meanwhile: only what follows its set is of use.
            if known.sets.first_key_value().is_some_and(|(h, _)| *h < from) {
                known.sets.insert(from, Arc::new(next));
            }
        }
        let (header, digest) = (proof.header.clone(), digest(&set, proof));
        known.verified.insert(height, Verified { header, digest });
        while known.verified.len() > KEPT_HEADERS {
            known.verified.pop_first();
        }
        Ok(())
    }

    /// Checks a block's inbox by the set that our state knows: the proofs, in order of height, verify
    /// and lead from one set to the next; every attestation is in the outbox of a proved header; and
    /// one that tells of the other chain's next set tells of the one in its header. Order and use are
    /// for the application to check against its state.
    pub fn verify_inbox(
        &self,
        from: &SetFrom,
        proofs: &[FinalityProof],
        attestations: &[Attestation],
    ) -> Result<(), LightClientError> {
        let mut set = Arc::clone(&from.set);
        for proof in proofs {
            let height = proof.header.height;
            if height < from.height {
                return Err(LightClientError::OldProof(height));
            }
            if let Some(next) = self.verify(&set, proof)? {
                set = Arc::new(next);
            }
        }
        for attestation in attestations {
            self.verify_attestation(attestation, proofs)?;
        }
        Ok(())
    }

    /// Checks one attestation against proofs that are verified already.
    pub fn verify_attestation(
        &self,
        attestation: &Attestation,
        proofs: &[FinalityProof],
    ) -> Result<(), LightClientError> {
        if attestation.from != self.chain {
            return Err(LightClientError::WrongChain {
                expected: self.chain,
                got: attestation.from,
            });
        }
        let height = attestation.height;
        let proof = proofs.iter().find(|p| p.header.height == height);
        let proof = proof.ok_or(LightClientError::MissingProof(height))?;
        let message = &attestation.message;
        if !attestation.is_in(&proof.header.outbox_root) {
            return Err(LightClientError::NotInOutbox(message.sequence));
        }
        match message.payload.next_set() {
            Some(set) if set.hash() != proof.header.next_validators => {
                Err(LightClientError::WrongValidators(height))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
