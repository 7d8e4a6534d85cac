//! The node record (ENR, EIP-778): where a node is, which chains it follows, in which network, and
//! the node key that its endpoints must prove.
//!
//! A record is signed by a secp256k1 key that discovery uses; `idk` in it names the ed25519 node key,
//! and `ids` is that key's signature over the record's own key and the genesis. So each key vouches
//! for the other, and nobody writes a record in another's name. What remains is that a node may lie
//! about its own address; the handshake there finds out.
//!
//! | field | what it is |
//! | --- | --- |
//! | `idk` | ed25519 node key |
//! | `ids` | its signature |
//! | `gen` | first bytes of the genesis hash |
//! | `ch` | bitmap of the chains |
//! | `quic`, `quicd` | UDP ports of the endpoints of Alpha and Delta |

use std::{collections::BTreeMap, net::IpAddr};

use adnet_common::chain_id::ChainId;
use bytes::Bytes;
use discv5::Enr;
use ed25519_consensus::{Signature, VerificationKey};
use enr::{CombinedKey, EnrKey};

use super::candidate::Candidate;
use crate::network::identity::{Identity, PeerId};

const GENESIS_PREFIX_BYTES: usize = 8;
const TAG: &[u8] = b"adnet/node-record/v1\0";

mod field {
    pub const NODE_KEY: &str = "idk";
    pub const SIGNATURE: &str = "ids";
    pub const GENESIS: &str = "gen";
    pub const CHAINS: &str = "ch";
    pub const ALPHA_PORT: &str = "quic";
    pub const DELTA_PORT: &str = "quicd";
}

/// Why a record is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("the text is no node record")]
    Text,
    #[error("the record lacks {0}, or it is malformed")]
    Field(&'static str),
    #[error("the record is of another network: its genesis differs")]
    OtherGenesis,
    #[error("the record is not signed by the node key that it names")]
    Signature,
}

/// What a node writes into its own record.
pub struct Contents<'a> {
    pub genesis: &'a [u8; 32],
    /// `None` where peers are to tell us what they see.
    pub ip: Option<IpAddr>,
    pub discovery_port: u16,
    /// The chains that the node follows, with the ports of their endpoints.
    pub ports: &'a BTreeMap<ChainId, u16>,
    /// Rises with each change; of two records of a key the one with the higher number counts.
    pub seq: u64,
}

/// The key of discovery, derived from the node's seed.
pub fn key_of(identity: &Identity) -> CombinedKey {
    let mut secret = identity.derive("adnet discv5");
    CombinedKey::secp256k1_from_bytes(secret.as_mut_slice())
        .expect("of 2^256 numbers fewer than 2^129 are no secret key")
}

/// Makes the node's record.
pub fn build(identity: &Identity, contents: &Contents<'_>) -> Result<Enr, enr::Error> {
    let key = key_of(identity);
    let record_id = enr::NodeId::from(key.public()).raw();
    let signature = identity.sign(&preimage(contents.genesis, &record_id));
    let port = |chain| contents.ports.get(&chain);
    let mut builder = Enr::builder();
    builder
        .seq(contents.seq)
        .add_value(field::NODE_KEY, &Bytes::copy_from_slice(&identity.id()))
        .add_value(field::SIGNATURE, &Bytes::copy_from_slice(&signature))
        .add_value(
            field::GENESIS,
            &Bytes::copy_from_slice(&prefix(contents.genesis)),
        )
        .add_value(field::CHAINS, &bitmap(contents.ports.keys().copied()));
    if let Some(port) = port(ChainId::Alpha) {
        builder.add_value(field::ALPHA_PORT, port);
    }
    if let Some(port) = port(ChainId::Delta) {
        builder.add_value(field::DELTA_PORT, port);
    }
    match contents.ip {
        Some(IpAddr::V4(ip)) => builder.ip4(ip).udp4(contents.discovery_port),
        Some(IpAddr::V6(ip)) => builder.ip6(ip).udp6(contents.discovery_port),
        None => &mut builder,
    };
    builder.build(&key)
}

impl Candidate {
    /// Reads a record of the network with this genesis.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn read(enr: &Enr, genesis: &[u8; 32]) -> Result<Self, RecordError> {
        let found = Self::parse(enr)?;
        if bytes(enr, field::GENESIS)? != prefix(genesis) {
            return Err(RecordError::OtherGenesis);
        }
        let signature: [u8; 64] = bytes(enr, field::SIGNATURE)?;
        let preimage = preimage(genesis, &found.record_id);
        let is_signed = VerificationKey::try_from(found.peer)
            .is_ok_and(|key| key.verify(&Signature::from(signature), &preimage).is_ok());
        match is_signed {
            true => Ok(found),
            false => Err(RecordError::Signature),
        }
    }

    /// The same for a record in its text form.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn read_text(text: &str, genesis: &[u8; 32]) -> Result<(Self, Enr), RecordError> {
        let enr: Enr = text.parse().map_err(|_| RecordError::Text)?;
        Ok((Self::read(&enr, genesis)?, enr))
    }

    /// Everything but the signature and the genesis.
    fn parse(enr: &Enr) -> Result<Self, RecordError> {
        let peer: PeerId = bytes(enr, field::NODE_KEY)?;
        let chains = number(enr, field::CHAINS)?;
        let port = |chain, name: &'static str| -> Result<Option<u16>, RecordError> {
            if chains & bitmap([chain].into_iter()) == 0 {
                return Ok(None);
            }
            let port = Some(number(enr, name)?).filter(|port| *port != 0);
            port.map(Some).ok_or(RecordError::Field(name))
        };
        let ip = match (enr.ip4(), enr.ip6()) {
            (Some(ip), _) => IpAddr::V4(ip),
            (None, Some(ip)) => IpAddr::V6(ip),
            (None, None) => return Err(RecordError::Field("ip")),
        };
        Ok(Self {
            peer,
            ip,
            alpha_port: port(ChainId::Alpha, field::ALPHA_PORT)?,
            delta_port: port(ChainId::Delta, field::DELTA_PORT)?,
            record: enr.to_base64(),
            seq: enr.seq(),
            record_id: enr.node_id().raw(),
        })
    }
}

/// Whether a record may enter the routing table: one of ours by its form. A plain function of the
/// record, as the library wants it, so the genesis is judged later.
pub fn is_of_our_kind(enr: &Enr) -> bool {
    Candidate::parse(enr).is_ok()
}

fn bytes<const N: usize>(enr: &Enr, name: &'static str) -> Result<[u8; N], RecordError> {
    let value = enr.get_decodable::<Bytes>(name).and_then(Result::ok);
    value
        .and_then(|value| value.as_ref().try_into().ok())
        .ok_or(RecordError::Field(name))
}

fn number(enr: &Enr, name: &'static str) -> Result<u16, RecordError> {
    let value = enr.get_decodable::<u16>(name).and_then(Result::ok);
    value.ok_or(RecordError::Field(name))
}

fn bitmap(chains: impl Iterator<Item = ChainId>) -> u16 {
    chains.fold(0, |bits, chain| bits | u16::from(chain.as_byte()))
}

fn prefix(genesis: &[u8; 32]) -> [u8; GENESIS_PREFIX_BYTES] {
    let prefix = genesis.first_chunk();
    *prefix.expect("a genesis hash has more than 8 bytes")
}

fn preimage(genesis: &[u8; 32], record_id: &[u8; 32]) -> Vec<u8> {
    [TAG, &genesis[..], &record_id[..]].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GENESIS: [u8; 32] = [9; 32];

    fn ports() -> BTreeMap<ChainId, u16> {
        BTreeMap::from([(ChainId::Alpha, 4130), (ChainId::Delta, 4131)])
    }

    fn record(seed: u8, ip: &str, ports: &BTreeMap<ChainId, u16>) -> Enr {
        let contents = Contents {
            genesis: &GENESIS,
            ip: Some(ip.parse().unwrap()),
            discovery_port: 4132,
            ports,
            seq: u64::from(u32::MAX),
        };
        build(&Identity::from_seed([seed; 32]), &contents).unwrap()
    }

    #[test]
    fn a_record_says_where_a_node_is_and_has_room() {
        for ip in ["192.0.2.7", "2001:db8::7"] {
            let enr = record(1, ip, &ports());
            assert!(enr.size() <= 300, "{} bytes", enr.size());
            let (found, again) = Candidate::read_text(&enr.to_base64(), &GENESIS).unwrap();
            assert_eq!(again, enr);
            assert_eq!(found.peer, Identity::from_seed([1; 32]).id());
            assert_eq!(found.ip.to_string(), ip);
            assert_eq!(
                (found.alpha_port, found.delta_port),
                (Some(4130), Some(4131))
            );
        }
        let one = BTreeMap::from([(ChainId::Delta, 4131)]);
        let found = Candidate::read(&record(1, "192.0.2.7", &one), &GENESIS).unwrap();
        assert_eq!((found.alpha_port, found.delta_port), (None, Some(4131)));
    }

    #[test]
    fn a_record_of_another_genesis_is_refused_by_name() {
        let enr = record(1, "192.0.2.7", &ports());
        let other = Candidate::read(&enr, &[8; 32]);
        assert_eq!(other, Err(RecordError::OtherGenesis));
    }

    /// Whoever writes a record about a node key that is not his cannot sign it with that key.
    #[test]
    fn nobody_writes_a_record_in_anothers_name() {
        let victim = Identity::from_seed([1; 32]);
        let liar = key_of(&Identity::from_seed([2; 32]));
        let mut forged = record(2, "192.0.2.7", &ports());
        let name = Bytes::copy_from_slice(&victim.id());
        forged.insert(field::NODE_KEY, &name, &liar).unwrap();
        let read = Candidate::read(&forged, &GENESIS);
        assert_eq!(read, Err(RecordError::Signature));
        // Nor with the signature of the victim's own record: that is over its own key.
        let own = record(1, "192.0.2.9", &ports());
        let signature: [u8; 64] = bytes(&own, field::SIGNATURE).unwrap();
        let signature = Bytes::copy_from_slice(&signature);
        forged.insert(field::SIGNATURE, &signature, &liar).unwrap();
        let read = Candidate::read(&forged, &GENESIS);
        assert_eq!(read, Err(RecordError::Signature));
    }

    #[test]
    fn what_lacks_a_field_is_of_another_kind() {
        let identity = Identity::from_seed([1; 32]);
        let mut enr = record(1, "192.0.2.7", &ports());
        assert!(is_of_our_kind(&enr));
        enr.insert(field::ALPHA_PORT, &0u16, &key_of(&identity))
            .unwrap();
        let read = Candidate::read(&enr, &GENESIS);
        assert_eq!(read, Err(RecordError::Field("quic")));
        let foreign = Enr::builder().build(&key_of(&identity)).unwrap();
        assert!(!is_of_our_kind(&foreign));
    }

    proptest! {
        #[test]
        fn any_text_is_a_record_or_an_error(text: String) {
            let _ = Candidate::read_text(&text, &GENESIS);
        }
    }
}
