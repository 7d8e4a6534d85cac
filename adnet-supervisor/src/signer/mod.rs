//! The holder of the validator key: guards, marks, then signs.
//!
//! Invariants:
//!
//! * For one (chain, height, round, step) at most one message is ever signed, whatever a worker
//!   asks for and whenever the process dies: the mark with the signature is on the disk, in one
//!   batch with the log entries that led to it, before the signature is handed out.
//! * The marks in memory are those on the disk. When a write fails they are not touched, and the
//!   failed store lets nothing follow.
//! * The secret is wiped from memory when the signer goes.
//!
//! Each chain has its own marks and its own lock; both chains sign at the same time.

mod metrics;

#[cfg(test)]
mod tests;

use crate::network::{PeerId, ValidatorProof};
use crate::store::{MarkUpdate, Store};
use adnet_common::chain_id::ChainId;
use adnet_common::codec::DecodeError;
use adnet_common::consensus::{
    Domain, Guard, PENDING_BYTES_MAX, SignError, SignMark, SignMarks, SignRequest, Signer, Verdict,
    WalEntry,
};
use adnet_common::consensus_keys::{mark_key, mark_range, mark_slot};
use adnet_common::hash::Hash;
use adnet_common::keys::{KeyKind, PublicKey, SecretKey};
use adnet_common::store::{Family, Part, StoreError, scan_all};
use ed25519_consensus::SigningKey;
use metrics::{Outcome, SignerCounters};
use prometheus::Registry;
use std::sync::{Arc, Mutex};
use zeroize::Zeroizing;

/// Why the signer cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerOpenError {
    #[error("a key of kind {0} is no validator key")]
    WrongKey(KeyKind),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a sign mark of {chain} is corrupt ({error}), so nothing can be signed safely")]
    Corrupt { chain: ChainId, error: DecodeError },
}

/// Signs with a key in this process, by marks in the node's store.
pub struct LocalSigner {
    key: Zeroizing<SigningKey>,
    public: PublicKey,
    store: Store,
    alpha: ChainMarks,
    delta: ChainMarks,
    counters: SignerCounters,
}

struct ChainMarks {
    domain: Domain,
    marks: Mutex<SignMarks>,
}

impl ChainMarks {
    fn load(store: &Store, domain: Domain) -> Result<Self, SignerOpenError> {
        let chain = domain.chain;
        let corrupt = |error| SignerOpenError::Corrupt { chain, error };
        let (from, to) = mark_range();
        let mut marks = SignMarks::new();
        scan_all(
            store,
            Family::of(chain, Part::Consensus),
            from,
            to,
            |key, value| {
                let slot = mark_slot(&key).map_err(corrupt)?;
                marks.insert(slot, SignMark::decode(&value).map_err(corrupt)?);
                Ok::<_, SignerOpenError>(())
            },
        )?;
        let marks = Mutex::new(marks);
        Ok(Self { domain, marks })
    }
}

impl LocalSigner {
    /// Loads the marks of both chains.
    ///
    /// # Errors
    /// See [`SignerOpenError`]. A node must not sign then.
    pub fn open(
        key: &SecretKey,
        network_id: u32,
        genesis: Hash,
        store: Store,
    ) -> Result<LocalSigner, SignerOpenError> {
        let signing = key.ed25519().filter(|_| key.kind() == KeyKind::Validator);
        let signing = signing.ok_or(SignerOpenError::WrongKey(key.kind()))?;
        let load = |chain| {
            ChainMarks::load(
                &store,
                Domain {
                    network_id,
                    chain,
                    genesis,
                },
            )
        };
        Ok(LocalSigner {
            public: PublicKey(signing.verification_key().to_bytes()),
            key: Zeroizing::new(signing),
            alpha: load(ChainId::Alpha)?,
            delta: load(ChainId::Delta)?,
            store,
            counters: SignerCounters::new(),
        })
    }

    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// Signs that a peer id is that of this validator's node. No guard is needed: the bytes are in
    /// a domain of their own, and saying it twice harms nobody.
    pub fn prove_peer(&self, chain: ChainId, peer: &PeerId) -> ValidatorProof {
        let of_chain = match chain {
            ChainId::Alpha => &self.alpha,
            ChainId::Delta => &self.delta,
        };
        ValidatorProof::make(&self.key, &of_chain.domain, peer)
    }

    /// Stores `wal` with the sign mark in one synced batch, then returns the signature; for bytes
    /// that were signed before, the signature of that time.
    ///
    /// # Errors
    /// [`SignError::Refused`]: nothing was written. [`SignError::Unavailable`]: the store failed.
    pub fn sign(
        &self,
        chain: ChainId,
        wal: &[WalEntry],
        request: &SignRequest,
    ) -> Result<[u8; 64], SignError> {
        let result = self.sign_guarded(chain, wal, request);
        let outcome = match &result {
            Ok((outcome, _)) => *outcome,
            Err(SignError::Refused { why }) => {
                tracing::error!(%chain, ?request, why, "refused to sign");
                Outcome::Refused
            }
            Err(SignError::Unavailable { .. }) => Outcome::Unavailable,
        };
        self.counters.count(chain, outcome);
        result.map(|(_, signature)| signature)
    }

    fn sign_guarded(
        &self,
        chain: ChainId,
        wal: &[WalEntry],
        request: &SignRequest,
    ) -> Result<(Outcome, [u8; 64]), SignError> {
        check_wal(wal, request)?;
        let of_chain = match chain {
            ChainId::Alpha => &self.alpha,
            ChainId::Delta => &self.delta,
        };
        // Held until the mark is durable: requests of a chain are judged one after the other.
        let mut marks = of_chain
            .marks
            .lock()
            .expect("nobody panics while holding the marks");
        let guard = Guard::new(of_chain.domain);
        match guard.check(&marks, request) {
            Verdict::Refused { why } => Err(SignError::Refused {
                why: why.to_string(),
            }),
            Verdict::Known(signature) => {
                self.store
                    .append_wal(chain, wal, None, &[])
                    .map_err(unavailable)?;
                Ok((Outcome::Repeated, signature))
            }
            Verdict::Fresh => {
                let bytes = of_chain.domain.sign_bytes(request);
                let signature = self.key.sign(&bytes).to_bytes();
                let (slot, mark) = guard.mark(request, signature);
                let (key, value) = (mark_key(&slot), mark.encode());
                let mut after = marks.clone();
                after.insert(slot, mark);
                let old = Guard::prune(&mut after, slot.height);
                let delete = old.iter().map(mark_key).collect();
                let update = MarkUpdate { key, value, delete };
                self.store
                    .append_wal(chain, wal, Some(&update), &[])
                    .map_err(unavailable)?;
                *marks = after;
                Ok((Outcome::Fresh, signature))
            }
        }
    }

    /// Adds the metrics of the signer to a registry.
    ///
    /// # Errors
    /// When they are registered there already.
    pub fn register_metrics(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        self.counters.register(registry)
    }
}

impl std::fmt::Debug for LocalSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalSigner({})", self.public)
    }
}

/// The signer of one chain, for a consensus engine in the same process.
#[derive(Clone, Debug)]
pub struct ChainSigner {
    pub signer: Arc<LocalSigner>,
    pub chain: ChainId,
}

impl Signer for ChainSigner {
    fn sign(&mut self, wal: &[WalEntry], request: &SignRequest) -> Result<[u8; 64], SignError> {
        self.signer.sign(self.chain, wal, request)
    }
}

/// Log entries that come with a request lead to it, so they are of its height and within bounds.
fn check_wal(wal: &[WalEntry], request: &SignRequest) -> Result<(), SignError> {
    let refused = |why: &str| {
        Err(SignError::Refused {
            why: why.to_owned(),
        })
    };
    if wal.iter().any(|entry| entry.height != request.height) {
        return refused("log entries of another height came with the request");
    }
    if wal
        .windows(2)
        .any(|pair| pair[0].index.checked_add(1) != Some(pair[1].index))
    {
        return refused("the log entries of the request have gaps");
    }
    let bytes = wal
        .iter()
        .try_fold(0_usize, |sum, entry| sum.checked_add(entry.bytes.len()));
    if bytes.is_none_or(|sum| sum > PENDING_BYTES_MAX) {
        return refused("the log entries of the request are too large");
    }
    Ok(())
}

fn unavailable(error: StoreError) -> SignError {
    SignError::Unavailable {
        why: error.to_string(),
    }
}
