//! The ring against a model: whatever is done in whatever order, it behaves as a bounded queue that
//! remembers, through any number of restarts and across the wrap of its indices at 2⁶⁴.

mod common;

use std::collections::VecDeque;

use adnet_shm::layout::record_span;
use adnet_shm::{Consumer, LoanError, Producer, Segment, Side};
use common::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Send {
        len: usize,
        loan: usize,
        flush: bool,
        stage: bool,
    },
    Abort {
        len: usize,
    },
    Receive,
    Release,
    KillProducer,
    KillConsumer,
    Audit,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0usize..=512, 0usize..=512, any::<bool>(), any::<bool>()).prop_map(
            |(a, b, flush, stage)| Step::Send { len: a.min(b), loan: a.max(b), flush, stage }
        ),
        1 => (0usize..=600).prop_map(|len| Step::Abort { len }),
        8 => Just(Step::Receive),
        4 => Just(Step::Release),
        1 => Just(Step::KillProducer),
        1 => Just(Step::KillConsumer),
        1 => Just(Step::Audit),
    ]
}

/// Half of the runs wrap their indices within the first few laps.
fn start_index() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>().prop_map(|index| index & !63),
        (0u64..300).prop_map(|granules| 0u64.wrapping_sub(granules * 64)),
    ]
}

struct Model {
    segment: Segment,
    producer: Option<Producer>,
    consumer: Option<Consumer>,
    /// Committed and not released: number and contents.
    queue: VecDeque<(u64, Vec<u8>)>,
    /// Written and not yet visible.
    staged: VecDeque<(u64, Vec<u8>)>,
    /// How many of the committed ones were read.
    read: usize,
    next_seq: u64,
}

impl Model {
    fn new(start: u64) -> Model {
        let (segment, producer, consumer) = ring("model", 4096, start);
        Model {
            segment,
            producer: Some(producer),
            consumer: Some(consumer),
            queue: VecDeque::new(),
            staged: VecDeque::new(),
            read: 0,
            next_seq: 1,
        }
    }

    fn producer(&mut self) -> &mut Producer {
        self.producer.as_mut().expect("one is always attached")
    }

    fn consumer(&mut self) -> &mut Consumer {
        self.consumer.as_mut().expect("one is always attached")
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Send {
                len,
                loan,
                flush,
                stage,
            } => self.send(len, loan, flush, stage),
            Step::Abort { len } => match self.producer().try_loan(len) {
                Ok(mut slot) => slot.fill(0xaa),
                Err(LoanError::Full) => self.queue.append(&mut self.staged),
                Err(error) => {
                    assert_eq!((error, len > 512), (LoanError::TooLarge { max: 512 }, true))
                }
            },
            Step::Receive => self.receive(),
            Step::Release => {
                self.consumer().release();
                self.queue.drain(..self.read);
                self.read = 0;
            }
            Step::KillProducer => {
                // What is staged dies with it.
                self.next_seq -= self.staged.len() as u64;
                self.staged.clear();
                std::mem::forget(self.producer.take());
                self.segment.bump_epoch(Side::Producer);
                self.producer = Some(attach_producer(&self.segment));
                assert_eq!(self.producer().next_seq(), self.next_seq);
            }
            Step::KillConsumer => {
                std::mem::forget(self.consumer.take());
                self.segment.bump_epoch(Side::Consumer);
                self.consumer = Some(attach_consumer(&self.segment));
                self.read = 0;
            }
            Step::Audit => {
                let audit = self.segment.audit().expect("sound");
                assert_eq!(audit.records, self.queue.len() as u64);
                let committed = self.next_seq - self.staged.len() as u64;
                assert_eq!(audit.next_seq, committed);
            }
        }
    }

    fn send(&mut self, len: usize, loan: usize, flush: bool, stage: bool) {
        let seq = self.next_seq;
        let bytes: Vec<u8> = (0..len).map(|i| (seq as usize * 31 + i) as u8).collect();
        let free = 4096 - self.producer().used_bytes();
        match self.producer().try_loan(loan) {
            Ok(mut slot) => {
                assert!(record_span(loan) <= free);
                slot[..len].copy_from_slice(&bytes);
                let stored = match stage {
                    true => slot.stage(1, seq as u16, len),
                    false => slot.commit(1, seq as u16, len),
                };
                assert_eq!(stored, Ok(seq));
                self.staged.push_back((seq, bytes));
                if !stage {
                    self.queue.append(&mut self.staged);
                }
                self.next_seq += 1;
            }
            // Padding is shorter than the record that needs it.
            Err(error) => {
                assert_eq!(error, LoanError::Full);
                assert!(2 * record_span(loan) > free);
                self.queue.append(&mut self.staged);
            }
        }
        if flush {
            self.producer().flush();
            self.queue.append(&mut self.staged);
        }
    }

    fn receive(&mut self) {
        let expected = self.queue.get(self.read).cloned();
        let found = self
            .consumer()
            .try_recv()
            .expect("not corrupt")
            .map(|record| (record.seq, record.payload().to_vec()));
        assert_eq!(found, expected);
        self.read += usize::from(found.is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_ring_is_a_bounded_queue_that_survives_restarts(
        start in start_index(),
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut model = Model::new(start);
        for step in &steps {
            model.apply(step);
        }
        while model.read < model.queue.len() {
            model.receive();
        }
        model.receive();
    }
}
