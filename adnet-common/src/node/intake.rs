//! What comes from clients and peers: transactions, consensus messages, questions of the API.

use super::event::{Class, Peer};
use super::{Host, Node, NodeFault, Output};
use crate::application::{Application, TxError, VerifiedTx};
use crate::block::{Block, MAX_TX_BYTES};
use crate::mempool::Accepted;
use crate::worker::{PendingTx, Request};
use std::sync::Arc;

impl<A: Application> Node<A> {
    /// Whatever a peer sends: bytes that are wrong are dropped, they never stop the node.
    pub(super) fn on_network(
        &mut self,
        now_ms: u64,
        peer: Peer,
        class: Class,
        bytes: Vec<u8>,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        match class {
            Class::Consensus => self.on_consensus(now_ms, peer, bytes, host, outputs),
            Class::Body => match Block::decode(&bytes) {
                Ok(block) => self.on_body(now_ms, block, host, outputs),
                Err(_) => Ok(()),
            },
            Class::SyncRequest | Class::SyncResponse => {
                self.on_sync(now_ms, peer, &bytes, host, outputs)
            }
            Class::Transaction => {
                if bytes.len() <= MAX_TX_BYTES
                    && self.mempool.verified(&bytes).is_none()
                    && let Ok(tx) = A::verify(&self.rules, &bytes)
                {
                    // Peers get no answer: what is refused here is simply not passed on.
                    let _ = self.admit(now_ms, Arc::new(tx), outputs);
                }
                Ok(())
            }
        }
    }

    pub(super) fn on_request(
        &mut self,
        now_ms: u64,
        request: Request<A>,
        outputs: &mut Vec<Output<A>>,
    ) {
        // A client that has gone away does not get its answer, and that is all.
        match request {
            Request::Submit { tx, reply } => {
                let id = tx.id;
                let _ = reply.send(self.admit(now_ms, tx, outputs).map(|()| id));
            }
            Request::Mempool { limit, reply } => {
                let txs = self.mempool.candidates(limit, usize::MAX);
                let _ = reply.send(txs.iter().map(|tx| pending(tx)).collect());
            }
            Request::NextNonce { sender, reply } => {
                let _ = reply.send(self.mempool.next_nonce(&sender));
            }
            Request::Pending { id, reply } => {
                let _ = reply.send(self.mempool.get(&id).map(|tx| pending(tx)));
            }
            Request::Sibling { key, reply } => self.query_sibling(now_ms, key, reply, outputs),
        }
    }

    /// Contextual check, mempool, and on to the peers if it is new.
    fn admit(
        &mut self,
        now_ms: u64,
        tx: Arc<VerifiedTx<A::Tx>>,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), TxError> {
        let admission = self.app.check(&tx)?;
        match self.mempool.insert(now_ms, Arc::clone(&tx), admission)? {
            Accepted::Known => {}
            Accepted::New | Accepted::Replaced(_) => outputs.push(Output::Broadcast {
                class: Class::Transaction,
                bytes: tx.raw.clone(),
            }),
        }
        Ok(())
    }
}

fn pending<T>(tx: &VerifiedTx<T>) -> PendingTx {
    PendingTx {
        id: tx.id,
        raw: tx.raw.clone(),
        sender: tx.sender,
        nonce: tx.nonce,
    }
}
