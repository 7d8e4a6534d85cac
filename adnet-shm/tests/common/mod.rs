//! What the integration tests of this crate share: names that cannot collide, and raw access to a
//! segment's bytes through /dev/shm.

#![allow(
    dead_code,
    reason = "every test file is a crate of its own and uses a part of this"
)]

use std::fs::{File, OpenOptions};
use std::sync::atomic::{AtomicU32, Ordering};

use adnet_shm::{Consumer, Producer, RingExpect, RingSpec, Segment, Side};

pub const SCHEMA: [u8; 32] = [7; 32];
pub const RING_ID: u32 = 11;
pub const EXPECT: RingExpect = RingExpect {
    ring_id: RING_ID,
    schema_hash: SCHEMA,
};

/// A name of its own for each ring of each test of each process.
pub fn fresh_name(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("adnet-shmtest-{}-{what}-{number}", std::process::id())
}

pub fn spec(what: &str, capacity: usize) -> RingSpec {
    RingSpec {
        name: fresh_name(what),
        ring_id: RING_ID,
        capacity,
        schema_hash: SCHEMA,
        build_id: *b"test build id...",
    }
}

/// A segment with both sides attached.
pub fn ring(what: &str, capacity: usize, start_index: u64) -> (Segment, Producer, Consumer) {
    let segment = Segment::create_at(&spec(what, capacity), start_index).expect("room in /dev/shm");
    let producer = attach_producer(&segment);
    let consumer = attach_consumer(&segment);
    (segment, producer, consumer)
}

pub fn attach_producer(segment: &Segment) -> Producer {
    Producer::attach(segment.name(), &EXPECT, segment.epoch(Side::Producer)).expect("attach")
}

pub fn attach_consumer(segment: &Segment) -> Consumer {
    Consumer::attach(segment.name(), &EXPECT, segment.epoch(Side::Consumer)).expect("attach")
}

/// Commits one message.
pub fn send(producer: &mut Producer, kind: u16, message: &[u8]) -> u64 {
    let mut slot = producer.try_loan(message.len()).expect("room in the ring");
    slot[..message.len()].copy_from_slice(message);
    slot.commit(kind, 0, message.len()).expect("not fenced")
}

/// The segment's bytes, behind the back of the ring.
pub fn raw(segment: &Segment) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("/dev/shm/{}", segment.name()))
        .expect("the segment is a file in /dev/shm")
}

pub fn exists(name: &str) -> bool {
    std::path::Path::new("/dev/shm").join(name).exists()
}
