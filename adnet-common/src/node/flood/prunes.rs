//! Which peers need no messages of which authors from us, and what we tell peers of that kind.
//!
//! Of each author whose messages come from several peers we keep one as the *supplier* and refuse the
//! others, so that never all are refused. When a message is news although it comes from a refused
//! peer, the supplier has failed: that peer takes its place. A refusal expires by itself as well.

use crate::consensus::VALIDATORS_MAX;
use crate::keys::PublicKey;
use crate::node::event::Peer;
use std::collections::{BTreeMap, BTreeSet};

const PEERS_MAX: usize = 256;
const PRUNE_MS: u64 = 20_000;

/// Authors, each with the time until which it holds.
type Authors = BTreeMap<PublicKey, u64>;

#[derive(Default)]
pub(super) struct Prunes {
    /// Until when a peer needs no message of an author from us.
    refused: BTreeMap<Peer, Authors>,
    /// Who brings us the messages of an author. Such a pair is in none of the next two.
    suppliers: BTreeMap<PublicKey, Peer>,
    /// Whom we have told, and until when, that we need no message of an author from it.
    told: BTreeMap<Peer, Authors>,
    /// What we will tell peers, beside what they know.
    gathered: BTreeMap<Peer, BTreeSet<PublicKey>>,
}

impl Prunes {
    /// A message of this author came from `first`, or is our own, and then from `second`. True if
    /// there is now something to tell, and there was nothing before.
    pub fn came_twice(&mut self, author: PublicKey, first: Option<Peer>, second: Peer) -> bool {
        let superfluous = match (self.suppliers.get(&author), first) {
            (Some(kept), Some(first)) if *kept == second => first,
            (Some(kept), Some(first)) if *kept == first => second,
            (_, Some(first)) => {
                self.supply(author, first);
                second
            }
            (_, None) => second,
        };
        let is_first = self.gathered.is_empty();
        if self.gathered.len() < PEERS_MAX || self.gathered.contains_key(&superfluous) {
            let authors = self.gathered.entry(superfluous).or_default();
            authors.insert(author);
        }
        is_first
    }

    /// A message of this author is news, and comes from `peer`. True if we had refused it, and that
    /// is to be taken back.
    pub fn is_news(&mut self, now_ms: u64, author: PublicKey, peer: Peer) -> bool {
        let told = self.told.get_mut(&peer).and_then(|of| of.remove(&author));
        let is_refused = told.is_some_and(|until_ms| until_ms > now_ms);
        if is_refused {
            self.supply(author, peer);
            self.gathered.entry(peer).or_default();
        }
        is_refused
    }

    fn supply(&mut self, author: PublicKey, peer: Peer) {
        if self.suppliers.len() >= VALIDATORS_MAX && !self.suppliers.contains_key(&author) {
            self.suppliers.clear(); // of validators of the past
        }
        self.suppliers.insert(author, peer);
        if let Some(gathered) = self.gathered.get_mut(&peer) {
            gathered.remove(&author);
        }
    }

    /// What peers are to be told now: each all that we refuse.
    pub fn take_gathered(&mut self, now_ms: u64) -> BTreeMap<Peer, BTreeSet<PublicKey>> {
        let gathered = std::mem::take(&mut self.gathered);
        let until_ms = now_ms.saturating_add(PRUNE_MS);
        let mut to_tell = BTreeMap::new();
        for (peer, authors) in gathered {
            if !has_room(&mut self.told, &peer, now_ms) {
                continue; // it goes on telling us twice
            }
            let told = self.told.entry(peer).or_default();
            told.retain(|_, until| *until > now_ms);
            told.extend(authors.into_iter().map(|author| (author, until_ms)));
            while told.len() > VALIDATORS_MAX {
                told.pop_first();
            }
            to_tell.insert(peer, told.keys().copied().collect());
        }
        to_tell
    }

    /// These, and no others, are the authors of whom a peer needs nothing from us. They are
    /// validators.
    pub fn on_prune(&mut self, now_ms: u64, peer: Peer, authors: Vec<PublicKey>) {
        if !has_room(&mut self.refused, &peer, now_ms) {
            return; // it gets some messages twice
        }
        let until_ms = now_ms.saturating_add(PRUNE_MS);
        let authors = authors.into_iter().take(VALIDATORS_MAX);
        let authors = authors.map(|author| (author, until_ms)).collect();
        self.refused.insert(peer, authors);
    }

    /// The peers that need no messages of this author.
    pub fn without(&self, now_ms: u64, author: &PublicKey) -> Vec<Peer> {
        let refuses = |of: &Authors| of.get(author).is_some_and(|u| *u > now_ms);
        let peers = self.refused.iter().filter(|(_, of)| refuses(of));
        peers.map(|(peer, _)| *peer).collect()
    }
}

/// Whether there is room for this peer, once what has expired is gone.
fn has_room(of: &mut BTreeMap<Peer, Authors>, peer: &Peer, now_ms: u64) -> bool {
    if of.len() >= PEERS_MAX && !of.contains_key(peer) {
        let in_force = |until: &u64| *until > now_ms;
        of.retain(|_, authors| authors.values().any(in_force));
    }
    of.len() < PEERS_MAX || of.contains_key(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PublicKey = PublicKey([1; 32]);
    const B: PublicKey = PublicKey([2; 32]);
    const US: PublicKey = PublicKey([3; 32]);
    const LEFT: Peer = [7; 32];
    const RIGHT: Peer = [8; 32];

    #[test]
    fn a_refusal_holds_for_its_author_and_expires() {
        let mut prunes = Prunes::default();
        prunes.on_prune(5, [9; 32], vec![A]);
        assert_eq!(prunes.without(5, &A), [[9; 32]]);
        assert!(prunes.without(5, &B).is_empty());
        assert!(prunes.without(5 + PRUNE_MS, &A).is_empty());
        // What is said later stands for all that was said before.
        prunes.on_prune(6, [9; 32], vec![B]);
        assert!(prunes.without(6, &A).is_empty());
        assert_eq!(prunes.without(6, &B), [[9; 32]]);
    }

    /// Two peers that are as fast as each other: now one brings a message first, now the other.
    #[test]
    fn never_is_every_supplier_refused() {
        let mut prunes = Prunes::default();
        assert!(prunes.came_twice(A, Some(LEFT), RIGHT));
        assert!(!prunes.came_twice(A, Some(RIGHT), LEFT));
        assert!(!prunes.came_twice(B, Some(RIGHT), LEFT));
        let told = prunes.take_gathered(5);
        let of = |authors: &[PublicKey]| authors.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(told, BTreeMap::from([(LEFT, of(&[B])), (RIGHT, of(&[A]))]));
        // What others tell us of our own messages nobody needs.
        prunes.came_twice(US, None, LEFT);
        assert_eq!(prunes.take_gathered(5)[&LEFT], of(&[B, US]));
    }

    #[test]
    fn whoever_brings_news_takes_the_place_of_a_supplier_that_failed() {
        let mut prunes = Prunes::default();
        prunes.came_twice(A, Some(LEFT), RIGHT);
        prunes.came_twice(B, Some(LEFT), RIGHT);
        assert!(!prunes.is_news(5, A, RIGHT), "it was not told yet");
        prunes.take_gathered(5);
        assert!(!prunes.is_news(6, A, LEFT));
        assert!(prunes.is_news(6, A, RIGHT));
        assert!(!prunes.is_news(6, A, RIGHT), "once");
        let told = prunes.take_gathered(6);
        assert_eq!(told, BTreeMap::from([(RIGHT, BTreeSet::from([B]))]));
        // From now on the other is superfluous.
        prunes.came_twice(A, Some(LEFT), RIGHT);
        let told = prunes.take_gathered(7);
        assert_eq!(told, BTreeMap::from([(LEFT, BTreeSet::from([A]))]));
        assert!(!prunes.is_news(7 + PRUNE_MS, B, RIGHT), "that has expired");
    }

    #[test]
    fn peers_without_number_cost_a_bounded_memory() {
        let mut prunes = Prunes::default();
        for n in 0..1_000u32 {
            let mut peer = [0; 32];
            peer[..4].copy_from_slice(&n.to_be_bytes());
            prunes.on_prune(5, peer, vec![A]);
            prunes.came_twice(A, Some(LEFT), peer);
        }
        assert_eq!(prunes.without(5, &A).len(), PEERS_MAX);
        assert_eq!(prunes.take_gathered(5).len(), PEERS_MAX);
        assert!(prunes.came_twice(A, Some(LEFT), RIGHT));
        assert!(prunes.take_gathered(5).is_empty(), "no room");
        prunes.on_prune(5 + PRUNE_MS, [9; 32], vec![A]);
        assert_eq!(prunes.without(5 + PRUNE_MS, &A), [[9; 32]]);
        prunes.came_twice(A, Some(LEFT), RIGHT);
        assert_eq!(prunes.take_gathered(5 + PRUNE_MS).len(), 1);
    }
}
