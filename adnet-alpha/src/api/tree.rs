//! Routes about the tree of note commitments: where it ended at a height, its complete subtrees, and
//! the roots that spends may name.

use adnet_common::api::{ApiError, ApiPath, ApiQuery, ApiResult, ok};
use adnet_common::chain_id::ChainId;
use adnet_common::codec::DecodeError;
use adnet_common::hash::Hash;
use adnet_common::ledger::{self, LedgerError};
use adnet_common::store::ReadStore;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::Api;
use super::state::{HeightQuery, ProofBody, prove};
use crate::app::AlphaView;
use crate::pool::tree::{ANCHOR_WINDOW_BLOCKS, Anchors, NoteTree};
use crate::pool_index::{self, Subtree, TREE_STATE_EVERY_BLOCKS};
use crate::state::{self, StateKey};

/// The last heights whose tree is served, beside every 64th.
pub(super) const RECENT_HEIGHTS: u64 = 128;
/// Subtrees of one answer, at most.
const SUBTREES_MAX: u32 = 1_000;

const _: () = assert!(RECENT_HEIGHTS <= state::KEPT_VERSIONS);

#[derive(Serialize)]
struct TreeBody {
    height: u64,
    block_hash: Hash,
    /// Note commitments up to and including this block's.
    commitments: u64,
    /// The anchor of this height.
    root: Hash,
    /// The rightmost path of the tree, in its wire form.
    frontier: String,
}

pub(super) async fn at(State(api): State<Api>, ApiPath(height): ApiPath<u64>) -> ApiResult {
    let snapshot = api.snapshot();
    let tip = snapshot.view.height;
    if height > tip {
        return Err(ApiError::not_found(format!(
            "there is no block {height} yet, the last is {tip}"
        )));
    }
    let found = api.read(move |store| {
        let header = ledger::header_at(store, ChainId::Alpha, height)?;
        let tree = note_tree(store, &snapshot.view, height)?;
        Ok(header.zip(tree))
    });
    let (header, tree) = found.await?.ok_or_else(|| pruned(height, tip))?;
    Ok(ok(TreeBody {
        height,
        block_hash: header.hash(),
        commitments: tree.len(),
        root: Hash(tree.root()),
        frontier: hex::encode(tree.encode()),
    }))
}

fn pruned(height: u64, tip: u64) -> ApiError {
    let nearest = height - height % TREE_STATE_EVERY_BLOCKS;
    let recent = tip.saturating_sub(RECENT_HEIGHTS - 1);
    let message = format!(
        "the tree at height {height} is not kept: ask for {nearest}, another multiple of \
         {TREE_STATE_EVERY_BLOCKS} that this node has, or a height from {recent} on"
    );
    ApiError::new("PRUNED", message)
}

/// The tree after the block at `height`: from the index, or from a state that is still kept.
fn note_tree(
    store: &dyn ReadStore,
    view: &AlphaView,
    height: u64,
) -> Result<Option<NoteTree>, LedgerError> {
    let what = format!("the note commitment tree at height {height}");
    let corrupt = |error: DecodeError| LedgerError::Corrupt { what, error };
    if let Some(row) = pool_index::tree_state(store, height)? {
        return NoteTree::decode(&row).map(Some).map_err(corrupt);
    }
    if view.height - height >= RECENT_HEIGHTS && height > 0 {
        return Ok(None);
    }
    if height == 0 {
        return Ok(Some(NoteTree::default()));
    }
    let key = StateKey::NoteCommitments.encode();
    let leaf = state::leaf_proof(store, &view.nodes, height, &key)?;
    let value = leaf.and_then(|leaf| leaf.value);
    let decoded = value.map(|value| NoteTree::decode(&value)).transpose();
    decoded.map_err(corrupt)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubtreesQuery {
    #[serde(default)]
    from: u64,
    #[serde(default = "subtrees_default")]
    limit: u32,
}

fn subtrees_default() -> u32 {
    100
}

#[derive(Serialize)]
struct SubtreesBody {
    subtrees: Vec<SubtreeBody>,
    /// Index to go on from; absent after the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

#[derive(Serialize)]
struct SubtreeBody {
    index: u64,
    root: Hash,
    /// The block that completed it.
    height: u64,
}

impl From<&Subtree> for SubtreeBody {
    fn from(subtree: &Subtree) -> Self {
        Self {
            index: subtree.index,
            root: Hash(subtree.root),
            height: subtree.height,
        }
    }
}

pub(super) async fn subtrees(
    State(api): State<Api>,
    ApiQuery(query): ApiQuery<SubtreesQuery>,
) -> ApiResult {
    if query.limit == 0 || query.limit > SUBTREES_MAX {
        let message = format!("limit must be 1 to {SUBTREES_MAX}");
        return Err(ApiError::invalid(message));
    }
    let SubtreesQuery { from, limit } = query;
    // One more tells whether there is a next one.
    let found = api.read(move |store| pool_index::subtrees(store, from, limit + 1));
    let found = found.await?;
    let shown = found.len().min(limit as usize);
    Ok(ok(SubtreesBody {
        subtrees: found[..shown].iter().map(SubtreeBody::from).collect(),
        next: found.get(shown).map(|subtree| subtree.index),
    }))
}

#[derive(Serialize)]
struct AnchorsBody {
    /// A spend in the block of height H may name a root that was the last of a block from H less
    /// this on, up to H − 1.
    window_blocks: u64,
    anchors: Vec<AnchorBody>,
    #[serde(flatten)]
    proof: ProofBody,
}

#[derive(Serialize)]
struct AnchorBody {
    root: Hash,
    /// The first block that ended with it; it held until the next one's.
    from_height: u64,
}

/// Recent roots of the tree, oldest first, with the proof that the state has them.
pub(super) async fn anchors(
    State(api): State<Api>,
    ApiQuery(query): ApiQuery<HeightQuery>,
) -> ApiResult {
    let (proof, leaf) = prove(&api, StateKey::Anchors.encode(), query.height).await?;
    let decoded = leaf.value.as_deref().map(Anchors::decode).transpose();
    let anchors = decoded.map_err(|error| {
        tracing::error!(%error, "the leaf of the anchors does not decode");
        ApiError::internal()
    })?;
    let anchors = anchors.iter().flat_map(Anchors::roots);
    let anchors = anchors.map(|(from_height, root)| AnchorBody {
        root: Hash(*root),
        from_height: *from_height,
    });
    Ok(ok(AnchorsBody {
        window_blocks: ANCHOR_WINDOW_BLOCKS,
        anchors: anchors.collect(),
        proof,
    }))
}
