//! What two nodes tell each other before anything else, and how it is judged.
//!
//! A TLS 1.3 client's handshake is over before the server has judged its key, so the acceptor
//! speaks first, and a dialer counts only what has said hello. The version comes first in the
//! encoding and is judged before the rest is read: the rest may change with it.

use adnet_common::{
    chain_id::ChainId,
    codec::{DecodeError, Reader, Writer},
    consensus::Domain,
    hash::Hash,
};

use super::{identity::PeerId, refusal::Refusal, validators::ValidatorProof};

/// Version of hello, streams and classes. A peer with another one is refused.
pub const PROTOCOL_VERSION: u16 = 2;
/// A longer hello is refused before it is read.
pub const HELLO_BYTES_MAX: usize = 256;

/// What a node is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Follows the chain.
    Full,
    /// Has proved to be the node of a validator that votes at present.
    Validator,
}

/// The first message on a connection, in each direction.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub version: u16,
    pub chain: ChainId,
    pub genesis: [u8; 32],
    /// Height of the last block that the sender has committed.
    pub tip_height: u64,
    /// Of a validator: that this peer id is its node.
    pub proof: Option<ValidatorProof>,
}

impl Hello {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u16(self.version)
            .u8(self.chain.as_byte())
            .raw(&self.genesis)
            .u64(self.tip_height);
        match &self.proof {
            None => {
                w.u8(0);
            }
            Some(proof) => {
                w.u8(1);
                proof.encode(&mut w);
            }
        }
        w.finish()
    }

    /// Reads the hello of the peer whose key TLS has proved, and judges it by ours.
    ///
    /// # Errors
    /// The reason for which the peer is refused.
    pub fn receive(
        bytes: &[u8],
        ours: &Hello,
        network_id: u32,
        peer: &PeerId,
    ) -> Result<Hello, Refusal> {
        let mut r = Reader::new(bytes);
        let version = r.u16("hello version").map_err(|_| Refusal::BadHello)?;
        if version != ours.version {
            return Err(Refusal::UnknownVersion);
        }
        let theirs = Self::decode_rest(version, r).map_err(|_| Refusal::BadHello)?;
        if theirs.chain != ours.chain {
            return Err(Refusal::WrongChain);
        }
        if theirs.genesis != ours.genesis {
            return Err(Refusal::WrongGenesis);
        }
        let domain = Domain {
            network_id,
            chain: ours.chain,
            genesis: Hash(ours.genesis),
        };
        match &theirs.proof {
            Some(proof) if !proof.verifies(&domain, peer) => Err(Refusal::WrongProof),
            _ => Ok(theirs),
        }
    }

    fn decode_rest(version: u16, mut r: Reader<'_>) -> Result<Hello, DecodeError> {
        let chain = ChainId::from_byte(r.u8("hello chain")?);
        let chain = chain.ok_or_else(|| r.invalid("hello chain", "unknown chain"))?;
        let genesis = r.array("hello genesis")?;
        let tip_height = r.u64("hello tip")?;
        let proof = match r.u8("hello proof")? {
            0 => None,
            1 => Some(ValidatorProof::decode(&mut r)?),
            _ => return Err(r.invalid("hello proof", "neither absent nor present")),
        };
        r.end()?;
        Ok(Hello {
            version,
            chain,
            genesis,
            tip_height,
            proof,
        })
    }
}

#[cfg(test)]
mod tests {
    use ed25519_consensus::SigningKey;
    use proptest::prelude::*;

    use super::*;

    const NETWORK_ID: u32 = 9;
    const PEER: PeerId = [8; 32];
    const OURS: Hello = Hello {
        version: PROTOCOL_VERSION,
        chain: ChainId::Delta,
        genesis: [3; 32],
        tip_height: 17,
        proof: None,
    };

    fn judged(bytes: &[u8]) -> Result<Hello, Refusal> {
        Hello::receive(bytes, &OURS, NETWORK_ID, &PEER)
    }

    fn verdict(theirs: Hello) -> Result<Hello, Refusal> {
        judged(&theirs.encode())
    }

    fn proof(chain: ChainId, peer: &PeerId) -> Option<ValidatorProof> {
        let domain = Domain {
            network_id: NETWORK_ID,
            chain,
            genesis: Hash(OURS.genesis),
        };
        Some(ValidatorProof::make(
            &SigningKey::from([1; 32]),
            &domain,
            peer,
        ))
    }

    #[test]
    fn a_hello_is_judged_by_version_chain_and_genesis() {
        let tip_height = u64::MAX;
        let good = Hello { tip_height, ..OURS };
        assert_eq!(verdict(good), Ok(good));
        let version = PROTOCOL_VERSION + 1;
        let other = Hello { version, ..OURS };
        assert_eq!(verdict(other), Err(Refusal::UnknownVersion));
        let chain = ChainId::Alpha;
        assert_eq!(verdict(Hello { chain, ..OURS }), Err(Refusal::WrongChain));
        let genesis = [4; 32];
        assert_eq!(
            verdict(Hello { genesis, ..OURS }),
            Err(Refusal::WrongGenesis)
        );
    }

    #[test]
    fn a_validator_proves_which_peer_it_is() {
        let with = |proof| Hello { proof, ..OURS };
        let good = with(proof(ChainId::Delta, &PEER));
        assert!(good.encode().len() <= HELLO_BYTES_MAX);
        assert_eq!(verdict(good), Ok(good));
        let of_another_peer = with(proof(ChainId::Delta, &[7; 32]));
        assert_eq!(verdict(of_another_peer), Err(Refusal::WrongProof));
        let of_another_chain = with(proof(ChainId::Alpha, &PEER));
        assert_eq!(verdict(of_another_chain), Err(Refusal::WrongProof));
    }

    #[test]
    fn the_version_is_judged_even_where_the_rest_cannot_be_read() {
        let next = u8::try_from(PROTOCOL_VERSION + 1).unwrap();
        assert_eq!(judged(&[0, next, 99]), Err(Refusal::UnknownVersion));
        assert_eq!(judged(&[0, next - 1, 99]), Err(Refusal::BadHello));
        assert_eq!(judged(&[0]), Err(Refusal::BadHello));
        let mut long = OURS.encode();
        long.push(0);
        assert_eq!(judged(&long), Err(Refusal::BadHello));
    }

    proptest! {
        #[test]
        fn any_bytes_get_a_verdict(bytes: Vec<u8>) {
            let _ = judged(&bytes);
        }
    }
}
