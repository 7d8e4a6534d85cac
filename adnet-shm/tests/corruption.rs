//! Every byte of a segment is damaged in turn. The answer is a named error, or the records as they
//! were; never a panic, and never a record out of thin air.

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;

use adnet_shm::layout::{DATA, PAGE, RecordHeader, record_span};
use adnet_shm::{Consumer, Producer, RingError, Segment, ShmError, Side, decode_header};
use common::*;
use proptest::prelude::*;

const CAPACITY: usize = 4096;

/// A ring whose data wraps: padding in the middle, records before and after it.
fn filled() -> (Segment, Vec<Vec<u8>>) {
    let (segment, mut producer, mut consumer) = ring("corrupt", CAPACITY, 0);
    for _ in 0..7 {
        send(&mut producer, 1, &[0; 500]);
        consumer
            .try_recv()
            .expect("sound")
            .expect("committed")
            .release();
    }
    // At 7 · 576 = 4032 one granule is left before the end.
    let messages: Vec<Vec<u8>> = [100usize, 0, 48, 512]
        .iter()
        .map(|&len| vec![len as u8; len])
        .collect();
    for message in &messages {
        send(&mut producer, 1, message);
    }
    (segment, messages)
}

/// All records that a fresh consumer gets, and how it ends.
fn read_all(segment: &Segment) -> Result<(Vec<Vec<u8>>, Option<RingError>), ShmError> {
    let epoch = segment.bump_epoch(Side::Consumer);
    let mut consumer = Consumer::attach(segment.name(), &EXPECT, epoch)?;
    let mut records = Vec::new();
    for _ in 0..CAPACITY / 64 + 1 {
        match consumer.try_recv() {
            Ok(Some(record)) => records.push(record.payload().to_vec()),
            Ok(None) => return Ok((records, None)),
            Err(error) => {
                assert_eq!(
                    consumer.try_recv().err(),
                    Some(error),
                    "it stays where it is"
                );
                assert_eq!(consumer.corrupt_count(), 2);
                return Ok((records, Some(error)));
            }
        }
    }
    panic!("more records than the ring has granules");
}

/// Runs `check` with each byte of the range damaged in turn: one bit of it, then all.
fn flip_each(file: &File, from: usize, len: usize, mut check: impl FnMut(usize)) {
    for at in from..from + len {
        let mut byte = [0u8];
        file.read_exact_at(&mut byte, at as u64)
            .expect("in the file");
        for damage in [1 << (at % 8), 0xff] {
            file.write_all_at(&[byte[0] ^ damage], at as u64)
                .expect("in the file");
            check(at);
        }
        file.write_all_at(&byte, at as u64).expect("in the file");
    }
}

#[test]
fn every_damaged_byte_of_the_header_is_refused() {
    let (segment, messages) = filled();
    let file = raw(&segment);
    flip_each(&file, 0, 104, |at| {
        let answer = read_all(&segment);
        assert!(answer.is_err(), "byte {at}: {answer:?}");
        assert!(segment.audit().is_err(), "byte {at}");
    });
    // The rest of the page means nothing.
    flip_each(&file, 104, 64, |_| {
        assert_eq!(read_all(&segment).expect("sound").0, messages);
    });
}

#[test]
fn every_damaged_byte_of_the_data_is_an_error_or_stays_in_its_payload() {
    let (segment, messages) = filled();
    let file = raw(&segment);
    // Where the payloads lie: the ring begins with the message after the padding.
    let mut payloads = Vec::new();
    let mut at = 0;
    for message in &messages {
        payloads.push(at + 16..at + 16 + message.len());
        at += record_span(message.len()) as usize;
    }
    flip_each(&file, DATA, CAPACITY, |at| {
        let (records, error) = read_all(&segment).expect("header and pages are whole");
        let offset = at - DATA;
        match payloads.iter().position(|range| range.contains(&offset)) {
            Some(touched) => {
                assert_eq!(error, None);
                for (i, (record, message)) in records.iter().zip(&messages).enumerate() {
                    assert_eq!(record.len(), message.len());
                    assert_eq!(record == message, i != touched);
                }
            }
            None if error.is_none() => assert_eq!(records, messages, "byte {offset}"),
            None => {
                assert!(messages.starts_with(&records), "byte {offset}");
                assert!(segment.audit().is_err(), "byte {offset}");
            }
        }
    });
}

#[test]
fn every_damaged_byte_of_the_side_pages_is_an_error_or_harmless() {
    let (segment, messages) = filled();
    let file = raw(&segment);
    for side in [Side::Producer, Side::Consumer] {
        let from = match side {
            Side::Producer => PAGE,
            Side::Consumer => 2 * PAGE,
        };
        // Index and journal; the epochs behind are what the test itself counts with.
        flip_each(&file, from, 0x100, |at| {
            if let Ok((records, error)) = read_all(&segment) {
                let all = records == messages;
                assert!(
                    all || error.is_some(),
                    "byte {at:#x}: {} records",
                    records.len()
                );
            }
            let epoch = segment.bump_epoch(Side::Producer);
            if let Ok(mut producer) = Producer::attach(segment.name(), &EXPECT, epoch) {
                // Full, fenced or corrupt: any answer but a panic or a write out of bounds.
                let _aborted = producer.try_loan(512);
            }
            let _ = segment.recover();
        });
        flip_each(&file, from + 0x180, 8, |_| {
            assert_eq!(read_all(&segment).expect("sound").0, messages);
        });
    }
}

#[test]
fn indices_that_jump_while_attached_are_errors() {
    let (segment, mut producer, mut consumer) = ring("jump", CAPACITY, 0);
    send(&mut producer, 1, b"fine");
    let file = raw(&segment);
    let set = |page: usize, index: u64| {
        file.write_all_at(&index.to_le_bytes(), page as u64)
            .expect("in the file");
    };
    for tail in [1, 65, CAPACITY as u64 + 64, u64::MAX - 63] {
        set(PAGE, tail);
        assert!(
            matches!(consumer.try_recv(), Err(RingError::Corrupt { .. })),
            "{tail}"
        );
    }
    set(PAGE, 64);
    assert!(consumer.try_recv().expect("sound again").is_some());
    set(PAGE, 0);
    assert!(
        matches!(consumer.try_recv(), Err(RingError::Corrupt { .. })),
        "going back"
    );
    // The producer looks at the consumer's index only when it needs to.
    for head in [1, 1 << 20, u64::MAX - 63] {
        set(2 * PAGE, head);
        let mut refused = None;
        for _ in 0..CAPACITY / 64 {
            match producer.try_loan(512) {
                Ok(slot) => drop(slot.commit(1, 0, 512)),
                Err(error) => refused = Some(error),
            }
        }
        assert!(
            matches!(refused, Some(adnet_shm::LoanError::Corrupt(_))),
            "{head}: {refused:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_as_a_header_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200), len: u64) {
        prop_assert!(decode_header(&bytes, len).is_err());
    }

    #[test]
    fn a_record_header_passes_only_where_it_belongs(
        ring: u32, seq: u64, kind in 0u16..u16::MAX, flags: u16, len in 0u32..512, stray: u64,
    ) {
        let header = RecordHeader { kind, flags, len };
        let words = header.encode(ring, seq);
        let decode = |words, ring, seq| RecordHeader::decode(words, ring, seq, 1024, 4096, 512);
        prop_assert_eq!(decode(words, ring, seq), Ok(header));
        prop_assert!(decode(words, ring, seq.wrapping_add(1)).is_err());
        prop_assert!(decode(words, ring, seq.wrapping_add(1 << 32)).is_err(), "one lap of the low half");
        prop_assert!(decode(words, ring.wrapping_add(1), seq).is_err());
        prop_assert!(decode([words[0], words[1] ^ stray.max(1)], ring, seq).is_err());
        prop_assert!(RecordHeader::decode(words, ring, seq, record_span(len as usize) - 64, 4096, 512).is_err());
    }
}
