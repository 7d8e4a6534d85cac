//! Who is to be dialled now: judgement alone, without clock, chance or network.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use adnet_common::{chain_id::ChainId, keys::PublicKey};

use crate::network::{
    address_book::{Book, Entry, fits},
    identity::PeerId,
    limits::Limits,
};

/// A validator that was lost is dialled again after this at the latest, so that a healed network is
/// whole in time.
const VALIDATOR_PAUSE_MAX_MS: u64 = 3_000;
/// A peer that is known to work is not tested again before this.
const TESTED_FOR_MS: u64 = 600_000;

/// What a dial is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Validators always dial each other.
    Validator,
    /// A peer of before a restart.
    Anchor,
    /// One of the places for chosen peers.
    Outbound,
    /// To see whether the address is right, and no longer.
    Feeler,
}

impl Purpose {
    pub const fn name(self) -> &'static str {
        match self {
            Purpose::Validator => "validator",
            Purpose::Anchor => "anchor",
            Purpose::Outbound => "outbound",
            Purpose::Feeler => "feeler",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub peer: PeerId,
    pub address: SocketAddr,
    pub purpose: Purpose,
    /// Whose record said so.
    pub record_id: [u8; 32],
}

/// What is known when the decision is made.
pub struct View<'a> {
    pub chain: ChainId,
    pub now_ms: u64,
    pub limits: &'a Limits,
    /// Ourselves, linked and configured peers, and those that are being dialled.
    pub taken: &'a BTreeSet<PeerId>,
    /// The chosen peers, linked or being dialled, that are neither configured nor validators.
    pub chosen: &'a [IpAddr],
    pub is_banned: &'a dyn Fn(&PeerId) -> bool,
    pub votes: &'a dyn Fn(&PublicKey) -> bool,
}

impl View<'_> {
    fn is_free(&self, entry: &Entry) -> bool {
        !self.taken.contains(&entry.node.peer) && !(self.is_banned)(&entry.node.peer)
    }

    fn has_outbound_place(&self) -> bool {
        self.chosen.len() < self.limits.outbound_peers
    }

    fn target(&self, entry: &Entry, purpose: Purpose) -> Option<Target> {
        let address = entry.node.address(self.chain)?;
        Some(Target {
            peer: entry.node.peer,
            address,
            purpose,
            record_id: entry.node.record_id,
        })
    }
}

/// For a validator: all validators that are known and not linked.
pub fn validators(book: &Book, view: &View<'_>) -> Vec<Target> {
    let votes = |entry: &&Entry| entry.validator.as_ref().is_some_and(view.votes);
    let is_due =
        |entry: &&Entry| entry.is_due(view.chain, view.now_ms, Some(VALIDATOR_PAUSE_MAX_MS));
    book.entries()
        .filter(votes)
        .filter(|entry| view.is_free(entry))
        .filter(is_due)
        .filter_map(|entry| view.target(entry, Purpose::Validator))
        .collect()
}

/// One of the peers of before the restart, if there is a place for a chosen peer.
pub fn anchor(book: &Book, view: &View<'_>, anchors: &[PeerId]) -> Option<Target> {
    let entries = anchors.iter().filter_map(|peer| book.get(peer));
    let mut free = entries.filter(|entry| view.is_free(entry) && view.has_outbound_place());
    free.find_map(|entry| view.target(entry, Purpose::Anchor))
}

/// A peer for a free place.
pub fn outbound(book: &Book, view: &View<'_>, random: &mut dyn FnMut() -> u64) -> Option<Target> {
    if !view.has_outbound_place() {
        return None;
    }
    let accept =
        |entry: &Entry| view.is_free(entry) && fits(entry.node.ip, view.chosen, view.limits);
    let entry = book.choose(view.chain, view.now_ms, random, accept)?;
    view.target(entry, Purpose::Outbound)
}

/// An address to be tested: a tried one whose place is contested, else a new one. A search looks at
/// tried ones as well, for validators among them.
pub fn feeler(
    book: &Book,
    view: &View<'_>,
    is_search: bool,
    random: &mut dyn FnMut() -> u64,
) -> Option<Target> {
    let follows = |entry: &Entry| entry.node.address(view.chain).is_some();
    let contested = book.contested(view.chain, view.now_ms);
    if let Some(entry) = contested.filter(|entry| view.is_free(entry)) {
        return view.target(entry, Purpose::Feeler);
    }
    let accept = |entry: &Entry| {
        follows(entry) && view.is_free(entry) && entry.is_due(view.chain, view.now_ms, None)
    };
    let new = book.choose_among(false, random, accept);
    let entry = new.or_else(|| {
        let is_old =
            |entry: &Entry| view.now_ms.saturating_sub(entry.last_success_ms) >= TESTED_FOR_MS;
        book.choose_among(true, random, |entry| accept(entry) && is_old(entry))
            .filter(|_| is_search)
    })?;
    view.target(entry, Purpose::Feeler)
}
