//! The store and the signer at the other end of a link: synchronous requests with answers.
//!
//! One request is open at a time. Answers to requests of an earlier life have other ids and are
//! dropped. The supervisor answers or dies, and with it we die; the timeout is for its bugs.

use super::link::{LinkError, Received, Receiver, Sender};
use crate::chain_id::ChainId;
use crate::consensus::{SignError, SignRequest, Signer, WalEntry};
use crate::messages::{
    AppendMsg, CommitMsg, DoneMsg, Failure, GetMsg, GotMsg, Message, PageMsg, RestoreMsg, ScanMsg,
    SignMsg, SignedMsg, SyncMsg, WalMsg,
};
use crate::store::{CommitBatch, Family, Page, ReadStore, RestoreBatch, Scan, StoreError, Write};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(30);

/// See the module. Callers on several threads take turns.
pub struct Remote {
    chain: ChainId,
    ends: Mutex<Ends>,
}

struct Ends {
    requests: Sender,
    answers: Receiver,
    last_id: u64,
    /// What to do, and how often, while an answer does not come.
    while_waiting: Option<(Duration, Box<dyn Fn() + Send>)>,
}

impl Remote {
    /// `incarnation` counts the lives of this worker, so that no request id is used twice.
    pub fn new(chain: ChainId, requests: Sender, answers: Receiver, incarnation: u32) -> Self {
        let last_id = u64::from(incarnation) << 32;
        let ends = Mutex::new(Ends {
            requests,
            answers,
            last_id,
            while_waiting: None,
        });
        Self { chain, ends }
    }

    /// Calls `turn` every so often while an answer is waited for, so that who waits for a slow disk
    /// is not taken for one that hangs.
    pub fn while_waiting(mut self, every: Duration, turn: impl Fn() + Send + 'static) -> Self {
        let ends = self.ends.get_mut().expect("nobody else has it yet");
        ends.while_waiting = Some((every, Box::new(turn)));
        self
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().expect("no request panics half-way")
    }

    fn done(&self, answer: DoneMsg) -> Result<(), StoreError> {
        answer.failure.map_or(Ok(()), |f| Err(self.store_error(f)))
    }

    fn store_error(&self, failure: Failure) -> StoreError {
        match failure.kind {
            1 => StoreError::Failed(format!(
                "a write was refused to {}: {}",
                self.chain, failure.text
            )),
            _ => StoreError::Failed(failure.text),
        }
    }
}

impl Ends {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Sends a request and waits for the answer that carries `id`.
    fn ask<Q: Message, A: Message>(
        &mut self,
        request: &Q,
        id: u64,
        id_of: impl Fn(&A) -> u64,
    ) -> Result<A, StoreError> {
        let unreachable = |e: LinkError| StoreError::Unreachable(e.to_string());
        self.requests.send(request, TIMEOUT).map_err(unreachable)?;
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let received = self
                .answers
                .receive(|r: Received<'_>| (r.kind == A::KIND).then(|| A::read(r.payload)));
            match received.map_err(unreachable)? {
                Some(Some(Ok(answer))) if id_of(&answer) == id => return Ok(answer),
                Some(_) => {} // of an earlier life
                None => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        let why = "no answer from the supervisor within 30 seconds";
                        return Err(StoreError::Unreachable(why.into()));
                    }
                    match &self.while_waiting {
                        Some((every, turn)) => {
                            self.answers.wait(left.min(*every));
                            turn();
                        }
                        None => {
                            self.answers.wait(left);
                        }
                    }
                }
            }
        }
    }
}

impl ReadStore for Remote {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut values = self.multi_get(family, &[key.to_vec()])?;
        Ok(values.pop().flatten())
    }

    fn multi_get(
        &self,
        family: Family,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut ends = self.ends();
        let id = ends.next_id();
        let (family, keys) = (family as u8, keys.to_vec());
        let asked = keys.len();
        let request = GetMsg { id, family, keys };
        let answer = ends.ask(&request, id, |a: &GotMsg| a.id)?;
        match answer.failure {
            Some(failure) => Err(self.store_error(failure)),
            None if answer.values.len() == asked => Ok(answer.values),
            None => Err(StoreError::Failed("an answer has too few values".into())),
        }
    }

    fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        let mut ends = self.ends();
        let id = ends.next_id();
        let request = ScanMsg {
            id,
            family: scan.family as u8,
            from: scan.from.clone(),
            to: scan.to.clone(),
            limit: scan.limit,
            reverse: scan.reverse,
        };
        let answer = ends.ask(&request, id, |a: &PageMsg| a.id)?;
        let PageMsg {
            entries,
            next,
            failure,
            ..
        } = answer;
        failure.map_or(Ok(Page { entries, next }), |f| Err(self.store_error(f)))
    }
}

impl Signer for Remote {
    fn sign(&mut self, wal: &[WalEntry], request: &SignRequest) -> Result<[u8; 64], SignError> {
        let mut ends = self.ends();
        let id = ends.next_id();
        let entry = |e: &WalEntry| WalMsg {
            height: e.height,
            index: e.index,
            bytes: e.bytes.clone(),
        };
        let message = SignMsg {
            id,
            wal: wal.iter().map(entry).collect(),
            height: request.height,
            round: request.round,
            step: request.step.as_byte(),
            value: request.value,
            pol_round: request.pol_round,
        };
        let answer = ends.ask(&message, id, |a: &SignedMsg| a.id);
        let unavailable = |why: String| SignError::Unavailable { why };
        let answer = answer.map_err(|e| unavailable(e.to_string()))?;
        match (answer.signature, answer.failure) {
            (Some(signature), None) => Ok(signature),
            (_, Some(f)) if f.kind == 2 => Err(SignError::Refused { why: f.text }),
            (_, Some(f)) => Err(unavailable(f.text)),
            (None, None) => Err(unavailable("the answer holds no signature".into())),
        }
    }
}

impl Remote {
    /// Has one block's batch applied, synced.
    pub fn commit(&mut self, batch: CommitBatch) -> Result<(), StoreError> {
        self.ask_to_commit(batch, true)
    }

    /// Has one block's batch applied, to be synced with what follows.
    pub fn commit_deferred(&mut self, batch: CommitBatch) -> Result<(), StoreError> {
        self.ask_to_commit(batch, false)
    }

    /// Has everything synced that was applied before.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        let mut ends = self.ends();
        let id = ends.next_id();
        let answer = ends.ask(&SyncMsg { id }, id, |a: &DoneMsg| a.id)?;
        drop(ends);
        self.done(answer)
    }

    fn ask_to_commit(&mut self, batch: CommitBatch, is_synced: bool) -> Result<(), StoreError> {
        let mut ends = self.ends();
        let id = ends.next_id();
        let CommitBatch { height, writes } = batch;
        let request = CommitMsg {
            id,
            height,
            is_synced,
            writes,
        };
        let answer = ends.ask(&request, id, |a: &DoneMsg| a.id)?;
        drop(ends);
        self.done(answer)
    }

    /// Has a part of a state stored that comes from peers.
    pub fn restore(&mut self, batch: RestoreBatch) -> Result<(), StoreError> {
        let mut ends = self.ends();
        let id = ends.next_id();
        let request = RestoreMsg {
            id,
            starts: batch.starts,
            writes: batch.writes,
            ends: batch.ends,
        };
        let answer = ends.ask(&request, id, |a: &DoneMsg| a.id)?;
        drop(ends);
        self.done(answer)
    }

    /// Has these writes appended to the chain's consensus family, not synced.
    pub fn append(&mut self, writes: Vec<Write>) -> Result<(), StoreError> {
        let mut ends = self.ends();
        let id = ends.next_id();
        let answer = ends.ask(&AppendMsg { id, writes }, id, |a: &DoneMsg| a.id)?;
        drop(ends);
        self.done(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adnet_shm::{Consumer, Producer, RingExpect, RingSpec, Segment, Side};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    const SCHEMA: [u8; 32] = [3; 32];

    fn ring(ring_id: u32) -> (Segment, Sender, Receiver) {
        let spec = RingSpec {
            name: format!("adnet-remotetest-{}-{ring_id}", std::process::id()),
            ring_id,
            capacity: 4096,
            schema_hash: SCHEMA,
            build_id: [0; 16],
        };
        let segment = Segment::create(&spec).expect("room in /dev/shm");
        let expect = RingExpect {
            ring_id,
            schema_hash: SCHEMA,
        };
        let (name, up, down) = (
            segment.name(),
            segment.epoch(Side::Producer),
            segment.epoch(Side::Consumer),
        );
        let sender = Sender::new(Producer::attach(name, &expect, up).expect("attach"));
        let receiver = Receiver::new(Consumer::attach(name, &expect, down).expect("attach"));
        (segment, sender, receiver)
    }

    #[test]
    fn a_slow_answer_is_waited_for_with_a_turn_every_so_often() {
        let (_up, requests, mut asked) = ring(1);
        let (_down, mut answering, answers) = ring(2);
        let turns = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&turns);
        let remote = Remote::new(ChainId::Alpha, requests, answers, 1);
        let mut remote = remote.while_waiting(Duration::from_millis(10), move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let seen = Arc::clone(&turns);
        let slow = thread::spawn(move || {
            let id = loop {
                let got = asked.receive(|r| AppendMsg::read(r.payload).expect("a request").id);
                match got.expect("the ring is sound") {
                    Some(id) => break id,
                    None => drop(asked.wait(Duration::from_millis(100))),
                }
            };
            // A disk that answers only after the waiting side has taken some turns.
            let deadline = Instant::now() + Duration::from_secs(10);
            while seen.load(Ordering::Relaxed) < 5 && Instant::now() < deadline {
                thread::yield_now();
            }
            let done = DoneMsg { id, failure: None };
            answering
                .send(&done, Duration::from_secs(1))
                .expect("room for an answer");
        });
        remote.append(Vec::new()).expect("the answer comes");
        slow.join().expect("no panic");
        assert!(turns.load(Ordering::Relaxed) >= 5);
    }
}
