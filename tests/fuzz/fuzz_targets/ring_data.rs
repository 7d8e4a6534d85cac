//! Any bytes in the side pages and the data of a ring: both sides and the auditor give an answer
//! and touch nothing outside the mapping.
#![no_main]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use adnet_shm::layout::{DATA, PAGE};
use adnet_shm::{Consumer, Producer, RingExpect, RingSpec, Segment, Side};
use libfuzzer_sys::fuzz_target;

const CAPACITY: usize = 4096;
const EXPECT: RingExpect = RingExpect {
    ring_id: 1,
    schema_hash: [1; 32],
};

unsafe extern "C" {
    /// `atexit(3)`.
    fn atexit(handler: extern "C" fn()) -> std::ffi::c_int;
}

fn segment_name() -> String {
    format!("adnet-fuzz-{}-ring", std::process::id())
}

extern "C" fn remove_segment() {
    // It may be gone already, and the process ends anyway.
    let _ = std::fs::remove_file(format!("/dev/shm/{}", segment_name()));
}

fn ring() -> &'static (Segment, File) {
    static RING: OnceLock<(Segment, File)> = OnceLock::new();
    RING.get_or_init(|| {
        // A static is never dropped: the segment goes when the process exits. What one that was
        // killed, or found something, has left is swept here.
        adnet_shm::unlink_stale("adnet-fuzz-");
        // SAFETY: `remove_segment` takes nothing and does not unwind.
        assert_eq!(unsafe { atexit(remove_segment) }, 0, "room for a handler");
        let segment = Segment::create(&RingSpec {
            name: segment_name(),
            ring_id: EXPECT.ring_id,
            capacity: CAPACITY,
            schema_hash: EXPECT.schema_hash,
            build_id: [0; 16],
        })
        .expect("room in /dev/shm");
        let file = OpenOptions::new()
            .write(true)
            .open(format!("/dev/shm/{}", segment.name()))
            .expect("the segment is a file");
        (segment, file)
    })
}

fuzz_target!(|input: ([u64; 5], [u64; 5], Vec<u8>, bool)| {
    let (producer_page, consumer_page, data, consistent) = input;
    let (segment, file) = ring();
    let put = |at: usize, bytes: &[u8]| file.write_all_at(bytes, at as u64).expect("in the file");
    for (page, words) in [(PAGE, producer_page), (2 * PAGE, consumer_page)] {
        // Often make index and journal agree, or nearly all inputs end at the attachment.
        let index = if consistent {
            words[0] & 0x1fc0
        } else {
            words[0]
        };
        let at = if consistent { index } else { words[1] };
        put(page, &index.to_le_bytes());
        for (offset, word) in [
            (0x80, at),
            (0x88, words[2]),
            (0x90, words[3]),
            (0x98, words[4]),
        ] {
            put(page + offset, &word.to_le_bytes());
        }
    }
    put(DATA, &data[..data.len().min(CAPACITY)]);

    let _ = segment.audit();
    let epoch = segment.bump_epoch(Side::Consumer);
    if let Ok(mut consumer) = Consumer::attach(segment.name(), &EXPECT, epoch) {
        let mut records = 0;
        while let Ok(Some(record)) = consumer.try_recv() {
            std::hint::black_box(record.payload().iter().fold(0u8, |a, b| a ^ b));
            records += 1;
            assert!(records <= CAPACITY / 64, "more records than granules");
        }
        consumer.release();
    }
    let epoch = segment.bump_epoch(Side::Producer);
    if let Ok(mut producer) = Producer::attach(segment.name(), &EXPECT, epoch) {
        for len in [0, 64, 512] {
            if let Ok(mut slot) = producer.try_loan(len) {
                slot.fill(0x55);
                let _ = slot.commit(1, 2, len);
            }
        }
        producer.flush();
    }
});
