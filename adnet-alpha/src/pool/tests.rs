//! The pool's own formats, and its proofs.

mod formats;

use super::proofs::{BATCH_MAX, batch_size};

#[test]
fn cores_have_batches_of_one_size_none_above_the_greatest() {
    assert_eq!(batch_size(1, 4), 8, "too few to be split");
    assert_eq!(batch_size(64, 1), 64);
    assert_eq!(batch_size(64, 2), 32);
    assert_eq!(batch_size(BATCH_MAX + 1, 1), BATCH_MAX / 2 + 1);
    for bundles in 1..3_000 {
        for cores in [1, 2, 3, 64] {
            let size = batch_size(bundles, cores);
            assert!((8..=BATCH_MAX).contains(&size));
            // As few for each core as can be.
            let rounds = bundles.div_ceil(size).div_ceil(cores);
            assert!(rounds <= bundles.div_ceil(cores * BATCH_MAX).max(1));
        }
    }
}
