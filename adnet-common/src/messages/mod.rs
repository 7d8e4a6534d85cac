//! What crosses the rings: one rkyv struct per message, validated in place.
//!
//! The root of an rkyv archive is at its end, so the ring stores exact lengths. A message's number
//! is in the ring's record header, never in the payload. Bytes from another process are validated
//! before anything in them is believed; that costs nanoseconds.

mod attest;
mod control;
mod network;
mod store;

pub use attest::{AttestationMsg, FinalityMsg, QueryMsg, ReplyMsg, ResumeMsg};
pub use control::{
    FamilyMsg, LinkedPeer, MemberMsg, MetricsMsg, PeersMsg, ProgressMsg, ReadyMsg, StopMsg,
    ValidatorsMsg,
};
pub use network::{GossipInMsg, GossipOutMsg, NetworkInMsg, NetworkOutMsg, PeerMsg, VerdictMsg};
pub use store::{
    AppendMsg, CommitMsg, DoneMsg, Failure, GetMsg, GotMsg, PageMsg, RestoreMsg, ScanMsg, SignMsg,
    SignedMsg, SyncMsg, WalMsg,
};

use rkyv::rancor;
use rkyv::ser::writer::Buffer;
use rkyv::util::AlignedVec;

/// Digest over the definitions of this module and of the store's types, computed at build time.
pub const SCHEMA_HASH: [u8; 32] = parse_hex(env!("ADNET_SCHEMA_HASH"));

const fn parse_hex(text: &str) -> [u8; 32] {
    const fn digit(byte: u8) -> u8 {
        match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => panic!("the build script writes lower-case hexadecimal digits"),
        }
    }
    let text = text.as_bytes();
    assert!(text.len() == 64, "a schema hash has 64 digits");
    let mut out = [0; 32];
    let mut i = 0;
    while i < 32 {
        out[i] = digit(text[2 * i]) * 16 + digit(text[2 * i + 1]);
        i += 1;
    }
    out
}

/// A payload is not the message that its number promises.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message {kind} does not validate: {why}")]
pub struct MessageError {
    pub kind: u16,
    pub why: String,
}

/// A message with its number.
pub trait Message: Sized {
    const KIND: u16;
    type Archived;

    /// Writes the message into a ring slot; `None` if it does not fit.
    fn write_into(&self, slot: &mut [u8]) -> Option<usize>;

    fn to_bytes(&self) -> AlignedVec;

    /// Validates bytes and reads the message in place. They must be 16-byte aligned.
    fn access(bytes: &[u8]) -> Result<&Self::Archived, MessageError>;

    /// Validates and copies out.
    fn read(bytes: &[u8]) -> Result<Self, MessageError>;
}

macro_rules! messages {
    ($($number:literal => $type:ident),+ $(,)?) => {$(
        impl Message for $type {
            const KIND: u16 = $number;
            type Archived = <$type as rkyv::Archive>::Archived;

            fn write_into(&self, slot: &mut [u8]) -> Option<usize> {
                let buffer = Buffer::from(slot);
                let written = rkyv::api::high::to_bytes_in::<_, rancor::Failure>(self, buffer);
                written.ok().map(|buffer| buffer.len())
            }

            fn to_bytes(&self) -> AlignedVec {
                rkyv::to_bytes::<rancor::Error>(self).expect("memory is the only limit")
            }

            fn access(bytes: &[u8]) -> Result<&Self::Archived, MessageError> {
                rkyv::access::<Self::Archived, rancor::Error>(bytes).map_err(|e| MessageError {
                    kind: Self::KIND,
                    why: e.to_string(),
                })
            }

            fn read(bytes: &[u8]) -> Result<Self, MessageError> {
                let archived = Self::access(bytes)?;
                let read = rkyv::deserialize::<Self, rancor::Error>(archived);
                read.map_err(|e| MessageError { kind: Self::KIND, why: e.to_string() })
            }
        }
    )+

        #[cfg(test)]
        const NUMBERS: &[u16] = &[$($number),+];
    };
}

messages! {
    1 => GetMsg,
    2 => GotMsg,
    3 => ScanMsg,
    4 => PageMsg,
    5 => CommitMsg,
    6 => AppendMsg,
    7 => DoneMsg,
    8 => SignMsg,
    9 => SignedMsg,
    10 => SyncMsg,
    11 => RestoreMsg,
    20 => NetworkOutMsg,
    21 => NetworkInMsg,
    22 => PeerMsg,
    23 => GossipOutMsg,
    24 => GossipInMsg,
    25 => VerdictMsg,
    30 => ReadyMsg,
    31 => ProgressMsg,
    32 => MetricsMsg,
    33 => StopMsg,
    34 => PeersMsg,
    35 => ValidatorsMsg,
    40 => FinalityMsg,
    41 => AttestationMsg,
    42 => QueryMsg,
    43 => ReplyMsg,
    44 => ResumeMsg,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_distinct() {
        let mut sorted = NUMBERS.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), NUMBERS.len());
    }

    #[test]
    fn a_message_too_large_for_its_slot_is_told() {
        let message = QueryMsg {
            id: 1,
            key: vec![7; 100],
        };
        assert_eq!(message.write_into(&mut [0; 64]), None);
        let bytes = message.to_bytes();
        assert_eq!(QueryMsg::read(&bytes), Ok(message));
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_never_a_panic(bytes: Vec<u8>) {
            let mut aligned = AlignedVec::<16>::new();
            aligned.extend_from_slice(&bytes);
            let _ = CommitMsg::read(&aligned);
            let _ = AttestationMsg::access(&aligned);
            let _ = SignMsg::read(&aligned);
            let _ = PageMsg::read(&aligned);
        }

        #[test]
        fn a_flipped_byte_reads_as_something_or_nothing(at in 0usize..200, bit in 0u8..8) {
            let message = CommitMsg {
                id: 3,
                height: 9,
                is_synced: true,
                writes: vec![crate::store::Write::put(
                    crate::store::Family::AlphaState, vec![1; 40], vec![2; 60])],
            };
            let mut bytes = message.to_bytes();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let _ = CommitMsg::read(&bytes);
        }
    }
}
