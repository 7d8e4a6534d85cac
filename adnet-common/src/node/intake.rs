//! What comes from clients and peers: transactions, consensus messages, questions of the API.
//! (`gossip` has the transactions of peers.)

use super::event::{Class, Peer};
use super::gossip::Topic;
use super::{Host, Node, NodeFault, Output};
use crate::application::{Application, TxError, VerifiedTx};
use crate::block::Block;
use crate::hash::Hash;
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
                let _ = reply.send(self.submit(now_ms, tx, outputs));
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

    /// A client's transaction goes to everybody if it is new.
    fn submit(
        &mut self,
        now_ms: u64,
        tx: Arc<VerifiedTx<A::Tx>>,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<Hash, TxError> {
        match self.admit(now_ms, Arc::clone(&tx))? {
            Accepted::Known => {}
            Accepted::New | Accepted::Replaced(_) => outputs.push(Output::Publish {
                topic: Topic::Transaction,
                bytes: tx.raw.clone(),
            }),
        }
        Ok(tx.id)
    }

    /// Contextual check and mempool.
    pub(super) fn admit(
        &mut self,
        now_ms: u64,
        tx: Arc<VerifiedTx<A::Tx>>,
    ) -> Result<Accepted, TxError> {
        let admission = self.app.check(&tx)?;
        self.mempool.insert(now_ms, tx, admission)
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
