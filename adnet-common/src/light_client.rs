//! The light client of the other chain: believes a header only with a commit certificate.
//!
//! Authority comes from signatures of the validator set alone, never from where a proof arrived.
//! The set is the one of the genesis: headers that announce another one are refused until the
//! chain core can follow changes of the set.

use crate::attestation::{Attestation, FinalityProof};
use crate::block::Header;
use crate::chain_id::ChainId;
use crate::consensus::{CommitCertificate, Domain, ValidatorSet, verify_certificate};
use crate::hash::Hash;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// Verified headers that are kept for state queries.
const KEPT_HEADERS: usize = 256;

/// Why a finality proof or attestation is refused. Each has a code of its own in logs and blocks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LightClientError {
    #[error("WRONG_CHAIN: the proof is of {got}, expected {expected}")]
    WrongChain { expected: ChainId, got: ChainId },
    #[error("WRONG_NETWORK: the header belongs to another genesis")]
    WrongNetwork,
    #[error("WRONG_HEIGHT: a block of height {0} cannot be proved")]
    WrongHeight(u64),
    #[error("UNKNOWN_VALIDATORS: the header announces a validator set that is not known")]
    UnknownValidators,
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
    validators: ValidatorSet,
    verified: Mutex<BTreeMap<u64, Header>>,
}

impl LightClient {
    /// Follows `chain` of the network that `domain` names.
    pub fn new(chain: ChainId, network_id: u32, genesis: Hash, validators: ValidatorSet) -> Self {
        let domain = Domain {
            network_id,
            chain,
            genesis,
        };
        Self {
            chain,
            domain,
            validators,
            verified: Mutex::default(),
        }
    }

    /// The highest verified height; 0 before the first.
    pub fn best_height(&self) -> u64 {
        self.verified().last_key_value().map_or(0, |(h, _)| *h)
    }

    /// A header verified earlier, if it is still kept.
    pub fn header(&self, height: u64) -> Option<Header> {
        self.verified().get(&height).cloned()
    }

    fn verified(&self) -> MutexGuard<'_, BTreeMap<u64, Header>> {
        let verified = self.verified.lock();
        verified.expect("nothing panics between two changes of the map")
    }

    /// Checks a proof. Cheap for a header that is known already.
    pub fn verify(&self, proof: &FinalityProof) -> Result<(), LightClientError> {
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
        if header.next_validators != self.validators.validators_hash() {
            return Err(LightClientError::UnknownValidators);
        }
        if self.verified().get(&header.height) == Some(header) {
            return Ok(());
        }
        let bad = |why: String| LightClientError::BadCertificate(why);
        let certificate = CommitCertificate::decode(&proof.certificate);
        let certificate = certificate.map_err(|e| bad(e.to_string()))?;
        if certificate.height != header.height || certificate.value != header.hash() {
            return Err(bad("it decides another block".into()));
        }
        verify_certificate(&self.domain, &self.validators, &certificate)
            .map_err(|e| bad(e.to_string()))
    }

    /// Verifies a proof and remembers its header.
    pub fn learn(&self, proof: &FinalityProof) -> Result<(), LightClientError> {
        self.verify(proof)?;
        let mut verified = self.verified();
        verified.insert(proof.header.height, proof.header.clone());
        while verified.len() > KEPT_HEADERS {
            verified.pop_first();
        }
        Ok(())
    }

    /// Checks a block's inbox: every attestation is in the outbox of a proved header. Order and
    /// use are for the application to check against its state.
    pub fn verify_inbox(
        &self,
        proofs: &[FinalityProof],
        attestations: &[Attestation],
    ) -> Result<(), LightClientError> {
        for proof in proofs {
            self.verify(proof)?;
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
        if !attestation.is_in(&proof.header.outbox_root) {
            return Err(LightClientError::NotInOutbox(attestation.message.sequence));
        }
        Ok(())
    }
}
