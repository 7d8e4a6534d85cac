//! Waiting transactions as they come in, for wallets that want to see a payment before its block.
//!
//! Everybody who listens is served from one look at the mempool per second, so many streams cost
//! the chain's thread no more than one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adnet_common::api::{ApiError, ApiPeer, Piece};
use adnet_common::hash::Hash;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use serde::Serialize;
use tokio::sync::Mutex;

use super::Api;
use crate::compact::CompactTx;
use crate::tx::Transaction;

/// Transactions that one look sees: the best-paying ones.
const SEEN_MAX: usize = 1_000;
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// An empty line after so much silence shows both sides that the other is there.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Looks that the chain may leave unanswered before a stream ends.
const UNANSWERED_MAX: u32 = 3;

/// What the last look saw.
#[derive(Clone, Default)]
pub(super) struct MempoolWatch(Arc<Mutex<Option<Look>>>);

#[derive(Clone)]
struct Look {
    at: Instant,
    /// The line of each transaction.
    waiting: Arc<Vec<(Hash, Vec<u8>)>>,
}

#[derive(Serialize)]
struct WaitingBody {
    id: Hash,
    /// Bytes of the whole transaction.
    bytes: usize,
    /// In the wire form that it has in compact blocks, in hex.
    compact: String,
}

impl MempoolWatch {
    /// What waits, a second ago or less; `None` if the chain does not answer.
    async fn look(&self, api: &Api) -> Option<Arc<Vec<(Hash, Vec<u8>)>>> {
        let mut last = self.0.lock().await;
        if let Some(look) = last
            .as_ref()
            .filter(|look| look.at.elapsed() < LOOK_INTERVAL)
        {
            return Some(Arc::clone(&look.waiting));
        }
        let waiting = api.chain.mempool(SEEN_MAX).await?;
        let line = |raw: &[u8], id| {
            let tx = Transaction::decode(raw).expect("the mempool holds verified transactions");
            let body = WaitingBody {
                id,
                bytes: raw.len(),
                compact: hex::encode(CompactTx::of(&tx).encode()),
            };
            let mut line = serde_json::to_vec(&body).expect("plain fields serialise");
            line.push(b'\n');
            (id, line)
        };
        let lines = waiting.iter().map(|tx| line(&tx.raw, tx.id)).collect();
        let waiting = Arc::new(lines);
        *last = Some(Look {
            at: Instant::now(),
            waiting: Arc::clone(&waiting),
        });
        Some(waiting)
    }
}

struct Listener {
    api: Api,
    /// What waited at the last look, and was sent then or before.
    known: BTreeSet<Hash>,
    spoke: Instant,
    until: Instant,
    unanswered: u32,
}

/// First everything that waits, then what comes in; one JSON object per line.
pub(super) async fn stream(
    State(api): State<Api>,
    ApiPeer(peer): ApiPeer,
) -> Result<Response, ApiError> {
    let place = api.streams.mempool.admit(peer)?;
    let listener = Listener {
        known: BTreeSet::new(),
        spoke: Instant::now(),
        until: place.until,
        unanswered: 0,
        api,
    };
    let fields = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((fields, place.body(listener, step)).into_response())
}

async fn step(mut listener: Listener) -> (Piece, Listener) {
    loop {
        match listener.api.watch.look(&listener.api).await {
            Some(waiting) => {
                listener.unanswered = 0;
                let new = waiting
                    .iter()
                    .filter(|(id, _)| !listener.known.contains(id));
                let lines: Vec<u8> = new.flat_map(|(_, line)| line).copied().collect();
                listener.known = waiting.iter().map(|(id, _)| *id).collect();
                if !lines.is_empty() {
                    listener.spoke = Instant::now();
                    return (Piece::Data(lines), listener);
                }
            }
            None => listener.unanswered += 1,
        }
        if listener.unanswered >= UNANSWERED_MAX || Instant::now() >= listener.until {
            return (Piece::End, listener);
        }
        if listener.spoke.elapsed() >= SILENCE_MAX {
            listener.spoke = Instant::now();
            return (Piece::Data(b"\n".to_vec()), listener);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
