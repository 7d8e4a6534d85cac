//! Which nullifiers the committed state has: asked of the store, in few reads.

use std::collections::BTreeSet;

use adnet_common::store::{ReadStore, StoreError};

use super::StateKey;
use super::store_keys;
use super::tree::{FAMILY, READ_KEYS_MAX};

/// Those of `nullifiers` that committed blocks have spent.
pub fn spent<'a>(
    store: &dyn ReadStore,
    nullifiers: impl IntoIterator<Item = &'a [u8; 32]>,
) -> Result<BTreeSet<[u8; 32]>, StoreError> {
    let nullifiers: Vec<&[u8; 32]> = nullifiers.into_iter().collect();
    let mut spent = BTreeSet::new();
    for some in nullifiers.chunks(READ_KEYS_MAX) {
        let keys = some.iter().map(|nullifier| {
            let key = StateKey::Nullifier(**nullifier);
            store_keys::leaf(&key.encode())
        });
        let rows = store.multi_get(FAMILY, &keys.collect::<Vec<_>>())?;
        let found = some.iter().zip(rows).filter(|(_, row)| row.is_some());
        spent.extend(found.map(|(nullifier, _)| **nullifier));
    }
    Ok(spent)
}
