//! Ethereum's JSON-RPC at `/`, over HTTP and WebSocket.
//!
//! jsonrpsee has the methods, axum carries (`dispatch`, `socket`). Blocks, transactions, receipts and
//! logs are served for all heights that were executed here; the state as of the last blocks, anything
//! older is an error and never silently the latest.

mod chain;
pub mod dispatch;
mod error;
mod feed;
mod fees;
mod filters;
mod logs;
mod objects;
pub mod opening;
pub mod params;
mod pool;
mod receipt_roots;
mod simulated_blocks;
mod simulations;
pub mod socket;
mod state;
mod subscriptions;
mod transactions;

pub use error::RpcError;
pub use feed::{Feed, NewBlock, NewPending, Reader};
pub use logs::LogParams;
pub use receipt_roots::ReceiptRoots;

use crate::DeltaApp;
use crate::history::{self, HistoryError};
use adnet_common::api::{Client, Slots};
use adnet_common::config::DeltaApiConfig;
use adnet_common::hash::Hash;
use adnet_common::store::ReadStore;
use adnet_common::worker::{ChainHandle, Snapshot};
use filters::Filters;
use jsonrpsee::RpcModule;
use jsonrpsee::types::Params;
use params::BlockRef;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// What every method gets.
#[derive(Clone)]
pub struct Rpc {
    chain: ChainHandle<DeltaApp>,
    /// For calls and estimates.
    calls: Slots,
    bounds: DeltaApiConfig,
    filters: Arc<Filters>,
    receipt_roots: ReceiptRoots,
}

type Answer = Result<serde_json::Value, RpcError>;

impl Rpc {
    pub fn new(chain: ChainHandle<DeltaApp>, calls: Slots, bounds: &DeltaApiConfig) -> Self {
        Self {
            receipt_roots: ReceiptRoots::default(),
            chain,
            calls,
            bounds: bounds.clone(),
            filters: Arc::new(Filters::new(bounds)),
        }
    }

    /// Those that this knows, for others that compute some.
    pub fn receipt_roots(&self) -> ReceiptRoots {
        self.receipt_roots.clone()
    }

    fn snapshot(&self) -> Arc<Snapshot<DeltaApp>> {
        self.chain.snapshot()
    }

    /// Reads the store on a thread that may block.
    async fn read<T: Send + 'static, E: Into<RpcError> + Send + 'static>(
        &self,
        work: impl FnOnce(&dyn ReadStore) -> Result<T, E> + Send + 'static,
    ) -> Result<T, RpcError> {
        self.chain.read(work).await.map_err(Into::into)
    }
}

/// The last block that is shown.
#[derive(Copy, Clone, Debug)]
pub struct Tip {
    height: u64,
    hash: Hash,
}

impl Tip {
    fn of(snapshot: &Snapshot<DeltaApp>) -> Self {
        let (height, hash) = (snapshot.status.height, snapshot.status.block_hash);
        Self { height, hash }
    }
}

/// The hash of a committed block without reading the block: its child names it.
fn block_hash(store: &dyn ReadStore, tip: Tip, height: u64) -> Result<Option<Hash>, HistoryError> {
    if height == tip.height {
        return Ok(Some(tip.hash));
    }
    Ok(history::figures(store, height + 1)?.map(|child| child.parent))
}

/// The parameters one after the other; what is missing at the end is absent.
struct Arguments<'a>(jsonrpsee::types::ParamsSequence<'a>);

impl<'a> Arguments<'a> {
    fn of(params: &'a Params<'_>) -> Self {
        Self(params.sequence())
    }

    fn required<T: DeserializeOwned>(&mut self) -> Result<T, RpcError> {
        Ok(self.0.next()?)
    }

    fn optional<T: DeserializeOwned>(&mut self) -> Result<Option<T>, RpcError> {
        Ok(self.0.optional_next()?)
    }

    fn block(&mut self) -> Result<BlockRef, RpcError> {
        Ok(self.optional()?.unwrap_or(BlockRef::Latest))
    }
}

/// All methods.
pub fn module(rpc: Rpc) -> RpcModule<Rpc> {
    let mut module = RpcModule::new(rpc);
    chain::register(&mut module);
    fees::register(&mut module);
    filters::register(&mut module);
    logs::register(&mut module);
    pool::register(&mut module);
    simulated_blocks::register(&mut module);
    simulations::register(&mut module);
    state::register(&mut module);
    transactions::register(&mut module);
    module
}

/// Registers `async fn(Arc<_>, Params) -> Answer` under a name.
fn method<C, F, Fut>(module: &mut RpcModule<C>, name: &'static str, call: F)
where
    C: Send + Sync + 'static,
    F: Fn(Arc<C>, Params<'static>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send,
{
    let registered = module.register_async_method(name, move |params, rpc, _| call(rpc, params));
    registered.expect("every method is registered once");
}

/// The same for methods that keep something for who asks.
fn method_of_client<F, Fut>(module: &mut RpcModule<Rpc>, name: &'static str, call: F)
where
    F: Fn(Arc<Rpc>, Client, Params<'static>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send,
{
    let registered = module.register_async_method(name, move |params, rpc, extensions| {
        let client = extensions.get::<Client>().copied();
        let client = client.expect("the dispatcher says whose request it is");
        call(rpc, client, params)
    });
    registered.expect("every method is registered once");
}
