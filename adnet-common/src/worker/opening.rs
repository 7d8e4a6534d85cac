//! A chain that has its store, and whose state is not in memory yet.

use std::sync::Arc;

use crate::api::Later;
use crate::application::Application;
use crate::header::Header;
use crate::store::ReadStore;

/// What an API can serve from before its chain is open. Nothing is committed until then.
pub struct Opening<A: Application> {
    pub rules: A::Rules,
    /// The last committed block, unless the chain has only now begun.
    pub tip: Option<Header>,
    pub reader: Arc<dyn ReadStore + Send + Sync>,
    /// All routes, from then on.
    pub later: Later,
}
