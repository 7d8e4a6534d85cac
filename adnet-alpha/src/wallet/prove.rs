//! The proof of a bundle, and the key it is made with.

use std::sync::OnceLock;

use adnet_common::hash::Hash;
use orchard::builder::UnauthorizedBundle;
use orchard::circuit::{OrchardCircuitVersion, ProvingKey};
use orchard::keys::SpendAuthorizingKey;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use super::build::{BuildError, not_built};
use crate::pool::BundleProof;

/// What takes time when a transaction is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The proving key: about three seconds of CPU, once per process.
    Key,
    /// The proof: about four seconds of CPU for two actions, two more per action.
    Prove,
    Sign,
}

static KEY: OnceLock<ProvingKey> = OnceLock::new();

/// Builds the key that proofs are made with, if it is not built yet: while the owner is still
/// thinking, for instance.
pub fn prepare_proving() {
    KEY.get_or_init(build_key);
}

fn build_key() -> ProvingKey {
    ProvingKey::build(OrchardCircuitVersion::PostNu6_3)
}

/// Proof and signatures of a bundle whose transaction has this hash to sign.
pub(super) fn prove(
    bundle: UnauthorizedBundle<i64>,
    sighash: &Hash,
    spends: &[SpendAuthorizingKey],
    progress: &mut dyn FnMut(Phase),
) -> Result<BundleProof, BuildError> {
    if KEY.get().is_none() {
        progress(Phase::Key);
    }
    let key = KEY.get_or_init(build_key);
    progress(Phase::Prove);
    let proved = bundle
        .create_proof(key, UnwrapErr(SysRng))
        .map_err(not_built)?;
    progress(Phase::Sign);
    let signed = proved.apply_signatures(UnwrapErr(SysRng), *sighash.as_bytes(), spends);
    Ok(BundleProof::of(&signed.map_err(not_built)?))
}
