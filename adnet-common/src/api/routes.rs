//! A router that knows its own routes, so that a test can compare them with the OpenAPI document.

use std::collections::BTreeSet;

use axum::Router;
use axum::handler::Handler;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};
use http::header;

use super::envelope::ApiError;

/// Routes under construction. Paths are written as OpenAPI writes them: `/v1/block/{height}`.
pub struct ApiRoutes<S> {
    router: Router<S>,
    /// Method in lower case, and path.
    known: BTreeSet<(&'static str, &'static str)>,
}

impl<S: Clone + Send + Sync + 'static> Default for ApiRoutes<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Clone + Send + Sync + 'static> ApiRoutes<S> {
    pub fn new() -> Self {
        Self {
            router: Router::new(),
            known: BTreeSet::new(),
        }
    }

    pub fn get<H: Handler<T, S>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.add("get", path, get(handler))
    }

    pub fn post<H: Handler<T, S>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.add("post", path, post(handler))
    }

    fn add(mut self, method: &'static str, path: &'static str, route: MethodRouter<S>) -> Self {
        assert!(
            self.known.insert((method, path)),
            "{method} {path} is routed once"
        );
        self.router = self.router.route(path, route);
        self
    }

    /// Serves a static OpenAPI document at `/openapi.json`, which documents itself as well.
    pub fn openapi(self, document: &'static str) -> Self {
        let serve = move || async move {
            ([(header::CONTENT_TYPE, "application/json")], document).into_response()
        };
        self.get("/openapi.json", serve)
    }

    /// What is routed here and not in the document, or the other way round. Empty when they agree.
    pub fn undocumented(&self, document: &str) -> Vec<String> {
        let documented = documented_routes(document);
        let known = self
            .known
            .iter()
            .map(|(method, path)| format!("{method} {path}"));
        let known: BTreeSet<String> = known.collect();
        known.symmetric_difference(&documented).cloned().collect()
    }

    /// The router, with unknown routes and methods answered in the envelope.
    pub fn into_router(self, state: S) -> Router {
        self.router
            .fallback(unknown_route)
            .method_not_allowed_fallback(unknown_method)
            .with_state(state)
    }
}

/// `method path` of everything that an OpenAPI document describes.
///
/// # Panics
/// If the document is not an OpenAPI document: it is part of the program.
pub fn documented_routes(document: &str) -> BTreeSet<String> {
    let parsed: serde_json::Value = serde_json::from_str(document).expect("the document is JSON");
    let paths = parsed["paths"]
        .as_object()
        .expect("an OpenAPI document has paths");
    let each = |(path, methods): (&String, &serde_json::Value)| -> Vec<String> {
        let methods = methods.as_object().expect("a path has methods");
        methods
            .keys()
            .map(|method| format!("{method} {path}"))
            .collect()
    };
    paths.iter().flat_map(each).collect()
}

async fn unknown_route() -> ApiError {
    ApiError::not_found("there is no such route; /openapi.json lists all of them")
}

async fn unknown_method() -> ApiError {
    ApiError::new(
        "METHOD_NOT_ALLOWED",
        "the route exists, but not with this method",
    )
}
