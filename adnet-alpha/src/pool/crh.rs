//! The hash of the note tree for many pairs of nodes at once.
//!
//! MerkleCRH^Orchard ([protocol specification], 5.4.1.3) is a Sinsemilla hash (5.4.1.9): 52 times
//! `P ⟵ (P + S) + P` with points `S` of a table, 10 bits of the message each. A pair alone is hashed in
//! projective coordinates, as a division costs hundreds of multiplications. Of many pairs that go side
//! by side, the divisions of one step are shared (Montgomery's trick), so the short formulas of affine
//! points serve, and a pair costs about a tenth.
//!
//! The formulas hold for points of different x. That two are equal in a hash cannot be brought about
//! without solving a discrete logarithm; should it happen, the library decides, pair by pair.
//!
//! [protocol specification]: https://zips.z.cash/protocol/protocol.pdf

use std::sync::LazyLock;

use incrementalmerkletree::{Hashable, Level};
use orchard::tree::MerkleHashOrchard;
use pasta_curves::arithmetic::{CurveAffine, CurveExt, VartimeBatchInvert};
use pasta_curves::group::Curve;
use pasta_curves::group::ff::Field;
use pasta_curves::{Fp, pallas};
use sinsemilla::{K, Q_PERSONALIZATION, SINSEMILLA_S};

/// What the hash is for: it decides where its walk begins.
const DOMAIN: &[u8] = b"z.cash:Orchard-MerkleCRH";
/// Bits of a node in the message.
const NODE_BITS: usize = 255;
/// Digits of a message after the first, which is the level.
const DIGITS: usize = 2 * NODE_BITS / K;
/// Pairs that go side by side, at most: their points stay in the nearest cache.
const LANES_MAX: usize = 128;
/// Fewer gain nothing.
const LANES_MIN: usize = 4;

/// Where every walk begins.
static START: LazyLock<(Fp, Fp)> = LazyLock::new(|| {
    let point = pallas::Point::hash_to_curve(Q_PERSONALIZATION)(DOMAIN).to_affine();
    let coordinates = point.coordinates();
    let coordinates = coordinates.expect("a domain does not hash to the identity");
    (*coordinates.x(), *coordinates.y())
});

/// The parents of neighbours of `level`: of the first two nodes, of the next two, and so on.
///
/// # Panics
/// If the last node has no neighbour.
pub fn parents(level: Level, nodes: &[MerkleHashOrchard]) -> Vec<MerkleHashOrchard> {
    let (pairs, rest) = nodes.as_chunks::<2>();
    assert!(rest.is_empty(), "nodes come in pairs");
    let mut parents = Vec::with_capacity(pairs.len());
    for some in pairs.chunks(LANES_MAX) {
        if some.len() < LANES_MIN {
            parents.extend(some.iter().map(|pair| alone(level, pair)));
        } else {
            side_by_side(level, some, &mut parents);
        }
    }
    parents
}

fn alone(level: Level, [left, right]: &[MerkleHashOrchard; 2]) -> MerkleHashOrchard {
    MerkleHashOrchard::combine(level, left, right)
}

/// One pair on its walk.
struct Lane {
    x: Fp,
    y: Fp,
    /// Both nodes, the lowest bits first.
    message: [u64; 9],
    /// Whether it came upon a point that the formulas do not hold for.
    is_lost: bool,
}

fn side_by_side(
    level: Level,
    pairs: &[[MerkleHashOrchard; 2]],
    parents: &mut Vec<MerkleHashOrchard>,
) {
    let (x, y) = *START;
    let lane = |pair| Lane {
        x,
        y,
        message: message(pair),
        is_lost: false,
    };
    let mut lanes: Vec<Lane> = pairs.iter().map(lane).collect();
    let (mut slopes, mut divisors) = (vec![Fp::ZERO; lanes.len()], vec![Fp::ZERO; lanes.len()]);
    step(&mut lanes, &mut slopes, &mut divisors, |_| {
        usize::from(level)
    });
    for index in 0..DIGITS {
        step(&mut lanes, &mut slopes, &mut divisors, |lane| {
            digit(&lane.message, index)
        });
    }
    let hashed = lanes.iter().zip(pairs).map(|(lane, pair)| {
        if lane.is_lost {
            return alone(level, pair);
        }
        let node = Option::from(MerkleHashOrchard::from_bytes(&lane.x.into()));
        node.expect("a field element has canonical bytes")
    });
    parents.extend(hashed);
}

/// `P ⟵ (P + S) + P` on all lanes.
fn step(
    lanes: &mut [Lane],
    slopes: &mut [Fp],
    divisors: &mut [Fp],
    digit: impl Fn(&Lane) -> usize,
) {
    for (lane, divisor) in lanes.iter().zip(divisors.iter_mut()) {
        *divisor = lane.x - SINSEMILLA_S[digit(lane)].0;
    }
    divisors.batch_invert_vartime();
    // Of the line through P and S; its third point R has this x, and what R + P is divided by.
    for ((lane, slope), divisor) in lanes.iter_mut().zip(&mut *slopes).zip(&mut *divisors) {
        let (table_x, table_y) = SINSEMILLA_S[digit(lane)];
        lane.is_lost |= divisor.is_zero_vartime();
        *slope = (lane.y - table_y) * *divisor;
        *divisor = lane.x - (slope.square() - lane.x - table_x);
    }
    let thirds: Vec<Fp> = (lanes.iter().zip(&*divisors))
        .map(|(lane, divisor)| lane.x - divisor)
        .collect();
    divisors.batch_invert_vartime();
    for (((lane, slope), divisor), third) in
        lanes.iter_mut().zip(&*slopes).zip(&*divisors).zip(thirds)
    {
        lane.is_lost |= divisor.is_zero_vartime();
        let slope = lane.y.double() * divisor - slope;
        let x = slope.square() - third - lane.x;
        lane.y = slope * (lane.x - x) - lane.y;
        lane.x = x;
    }
}

/// 255 bits of the left node, then as many of the right one.
fn message([left, right]: &[MerkleHashOrchard; 2]) -> [u64; 9] {
    let mut words = [0; 9];
    let (left, right) = (left.to_bytes(), right.to_bytes());
    let (left, right) = (left.as_chunks::<8>().0, right.as_chunks::<8>().0);
    for (word, bytes) in words.iter_mut().zip(left) {
        *word = u64::from_le_bytes(*bytes);
    }
    // Field elements have 255 bits, so the last bit of the left one is free.
    for (index, bytes) in right.iter().enumerate() {
        let word = u64::from_le_bytes(*bytes);
        words[3 + index] |= word << 63;
        words[4 + index] = word >> 1;
    }
    words
}

fn digit(message: &[u64; 9], index: usize) -> usize {
    let (word, bit) = (index * K / 64, index * K % 64);
    let two = u128::from(message[word]) | u128::from(message[word + 1]) << 64;
    (two >> bit) as usize & ((1 << K) - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(bytes: [u8; 32]) -> MerkleHashOrchard {
        let mut bytes = bytes;
        bytes[31] &= 0x3f; // below the field's modulus
        Option::from(MerkleHashOrchard::from_bytes(&bytes)).expect("small enough")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn many_pairs_are_hashed_as_the_library_hashes_each(
            nodes in proptest::collection::vec(any::<[u8; 32]>(), 2..80),
            level in 0..32u8,
        ) {
            let mut nodes: Vec<_> = nodes.into_iter().map(node).collect();
            nodes.truncate(nodes.len() / 2 * 2);
            let level = Level::from(level);
            let each = nodes.as_chunks::<2>().0.iter().map(|pair| alone(level, pair));
            prop_assert_eq!(parents(level, &nodes), each.collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_greatest_and_the_least_nodes_are_hashed_as_the_library_does() {
        let greatest = MerkleHashOrchard::from_bytes(&(-Fp::ONE).into());
        let greatest: MerkleHashOrchard = Option::from(greatest).expect("canonical");
        let ends = [node([0; 32]), node([0xff; 32]), greatest];
        let mut nodes = Vec::new();
        for left in ends {
            nodes.extend(ends.iter().flat_map(|right| [left, *right]));
        }
        // As many as fill a batch and begin another.
        let nodes = nodes.repeat(16);
        let each = nodes.as_chunks::<2>().0.iter();
        let each: Vec<_> = each.map(|pair| alone(Level::from(31), pair)).collect();
        assert_eq!(parents(Level::from(31), &nodes), each);
    }

    #[test]
    fn who_is_lost_is_told_from_who_is_not() {
        // A lane that stands on a point of the table cannot take a step with that point.
        let [lost, fine] = [7, 8].map(|digit| {
            let (x, y) = SINSEMILLA_S[digit];
            let (message, is_lost) = ([0; 9], false);
            Lane {
                x,
                y,
                message,
                is_lost,
            }
        });
        let mut lanes = [lost, fine];
        step(&mut lanes, &mut [Fp::ZERO; 2], &mut [Fp::ZERO; 2], |_| 7);
        assert_eq!(lanes.map(|lane| lane.is_lost), [true, false]);
    }
}
