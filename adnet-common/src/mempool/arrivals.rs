//! What has come into the mempool lately, numbered, for whoever wants to hear of each transaction once.
//!
//! A listener remembers the number of what it has not seen yet and asks from there. One that asks too
//! late has missed what is forgotten, and goes on with what is left.

use crate::hash::Hash;
use std::collections::VecDeque;

/// Arrivals that are remembered: more than any block takes in a second.
const REMEMBERED: usize = 16_384;

/// See the module.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// The number of the first that is remembered.
    first: u64,
    ids: VecDeque<Hash>,
}

/// What came since a listener asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The number to ask from next time.
    pub next: u64,
    pub ids: Vec<Hash>,
}

impl Arrivals {
    pub fn note(&mut self, id: Hash) {
        if self.ids.len() == REMEMBERED {
            self.ids.pop_front();
            self.first += 1;
        }
        self.ids.push_back(id);
    }

    /// Everything from number `since` on; nothing, but where to begin, for the number `u64::MAX`.
    pub fn since(&self, since: u64) -> News {
        let next = self.first + self.ids.len() as u64;
        let skip = since.clamp(self.first, next) - self.first;
        let skip = usize::try_from(skip).expect("no more than are remembered");
        let ids = self.ids.iter().skip(skip).copied().collect();
        News { next, ids }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_listener_hears_of_each_arrival_once_and_the_oldest_are_forgotten() {
        let id = |n: u64| Hash::of("arrival", &[&n.to_be_bytes()]);
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.since(u64::MAX).next, 0);
        (0..3).for_each(|n| arrivals.note(id(n)));
        let news = arrivals.since(1);
        assert_eq!((news.next, news.ids), (3, vec![id(1), id(2)]));
        assert_eq!(arrivals.since(3).ids, []);
        (3..3 + REMEMBERED as u64).for_each(|n| arrivals.note(id(n)));
        let news = arrivals.since(0);
        assert_eq!((news.ids.len(), news.ids[0]), (REMEMBERED, id(3)));
        assert_eq!(news.next, 3 + REMEMBERED as u64);
    }
}
