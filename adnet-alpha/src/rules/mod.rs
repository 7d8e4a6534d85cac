//! What a transaction must satisfy whatever the state. Pure, on any thread.
//!
//! Of the three layers of validity, two are here: *structural* (the bytes are one transaction, its
//! bundle's points and keys are such) and *semantic* (amounts, fees, flags, signatures, proofs). The
//! *contextual* one (expiry, nonces, balances, anchors, nullifiers, the pool's total) is in `state`.

mod amounts;
mod signatures;

use std::collections::BTreeSet;
use std::sync::Arc;

use adnet_common::application::{Bid, Until, VerifiedTx};
use adnet_common::genesis::Genesis;
use adnet_common::hash::Hash;
use adnet_common::keys::PublicKey;
use rayon::prelude::*;

use crate::pool::proofs::{self, Proved};
use crate::refusal::Refusal;
use crate::tx::{FeeSchedule, Function, Payload, Transaction};

/// The parameters of one network that never change. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    inner: Arc<Parameters>,
}

/// See [`Rules`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    pub genesis: Hash,
    pub network_name: String,
    pub network_id: u32,
    pub fees: FeeSchedule,
    pub expiry_window_blocks: u64,
    pub governor_threshold: usize,
    /// In order of key, so that the order in the genesis file does not matter.
    pub governors: BTreeSet<PublicKey>,
    pub block_interval_ms: u64,
    pub max_block_bytes: usize,
    pub max_block_txs: usize,
    pub max_block_attestations: usize,
}

impl std::ops::Deref for Rules {
    type Target = Parameters;

    fn deref(&self) -> &Parameters {
        &self.inner
    }
}

impl Rules {
    /// The rules of a valid genesis.
    pub fn of(genesis: &Genesis) -> Self {
        let fits = "a valid genesis has bounds that fit into memory";
        let inner = Arc::new(Parameters {
            genesis: genesis.hash(),
            network_name: genesis.network_name.clone(),
            network_id: genesis.network_id,
            fees: FeeSchedule::of(&genesis.alpha),
            expiry_window_blocks: genesis.alpha.expiry_window_blocks,
            governor_threshold: genesis.alpha.governors.threshold as usize,
            governors: genesis.alpha.governors.keys.iter().copied().collect(),
            block_interval_ms: genesis.alpha.block_interval_ms,
            max_block_bytes: usize::try_from(genesis.alpha.max_block_bytes).expect(fits),
            max_block_txs: genesis.alpha.max_block_txs as usize,
            max_block_attestations: genesis.attestation.max_per_block as usize,
        });
        Self { inner }
    }

    /// Structural and semantic validity of one transaction.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn verify(&self, raw: &[u8]) -> Result<VerifiedTx<Transaction>, Refusal> {
        let verdict = self.verify_all(&[raw], Until::End).pop();
        verdict.expect("one transaction has one verdict")
    }

    /// Structural and semantic validity of many, verdicts in their order, up to the last or up to the
    /// first that is not valid. Proofs come last, because they cost the most, and together, because they
    /// cost less so. Uses all cores.
    pub fn verify_all(
        &self,
        raws: &[&[u8]],
        until: Until,
    ) -> Vec<Result<VerifiedTx<Transaction>, Refusal>> {
        let checked = raws.par_iter().map(|raw| self.check_but_proof(raw));
        let mut checked: Vec<Result<Checked, Refusal>> = checked.collect();
        until.cut(&mut checked);
        let (mut verdicts, mut claims) = (Vec::with_capacity(raws.len()), Vec::new());
        for result in checked {
            match result {
                Ok(Checked { tx, proved }) => {
                    claims.extend(proved.map(|proved| (verdicts.len(), proved)));
                    verdicts.push(Ok(tx));
                }
                Err(refusal) => verdicts.push(Err(refusal)),
            }
        }
        let (places, bundles): (Vec<usize>, Vec<Proved>) = claims.into_iter().unzip();
        for (place, is_good) in places.into_iter().zip(proofs::verify(&bundles, until)) {
            if !is_good {
                verdicts[place] = Err(Refusal::BadProof);
            }
        }
        until.cut(&mut verdicts);
        verdicts
    }

    /// Everything but the proof and the signatures of notes, which are left to be verified.
    fn check_but_proof(&self, raw: &[u8]) -> Result<Checked, Refusal> {
        let tx = self.check_but_bundle(raw)?;
        let payload = &tx.inner.payload;
        let proved = match (payload.function.bundle(), tx.inner.witness.proof()) {
            (Some(bundle), Some(proof)) => Some(Proved {
                bundle: bundle.authorize(proof)?,
                sighash: payload.sighash().0,
            }),
            _ => None,
        };
        Ok(Checked { tx, proved })
    }

    /// Everything that does not ask whether the bundle's bytes are points and its proof is good.
    pub(crate) fn check_but_bundle(&self, raw: &[u8]) -> Result<VerifiedTx<Transaction>, Refusal> {
        let tx = Transaction::decode(raw)?;
        let payload = &tx.payload;
        if payload.genesis != self.genesis {
            return Err(Refusal::WrongNetwork);
        }
        self.check_amounts(payload, raw.len())?;
        self.check_signatures(&tx)?;
        let (sender, nonce) = sender_and_nonce(&payload.function);
        let actions = payload.function.bundle().map(|bundle| &bundle.actions);
        let actions = actions.into_iter().flatten();
        Ok(VerifiedTx {
            id: tx.id(),
            sender,
            nonce,
            bid: Bid::flat(self.priority(payload, raw.len())),
            last_valid_height: payload.expiry_height,
            claims: actions.map(|action| action.nullifier).collect(),
            raw: raw.to_vec(),
            inner: tx,
        })
    }

    /// The fee as a multiple of the least one, in 2^-32: nobody stands behind others because proofs are
    /// long.
    fn priority(&self, payload: &Payload, len: usize) -> u128 {
        let bid = match payload.function.is_paid_by_pool() {
            true => POOL_BID,
            false => 1,
        };
        let least_units = self.least_units(payload, len).max(1);
        ((u128::from(payload.fee_units) * bid) << 32) / u128::from(least_units)
    }
}

/// What the pool pays is exactly the least fee, so that fees tell nothing of wallets. It cannot bid for a
/// place, and ranks as if it had paid so many times as much: who wants to keep the pool's transactions
/// out of blocks pays that for each of his own.
const POOL_BID: u128 = 8;

/// A transaction that is good if its bundle is.
struct Checked {
    tx: VerifiedTx<Transaction>,
    proved: Option<Proved>,
}

/// The mempool's view of who sends: an account with its nonce. A mint order has no account: it
/// stands for itself, so that two orders of one number exclude each other. Nor have notes, whose
/// nullifiers are claims of their own.
fn sender_and_nonce(function: &Function) -> ([u8; 32], u64) {
    if let Some(order) = function.order() {
        let number = order.to_be_bytes();
        return (Hash::of("adnet/alpha/mint-order/v1", &[&number]).0, 0);
    }
    match function {
        Function::TransferPublic(f) => (f.sender, f.nonce),
        Function::Burn(f) => (f.sender, f.nonce),
        Function::Lock(f) => (f.sender, f.nonce),
        Function::Shield(f) => (f.sender, f.nonce),
        _ => {
            let bundle = function.bundle().expect("nobody else pays");
            let first = &bundle.actions[0].nullifier;
            (Hash::of("adnet/alpha/notes/v1", &[first]).0, 0)
        }
    }
}
