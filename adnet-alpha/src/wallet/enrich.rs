//! What only whole transactions tell: memos, and to whom the wallet has paid (by its outgoing
//! viewing key).

use orchard::Action;
use orchard::keys::{PreparedIncomingViewingKey, Scope};
use orchard::note_encryption::IronwoodDomain;
use zcash_note_encryption::{try_note_decryption, try_output_recovery_with_ovk};

use super::history::{Party, Payment};
use super::memo::Memo;
use super::state::Wallet;
use crate::pool::{Bundle, BundleProof};
use crate::tx::Transaction;

/// Why a transaction tells nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnrichError {
    #[error("transaction {0} is not one of this wallet")]
    Unknown(adnet_common::hash::Hash),
    #[error("transaction {0} has a bundle that no valid transaction has")]
    BadBundle(adnet_common::hash::Hash),
}

/// An output of a transaction that the wallet can read.
struct Output {
    rho: [u8; 32],
    address: crate::pool::address::ShieldedAddress,
    value_units: u64,
    memo: Memo,
    /// Its own, by the key that reads it; `None` if it went to somebody else.
    own: Option<Scope>,
}

impl Wallet {
    /// Takes a whole transaction that the wallet [wants](Wallet::wanted). Its id covers all that is
    /// read here, so a node can withhold it and cannot falsify it.
    pub fn enrich(&mut self, transaction: &Transaction) -> Result<(), EnrichError> {
        let id = transaction.id();
        if !self.history.iter().any(|entry| entry.id == id) {
            return Err(EnrichError::Unknown(id));
        }
        match self.complete(transaction) {
            true => Ok(()),
            false => Err(EnrichError::BadBundle(id)),
        }
    }

    /// Whether its bundle could be read.
    pub(super) fn complete(&mut self, transaction: &Transaction) -> bool {
        let id = transaction.id();
        let outputs = match transaction.payload.function.bundle() {
            None => Vec::new(),
            Some(bundle) => match self.read_outputs(bundle) {
                Some(outputs) => outputs,
                None => return false,
            },
        };
        // Change has no memo.
        let notes = self.notes.values_mut();
        for note in notes.filter(|note| note.transaction == id && !note.is_change) {
            let output = outputs.iter().find(|output| output.rho == note.rho);
            note.memo = output.map(|output| output.memo.clone());
        }
        let Some(entry) = self.history.iter_mut().find(|entry| entry.id == id) else {
            return true;
        };
        entry.is_complete = true;
        let payer = entry.party();
        let public: Vec<Payment> = (entry.payments.iter())
            .filter(|payment| matches!(payment.party, Some(Party::Public(_) | Party::Delta(_))))
            .cloned()
            .collect();
        let paid: Vec<&Output> = outputs
            .iter()
            .filter(|output| output.own.is_none())
            .collect();
        let is_received = |output: &&Output| matches!(output.own, Some(Scope::External));
        let got: Vec<&Output> = outputs.iter().filter(is_received).collect();
        if !paid.is_empty() {
            entry.payments = paid
                .iter()
                .map(|output| output.payment(Some(output.address)))
                .collect();
        } else if !got.is_empty() {
            entry.payments = got.iter().map(|output| output.payment(None)).collect();
        }
        if paid.is_empty() && !got.is_empty() {
            // Who shields is public.
            entry
                .payments
                .iter_mut()
                .for_each(|payment| payment.party = payer);
        } else if !paid.is_empty() {
            entry.payments.extend(public);
        }
        true
    }

    fn read_outputs(&self, bundle: &Bundle) -> Option<Vec<Output>> {
        // Neither proof nor signatures are looked at: the block that holds it was decided.
        let blank = BundleProof::blank(bundle.actions.len());
        let bundle = bundle.authorize(&blank).ok()?;
        let key = self.viewing.pool.key();
        let scopes = [Scope::External, Scope::Internal];
        let keys = scopes.map(|scope| PreparedIncomingViewingKey::new(&key.to_ivk(scope)));
        let ovk = key.to_ovk(Scope::External);
        let read = |action: &Action<_>| {
            let domain = IronwoodDomain::for_action(action);
            let own = scopes.iter().zip(&keys).find_map(|(scope, key)| {
                let (note, _, memo) = try_note_decryption(&domain, key, action)?;
                Some((note, memo, Some(*scope)))
            });
            let (note, memo, own) = own.or_else(|| {
                let cv = action.cv_net();
                let out = &action.encrypted_note().out_ciphertext;
                let (note, _, memo) = try_output_recovery_with_ovk(&domain, &ovk, action, cv, out)?;
                Some((note, memo, None))
            })?;
            Some(Output {
                rho: note.rho().to_bytes(),
                address: note.recipient().into(),
                value_units: note.value().inner(),
                // What is no text is for machines, and nothing to show.
                memo: Memo::read(&memo).unwrap_or_default(),
                own,
            })
        };
        Some(bundle.actions().iter().filter_map(read).collect())
    }
}

impl Output {
    fn payment(&self, to: Option<crate::pool::address::ShieldedAddress>) -> Payment {
        Payment {
            party: to.map(Party::Shielded),
            amount_units: self.value_units,
            memo: Some(self.memo.clone()),
        }
    }
}
