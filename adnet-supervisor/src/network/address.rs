//! Where a configured peer is found, and the key it must prove: `<64 hex digits>@host:port`.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use super::identity::PeerId;

/// Longest host name (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// A peer by key and address. The host is resolved anew at each dial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerAddr {
    pub peer: PeerId,
    /// A DNS name or an IP address, IPv6 without its brackets.
    pub host: String,
    pub port: u16,
}

/// Why a text is no peer address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerAddrError {
    #[error("a peer address is `<peer id>@<host>:<port>`, but there is no `@`")]
    NoAt,
    #[error("the peer id in front of the `@` is not 64 hex digits")]
    PeerId,
    #[error("the address lacks a port: `<peer id>@<host>:<port>`")]
    NoPort,
    #[error("the port is not a number from 1 to 65535")]
    Port,
    #[error("the host is no DNS name, no IPv4 address and no IPv6 address in brackets")]
    Host,
}

impl FromStr for PeerAddr {
    type Err = PeerAddrError;

    fn from_str(text: &str) -> Result<Self, PeerAddrError> {
        let (id, place) = text.split_once('@').ok_or(PeerAddrError::NoAt)?;
        let mut peer = [0; 32];
        hex::decode_to_slice(id, &mut peer).map_err(|_| PeerAddrError::PeerId)?;
        let (host, port) = place.rsplit_once(':').ok_or(PeerAddrError::NoPort)?;
        let port = match port.parse() {
            Ok(port) if port != 0 => port,
            _ => return Err(PeerAddrError::Port),
        };
        let bracketed = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let host = match bracketed {
            Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => inner,
            Some(_) => return Err(PeerAddrError::Host),
            None => host,
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let named = bracketed.is_some() || host.bytes().all(plain);
        if host.is_empty() || host.len() > HOST_BYTES_MAX || !named {
            return Err(PeerAddrError::Host);
        }
        Ok(Self {
            peer,
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, host, port) = (hex::encode(self.peer), &self.host, self.port);
        match host.contains(':') {
            true => write!(f, "{id}@[{host}]:{port}"),
            false => write!(f, "{id}@{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_read_and_written_alike() {
        let id = "ab".repeat(32);
        for place in ["seed.example.org:4130", "10.0.0.7:1", "[::1]:65535"] {
            let text = format!("{id}@{place}");
            let parsed: PeerAddr = text.parse().unwrap();
            assert_eq!(parsed.peer, [0xab; 32]);
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn each_mistake_has_its_name() {
        let id = "ab".repeat(32);
        let error = |text: String| text.parse::<PeerAddr>().unwrap_err();
        assert_eq!(error("localhost:4130".into()), PeerAddrError::NoAt);
        assert_eq!(error("abcd@localhost:4130".into()), PeerAddrError::PeerId);
        assert_eq!(error(format!("{id}@localhost")), PeerAddrError::NoPort);
        assert_eq!(error(format!("{id}@localhost:0")), PeerAddrError::Port);
        assert_eq!(error(format!("{id}@localhost:65536")), PeerAddrError::Port);
        assert_eq!(error(format!("{id}@:4130")), PeerAddrError::Host);
        assert_eq!(error(format!("{id}@::1:4130")), PeerAddrError::Host);
        assert_eq!(error(format!("{id}@[nonsense]:4130")), PeerAddrError::Host);
        assert_eq!(error(format!("{id}@a b:4130")), PeerAddrError::Host);
    }
}
