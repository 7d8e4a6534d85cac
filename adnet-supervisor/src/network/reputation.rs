//! What peers have done to us: scores that recover with time, bans that expire.
//!
//! One book for both chains, because a key that misbehaves on one is not trusted on the other. A
//! score is zero or below: offences lower it, and it halves its distance to zero every
//! [`HALF_LIFE_MS`]. At [`BAN_SCORE`] the peer is banned, each time for twice as long as before. (The
//! half-life and the threshold are those of Lighthouse.) Time comes in as milliseconds since 1970, so
//! that bans can be kept over a restart.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use adnet_common::node::Fault;

use super::identity::PeerId;

/// A score at or below this means a ban.
pub const BAN_SCORE: f64 = -50.0;
const HALF_LIFE_MS: f64 = 600_000.0;
/// How long the first ban lasts, and the longest.
const BAN_MIN_MS: u64 = 60 * 60 * 1000;
const BAN_MAX_MS: u64 = 7 * 24 * BAN_MIN_MS;
/// Peers that are remembered at most. Keys cost nothing, so whoever makes many must not cost us
/// more than this; the least of the offenders is forgotten first.
const PEERS_MAX: usize = 4096;
/// A score nearer to zero than this is forgotten, unless a ban stands.
const FORGOTTEN: f64 = 0.5;

/// What a peer did that no honest node does, or does rarely.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Offence {
    /// A block or certificate that is not what was asked for, or does not verify.
    BadBlock,
    /// Bytes of a message that do not decode.
    Garbage,
    /// A transaction that no honest node passes on.
    BadTransaction,
    /// Streams or frames used against the protocol.
    Protocol,
    /// A request that was not answered in time.
    Silence,
    /// More messages than its share, after having been slowed down.
    Flood,
}

impl From<Fault> for Offence {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Garbage => Offence::Garbage,
            Fault::BadTransaction => Offence::BadTransaction,
            Fault::BadBlock => Offence::BadBlock,
        }
    }
}

impl Offence {
    /// How much the score falls.
    const fn weight(self) -> f64 {
        match self {
            Offence::BadBlock => 50.0,
            Offence::Protocol => 25.0,
            Offence::Garbage => 20.0,
            Offence::BadTransaction => 10.0,
            Offence::Flood => 5.0,
            Offence::Silence => 2.0,
        }
    }

    /// The offence in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Offence::BadBlock => "bad_block",
            Offence::Garbage => "garbage",
            Offence::BadTransaction => "bad_transaction",
            Offence::Protocol => "protocol",
            Offence::Silence => "silence",
            Offence::Flood => "flood",
        }
    }
}

/// What we hold of one peer.
#[derive(Copy, Clone, Debug, PartialEq)]
struct Record {
    score: f64,
    at_ms: u64,
    banned_until_ms: u64,
    /// Bans so far; each doubles the next.
    bans: u32,
}

impl Record {
    fn score_at(&self, now_ms: u64) -> f64 {
        let passed_ms = now_ms.saturating_sub(self.at_ms) as f64;
        self.score * (-passed_ms / HALF_LIFE_MS).exp2()
    }

    fn is_forgotten(&self, now_ms: u64) -> bool {
        self.banned_until_ms <= now_ms && self.score_at(now_ms) > -FORGOTTEN
    }
}

/// A ban as it is kept over a restart.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    pub peer: PeerId,
    pub until_ms: u64,
    /// How many bans this peer has had, this one included.
    pub count: u32,
}

/// The book. Locks are short and never held over a wait.
#[derive(Default)]
pub struct Reputation {
    records: Mutex<BTreeMap<PeerId, Record>>,
}

impl Reputation {
    /// Enters an offence. `Some` if it led to a ban that did not stand before.
    pub fn blame(&self, peer: &PeerId, offence: Offence, now_ms: u64) -> Option<Ban> {
        let mut records = self.lock();
        if !records.contains_key(peer) && records.len() >= PEERS_MAX {
            make_room(&mut records, now_ms);
        }
        let record = records.entry(*peer).or_insert(Record {
            score: 0.0,
            at_ms: now_ms,
            banned_until_ms: 0,
            bans: 0,
        });
        record.score = record.score_at(now_ms) - offence.weight();
        record.at_ms = record.at_ms.max(now_ms);
        if record.score > BAN_SCORE || record.banned_until_ms > now_ms {
            return None;
        }
        let length_ms = BAN_MIN_MS << record.bans.min(16);
        record.banned_until_ms = now_ms.saturating_add(length_ms.min(BAN_MAX_MS));
        record.bans = record.bans.saturating_add(1);
        Some(Ban {
            peer: *peer,
            until_ms: record.banned_until_ms,
            count: record.bans,
        })
    }

    /// Zero for a peer without blame.
    pub fn score(&self, peer: &PeerId, now_ms: u64) -> f64 {
        let records = self.lock();
        let record = records.get(peer);
        record.map_or(0.0, |record| record.score_at(now_ms))
    }

    /// Until when the peer is banned, in milliseconds since 1970; `None` if it is not.
    pub fn banned_until_ms(&self, peer: &PeerId, now_ms: u64) -> Option<u64> {
        let records = self.lock();
        let until_ms = records.get(peer)?.banned_until_ms;
        (until_ms > now_ms).then_some(until_ms)
    }

    /// Enters a ban that an earlier run has written down.
    pub fn restore(&self, ban: Ban, now_ms: u64) {
        let mut records = self.lock();
        if records.len() < PEERS_MAX {
            records.insert(
                ban.peer,
                Record {
                    score: 0.0,
                    at_ms: now_ms,
                    banned_until_ms: ban.until_ms,
                    bans: ban.count,
                },
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PeerId, Record>> {
        self.records.lock().expect("no code panics under this lock")
    }
}

/// Forgets whom time has cleared, and if that is nobody, the peer with the least blame.
fn make_room(records: &mut BTreeMap<PeerId, Record>, now_ms: u64) {
    let before = records.len();
    records.retain(|_, record| !record.is_forgotten(now_ms));
    if records.len() < before {
        return;
    }
    let blame = |record: &Record| (record.banned_until_ms, -record.score_at(now_ms));
    let least = records
        .iter()
        .min_by(|(_, a), (_, b)| blame(a).partial_cmp(&blame(b)).expect("scores are numbers"))
        .map(|(peer, _)| *peer);
    if let Some(peer) = least {
        records.remove(&peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    #[test]
    fn offences_add_up_to_a_ban_that_expires() {
        let book = Reputation::default();
        let peer = [1; 32];
        for _ in 0..4 {
            assert_eq!(book.blame(&peer, Offence::BadTransaction, 1_000), None);
        }
        assert_eq!(book.score(&peer, 1_000), -40.0);
        let ban = book.blame(&peer, Offence::BadTransaction, 1_000).unwrap();
        assert_eq!(ban.until_ms, 1_000 + HOUR_MS);
        assert_eq!(book.banned_until_ms(&peer, 1_000), Some(ban.until_ms));
        assert_eq!(book.banned_until_ms(&peer, ban.until_ms), None);
        // The second ban lasts twice as long.
        let later_ms = ban.until_ms + 1;
        let second = book.blame(&peer, Offence::BadBlock, later_ms).unwrap();
        assert_eq!(second.until_ms, later_ms + 2 * HOUR_MS);
        assert_eq!(second.count, 2);
    }

    #[test]
    fn a_score_recovers_by_half_in_its_half_life() {
        let book = Reputation::default();
        let peer = [2; 32];
        book.blame(&peer, Offence::Garbage, 0);
        assert_eq!(book.score(&peer, 600_000), -10.0);
        assert_eq!(book.score(&peer, 1_200_000), -5.0);
        // A clock that goes back forgives nothing and breaks nothing.
        book.blame(&peer, Offence::Silence, 600_000);
        assert_eq!(book.score(&peer, 0), -12.0);
    }

    #[test]
    fn keys_without_number_cost_a_bounded_memory_and_clear_nobody_who_did_worse() {
        let book = Reputation::default();
        let (worst, now_ms) = ([0xff; 32], 5_000);
        book.blame(&worst, Offence::BadBlock, now_ms);
        for n in 0..2 * PEERS_MAX as u32 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&n.to_be_bytes());
            book.blame(&key, Offence::Silence, now_ms);
        }
        assert!(book.lock().len() <= PEERS_MAX);
        assert!(book.banned_until_ms(&worst, now_ms).is_some());
    }

    #[test]
    fn a_ban_is_kept_over_a_restart() {
        let ban = Reputation::default().blame(&[3; 32], Offence::BadBlock, 7);
        let ban = ban.unwrap();
        let book = Reputation::default();
        book.restore(ban, 8);
        assert_eq!(book.banned_until_ms(&[3; 32], 8), Some(ban.until_ms));
        let again = book.blame(&[3; 32], Offence::BadBlock, ban.until_ms);
        assert_eq!(again.unwrap().count, 2);
    }
}
