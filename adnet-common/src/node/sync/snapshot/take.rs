//! What peers answer: proofs of a snapshot, headers below it, its block, pieces of its state.

use super::follow::{Refused, follow};
use super::history::{History, Link};
use super::{Target, Want};
use crate::application::Application;
use crate::attestation::FinalityProof;
use crate::block::Header;
use crate::ledger::{self, CommittedBlock};
use crate::node::event::{Host, NodeFault, Offence, Output, Peer};
use crate::node::{EVIDENCE_MAX_AGE_BLOCKS, Node};
use crate::restore::Restore;
use crate::store::{RestoreBatch, Write};

impl<A: Application> Node<A> {
    /// A peer proves its snapshot to us.
    pub(in crate::node::sync) fn on_proofs(
        &mut self,
        now_ms: u64,
        peer: Peer,
        from: u64,
        snapshot: u64,
        proofs: &[FinalityProof],
        outputs: &mut Vec<Output<A>>,
    ) {
        if self
            .take_want(&peer, |want| *want == Want::Proofs)
            .is_none()
        {
            return;
        }
        let sync = self.snapshot_sync.as_mut().expect("it has asked");
        let trusted = sync.trusted;
        if sync.target.is_some() || from != trusted.height {
            return; // Another was faster.
        }
        if proofs.is_empty() || sync.failed_offers.contains(&peer) {
            if snapshot == 0 {
                sync.none_ms.get_or_insert(now_ms);
                sync.none.insert(peer);
            }
            self.sync.peers.has_nothing_from(now_ms, &peer, from);
            return;
        }
        match follow(A::CHAIN, self.domain, &trusted, proofs) {
            Ok(last) => {
                self.sync.peers.answered(&peer);
                let leads_on = last.height > trusted.height;
                if leads_on {
                    sync.progressed(now_ms);
                }
                sync.trusted = last;
                let floor = snapshot.saturating_sub(EVIDENCE_MAX_AGE_BLOCKS).max(1);
                // The last block is above the snapshot only where the trusted one is.
                let is_there = snapshot > 1 && last.height >= snapshot;
                if is_there && last.height - floor <= 2 * EVIDENCE_MAX_AGE_BLOCKS {
                    tracing::info!(chain = %A::CHAIN, height = snapshot, "beginning with a snapshot");
                    sync.progressed(now_ms);
                    sync.target = Some(Target {
                        height: snapshot,
                        offered_by: peer,
                        is_begun: false,
                        history: History::new(A::CHAIN, (last.height, last.hash), floor),
                        state: None,
                        header: None,
                        block: None,
                    });
                } else if is_there || !leads_on {
                    self.sync.peers.has_nothing_from(now_ms, &peer, from);
                }
            }
            Err(Refused::OtherBlock) => {
                // Who of the two is wrong cannot be known here. If it is the configuration, the chain
                // that the validators have signed will show it (`NodeFault::NotTrusted`).
                tracing::warn!(chain = %A::CHAIN, %trusted, peer = hex::encode(peer), "a peer has another block at the trusted height");
                self.sync.peers.has_nothing_from(now_ms, &peer, from);
            }
            Err(Refused::Wrong(why)) => {
                tracing::warn!(chain = %A::CHAIN, why, "a peer cannot prove its snapshot");
                self.blame(now_ms, peer, Offence::BadBlock, outputs);
            }
        }
    }

    /// Headers have come.
    pub(in crate::node::sync) fn on_history(
        &mut self,
        now_ms: u64,
        peer: Peer,
        top: u64,
        links: Vec<Link>,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        if self
            .take_want(&peer, |want| *want == Want::History)
            .is_none()
        {
            return Ok(());
        }
        let sync = self.snapshot_sync.as_mut().expect("it has asked");
        let Some(target) = sync
            .target
            .as_mut()
            .filter(|t| t.history.wanted() == Some(top))
        else {
            return Ok(());
        };
        if links.is_empty() {
            self.sync.peers.has_nothing_from(now_ms, &peer, top);
            return Ok(());
        }
        let headers = match target.history.take(links) {
            Ok(headers) => headers,
            Err(error) => {
                tracing::warn!(chain = %A::CHAIN, %error, "a peer has sent wrong headers");
                self.blame(now_ms, peer, Offence::BadBlock, outputs);
                return Ok(());
            }
        };
        self.sync.peers.answered(&peer);
        let height = target.height;
        if let Some(header) = headers.iter().find(|header| header.height == height) {
            target.state = Some(A::Restore::new(height, header.state_root));
            target.header = Some(header.clone());
        }
        let below = headers.iter().filter(|header| header.height < height);
        let writes = below.map(|header| ledger::header_write(A::CHAIN, header));
        let writes = writes.collect();
        sync.progressed(now_ms);
        self.store_part(writes, host)
    }

    /// The block of the snapshot has come, if this is it. Any other answer to that request is not ours.
    pub(in crate::node::sync) fn on_snapshot_block(
        &mut self,
        now_ms: u64,
        peer: Peer,
        blocks: &[Vec<u8>],
    ) {
        if self.take_want(&peer, |want| *want == Want::Block).is_none() {
            return;
        }
        let sync = self.snapshot_sync.as_mut().expect("it has asked");
        let Some(target) = &mut sync.target else {
            return;
        };
        let hash = target.header.as_ref().map(Header::hash);
        let block = blocks
            .first()
            .and_then(|bytes| CommittedBlock::decode(bytes).ok());
        let block = block.filter(|block| Some(block.block.hash()) == hash);
        match block {
            Some(block) => target.block = Some((peer, block)),
            None => {
                let height = target.height;
                self.sync.peers.has_nothing_from(now_ms, &peer, height);
            }
        }
    }

    /// Pieces of the state have come.
    pub(in crate::node::sync) fn on_pieces(
        &mut self,
        now_ms: u64,
        peer: Peer,
        height: u64,
        pieces: Vec<(Vec<u8>, Vec<u8>)>,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let want = self.take_want(&peer, |want| matches!(want, Want::Pieces(_)));
        let Some(Want::Pieces(places)) = want else {
            return Ok(());
        };
        let sync = self.snapshot_sync.as_mut().expect("it has asked");
        let target = sync.target.as_mut().filter(|t| t.height == height);
        let Some(state) = target.and_then(|target| target.state.as_mut()) else {
            return Ok(());
        };
        let pieces = pieces.into_iter();
        let mut pieces = pieces
            .filter(|(place, _)| places.contains(place))
            .peekable();
        if pieces.peek().is_none() {
            self.sync.peers.has_nothing_from(now_ms, &peer, height);
            return Ok(());
        }
        let mut writes = Vec::new();
        for (place, piece) in pieces {
            match state.take(&place, &piece) {
                Ok(taken) => {
                    self.sync.figures.pieces += 1;
                    writes.extend(taken);
                }
                Err(error) => {
                    tracing::warn!(chain = %A::CHAIN, %error, peer = hex::encode(peer), "a peer has sent a wrong piece");
                    self.blame(now_ms, peer, Offence::BadBlock, outputs);
                    return self.store_part(writes, host);
                }
            }
        }
        self.sync.peers.answered(&peer);
        sync.progressed(now_ms);
        self.store_part(writes, host)
    }

    /// Writes what is proved. The first write of a snapshot clears what the chain had: its genesis, or
    /// parts of another snapshot.
    fn store_part(&mut self, writes: Vec<Write>, host: &mut dyn Host) -> Result<(), NodeFault> {
        let sync = self
            .snapshot_sync
            .as_mut()
            .expect("something of it has come");
        let Some(target) = &mut sync.target else {
            return Ok(());
        };
        let starts = !std::mem::replace(&mut target.is_begun, true);
        sync.has_begun = true;
        if starts || !writes.is_empty() {
            let ends = None;
            host.restore(RestoreBatch {
                starts,
                writes,
                ends,
            })?;
        }
        Ok(())
    }
}
