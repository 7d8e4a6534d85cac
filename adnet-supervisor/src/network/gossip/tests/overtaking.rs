//! Topics share a link and nothing else: an announced block waits for no transactions.

use super::*;

/// More than the other side reads in seconds.
const TRANSACTIONS: usize = 150;
const BYTES: usize = 200 << 10;

#[test]
fn an_announcement_overtakes_transactions_that_queue_for_the_link() {
    let peers = line(1..=2);
    for n in 0..TRANSACTIONS {
        let mut message = vec![b'x'; BYTES];
        message[1] = n as u8;
        peers[0].publish_bytes(Topic::Transaction, message);
    }
    peers[0].publish(Topic::Transaction, "a late transaction");
    let published = |topic: &str| {
        let labels = [("topic", topic), ("event", "published")];
        peers[0].figure("adnet_gossip_messages_total", &labels)
    };
    wait_for("the router to have them", || {
        published("tx") == TRANSACTIONS as i64 + 1
    });
    let begun = Instant::now();
    peers[0].publish(Topic::Block, "a block");
    wait_for("the block", || peers[1].has_seen("a block"));
    let passed = begun.elapsed();
    let labels = [("topic", "tx"), ("event", "received")];
    let before = peers[1].figure("adnet_gossip_messages_total", &labels);
    println!("after {passed:?}, with {before} of {TRANSACTIONS} transactions before it");
    // The transactions stood in the way indeed: of their kind the last one has its turn much later.
    assert!(!peers[1].has_seen("a late transaction"));
    assert!(before < TRANSACTIONS as i64 / 2, "{before} went before it");
    assert!(passed < Duration::from_secs(1), "{passed:?}");
}
