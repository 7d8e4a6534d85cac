//! What the wallet asks a node: blocks, tree states, whole transactions, and to pass on what it has
//! signed. Nothing secret goes out, and nothing that comes in is believed beyond its bounds.

use std::io::{ErrorKind, Read};

use adnet_alpha::{
    compact::{BlockStream, CompactBlock},
    pool::tree::ANCHOR_WINDOW_BLOCKS,
    tx::{FeeSchedule, Transaction},
    wallet::Account,
};
use adnet_common::{hash::Hash, keys::AlphaAddress};
use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};

use crate::cli::api_client::{ApiClient, Refused, number};

/// The most blocks of one request.
pub(super) const BLOCKS_PER_REQUEST: u64 = 1_000;
const READ_BYTES: usize = 64 << 10;
/// More than any transaction has.
const RAW_DIGITS_MAX: usize = 1 << 20;
/// More than the encoding of a frontier of depth 32 has.
const FRONTIER_DIGITS_MAX: usize = 8 << 10;
const TIP_HEADER: &str = "x-adnet-tip";

/// A node's API of Alpha.
pub(super) struct NodeClient {
    api: ApiClient,
}

/// The network that a node is part of, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NetworkFacts {
    pub name: String,
    pub genesis: Hash,
    pub fees: FeeSchedule,
    pub expiry_window_blocks: u64,
}

/// The tree of note commitments after a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TreeState {
    pub height: u64,
    pub block_hash: Hash,
    pub frontier: Vec<u8>,
}

/// A transaction that the node knows.
pub(super) struct Known {
    pub raw: Vec<u8>,
    /// Of its block, once it is final.
    pub height: Option<u64>,
}

/// What a node said to a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It waits for a block, or is in one already.
    Accepted,
    Refused(Refused),
}

impl NodeClient {
    pub fn new(api: ApiClient) -> Self {
        NodeClient { api }
    }

    pub fn url(&self) -> &str {
        self.api.url()
    }

    pub fn network(&self) -> anyhow::Result<NetworkFacts> {
        let body = self.api.get("/v1/version")?;
        let name = body["network_name"].as_str().unwrap_or_default();
        Ok(NetworkFacts {
            name: name.chars().filter(|c| !c.is_control()).take(64).collect(),
            genesis: hash(&body, "genesis")?,
            fees: FeeSchedule {
                base_units: number(&body, "fee_base_units")?,
                per_byte_units: number(&body, "fee_per_byte_units")?,
                per_action_units: number(&body, "fee_per_action_units")?,
            },
            // Longer than an anchor is good for makes no sense, whatever the node says.
            expiry_window_blocks: number(&body, "expiry_window_blocks")?.min(ANCHOR_WINDOW_BLOCKS),
        })
    }

    /// The height of the node's last block.
    pub fn tip(&self) -> anyhow::Result<u64> {
        number(&self.api.get("/v1/status")?, "height")
    }

    /// The tree after block `height`; `None` if the node does not serve this one.
    pub fn tree(&self, height: u64) -> anyhow::Result<Option<TreeState>> {
        let found = match self.api.find(&format!("/v1/tree/{height}")) {
            Err(error) if is_refusal(&error, "PRUNED") => return Ok(None),
            found => found?,
        };
        let Some(body) = found else {
            return Ok(None);
        };
        if number(&body, "height")? != height {
            bail!(
                "{} gave the tree of another height than {height}",
                self.url()
            );
        }
        Ok(Some(TreeState {
            height,
            block_hash: hash(&body, "block_hash")?,
            frontier: bytes(&body, "frontier", FRONTIER_DIGITS_MAX)?,
        }))
    }

    /// The blocks from `from` on, as many as the node gives at once.
    pub fn blocks(&self, from: u64) -> anyhow::Result<Blocks> {
        let to = from.saturating_add(BLOCKS_PER_REQUEST - 1);
        let path = format!("/v1/compact/blocks?from={from}&to={to}");
        let (body, tip) = self.api.stream(&path, TIP_HEADER)?;
        let tip = tip.and_then(|tip| tip.parse().ok());
        Ok(Blocks {
            url: self.url().to_owned(),
            tip: tip.ok_or_else(|| anyhow!("the answer has no header {TIP_HEADER}"))?,
            body: Box::new(body),
            stream: BlockStream::new(),
            buffer: vec![0; READ_BYTES],
            has_ended: false,
        })
    }

    /// A transaction by its id; `None` if the node knows none.
    pub fn transaction(&self, id: &Hash) -> anyhow::Result<Option<Known>> {
        let Some(body) = self.api.find(&format!("/v1/transaction/{id}"))? else {
            return Ok(None);
        };
        let raw = bytes(&body, "raw", RAW_DIGITS_MAX)?;
        let height = match body["status"].as_str() {
            Some("final") => Some(number(&body["receipt"], "height")?),
            _ => None,
        };
        Ok(Some(Known { raw, height }))
    }

    /// A final transaction, which is checked to be the one that was asked for.
    pub fn final_transaction(&self, id: &Hash) -> anyhow::Result<Transaction> {
        let known = self.transaction(id)?;
        let known = known.ok_or_else(|| anyhow!("{} does not know {id}", self.url()))?;
        let tx = Transaction::decode(&known.raw)
            .with_context(|| format!("{} gave {id} in a broken form", self.url()))?;
        match tx.id() == *id {
            true => Ok(tx),
            false => bail!("{} gave another transaction than {id}", self.url()),
        }
    }

    /// Hands a signed transaction over. The same one again changes nothing.
    pub fn broadcast(&self, raw: &[u8]) -> anyhow::Result<Answer> {
        let body = json!({ "raw": hex::encode(raw) });
        match self.api.post("/v1/transaction/broadcast", &body) {
            Ok(_) => Ok(Answer::Accepted),
            Err(error) => match error.downcast::<Refused>() {
                Ok(refused) => Ok(Answer::Refused(refused)),
                Err(error) => Err(error),
            },
        }
    }

    /// A public account: what it holds, and the number of its next transaction, after those that
    /// wait.
    pub fn account(&self, address: &AlphaAddress) -> anyhow::Result<Account> {
        let body = self.api.get(&format!("/v1/balance/{address}"))?;
        Ok(Account {
            balance_units: number(&body, "balance_units")?,
            nonce: number(&body, "next_nonce")?,
        })
    }
}

/// Blocks as they arrive.
pub(super) struct Blocks {
    url: String,
    /// The node's last block.
    pub tip: u64,
    body: Box<dyn Read>,
    stream: BlockStream,
    buffer: Vec<u8>,
    has_ended: bool,
}

impl Iterator for Blocks {
    type Item = anyhow::Result<CompactBlock>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let next = self.read_next().transpose();
        self.has_ended = !matches!(next, Some(Ok(_)));
        next.map(|block| block.with_context(|| format!("blocks of {}", self.url)))
    }
}

impl Blocks {
    fn read_next(&mut self) -> anyhow::Result<Option<CompactBlock>> {
        loop {
            if let Some(block) = self.stream.next_block()? {
                return Ok(Some(block));
            }
            match self.body.read(&mut self.buffer) {
                Ok(0) => {
                    self.stream.end()?;
                    return Ok(None);
                }
                Ok(count) => self.stream.push(&self.buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Whether an error is a refusal of the API with this code.
pub(super) fn is_refusal(error: &anyhow::Error, code: &str) -> bool {
    let refused = error.downcast_ref::<Refused>();
    refused.is_some_and(|refused| refused.code == code)
}

fn hash(body: &Value, key: &str) -> anyhow::Result<Hash> {
    let text = body[key].as_str().unwrap_or_default();
    text.parse()
        .map_err(|_| anyhow!("the answer has no hash `{key}`"))
}

fn bytes(body: &Value, key: &str, digits_max: usize) -> anyhow::Result<Vec<u8>> {
    let text = body[key].as_str().unwrap_or_default();
    if text.is_empty() || text.len() > digits_max {
        bail!("the answer has no `{key}` of a possible length");
    }
    hex::decode(text).map_err(|_| anyhow!("`{key}` of the answer is not hexadecimal"))
}
