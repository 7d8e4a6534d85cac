//! A private balance by a full viewing key in the body: off unless configured, for clients on this
//! machine (or behind a proxy here that speaks TLS) only.
//!
//! An incoming key would not do: it cannot tell which notes are spent. The key is read into memory
//! that is wiped afterwards, its text is copied nowhere else, and it stands in no message, log or
//! error. Two places are not ours to wipe: the connection's read buffer, and the key's parts while the
//! proof system's library computes with them. Wallets do not need this route: they read compact blocks.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use adnet_common::api::{ApiError, ApiPeer, ApiResult, ok};
use adnet_common::ledger::LedgerError;
use adnet_common::store::{ReadStore, StoreError};
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Api;
use super::compact::compact_blocks;
use crate::state;
use crate::wallet::decrypt::try_all;
use crate::wallet::viewing_key::PoolViewingKey;

/// A body is at most this long: a key has 167 characters.
const BODY_BYTES_MAX: usize = 1024;
/// Blocks of one request, at most.
pub(super) const BLOCKS_MAX: u64 = 10_000;
/// A scan that has tried as many actions ends at the next piece of blocks. One takes about 0.1 ms.
const ACTIONS_MAX: usize = 16_384;

/// Borrows from the body, so that the key's text is in one place.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BalanceQuery<'a> {
    viewing_key: &'a str,
    from: u64,
    /// Inclusive; the tip if absent.
    to: Option<u64>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct PrivateBalanceBody {
    /// Blocks that were scanned, both inclusive.
    from: u64,
    to: u64,
    /// Whether a note is spent is said as of this height.
    tip: u64,
    notes: u64,
    /// Notes of these blocks, from others.
    received_units: u64,
    /// Notes of these blocks that the wallet sent to itself.
    change_units: u64,
    /// Of both, what is spent.
    spent_units: u64,
    /// Of both, what is not. Balances of ranges that do not overlap add up.
    balance_units: u64,
    /// Height to go on from; absent when the whole range was scanned.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

pub(super) async fn balance(
    State(api): State<Api>,
    ApiPeer(peer): ApiPeer,
    request: Request,
) -> ApiResult {
    if !api.viewing_key_balance {
        let message = "this node scans for nobody (alpha_api.viewing_key_balance)";
        return Err(ApiError::new("NOT_ENABLED", message));
    }
    let (parts, body) = request.into_parts();
    only_from_here(peer, &parts.headers)?;
    let body = secret_body(body).await?;
    // What serde says of a wrong body could quote it.
    let wrong = || ApiError::invalid("send {\"viewing_key\":\"axview1…\",\"from\":HEIGHT} as JSON");
    let query: BalanceQuery<'_> = serde_json::from_slice(&body).map_err(|_| wrong())?;
    let key: PoolViewingKey = query
        .viewing_key
        .parse()
        .map_err(|error| ApiError::new("INVALID_VIEWING_KEY", format!("{error}")))?;
    let (from, asked_to) = (query.from, query.to);
    drop(body);
    let tip = api.snapshot().status.height;
    if asked_to.is_some_and(|to| to < from) {
        return Err(ApiError::invalid("to must not be below from"));
    }
    if from > tip {
        let message = format!("there is no block {from} yet, the last is {tip}");
        return Err(ApiError::not_found(message));
    }
    let asked = asked_to.unwrap_or(tip).min(tip);
    let to = asked.min(from.saturating_add(BLOCKS_MAX - 1));
    let slot = api.slots.take().await?;
    let scan = api.read(move |store| {
        let _slot = slot;
        scan(store, &key, from, to)
    });
    let found = scan.await?;
    let Some(mut found) = found else {
        let message = format!("this node has no block {from}: it began with a later state");
        return Err(ApiError::new("PRUNED", message));
    };
    found.tip = tip;
    found.next = (found.to < asked).then(|| found.to + 1);
    Ok(ok(found))
}

/// Whether nobody between the client and this process could read along.
fn only_from_here(peer: SocketAddr, headers: &HeaderMap) -> Result<(), ApiError> {
    let has = |name: &str| headers.contains_key(name);
    let is_forwarded = has("forwarded") || has("x-forwarded-for") || has("x-forwarded-proto");
    let mut schemes = headers.get_all("x-forwarded-proto").iter();
    let came_by_tls = schemes.next().is_some_and(|scheme| scheme == "https");
    let is_one = schemes.next().is_none();
    if peer.ip().to_canonical().is_loopback() && (!is_forwarded || (came_by_tls && is_one)) {
        return Ok(());
    }
    let message = "a viewing key is taken from this machine, or over TLS, and in no other way";
    Err(ApiError::new("LOOPBACK_ONLY", message))
}

/// The body in memory that is wiped when dropped, and never moved while it grows.
async fn secret_body(mut body: Body) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(BODY_BYTES_MAX));
    let mut body = std::pin::Pin::new(&mut body);
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|_| ApiError::invalid("the body ended early"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > BODY_BYTES_MAX {
            let message = format!("the body has at most {BODY_BYTES_MAX} bytes here");
            return Err(ApiError::new("PAYLOAD_TOO_LARGE", message));
        }
        bytes.extend_from_slice(&data);
        // Where nobody else holds the piece, it is wiped as well.
        if let Ok(mut own) = data.try_into_mut() {
            own.fill(0);
        }
    }
    Ok(bytes)
}

/// Notes of the key in the first blocks of `from..=to`. `None` if the first is not here.
fn scan(
    store: &dyn ReadStore,
    key: &PoolViewingKey,
    from: u64,
    to: u64,
) -> Result<Option<PrivateBalanceBody>, LedgerError> {
    let mut found = PrivateBalanceBody {
        from,
        ..PrivateBalanceBody::default()
    };
    let (mut next, mut actions) = (from, 0);
    let mut notes: Vec<([u8; 32], u64)> = Vec::new();
    while next <= to && actions < ACTIONS_MAX {
        let blocks = compact_blocks(store, next, to)?;
        let Some(last) = blocks.last() else { break };
        next = last.height + 1;
        let tried = try_all(key, &blocks).map_err(|bad| {
            let message = format!("transaction {} has a bad {}", bad.transaction, bad.what);
            StoreError::Failed(message)
        })?;
        actions += tried.len();
        for (note, is_change) in tried.into_iter().filter_map(|tried| tried.note) {
            let units = note.value().inner();
            let sum = match is_change {
                true => &mut found.change_units,
                false => &mut found.received_units,
            };
            *sum = sum.saturating_add(units);
            notes.push((note.nullifier(key.key()).to_bytes(), units));
        }
    }
    if next == from {
        return Ok(None);
    }
    let spent: BTreeSet<[u8; 32]> =
        state::spent(store, notes.iter().map(|(nullifier, _)| nullifier))?;
    let units = |wanted: bool| {
        let of = notes
            .iter()
            .filter(|(nullifier, _)| spent.contains(nullifier) == wanted);
        of.fold(0u64, |sum, (_, units)| sum.saturating_add(*units))
    };
    found.to = next - 1;
    found.notes = notes.len() as u64;
    (found.spent_units, found.balance_units) = (units(true), units(false));
    Ok(Some(found))
}
