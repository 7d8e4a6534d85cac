//! `/v1/ws`: new blocks, their transactions, and what comes into the mempool, as they come.
//!
//! A client names its channels in the query and then only listens. Each message is
//! `{"channel":…,"data":…}`; the data of a block is that of `GET /v1/blocks/{block}`.

use adnet_common::api::{ApiError, ApiQuery, ApiResult, ApiSocket, Heard, Socket, Untold};
use adnet_common::hash::Hash;
use alloy_primitives::Address;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::{Api, blocks};
use crate::rpc::{NewBlock, NewPending, Reader};

/// Clients have nothing to say here.
const MESSAGE_BYTES_MAX: usize = 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamQuery {
    #[serde(default = "default_channels")]
    channels: String,
}

fn default_channels() -> String {
    "blocks".to_owned()
}

#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
struct Channels {
    blocks: bool,
    transactions: bool,
    pending: bool,
}

impl Channels {
    fn parse(text: &str) -> Result<Self, ApiError> {
        let mut channels = Channels::default();
        for name in text.split(',') {
            match name.trim() {
                "blocks" => channels.blocks = true,
                "transactions" => channels.transactions = true,
                "pending" => channels.pending = true,
                other => {
                    let message = format!(
                        "there is no channel `{other}`: blocks, transactions and pending exist"
                    );
                    return Err(ApiError::invalid(message));
                }
            }
        }
        Ok(channels)
    }
}

pub(super) async fn open(
    State(api): State<Api>,
    ApiQuery(query): ApiQuery<StreamQuery>,
    socket: ApiSocket,
) -> ApiResult {
    let channels = Channels::parse(&query.channels)?;
    // Before the answer, so that nothing is missed after it.
    let new_blocks = match channels.blocks || channels.transactions {
        true => api.feed.blocks(),
        false => Reader::default(),
    };
    let mut pending = Reader::default();
    if channels.pending {
        let busy = || ApiError::new("OVERLOADED", "the node is busy: connect again in a moment");
        pending = api.feed.pending().await.ok_or_else(busy)?;
    }
    Ok(socket.open(MESSAGE_BYTES_MAX, move |socket| {
        serve(channels, new_blocks, pending, socket)
    }))
}

#[derive(Serialize)]
struct Told<T> {
    channel: &'static str,
    data: T,
}

/// The transactions of a block, in order.
#[derive(Serialize)]
struct TransactionsBody {
    height: u64,
    block: Hash,
    transactions: Vec<TransactionLine>,
}

#[derive(Serialize)]
struct TransactionLine {
    hash: Hash,
    index: u32,
    from: Address,
    to: Option<Address>,
    /// False for one that reverted or ran out of gas.
    succeeded: bool,
    gas_used: u64,
    logs: usize,
}

impl TransactionsBody {
    fn of(block: &NewBlock) -> Self {
        let each = (0..).zip(block.tx_ids().iter().zip(&block.receipts));
        let line = |(index, (id, receipt)): (u32, (&Hash, &crate::history::receipt::Receipt))| {
            TransactionLine {
                hash: *id,
                index,
                from: receipt.from,
                to: receipt.to,
                succeeded: receipt.success,
                gas_used: receipt.gas_used,
                logs: receipt.logs.len(),
            }
        };
        Self {
            height: block.figures.height,
            block: block.hash,
            transactions: each.map(line).collect(),
        }
    }
}

/// Hashes of transactions that have come into the mempool.
#[derive(Serialize)]
struct PendingBody<'a> {
    hashes: &'a [Hash],
}

fn message<T: Serialize>(channel: &'static str, data: T) -> String {
    let told = Told { channel, data };
    serde_json::to_string(&told).expect("plain fields serialize")
}

async fn serve(
    channels: Channels,
    mut new_blocks: Reader<NewBlock>,
    mut pending: Reader<NewPending>,
    mut socket: Socket,
) {
    let close = loop {
        let told = tokio::select! {
            heard = socket.hear() => match heard {
                Heard::Text(_) => Ok(()),
                Heard::End(close) => break close,
                Heard::Gone => return,
            },
            block = new_blocks.next() => match block {
                Ok(block) => socket.tell(of_block(channels, &block)).await,
                Err(close) => break close,
            },
            arrived = pending.next() => match arrived {
                Ok(arrived) => {
                    let hashes = &arrived.ids;
                    let text = message("pending", PendingBody { hashes });
                    socket.tell(std::iter::once(text)).await
                }
                Err(close) => break close,
            },
        };
        match told {
            Ok(()) => {}
            Err(Untold::Late(close)) => break close,
            Err(Untold::Gone) => return,
        }
    };
    socket.close(close).await;
}

/// What the channels say of a block.
fn of_block(channels: Channels, block: &NewBlock) -> impl Iterator<Item = String> {
    let head = channels.blocks.then(|| {
        let text = block.block_message.get_or_init(|| {
            let body = blocks::body_of(&block.committed, Some(&block.figures), true);
            message("blocks", body)
        });
        text.clone()
    });
    let has_transactions = channels.transactions && !block.receipts.is_empty();
    let transactions = has_transactions.then(|| {
        let text = &block.transactions_message;
        let text = text.get_or_init(|| message("transactions", TransactionsBody::of(block)));
        text.clone()
    });
    head.into_iter().chain(transactions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_named_and_others_refused() {
        let all = Channels::parse("blocks, transactions,pending").expect("good");
        assert!(all.blocks && all.transactions && all.pending);
        assert_eq!(
            Channels::parse("pending").expect("good"),
            Channels {
                pending: true,
                ..Channels::default()
            }
        );
        assert!(Channels::parse("trades").is_err());
        assert!(Channels::parse("").is_err());
    }
}
