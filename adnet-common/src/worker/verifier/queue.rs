//! What waits to be verified, in which order it is taken, and who hears of it.
//!
//! Blocks of consensus go before everything else. Below them, the chain's blocks that are fetched, its
//! gossiped transactions and the transactions of clients take turns, so that none of them starves
//! another. Within each, jobs take turns transaction by transaction: a block full of worthless
//! transactions doubles the wait for another one, and no more.
//!
//! The same bytes are verified once, whoever asks for them and however often; what waits in a lane that
//! is served later moves forward with whoever is in more of a hurry. What nobody waits for any more, a
//! client that has gone away or a block that is known not to be valid, is not verified.
//!
//! Pure: no clock, no thread. Clients are bounded where they come in (`client`), jobs by the chain's
//! thread, which hands them out (`node/verifying.rs`).

use super::client::{Client, Submission};
use crate::application::{TxError, Until};
use crate::hash::Hash;
use crate::node::{Checked, Urgency, VerifyJob};
use std::collections::{BTreeMap, VecDeque};

/// Verified together: a block waits for the end of a batch at most, and larger batches are hardly
/// cheaper per transaction.
const BATCH_TXS_MAX: usize = 64;
const BATCH_OF_BLOCKS_TXS_MAX: usize = 128;
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Who waits for a transaction.
enum Asker {
    /// A job, and the place in it.
    Job(u64, usize),
    Client(Client),
}

/// The rows of the waiting. The number is the place among the lanes.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Consensus,
    Sync,
    Gossip,
    Clients,
}

const LANES: usize = 4;
/// Those that take turns.
const IN_TURN: [Lane; 3] = [Lane::Sync, Lane::Gossip, Lane::Clients];

struct Entry {
    /// Empty while it is being verified.
    raw: Vec<u8>,
    lane: Lane,
    is_running: bool,
    askers: Vec<Asker>,
}

/// A job as far as it is known. Ends with the first that is known not to be valid: it needs nothing
/// behind that.
struct Job<T> {
    checked: Vec<Option<Checked<T>>>,
    /// Results from the first on without a gap.
    known: usize,
}

impl<T> Job<T> {
    fn needs(&self, place: usize) -> bool {
        place < self.checked.len()
    }
}

/// An answer to a job.
pub struct Answer<T> {
    pub job: u64,
    pub checked: Vec<Checked<T>>,
}

/// What can be told once some transactions are verified.
pub struct Done<T> {
    pub answers: Vec<Answer<T>>,
    /// For the chain to take in.
    pub submissions: Vec<Submission<T>>,
}

impl<T> Default for Done<T> {
    fn default() -> Self {
        Self {
            answers: Vec::new(),
            submissions: Vec::new(),
        }
    }
}

impl<T> Done<T> {
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.submissions.is_empty()
    }
}

/// Transactions to be verified together.
pub struct Batch {
    /// With what they are found by.
    pub txs: Vec<(Hash, Vec<u8>)>,
    /// One of a block that is not valid makes the others of its block needless.
    pub until: Until,
}

/// See the module.
pub struct Queue<T> {
    entries: BTreeMap<Hash, Entry>,
    /// Rows of each lane; a row is a job's, and its turn comes again when the others had theirs. A
    /// transaction that has moved to another lane stays named in its old row.
    lanes: [VecDeque<VecDeque<Hash>>; LANES],
    turn: usize,
    jobs: BTreeMap<u64, Job<T>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            lanes: Default::default(),
            turn: 0,
            jobs: BTreeMap::new(),
        }
    }
}

impl<T> Queue<T> {
    /// Takes in a job, with what its transactions are found by.
    pub fn add_job(&mut self, job: VerifyJob, keys: Vec<Hash>) {
        let lane = match job.urgency {
            Urgency::Consensus => Lane::Consensus,
            Urgency::Sync => Lane::Sync,
            Urgency::Gossip => Lane::Gossip,
        };
        let mut row = VecDeque::with_capacity(keys.len());
        let checked = keys.iter().map(|_| None).collect();
        self.jobs.insert(job.id, Job { checked, known: 0 });
        for (place, (key, raw)) in keys.into_iter().zip(job.txs).enumerate() {
            self.ask(key, raw, lane, Asker::Job(job.id, place), &mut row);
        }
        self.lanes[lane as usize].push_back(row);
    }

    /// Lets a job go; what nobody else waits for is not verified.
    pub fn abandon(&mut self, job: u64) {
        self.jobs.remove(&job);
    }

    /// Takes in a client's transaction.
    pub fn add_client(&mut self, key: Hash, raw: Vec<u8>, client: Client) {
        let (lane, mut row) = (Lane::Clients, VecDeque::new());
        self.ask(key, raw, lane, Asker::Client(client), &mut row);
        self.lanes[lane as usize].push_back(row);
    }

    fn ask(&mut self, key: Hash, raw: Vec<u8>, lane: Lane, asker: Asker, row: &mut VecDeque<Hash>) {
        let is_new = !self.entries.contains_key(&key);
        let entry = self.entries.entry(key).or_insert_with(|| Entry {
            raw,
            lane,
            is_running: false,
            askers: Vec::new(),
        });
        entry.askers.push(asker);
        if is_new || (lane < entry.lane && !entry.is_running) {
            entry.lane = lane;
            row.push_back(key);
        }
    }

    /// Transactions that wait to be verified.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes what is to be verified next, or nothing if nothing waits.
    pub fn next_batch(&mut self) -> Option<Batch> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_OF_BLOCKS_TXS_MAX && bytes < BATCH_BYTES_MAX {
            let Some((key, raw)) = self.take(Lane::Consensus) else {
                break;
            };
            bytes += raw.len();
            batch.push((key, raw));
        }
        let mut in_vain = 0;
        // A batch for a block is for blocks alone: votes wait for it.
        let is_for_blocks = !batch.is_empty();
        while !is_for_blocks && batch.len() < BATCH_TXS_MAX && bytes < BATCH_BYTES_MAX {
            let lane = IN_TURN[self.turn % IN_TURN.len()];
            self.turn = self.turn.wrapping_add(1);
            match self.take(lane) {
                Some((key, raw)) => {
                    in_vain = 0;
                    bytes += raw.len();
                    batch.push((key, raw));
                }
                None => in_vain += 1,
            }
            if in_vain == IN_TURN.len() {
                break;
            }
        }
        let until = match is_for_blocks {
            true => Until::FirstInvalid,
            false => Until::End,
        };
        (!batch.is_empty()).then_some(Batch { txs: batch, until })
    }

    /// The next transaction of a lane that somebody still waits for.
    fn take(&mut self, lane: Lane) -> Option<(Hash, Vec<u8>)> {
        loop {
            let mut row = self.lanes[lane as usize].pop_front()?;
            let Some(key) = row.pop_front() else {
                continue;
            };
            if !row.is_empty() {
                self.lanes[lane as usize].push_back(row);
            }
            let Some(entry) = self.entries.get_mut(&key) else {
                continue; // it was verified by way of another lane
            };
            if entry.lane != lane || entry.is_running {
                continue;
            }
            let jobs = &self.jobs;
            let is_awaited = entry.askers.iter().any(|asker| match asker {
                Asker::Job(id, place) => jobs.get(id).is_some_and(|job| job.needs(*place)),
                Asker::Client(client) => !client.has_left(),
            });
            if !is_awaited {
                self.entries.remove(&key);
                continue;
            }
            entry.is_running = true;
            return Some((key, std::mem::take(&mut entry.raw)));
        }
    }

    /// Lets those of a batch for blocks that were not verified wait again, before all others.
    pub fn put_back(&mut self, txs: impl Iterator<Item = (Hash, Vec<u8>)>) {
        let mut row = VecDeque::new();
        for (key, raw) in txs {
            let entry = self.entries.get_mut(&key);
            let entry = entry.expect("it waits until it is finished");
            (entry.raw, entry.is_running) = (raw, false);
            row.push_back(key);
        }
        if !row.is_empty() {
            self.lanes[Lane::Consensus as usize].push_front(row);
        }
    }

    /// Takes in what came of a transaction of a batch: clients hear of one that is not valid; jobs that
    /// this has answered, and what the chain is to take in, are added to `done`.
    pub fn finish(&mut self, key: &Hash, checked: Checked<T>, done: &mut Done<T>) {
        let entry = self.entries.remove(key);
        let entry = entry.expect("it waits until it is finished");
        for asker in entry.askers {
            match (asker, copy(&checked)) {
                (Asker::Client(client), Ok(tx)) => done.submissions.push(Submission { tx, client }),
                (Asker::Client(client), Err(error)) => client.refuse(error),
                (Asker::Job(id, place), checked) => {
                    done.answers.extend(self.note(id, place, checked));
                }
            }
        }
    }

    /// Notes one result of a job, which may be its last, or the first that is not valid.
    fn note(&mut self, id: u64, place: usize, checked: Checked<T>) -> Option<Answer<T>> {
        let job = self.jobs.get_mut(&id).filter(|job| job.needs(place))?;
        if checked.is_err() {
            job.checked.truncate(place + 1);
        }
        job.checked[place] = Some(checked);
        let mut is_over = false;
        while !is_over && let Some(Some(checked)) = job.checked.get(job.known) {
            job.known += 1;
            is_over = checked.is_err();
        }
        if !is_over && job.known < job.checked.len() {
            return None;
        }
        let job = self.jobs.remove(&id).expect("seen above");
        let known = job.checked.into_iter().take(job.known);
        Some(Answer {
            job: id,
            checked: known.map(|c| c.expect("known without a gap")).collect(),
        })
    }
}

fn copy<T>(checked: &Checked<T>) -> Checked<T> {
    checked.as_ref().map(Clone::clone).map_err(TxError::clone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::Bid;
    use crate::application::VerifiedTx;
    use crate::mempool::Admitted;
    use crate::worker::verifier::client::Room;
    use std::sync::Arc;
    use tokio::sync::oneshot;

    type Heard = oneshot::Receiver<Result<Admitted, TxError>>;

    fn client() -> (Client, Heard) {
        let (reply, heard) = oneshot::channel();
        let client = Room::default().admit(100, reply);
        (client.expect("there is room"), heard)
    }

    fn finish(queue: &mut Queue<()>, name: u8, checked: Checked<()>) -> Vec<Answer<()>> {
        let mut done = Done::default();
        queue.finish(&key(name), checked, &mut done);
        assert!(done.submissions.is_empty(), "no client has asked");
        done.answers
    }

    fn key(name: u8) -> Hash {
        Hash([name; 32])
    }

    fn job(id: u64, urgency: Urgency, names: &[u8]) -> (VerifyJob, Vec<Hash>) {
        let txs = names.iter().map(|name| vec![*name; 100]).collect();
        let keys = names.iter().map(|name| key(*name)).collect();
        (VerifyJob { id, urgency, txs }, keys)
    }

    fn queue(jobs: &[(u64, Urgency, &[u8])]) -> Queue<()> {
        let mut queue = Queue::default();
        for (id, urgency, names) in jobs {
            let (job, keys) = job(*id, *urgency, names);
            queue.add_job(job, keys);
        }
        queue
    }

    fn names(batch: &Option<Batch>) -> Vec<u8> {
        let txs = batch.iter().flat_map(|batch| &batch.txs);
        txs.map(|(key, raw)| {
            assert!(raw.len() == 100 && raw[0] == key.0[0]);
            key.0[0]
        })
        .collect()
    }

    fn good(name: u8) -> Checked<()> {
        Ok(Arc::new(VerifiedTx {
            id: key(name),
            raw: vec![name],
            sender: [0; 32],
            nonce: 0,
            bid: Bid::flat(0),
            last_valid_height: 0,
            claims: Vec::new(),
            inner: (),
        }))
    }

    fn bad() -> Checked<()> {
        Err(TxError::new("BAD", "bad"))
    }

    #[test]
    fn blocks_of_consensus_go_first_and_the_rest_takes_turns() {
        let mut queue = queue(&[
            (1, Urgency::Gossip, &[1]),
            (2, Urgency::Gossip, &[2]),
            (3, Urgency::Sync, &[11, 12, 13]),
            (4, Urgency::Consensus, &[21, 22, 23]),
            (5, Urgency::Consensus, &[31, 32]),
        ]);
        let (client, _heard) = client();
        queue.add_client(key(41), vec![41; 100], client);
        assert_eq!(names(&queue.next_batch()), [21, 31, 22, 32, 23]);
        assert_eq!(names(&queue.next_batch()), [11, 1, 41, 12, 2, 13]);
        assert!(queue.next_batch().is_none());
    }

    #[test]
    fn the_same_bytes_are_verified_once_and_hurry_with_the_most_urgent() {
        let mut queue = queue(&[(1, Urgency::Gossip, &[1]), (2, Urgency::Gossip, &[2])]);
        let (first, mut heard) = client();
        queue.add_client(key(1), vec![1; 100], first);
        let (second, mut refused) = client();
        queue.add_client(key(2), vec![2; 100], second);
        let (job_3, keys) = job(3, Urgency::Consensus, &[1, 1, 7]);
        queue.add_job(job_3, keys);
        assert_eq!(names(&queue.next_batch()), [1, 7]);
        // While it is being verified, more may ask.
        let (job_4, keys) = job(4, Urgency::Consensus, &[1]);
        queue.add_job(job_4, keys);
        assert_eq!(names(&queue.next_batch()), [2]);
        let mut done = Done::default();
        queue.finish(&key(1), good(1), &mut done);
        let answered: Vec<u64> = done.answers.iter().map(|a| a.job).collect();
        assert_eq!(answered, [1, 4]);
        let [submission] = &done.submissions[..] else {
            panic!("one client has asked for it")
        };
        assert_eq!(submission.tx.id, key(1));
        assert!(heard.try_recv().is_err(), "the chain has not answered yet");
        let last = finish(&mut queue, 7, good(7));
        assert_eq!((last[0].job, last[0].checked.len()), (3, 3));
        assert_eq!(finish(&mut queue, 2, bad()).len(), 1);
        let refusal = refused.try_recv().expect("it was told");
        assert_eq!(refusal.map_err(|error| error.code), Err("BAD"));
        assert_eq!(queue.len(), 0);
        assert!(queue.next_batch().is_none());
    }

    #[test]
    fn the_first_that_is_not_valid_ends_a_job() {
        let many: Vec<u8> = (0..=255).collect();
        let mut queue = queue(&[(1, Urgency::Sync, &many)]);
        let batch = names(&queue.next_batch());
        assert_eq!(batch.len(), BATCH_TXS_MAX);
        let mut answers = Vec::new();
        for name in batch {
            let checked = if name == 5 { bad() } else { good(name) };
            answers.extend(finish(&mut queue, name, checked));
        }
        let [answer] = &answers[..] else {
            panic!("one answer")
        };
        assert_eq!(answer.checked.len(), 6);
        assert!(answer.checked[5].is_err() && answer.checked[..5].iter().all(Result::is_ok));
        assert!(queue.next_batch().is_none(), "nobody waits for the rest");
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn those_behind_a_bad_one_wait_again_unless_nobody_wants_them() {
        let urgency = Urgency::Consensus;
        let mut queue = queue(&[(1, urgency, &[1, 2, 3]), (2, urgency, &[11, 12, 13])]);
        queue.abandon(7); // nobody knows it
        let batch = queue.next_batch().expect("both");
        assert_eq!(batch.until, Until::FirstInvalid);
        let mut txs = batch.txs.into_iter();
        let results = [good(1), good(11), bad()];
        let answers: Vec<_> = results
            .into_iter()
            .zip(&mut txs)
            .flat_map(|(checked, (key, _))| finish(&mut queue, key.0[0], checked))
            .collect();
        assert_eq!((answers.len(), answers[0].job), (1, 1));
        queue.put_back(txs);
        // The third of the first block has nobody who waits for it any more.
        let batch = queue.next_batch();
        assert_eq!(names(&batch), [12, 13]);
        queue.abandon(2);
        queue.put_back(batch.expect("seen above").txs.into_iter());
        assert!(queue.next_batch().is_none());
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_job_needs_nothing_behind_a_bad_one_but_all_before_it() {
        let mut queue = queue(&[
            (1, Urgency::Sync, &[1, 2, 3, 4]),
            (2, Urgency::Consensus, &[3]),
            (3, Urgency::Gossip, &[11, 12, 13, 14]),
        ]);
        assert_eq!(names(&queue.next_batch()), [3]);
        let answers = finish(&mut queue, 3, bad());
        assert_eq!((answers.len(), answers[0].job), (1, 2));
        // The last of the first job is not verified.
        assert_eq!(names(&queue.next_batch()), [1, 11, 2, 12, 13, 14]);
        assert!(finish(&mut queue, 1, good(1)).is_empty());
        let answers = finish(&mut queue, 2, good(2));
        assert_eq!((answers.len(), answers[0].job), (1, 1));
        assert_eq!(answers[0].checked.len(), 3);
        // What comes all the same is nothing to the job, nor is a second bad one.
        assert!(finish(&mut queue, 13, bad()).is_empty());
        assert!(finish(&mut queue, 14, bad()).is_empty());
        assert!(finish(&mut queue, 11, good(11)).is_empty());
        let answers = finish(&mut queue, 12, bad());
        assert_eq!((answers[0].job, answers[0].checked.len()), (3, 2));
        assert!(queue.next_batch().is_none());
        assert_eq!((queue.len(), queue.jobs.len()), (0, 0));
    }

    #[test]
    fn clients_that_go_away_cost_nothing() {
        let mut queue = Queue::<()>::default();
        for name in 0..100 {
            let (client, _) = client();
            queue.add_client(key(name), vec![name; 100], client);
        }
        assert!(queue.next_batch().is_none());
        assert_eq!(queue.len(), 0);
    }
}
