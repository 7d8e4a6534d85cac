//! The node's alarm clock: what is due when, in a fixed order.

use crate::consensus::TimerId;
use std::collections::BTreeMap;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// Of the consensus engine, for the height that set it.
    Engine { height: u64, id: TimerId },
    /// Open this height.
    Open(u64),
    /// Close this decided height.
    Close(u64),
    /// Tell peers how high our chain is.
    Status,
    /// Tell again of transactions that have waited for long.
    Remind,
    /// Announce the last block, if nobody else has.
    Announce,
    /// Ask the other chain for messages that we may have missed.
    Resume,
    /// Commit the next fetched block, look after requests for blocks.
    Sync,
    /// Ask for bodies that have not come by themselves.
    Bodies,
    /// Tell peers what they need not pass on to us.
    Prunes,
}

/// Timers by time, then by the order in which they were set.
#[derive(Default)]
pub(super) struct Timers {
    due: BTreeMap<(u64, u64), Timer>,
    next: u64,
}

impl Timers {
    pub fn set(&mut self, at_ms: u64, timer: Timer) {
        self.due.insert((at_ms, self.next), timer);
        self.next += 1;
    }

    /// Forgets every timer that equals `timer`.
    pub fn cancel(&mut self, timer: Timer) {
        self.due.retain(|_, other| *other != timer);
    }

    pub fn next_ms(&self) -> Option<u64> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the first timer that is due at `now_ms`.
    pub fn pop(&mut self, now_ms: u64) -> Option<Timer> {
        let first = self.due.first_entry()?;
        (first.key().0 <= now_ms).then(|| first.remove())
    }

    /// Forgets the engine timers of ended heights.
    pub fn end_heights(&mut self, up_to: u64) {
        self.due.retain(|_, timer| match timer {
            Timer::Engine { height, .. } => *height > up_to,
            _ => true,
        });
    }
}
