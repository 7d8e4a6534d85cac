//! The tables of the address book: new addresses, and those at which a peer has proved its key.
//!
//! Invariants:
//! - every entry stands in exactly one bucket of one table, and a bucket never exceeds its size;
//! - an address enters by [`Book::add`] only, which is called for what we have asked for;
//! - a full bucket of new addresses gives way only where an entry is hopeless, so telling us many
//!   addresses drives out none that works;
//! - a full bucket of tried addresses gives way only after its oldest entry has failed a test.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
};

use adnet_common::{chain_id::ChainId, keys::PublicKey};

use super::{
    buckets::{BUCKET_SIZE, NEW_BUCKETS, Placing, TRIED_BUCKETS},
    entry::Entry,
};
use crate::network::{discovery::Candidate, identity::PeerId};

/// Places of tried peers that are contested at a time.
const CONTESTS_MAX: usize = 16;
/// Records that have lied, at most so many are remembered.
const LIARS_MAX: usize = 1024;

/// A tried bucket is full: `newcomer` gets the place of `incumbent` if that fails a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Contest {
    newcomer: PeerId,
    incumbent: PeerId,
}

/// See the module. Time comes in as milliseconds since 1970.
pub struct Book {
    placing: Placing,
    entries: BTreeMap<PeerId, Entry>,
    new: Vec<Vec<PeerId>>,
    tried: Vec<Vec<PeerId>>,
    contests: VecDeque<Contest>,
    /// Records, by the number of their key, whose address turned out to be somebody else's.
    liars: VecDeque<[u8; 32]>,
    /// Changed since they were last written down, or gone.
    changed: BTreeSet<PeerId>,
}

impl Book {
    pub fn new(placing: Placing) -> Self {
        Self {
            placing,
            entries: BTreeMap::new(),
            new: vec![Vec::new(); NEW_BUCKETS],
            tried: vec![Vec::new(); TRIED_BUCKETS],
            contests: VecDeque::new(),
            liars: VecDeque::new(),
            changed: BTreeSet::new(),
        }
    }

    /// Takes in an entry of an earlier run. What finds no place is forgotten.
    pub fn restore(&mut self, entry: Entry) {
        let peer = entry.node.peer;
        let placed = match entry.is_tried {
            true => {
                let bucket = self.placing.tried_bucket(place_of(&entry.node));
                self.has_room(&self.tried[bucket], entry.node.ip)
                    .then(|| self.tried[bucket].push(peer))
            }
            false => {
                let bucket = self
                    .placing
                    .new_bucket(place_of(&entry.node), entry.node.ip);
                self.has_room(&self.new[bucket], entry.node.ip)
                    .then(|| self.new[bucket].push(peer))
            }
        };
        match placed {
            Some(()) => drop(self.entries.insert(peer, entry)),
            None => drop(self.changed.insert(peer)),
        }
    }

    /// Takes in an address that we have asked for, and that the node at `source` has told. True if
    /// the book holds it now.
    pub fn add(&mut self, candidate: &Candidate, source: IpAddr, now_ms: u64) -> bool {
        if self.liars.contains(&candidate.record_id) {
            return false;
        }
        if let Some(known) = self.entries.get_mut(&candidate.peer) {
            if known.node.seq >= candidate.seq {
                return true;
            }
            if place_of(candidate) == place_of(&known.node) {
                known.node = candidate.clone();
                self.changed.insert(candidate.peer);
                return true;
            }
            // Nobody has proved a thing at the new address; who the peer is stands.
            let fresh = Entry {
                validator: known.validator,
                ..Entry::new(candidate, known.added_ms)
            };
            self.remove(&candidate.peer);
            return self.add_new(fresh, source, now_ms);
        }
        self.add_new(Entry::new(candidate, now_ms), source, now_ms)
    }

    fn add_new(&mut self, entry: Entry, source: IpAddr, now_ms: u64) -> bool {
        let bucket = self.placing.new_bucket(place_of(&entry.node), source);
        self.make_room(bucket, entry.node.ip, now_ms);
        if !self.has_room(&self.new[bucket], entry.node.ip) {
            return false;
        }
        self.new[bucket].push(entry.node.peer);
        self.changed.insert(entry.node.peer);
        self.entries.insert(entry.node.peer, entry);
        true
    }

    /// A dial begins.
    pub fn attempted(&mut self, peer: &PeerId, chain: ChainId, now_ms: u64) {
        if let Some(entry) = self.change(peer) {
            entry.attempted(chain, now_ms);
        }
    }

    /// The peer has proved its key at its address.
    pub fn succeeded(&mut self, peer: &PeerId, now_ms: u64) {
        // An incumbent that stands its test keeps its place.
        self.contests.retain(|contest| contest.incumbent != *peer);
        let Some(entry) = self.change(peer) else {
            return;
        };
        entry.last_success_ms = now_ms.max(1);
        entry.failures = 0;
        if !entry.is_tried {
            self.promote(peer);
        }
    }

    /// The peer has proved its key at its address, and has no place for us.
    pub fn refused(&mut self, peer: &PeerId, now_ms: u64) {
        let failures = self.entries.get(peer).map_or(0, |entry| entry.failures);
        self.succeeded(peer, now_ms);
        if let Some(entry) = self.change(peer) {
            entry.failures = failures.saturating_add(1);
        }
    }

    /// Nobody answered there. While we are cut off ourselves that says nothing about a place that
    /// is contested.
    pub fn failed(&mut self, peer: &PeerId, is_online: bool) {
        let Some(entry) = self.change(peer) else {
            return;
        };
        entry.failures = entry.failures.saturating_add(1);
        if !is_online {
            return;
        }
        let is_lost = |contest: &Contest| contest.incumbent == *peer;
        if let Some(at) = self.contests.iter().position(is_lost) {
            let lost = self.contests.remove(at).expect("it was found there");
            self.remove(&lost.incumbent);
            self.promote(&lost.newcomer);
        }
    }

    /// Another key was presented at the address: whoever wrote the record has lied about it, and
    /// this record is not believed again. The owner of the expected key is not to blame.
    pub fn lied(&mut self, peer: &PeerId, record_id: [u8; 32]) {
        self.remove(peer);
        if self.liars.len() == LIARS_MAX {
            self.liars.pop_front();
        }
        self.liars.push_back(record_id);
    }

    /// The peer has proved to be the node of this validator.
    pub fn is_of_validator(&mut self, peer: &PeerId, key: PublicKey) {
        let is_known = |entry: &Entry| entry.validator == Some(key);
        if self.entries.get(peer).is_some_and(|entry| !is_known(entry))
            && let Some(entry) = self.change(peer)
        {
            entry.validator = Some(key);
        }
    }

    /// These, and no others, are dialled first after a restart.
    pub fn set_anchors(&mut self, chain: ChainId, anchors: &[PeerId]) {
        let bit = chain.as_byte();
        let stale = self
            .entries
            .values()
            .filter(|entry| (entry.anchor & bit != 0) != anchors.contains(&entry.node.peer));
        let stale: Vec<PeerId> = stale.map(|entry| entry.node.peer).collect();
        for peer in stale {
            if let Some(entry) = self.change(&peer) {
                entry.anchor ^= bit;
            }
        }
    }

    pub fn anchors(&self, chain: ChainId) -> Vec<PeerId> {
        let is_anchor = |entry: &&Entry| entry.anchor & chain.as_byte() != 0;
        self.entries
            .values()
            .filter(is_anchor)
            .map(|entry| entry.node.peer)
            .collect()
    }

    /// A tried peer whose place is contested, to be tested now.
    pub fn contested(&self, chain: ChainId, now_ms: u64) -> Option<&Entry> {
        let incumbents = self.contests.iter().map(|contest| contest.incumbent);
        incumbents
            .filter_map(|peer| self.entries.get(&peer))
            .find(|entry| entry.node.address(chain).is_some() && entry.is_due(chain, now_ms, None))
    }

    pub fn get(&self, peer: &PeerId) -> Option<&Entry> {
        self.entries.get(peer)
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The peers of each bucket of the new or of the tried ones.
    pub fn buckets(&self, tried: bool) -> impl Iterator<Item = impl Iterator<Item = &Entry>> {
        let buckets = if tried { &self.tried } else { &self.new };
        let entry = |peer: &PeerId| self.entries.get(peer).expect("buckets hold entries only");
        buckets.iter().map(move |bucket| bucket.iter().map(entry))
    }

    /// How many are new, and how many tried.
    pub fn count(&self) -> (usize, usize) {
        let tried: usize = self.tried.iter().map(Vec::len).sum();
        (self.entries.len() - tried, tried)
    }

    /// What is to be written down: peers with their entry, or with none where they are gone.
    pub fn take_changes(&mut self) -> Vec<(PeerId, Option<&Entry>)> {
        let changed = std::mem::take(&mut self.changed);
        let entry = |peer: PeerId| (peer, self.entries.get(&peer));
        changed.into_iter().map(entry).collect()
    }

    fn change(&mut self, peer: &PeerId) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(peer)?;
        self.changed.insert(*peer);
        Some(entry)
    }

    /// Moves an entry to the tried ones, or contests a place there.
    fn promote(&mut self, peer: &PeerId) {
        let Some(entry) = self.entries.get(peer) else {
            return;
        };
        let (ip, bucket) = (
            entry.node.ip,
            self.placing.tried_bucket(place_of(&entry.node)),
        );
        if self.has_room(&self.tried[bucket], ip) {
            for new in &mut self.new {
                new.retain(|other| other != peer);
            }
            self.tried[bucket].push(*peer);
            let entry = self.change(peer).expect("looked up above");
            entry.is_tried = true;
            return;
        }
        let is_contested = |peer: &PeerId| {
            let of = |c: &Contest| c.incumbent == *peer || c.newcomer == *peer;
            self.contests.iter().any(of)
        };
        if self.contests.len() >= CONTESTS_MAX || is_contested(peer) {
            return;
        }
        let same_host = |entry: &&Entry| self.placing.is_same_host(entry.node.ip, ip);
        let all = || self.tried[bucket].iter().map(|peer| &self.entries[peer]);
        let rivals: Vec<&Entry> = match all().find(same_host) {
            Some(rival) => vec![rival],
            None => all().collect(),
        };
        let oldest = rivals
            .into_iter()
            .filter(|rival| !is_contested(&rival.node.peer))
            .min_by_key(|rival| rival.last_success_ms);
        if let Some(incumbent) = oldest.map(|rival| rival.node.peer) {
            let newcomer = *peer;
            self.contests.push_back(Contest {
                newcomer,
                incumbent,
            });
        }
    }

    fn has_room(&self, bucket: &[PeerId], ip: IpAddr) -> bool {
        let is_there = |peer: &PeerId| self.placing.is_same_host(self.entries[peer].node.ip, ip);
        bucket.len() < BUCKET_SIZE && !bucket.iter().any(is_there)
    }

    /// Forgets one hopeless entry where that makes room for this address.
    fn make_room(&mut self, bucket: usize, ip: IpAddr, now_ms: u64) {
        if self.has_room(&self.new[bucket], ip) {
            return;
        }
        let entries = || self.new[bucket].iter().map(|peer| &self.entries[peer]);
        let mut in_the_way = entries().filter(|entry| self.placing.is_same_host(entry.node.ip, ip));
        let hopeless = match in_the_way.next() {
            Some(same) => Some(same).filter(|entry| entry.is_hopeless(now_ms)),
            None => entries().find(|entry| entry.is_hopeless(now_ms)),
        };
        if let Some(peer) = hopeless.map(|entry| entry.node.peer) {
            self.remove(&peer);
        }
    }

    fn remove(&mut self, peer: &PeerId) {
        if self.entries.remove(peer).is_none() {
            return;
        }
        for bucket in self.new.iter_mut().chain(&mut self.tried) {
            bucket.retain(|other| other != peer);
        }
        self.contests
            .retain(|c| c.newcomer != *peer && c.incumbent != *peer);
        self.changed.insert(*peer);
    }
}

/// What stands for the node's place: one of its endpoints.
fn place_of(node: &Candidate) -> SocketAddr {
    let port = node.alpha_port.or(node.delta_port).unwrap_or(0);
    SocketAddr::new(node.ip, port)
}
