//! Codecs of bundles, trees and anchors.

use adnet_common::codec::{Reader, Writer};

use crate::pool::tree::{ANCHOR_WINDOW_BLOCKS, Anchors, NoteTree};
use crate::pool::{ACTIONS_MAX, Bundle, BundleProof};

fn encoded(bundle: &Bundle) -> Vec<u8> {
    let mut w = Writer::new();
    bundle.encode_into(&mut w);
    w.finish()
}

#[test]
fn a_bundle_has_a_length_that_its_actions_give_and_comes_back_from_its_bytes() {
    for actions in [1, 2, ACTIONS_MAX] {
        let bundle = Bundle::blank(actions);
        let bytes = encoded(&bundle);
        assert_eq!(bytes.len(), 1 + 820 * actions + 41);
        let mut r = Reader::new(&bytes);
        assert_eq!(Bundle::decode(&mut r), Ok(bundle));
        r.end().expect("all is read");

        let proof = BundleProof::blank(actions);
        let mut w = Writer::new();
        proof.encode_into(&mut w);
        let bytes = w.finish();
        assert_eq!(bytes.len(), 2720 + 2272 * actions + 64 * actions + 64);
        let mut r = Reader::new(&bytes);
        assert_eq!(BundleProof::decode(&mut r, actions), Ok(proof));
    }
}

#[test]
fn a_bundle_without_actions_or_with_too_many_is_refused() {
    let mut bytes = encoded(&Bundle::blank(1));
    for count in [0, ACTIONS_MAX as u8 + 1, 255] {
        bytes[0] = count;
        assert!(Bundle::decode(&mut Reader::new(&bytes)).is_err());
    }
}

fn commitment(n: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    bytes
}

#[test]
fn a_note_tree_comes_back_from_its_bytes_at_every_size() {
    let mut tree = NoteTree::default();
    for n in 0..70 {
        let again = NoteTree::decode(&tree.encode()).expect("just encoded");
        assert_eq!(again, tree);
        assert_eq!((again.root(), again.len()), (tree.root(), n));
        assert_eq!(tree.extend(&[commitment(n)]), []);
    }
    let bytes = tree.encode();
    for cut in 0..bytes.len() {
        assert!(NoteTree::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    // Of 70 notes the last is at position 69, 0b1000101; of 72 it would have another ommer.
    let mut other_size = bytes.clone();
    other_size[7] = 72;
    assert!(NoteTree::decode(&other_size).is_err(), "other ommers");
}

#[test]
fn an_anchor_is_a_prior_final_root_and_at_most_a_hundred_blocks_old() {
    let root = |n: u8| [n; 32];
    let mut anchors = Anchors::genesis(root(0));
    assert!(!anchors.allows(&root(0), 0), "not of the same block");
    assert!(anchors.allows(&root(0), 1));
    anchors.push(5, root(1));
    assert!(!anchors.allows(&root(1), 5), "not of the same block");
    assert!(anchors.allows(&root(1), 6));
    // The genesis root was the final root up to height 4.
    assert!(anchors.allows(&root(0), 4 + ANCHOR_WINDOW_BLOCKS));
    assert!(!anchors.allows(&root(0), 5 + ANCHOR_WINDOW_BLOCKS));
    // The latest stays good however long nothing happens.
    assert!(anchors.allows(&root(1), 1_000_000));
    assert!(!anchors.allows(&root(9), 6), "never a root");
    let again = Anchors::decode(&anchors.encode()).expect("just encoded");
    assert_eq!(again, anchors);
}

#[test]
fn anchors_forget_what_no_later_block_may_name_and_nothing_else() {
    let root = |height: u64| commitment(height);
    let mut anchors = Anchors::genesis(root(0));
    for height in 1..=1_000 {
        anchors.push(height, root(height));
        let next = height + 1;
        for old in height.saturating_sub(150)..=height {
            let is_recent = old + ANCHOR_WINDOW_BLOCKS >= next;
            assert_eq!(
                anchors.allows(&root(old), next),
                is_recent,
                "{old} at {next}"
            );
        }
        assert!(Anchors::decode(&anchors.encode()).is_ok(), "it stays small");
    }
}
