//! Log entries: the inputs of a height from which a replay derives the same votes again.
//!
//! Beyond what the core logs by itself, verified commit certificates are logged: one of a later
//! round whose body is missing moves the core to that round, where it votes, and a replay without
//! it would stay behind and later vote for something else in the same slot.

use super::certificate::CommitCertificate;
use super::codec;
use super::context::{Ctx, defined};
use crate::codec::{DecodeError, Reader, Writer};
use arc_malachitebft_core_consensus::{Input, PeerId, ProposedValue};
use arc_malachitebft_core_types::{
    ExtendedCommitCertificate, Timeout, TimeoutKind, Validity, ValueOrigin, ValueResponse,
    VoteExtensions,
};
use bytes::Bytes;

/// Encodes an entry. `None` for inputs that are never logged: they change nothing that a replay
/// would have to know, or are logged by their parts.
pub fn encode(input: &Input<Ctx>) -> Option<Vec<u8>> {
    let mut w = Writer::with_capacity(192);
    match input {
        Input::Vote(v) => codec::write_vote(w.u8(1), v),
        Input::Proposal(p) => codec::write_proposal(w.u8(2), p),
        Input::PolkaCertificate(c) => codec::write_polka(w.u8(3), c),
        Input::ProposedValue(v, origin) => {
            w.u8(4).u64(v.height.0).u32(defined(v.round));
            codec::write_optional_round(&mut w, v.valid_round);
            w.raw(&v.proposer.0).hash(&v.value);
            w.u8(v.validity.to_bool().into())
                .u8(origin.is_sync().into());
        }
        Input::TimeoutElapsed(timeout) => {
            let kind = match timeout.kind {
                TimeoutKind::Propose => 1,
                TimeoutKind::Prevote => 2,
                TimeoutKind::Precommit => 3,
                TimeoutKind::Rebroadcast | TimeoutKind::FinalizeHeight(_) => return None,
            };
            w.u8(5).u8(kind).u32(defined(timeout.round));
        }
        Input::SyncValueResponse(response) => {
            let certificate = response.certificate.trim_vote_extensions();
            CommitCertificate::from_core(&certificate).encode_into(w.u8(6));
        }
        Input::StartHeight(..) | Input::Propose(_) | Input::RoundCertificate(_) => return None,
    }
    Some(w.finish())
}

/// Decodes an entry.
pub fn decode(bytes: &[u8]) -> Result<Input<Ctx>, DecodeError> {
    let mut r = Reader::new(bytes);
    let input = match r.u8("log entry kind")? {
        1 => Input::Vote(codec::read_vote(&mut r)?),
        2 => Input::Proposal(codec::read_proposal(&mut r)?),
        3 => Input::PolkaCertificate(codec::read_polka(&mut r)?),
        4 => {
            let value = ProposedValue {
                height: codec::read_height(&mut r)?,
                round: codec::read_round(&mut r)?,
                valid_round: codec::read_optional_round(&mut r)?,
                proposer: codec::read_key(&mut r)?,
                value: r.hash("value")?,
                validity: Validity::from_bool(read_flag(&mut r)?),
            };
            let origin = match read_flag(&mut r)? {
                true => ValueOrigin::Sync,
                false => ValueOrigin::Consensus,
            };
            Input::ProposedValue(value, origin)
        }
        5 => {
            let kind = match r.u8("timeout kind")? {
                1 => TimeoutKind::Propose,
                2 => TimeoutKind::Prevote,
                3 => TimeoutKind::Precommit,
                _ => return Err(r.invalid("timeout kind", "unknown kind")),
            };
            Input::TimeoutElapsed(Timeout::new(codec::read_round(&mut r)?, kind))
        }
        6 => sync_input(&CommitCertificate::decode_from(&mut r)?),
        _ => return Err(r.invalid("log entry kind", "unknown kind")),
    };
    r.end()?;
    Ok(input)
}

fn read_flag(r: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match r.u8("flag")? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(r.invalid("flag", "neither no (0) nor yes (1)")),
    }
}

/// The core's input for a certificate of a decided block. Peer and body are kept by the engine.
pub fn sync_input(certificate: &CommitCertificate) -> Input<Ctx> {
    let extended = ExtendedCommitCertificate::from_commit_certificate_and_extensions(
        certificate.to_core(),
        VoteExtensions::default(),
    );
    // An identity multihash of no bytes: the core hands the peer back and never looks at it.
    let peer = PeerId::from_bytes(&[0, 0]).expect("an empty identity multihash is a peer id");
    Input::SyncValueResponse(ValueResponse::new(peer, Bytes::new(), extended))
}
