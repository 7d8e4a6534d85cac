//! Sign bytes: what a consensus signature is worth, and nowhere else.
//!
//! The preimage begins with the network, the chain and its genesis, because both chains have the
//! same validators: without that, a vote of one chain would be a vote of the other. The rest are
//! the fields of the message in fixed widths, the step first, so no two messages share bytes. The
//! voter is not included: a certificate rebuilds votes from (key, signature), and the key that
//! verifies the signature is the voter.

use super::sign::SignRequest;
use crate::chain_id::ChainId;
use crate::codec::Writer;
use crate::hash::Hash;
use crate::keys::PublicKey;
use ed25519_consensus::{Signature, VerificationKey};

/// One chain of one network. Signatures of one domain are worthless in any other.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    pub network_id: u32,
    pub chain: ChainId,
    /// Hash of the network's genesis.
    pub genesis: Hash,
}

impl Domain {
    /// The bytes that are signed for `request`: at most [`SIGN_BYTES_MAX`].
    pub fn sign_bytes(&self, request: &SignRequest) -> Vec<u8> {
        let mut w = Writer::with_capacity(SIGN_BYTES_MAX);
        w.raw(TAG).u32(self.network_id).u8(self.chain.as_byte());
        w.hash(&self.genesis).u8(request.step.as_byte());
        w.u64(request.height).u32(request.round);
        match &request.value {
            None => w.u8(0),
            Some(hash) => w.u8(1).raw(hash),
        };
        match request.pol_round {
            None => w.u8(0),
            Some(round) => w.u8(1).u32(round),
        };
        w.finish()
    }

    /// Whether `signature` is `key`'s for `request` in this domain, by the rules of ZIP 215.
    pub fn verify(&self, key: &PublicKey, request: &SignRequest, signature: &[u8; 64]) -> bool {
        VerificationKey::try_from(key.0)
            .is_ok_and(|key| self.verify_decoded(&key, request, signature))
    }

    /// The same with a key that has been decoded before.
    pub(super) fn verify_decoded(
        &self,
        key: &VerificationKey,
        request: &SignRequest,
        signature: &[u8; 64],
    ) -> bool {
        let signature = Signature::from(*signature);
        let bytes = self.sign_bytes(request);
        request.is_well_formed() && key.verify(&signature, &bytes).is_ok()
    }
}

const TAG: &[u8] = b"adnet/consensus/v1\0";

/// Sign bytes are at most this long.
pub const SIGN_BYTES_MAX: usize = TAG.len() + 4 + 1 + 32 + 1 + 8 + 4 + 33 + 5;
