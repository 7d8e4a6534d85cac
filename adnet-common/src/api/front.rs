//! The routes of an API before and after its chain is open.
//!
//! A chain whose state takes seconds to be rebuilt serves from the first moment what it can read without
//! it. When it is open all routes are there, for requests on older connections as well. What needs the
//! open chain waits for it a little, and is then told to come back.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::response::Response;
use tokio::sync::SetOnce;
use tower::ServiceExt;

use super::envelope::ApiError;
use super::limits::ApiLimits;
use super::metrics::ApiMetrics;

/// Most chains are open sooner, and nobody notices.
const PATIENCE_MAX: Duration = Duration::from_secs(1);

/// All routes of an API, once its chain is open. Cheap to clone; all clones are opened together.
#[derive(Clone)]
pub struct Later {
    routes: Arc<SetOnce<Router>>,
    patience: Duration,
    metrics: ApiMetrics,
}

/// What is served now.
#[derive(Clone)]
pub(super) struct Front {
    opening: Router,
    later: Later,
}

impl Later {
    pub fn new(limits: &ApiLimits, metrics: ApiMetrics) -> Self {
        Self {
            routes: Arc::default(),
            patience: PATIENCE_MAX.min(limits.request_timeout() / 2),
            metrics,
        }
    }

    /// Serves these from now on.
    ///
    /// # Panics
    /// If it is open already.
    pub fn open(&self, router: Router) {
        // The bound of the server holds for every body, read by an extractor or not.
        let router = self.metrics.instrument(router);
        let opened = self.routes.set(router.layer(DefaultBodyLimit::disable()));
        opened.expect("a chain is opened once");
    }

    /// Answers a request as soon as the chain is open.
    ///
    /// # Errors
    /// `STARTING`, if that is not within a moment.
    pub async fn answer(&self, request: Request) -> Result<Response, ApiError> {
        let opened = tokio::time::timeout(self.patience, self.routes.wait()).await;
        let routes = opened.map_err(|_| starting())?.clone();
        match routes.oneshot(request).await {
            Ok(response) => Ok(response),
            Err(never) => match never {},
        }
    }

    /// The routes of a chain that can serve nothing before it is open.
    pub fn into_router(self) -> Router {
        self.after(Router::new())
    }

    /// These at once, and whatever they do not have when the chain is open.
    pub fn after(self, routes: Router) -> Router {
        let wait = move |request: Request| {
            let later = self.clone();
            async move { later.answer(request).await }
        };
        let routes = routes
            .fallback(wait.clone())
            .method_not_allowed_fallback(wait);
        routes.layer(DefaultBodyLimit::disable())
    }
}

fn starting() -> ApiError {
    let message = "the state is being rebuilt after a start: try again in a moment";
    ApiError::new("STARTING", message)
}

impl Front {
    pub fn new(opening: Router, later: Later) -> Self {
        Self { opening, later }
    }

    /// The routes for a request that has come now.
    pub fn routes(&self) -> Router {
        match self.later.routes.get() {
            Some(routes) => routes.clone(),
            None => {
                self.later.metrics.before_open.inc();
                self.opening.clone()
            }
        }
    }
}
