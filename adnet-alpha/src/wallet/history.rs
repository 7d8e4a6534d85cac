//! What happened to the wallet's AX, transaction by transaction.

use std::fmt;

use adnet_common::hash::Hash;
use adnet_common::keys::{AlphaAddress, EvmAddress};
use serde::{Deserialize, Serialize};

use super::memo::Memo;
use crate::compact::PublicPart;
use crate::pool::address::ShieldedAddress;

/// One line of the history. The changes of all final lines add up to what the wallet holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryEntry {
    /// Of the transaction. An unlock has none: it is named by its block and its place in it.
    pub id: Hash,
    /// Nothing until it is final.
    pub height: Option<u64>,
    /// Time of its block, milliseconds since the UNIX epoch.
    pub time_ms: Option<u64>,
    pub kind: Kind,
    pub status: Status,
    /// What it was about, without the fee.
    pub amount_units: u64,
    /// What this wallet paid for it.
    pub fee_units: u64,
    pub pool_change_units: i64,
    pub public_change_units: i64,
    /// Who was paid, or who paid, as far as it is known.
    pub payments: Vec<Payment>,
    /// Whether memos and recipients were read out of the whole transaction, or need not be.
    pub is_complete: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Received,
    Sent,
    /// From the own account into the own pool.
    Shielded,
    /// From the own pool to the own account.
    Unshielded,
    /// To Delta.
    Locked,
    /// From Delta.
    Unlocked,
    Burned,
    Minted,
    /// From the wallet to itself: notes that were joined, mostly.
    ToSelf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Signed, and not yet in a block.
    Pending,
    Final,
    /// Will never be in a block: its time is over, or a note of it was spent otherwise.
    Expired,
}

/// One amount that went from somebody to somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// The other side. In the pool a sender stays unknown.
    pub party: Option<Party>,
    pub amount_units: u64,
    pub memo: Option<Memo>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    Shielded(ShieldedAddress),
    Public(AlphaAddress),
    Delta(EvmAddress),
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Shielded(address) => address.fmt(f),
            Party::Public(address) => address.fmt(f),
            Party::Delta(address) => address.fmt(f),
        }
    }
}

impl HistoryEntry {
    /// The other side of the first payment that has one.
    pub fn party(&self) -> Option<Party> {
        self.payments.iter().find_map(|payment| payment.party)
    }

    /// The first memo that says something.
    pub fn memo(&self) -> Option<&Memo> {
        let memos = self
            .payments
            .iter()
            .filter_map(|payment| payment.memo.as_ref());
        memos.into_iter().find(|memo| !memo.is_none())
    }
}

/// What a transaction did to the wallet's notes.
#[derive(Clone, Debug, Default)]
pub(super) struct PoolEffect {
    pub spent_units: u64,
    pub change_units: u64,
    /// Of each note that came in otherwise.
    pub received_units: Vec<u64>,
}

/// What a transaction is to the account; `None` if it has nothing to do with it.
pub(super) fn classify(
    public: &PublicPart,
    fee_units: u64,
    account: &[u8; 32],
    pool: &PoolEffect,
) -> Option<HistoryEntry> {
    let received: u64 = pool
        .received_units
        .iter()
        .fold(0, |sum, n| sum.saturating_add(*n));
    let back = received.saturating_add(pool.change_units);
    let pays = pool.spent_units > 0;
    let public_party = |key: &[u8; 32]| Some(Party::Public(AlphaAddress(*key)));
    let mine = |key: &[u8; 32]| key == account;
    let one = |party, amount_units| {
        vec![Payment {
            party,
            amount_units,
            memo: None,
        }]
    };
    // Payments of notes: their memos are in the whole transaction.
    let notes = |party: Option<Party>| -> Vec<Payment> {
        let payment = |amount_units: &u64| Payment {
            party,
            amount_units: *amount_units,
            memo: None,
        };
        pool.received_units.iter().map(payment).collect()
    };
    // Kind, amount, payments; then what the account got and paid, and whether all is told.
    let (kind, amount, payments, got, paid, is_complete) = match public {
        PublicPart::TransferPublic(f) => {
            let (from_me, to_me) = (mine(&f.sender), mine(&f.recipient));
            let (got, paid) = (if to_me { f.amount_units } else { 0 }, from_me);
            let (kind, party) = match (from_me, to_me) {
                (true, true) => (Kind::ToSelf, None),
                (true, false) => (Kind::Sent, public_party(&f.recipient)),
                (false, true) => (Kind::Received, public_party(&f.sender)),
                (false, false) => return None,
            };
            let paid = if paid { f.amount_units } else { 0 };
            (
                kind,
                f.amount_units,
                one(party, f.amount_units),
                got,
                paid,
                true,
            )
        }
        PublicPart::Mint(f) if mine(&f.recipient) => {
            let got = f.amount_units.saturating_sub(fee_units);
            (Kind::Minted, got, Vec::new(), got, 0, true)
        }
        PublicPart::Burn(f) if mine(&f.sender) => (
            Kind::Burned,
            f.amount_units,
            Vec::new(),
            0,
            f.amount_units,
            true,
        ),
        PublicPart::Lock(f) if mine(&f.sender) => {
            let party = Some(Party::Delta(EvmAddress(f.recipient)));
            (
                Kind::Locked,
                f.amount_units,
                one(party, f.amount_units),
                0,
                f.amount_units,
                true,
            )
        }
        PublicPart::Shield {
            sender,
            amount_units,
            ..
        } if mine(sender) => match amount_units.saturating_sub(back) {
            0 => (
                Kind::Shielded,
                *amount_units,
                notes(None),
                0,
                *amount_units,
                false,
            ),
            sent => (Kind::Sent, sent, one(None, sent), 0, *amount_units, false),
        },
        PublicPart::Shield { sender, .. } if received > 0 => (
            Kind::Received,
            received,
            notes(public_party(sender)),
            0,
            0,
            false,
        ),
        PublicPart::Unshield {
            recipient,
            amount_units,
        } if pays && mine(recipient) => (
            Kind::Unshielded,
            *amount_units,
            Vec::new(),
            *amount_units,
            0,
            true,
        ),
        PublicPart::Unshield {
            recipient,
            amount_units,
        } if pays => {
            let payments = one(public_party(recipient), *amount_units);
            (Kind::Sent, *amount_units, payments, 0, 0, true)
        }
        PublicPart::Unshield {
            recipient,
            amount_units,
        } if mine(recipient) => {
            let mut payments = one(None, *amount_units);
            payments.extend(notes(None));
            let amount = amount_units.saturating_add(received);
            (
                Kind::Received,
                amount,
                payments,
                *amount_units,
                0,
                received == 0,
            )
        }
        PublicPart::BurnPrivate { amount_units } if pays => {
            (Kind::Burned, *amount_units, Vec::new(), 0, 0, true)
        }
        PublicPart::LockPrivate {
            recipient,
            amount_units,
        } if pays => {
            let party = Some(Party::Delta(EvmAddress(*recipient)));
            (
                Kind::Locked,
                *amount_units,
                one(party, *amount_units),
                0,
                0,
                true,
            )
        }
        PublicPart::MintPrivate { .. } if received > 0 => {
            (Kind::Minted, received, notes(None), 0, 0, false)
        }
        PublicPart::TransferPrivate if pays => {
            let out = pool.spent_units.saturating_sub(back);
            match out.saturating_sub(fee_units) {
                0 => (Kind::ToSelf, back, notes(None), 0, 0, received == 0),
                sent => (Kind::Sent, sent, one(None, sent), 0, 0, false),
            }
        }
        _ if received > 0 => (Kind::Received, received, notes(None), 0, 0, false),
        _ => return None,
    };
    let fee = if pays || paid > 0 { fee_units } else { 0 };
    let public_fee = if paid > 0 { fee } else { 0 };
    Some(HistoryEntry {
        id: Hash::ZERO,
        height: None,
        time_ms: None,
        kind,
        status: Status::Pending,
        amount_units: amount,
        fee_units: fee,
        pool_change_units: difference(back.into(), pool.spent_units.into()),
        public_change_units: difference(got.into(), i128::from(paid) + i128::from(public_fee)),
        payments,
        is_complete,
    })
}

/// Amounts of the chain fit: all of it is less than 2^63 units. What does not is a node's lie, and
/// is shown as the most there can be.
pub(super) fn difference(plus: i128, minus: i128) -> i64 {
    let change = plus - minus;
    i64::try_from(change).unwrap_or(if change < 0 { i64::MIN } else { i64::MAX })
}
