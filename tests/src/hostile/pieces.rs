//! Pieces of a state: what a root does not prove is refused, and nothing but the one true piece passes.

use super::{Decoder, Group, History, history};
use adnet_alpha::AlphaApp;
use adnet_common::application::Application;
use adnet_common::memory_store::MemoryStore;
use adnet_common::restore::Restore;
use adnet_delta::DeltaApp;
use std::sync::LazyLock;

/// Where a state begins.
fn first_place<A: Application>(history: &History) -> Vec<u8> {
    let (root, _) = A::genesis_state(&history.genesis);
    let restore = A::Restore::new(0, root);
    let first = restore.wanted().next().map(<[u8]>::to_vec);
    first.expect("a state that has not come is wanted")
}

/// The whole state of the genesis, which is one piece.
fn piece<A: Application>(history: &History) -> Vec<u8> {
    let (root, writes) = A::genesis_state(&history.genesis);
    let mut store = MemoryStore::new();
    store.apply(&writes);
    let app = A::open(&history.genesis, &store, 0, root);
    let mut app = app.expect("a development genesis opens");
    app.keep_snapshot();
    let piece = app.piece(&store, 0, &first_place::<A>(history));
    piece.expect("memory does not fail").expect("it is kept")
}

fn check<A: Application>(good: &[u8], bytes: &[u8]) {
    let (root, _) = A::genesis_state(&history().genesis);
    let mut restore = A::Restore::new(0, root);
    if restore.take(&first_place::<A>(history()), bytes).is_ok() {
        assert_eq!(bytes, good, "another piece with the same root");
    }
}

static ALPHA: LazyLock<Vec<u8>> = LazyLock::new(|| piece::<AlphaApp>(history()));
static DELTA: LazyLock<Vec<u8>> = LazyLock::new(|| piece::<DeltaApp>(history()));

pub fn decoders() -> Vec<Decoder> {
    vec![
        Decoder {
            name: "piece of Alpha's state",
            group: Group::Proof,
            samples: |_| vec![ALPHA.clone()],
            check: |bytes| check::<AlphaApp>(&ALPHA, bytes),
        },
        Decoder {
            name: "piece of Delta's state",
            group: Group::Proof,
            samples: |_| vec![DELTA.clone()],
            check: |bytes| check::<DeltaApp>(&DELTA, bytes),
        },
    ]
}
