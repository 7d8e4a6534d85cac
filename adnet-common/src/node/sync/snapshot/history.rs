//! The headers below a trusted one, by their parents' hashes, with the validator sets that they name.
//!
//! A state alone is not enough to go on with: evidence is about validators of past heights, and contracts
//! read the hashes of recent blocks. Both come from headers. Going down from a trusted header, each is
//! proved by the hash in the one above it, and each set by the hash in the header before its height.

use crate::block::Header;
use crate::chain_id::ChainId;
use crate::consensus::{EncodedSet, ValidatorSet};
use crate::hash::Hash;
use crate::ledger;
use crate::store::Write;
use crate::validators::SetFrom;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A header with the set of the height after it: where that is another one than before, and at the end of
/// a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub header: Header,
    pub next_set: Option<EncodedSet>,
}

/// A list of headers that does not go down from what is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHistory {
    #[error("the header of height {0} is not the parent of the one above it")]
    NotTheParent(u64),
    #[error("height {0} has no set with it, or another than its header names")]
    WrongSet(u64),
    #[error("the list is empty")]
    Empty,
}

/// The set that decides from this height on.
fn opened(from: u64, set: &EncodedSet) -> Result<Arc<ValidatorSet>, BadHistory> {
    let opened = set.open().map(Arc::new);
    opened.map_err(|_| BadHistory::WrongSet(from - 1))
}

/// See the module.
pub struct History {
    chain: ChainId,
    /// The lowest header that is needed.
    floor: u64,
    /// The next one to come, with its hash.
    next: Option<(u64, Hash)>,
    /// A set that came along, by its first height: whether it was new there shows in the header below.
    unsettled: Option<(u64, EncodedSet)>,
    /// Sets by the first height that they decide. The first decides the lowest height.
    sets: BTreeMap<u64, Arc<ValidatorSet>>,
}

impl History {
    /// Headers from the one of `top` down to `floor`, which is above 0.
    pub fn new(chain: ChainId, top: (u64, Hash), floor: u64) -> Self {
        Self {
            chain,
            floor,
            next: Some(top),
            unsettled: None,
            sets: BTreeMap::new(),
        }
    }

    /// The height of the next header that is needed; `None` when all are here.
    pub fn wanted(&self) -> Option<u64> {
        self.next.map(|(height, _)| height)
    }

    /// Whether it goes down to the first block, so that the genesis decides the lowest height.
    pub fn begins_at_genesis(&self) -> bool {
        self.floor == 1
    }

    /// How many headers are needed at most.
    pub fn wanted_count(&self) -> u64 {
        self.next.map_or(0, |(height, _)| height - self.floor + 1)
    }

    /// Who decides `height`. Known when everything is here.
    pub fn set_of(&self, height: u64) -> Option<&Arc<ValidatorSet>> {
        let set = self.sets.range(..=height).next_back();
        set.map(|(_, set)| set)
    }

    /// Takes headers from the wanted one downwards. Returns them.
    ///
    /// # Errors
    /// [`BadHistory`]; nothing has changed then.
    pub fn take(&mut self, links: Vec<Link>) -> Result<Vec<Header>, BadHistory> {
        let (mut next, mut unsettled) = (self.next, self.unsettled.clone());
        let (mut sets, mut headers) = (BTreeMap::new(), Vec::with_capacity(links.len()));
        let mut above: Option<Header> = None;
        let mut links = links.into_iter().peekable();
        while let (Some((height, hash)), Some(Link { header, next_set })) = (next, links.next()) {
            let is_last = height == self.floor || links.peek().is_none();
            if header.height != height || header.hash() != hash {
                return Err(BadHistory::NotTheParent(height));
            }
            if let Some((from, set)) = unsettled.take() {
                if set.hash() != header.next_validators {
                    sets.insert(from, opened(from, &set)?);
                }
            } else if let Some(above) = &above
                && above.next_validators != header.next_validators
            {
                return Err(BadHistory::WrongSet(above.height));
            }
            let wrong = BadHistory::WrongSet(height);
            match next_set {
                Some(set) if set.hash() == header.next_validators => {
                    unsettled = Some((height + 1, set));
                }
                None if !is_last => {}
                _ => return Err(wrong),
            }
            next = (height > self.floor).then(|| (height - 1, header.parent));
            above = Some(header.clone());
            headers.push(header);
        }
        if headers.is_empty() {
            return Err(BadHistory::Empty);
        }
        if next.is_none()
            && let Some((from, set)) = unsettled.take()
        {
            sets.insert(from, opened(from, &set)?);
        }
        self.next = next;
        self.unsettled = unsettled;
        self.sets.extend(sets);
        Ok(headers)
    }

    /// The sets that decide up to the height after `height`, to be stored when everything is here.
    pub fn set_writes(&self, height: u64) -> Vec<Write> {
        let sets = self.sets.range(..=height.saturating_add(1));
        let write = |(from, set): (&u64, &Arc<ValidatorSet>)| {
            let from = SetFrom {
                height: *from,
                set: Arc::clone(set),
            };
            ledger::validators_write(self.chain, &from)
        };
        sets.map(write).collect()
    }
}
