//! What one client, and all clients together, may cost the API.

use std::time::Duration;

use crate::config::ChainConfig;

/// Bounds of one HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiLimits {
    /// A request body is at most this long.
    pub max_body_bytes: u64,
    /// Request line and headers together are at most this long; hyper's least buffer is 8 KiB.
    pub max_header_bytes: u64,
    /// Time for the headers, then for the body and the answer, then for each stall of the client
    /// while it takes the answer.
    pub request_timeout_ms: u64,
    /// Requests per second that one client address sustains; 0 switches the limit off.
    pub rate_per_s: u64,
    /// Requests that one client address may send at once after a pause.
    pub rate_burst: u64,
    /// Open connections; further ones wait in the listening socket's backlog. One address may hold
    /// half of them.
    pub max_connections: u64,
}

impl ApiLimits {
    pub(super) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms.max(1))
    }
}

impl From<&ChainConfig> for ApiLimits {
    fn from(config: &ChainConfig) -> Self {
        Self {
            max_body_bytes: config.api_max_body_bytes,
            max_header_bytes: config.api_max_header_bytes,
            request_timeout_ms: config.api_request_timeout_ms,
            rate_per_s: config.api_rate_limit_per_s,
            rate_burst: config.api_rate_burst,
            max_connections: config.api_max_connections,
        }
    }
}
