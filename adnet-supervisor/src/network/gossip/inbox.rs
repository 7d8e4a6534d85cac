//! Messages of a topic on their way to the worker: those that wait, and those that it is judging.
//!
//! The worker is given few at a time, so that a vote never stands behind a long row of
//! transactions in its ring. A message that has waited or has been under judgement for too long is
//! given up: the router forgets it after five heartbeats.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use adnet_common::node::{GossipId, Topic};

use super::{super::identity::PeerId, handle::Gossiped};

/// Waiting at most, and of them of one peer: whoever floods leaves room for others.
const fn waiting_max(topic: Topic) -> (usize, usize) {
    match topic {
        Topic::Transaction => (4_096, 1_024),
        Topic::Block => (64, 16),
    }
}
/// Bytes that wait at most.
const WAITING_BYTES_MAX: usize = 8 << 20;
/// Under judgement at most: what the worker verifies together, and what gathers meanwhile.
const JUDGED_MAX: usize = 128;
const JUDGED_BYTES_MAX: usize = 2 << 20;
/// The router keeps a message for five heartbeats of one second.
const PATIENCE: Duration = Duration::from_secs(4);

struct Waiting {
    since: Instant,
    message: Gossiped,
}

struct Judged {
    since: Instant,
    bytes: usize,
}

/// Invariant: the byte counts are the sums over their collections.
pub struct Inbox {
    topic: Topic,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// Waiting messages by peer; nobody has none.
    of_peer: BTreeMap<PeerId, usize>,
    judged: BTreeMap<GossipId, Judged>,
    judged_bytes: usize,
}

impl Inbox {
    pub fn new(topic: Topic) -> Self {
        Self {
            topic,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            of_peer: BTreeMap::new(),
            judged: BTreeMap::new(),
            judged_bytes: 0,
        }
    }

    /// Takes a message in, or gives it back if there is no room.
    pub fn push(&mut self, message: Gossiped, now: Instant) -> Result<(), Gossiped> {
        let (max, of_peer_max) = waiting_max(self.topic);
        let bytes = message.bytes.len();
        let of_peer = self.of_peer.get(&message.peer).copied().unwrap_or(0);
        if self.waiting.len() >= max
            || of_peer >= of_peer_max
            || self.waiting_bytes + bytes > WAITING_BYTES_MAX
        {
            return Err(message);
        }
        self.of_peer.insert(message.peer, of_peer + 1);
        self.waiting_bytes += bytes;
        let since = now;
        self.waiting.push_back(Waiting { since, message });
        Ok(())
    }

    /// The next message for the worker, if it may have one more.
    pub fn pop(&mut self, now: Instant) -> Option<Gossiped> {
        if self.judged.len() >= JUDGED_MAX || self.judged_bytes >= JUDGED_BYTES_MAX {
            return None;
        }
        let Waiting { message, .. } = self.waiting.pop_front()?;
        let bytes = message.bytes.len();
        self.waiting_bytes -= bytes;
        leave(&mut self.of_peer, &message.peer);
        self.settle(&message.id); // never twice
        self.judged_bytes += bytes;
        let since = now;
        self.judged.insert(message.id, Judged { since, bytes });
        Some(message)
    }

    /// The worker has given its verdict.
    pub fn settle(&mut self, id: &GossipId) {
        if let Some(judged) = self.judged.remove(id) {
            self.judged_bytes -= judged.bytes;
        }
    }

    /// Gives up what is too old: returns what has waited in vain, and waits no longer for verdicts
    /// that a dead worker, for instance, will never give.
    pub fn expire(&mut self, now: Instant) -> Vec<Gossiped> {
        let is_old = |since: Instant| now.saturating_duration_since(since) >= PATIENCE;
        let mut given_up = Vec::new();
        let is_front_old = |waiting: &VecDeque<Waiting>| {
            let front = waiting.front();
            front.is_some_and(|waiting| is_old(waiting.since))
        };
        while is_front_old(&self.waiting) {
            let waiting = self.waiting.pop_front().expect("there is a front");
            self.waiting_bytes -= waiting.message.bytes.len();
            leave(&mut self.of_peer, &waiting.message.peer);
            given_up.push(waiting.message);
        }
        let judged_bytes = &mut self.judged_bytes;
        self.judged.retain(|_, judged| {
            let is_kept = !is_old(judged.since);
            *judged_bytes -= if is_kept { 0 } else { judged.bytes };
            is_kept
        });
        given_up
    }
}

/// One message of this peer waits no longer.
fn leave(of_peer: &mut BTreeMap<PeerId, usize>, peer: &PeerId) {
    let waiting = of_peer.get_mut(peer).expect("it was counted as it came");
    *waiting -= 1;
    if *waiting == 0 {
        of_peer.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adnet_common::chain_id::ChainId;

    fn message(topic: Topic, n: u32, bytes: usize) -> Gossiped {
        let mut id = [topic as u8; 20];
        id[..4].copy_from_slice(&n.to_be_bytes());
        Gossiped {
            chain: ChainId::Alpha,
            peer: [(n / 512) as u8; 32],
            topic,
            id,
            bytes: vec![0; bytes],
        }
    }

    #[test]
    fn the_worker_gets_few_at_a_time() {
        let (mut inbox, now) = (Inbox::new(Topic::Transaction), Instant::now());
        // Of several peers, each within its share.
        for n in 0..JUDGED_MAX as u32 + 10 {
            let message = Gossiped {
                peer: [(n / 10) as u8; 32],
                ..message(Topic::Transaction, n, 10)
            };
            inbox.push(message, now).unwrap();
        }
        let given: Vec<_> = std::iter::from_fn(|| inbox.pop(now)).collect();
        assert_eq!(given.len(), JUDGED_MAX);
        inbox.settle(&given[5].id);
        inbox.settle(&given[5].id); // twice is once
        assert!(inbox.pop(now).is_some() && inbox.pop(now).is_none());
    }

    #[test]
    fn what_does_not_fit_is_given_back() {
        let now = Instant::now();
        for topic in Topic::ALL {
            let mut inbox = Inbox::new(topic);
            // Of several peers, each within its share.
            let taken = (0..10_000).filter(|n| {
                let peer = [(n / 10) as u8; 32];
                let message = Gossiped {
                    peer,
                    ..message(topic, *n, 10)
                };
                inbox.push(message, now).is_ok()
            });
            assert_eq!(taken.count(), waiting_max(topic).0);
        }
        let mut inbox = Inbox::new(Topic::Transaction);
        let taken = (0..).take_while(|n| {
            let message = message(Topic::Transaction, *n, 1 << 18);
            inbox.push(message, now).is_ok()
        });
        assert_eq!(taken.count(), WAITING_BYTES_MAX >> 18);
    }

    #[test]
    fn a_peer_that_floods_leaves_room_for_others() {
        let (mut inbox, now) = (Inbox::new(Topic::Transaction), Instant::now());
        let flood = |inbox: &mut Inbox, n| {
            let peer = [9; 32];
            let message = Gossiped {
                peer,
                ..message(Topic::Transaction, n, 10)
            };
            inbox.push(message, now).is_ok()
        };
        let taken = (0..5_000).filter(|n| flood(&mut inbox, *n)).count();
        assert_eq!(taken, waiting_max(Topic::Transaction).1);
        let others = message(Topic::Transaction, 10_000, 10); // of another peer
        assert!(inbox.push(others, now).is_ok());
        assert!(inbox.pop(now).is_some());
        assert!(flood(&mut inbox, 5_001));
    }

    #[test]
    fn a_worker_that_says_nothing_holds_nothing_for_ever() {
        let (mut inbox, now) = (Inbox::new(Topic::Transaction), Instant::now());
        for n in 0..=JUDGED_MAX as u32 {
            inbox.push(message(Topic::Transaction, n, 10), now).unwrap();
        }
        while inbox.pop(now).is_some() {}
        assert!(inbox.expire(now + PATIENCE / 2).is_empty());
        let late = now + PATIENCE;
        let given_up = inbox.expire(late);
        assert_eq!(given_up.len(), 1, "the one that waited");
        assert_eq!((inbox.waiting_bytes, inbox.judged_bytes), (0, 0));
        assert!(inbox.of_peer.is_empty());
        inbox
            .push(message(Topic::Transaction, 9, 10), late)
            .unwrap();
        assert!(inbox.pop(late).is_some());
    }
}
