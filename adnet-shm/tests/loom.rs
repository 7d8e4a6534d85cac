//! Loom explores the protocol of `side.rs`: all interleavings, all values the memory model allows,
//! and the death of either end after every number of steps.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --release -p adnet-shm --test loom` and a target
//! directory of its own; without that flag this file is empty.
//!
//! A death is a thread that returns between two steps. Its stores stay, and its successor sees all
//! of them, as a new process does after the kernel has reported the end of the old one (the join).
//! The kernel's futex is modelled as what it promises: an atomic comparison with a queue, under a
//! lock; a wake takes everyone out of the queue.
#![cfg(loom)]

use adnet_shm::side::{Cursor, SidePage, Wake, Waker};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, Ordering, fence};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

const GRANULE: u64 = 64;
/// Granules of the modelled data: small, so that it wraps at once.
const SLOTS: usize = 2;

/// A ring whose records take one granule and hold their own number.
struct Ring {
    producer: SidePage,
    consumer: SidePage,
    data: [UnsafeCell<u64>; SLOTS],
}

// SAFETY: the cells are handed over by the protocol under test; loom checks every access.
unsafe impl Sync for Ring {}
// SAFETY: as above.
unsafe impl Send for Ring {}

/// Indices that wrap around 2⁶⁴ after the first record.
const START: u64 = 0u64.wrapping_sub(GRANULE);

impl Ring {
    fn new() -> Arc<Ring> {
        Arc::new(Ring {
            producer: SidePage::new(START, 1),
            consumer: SidePage::new(START, 1),
            data: std::array::from_fn(|_| UnsafeCell::new(0)),
        })
    }

    fn slot(index: u64) -> usize {
        (index / GRANULE) as usize % SLOTS
    }
}

/// Steps that are left before the process dies.
struct Life(u32);

impl Life {
    /// One step, or none if this is where the process is killed.
    fn step(&mut self) -> Option<()> {
        self.0 = self.0.checked_sub(1)?;
        Some(())
    }
}

/// Commits up to `records` records. `None` means killed.
fn produce(ring: &Ring, records: u64, life: &mut Life) -> Option<()> {
    let mut tail: Cursor = ring.producer.resume().expect("journal fits at any time");
    while tail.seq <= records {
        life.step()?;
        let head = ring.consumer.index();
        if tail.index.wrapping_sub(head) >= SLOTS as u64 * GRANULE {
            thread::yield_now();
            continue;
        }
        ring.data[Ring::slot(tail.index)].with_mut(|cell| {
            // SAFETY: the slot is free; loom reports it if the protocol says so wrongly.
            unsafe { *cell = tail.seq }
        });
        life.step()?;
        let (index, seq) = (tail.index.wrapping_add(GRANULE), tail.seq + 1);
        let alive = || life.step().is_some();
        if !ring.producer.publish_while(&mut tail, index, seq, alive) {
            return None;
        }
    }
    Some(())
}

/// Applies records to `sink` until `records` were applied. `None` means killed.
fn consume(ring: &Ring, sink: &mut Vec<u64>, records: u64, life: &mut Life) -> Option<()> {
    let mut head: Cursor = ring.consumer.resume().expect("journal fits at any time");
    while (sink.len() as u64) < records || head.seq <= records {
        life.step()?;
        if ring.producer.index() == head.index {
            thread::yield_now();
            continue;
        }
        // SAFETY: the record is committed and not released.
        let value = ring.data[Ring::slot(head.index)].with(|cell| unsafe { *cell });
        assert_eq!(value, head.seq, "torn, lost or stale");
        let last = sink.last().copied().unwrap_or(0);
        assert!(value <= last + 1, "lost");
        if value > last {
            sink.push(value);
        }
        life.step()?;
        let (index, seq) = (head.index.wrapping_add(GRANULE), head.seq + 1);
        let alive = || life.step().is_some();
        if !ring.consumer.publish_while(&mut head, index, seq, alive) {
            return None;
        }
    }
    Some(())
}

fn model(check: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}

#[test]
fn records_arrive_once_in_order_across_the_wrap() {
    model(|| {
        let ring = Ring::new();
        let other = Arc::clone(&ring);
        let producer = thread::spawn(move || produce(&other, 3, &mut Life(u32::MAX)));
        let mut sink = Vec::new();
        consume(&ring, &mut sink, 3, &mut Life(u32::MAX));
        assert_eq!(sink, [1, 2, 3]);
        producer.join().expect("producer");
    });
}

#[test]
fn a_producer_killed_after_any_step_is_continued_exactly() {
    for steps in 0..10 {
        model(move || {
            let ring = Ring::new();
            let other = Arc::clone(&ring);
            let producer = thread::spawn(move || {
                let mut life = Life(steps);
                let first = thread::spawn({
                    let ring = Arc::clone(&other);
                    move || produce(&ring, 2, &mut life)
                });
                first.join().expect("killed, not panicked");
                produce(&other, 2, &mut Life(u32::MAX))
            });
            let mut sink = Vec::new();
            consume(&ring, &mut sink, 2, &mut Life(u32::MAX));
            assert_eq!(sink, [1, 2]);
            producer.join().expect("producer");
        });
    }
}

#[test]
fn a_consumer_killed_after_any_step_gets_the_unreleased_again() {
    for steps in 0..10 {
        model(move || {
            let ring = Ring::new();
            let other = Arc::clone(&ring);
            let producer = thread::spawn(move || produce(&other, 2, &mut Life(u32::MAX)));
            // The sink outlives the consumer, as the store does.
            let sink = Arc::new(Mutex::new(Vec::new()));
            let first = thread::spawn({
                let (ring, sink) = (Arc::clone(&ring), Arc::clone(&sink));
                move || {
                    let mut sink = sink.lock().expect("not poisoned");
                    consume(&ring, &mut sink, 2, &mut Life(steps));
                }
            });
            first.join().expect("killed, not panicked");
            let mut sink = sink.lock().expect("not poisoned");
            consume(&ring, &mut sink, 2, &mut Life(u32::MAX));
            assert_eq!(*sink, [1, 2]);
            drop(sink);
            producer.join().expect("producer");
        });
    }
}

/// Somebody else reads the journal while its owner stores, as an audit does.
#[test]
fn the_journal_always_has_one_slot_for_the_index() {
    model(|| {
        let ring = Ring::new();
        let other = Arc::clone(&ring);
        let writer = thread::spawn(move || {
            let mut cursor = other.producer.resume().expect("fresh");
            for seq in 2..5 {
                let index = cursor.index.wrapping_add(GRANULE);
                other.producer.publish(&mut cursor, index, seq);
            }
        });
        // A reader beside it may see an index that has moved on; whenever it has not, the number
        // is the right one.
        let found = ring.producer.resume();
        fence(Ordering::Acquire);
        if let Ok(cursor) = found
            && ring.producer.index() == cursor.index
        {
            let records = cursor.index.wrapping_sub(START) / GRANULE;
            assert_eq!(cursor.seq, records + 1);
        }
        writer.join().expect("writer");
        let last = ring.producer.resume().expect("complete");
        assert_eq!((last.index, last.seq), (START.wrapping_add(3 * GRANULE), 4));
    });
}

/// The kernel's futex: sleep if the word still has the value, atomically against a wake.
struct Futex {
    queue: Mutex<bool>,
    wakes: Condvar,
}

impl Futex {
    fn new() -> Futex {
        Futex {
            queue: Mutex::new(false),
            wakes: Condvar::new(),
        }
    }

    /// Loom reports a deadlock if nobody ever wakes: there is no backstop in the model.
    fn wait(&self, page: &SidePage, seen: u64) {
        let mut woken = self.queue.lock().expect("not poisoned");
        if page.index() != seen {
            return;
        }
        *woken = false;
        while !*woken {
            woken = self.wakes.wait(woken).expect("not poisoned");
        }
    }

    fn wake(&self) {
        *self.queue.lock().expect("not poisoned") = true;
        self.wakes.notify_all();
    }
}

fn flush(ring: &Ring, waker: &mut Waker, futex: &Futex, index: u64) {
    fence(Ordering::SeqCst);
    if waker.due(&ring.consumer, index) == Some(Wake::Futex) {
        futex.wake();
    }
}

fn sleep_until_ready(ring: &Ring, futex: &Futex, position: u64) {
    while ring.producer.index() == position {
        ring.consumer.arm(position, Wake::Futex);
        if ring.producer.index() == position {
            futex.wait(&ring.producer, position);
        }
        ring.consumer.disarm();
    }
}

#[test]
fn no_wake_is_lost_although_the_waker_rings_once_per_arming() {
    model(|| {
        let ring = Ring::new();
        let futex = Arc::new(Futex::new());
        let producer = thread::spawn({
            let (ring, futex) = (Arc::clone(&ring), Arc::clone(&futex));
            move || {
                let mut waker = Waker::default();
                let mut tail = ring.producer.resume().expect("fresh");
                for seq in 2..4 {
                    let index = tail.index.wrapping_add(GRANULE);
                    ring.producer.publish(&mut tail, index, seq);
                    flush(&ring, &mut waker, &futex, index);
                }
            }
        });
        let mut position = START;
        while position != START.wrapping_add(2 * GRANULE) {
            sleep_until_ready(&ring, &futex, position);
            position = ring.producer.index();
        }
        producer.join().expect("producer");
    });
}

/// A producer dies between its commit and its wake; the supervisor wakes everyone afterwards.
#[test]
fn a_wake_owed_by_the_dead_is_given_by_the_supervisor() {
    model(|| {
        let ring = Ring::new();
        let futex = Arc::new(Futex::new());
        let supervisor = thread::spawn({
            let (ring, futex) = (Arc::clone(&ring), Arc::clone(&futex));
            move || {
                let mut tail = ring.producer.resume().expect("fresh");
                ring.producer
                    .publish(&mut tail, START.wrapping_add(GRANULE), 2);
                // Killed here. The pidfd tells the supervisor.
                futex.wake();
            }
        });
        sleep_until_ready(&ring, &futex, START);
        supervisor.join().expect("supervisor");
    });
}

/// Both ends sleep in turn: the consumer for records, the producer for space in a full ring.
#[test]
fn the_two_directions_of_sleep_do_not_deadlock() {
    model(|| {
        let ring = Ring::new();
        let (for_data, for_space) = (Arc::new(Futex::new()), Arc::new(Futex::new()));
        let done = Arc::new(AtomicBool::new(false));
        let producer = thread::spawn({
            let ring = Arc::clone(&ring);
            let (for_data, for_space) = (Arc::clone(&for_data), Arc::clone(&for_space));
            let done = Arc::clone(&done);
            move || {
                let mut waker = Waker::default();
                let mut tail = ring.producer.resume().expect("fresh");
                // One record of space: the ring counts as full with one unreleased record.
                for seq in 2..4 {
                    while ring.consumer.index() != tail.index {
                        let seen = ring.consumer.index();
                        ring.producer.arm(seen, Wake::Futex);
                        if ring.consumer.index() == seen && seen != tail.index {
                            for_space.wait(&ring.consumer, seen);
                        }
                        ring.producer.disarm();
                    }
                    let index = tail.index.wrapping_add(GRANULE);
                    ring.producer.publish(&mut tail, index, seq);
                    flush(&ring, &mut waker, &for_data, index);
                }
                done.store(true, Ordering::Relaxed);
            }
        });
        let mut waker = Waker::default();
        let mut head = ring.consumer.resume().expect("fresh");
        for seq in 2..4 {
            sleep_until_ready(&ring, &for_data, head.index);
            let index = head.index.wrapping_add(GRANULE);
            ring.consumer.publish(&mut head, index, seq);
            fence(Ordering::SeqCst);
            if waker.due(&ring.producer, index) == Some(Wake::Futex) {
                for_space.wake();
            }
        }
        producer.join().expect("producer");
        assert!(done.load(Ordering::Relaxed));
    });
}
