//! Every decoder against any bytes and against valid encodings with a few changes, from fixed seeds.
//!
//! What a decoder takes for its input is bounded as well: an allocator that counts watches each
//! call. `HOSTILE_ROUNDS` asks for more rounds than the ordinary run has time for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use adnet_alpha::AlphaApp;
use adnet_common::block::{Block, Body};
use adnet_common::codec::Writer;
use adnet_common::ledger::CommittedBlock;
use adnet_common::node::{Class, Input};
use adnet_tests::hostile::{Decoder, Group, Listener, Mutator, history, of_group};
use adnet_tests::hostile_peers;

/// Rounds per decoder, unless the time is over before.
const ROUNDS: u64 = 20_000;
/// Time per decoder.
const TIME: Duration = Duration::from_millis(400);
/// A call may hold this much at once, and so many bytes more for each byte of its input.
const HELD_BYTES: usize = 4 << 20;
const HELD_PER_BYTE: usize = 64;

/// The system's allocator, which counts what each thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    // A thread that ends frees memory after its locals are gone; nobody asks it any more.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: all calls go to the system's allocator as they come; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that `work` held at once beyond what was held before.
fn most_held(work: impl FnOnce()) -> usize {
    let before = HELD.get();
    MOST.set(before);
    work();
    usize::try_from(MOST.get() - before).unwrap_or(0)
}

fn check(decoder: &Decoder, bytes: &[u8]) {
    let held = most_held(|| (decoder.check)(bytes));
    let allowed = HELD_BYTES + HELD_PER_BYTE * bytes.len();
    let (name, len) = (decoder.name, bytes.len());
    assert!(held <= allowed, "{name}: {held} bytes held for {len}");
}

fn rounds() -> (u64, Duration) {
    let asked = std::env::var("HOSTILE_ROUNDS").ok();
    match asked.and_then(|text| text.parse().ok()) {
        Some(rounds) => (rounds, Duration::MAX),
        None => (ROUNDS, TIME),
    }
}

fn try_group(group: Group) {
    try_all(&of_group(group));
}

fn try_all(decoders: &[Decoder]) {
    let (rounds, time) = rounds();
    for decoder in decoders {
        let samples = (decoder.samples)(history());
        assert!(!samples.is_empty(), "{} has no samples", decoder.name);
        for sample in &samples {
            check(decoder, sample);
        }
        let began = Instant::now();
        let mut tried = 0;
        while tried < rounds && began.elapsed() < time {
            let seed = tried;
            let mut mutator = Mutator::new(seed);
            let bytes = match seed % 8 {
                0 => mutator.bytes(),
                _ => mutator.mutate(&samples),
            };
            let outcome = std::panic::catch_unwind(|| check(decoder, &bytes));
            assert!(
                outcome.is_ok(),
                "{}, seed {seed}: {}",
                decoder.name,
                bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()
            );
            tried += 1;
        }
        println!("{}: {tried} inputs", decoder.name);
    }
}

#[test]
fn blocks() {
    try_group(Group::Block);
}

#[test]
fn transactions() {
    try_group(Group::Transaction);
}

#[test]
fn calls_of_system_programs() {
    try_group(Group::Program);
}

#[test]
fn questions_of_clients() {
    try_group(Group::Question);
}

#[test]
fn proofs() {
    try_group(Group::Proof);
}

#[test]
fn consensus_messages() {
    try_group(Group::Consensus);
}

#[test]
fn messages_of_the_rings() {
    try_group(Group::Link);
}

#[test]
fn text() {
    try_group(Group::Text);
}

#[test]
fn nodes_that_hear_anything() {
    try_group(Group::Node);
}

#[test]
fn what_peers_say_before_they_are_linked() {
    try_all(&hostile_peers::decoders());
}

/// A peer that sends one large block after the other, each above what is missing, is not kept.
#[test]
fn blocks_that_a_peer_sends_ahead_are_bounded() {
    const BLOCK_BYTES: usize = 4 << 20;
    const HELD_MAX: usize = 72 << 20;
    let mut listener = Listener::<AlphaApp>::new();
    let mut header = history().alpha.blocks[1].block.header.clone();
    let body = Body {
        txs: vec![vec![0; 256 << 10]; BLOCK_BYTES >> 18],
        ..Body::default()
    };
    header.body_root = body.root();
    let mut block = CommittedBlock {
        block: Block { header, body },
        certificate: Vec::new(),
    };
    let held = most_held(|| {
        for height in 2..30 {
            block.block.header.height = height;
            let mut response = Writer::new();
            response.u8(3).list(&[block.encode()], |w, block| {
                w.bytes(block);
            });
            listener.hear(Input::Network {
                peer: [1; 32],
                class: Class::SyncResponse,
                bytes: response.finish(),
            });
        }
    });
    assert!(held <= HELD_MAX, "{held} bytes held");
}
