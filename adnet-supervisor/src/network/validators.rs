//! Who votes at present, and how a peer proves to be one of them.
//!
//! The validator key signs the peer id that TLS proves, for one chain of one network. So a proof is
//! worth nothing in the hands of another peer, on the other chain, or anywhere else. The domain
//! cannot be taken for that of a consensus message.

use std::{
    collections::BTreeSet,
    sync::{Arc, RwLock},
};

use adnet_common::{
    codec::{DecodeError, Reader, Writer},
    consensus::Domain,
    keys::PublicKey,
};
use ed25519_consensus::{Signature, SigningKey, VerificationKey};

use super::identity::PeerId;

const TAG: &[u8] = b"adnet/validator-peer/v1\0";

/// A validator's word that a peer is its node.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ValidatorProof {
    pub key: PublicKey,
    signature: [u8; 64],
}

fn preimage(domain: &Domain, peer: &PeerId) -> Vec<u8> {
    let mut w = Writer::new();
    w.raw(TAG).u32(domain.network_id).u8(domain.chain.as_byte());
    w.hash(&domain.genesis).raw(peer);
    w.finish()
}

impl ValidatorProof {
    /// Signs the peer id of our own node.
    pub fn make(key: &SigningKey, domain: &Domain, peer: &PeerId) -> Self {
        Self {
            key: PublicKey(key.verification_key().to_bytes()),
            signature: key.sign(&preimage(domain, peer)).to_bytes(),
        }
    }

    /// Whether the key has signed this peer id for this chain.
    pub fn verifies(&self, domain: &Domain, peer: &PeerId) -> bool {
        let signature = Signature::from(self.signature);
        VerificationKey::try_from(self.key.0)
            .is_ok_and(|key| key.verify(&signature, &preimage(domain, peer)).is_ok())
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.raw(&self.key.0).raw(&self.signature);
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            key: PublicKey(r.array("validator proof key")?),
            signature: r.array("validator proof signature")?,
        })
    }
}

/// The keys that vote at present: a handle, whose content may be replaced while the node runs.
#[derive(Clone, Debug, Default)]
pub struct ValidatorKeys(Arc<RwLock<BTreeSet<PublicKey>>>);

impl ValidatorKeys {
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self(Arc::new(RwLock::new(keys.into_iter().collect())))
    }

    /// Enters the set of the next heights.
    pub fn replace(&self, keys: impl IntoIterator<Item = PublicKey>) {
        let keys = keys.into_iter().collect();
        *self.0.write().expect("no panic under this lock") = keys;
    }

    pub fn contains(&self, key: &PublicKey) -> bool {
        self.0
            .read()
            .expect("no panic under this lock")
            .contains(key)
    }

    pub fn count(&self) -> usize {
        self.0.read().expect("no panic under this lock").len()
    }
}

#[cfg(test)]
mod tests {
    use adnet_common::{chain_id::ChainId, hash::Hash};

    use super::*;

    #[test]
    fn a_proof_holds_for_one_peer_on_one_chain_of_one_network() {
        let key = SigningKey::from([5; 32]);
        let domain = Domain {
            network_id: 7,
            chain: ChainId::Alpha,
            genesis: Hash([1; 32]),
        };
        let proof = ValidatorProof::make(&key, &domain, &[2; 32]);
        assert!(proof.verifies(&domain, &[2; 32]));
        assert!(!proof.verifies(&domain, &[3; 32]));
        let chain = ChainId::Delta;
        assert!(!proof.verifies(&Domain { chain, ..domain }, &[2; 32]));
        let network_id = 8;
        assert!(!proof.verifies(
            &Domain {
                network_id,
                ..domain
            },
            &[2; 32]
        ));
        let genesis = Hash([2; 32]);
        assert!(!proof.verifies(&Domain { genesis, ..domain }, &[2; 32]));
        let other = SigningKey::from([6; 32]).verification_key().to_bytes();
        let stolen = ValidatorProof {
            key: PublicKey(other),
            ..proof
        };
        assert!(!stolen.verifies(&domain, &[2; 32]));
    }
}
