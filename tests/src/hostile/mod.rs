//! Every decoder that faces the bytes of strangers, with valid encodings to begin from and the rule
//! that it keeps: an error, or a value that says the same as the bytes; never a panic.
//!
//! The rules are checked in two ways: by a seeded mutation test in the ordinary test run, and by
//! libFuzzer, whose targets include this module as it stands. It therefore knows the chains and
//! nothing of the supervisor, whose database takes longest to compile.

mod formats;
mod history;
mod links;
mod mutation;
mod network;
mod text;

pub use history::{History, history};
pub use mutation::Mutator;

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

/// All of them.
pub fn decoders() -> Vec<Decoder> {
    let mut all = formats::decoders();
    all.extend(links::decoders());
    all.extend(text::decoders());
    all.extend(network::decoders());
    all
}

/// Gives `bytes` to the decoder of the group that the first byte names.
pub fn check_group(group: Group, bytes: &[u8]) {
    use std::cell::OnceCell;
    thread_local! {
        static DECODERS: OnceCell<Vec<Decoder>> = const { OnceCell::new() };
    }
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    DECODERS.with(|known| {
        let known = known.get_or_init(decoders);
        let of_group: Vec<&Decoder> = known.iter().filter(|d| d.group == group).collect();
        (of_group[usize::from(*first) % of_group.len()].check)(rest);
    });
}
