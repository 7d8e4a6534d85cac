//! The network's own formats, for whoever checks how they are read: all that is made of the bytes of
//! peers before a worker sees any. Each of these readers takes any bytes.
//!
//! What they say inside of a link has other readers: frames, tags and the heads of gossip streams have
//! a few bytes of fixed length (`frame`, `gossip`), messages are the workers'.

pub use super::{
    address_book::Entry,
    discovery::{Candidate, RecordError},
    hello::{HELLO_BYTES_MAX, Hello},
    identity::peer_of_spki,
};
