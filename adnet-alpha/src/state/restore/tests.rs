//! Trees that come back node by node, and inner nodes that say of their leaves what is not so.

use adnet_common::memory_store::MemoryStore;
use adnet_common::restore::{PIECE_LEAVES_MAX, Restore};
use adnet_common::state_proof::alpha::key_hash;
use adnet_common::store::Family;
use proptest::prelude::*;

use super::*;
use crate::state::NodeCache;
use crate::state::pieces::piece;
use crate::state::tree::{Reader, root_key, update};

/// A tree of one version with its rows.
struct Source {
    root: Hash,
    store: MemoryStore,
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn source(keys: impl IntoIterator<Item = u32>) -> Source {
    let pair = |n: u32| (n.to_be_bytes().to_vec(), vec![n as u8; 1 + n as usize % 90]);
    let pairs: BTreeMap<_, _> = keys.into_iter().map(pair).collect();
    let made = update(&MemoryStore::new(), &NodeCache::default(), 0, &pairs);
    let made = made.expect("memory does not fail");
    let mut store = MemoryStore::new();
    store.apply(&made.writes);
    Source {
        root: made.root,
        store,
        pairs,
    }
}

impl Source {
    fn piece(&self, place: &[u8]) -> Vec<u8> {
        let piece = piece(&self.store, &NodeCache::default(), 0, place);
        piece.expect("memory").expect("what is asked for is there")
    }

    /// The root's children, with the pairs of those that are leaves.
    fn children(&self) -> Vec<(u8, PieceChild)> {
        let cache = NodeCache::default();
        let root = Reader::new(&self.store, &cache).read(&root_key(0));
        let Some(Node::Internal(root)) = root.expect("memory") else {
            panic!("the root is no inner node");
        };
        let children = root.children_sorted().map(|(nibble, child)| {
            let nibble: u8 = nibble.into();
            let child = match child.is_leaf() {
                false => PieceChild::Inner(child.hash),
                true => {
                    let mut pairs = self.pairs.iter();
                    let own = pairs.find(|(key, _)| nibble_at(&key_hash(key), 0) == nibble);
                    let (key, value) = own.expect("a leaf has a pair");
                    PieceChild::Leaf((key.clone(), value.clone()))
                }
            };
            (nibble, child)
        });
        children.collect()
    }

    fn take(&self, children: &[(u8, PieceChild)]) -> Result<AlphaRestore, BadPiece> {
        let mut restore = AlphaRestore::new(0, self.root);
        restore.take(&[], &Piece::Node(children.to_vec()).encode())?;
        Ok(restore)
    }

    /// Fetches what is missing, and compares all rows.
    fn finish(&self, mut restore: AlphaRestore, mut store: MemoryStore) {
        loop {
            let next = restore.wanted().next().map(<[u8]>::to_vec);
            let Some(place) = next else { break };
            let taken = restore.take(&place, &self.piece(&place));
            store.apply(&taken.expect("a good piece"));
        }
        store.apply(&restore.finish());
        let rows = |store: &MemoryStore| -> Vec<(Vec<u8>, Vec<u8>)> {
            let rows = store.family(Family::AlphaState);
            rows.map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        assert_eq!(rows(&store), rows(&self.store));
    }
}

#[test]
fn trees_of_all_sizes_come_back_row_by_row() {
    let most = PIECE_LEAVES_MAX as u32;
    for count in [1, 2, 3, 17, 200, most, most + 1, 3 * most, 20 * most] {
        let source = source(0..count);
        source.finish(AlphaRestore::new(0, source.root), MemoryStore::new());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// A peer may send a node where all its leaves would do: nothing is different in the end.
    #[test]
    fn a_node_and_what_is_below_it_are_the_same_tree(
        keys in prop::collection::btree_set(any::<u32>(), 2..40),
    ) {
        let source = source(keys);
        let Ok(Some(Node::Internal(_))) =
            Reader::new(&source.store, &NodeCache::default()).read(&root_key(0))
        else {
            return Ok(());
        };
        let children = source.children();
        if children.len() < 2 {
            return Ok(());
        }
        let mut restore = AlphaRestore::new(0, source.root);
        let writes = restore.take(&[], &Piece::Node(children.clone()).encode());
        let mut store = MemoryStore::new();
        store.apply(&writes.expect("the true node"));
        source.finish(restore, store);
        // A leaf that is moved to another place of the node is refused, and so is a child that is
        // nothing; a leaf that passes for an inner node is refused, or found out by its piece.
        for (index, (nibble, child)) in children.iter().enumerate() {
            for other in (0..16).filter(|other| other != nibble) {
                let mut moved = children.clone();
                moved[index].0 = other;
                moved.sort_by_key(|(nibble, _)| *nibble);
                moved.dedup_by_key(|(nibble, _)| *nibble);
                prop_assert!(source.take(&moved).is_err());
                let mut more = children.clone();
                if !more.iter().any(|(nibble, _)| *nibble == other) {
                    more.push((other, PieceChild::Inner(NOTHING)));
                    more.sort_by_key(|(nibble, _)| *nibble);
                    prop_assert!(source.take(&more).is_err());
                }
            }
            if let PieceChild::Leaf((key, value)) = child {
                let leaf = LeafNode::new(key_hash(key), ValueHash::with::<Sha256>(value));
                let mut disguised = children.clone();
                disguised[index].1 = PieceChild::Inner(leaf.hash::<Sha256>());
                let mut restore = AlphaRestore::new(0, source.root);
                let taken = restore.take(&[], &Piece::Node(disguised).encode());
                if let Ok(writes) = taken {
                    let mut store = MemoryStore::new();
                    store.apply(&writes);
                    source.finish(restore, store);
                }
                let mut bent = children.clone();
                bent[index].1 = PieceChild::Leaf((key.clone(), [&value[..], &[0]].concat()));
                prop_assert!(source.take(&bent).is_err());
            }
        }
    }
}
