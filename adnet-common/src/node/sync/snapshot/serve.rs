//! Serving what a node needs that begins with a snapshot: proofs of it, headers below it, pieces of it.
//!
//! Within the same shares as ranges of blocks (`sync/serve.rs`); each answer is a few bounded reads.

use super::super::message::Message;
use super::history::Link;
use crate::application::Application;
use crate::attestation::FinalityProof;
use crate::consensus::EncodedSet;
use crate::ledger::{self, LedgerError};
use crate::node::Node;
use crate::node::event::{Class, Host, NodeFault, Output, Peer};
use crate::store::ReadStore;

/// Bytes of one answer, and one entry more.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Proofs of one answer.
pub const PROOFS_MAX: usize = 16;
/// Headers of one answer.
pub const LINKS_MAX: usize = 512;
/// Pieces of one answer.
pub const PIECES_MAX: usize = 16;

impl<A: Application> Node<A> {
    /// Proves our newest snapshot to who trusts the block of `from`: that block, those after it that
    /// change the validators, and the one of the snapshot.
    pub(in crate::node::sync) fn serve_proofs(
        &mut self,
        now_ms: u64,
        peer: Peer,
        from: u64,
        host: &dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let Some(is_left) = self.may_serve(now_ms, peer, outputs) else {
            return Ok(());
        };
        let snapshot = self.snapshots.back().copied().unwrap_or(0);
        let proofs = match snapshot > 0 && is_left {
            true => proofs::<A>(host, from, snapshot)?,
            false => Vec::new(),
        };
        let answer = Message::Proofs {
            from,
            snapshot,
            proofs,
        };
        self.answer(peer, &answer, outputs);
        Ok(())
    }

    pub(in crate::node::sync) fn serve_history(
        &mut self,
        now_ms: u64,
        peer: Peer,
        top: u64,
        count: u64,
        host: &dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let Some(is_left) = self.may_serve(now_ms, peer, outputs) else {
            return Ok(());
        };
        let count = count.clamp(1, LINKS_MAX as u64);
        let links = match is_left {
            true => links::<A>(host, top.saturating_sub(count - 1), top)?,
            false => Vec::new(),
        };
        self.answer(peer, &Message::History { top, links }, outputs);
        Ok(())
    }

    pub(in crate::node::sync) fn serve_pieces(
        &mut self,
        now_ms: u64,
        peer: Peer,
        height: u64,
        places: Vec<Vec<u8>>,
        host: &dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let Some(is_left) = self.may_serve(now_ms, peer, outputs) else {
            return Ok(());
        };
        let (mut pieces, mut bytes) = (Vec::new(), 0);
        if is_left && self.snapshots.contains(&height) {
            // Each may take as many reads as a range.
            self.sync.serving.ranges.take(places.len() as u64 / 4);
            for place in places {
                let piece = self.app.piece(host, height, &place)?;
                let Some(piece) = piece.filter(|_| bytes <= ANSWER_BYTES_MAX) else {
                    break;
                };
                bytes += piece.len();
                pieces.push((place, piece));
            }
        }
        self.answer(peer, &Message::Pieces { height, pieces }, outputs);
        Ok(())
    }

    fn answer(&mut self, peer: Peer, message: &Message, outputs: &mut Vec<Output<A>>) {
        let bytes = message.encode();
        self.served(bytes.len());
        outputs.push(Output::Send {
            peer,
            class: Class::SyncResponse,
            bytes,
        });
    }
}

/// Empty where the block of `from` is not here. Ends early when there are too many; who asks goes on
/// from the last.
pub(super) fn proofs<A: Application>(
    store: &dyn ReadStore,
    from: u64,
    snapshot: u64,
) -> Result<Vec<FinalityProof>, LedgerError> {
    let chain = A::CHAIN;
    let first = ledger::finality_proof(store, chain, from)?;
    let set = ledger::validators_at(store, chain, from.saturating_add(1))?;
    let (Some(first), Some(set)) = (first, set) else {
        return Ok(Vec::new());
    };
    let next_set = Some(EncodedSet::of(&set));
    let mut proofs = vec![FinalityProof { next_set, ..first }];
    if snapshot <= from {
        return Ok(proofs);
    }
    // A set from height h on was made by the block before.
    let limit = PROOFS_MAX as u32;
    let changes = ledger::changes_of_validators(store, chain, from + 1, snapshot, limit)?;
    let heights = changes.into_iter().map(|first| first - 1).chain([snapshot]);
    let mut bytes = 0;
    for height in heights {
        let proof = ledger::finality_proof(store, chain, height)?;
        let Some(proof) = proof.filter(|_| proofs.len() < PROOFS_MAX && bytes <= ANSWER_BYTES_MAX)
        else {
            break;
        };
        bytes += proof.encode().len();
        proofs.push(proof);
    }
    Ok(proofs)
}

/// From `last` down to `first`, as far as headers are here.
pub(super) fn links<A: Application>(
    store: &dyn ReadStore,
    first: u64,
    last: u64,
) -> Result<Vec<Link>, LedgerError> {
    let chain = A::CHAIN;
    let headers = ledger::headers(store, chain, first, last)?;
    let limit = LINKS_MAX as u32;
    let end = last.saturating_add(1);
    let changes = ledger::changes_of_validators(store, chain, first, end, limit)?;
    let mut links = Vec::with_capacity(headers.len());
    let mut expected = last;
    for header in headers.into_iter().rev() {
        if header.height != expected {
            break;
        }
        expected = expected.wrapping_sub(1);
        let next_set = None;
        links.push(Link { header, next_set });
    }
    let lowest = links.len().saturating_sub(1);
    for (index, link) in links.iter_mut().enumerate() {
        let next = link.header.height + 1;
        if index == lowest || changes.contains(&next) {
            let set = ledger::validators_at(store, chain, next)?;
            link.next_set = set.as_ref().map(EncodedSet::of);
        }
    }
    Ok(links)
}
