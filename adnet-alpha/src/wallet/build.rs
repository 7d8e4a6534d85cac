//! Building transactions out of plans: notes and outputs into a bundle, its proof, all signatures.
//!
//! The proof takes seconds. What it proves names no account, no address and no amount, so it is made
//! here, by the owner of the notes, and by nobody else.

use adnet_common::hash::Hash;
use orchard::builder::{Builder, BundleType, UnauthorizedBundle};
use orchard::bundle::Flags;
use orchard::keys::{OutgoingViewingKey, Scope, SpendAuthorizingKey};
use orchard::value::NoteValue;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use super::history::{HistoryEntry, Party, Payment, PoolEffect, Status, classify};
use super::intent::{Intent, Source};
use super::keys::SpendingKeys;
use super::memo::Memo;
use super::pending::Pending;
use super::plan::Plan;
use super::prove::{Phase, prove};
use super::state::Wallet;
use super::tree::TreeError;
use crate::compact::CompactTx;
use crate::pool::bundle::{BUNDLE_VERSION, empty_anchor};
use crate::pool::{Bundle, BundleProof, ShieldedAddress};
use crate::tx::{Payload, SignError, Terms, Transaction, Witness, sign, sign_shield};

/// A transaction that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    pub id: Hash,
    pub transaction: Transaction,
    pub plan: Plan,
    /// How the history will show it.
    pub entry: HistoryEntry,
}

/// Why a plan cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    #[error("these are the keys of another wallet or account")]
    OtherKeys,
    #[error("the plan spends the note at position {0}, which the wallet does not have")]
    NoNote(u64),
    #[error("the note at position {0} is damaged in the wallet's file: restore from the mnemonic")]
    DamagedNote(u64),
    #[error("the bundle cannot be built: {0}")]
    Bundle(String),
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// A payload whose bundle is not proved yet.
pub(super) struct Draft {
    pub payload: Payload,
    /// Nothing if the pool has no part in it.
    pub bundle: Option<UnauthorizedBundle<i64>>,
}

/// A note to be made.
pub(super) struct Output {
    pub ovk: Option<OutgoingViewingKey>,
    pub recipient: ShieldedAddress,
    pub value_units: u64,
    pub memo: Memo,
}

impl Wallet {
    /// Proves and signs. Says by `progress` what it begins to do; the proof takes most of the time.
    pub fn build(
        &self,
        plan: &Plan,
        keys: &SpendingKeys,
        progress: &mut dyn FnMut(Phase),
    ) -> Result<Built, BuildError> {
        if *keys.viewing() != self.viewing {
            return Err(BuildError::OtherKeys);
        }
        let draft = self.draft(plan)?;
        let transaction = match draft.bundle {
            None => {
                progress(Phase::Sign);
                let terms = Terms {
                    genesis: draft.payload.genesis,
                    fee_units: draft.payload.fee_units,
                    expiry_height: draft.payload.expiry_height,
                };
                sign(keys.alpha(), &terms, draft.payload.function)?
            }
            Some(bundle) => {
                let sighash = draft.payload.sighash();
                let spends: &[SpendAuthorizingKey] = match plan.spends.is_empty() {
                    true => &[],
                    false => &[keys.spend_authority()],
                };
                let proof = prove(bundle, &sighash, spends, progress)?;
                signed(keys, draft.payload, proof)?
            }
        };
        Ok(Built {
            id: transaction.id(),
            entry: self.expected(plan, &transaction),
            transaction,
            plan: plan.clone(),
        })
    }

    /// Remembers a transaction that was built: to be called, and the state written, before it is
    /// sent.
    pub fn add(&mut self, built: &Built) {
        if let Some(replaced) = built.plan.replaces {
            self.drop_pending(&replaced);
        }
        self.drop_pending(&built.id);
        self.pending.push(Pending {
            id: built.id,
            intent: built.plan.intent.clone(),
            expiry_height: built.plan.expiry_height,
            spends: built.plan.spends.clone(),
            nonce: built.plan.nonce,
            entry: built.entry.clone(),
            raw: hex::encode(built.transaction.encode()),
        });
    }

    /// Everything but proof and signatures.
    pub(super) fn draft(&self, plan: &Plan) -> Result<Draft, BuildError> {
        let intent = &plan.intent;
        let bundle = match (intent.source(), intent) {
            (Source::Pool, _) => Some(self.spending_bundle(plan)?),
            (Source::Account, Intent::Shield { recipient, .. }) => {
                let output = Output {
                    ovk: Some(self.viewing.pool.key().to_ovk(Scope::External)),
                    recipient: *recipient,
                    value_units: plan.amount_units,
                    memo: intent.memo(),
                };
                Some(output_bundle(output)?)
            }
            (Source::Account, _) => None,
        };
        let effects = bundle.as_ref().map(Bundle::of);
        let payload = Payload {
            genesis: self.network.genesis,
            function: self.function(intent, plan.nonce, effects),
            fee_units: plan.fee_units,
            expiry_height: plan.expiry_height,
        };
        Ok(Draft { payload, bundle })
    }

    fn spending_bundle(&self, plan: &Plan) -> Result<UnauthorizedBundle<i64>, BuildError> {
        let key = self.viewing.pool.key();
        let height = plan.anchor_height.unwrap_or_else(|| self.anchor_height());
        let anchor = self.tree.root_at(height)?;
        let builder = Builder::new(BundleType::DEFAULT, BUNDLE_VERSION, Flags::ENABLED, anchor);
        let mut builder = builder.map_err(not_built)?;
        for position in &plan.spends {
            let note = self.notes.get(position);
            let note = note.ok_or(BuildError::NoNote(*position))?;
            let note = note.orchard().ok_or(BuildError::DamagedNote(*position))?;
            let path = self.tree.witness(*position, height)?;
            (builder.add_spend(key.clone(), note, path)).map_err(not_built)?;
        }
        let mut outputs = Vec::new();
        if let Intent::Send {
            recipient, memo, ..
        } = &plan.intent
        {
            outputs.push(Output {
                ovk: Some(key.to_ovk(Scope::External)),
                recipient: *recipient,
                value_units: plan.amount_units,
                memo: memo.clone(),
            });
        }
        // What the wallet sends to itself goes to an address that nobody else ever sees.
        let own_units = match plan.intent {
            Intent::Consolidate => plan.amount_units,
            _ => plan.change_units,
        };
        if own_units > 0 {
            outputs.push(Output {
                ovk: Some(key.to_ovk(Scope::Internal)),
                recipient: key.address_at(0u32, Scope::Internal).into(),
                value_units: own_units,
                memo: Memo::none(),
            });
        }
        for output in outputs {
            output.add_to(&mut builder)?;
        }
        finish(builder)
    }

    /// How the history will show it, from what this wallet knows of it.
    pub(super) fn expected(&self, plan: &Plan, transaction: &Transaction) -> HistoryEntry {
        let notes = plan
            .spends
            .iter()
            .filter_map(|position| self.notes.get(position));
        let mut effect = PoolEffect {
            spent_units: notes
                .map(|note| note.value_units)
                .fold(0, u64::saturating_add),
            change_units: plan.change_units,
            received_units: Vec::new(),
        };
        let mut payments = None;
        match &plan.intent {
            Intent::Send {
                recipient, memo, ..
            }
            | Intent::Shield {
                recipient, memo, ..
            } => {
                if self.viewing.address_index(recipient).is_some() {
                    effect.received_units.push(plan.amount_units);
                }
                payments = Some(vec![Payment {
                    party: Some(Party::Shielded(*recipient)),
                    amount_units: plan.amount_units,
                    memo: Some(memo.clone()),
                }]);
            }
            Intent::Consolidate => effect.change_units = plan.amount_units,
            _ => {}
        }
        let public = CompactTx::of(transaction).public;
        let entry = classify(&public, plan.fee_units, &self.viewing.alpha.0, &effect);
        let entry = entry.expect("what the wallet pays concerns it");
        HistoryEntry {
            id: transaction.id(),
            status: Status::Pending,
            payments: payments.unwrap_or(entry.payments),
            is_complete: true,
            ..entry
        }
    }
}

fn signed(
    keys: &SpendingKeys,
    payload: Payload,
    proof: BundleProof,
) -> Result<Transaction, BuildError> {
    match payload.function.account() {
        Some(_) => Ok(sign_shield(keys.alpha(), payload, proof)?),
        None => Ok(Transaction {
            payload,
            witness: Witness::Bundle(proof),
        }),
    }
}

/// A bundle that spends nothing and makes one note (and one of nothing beside it).
pub(super) fn output_bundle(output: Output) -> Result<UnauthorizedBundle<i64>, BuildError> {
    let (flags, anchor) = (Flags::SPENDS_DISABLED, empty_anchor());
    let builder = Builder::new(BundleType::DEFAULT, BUNDLE_VERSION, flags, anchor);
    let mut builder = builder.map_err(not_built)?;
    output.add_to(&mut builder)?;
    finish(builder)
}

fn finish(builder: Builder) -> Result<UnauthorizedBundle<i64>, BuildError> {
    let bundle = builder.build::<i64>(UnwrapErr(SysRng)).map_err(not_built)?;
    let (bundle, _) = bundle.ok_or_else(|| not_built("it has neither spends nor outputs"))?;
    Ok(bundle)
}

impl Output {
    fn add_to(self, builder: &mut Builder) -> Result<(), BuildError> {
        let value = NoteValue::from_raw(self.value_units);
        let (recipient, memo) = (self.recipient.orchard(), self.memo.to_bytes());
        (builder.add_output(self.ovk, recipient, value, memo)).map_err(not_built)
    }
}

pub(super) fn not_built(error: impl std::fmt::Display) -> BuildError {
    BuildError::Bundle(error.to_string())
}
