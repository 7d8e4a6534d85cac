//! Trial decryption: which of all the notes in some blocks are ours. Many at once, on all cores.

use adnet_common::hash::Hash;
use orchard::Note;
use orchard::keys::{PreparedIncomingViewingKey, Scope};
use orchard::note::{ExtractedNoteCommitment, Nullifier};
use orchard::note_encryption::{CompactAction as OrchardAction, IronwoodDomain};
use orchard::tree::MerkleHashOrchard;
use rayon::prelude::*;
use zcash_note_encryption::{EphemeralKeyBytes, batch};

use super::viewing_key::PoolViewingKey;
use crate::compact::{CompactAction, CompactBlock};

/// Actions that one core takes at once: inversions are shared among them.
const BATCH: usize = 256;

/// What an action is to the wallet.
pub(crate) struct Tried {
    pub leaf: MerkleHashOrchard,
    pub nullifier: [u8; 32],
    /// The note it makes, if it is ours, and whether it is change.
    pub note: Option<(Note, bool)>,
}

/// An action that no valid transaction has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadAction {
    pub transaction: Hash,
    pub what: &'static str,
}

/// All actions of the blocks, in order.
pub(crate) fn try_all(
    key: &PoolViewingKey,
    blocks: &[CompactBlock],
) -> Result<Vec<Tried>, BadAction> {
    let mut actions = Vec::new();
    for tx in blocks.iter().flat_map(|block| &block.txs) {
        for action in &tx.actions {
            let parsed = parse(action).map_err(|what| BadAction {
                transaction: tx.id,
                what,
            })?;
            actions.push((IronwoodDomain::for_compact_action(&parsed), parsed));
        }
    }
    let keys = [Scope::External, Scope::Internal]
        .map(|scope| PreparedIncomingViewingKey::new(&key.key().to_ivk(scope)));
    let notes: Vec<Option<(Note, bool)>> = actions
        .par_chunks(BATCH)
        .flat_map_iter(|chunk| {
            let found = batch::try_compact_note_decryption(&keys, chunk);
            found
                .into_iter()
                .map(|hit| hit.map(|((note, _), key)| (note, key == 1)))
        })
        .collect();
    let tried = actions.iter().zip(notes).map(|((_, action), note)| Tried {
        leaf: MerkleHashOrchard::from_cmx(&action.cmx()),
        nullifier: action.nullifier().to_bytes(),
        note,
    });
    Ok(tried.collect())
}

fn parse(action: &CompactAction) -> Result<OrchardAction, &'static str> {
    let nullifier: Option<Nullifier> = Nullifier::from_bytes(&action.nullifier).into();
    let cmx: Option<ExtractedNoteCommitment> =
        ExtractedNoteCommitment::from_bytes(&action.cmx).into();
    Ok(OrchardAction::from_parts(
        nullifier.ok_or("nullifier")?,
        cmx.ok_or("note commitment")?,
        EphemeralKeyBytes(action.epk),
        action.enc,
    ))
}
