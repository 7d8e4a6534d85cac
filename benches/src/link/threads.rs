//! For reference only: two queues between threads of ONE process, which need no other process's
//! memory and survive no death.

use std::sync::mpsc;
use std::time::Instant;

use hdrhistogram::Histogram;

use super::{Seen, Wait, pin, sum_of, word};

/// Words in a message of the reference: 64 bytes.
const WORDS: usize = 8;
type Message = [u64; WORDS];

fn message(seed: u64) -> Message {
    std::array::from_fn(|i| word(seed, i))
}

fn measure(
    count: u64,
    tail: &mut Histogram<u64>,
    mut send: impl FnMut(Message),
    mut recv: impl FnMut() -> Message,
) {
    for number in 0..count {
        let seed = number << 20;
        let begin = Instant::now();
        send(message(seed));
        let seen = Seen::in_words(&recv());
        tail.saturating_record(begin.elapsed().as_nanos() as u64);
        assert_eq!(seen.first, sum_of(seed, WORDS));
    }
}

/// Round trips of 64 bytes over two channels of the standard library.
pub fn std_mpsc_round_trips(wait: Wait, count: u64, tail: &mut Histogram<u64>) {
    let receive = move |receiver: &mpsc::Receiver<Message>| match wait {
        Wait::Blocking => receiver.recv().ok(),
        Wait::Polling => loop {
            match receiver.try_recv() {
                Ok(message) => break Some(message),
                Err(mpsc::TryRecvError::Empty) => std::hint::spin_loop(),
                Err(mpsc::TryRecvError::Disconnected) => break None,
            }
        },
    };
    let (there, at_peer) = mpsc::sync_channel::<Message>(512);
    let (back, here) = mpsc::sync_channel::<Message>(512);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            pin(1);
            while let Some(message) = receive(&at_peer) {
                let answer = self::message(Seen::in_words(&message).sum);
                if back.send(answer).is_err() {
                    return;
                }
            }
        });
        pin(0);
        let send = |message| there.send(message).expect("the thread lives");
        measure(count, tail, send, || {
            receive(&here).expect("the thread lives")
        });
        drop(there);
    });
}

/// Round trips of 64 bytes over two rtrb rings, which only poll.
pub fn rtrb_round_trips(count: u64, tail: &mut Histogram<u64>) {
    let (mut there, mut at_peer) = rtrb::RingBuffer::<Message>::new(512);
    let (mut back, mut here) = rtrb::RingBuffer::<Message>::new(512);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            pin(1);
            for _ in 0..count {
                let message = pop(&mut at_peer);
                let answer = self::message(Seen::in_words(&message).sum);
                back.push(answer).expect("one at a time");
            }
        });
        pin(0);
        let send = |message| there.push(message).expect("one at a time");
        measure(count, tail, send, || pop(&mut here));
    });
}

fn pop(ring: &mut rtrb::Consumer<Message>) -> Message {
    loop {
        match ring.pop() {
            Ok(message) => return message,
            Err(_) => std::hint::spin_loop(),
        }
    }
}
