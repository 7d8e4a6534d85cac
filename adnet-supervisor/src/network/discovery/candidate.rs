//! What a node record says that may be dialled: who is where. Its own encoding is that of the address
//! book, so that a known peer is not verified anew at each start.

use std::net::{IpAddr, SocketAddr};

use adnet_common::{
    chain_id::ChainId,
    codec::{DecodeError, Reader, Writer},
};

use crate::network::identity::PeerId;

/// A record of 300 bytes in base 64, and the prefix.
const RECORD_TEXT_BYTES_MAX: usize = 404;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub peer: PeerId,
    pub ip: IpAddr,
    /// UDP ports of the chains' endpoints; `None` where the node does not follow the chain.
    pub alpha_port: Option<u16>,
    pub delta_port: Option<u16>,
    /// The record in its text form, its number, and the id of its key.
    pub record: String,
    pub seq: u64,
    pub record_id: [u8; 32],
}

impl Candidate {
    /// Where the node's endpoint of the chain is; `None` if it does not follow the chain.
    pub fn address(&self, chain: ChainId) -> Option<SocketAddr> {
        let port = match chain {
            ChainId::Alpha => self.alpha_port,
            ChainId::Delta => self.delta_port,
        };
        port.map(|port| SocketAddr::new(self.ip, port))
    }

    pub(in crate::network) fn encode(&self, w: &mut Writer) {
        w.raw(&self.peer);
        match self.ip {
            IpAddr::V4(ip) => w.u8(4).raw(&ip.octets()),
            IpAddr::V6(ip) => w.u8(6).raw(&ip.octets()),
        };
        w.u16(self.alpha_port.unwrap_or(0));
        w.u16(self.delta_port.unwrap_or(0));
        w.bytes(self.record.as_bytes()).u64(self.seq);
        w.raw(&self.record_id);
    }

    pub(in crate::network) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let peer = r.array("peer id")?;
        let ip = match r.u8("peer address")? {
            4 => IpAddr::from(r.array::<4>("peer address")?),
            6 => IpAddr::from(r.array::<16>("peer address")?),
            _ => return Err(r.invalid("peer address", "neither IPv4 nor IPv6")),
        };
        let port = |port: u16| (port != 0).then_some(port);
        let alpha_port = port(r.u16("alpha port")?);
        let delta_port = port(r.u16("delta port")?);
        let record = r.bytes("peer record", RECORD_TEXT_BYTES_MAX)?;
        let record =
            String::from_utf8(record.to_vec()).map_err(|_| r.invalid("peer record", "no text"))?;
        Ok(Self {
            peer,
            ip,
            alpha_port,
            delta_port,
            record,
            seq: r.u64("record number")?,
            record_id: r.array("record id")?,
        })
    }
}
