//! Our own ring, one in each direction, with each of the ways in which its reader may wait.

use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use adnet_shm::layout::record_span;
use adnet_shm::{
    BACKSTOP, Consumer, LoanError, Producer, RingExpect, RingSpec, Segment, WaitOutcome,
    new_doorbell,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Job, Link, Seen, Wait, depth, put_words};

const EXPECT: RingExpect = RingExpect {
    ring_id: 1,
    schema_hash: [1; 32],
};

/// How the reader of a ring waits where both sides give the core away.
pub trait RingWait {
    /// Name of the ring in tables.
    const NAME: &'static str;
    /// Rounds of looking before it sleeps; `None` keeps the ring's own bound.
    const SPIN_ROUNDS: Option<u32>;
    /// Whether it sleeps on an eventfd, as the chain thread of a worker does.
    const BY_DOORBELL: bool = false;
}

/// Sleeps on the futex at once, each time.
pub struct Futex;

impl RingWait for Futex {
    const NAME: &'static str = "adnet-shm ring";
    const SPIN_ROUNDS: Option<u32> = Some(0);
}

/// Sleeps on an eventfd at once, each time.
pub struct Doorbell;

impl RingWait for Doorbell {
    const NAME: &'static str = "adnet-shm ring with eventfd";
    const SPIN_ROUNDS: Option<u32> = Some(0);
    const BY_DOORBELL: bool = true;
}

/// Looks for about 30 us and sleeps only if nothing came: what the ring does unless told otherwise.
pub struct SpinThenFutex;

impl RingWait for SpinThenFutex {
    const NAME: &'static str = "adnet-shm ring, spin then futex";
    const SPIN_ROUNDS: Option<u32> = None;
}

/// One end of two rings.
pub struct Ring<W = Futex> {
    producer: Producer,
    consumer: Consumer,
    wait: Wait,
    bytes: usize,
    batch: usize,
    unreleased: usize,
    /// The first process owns the memory.
    _segments: Vec<Segment>,
    _wait: PhantomData<W>,
}

impl<W: RingWait> Ring<W> {
    fn attach(job: &Job, send_on: &str, receive_on: &str, segments: Vec<Segment>) -> Ring<W> {
        let mut producer = Producer::attach(send_on, &EXPECT, 1).expect("attach");
        let mut consumer = Consumer::attach(receive_on, &EXPECT, 1).expect("attach");
        if let Some(rounds) = W::SPIN_ROUNDS {
            producer.set_spin_rounds(rounds);
            consumer.set_spin_rounds(rounds);
        }
        Ring {
            producer,
            consumer,
            wait: job.wait,
            bytes: job.words * 8,
            batch: job.batch,
            unreleased: 0,
            _segments: segments,
            _wait: PhantomData,
        }
    }

    fn names(job: &Job) -> [String; 2] {
        [
            format!("{}-there", job.address),
            format!("{}-back", job.address),
        ]
    }

    fn set_doorbells(&mut self, rung: OwnedFd, rings: OwnedFd) {
        self.consumer.set_doorbell(rung);
        self.producer.set_doorbell(rings);
    }

    fn sleep(&mut self) {
        if !W::BY_DOORBELL {
            let outcome = self.consumer.wait(Duration::from_secs(1));
            assert_ne!(outcome, WaitOutcome::Fenced);
            return;
        }
        if self.consumer.arm_doorbell() {
            let timeout = Timespec {
                tv_sec: 0,
                tv_nsec: BACKSTOP.as_nanos() as i64,
            };
            let doorbell = self.consumer.doorbell().expect("set by both processes");
            poll(&mut [PollFd::new(&doorbell, PollFlags::IN)], Some(&timeout)).expect("poll");
        }
        self.consumer.disarm_doorbell();
    }
}

impl<W: RingWait> Link for Ring<W> {
    const NAME: &'static str = W::NAME;

    fn start(job: &mut Job, mut peer: Command) -> (Ring<W>, Child) {
        let bytes = job.words * 8;
        let capacity = (depth(job.words) * record_span(bytes) as usize)
            .max(8 * bytes)
            .next_power_of_two();
        let names = Ring::<W>::names(job);
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
        let mut ring = Ring::attach(job, &names[0], &names[1], segments);
        if W::BY_DOORBELL {
            let pair = || {
                let bell = new_doorbell().expect("an eventfd");
                (bell.try_clone().expect("an eventfd"), bell)
            };
            let ((rings, theirs), (rung, they_ring)) = (pair(), pair());
            ring.set_doorbells(rung, rings);
            peer.stdin(Stdio::from(theirs))
                .stdout(Stdio::from(they_ring));
        }
        let child = peer.args(job.arguments()).spawn().expect("this binary");
        (ring, child)
    }

    fn join(job: &Job) -> Ring<W> {
        let [there, back] = Ring::<W>::names(job);
        let mut ring = Ring::attach(job, &back, &there, Vec::new());
        if W::BY_DOORBELL {
            let rung = rustix::io::dup(std::io::stdin()).expect("given by the parent");
            let rings = rustix::io::dup(std::io::stdout()).expect("given by the parent");
            ring.set_doorbells(rung, rings);
        }
        ring
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
                Wait::Blocking => self.sleep(),
            }
        }
    }
}
