//! The thread that verifies transactions: those of blocks, gossip and clients, many at once.
//!
//! Whatever has come while a batch was verified is the next batch. So a node that is asked little
//! answers at once, and one that is asked much verifies in large batches, which cost less for each
//! where the chain's proofs can be verified together. `Application::verify_all` uses the processors as
//! it sees fit; one thread here is enough to keep them busy.
//!
//! Verifying stands back: this thread, and with it those that `verify_all` starts from it, has a lower
//! priority than the chain's thread and the API's. When nothing waits it sleeps.

mod client;
mod figures;
mod queue;

pub(super) use client::Submission;
pub(super) use figures::VerifierFigures;
pub(super) use queue::{Answer, Done};

use super::clock::monotonic_ns;
use crate::application::{Application, TxError, Until};
use crate::hash::Hash;
use crate::mempool::Admitted;
use crate::node::{Checked, Verified, VerifyJob};
use client::Room;
use queue::{Batch, Queue};
use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use tokio::sync::oneshot;

/// How much the verifying threads stand back. A little: blocks that are voted for wait for them, and
/// other processes of the machine must not push them aside.
const NICE: i32 = 3;

/// Where answers to jobs and verified transactions go, and what tells the chain's thread of them.
pub(super) struct Chain<T> {
    pub done: Sender<Done<T>>,
    pub wake: Box<dyn Fn() + Send + Sync>,
}

/// Hands transactions to the thread, which ends with this.
pub(crate) struct Verifier<A: Application> {
    shared: Arc<Shared<A>>,
}

struct Shared<A: Application> {
    rules: A::Rules,
    verified: Arc<Verified<A::Tx>>,
    state: Mutex<State<A::Tx>>,
    waiting: Condvar,
    room: Room,
    chain: Chain<A::Tx>,
    figures: VerifierFigures,
}

struct State<T> {
    queue: Queue<T>,
    is_over: bool,
}

impl<A: Application> Verifier<A> {
    /// Starts the thread. It looks into `verified` before it verifies anything.
    pub(super) fn start(
        rules: A::Rules,
        verified: Arc<Verified<A::Tx>>,
        chain: Chain<A::Tx>,
        figures: VerifierFigures,
    ) -> io::Result<Self> {
        let state = State {
            queue: Queue::default(),
            is_over: false,
        };
        let shared = Arc::new(Shared {
            rules,
            verified,
            state: Mutex::new(state),
            waiting: Condvar::new(),
            room: Room::default(),
            chain,
            figures,
        });
        let own = Arc::clone(&shared);
        thread::Builder::new()
            .name("verifier".into())
            .spawn(move || own.run())?;
        Ok(Self { shared })
    }

    /// Takes in a job of the chain's thread. Its answer comes to the chain's receiver.
    pub(super) fn add(&self, job: VerifyJob) {
        let keys = job.txs.iter().map(|raw| self.shared.verified.key(raw));
        let keys: Vec<Hash> = keys.collect();
        self.shared.state().queue.add_job(job, keys);
        self.shared.waiting.notify_one();
    }

    /// Nobody waits for this job any more.
    pub(super) fn abandon(&self, job: u64) {
        self.shared.state().queue.abandon(job);
    }

    /// Verifies a client's transaction and has the chain take it in.
    pub(super) async fn submit(&self, raw: Vec<u8>) -> Result<Admitted, TxError> {
        let shared = &self.shared;
        let (reply, answer) = oneshot::channel();
        let Some(client) = shared.room.admit(raw.len(), reply) else {
            shared.figures.refused.inc();
            return Err(overloaded());
        };
        let key = shared.verified.key(&raw);
        match shared.verified.get(&key) {
            Some(tx) => shared.tell(Done {
                answers: Vec::new(),
                submissions: vec![Submission { tx, client }],
            }),
            None => {
                shared.state().queue.add_client(key, raw, client);
                shared.waiting.notify_one();
            }
        }
        let stopped = |_| TxError::new("UNAVAILABLE", "the chain stopped before it answered");
        answer.await.map_err(stopped)?
    }

    /// Transactions that wait or are being verified.
    pub(super) fn waiting(&self) -> usize {
        self.shared.state().queue.len()
    }
}

impl<A: Application> Drop for Verifier<A> {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.shared.waiting.notify_one();
    }
}

impl<A: Application> Shared<A> {
    fn state(&self) -> MutexGuard<'_, State<A::Tx>> {
        let state = self.state.lock();
        state.expect("nobody panics while holding the queue")
    }

    /// The chain hears it, if there is something and it has not stopped.
    fn tell(&self, done: Done<A::Tx>) {
        if !done.is_empty() && self.chain.done.send(done).is_ok() {
            (self.chain.wake)();
        }
    }

    fn run(&self) {
        stand_back();
        while let Some(batch) = self.next() {
            let started_ns = monotonic_ns();
            let checked = self.verify(&batch);
            let took_ns = monotonic_ns().saturating_sub(started_ns);
            self.figures.observe(checked.len(), took_ns);
            let mut state = self.state();
            let mut txs = batch.txs.into_iter();
            // The first that is not valid may be the last: those behind it have no result.
            let mut done = Done::default();
            for (checked, (key, _)) in checked.into_iter().zip(&mut txs) {
                state.queue.finish(&key, checked, &mut done);
            }
            state.queue.put_back(txs);
            drop(state);
            self.tell(done);
        }
    }

    /// Sleeps until there is something to do; `None` at the end.
    fn next(&self) -> Option<Batch> {
        let mut state = self.state();
        loop {
            if state.is_over {
                return None;
            }
            if let Some(batch) = state.queue.next_batch() {
                return Some(batch);
            }
            let woken = self.waiting.wait(state);
            state = woken.expect("nobody panics while holding the queue");
        }
    }

    fn verify(&self, batch: &Batch) -> Vec<Checked<A::Tx>> {
        // Another way may have brought it since it was asked for.
        let checked: Vec<Option<Checked<A::Tx>>> = batch
            .txs
            .iter()
            .map(|(key, _)| self.verified.get(key).map(Ok))
            .collect();
        let unknown = batch.txs.iter().zip(&checked);
        let unknown: Vec<&[u8]> = unknown
            .filter(|(_, known)| known.is_none())
            .map(|((_, raw), _)| raw.as_slice())
            .collect();
        let fresh = match unknown.is_empty() {
            true => Vec::new(),
            false => A::verify_all(&self.rules, &unknown, batch.until),
        };
        let is_whole = fresh.len() == unknown.len()
            || (batch.until == Until::FirstInvalid && matches!(fresh.last(), Some(Err(_))));
        assert!(is_whole, "verdicts end early at what is not valid only");
        let mut fresh = fresh.into_iter().map(|result| result.map(Arc::new));
        let filled = checked.into_iter();
        filled
            .map_while(|known| known.or_else(|| fresh.next()))
            .collect()
    }
}

/// Gives this thread, and those that it starts, a lower priority. Where that is refused they work all
/// the same, only not behind the others.
fn stand_back() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "threads that verify keep the priority of the others");
    }
}

/// What a client hears when too many are served already.
pub(super) fn overloaded() -> TxError {
    TxError::new("OVERLOADED", super::handle::BUSY)
}

#[cfg(test)]
mod tests;
