//! What the HTTP API of a chain may do: read the committed state, submit, ask the other chain.
//!
//! A handle is cheap to clone and usable from any thread. It never blocks the chain's thread:
//! a transaction is verified on the verifier's thread, together with what else waits there, and goes
//! from it to the chain's; questions come by a bounded queue.

use super::verifier::{Chain, Done, Verifier, VerifierFigures};
use crate::api::PeerReport;
use crate::application::{Application, TxError, VerifiedTx};
use crate::hash::Hash;
use crate::mempool::{Admitted, MempoolLimits, News, Overview, Shown};
use crate::node::Verified;
use crate::store::ReadStore;
use serde::Serialize;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, RwLock};
use tokio::sync::{oneshot, watch};

/// Where a chain stands, as of the last committed block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChainStatus {
    pub height: u64,
    pub block_hash: Hash,
    pub state_root: Hash,
    /// Scheduled time of the last block, in milliseconds since the UNIX epoch.
    pub block_time_ms: u64,
    pub block_interval_ms: u64,
    /// Heights of the other chain that our light client has verified; 0 before the first.
    pub sibling_height: u64,
    /// Sequence of the last attestation of the other chain that our state has consumed.
    pub last_consumed: u64,
    /// Attestations of the other chain that wait for a block.
    pub inbox_waiting: u64,
    pub mempool_txs: u64,
    pub mempool_bytes: u64,
}

/// A transaction that is in the mempool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingTx {
    pub id: Hash,
    pub raw: Vec<u8>,
    pub sender: [u8; 32],
    pub nonce: u64,
}

/// A verified value of the other chain's state at one of its heights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiblingValue {
    pub height: u64,
    pub value: Option<Vec<u8>>,
}

/// Why the other chain gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiblingError {
    #[error("the other chain does not answer: {0}")]
    Unavailable(&'static str),
    #[error("the other chain's answer is wrong: {0}")]
    Invalid(String),
}

/// What the API asks of the chain's thread.
pub enum Request<A: Application> {
    Submit {
        tx: Arc<VerifiedTx<A::Tx>>,
        reply: oneshot::Sender<Result<Admitted, TxError>>,
    },
    /// Transactions waiting in the mempool, at most `limit`.
    Mempool {
        limit: usize,
        reply: oneshot::Sender<Vec<PendingTx>>,
    },
    /// What waits, and some of it.
    Waiting {
        shown: Shown,
        reply: oneshot::Sender<Overview<A::Tx>>,
    },
    /// Those of these transactions that wait.
    WaitingOf {
        ids: Vec<Hash>,
        reply: oneshot::Sender<Vec<Arc<VerifiedTx<A::Tx>>>>,
    },
    /// What has come into the mempool from number `since` on.
    Arrivals {
        since: u64,
        reply: oneshot::Sender<News>,
    },
    /// The next nonce of a sender when its waiting transactions are counted in.
    NextNonce {
        sender: [u8; 32],
        reply: oneshot::Sender<Option<u64>>,
    },
    Pending {
        id: Hash,
        reply: oneshot::Sender<Option<PendingTx>>,
    },
    /// A key of the other chain's state, by state query over the attest ring.
    Sibling {
        key: Vec<u8>,
        reply: oneshot::Sender<Result<SiblingValue, SiblingError>>,
    },
}

/// The committed state as of one block.
pub struct Snapshot<A: Application> {
    pub status: ChainStatus,
    pub view: Arc<A::View>,
}

/// See the module.
pub struct ChainHandle<A: Application> {
    pub(crate) inner: Arc<Inner<A>>,
}

pub(crate) struct Inner<A: Application> {
    pub rules: A::Rules,
    pub verifier: Verifier<A>,
    pub requests: SyncSender<Request<A>>,
    /// Wakes the chain's thread after a request was queued.
    pub wake: Box<dyn Fn() + Send + Sync>,
    pub snapshot: RwLock<Arc<Snapshot<A>>>,
    pub reader: Arc<dyn ReadStore + Send + Sync>,
    pub heights: watch::Receiver<u64>,
    /// As the supervisor told last.
    pub peers: RwLock<Arc<Vec<PeerReport>>>,
}

impl<A: Application> Clone for ChainHandle<A> {
    fn clone(&self) -> Self {
        let inner = Arc::clone(&self.inner);
        Self { inner }
    }
}

impl<A: Application> ChainHandle<A> {
    /// A handle without a worker: whoever holds the receiver plays the chain's thread. For tests
    /// of the API's routes.
    pub fn detached(
        rules: A::Rules,
        snapshot: Snapshot<A>,
        reader: Arc<dyn ReadStore + Send + Sync>,
    ) -> (Self, std::sync::mpsc::Receiver<Request<A>>) {
        let (requests, receiver) = std::sync::mpsc::sync_channel(64);
        let (_, heights) = watch::channel(snapshot.status.height);
        let (done, submitted) = std::sync::mpsc::channel::<Done<A::Tx>>();
        let chain = Chain {
            done,
            wake: Box::new(|| {}),
        };
        let taken_in = requests.clone();
        std::thread::spawn(move || {
            for submission in submitted.into_iter().flat_map(|done| done.submissions) {
                let (tx, reply) = (submission.tx, submission.client.reply);
                let _ = taken_in.send(Request::Submit { tx, reply }); // the test may be over
            }
        });
        let nothing = MempoolLimits {
            max_txs: 0,
            max_bytes: 0,
            max_per_sender: 0,
            ttl_ms: 0,
        };
        let verified = Arc::new(Verified::new(Hash::ZERO, &nothing));
        let figures = VerifierFigures::new().expect("the names of figures are sound");
        let verifier = Verifier::start(rules.clone(), verified, chain, figures);
        let inner = Arc::new(Inner {
            rules,
            verifier: verifier.expect("a test may start a thread"),
            requests,
            wake: Box::new(|| {}),
            snapshot: RwLock::new(Arc::new(snapshot)),
            reader,
            heights,
            peers: RwLock::default(),
        });
        (Self { inner }, receiver)
    }
}

pub(super) const BUSY: &str = "the node is busy: send it again in a moment";

impl<A: Application> ChainHandle<A> {
    /// Verifies a signed transaction and puts it into the mempool. Answers with its id.
    ///
    /// Idempotent: a transaction that waits already is accepted again.
    ///
    /// # Errors
    /// `OVERLOADED` if too many are on their way, and whatever the chain has against it.
    pub async fn submit(&self, raw: Vec<u8>) -> Result<Admitted, TxError> {
        self.inner.verifier.submit(raw).await
    }

    /// Up to `limit` waiting transactions, best fee first.
    pub async fn mempool(&self, limit: usize) -> Option<Vec<PendingTx>> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Mempool { limit, reply }).ok()?;
        answer.await.ok()
    }

    /// What waits in the mempool, and some of it.
    pub async fn waiting(&self, shown: Shown) -> Option<Overview<A::Tx>> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Waiting { shown, reply }).ok()?;
        answer.await.ok()
    }

    /// Those of these transactions that wait in the mempool, in order.
    pub async fn waiting_of(&self, ids: Vec<Hash>) -> Option<Vec<Arc<VerifiedTx<A::Tx>>>> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::WaitingOf { ids, reply }).ok()?;
        answer.await.ok()
    }

    /// What has come into the mempool from number `since` on; `u64::MAX` asks for the next number.
    pub async fn arrivals(&self, since: u64) -> Option<News> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Arrivals { since, reply }).ok()?;
        answer.await.ok()
    }

    pub async fn pending(&self, id: Hash) -> Option<PendingTx> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Pending { id, reply }).ok()?;
        answer.await.ok().flatten()
    }

    /// The nonce after the sender's last waiting transaction, if it has any waiting.
    pub async fn next_nonce(&self, sender: [u8; 32]) -> Option<u64> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::NextNonce { sender, reply }).ok()?;
        answer.await.ok().flatten()
    }

    /// A value of the other chain's committed state, verified against a header that our light
    /// client holds for final.
    pub async fn sibling(&self, key: Vec<u8>) -> Result<SiblingValue, SiblingError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Sibling { key, reply })
            .map_err(|()| SiblingError::Unavailable(BUSY))?;
        let stopped = SiblingError::Unavailable("the chain stopped before it answered");
        answer.await.unwrap_or(Err(stopped))
    }

    /// The state after the last committed block.
    pub fn snapshot(&self) -> Arc<Snapshot<A>> {
        let guard = self.inner.snapshot.read();
        Arc::clone(&guard.expect("nobody panics while holding the snapshot"))
    }

    /// Who is linked, a second ago or less. Empty until the supervisor has told for the first time.
    pub fn peers(&self) -> Arc<Vec<PeerReport>> {
        let guard = self.inner.peers.read();
        Arc::clone(&guard.expect("nobody panics while holding the peers"))
    }

    pub fn rules(&self) -> &A::Rules {
        &self.inner.rules
    }

    /// Runs reads of the store on a thread that may block.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn ReadStore) -> T + Send + 'static,
    ) -> T {
        let reader = Arc::clone(&self.inner.reader);
        let done = tokio::task::spawn_blocking(move || work(&*reader)).await;
        done.expect("reads of the store do not panic")
    }

    /// Changes at each committed height.
    pub fn heights(&self) -> watch::Receiver<u64> {
        self.inner.heights.clone()
    }

    fn ask(&self, request: Request<A>) -> Result<(), ()> {
        match self.inner.requests.try_send(request) {
            Ok(()) => {
                (self.inner.wake)();
                Ok(())
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(()),
        }
    }
}
