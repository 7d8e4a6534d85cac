//! Where the address book stands in the family `shared_peers`: `s` the secret, `p` and a peer id
//! its entry, `b` and a peer id its ban.

use adnet_common::codec::{DecodeError, Reader, Writer};

use crate::network::{identity::PeerId, reputation::Ban};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Ban(PeerId),
    Peer(PeerId),
    Secret,
}

impl Key {
    /// All keys.
    pub fn range() -> (Vec<u8>, Vec<u8>) {
        (vec![0], vec![u8::MAX])
    }

    pub fn encode(&self) -> Vec<u8> {
        match self {
            Key::Ban(peer) => [&b"b"[..], peer].concat(),
            Key::Peer(peer) => [&b"p"[..], peer].concat(),
            Key::Secret => b"s".to_vec(),
        }
    }

    pub fn decode(key: &[u8]) -> Option<Key> {
        match key.split_first()? {
            (b'b', peer) => peer.try_into().ok().map(Key::Ban),
            (b'p', peer) => peer.try_into().ok().map(Key::Peer),
            (b's', []) => Some(Key::Secret),
            _ => None,
        }
    }
}

pub fn encode_ban(ban: &Ban) -> Vec<u8> {
    let mut w = Writer::new();
    w.u64(ban.until_ms).u32(ban.count);
    w.finish()
}

pub fn decode_ban(peer: PeerId, bytes: &[u8]) -> Result<Ban, DecodeError> {
    let mut r = Reader::new(bytes);
    let until_ms = r.u64("end of a ban")?;
    let count = r.u32("number of bans")?;
    r.end()?;
    Ok(Ban {
        peer,
        until_ms,
        count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_written() {
        for key in [Key::Ban([1; 32]), Key::Peer([2; 32]), Key::Secret] {
            assert_eq!(Key::decode(&key.encode()), Some(key));
            let (from, to) = Key::range();
            assert!(from <= key.encode() && key.encode() < to);
        }
        for wrong in [&b""[..], b"p", b"x", b"s1"] {
            assert_eq!(Key::decode(wrong), None);
        }
    }
}
