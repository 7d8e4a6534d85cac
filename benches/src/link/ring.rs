//! Our own ring: one in each direction.

use std::process::{Child, Command};
use std::time::Duration;

use adnet_shm::layout::record_span;
use adnet_shm::{Consumer, LoanError, Producer, RingExpect, RingSpec, Segment, WaitOutcome};

use super::{Job, Link, Seen, Wait, depth, put_words};

const EXPECT: RingExpect = RingExpect {
    ring_id: 1,
    schema_hash: [1; 32],
};

/// One end of two rings.
pub struct Ring {
    producer: Producer,
    consumer: Consumer,
    wait: Wait,
    bytes: usize,
    batch: usize,
    unreleased: usize,
    /// The first process owns the memory.
    _segments: Vec<Segment>,
}

impl Ring {
    fn attach(job: &Job, send_on: &str, receive_on: &str, segments: Vec<Segment>) -> Ring {
        Ring {
            producer: Producer::attach(send_on, &EXPECT, 1).expect("attach"),
            consumer: Consumer::attach(receive_on, &EXPECT, 1).expect("attach"),
            wait: job.wait,
            bytes: job.words * 8,
            batch: job.batch,
            unreleased: 0,
            _segments: segments,
        }
    }

    fn names(job: &Job) -> [String; 2] {
        [
            format!("{}-there", job.address),
            format!("{}-back", job.address),
        ]
    }
}

impl Link for Ring {
    const NAME: &'static str = "adnet-shm ring";

    fn start(job: &mut Job, mut peer: Command) -> (Ring, Child) {
        let bytes = job.words * 8;
        let capacity = (depth(job.words) * record_span(bytes) as usize)
            .max(8 * bytes)
            .next_power_of_two();
        let names = Ring::names(job);
        let segments = names
            .iter()
            .map(|name| {
                Segment::create(&RingSpec {
                    name: name.clone(),
                    ring_id: EXPECT.ring_id,
                    capacity,
                    schema_hash: EXPECT.schema_hash,
                    build_id: [0; 16],
                })
                .expect("room in /dev/shm")
            })
            .collect();
        let child = peer.args(job.arguments()).spawn().expect("this binary");
        (Ring::attach(job, &names[0], &names[1], segments), child)
    }

    fn join(job: &Job) -> Ring {
        let [there, back] = Ring::names(job);
        Ring::attach(job, &back, &there, Vec::new())
    }

    #[inline]
    fn send(&mut self, seed: u64) {
        loop {
            match self.producer.try_loan(self.bytes) {
                Ok(mut slot) => {
                    put_words(&mut slot, seed);
                    // A batch becomes visible as a whole, with the flush.
                    let stored = match self.batch {
                        1 => slot.commit(1, 0, self.bytes),
                        _ => slot.stage(1, 0, self.bytes),
                    };
                    stored.expect("not fenced");
                    return;
                }
                Err(LoanError::Full) => {}
                Err(error) => panic!("loan: {error}"),
            }
            match self.wait {
                Wait::Polling => std::hint::spin_loop(),
                Wait::Blocking => {
                    self.producer
                        .wait_for_space(self.bytes, Duration::from_secs(1));
                }
            }
        }
    }

    #[inline]
    fn flush(&mut self) {
        // Where both sides poll, nobody has to be woken, and a single message is committed already.
        if self.wait == Wait::Blocking || self.batch > 1 {
            self.producer.flush();
        }
    }

    #[inline]
    fn recv(&mut self) -> Seen {
        loop {
            let seen = match self.consumer.try_recv() {
                Ok(Some(record)) => Some(Seen::in_bytes(record.payload())),
                Ok(None) => None,
                Err(error) => panic!("receive: {error}"),
            };
            if let Some(seen) = seen {
                self.unreleased += 1;
                if self.unreleased >= self.batch {
                    self.consumer.release();
                    self.unreleased = 0;
                }
                return seen;
            }
            self.consumer.release();
            self.unreleased = 0;
            match self.wait {
                Wait::Polling => std::hint::spin_loop(),
                Wait::Blocking => {
                    let outcome = self.consumer.wait(Duration::from_secs(1));
                    assert_ne!(outcome, WaitOutcome::Fenced);
                }
            }
        }
    }
}
