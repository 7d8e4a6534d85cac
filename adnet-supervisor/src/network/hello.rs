//! What two nodes tell each other before anything else, and how it is judged.
//!
//! A TLS 1.3 client's handshake is over before the server has judged its key, so the acceptor
//! speaks first, and a dialer counts only what has said hello. The version comes first in the
//! encoding and is judged before the rest is read: the rest may change with it.

use adnet_common::{
    chain_id::ChainId,
    codec::{DecodeError, Reader, Writer},
};

use super::refusal::Refusal;

/// Version of hello, streams and classes. A peer with another one is refused.
pub const PROTOCOL_VERSION: u16 = 1;
/// A longer hello is refused before it is read.
pub const HELLO_BYTES_MAX: usize = 256;

/// What a node says that it is. Unproved: nothing may rest on it but what an operator is shown.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Follows the chain.
    Full = 0,
    /// Holds a validator key.
    Validator = 1,
}

/// The first message on a connection, in each direction.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub version: u16,
    pub chain: ChainId,
    pub genesis: [u8; 32],
    /// Height of the last block that the sender has committed.
    pub tip_height: u64,
    pub role: Role,
}

impl Hello {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u16(self.version)
            .u8(self.chain.as_byte())
            .raw(&self.genesis)
            .u64(self.tip_height)
            .u8(self.role as u8);
        w.finish()
    }

    /// Reads a peer's hello and judges it by ours.
    ///
    /// # Errors
    /// The reason for which the peer is refused.
    pub fn receive(bytes: &[u8], ours: &Hello) -> Result<Hello, Refusal> {
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
        Ok(theirs)
    }

    fn decode_rest(version: u16, mut r: Reader<'_>) -> Result<Hello, DecodeError> {
        let chain = ChainId::from_byte(r.u8("hello chain")?);
        let chain = chain.ok_or_else(|| r.invalid("hello chain", "unknown chain"))?;
        let genesis = r.array("hello genesis")?;
        let tip_height = r.u64("hello tip")?;
        let role = match r.u8("hello role")? {
            0 => Role::Full,
            1 => Role::Validator,
            _ => return Err(r.invalid("hello role", "unknown role")),
        };
        r.end()?;
        Ok(Hello {
            version,
            chain,
            genesis,
            tip_height,
            role,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: Hello = Hello {
        version: PROTOCOL_VERSION,
        chain: ChainId::Delta,
        genesis: [3; 32],
        tip_height: 17,
        role: Role::Validator,
    };

    fn verdict(theirs: Hello) -> Result<Hello, Refusal> {
        Hello::receive(&theirs.encode(), &OURS)
    }

    #[test]
    fn a_hello_is_judged_by_version_chain_and_genesis() {
        let tip_height = u64::MAX;
        let role = Role::Full;
        let good = Hello {
            tip_height,
            role,
            ..OURS
        };
        assert_eq!(verdict(good), Ok(good));
        let other = Hello { version: 2, ..OURS };
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
    fn the_version_is_judged_even_where_the_rest_cannot_be_read() {
        assert_eq!(
            Hello::receive(&[0, 2, 99], &OURS),
            Err(Refusal::UnknownVersion)
        );
        assert_eq!(Hello::receive(&[0, 1, 99], &OURS), Err(Refusal::BadHello));
        assert_eq!(Hello::receive(&[0], &OURS), Err(Refusal::BadHello));
        let mut long = OURS.encode();
        long.push(0);
        assert_eq!(Hello::receive(&long, &OURS), Err(Refusal::BadHello));
    }

    proptest! {
        #[test]
        fn any_bytes_get_a_verdict(bytes: Vec<u8>) {
            let _ = Hello::receive(&bytes, &OURS);
        }
    }
}
