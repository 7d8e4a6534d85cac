//! The wallet's tree against a plain list of all commitments: roots, paths, going back, and what is
//! read back from bytes, at every step of random histories.

use incrementalmerkletree::Hashable;
use orchard::note::ExtractedNoteCommitment;
use proptest::prelude::*;

use super::super::tree_codec::TreeCodecError;
use super::*;

fn commitment(number: u64) -> MerkleHashOrchard {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(number + 2).to_le_bytes());
    Option::from(MerkleHashOrchard::from_bytes(&bytes)).expect("a small number is in the field")
}

fn extracted(leaf: &MerkleHashOrchard) -> ExtractedNoteCommitment {
    Option::from(ExtractedNoteCommitment::from_bytes(&leaf.to_bytes())).expect("in the field")
}

fn frontier(leaves: &[MerkleHashOrchard]) -> TreeFrontier {
    let mut frontier = TreeFrontier::empty();
    for leaf in leaves {
        assert!(frontier.append(*leaf));
    }
    frontier
}

/// A tree with everything that is known of it otherwise.
struct Model {
    tree: CommitmentTree,
    /// All leaves, those before the birthday too.
    leaves: Vec<MerkleHashOrchard>,
    /// Per block from the birthday on, how many leaves there are after it.
    sizes: Vec<(u64, usize)>,
    ours: Vec<u64>,
    /// Position, and the block of the spend.
    spent: Vec<(u64, u64)>,
}

impl Model {
    fn begin(birthday: u64, before: usize) -> Self {
        let leaves: Vec<_> = (0..before as u64).map(commitment).collect();
        Self {
            tree: CommitmentTree::begin(birthday, frontier(&leaves)).expect("begins"),
            leaves,
            sizes: vec![(birthday, before)],
            ours: Vec::new(),
            spent: Vec::new(),
        }
    }

    fn block(&mut self, ours: &[bool]) {
        let first = self.leaves.len() as u64;
        let leaves: Vec<Leaf> = (first..)
            .zip(ours)
            .map(|(n, ours)| (commitment(n), *ours))
            .collect();
        let height = self.tree.height() + 1;
        self.tree.append(height, &leaves).expect("in order");
        let mine = (first..).zip(ours).filter(|(_, ours)| **ours);
        self.ours.extend(mine.map(|(position, _)| position));
        self.leaves.extend(leaves.iter().map(|(leaf, _)| *leaf));
        self.sizes.push((height, self.leaves.len()));
    }

    fn spend(&mut self, which: prop::sample::Index) {
        let unspent: Vec<u64> = (self.ours.iter().copied())
            .filter(|position| self.spent.iter().all(|(spent, _)| spent != position))
            .collect();
        if !unspent.is_empty() {
            let position = unspent[which.index(unspent.len())];
            let height = self.tree.height();
            self.tree.forget(position, height).expect("is marked");
            self.spent.push((position, height));
        }
    }

    fn rewind(&mut self, blocks: usize) {
        let kept = self
            .sizes
            .len()
            .saturating_sub(blocks + 1)
            .max(self.sizes.len().saturating_sub(CHECKPOINTS_MAX));
        let (height, size) = self.sizes[kept];
        self.tree.truncate(height).expect("is a checkpoint");
        self.sizes.truncate(kept + 1);
        self.leaves.truncate(size);
        self.ours.retain(|position| *position < size as u64);
        self.spent
            .retain(|(position, at)| *position < size as u64 && *at < height);
    }

    fn reload(&mut self) {
        let bytes = self.tree.encode();
        self.tree = CommitmentTree::decode(&bytes).expect("reads what it wrote");
        assert_eq!(self.tree.encode(), bytes, "one tree has one form");
    }

    /// Every fourth checkpoint: roots, and the paths of all notes that are unspent as of it.
    fn check(&self) {
        let (height, size) = *self.sizes.last().expect("never empty");
        assert_eq!(
            (self.tree.height(), self.tree.size()),
            (height, size as u64)
        );
        let known = self.sizes.len().min(CHECKPOINTS_MAX);
        for (height, size) in self.sizes[self.sizes.len() - known..]
            .iter()
            .rev()
            .step_by(4)
        {
            let root: Anchor = frontier(&self.leaves[..*size]).root().into();
            assert_eq!(self.tree.root_at(*height), Ok(root));
            for position in self
                .ours
                .iter()
                .filter(|position| **position < *size as u64)
            {
                if self
                    .spent
                    .iter()
                    .any(|(spent, at)| spent == position && at <= height)
                {
                    continue;
                }
                let path = self.tree.witness(*position, *height).expect("is kept");
                let leaf = &self.leaves[*position as usize];
                assert_eq!(path.root(extracted(leaf)), root);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Block(Vec<bool>),
    Empty(u8),
    Spend(prop::sample::Index),
    Rewind(u8),
    Reload,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(prop::bool::weighted(0.2), 1..7).prop_map(Step::Block),
        1 => (1u8..40).prop_map(Step::Empty),
        2 => any::<prop::sample::Index>().prop_map(Step::Spend),
        1 => (0u8..12).prop_map(Step::Rewind),
        1 => Just(Step::Reload),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn it_is_the_tree_of_all_commitments(
        birthday in 0u64..1000,
        before in prop_oneof![Just(0usize), 1usize..40],
        steps in prop::collection::vec(step(), 1..14),
    ) {
        let mut model = Model::begin(birthday, before);
        for step in steps {
            match step {
                Step::Block(ours) => model.block(&ours),
                Step::Empty(blocks) => (0..blocks).for_each(|_| model.block(&[])),
                Step::Spend(which) => model.spend(which),
                Step::Rewind(blocks) => model.rewind(blocks.into()),
                Step::Reload => model.reload(),
            }
        }
        model.check();
        model.reload();
        model.check();
    }

    #[test]
    fn damaged_bytes_are_an_error_and_never_a_panic(
        at: prop::sample::Index,
        byte: u8,
        cut: prop::sample::Index,
    ) {
        let mut model = Model::begin(7, 5);
        model.block(&[true, false, true]);
        model.block(&[]);
        let good = model.tree.encode();
        let mut bad = good.clone();
        let at = at.index(bad.len());
        bad[at] = byte;
        if let Ok(tree) = CommitmentTree::decode(&bad) {
            prop_assert_eq!(tree.root_at(tree.height()), model.tree.root_at(9));
        }
        prop_assert!(CommitmentTree::decode(&good[..cut.index(good.len())]).is_err());
    }
}

/// A frontier far into the tree: the birthday of a new wallet on an old chain.
#[test]
fn it_begins_anywhere() {
    let leaf = commitment(1);
    let position = 5u64 * (1 << 16) + 77;
    let ommers = (0..Position::from(position).past_ommer_count()).map(|n| commitment(n.into()));
    let start = Frontier::from_parts(position.into(), leaf, ommers.collect());
    let mut expected: TreeFrontier = start.expect("has its ommers");
    let mut tree = CommitmentTree::begin(900, expected.clone()).expect("begins");
    assert_eq!(tree.size(), position + 1);
    for height in 901..1100 {
        tree.append(height, &[(commitment(height), height == 905)])
            .expect("in order");
        expected.append(commitment(height));
    }
    let root: Anchor = expected.root().into();
    assert_eq!(tree.root_at(1099), Ok(root));
    assert_eq!(tree.oldest(), 1000);
    let back = CommitmentTree::decode(&tree.encode()).expect("reads what it wrote");
    assert_eq!(back.root_at(1099), Ok(root));
    let path = back.witness(position + 5, 1099).expect("is ours");
    assert_eq!(path.root(extracted(&commitment(905))), root);
    let bytes = tree.encode().len();
    assert!(bytes < 20_000, "one note needs little: {bytes}");
}

#[test]
fn what_is_not_there_is_named() {
    let mut tree = CommitmentTree::begin(10, TreeFrontier::empty()).expect("begins");
    let empty: Anchor = MerkleHashOrchard::empty_root(DEPTH.into()).into();
    assert_eq!(tree.root_at(10), Ok(empty));
    let order = TreeError::Order {
        last: 10,
        given: 12,
    };
    assert_eq!(tree.append(12, &[]), Err(order));
    tree.append(11, &[(commitment(0), true)]).expect("in order");
    assert_eq!(tree.root_at(9), Err(TreeError::NoCheckpoint(9)));
    assert_eq!(tree.truncate(9), Err(TreeError::NoCheckpoint(9)));
    assert!(matches!(tree.witness(0, 10), Err(TreeError::Damaged(_))));
    tree.truncate(10).expect("is a checkpoint");
    assert_eq!((tree.height(), tree.size()), (10, 0));
    let mut other = tree.encode();
    *other.last_mut().expect("has bytes") ^= 1;
    assert_eq!(
        CommitmentTree::decode(&other).err(),
        Some(TreeCodecError::Root)
    );
}
