//! The ring as its users see it: loan and commit, backpressure, restart, fence, waiting, removal.

mod common;

use std::time::{Duration, Instant};

use adnet_shm::layout::{KIND_PAD, record_span};
use adnet_shm::{
    Consumer, LoanError, Producer, RingError, RingExpect, Segment, ShmError, Side, WaitOutcome,
    new_doorbell,
};
use common::*;

#[test]
fn records_arrive_whole_and_in_order_over_many_laps() {
    let (_segment, mut producer, mut consumer) = ring("order", 4096, 0);
    for seq in 1..=5_000u64 {
        let len = (seq * 37 % 500) as usize;
        let message: Vec<u8> = (0..len).map(|i| (seq as usize + i) as u8).collect();
        assert_eq!(send(&mut producer, seq as u16 % 100, &message), seq);
        let record = consumer
            .try_recv()
            .expect("not corrupt")
            .expect("committed");
        assert_eq!((record.seq, record.kind), (seq, seq as u16 % 100));
        assert_eq!(record.payload(), message);
        assert_eq!(record.payload().as_ptr() as usize % 16, 0, "alignment");
        record.release();
    }
    assert!(consumer.try_recv().expect("not corrupt").is_none());
}

#[test]
fn a_dropped_slot_never_existed_and_a_smaller_commit_gives_the_rest_back() {
    let (segment, mut producer, mut consumer) = ring("abort", 4096, 0);
    producer.try_loan(100).expect("room").fill(1);
    assert!(consumer.try_recv().expect("not corrupt").is_none());
    let mut slot = producer.try_loan(512).expect("room");
    slot[..3].copy_from_slice(b"abc");
    slot.commit(1, 9, 3).expect("not fenced");
    assert_eq!(producer.used_bytes(), record_span(3));
    let record = consumer
        .try_recv()
        .expect("not corrupt")
        .expect("committed");
    assert_eq!(
        (record.payload(), record.flags, record.seq),
        (&b"abc"[..], 9, 1)
    );
    record.release();
    assert_eq!(segment.audit().expect("sound").records, 0);
}

#[test]
fn staged_records_become_visible_together() {
    let (segment, mut producer, mut consumer) = ring("stage", 4096, 0);
    for i in 1..=3u8 {
        let mut slot = producer.try_loan(1).expect("room");
        slot[0] = i;
        assert_eq!(slot.stage(1, 0, 1), Ok(u64::from(i)));
        assert!(consumer.try_recv().expect("sound").is_none());
    }
    assert_eq!(segment.audit().expect("sound").records, 0);
    producer.flush();
    assert_eq!(segment.audit().expect("sound").records, 3);
    for i in 1..=3u8 {
        let record = consumer.try_recv().expect("sound").expect("committed");
        assert_eq!(record.payload(), [i]);
    }
    consumer.release();
    // Staged and killed: never existed, and the numbers go on as if it had not been.
    let slot = producer.try_loan(1).expect("room");
    assert_eq!(slot.stage(1, 0, 1), Ok(4));
    std::mem::forget(producer);
    segment.bump_epoch(Side::Producer);
    let mut producer = attach_producer(&segment);
    assert_eq!(send(&mut producer, 1, b"x"), 4);
    // A batch larger than the ring: being full commits what is staged.
    let mut sent = 1;
    while let Ok(slot) = producer.try_loan(400) {
        slot.stage(1, 0, 400).expect("not fenced");
        sent += 1;
    }
    assert!(sent > 5);
    let mut seen = 0;
    while consumer.try_recv().expect("sound").is_some() {
        seen += 1;
    }
    assert_eq!(seen, sent);
}

#[test]
fn a_full_ring_refuses_and_overwrites_nothing() {
    let (segment, mut producer, mut consumer) = ring("full", 4096, 0);
    let mut sent = 0u64;
    loop {
        match producer.try_loan(100) {
            Ok(slot) => slot.commit(1, 0, 100).expect("not fenced"),
            Err(error) => {
                assert_eq!(error, LoanError::Full);
                break;
            }
        };
        sent += 1;
    }
    assert_eq!(sent, 4096 / record_span(100));
    assert!(!producer.wait_for_space(100, Duration::from_millis(5)));
    assert_eq!(segment.audit().expect("sound").records, sent);
    // Reading alone frees nothing; releasing does.
    assert!(consumer.try_recv().expect("not corrupt").is_some());
    assert_eq!(producer.try_loan(100).err(), Some(LoanError::Full));
    consumer.release();
    assert!(producer.try_loan(100).is_ok());
    assert_eq!(
        producer.try_loan(513).err(),
        Some(LoanError::TooLarge { max: 512 })
    );
}

#[test]
fn several_records_are_read_and_released_at_once() {
    let (segment, mut producer, mut consumer) = ring("batch", 8192, 0);
    for i in 0..10u8 {
        send(&mut producer, 1, &[i]);
    }
    for i in 0..10u8 {
        let record = consumer
            .try_recv()
            .expect("not corrupt")
            .expect("committed");
        assert_eq!(record.payload(), [i]);
    }
    assert_eq!(segment.audit().expect("sound").records, 10);
    consumer.release();
    assert_eq!(segment.audit().expect("sound").records, 0);
}

#[test]
fn a_new_consumer_gets_what_the_old_one_did_not_release() {
    let (segment, mut producer, mut consumer) =
        ring("redeliver", 4096, 0u64.wrapping_sub(4096 + 64));
    for i in 0..8u8 {
        send(&mut producer, 1, &[i; 200]);
    }
    for _ in 0..3 {
        consumer
            .try_recv()
            .expect("not corrupt")
            .expect("committed")
            .release();
    }
    consumer
        .try_recv()
        .expect("not corrupt")
        .expect("under processing");
    // As after a kill: the old value is never dropped properly.
    std::mem::forget(consumer);
    let epoch = segment.bump_epoch(Side::Consumer);
    let audit = segment.recover().expect("sound");
    assert_eq!(
        (audit.records, audit.released_seq, audit.next_seq),
        (5, 4, 9)
    );
    let mut successor = Consumer::attach(segment.name(), &EXPECT, epoch).expect("attach");
    for i in 3..8u8 {
        let record = successor
            .try_recv()
            .expect("not corrupt")
            .expect("redelivered");
        assert_eq!(
            (record.seq, record.payload()),
            (u64::from(i) + 1, &[i; 200][..])
        );
        record.release();
    }
}

#[test]
fn a_new_producer_continues_the_numbers() {
    let (segment, mut producer, mut consumer) = ring("continue", 4096, 0);
    send(&mut producer, 1, b"one");
    // Half-written at the time of death.
    producer.try_loan(64).expect("room").fill(0xee);
    std::mem::forget(producer);
    let epoch = segment.bump_epoch(Side::Producer);
    let mut successor = Producer::attach(segment.name(), &EXPECT, epoch).expect("attach");
    assert_eq!(send(&mut successor, 1, b"two"), 2);
    for (seq, message) in [(1, b"one"), (2, b"two")] {
        let record = consumer
            .try_recv()
            .expect("not corrupt")
            .expect("committed");
        assert_eq!((record.seq, record.payload()), (seq, &message[..]));
    }
}

#[test]
fn a_replaced_side_can_do_nothing_more() {
    let (segment, mut producer, mut consumer) = ring("fence", 4096, 0);
    send(&mut producer, 1, b"before");
    let slot = producer.try_loan(8).expect("room");
    segment.bump_epoch(Side::Producer);
    assert_eq!(slot.commit(1, 0, 8), Err(LoanError::Fenced));
    assert!(producer.is_fenced());
    assert_eq!(producer.try_loan(8).err(), Some(LoanError::Fenced));
    assert!(!producer.wait_for_space(8, Duration::ZERO));

    consumer
        .try_recv()
        .expect("not corrupt")
        .expect("committed");
    segment.bump_epoch(Side::Consumer);
    consumer.release();
    assert_eq!(segment.audit().expect("sound").records, 1, "not released");
    assert_eq!(consumer.try_recv().err(), Some(RingError::Fenced));
    let outcome = consumer.wait(Duration::from_millis(1));
    assert!(matches!(outcome, WaitOutcome::Fenced | WaitOutcome::Ready));
}

#[test]
fn attach_refuses_a_wrong_epoch_and_a_second_side() {
    let segment = Segment::create(&spec("epochs", 4096)).expect("room");
    let attach = |epoch| Producer::attach(segment.name(), &EXPECT, epoch);
    for stale in [0, 2] {
        let refused = attach(stale).expect_err("wrong epoch");
        assert!(matches!(refused, ShmError::StaleEpoch { current: 1, .. }));
    }
    let first = attach(1).expect("current epoch");
    assert!(matches!(attach(1), Err(ShmError::AlreadyAttached(1))));
    drop(first);
    let again = attach(1).expect("free after a proper end");
    assert_eq!(segment.bump_epoch(Side::Producer), 2);
    assert!(matches!(attach(1), Err(ShmError::StaleEpoch { .. })));
    let _successor = attach(2).expect("new epoch");
    // The late end of the predecessor does not free what it no longer has.
    drop(again);
    assert!(matches!(attach(2), Err(ShmError::AlreadyAttached(2))));
}

#[test]
fn attach_names_both_hashes_when_the_schemas_differ() {
    let segment = Segment::create(&spec("schema", 4096)).expect("room");
    let expect = RingExpect {
        ring_id: RING_ID,
        schema_hash: [0xab; 32],
    };
    let error = Consumer::attach(segment.name(), &expect, 1).expect_err("another schema");
    let text = error.to_string();
    assert!(text.contains(&"ab".repeat(32)), "{text}");
    assert!(text.contains(&"07".repeat(32)), "{text}");
    let other_ring = RingExpect {
        ring_id: 12,
        schema_hash: SCHEMA,
    };
    assert!(matches!(
        Consumer::attach(segment.name(), &other_ring, 1),
        Err(ShmError::RingMismatch {
            ours: 12,
            theirs: RING_ID
        })
    ));
}

#[test]
fn a_sleeping_consumer_is_woken_by_flush_and_times_out_without() {
    woken_and_timed_out(|_| {});
}

#[test]
fn a_consumer_that_never_spins_is_woken_as_well() {
    woken_and_timed_out(|consumer| consumer.set_spin_rounds(0));
}

fn woken_and_timed_out(prepare: impl FnOnce(&mut Consumer)) {
    let (_segment, mut producer, mut consumer) = ring("wake", 4096, 0);
    prepare(&mut consumer);
    let started = Instant::now();
    assert_eq!(
        consumer.wait(Duration::from_millis(30)),
        WaitOutcome::TimedOut
    );
    assert!(started.elapsed() >= Duration::from_millis(30));
    let reader = std::thread::spawn(move || {
        let mut latencies = Vec::new();
        for _ in 0..50 {
            assert_eq!(consumer.wait(Duration::from_secs(10)), WaitOutcome::Ready);
            let record = consumer.try_recv().expect("not corrupt").expect("ready");
            let sent_ns = u64::from_le_bytes(record.payload().try_into().expect("8 bytes"));
            record.release();
            latencies.push(started.elapsed().as_nanos() as u64 - sent_ns);
        }
        latencies
    });
    for _ in 0..50 {
        // Long enough that the reader has gone to sleep in the kernel.
        std::thread::sleep(Duration::from_millis(2));
        let now = started.elapsed().as_nanos() as u64;
        let mut slot = producer.try_loan(8).expect("room");
        slot.copy_from_slice(&now.to_le_bytes());
        slot.commit_and_wake(1, 0, 8).expect("not fenced");
    }
    let mut latencies = reader.join().expect("reader");
    latencies.sort_unstable();
    // A lost wake-up would show as the 100 ms of the backstop. One may be late on a busy machine.
    assert!(latencies[45] < 50_000_000, "{latencies:?}");
}

#[test]
fn a_producer_that_waits_for_space_is_woken_by_releases() {
    let (_segment, mut producer, mut consumer) = ring("space", 4096, 0);
    let total = 2_000u32;
    let writer = std::thread::spawn(move || {
        for i in 0..total {
            assert!(producer.wait_for_space(400, Duration::from_secs(20)));
            let mut slot = producer.try_loan(400).expect("waited for");
            slot[..4].copy_from_slice(&i.to_le_bytes());
            slot.commit(1, 0, 400).expect("not fenced");
        }
        producer.flush();
    });
    let mut next = 0u32;
    while next < total {
        assert_eq!(consumer.wait(Duration::from_secs(20)), WaitOutcome::Ready);
        while let Some(record) = consumer.try_recv().expect("not corrupt") {
            assert_eq!(record.payload()[..4], next.to_le_bytes());
            next += 1;
            record.release();
        }
    }
    writer.join().expect("writer");
}

#[test]
fn an_armed_doorbell_rings_once_and_an_unarmed_one_stays_silent() {
    let (segment, mut producer, mut consumer) = ring("doorbell", 4096, 0);
    let bell = new_doorbell().expect("eventfd");
    producer.set_doorbell(bell.try_clone().expect("dup"));
    consumer.set_doorbell(bell.try_clone().expect("dup"));
    let rings = || {
        let mut counter = [0u8; 8];
        rustix::io::read(&bell, &mut counter).map_or(0, |_| u64::from_ne_bytes(counter))
    };
    send(&mut producer, 1, b"x");
    producer.flush();
    assert_eq!(rings(), 0, "nobody asked");
    assert!(!consumer.arm_doorbell(), "there is something to read");
    consumer
        .try_recv()
        .expect("not corrupt")
        .expect("committed")
        .release();
    assert!(consumer.arm_doorbell());
    producer.flush();
    assert_eq!(rings(), 0, "nothing new");
    for _ in 0..5 {
        send(&mut producer, 1, b"y");
        producer.flush();
    }
    assert_eq!(rings(), 1, "one ring per arming");
    consumer.disarm_doorbell();
    drop(segment);
}

#[test]
fn recover_rings_for_a_producer_that_died_before_its_wake() {
    let (mut segment, mut producer, mut consumer) = ring("owed", 4096, 0);
    let bell = new_doorbell().expect("eventfd");
    segment.set_doorbell(bell.try_clone().expect("dup"));
    assert!(consumer.arm_doorbell());
    send(&mut producer, 1, b"committed, never flushed");
    std::mem::forget(producer);
    segment.bump_epoch(Side::Producer);
    assert_eq!(segment.recover().expect("sound").records, 1);
    let mut counter = [0u8; 8];
    assert!(rustix::io::read(&bell, &mut counter).is_ok());
    assert!(consumer.try_recv().expect("not corrupt").is_some());
}

#[test]
fn names_and_capacities_out_of_bounds_are_refused() {
    for name in ["", "a/b", "..", "nul\0", &"x".repeat(201)] {
        let mut bad = spec("bad", 4096);
        bad.name = name.to_owned();
        assert!(
            matches!(Segment::create(&bad), Err(ShmError::Name(_))),
            "{name:?}"
        );
    }
    for capacity in [0, 1, 2048, 4097, 12288, 1 << 31, usize::MAX] {
        assert!(matches!(
            Segment::create(&spec("bad", capacity)),
            Err(ShmError::Capacity(_))
        ));
    }
    let taken = spec("taken", 4096);
    let _segment = Segment::create(&taken).expect("room");
    assert!(matches!(Segment::create(&taken), Err(ShmError::Exists(_))));
    assert!(matches!(
        Consumer::attach("adnet-shmtest-no-such", &EXPECT, 1),
        Err(ShmError::NotFound(_))
    ));
}

#[test]
#[should_panic(expected = "the kind of padding is not for messages")]
fn the_kind_of_padding_is_reserved() {
    let (_segment, mut producer, _consumer) = ring("pad", 4096, 0);
    let _ = producer.try_loan(0).expect("room").commit(KIND_PAD, 0, 0);
}
