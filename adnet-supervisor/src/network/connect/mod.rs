//! Keeps a chain's node connected: validators first, then the peers of before the restart, then
//! peers chosen from the address book at random; and now and then a test of an address.

mod plan;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use adnet_common::keys::PublicKey;
use tokio::{task::JoinSet, time::sleep};

pub use plan::Purpose;

use super::{
    Direction,
    address_book::{AddressBook, Book},
    dial,
    discovery::Discovery,
    error::LinkError,
    hello::Hello,
    identity::{PeerId, Short},
    link::Link,
    node::ChainNode,
    refusal::{By, Refusal},
    session::Session,
    unix_ms,
};
use plan::{Target, View};

/// Between two looks at who is missing.
const TICK: Duration = Duration::from_millis(500);
/// Dials under way at a time.
const DIALS_MAX: usize = 8;
/// Between two tests of addresses, as in Bitcoin; and while a validator looks for the others.
const FEELER_PAUSE_MS: u64 = 120_000;
const SEARCH_PAUSE_MS: u64 = 2_000;
/// Peers that are dialled first after a restart.
const ANCHORS: usize = 2;
/// A chosen peer that has been linked for so long is worth being one.
const ANCHOR_AGE: Duration = Duration::from_secs(10);

/// What the chains' connecting tasks share.
pub struct Known {
    pub book: Arc<AddressBook>,
    pub discovery: Option<Arc<Discovery>>,
}

/// How a dial ended, for the metrics.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Linked,
    Tested,
    Refused,
    WrongKey,
    Unreachable,
}

impl Outcome {
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Linked => "linked",
            Outcome::Tested => "tested",
            Outcome::Refused => "refused",
            Outcome::WrongKey => "wrong_key",
            Outcome::Unreachable => "unreachable",
        }
    }
}

enum Reached {
    Linked(Session),
    Tested(Hello),
}

type Dialled = (Target, Result<Reached, LinkError>);

struct Connector {
    node: Arc<ChainNode>,
    known: Arc<Known>,
    /// Peers of before the restart that have not been dialled yet.
    anchors: Vec<PeerId>,
    /// Dials under way.
    under_way: BTreeMap<PeerId, (IpAddr, Purpose)>,
    dials: JoinSet<Dialled>,
    last_feeler_ms: u64,
}

/// Runs for as long as the network.
pub async fn keep_connected(node: Arc<ChainNode>, known: Arc<Known>) {
    let anchors = known.book.lock().anchors(node.chain);
    let mut connector = Connector {
        node,
        known,
        anchors,
        under_way: BTreeMap::new(),
        dials: JoinSet::new(),
        last_feeler_ms: unix_ms(),
    };
    loop {
        connector.dial_who_is_missing();
        tokio::select! {
            Some(dialled) = connector.dials.join_next() => {
                let dialled = dialled.expect("a dial neither panics nor is aborted");
                connector.dialled(dialled);
            }
            () = sleep(TICK) => connector.note_links(),
        }
    }
}

impl Connector {
    fn dial_who_is_missing(&mut self) {
        let now_ms = unix_ms();
        while self.dials.len() < DIALS_MAX {
            let Some(target) = self.next(now_ms) else {
                return;
            };
            let known = self.known.clone();
            known
                .book
                .lock()
                .attempted(&target.peer, self.node.chain, now_ms);
            let ip = target.address.ip();
            self.under_way.insert(target.peer, (ip, target.purpose));
            self.dials.spawn(dial(self.node.clone(), target));
        }
    }

    /// The next dial, if one is due.
    fn next(&mut self, now_ms: u64) -> Option<Target> {
        let node = self.node.clone();
        let links = node.links.all();
        let mut taken: BTreeSet<PeerId> = links.iter().map(|link| link.peer).collect();
        taken.insert(node.us);
        taken.extend(node.links.configured());
        taken.extend(self.under_way.keys());
        let chosen = node.links.strangers(Direction::Outbound);
        let linked = chosen
            .iter()
            .map(|link| link.connection.remote_address().ip());
        let dialled = self.under_way.values();
        let dialled =
            dialled.filter(|(_, purpose)| [Purpose::Anchor, Purpose::Outbound].contains(purpose));
        let chosen: Vec<IpAddr> = linked.chain(dialled.map(|(ip, _)| *ip)).collect();
        let view = View {
            chain: node.chain,
            now_ms,
            limits: &node.limits,
            taken: &taken,
            chosen: &chosen,
            is_banned: &|peer| node.is_banned(peer),
            votes: &|key| node.validators.contains(key),
        };
        let known = self.known.clone();
        let book = known.book.lock();
        if node.is_validator()
            && let Some(target) = plan::validators(&book, &view).into_iter().next()
        {
            return Some(target);
        }
        if let Some(target) = plan::anchor(&book, &view, &self.anchors) {
            self.anchors.retain(|peer| *peer != target.peer);
            return Some(target);
        }
        let mut random = || getrandom::u64().expect("the kernel gives random bytes");
        if let Some(target) = plan::outbound(&book, &view, &mut random) {
            return Some(target);
        }
        let is_short = chosen.len() < node.limits.outbound_peers;
        if let Some(discovery) = known.discovery.as_ref().filter(|_| is_short) {
            discovery.want();
        }
        let is_search = node.is_validator() && self.lacks_validators(&book, &links);
        let pause_ms = match is_search {
            true => SEARCH_PAUSE_MS,
            false => FEELER_PAUSE_MS,
        };
        if now_ms.saturating_sub(self.last_feeler_ms) < pause_ms {
            return None;
        }
        let target = plan::feeler(&book, &view, is_search, &mut random)?;
        self.last_feeler_ms = now_ms;
        Some(target)
    }

    /// Whether there are validators, beside us, whose nodes are not known.
    fn lacks_validators(&self, book: &Book, links: &[Arc<Link>]) -> bool {
        let votes = |key: &PublicKey| self.node.validators.contains(key);
        let in_book = book.entries().filter_map(|entry| entry.validator);
        let linked = links.iter().filter_map(|link| link.validator);
        let known: BTreeSet<_> = in_book.chain(linked).filter(votes).collect();
        known.len() + 1 < self.node.validators.count()
    }

    fn dialled(&mut self, (target, result): Dialled) {
        self.under_way.remove(&target.peer);
        let now_ms = unix_ms();
        let metrics = &self.node.metrics;
        let mut book = self.known.book.lock();
        let outcome = match result {
            Ok(Reached::Linked(session)) => {
                book.succeeded(&target.peer, now_ms);
                tokio::spawn(session.run(self.node.clone()));
                Outcome::Linked
            }
            Ok(Reached::Tested(hello)) => {
                book.succeeded(&target.peer, now_ms);
                if let Some(proof) = hello.proof {
                    book.is_of_validator(&target.peer, proof.key);
                }
                Outcome::Tested
            }
            Err(error) => {
                let outcome = judge(&error);
                match outcome {
                    Outcome::WrongKey => book.lied(&target.peer, target.record_id),
                    Outcome::Refused => book.refused(&target.peer, now_ms),
                    _ => book.failed(&target.peer, self.node.links.count() > 0),
                }
                if let Some((by, reason)) = error.refusal() {
                    metrics.refused(by, reason);
                }
                let (chain, peer, address) = (self.node.chain, Short(target.peer), target.address);
                tracing::debug!(%chain, %peer, %address, %error, "a known address did not do");
                outcome
            }
        };
        metrics.dialled(target.purpose, outcome);
        let (chain, peer, address) = (self.node.chain, Short(target.peer), target.address);
        tracing::debug!(%chain, %peer, %address, purpose = target.purpose.name(), outcome = outcome.name(), "dialled");
    }

    /// Learns from the links that there are: who is a validator, and who is worth being dialled first.
    fn note_links(&self) {
        let node = &self.node;
        let links = node.links.all();
        let mut book = self.known.book.lock();
        for link in &links {
            let Some(key) = link.validator else {
                continue;
            };
            let is_news = book
                .get(&link.peer)
                .filter(|entry| entry.validator != Some(key));
            if let Some((record, ip)) =
                is_news.map(|entry| (entry.node.record.clone(), entry.node.ip))
            {
                book.is_of_validator(&link.peer, key);
                if let Some(discovery) = &self.known.discovery {
                    discovery.permit(&record, ip);
                }
            }
        }
        let mut lasting: Vec<(Duration, PeerId)> = links
            .iter()
            .filter(|link| link.direction == Direction::Outbound && link.age() >= ANCHOR_AGE)
            .filter(|link| book.get(&link.peer).is_some())
            .map(|link| (link.age(), link.peer))
            .collect();
        lasting.sort_unstable_by(|a, b| b.cmp(a));
        let mut anchors: Vec<PeerId> = lasting.into_iter().map(|(_, peer)| peer).collect();
        // A node that is cut off, or is ending, keeps those that it had.
        anchors.extend(book.anchors(node.chain));
        let mut seen = BTreeSet::new();
        anchors.retain(|peer| seen.insert(*peer));
        anchors.truncate(ANCHORS);
        book.set_anchors(node.chain, &anchors);
    }
}

async fn dial(node: Arc<ChainNode>, target: Target) -> Dialled {
    let (peer, address) = (target.peer, target.address);
    let reached = match target.purpose {
        Purpose::Feeler => dial::test(&node, peer, address).await.map(Reached::Tested),
        _ => dial::link(&node, peer, address).await.map(Reached::Linked),
    };
    (target, reached)
}

/// What an error says of the address: a refusal comes from the owner of the key, who is there then.
fn judge(error: &LinkError) -> Outcome {
    match error {
        LinkError::WrongKey { .. } => Outcome::WrongKey,
        LinkError::Refused { by, reason } => match (by, reason) {
            (
                By::Peer,
                Refusal::TooManyPeers
                | Refusal::NotConfigured
                | Refusal::Duplicate
                | Refusal::Banned,
            ) => Outcome::Refused,
            (By::Us, Refusal::TooManyPeers | Refusal::Duplicate) => Outcome::Refused,
            _ => Outcome::Unreachable,
        },
        _ => Outcome::Unreachable,
    }
}
