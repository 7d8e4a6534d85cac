//! The peers that sync knows: what they claim, what they owe us, and how far they are believed.
//!
//! A peer's claim counts while it is fresh and the peer is not benched. Who does not answer in time,
//! or has nothing of what it claimed, is benched for a while, each time for twice as long; who sends
//! a bad range is distrusted for long. The table is bounded: keys cost nothing.

use super::bucket::Bucket;
use crate::node::event::Peer;
use std::collections::BTreeMap;

/// Peers that are known at most.
const PEERS_MAX: usize = 64;
/// A claim is forgotten after this silence: six statuses.
const CLAIM_TTL_MS: u64 = 30_000;
/// How long a request may take. The largest answer takes four seconds at 20 Mbit/s.
const REQUEST_TIMEOUT_MS: u64 = 5_000;
/// After this another peer is asked for the same range as well.
const ASK_ANOTHER_AFTER_MS: u64 = 1_500;
const BENCH_MIN_MS: u64 = 1_000;
const BENCH_MAX_MS: u64 = 600_000;
/// How long nothing is taken from a peer that has sent a bad range.
const DISTRUST_MS: u64 = 600_000;
/// How often a peer that is behind is told where we are.
const TELL_EVERY_MS: u64 = 250;
/// Ranges that are served to one peer.
const SERVED_PER_S: u64 = 20;
/// A link that was cut for a while may bring all at once what it has held back: twice the queue of a
/// link.
const SERVED_BURST: u64 = 128;
/// How often a flood is reported.
const FLOOD_EVERY_MS: u64 = 1_000;

/// A range that a peer was asked for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub from: u64,
    pub count: u64,
    pub at_ms: u64,
}

struct Record {
    height: u64,
    heard_ms: u64,
    asked: Option<Asked>,
    last_asked_ms: u64,
    /// Failures since its last good answer.
    strikes: u32,
    benched_until_ms: u64,
    is_distrusted: bool,
    told_ms: Option<u64>,
    served: Bucket,
    flood_ms: Option<u64>,
}

impl Record {
    fn new(now_ms: u64) -> Self {
        Self {
            height: 0,
            heard_ms: now_ms,
            asked: None,
            last_asked_ms: 0,
            strikes: 0,
            benched_until_ms: 0,
            is_distrusted: false,
            told_ms: None,
            served: Bucket::new(SERVED_PER_S, SERVED_BURST, now_ms),
            flood_ms: None,
        }
    }

    fn counts(&self, now_ms: u64) -> bool {
        self.benched_until_ms <= now_ms && now_ms < self.heard_ms.saturating_add(CLAIM_TTL_MS)
    }

    fn strike(&mut self, now_ms: u64) {
        let bench_ms = (BENCH_MIN_MS << self.strikes.min(16)).min(BENCH_MAX_MS);
        self.strikes = self.strikes.saturating_add(1);
        self.benched_until_ms = now_ms.saturating_add(bench_ms);
    }
}

/// Whether a peer may be served a range.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Share {
    Granted,
    /// Over its share.
    Over,
    /// Over its share, for the first time in a while.
    Flooding,
}

#[derive(Default)]
pub(super) struct Peers(BTreeMap<Peer, Record>);

impl Peers {
    /// A peer claims this height.
    pub fn heard(&mut self, now_ms: u64, peer: Peer, height: u64) {
        let record = self.record(now_ms, peer);
        record.height = height;
        record.heard_ms = now_ms;
    }

    fn record(&mut self, now_ms: u64, peer: Peer) -> &mut Record {
        if !self.0.contains_key(&peer) && self.0.len() >= PEERS_MAX {
            self.make_room(now_ms);
        }
        self.0.entry(peer).or_insert_with(|| Record::new(now_ms))
    }

    /// Forgets the peer that is missed least: one that owes us nothing, has no open judgement
    /// against it, and was heard of least recently.
    fn make_room(&mut self, now_ms: u64) {
        let rank = |r: &Record| (r.asked.is_some(), r.benched_until_ms > now_ms, r.heard_ms);
        let least = self.0.iter().min_by_key(|(_, record)| rank(record));
        if let Some(peer) = least.map(|(peer, _)| *peer) {
            self.0.remove(&peer);
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The highest claim that counts.
    pub fn best_height(&self, now_ms: u64) -> u64 {
        let counting = self.0.values().filter(|record| record.counts(now_ms));
        counting.map(|record| record.height).max().unwrap_or(0)
    }

    pub fn is_distrusted(&self, peer: &Peer, now_ms: u64) -> bool {
        let record = self.0.get(peer);
        record.is_some_and(|r| r.is_distrusted && r.benched_until_ms > now_ms)
    }

    /// How many peers could be asked for a block of `height` now.
    pub fn idle(&self, now_ms: u64, height: u64) -> usize {
        self.0
            .values()
            .filter(|r| can_serve(r, now_ms, height))
            .count()
    }

    /// Ranges that are on their way.
    pub fn open_requests(&self) -> usize {
        self.0.values().filter(|r| r.asked.is_some()).count()
    }

    /// The peer to ask for a range from `height` on, with its claim: the one with the fewest
    /// failures, and of these the one that was asked longest ago.
    pub fn choose(&self, now_ms: u64, height: u64) -> Option<(Peer, u64)> {
        let able = self.0.iter().filter(|(_, r)| can_serve(r, now_ms, height));
        let best = able.min_by_key(|(_, r)| (r.strikes, r.last_asked_ms));
        best.map(|(peer, record)| (*peer, record.height))
    }

    pub fn ask(&mut self, peer: &Peer, asked: Asked) {
        if let Some(record) = self.0.get_mut(peer) {
            record.asked = Some(asked);
            record.last_asked_ms = asked.at_ms;
        }
    }

    /// The ranges that no other peer needs to be asked for now.
    pub fn covered(&self, now_ms: u64) -> impl Iterator<Item = Asked> + '_ {
        let asked = self.0.values().filter_map(|record| record.asked);
        asked.filter(move |a| now_ms < a.at_ms.saturating_add(ASK_ANOTHER_AFTER_MS))
    }

    /// What this peer was asked for, if its answer begins there.
    pub fn take_asked(&mut self, peer: &Peer, from: u64) -> Option<Asked> {
        let asked = &mut self.0.get_mut(peer)?.asked;
        asked.take_if(|asked| asked.from == from)
    }

    /// Peers whose claims count now.
    pub fn counting(&self, now_ms: u64) -> impl Iterator<Item = Peer> + '_ {
        let counting = self.0.iter().filter(move |(_, r)| r.counts(now_ms));
        counting.map(|(peer, _)| *peer)
    }

    /// Lets everybody be asked again who has only had nothing, or was silent.
    pub fn forgive(&mut self, now_ms: u64) {
        for record in self.0.values_mut().filter(|r| !r.is_distrusted) {
            record.strikes = 0;
            record.benched_until_ms = record.benched_until_ms.min(now_ms);
        }
    }

    /// Whether an answer of this peer is awaited.
    pub fn is_asked(&self, peer: &Peer) -> bool {
        self.0
            .get(peer)
            .is_some_and(|record| record.asked.is_some())
    }

    /// The peer has answered what it was asked for.
    pub fn take_any(&mut self, peer: &Peer) {
        if let Some(record) = self.0.get_mut(peer) {
            record.asked = None;
        }
    }

    /// The peer has sent blocks in time.
    pub fn answered(&mut self, peer: &Peer) {
        if let Some(record) = self.0.get_mut(peer) {
            record.strikes = 0;
        }
    }

    /// The peer has nothing from this height on, whatever it has claimed, or does not serve us now.
    pub fn has_nothing_from(&mut self, now_ms: u64, peer: &Peer, height: u64) {
        if let Some(record) = self.0.get_mut(peer) {
            record.height = record.height.min(height.saturating_sub(1));
            record.strike(now_ms);
        }
    }

    pub fn distrust(&mut self, now_ms: u64, peer: Peer) {
        let record = self.record(now_ms, peer);
        record.asked = None;
        record.is_distrusted = true;
        record.benched_until_ms = now_ms.saturating_add(DISTRUST_MS);
    }

    /// Forgets old claims, and benches and returns the peers that have not answered in time.
    pub fn expire(&mut self, now_ms: u64) -> Vec<Peer> {
        let mut silent = Vec::new();
        for (peer, record) in &mut self.0 {
            let is_late = |a: &mut Asked| a.at_ms.saturating_add(REQUEST_TIMEOUT_MS) <= now_ms;
            if record.asked.take_if(is_late).is_some() {
                record.strike(now_ms);
                silent.push(*peer);
            }
        }
        self.0.retain(|_, record| {
            let is_fresh = now_ms < record.heard_ms.saturating_add(CLAIM_TTL_MS);
            is_fresh || record.asked.is_some() || record.benched_until_ms > now_ms
        });
        silent
    }

    /// When something here changes by itself.
    pub fn next_ms(&self, now_ms: u64) -> Option<u64> {
        let of = |record: &Record| {
            let asked = record.asked.map(|a| a.at_ms);
            let another = asked.map(|at| at.saturating_add(ASK_ANOTHER_AFTER_MS));
            let late = asked.map(|at| at.saturating_add(REQUEST_TIMEOUT_MS));
            let back = Some(record.benched_until_ms);
            [another, late, back].into_iter().flatten()
        };
        let all = self.0.values().flat_map(of);
        all.filter(|at| *at > now_ms).min()
    }

    /// Whether this peer, which is behind, is to be told now where we are.
    pub fn tell(&mut self, now_ms: u64, peer: &Peer) -> bool {
        let Some(record) = self.0.get_mut(peer) else {
            return false;
        };
        let told = record.told_ms;
        let is_due = told.is_none_or(|at| now_ms >= at.saturating_add(TELL_EVERY_MS));
        if is_due {
            record.told_ms = Some(now_ms);
        }
        is_due
    }

    /// Takes one range off the peer's share.
    pub fn share(&mut self, now_ms: u64, peer: Peer) -> Share {
        let record = self.record(now_ms, peer);
        if record.served.has_any(now_ms) {
            record.served.take(1);
            return Share::Granted;
        }
        let last = record.flood_ms;
        if last.is_some_and(|at| now_ms < at.saturating_add(FLOOD_EVERY_MS)) {
            return Share::Over;
        }
        record.flood_ms = Some(now_ms);
        Share::Flooding
    }
}

fn can_serve(record: &Record, now_ms: u64, height: u64) -> bool {
    record.counts(now_ms) && record.asked.is_none() && record.height >= height
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u32) -> Peer {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&n.to_be_bytes());
        key
    }

    fn asked(from: u64, at_ms: u64) -> Asked {
        let count = 8;
        Asked { from, count, at_ms }
    }

    #[test]
    fn strangers_without_number_cost_a_bounded_memory_and_displace_no_open_request() {
        let mut peers = Peers::default();
        peers.heard(0, peer(0), 100);
        peers.ask(&peer(0), asked(1, 0));
        (1..10_000).for_each(|n| peers.heard(1, peer(n), 5));
        assert_eq!(peers.len(), PEERS_MAX);
        assert!(peers.take_asked(&peer(0), 1).is_some());
    }

    #[test]
    fn a_silent_peer_is_benched_for_longer_each_time_and_its_claim_does_not_count() {
        let mut peers = Peers::default();
        let mut now_ms = 1_000;
        let mut benched_ms = Vec::new();
        for _ in 0..3 {
            peers.heard(now_ms, peer(1), 50);
            assert_eq!(peers.choose(now_ms, 10), Some((peer(1), 50)));
            peers.ask(&peer(1), asked(10, now_ms));
            assert_eq!(peers.choose(now_ms, 10), None);
            now_ms += REQUEST_TIMEOUT_MS;
            assert_eq!(peers.expire(now_ms), [peer(1)]);
            assert_eq!(peers.best_height(now_ms), 0);
            let back_ms = peers.next_ms(now_ms).expect("it comes back");
            benched_ms.push(back_ms - now_ms);
            now_ms = back_ms;
        }
        assert_eq!(benched_ms, [1_000, 2_000, 4_000]);
        peers.heard(now_ms, peer(1), 50);
        peers.ask(&peer(1), asked(10, now_ms));
        assert!(peers.take_asked(&peer(1), 11).is_none());
        assert!(peers.take_asked(&peer(1), 10).is_some());
        peers.answered(&peer(1));
        peers.has_nothing_from(now_ms, &peer(1), 18);
        assert_eq!(peers.next_ms(now_ms), Some(now_ms + BENCH_MIN_MS));
    }

    #[test]
    fn distrust_and_claims_expire() {
        let mut peers = Peers::default();
        peers.heard(0, peer(1), 9);
        peers.distrust(0, peer(1));
        assert!(peers.is_distrusted(&peer(1), DISTRUST_MS - 1));
        assert!(!peers.is_distrusted(&peer(1), DISTRUST_MS));
        peers.expire(DISTRUST_MS);
        assert_eq!(peers.len(), 0);
        peers.heard(0, peer(2), 9);
        assert_eq!(peers.best_height(CLAIM_TTL_MS - 1), 9);
        assert_eq!(peers.best_height(CLAIM_TTL_MS), 0);
    }

    #[test]
    fn a_peer_over_its_share_is_reported_once_a_second() {
        let mut peers = Peers::default();
        let shares: Vec<Share> = (0..2 * SERVED_BURST)
            .map(|_| peers.share(7, peer(1)))
            .collect();
        let count = |of| shares.iter().filter(|share| **share == of).count();
        assert_eq!(count(Share::Granted) as u64, SERVED_BURST);
        assert_eq!(count(Share::Flooding), 1);
        assert_eq!(peers.share(7, peer(2)), Share::Granted);
    }
}
