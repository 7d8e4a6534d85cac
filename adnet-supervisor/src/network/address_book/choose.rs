//! Whom to dial next: at random, and never too many of one neighbourhood.
//!
//! A random bucket first, then a random entry of it: whoever has filled a few buckets with many
//! addresses is chosen no more often than the few buckets are. Nearness plays no part.

use std::net::IpAddr;

use adnet_common::chain_id::ChainId;

use super::{book::Book, entry::Entry};
use crate::network::{
    limits::Limits,
    subnet::{region, subnet},
};

/// Whether a peer at `ip` may be chosen beside those that are there.
pub fn fits(ip: IpAddr, chosen: &[IpAddr], limits: &Limits) -> bool {
    let count = |near: fn(IpAddr) -> IpAddr| {
        let same = chosen.iter().filter(|other| near(**other) == near(ip));
        same.count()
    };
    count(subnet) < limits.unless_private(limits.outbound_per_subnet)
        && count(region) < limits.unless_private(limits.outbound_per_region)
}

impl Book {
    /// A peer that follows the chain, whose pause is over, and that `accept` takes. Tried and new
    /// ones have the same chance together, as long as there are both. `random` gives uniform numbers.
    pub fn choose(
        &self,
        chain: ChainId,
        now_ms: u64,
        random: &mut dyn FnMut() -> u64,
        accept: impl Fn(&Entry) -> bool,
    ) -> Option<&Entry> {
        let tried_first = random().is_multiple_of(2);
        [tried_first, !tried_first].into_iter().find_map(|tried| {
            self.choose_among(tried, random, |entry| {
                let follows = entry.node.address(chain).is_some();
                follows && entry.is_due(chain, now_ms, None) && accept(entry)
            })
        })
    }

    /// The same among the new, or the tried ones alone.
    pub fn choose_among(
        &self,
        tried: bool,
        random: &mut dyn FnMut() -> u64,
        accept: impl Fn(&Entry) -> bool,
    ) -> Option<&Entry> {
        let mut buckets: Vec<Vec<&Entry>> = Vec::new();
        for bucket in self.buckets(tried) {
            let eligible: Vec<&Entry> = bucket.filter(|entry| accept(entry)).collect();
            if !eligible.is_empty() {
                buckets.push(eligible);
            }
        }
        let bucket = pick(&buckets, random())?;
        pick(bucket, random()).copied()
    }
}

fn pick<T>(among: &[T], chance: u64) -> Option<&T> {
    let count = among.len() as u64;
    let at = chance.checked_rem(count)?;
    among.get(usize::try_from(at).expect("below a length"))
}
