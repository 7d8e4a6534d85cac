//! Which peers need no messages of which authors from us, and what we tell peers of that kind.
//!
//! A refusal expires, so that a link that has become the only way is used again.

use crate::consensus::VALIDATORS_MAX;
use crate::keys::PublicKey;
use crate::node::event::Peer;
use std::collections::{BTreeMap, BTreeSet};

const PEERS_MAX: usize = 256;
const PRUNE_MS: u64 = 20_000;

#[derive(Default)]
pub(super) struct Prunes {
    /// Until when a peer needs no message of an author from us.
    refused: BTreeMap<Peer, BTreeMap<PublicKey, u64>>,
    /// What we will tell peers.
    gathered: BTreeMap<Peer, BTreeSet<PublicKey>>,
}

impl Prunes {
    /// We need no messages of this author from this peer. True if it is the first to be told.
    pub fn gather(&mut self, peer: Peer, author: PublicKey) -> bool {
        let is_first = self.gathered.is_empty();
        if self.gathered.len() < PEERS_MAX || self.gathered.contains_key(&peer) {
            self.gathered.entry(peer).or_default().insert(author);
        }
        is_first
    }

    pub fn take_gathered(&mut self) -> BTreeMap<Peer, BTreeSet<PublicKey>> {
        std::mem::take(&mut self.gathered)
    }

    /// `authors` are validators.
    pub fn on_prune(&mut self, now_ms: u64, peer: Peer, authors: Vec<PublicKey>) {
        if !self.refused.contains_key(&peer) && self.refused.len() >= PEERS_MAX {
            let in_force = |until: &u64| *until > now_ms;
            self.refused.retain(|_, of| of.values().any(in_force));
            if self.refused.len() >= PEERS_MAX {
                return; // it gets some messages twice
            }
        }
        let of = self.refused.entry(peer).or_default();
        of.retain(|_, until| *until > now_ms);
        for author in authors {
            if of.len() < VALIDATORS_MAX {
                of.insert(author, now_ms.saturating_add(PRUNE_MS));
            }
        }
    }

    /// The peers that need no messages of this author.
    pub fn without(&self, now_ms: u64, author: &PublicKey) -> Vec<Peer> {
        let refuses = |of: &BTreeMap<PublicKey, u64>| of.get(author).is_some_and(|u| *u > now_ms);
        let peers = self.refused.iter().filter(|(_, of)| refuses(of));
        peers.map(|(peer, _)| *peer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_holds_for_its_author_and_expires() {
        let (a, b) = (PublicKey([1; 32]), PublicKey([2; 32]));
        let mut prunes = Prunes::default();
        prunes.on_prune(5, [9; 32], vec![a]);
        assert_eq!(prunes.without(5, &a), [[9; 32]]);
        assert!(prunes.without(5, &b).is_empty());
        assert!(prunes.without(5 + PRUNE_MS, &a).is_empty());
    }

    #[test]
    fn peers_without_number_cost_a_bounded_memory() {
        let author = PublicKey([1; 32]);
        let mut prunes = Prunes::default();
        for n in 0..1_000u32 {
            let mut peer = [0; 32];
            peer[..4].copy_from_slice(&n.to_be_bytes());
            prunes.on_prune(5, peer, vec![author]);
            prunes.gather(peer, author);
        }
        assert_eq!(prunes.without(5, &author).len(), PEERS_MAX);
        assert_eq!(prunes.take_gathered().len(), PEERS_MAX);
        prunes.on_prune(5 + PRUNE_MS, [9; 32], vec![author]);
        assert_eq!(prunes.without(5 + PRUNE_MS, &author), [[9; 32]]);
    }
}
