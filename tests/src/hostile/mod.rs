//! Every decoder that faces the bytes of strangers, with valid encodings to begin from and the rule
//! that it keeps: an error, or a value that says the same as the bytes; never a panic.
//!
//! The rules are checked in two ways: by a seeded mutation test in the ordinary test run, and by
//! libFuzzer, whose targets include this module as it stands. It therefore knows the chains and
//! nothing of the supervisor, whose database takes longest to compile; what the supervisor reads of
//! peers is in `hostile_peers`.

mod formats;
mod history;
mod links;
mod mutation;
mod network;
mod pieces;
mod programs;
mod questions;
mod text;

pub use history::{History, history};
pub use mutation::Mutator;
pub use network::Listener;

/// What belongs together in one fuzz target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Blocks, headers, and what they hold.
    Block,
    /// Transactions of both chains.
    Transaction,
    /// Certificates, finality proofs, attestations and state proofs.
    Proof,
    /// Consensus messages and evidence.
    Consensus,
    /// Messages of the rings, validated in place.
    Link,
    /// Genesis files, addresses, JSON.
    Text,
    /// Whole messages of peers and of the other chain, taken by a node.
    Node,
    /// Calls of Delta's system programs.
    Program,
    /// Parameters of Delta's JSON-RPC.
    Question,
    /// What peers say before they are linked, and what is kept of them.
    Peer,
}

/// One decoder.
pub struct Decoder {
    pub name: &'static str,
    pub group: Group,
    /// Valid encodings.
    pub samples: fn(&History) -> Vec<Vec<u8>>,
    /// Panics if the rule is broken.
    pub check: fn(&[u8]),
}

/// All that the chains read.
pub fn decoders() -> Vec<Decoder> {
    let mut all = formats::decoders();
    all.extend(links::decoders());
    all.extend(text::decoders());
    all.extend(network::decoders());
    all.extend(pieces::decoders());
    all.extend(programs::decoders());
    all.extend(questions::decoders());
    all
}

/// Those of one group.
pub fn of_group(group: Group) -> Vec<Decoder> {
    let all = decoders().into_iter();
    all.filter(|decoder| decoder.group == group).collect()
}

/// Gives the bytes behind the first to the decoder that the first names.
pub fn check_named(decoders: &[Decoder], bytes: &[u8]) {
    if let Some((first, rest)) = bytes.split_first() {
        (named(decoders, *first).check)(rest);
    }
}

/// A valid encoding of a decoder, with a few changes, in the form that [`check_named`] takes.
pub fn near_valid(decoders: &[Decoder], seed: u64) -> Vec<u8> {
    let mut mutator = Mutator::new(seed);
    let first = mutator.below(256) as u8;
    let samples = (named(decoders, first).samples)(history());
    let mut bytes = vec![first];
    bytes.extend(mutator.mutate(&samples));
    bytes
}

fn named(decoders: &[Decoder], first: u8) -> &Decoder {
    &decoders[usize::from(first) % decoders.len()]
}
