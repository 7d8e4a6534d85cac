//! What comes from clients and peers: transactions, consensus messages, questions of the API.
//! (`gossip` has the transactions of peers.)

use super::event::{Class, Peer};
use super::gossip::Topic;
use super::{Host, Node, NodeFault, Output};
use crate::application::{Application, TxError, VerifiedTx};
use crate::block::Block;
use crate::mempool::{Accepted, Admitted};
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
        host: &dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        // A client that has gone away does not get its answer, and that is all.
        match request {
            Request::Submit { tx, reply } => {
                let _ = reply.send(self.submit(now_ms, tx, host, outputs)?);
            }
            Request::Mempool { limit, reply } => {
                let txs = self.mempool.candidates(limit, usize::MAX);
                let _ = reply.send(txs.iter().map(|tx| pending(tx)).collect());
            }
            Request::Waiting { shown, reply } => {
                let _ = reply.send(self.mempool.overview(&shown));
            }
            Request::WaitingOf { ids, reply } => {
                let txs = ids.iter().filter_map(|id| self.mempool.get(id));
                let _ = reply.send(txs.map(Arc::clone).collect());
            }
            Request::Arrivals { since, reply } => {
                let _ = reply.send(self.arrivals.since(since));
            }
            Request::NextNonce { sender, reply } => {
                let _ = reply.send(self.mempool.next_nonce(&sender));
            }
            Request::Pending { id, reply } => {
                let _ = reply.send(self.mempool.get(&id).map(|tx| pending(tx)));
            }
            Request::Sibling { key, reply } => self.query_sibling(now_ms, key, reply, outputs),
        }
        Ok(())
    }

    /// A client's transaction, which was verified, goes to everybody if it is new.
    fn submit(
        &mut self,
        now_ms: u64,
        tx: Arc<VerifiedTx<A::Tx>>,
        host: &dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<Result<Admitted, TxError>, NodeFault> {
        self.verified.add(self.verified.key(&tx.raw), &tx);
        let accepted = self.admit(now_ms, Arc::clone(&tx), host)?;
        Ok(accepted.map(|accepted| {
            let is_new = accepted != Accepted::Known;
            if is_new {
                outputs.push(Output::Publish {
                    topic: Topic::Transaction,
                    bytes: tx.raw.clone(),
                });
            }
            Admitted { id: tx.id, is_new }
        }))
    }

    /// Contextual check and mempool. The store is asked last, and only about claims.
    pub(super) fn admit(
        &mut self,
        now_ms: u64,
        tx: Arc<VerifiedTx<A::Tx>>,
        host: &dyn Host,
    ) -> Result<Result<Accepted, TxError>, NodeFault> {
        let admission = match self.app.check(&tx) {
            Ok(admission) => admission,
            Err(error) => return Ok(Err(error)),
        };
        let is_known = self.mempool.get(&tx.id).is_some();
        if !is_known
            && !tx.claims.is_empty()
            && let Err(error) = self.app.check_claims(host, &tx)?
        {
            return Ok(Err(error));
        }
        let id = tx.id;
        let accepted = self.mempool.insert(now_ms, tx, admission);
        if let Ok(Accepted::New | Accepted::Replaced(_)) = accepted {
            self.arrivals.note(id);
        }
        Ok(accepted)
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
