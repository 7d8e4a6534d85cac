//! Setting aside what kills: the oldest input that a dead worker had not released, at its second
//! death on it, is taken out of the ring and kept in the database instead of delivered again.

use crate::process::dead_letter::{DeadLetters, DeathOutcome, InputId};
use crate::store::Store;
use crate::topology::InputRing;
use adnet_common::chain_id::ChainId;
use adnet_common::hash::Hash;
use adnet_common::store::{Family, StoreError, Write, scan_all};

/// Keys of the letters of one chain begin with this.
fn prefix(chain: ChainId) -> Vec<u8> {
    [b"dead-letter/".as_slice(), &[chain.as_byte()]].concat()
}

/// What earlier lives of this node have set aside.
pub fn restore(chain: ChainId, store: &Store) -> Result<DeadLetters, StoreError> {
    let from = prefix(chain);
    let mut to = from.clone();
    *to.last_mut().expect("a prefix is not empty") += 1;
    let mut ids = Vec::new();
    scan_all(store, Family::SharedMeta, from, to, |key, _| {
        ids.extend(key.last_chunk::<32>().copied().map(InputId));
        Ok::<_, StoreError>(())
    })?;
    Ok(DeadLetters::restore(ids))
}

/// Looks through the rings that fed the dead worker.
pub fn examine(chain: ChainId, inputs: &[InputRing], letters: &mut DeadLetters, store: &Store) {
    for ring in inputs {
        let looked = ring.oldest(|kind, bytes| {
            let id = Hash::of("adnet/dead-letter/v1", &[&kind.to_be_bytes(), bytes]);
            match letters.died_on(InputId(id.0)) {
                DeathOutcome::Suspect => false,
                DeathOutcome::SetAside => {
                    keep(chain, kind, &id, bytes, store);
                    true
                }
            }
        });
        if let Err(error) = looked {
            tracing::warn!(%chain, ring = ring.name(), %error, "a dead worker's input cannot be read");
        }
    }
}

fn keep(chain: ChainId, kind: u16, id: &Hash, bytes: &[u8], store: &Store) {
    tracing::error!(%chain, kind, %id, bytes = bytes.len(),
        "an input was in hand at two deaths of this worker: it is set aside and not delivered again");
    let key = [prefix(chain).as_slice(), &id.0].concat();
    let value = [kind.to_be_bytes().as_slice(), bytes].concat();
    if let Err(error) = store.write_shared(&[Write::put(Family::SharedMeta, key, value)]) {
        tracing::error!(%chain, %error, "the set-aside input cannot be kept");
    }
}
