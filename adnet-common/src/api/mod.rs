//! The HTTP layer that both chains' APIs share: envelope, extractors, limits, server, metrics.
//!
//! Every answer of a route, an unknown route or a refused request is the same envelope:
//! `{"success":true,"data":…}` or `{"success":false,"error":{"code","message"}}`. A chain builds its
//! routes with [`ApiRoutes`] and runs them with [`serve`], which bounds what a client can cost:
//! connections, header and body bytes, request time and rate, and the bytes of large answers.

mod attestation;
mod clients;
mod connection;
mod envelope;
mod evidence;
mod extract;
mod front;
mod guard;
pub mod http_signature;
mod limits;
mod metrics;
mod operators;
mod outgoing;
mod peers;
mod rate_limit;
mod routes;
mod serve;
mod slots;
mod socket;
mod stall;
mod streams;
mod validators;

pub use attestation::AttestationBody;
pub use envelope::{ApiError, ApiResult, ok};
pub use evidence::EvidenceBody;
pub use extract::{ApiJson, ApiPath, ApiPeer, ApiQuery, ApiSigned};
pub use front::Later;
pub use limits::ApiLimits;
pub use metrics::ApiMetrics;
pub use operators::{Operators, SignRequestError, sign_request};
pub use outgoing::Room;
pub use peers::PeerReport;
pub use rate_limit::Client;
pub use routes::{ApiRoutes, documented_routes};
pub use serve::serve;
pub use slots::{Slot, Slots};
pub use socket::{ApiSocket, Close, Gone, Heard, Socket, Untold};
pub use streams::{Piece, StreamPlace, Streams};
pub use validators::ValidatorsBody;

#[cfg(test)]
mod tests;
