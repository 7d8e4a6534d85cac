//! The bounded queue of one class to one peer. Any thread pushes without waiting; one task pops.

use std::{collections::VecDeque, sync::Mutex};

use bytes::Bytes;
use tokio::sync::Notify;

use super::class::{Class, Overflow};

/// What became of a pushed message and of those before it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    Queued,
    /// Queued, and so many of the oldest gave way.
    Displaced(usize),
    /// Not queued: the queue is full and its class prefers what waits.
    Full,
    /// Not queued: larger than any message of the class may be.
    Oversize,
}

/// Invariant: `bytes` is the sum of the lengths of `messages`, and both are within the bounds.
#[derive(Default)]
struct Waiting {
    messages: VecDeque<Bytes>,
    bytes: usize,
}

impl Waiting {
    fn pop(&mut self) -> Option<Bytes> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        Some(message)
    }
}

pub struct SendQueue {
    class: Class,
    waiting: Mutex<Waiting>,
    filled: Notify,
}

impl SendQueue {
    pub fn new(class: Class) -> Self {
        Self {
            class,
            waiting: Mutex::default(),
            filled: Notify::new(),
        }
    }

    pub fn push(&self, message: Bytes) -> Pushed {
        let limits = self.class.limits();
        if message.len() > limits.message_bytes_max {
            return Pushed::Oversize;
        }
        let mut waiting = self.lock();
        let mut displaced = 0;
        while waiting.messages.len() >= limits.queue_messages_max
            || waiting.bytes + message.len() > limits.queue_bytes_max
        {
            if limits.overflow == Overflow::DropNewest || waiting.pop().is_none() {
                return Pushed::Full;
            }
            displaced += 1;
        }
        waiting.bytes += message.len();
        waiting.messages.push_back(message);
        drop(waiting);
        self.filled.notify_one();
        match displaced {
            0 => Pushed::Queued,
            n => Pushed::Displaced(n),
        }
    }

    /// The oldest message; waits for one. For one task only.
    pub async fn pop(&self) -> Bytes {
        loop {
            // A `notify_one` between the look and the wait is kept, so no push is missed.
            if let Some(message) = self.lock().pop() {
                return message;
            }
            self.filled.notified().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("no code panics under this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(len: usize, mark: u8) -> Bytes {
        Bytes::from(vec![mark; len])
    }

    #[test]
    fn consensus_drops_its_oldest_by_count_and_by_bytes() {
        let limits = Class::Consensus.limits();
        let queue = SendQueue::new(Class::Consensus);
        for _ in 0..limits.queue_messages_max {
            assert_eq!(queue.push(message(1, 1)), Pushed::Queued);
        }
        assert_eq!(queue.push(message(1, 2)), Pushed::Displaced(1));
        assert_eq!(queue.lock().messages.len(), limits.queue_messages_max);

        let queue = SendQueue::new(Class::Consensus);
        let large = limits.message_bytes_max;
        for _ in 0..limits.queue_bytes_max / large {
            assert_eq!(queue.push(message(large, 1)), Pushed::Queued);
        }
        assert_eq!(queue.push(message(1, 2)), Pushed::Displaced(1));
        assert!(queue.lock().bytes <= limits.queue_bytes_max);
        assert_eq!(queue.lock().messages.back(), Some(&message(1, 2)));
    }

    #[test]
    fn sync_keeps_what_waits_and_refuses_the_newcomer() {
        let limits = Class::SyncResponse.limits();
        let queue = SendQueue::new(Class::SyncResponse);
        for mark in 0..limits.queue_messages_max as u8 {
            assert_eq!(queue.push(message(1, mark)), Pushed::Queued);
        }
        assert_eq!(queue.push(message(1, 99)), Pushed::Full);
        assert_eq!(queue.lock().pop(), Some(message(1, 0)));
        let oversize = message(limits.message_bytes_max + 1, 0);
        assert_eq!(queue.push(oversize), Pushed::Oversize);
    }
}
