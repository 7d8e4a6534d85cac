//! The wire form of compact blocks.

use adnet_common::codec::DecodeReason;
use adnet_common::hash::Hash;

use super::*;
use crate::tx::{Burn, Lock, MintOrder, TransferPublic};

fn action(seed: u8) -> CompactAction {
    CompactAction {
        nullifier: [seed; 32],
        cmx: [seed.wrapping_add(1); 32],
        epk: [seed.wrapping_add(2); 32],
        enc: [seed.wrapping_add(3); COMPACT_NOTE_BYTES],
    }
}

fn every_public_part() -> Vec<PublicPart> {
    let (sender, recipient) = ([1; 32], [2; 32]);
    let (nonce, amount_units) = (3, 4);
    vec![
        PublicPart::TransferPublic(TransferPublic {
            sender,
            nonce,
            recipient,
            amount_units,
        }),
        PublicPart::Mint(MintOrder {
            order_nonce: 5,
            recipient,
            amount_units,
            reason_hash: Hash([6; 32]),
        }),
        PublicPart::Burn(Burn {
            sender,
            nonce,
            amount_units,
        }),
        PublicPart::Lock(Lock {
            sender,
            nonce,
            recipient: [7; 20],
            amount_units,
        }),
        PublicPart::Shield {
            sender,
            nonce,
            amount_units,
        },
        PublicPart::Unshield {
            recipient,
            amount_units,
        },
        PublicPart::TransferPrivate,
        PublicPart::MintPrivate {
            order_nonce: 5,
            amount_units,
            reason_hash: Hash([6; 32]),
        },
        PublicPart::BurnPrivate { amount_units },
        PublicPart::LockPrivate {
            recipient: [7; 20],
            amount_units,
        },
    ]
}

fn block(height: u64) -> CompactBlock {
    let parts = every_public_part().into_iter().enumerate();
    let txs = parts.map(|(index, public)| CompactTx {
        id: Hash([index as u8; 32]),
        fee_units: 1_000 + index as u64,
        public,
        actions: (0..index as u8).map(action).collect(),
    });
    CompactBlock {
        height,
        hash: Hash([8; 32]),
        parent: Hash([9; 32]),
        time_ms: 1_700_000_000_000,
        commitments_before: 77,
        txs: txs.collect(),
        unlocks: vec![Unlock {
            recipient: [10; 32],
            amount_units: 11,
        }],
    }
}

#[test]
fn every_function_comes_back_as_it_was() {
    let written = block(5);
    let bytes = written.encode();
    assert_eq!(CompactBlock::decode(&bytes), Ok(written.clone()));
    assert_eq!(written.commitments(), 45);
    for part in every_public_part() {
        assert!(part.encode().len() <= PUBLIC_PART_BYTES_MAX);
    }
    for tx in &written.txs {
        assert_eq!(CompactTx::decode(&tx.encode()).as_ref(), Ok(tx));
    }
}

#[test]
fn an_action_takes_148_bytes() {
    let mut tx = block(1).txs.remove(0);
    let without = tx.encode().len();
    tx.actions.push(action(0));
    assert_eq!(tx.encode().len() - without, 148);
    assert_eq!(COMPACT_ACTION_BYTES, 148);
}

#[test]
fn every_prefix_and_every_surplus_is_refused() {
    let bytes = block(5).encode();
    for end in 0..bytes.len() {
        assert!(CompactBlock::decode(&bytes[..end]).is_err(), "{end}");
    }
    let longer = CompactBlock::decode(&[&bytes[..], &[0]].concat()).expect_err("a byte too many");
    assert_eq!(longer.why, DecodeReason::Trailing(1));
}

#[test]
fn lengths_are_bounded_before_anything_is_allocated() {
    let head = block(5).encode()[..88].to_vec();
    let claim = |count: u32| [&head[..], &count.to_be_bytes()].concat();
    let too_many = CompactBlock::decode(&claim(u32::MAX)).expect_err("too many transactions");
    assert!(matches!(too_many.why, DecodeReason::TooLong { .. }));
    let none_there = CompactBlock::decode(&claim(100_000)).expect_err("they are not there");
    assert_eq!(none_there.why, DecodeReason::Truncated);
    for tag in [0, 5, 22, 64, 65, 255] {
        assert!(PublicPart::decode(tag, &[]).is_err(), "{tag}");
    }
}

#[test]
fn a_stream_is_read_whatever_way_it_is_cut() {
    let blocks: Vec<CompactBlock> = (1..=4).map(block).collect();
    let bytes: Vec<u8> = blocks
        .iter()
        .flat_map(CompactBlock::encode_framed)
        .collect();
    for piece in [1, 3, 4, 100, 1_000, bytes.len()] {
        let (mut stream, mut seen) = (BlockStream::new(), Vec::new());
        for part in bytes.chunks(piece) {
            stream.push(part);
            while let Some(block) = stream.next_block().expect("well-formed") {
                seen.push(block);
            }
        }
        assert_eq!(seen, blocks, "pieces of {piece}");
        assert_eq!(stream.end(), Ok(()));
    }
    let mut cut = BlockStream::new();
    cut.push(&bytes[..10]);
    assert_eq!(cut.next_block(), Ok(None));
    assert_eq!(cut.end(), Err(StreamError::Truncated));
    let mut long = BlockStream::new();
    long.push(&u32::MAX.to_be_bytes());
    assert!(matches!(long.next_block(), Err(StreamError::TooLong(_))));
}
