//! Our own messages that nobody is there to hear yet. They go out when a peer has joined.

use std::collections::VecDeque;

use adnet_common::node::Topic;

const TRANSACTIONS_MAX: usize = 1_024;
const BYTES_MAX: usize = 4 << 20;

/// Invariant: `bytes` is the sum over `transactions`.
#[derive(Default)]
pub struct Outbox {
    transactions: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Only the last one: a later block is worth more.
    block: Option<Vec<u8>>,
}

impl Outbox {
    /// Keeps a message, and returns how many were given up for it. Of transactions the newcomer
    /// gives way: nothing makes it worth more than what waits.
    pub fn push(&mut self, topic: Topic, message: Vec<u8>) -> u64 {
        match topic {
            Topic::Block => u64::from(self.block.replace(message).is_some()),
            Topic::Transaction => {
                let bytes = self.bytes + message.len();
                if self.transactions.len() >= TRANSACTIONS_MAX || bytes > BYTES_MAX {
                    return 1;
                }
                self.bytes = bytes;
                self.transactions.push_back(message);
                0
            }
        }
    }

    pub fn pop(&mut self, topic: Topic) -> Option<Vec<u8>> {
        match topic {
            Topic::Block => self.block.take(),
            Topic::Transaction => {
                let message = self.transactions.pop_front()?;
                self.bytes -= message.len();
                Some(message)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_wait_within_bounds_and_only_the_last_block_waits() {
        let mut outbox = Outbox::default();
        let given_up: u64 = (0..2_000u32)
            .map(|n| outbox.push(Topic::Transaction, n.to_be_bytes().to_vec()))
            .sum();
        assert_eq!(given_up, 2_000 - TRANSACTIONS_MAX as u64);
        let first = outbox.pop(Topic::Transaction).unwrap();
        assert_eq!(first, 0u32.to_be_bytes());
        assert_eq!(outbox.push(Topic::Transaction, vec![0; BYTES_MAX]), 1);
        assert_eq!(outbox.push(Topic::Block, vec![1]), 0);
        assert_eq!(outbox.push(Topic::Block, vec![2]), 1);
        assert_eq!(outbox.pop(Topic::Block), Some(vec![2]));
        assert_eq!(outbox.pop(Topic::Block), None);
        while outbox.pop(Topic::Transaction).is_some() {}
        assert_eq!(outbox.bytes, 0);
    }
}
