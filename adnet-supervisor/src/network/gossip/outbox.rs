//! Our own messages that nobody is there to hear yet. They go out when a peer has joined.

use std::collections::VecDeque;

use adnet_common::node::Topic;

const TRANSACTIONS_MAX: usize = 1_024;
const BYTES_MAX: usize = 4 << 20;

/// Invariant: `bytes` is the sum over `messages`.
pub struct Outbox {
    topic: Topic,
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Outbox {
    pub fn new(topic: Topic) -> Self {
        Self {
            topic,
            messages: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Keeps a message, and returns how many were given up for it. Of blocks only the last one is
    /// kept: a later one is worth more. Of transactions the newcomer gives way: nothing makes it worth
    /// more than what waits.
    pub fn push(&mut self, message: Vec<u8>) -> u64 {
        let mut given_up = 0;
        if self.topic == Topic::Block {
            while self.pop().is_some() {
                given_up += 1;
            }
        }
        let bytes = self.bytes + message.len();
        if self.messages.len() >= TRANSACTIONS_MAX || bytes > BYTES_MAX {
            return given_up + 1;
        }
        self.bytes = bytes;
        self.messages.push_back(message);
        given_up
    }

    pub fn pop(&mut self) -> Option<Vec<u8>> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_wait_within_bounds_and_only_the_last_block_waits() {
        let mut outbox = Outbox::new(Topic::Transaction);
        let given_up: u64 = (0..2_000u32)
            .map(|n| outbox.push(n.to_be_bytes().to_vec()))
            .sum();
        assert_eq!(given_up, 2_000 - TRANSACTIONS_MAX as u64);
        assert_eq!(outbox.pop().unwrap(), 0u32.to_be_bytes());
        assert_eq!(outbox.push(vec![0; BYTES_MAX]), 1);
        while outbox.pop().is_some() {}
        assert_eq!(outbox.bytes, 0);
        let mut outbox = Outbox::new(Topic::Block);
        assert_eq!(outbox.push(vec![1]), 0);
        assert_eq!(outbox.push(vec![2]), 1);
        assert_eq!(outbox.pop(), Some(vec![2]));
        assert_eq!(outbox.pop(), None);
    }
}
