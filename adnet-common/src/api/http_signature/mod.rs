//! HTTP Message Signatures (RFC 9421) with Ed25519, and content digests (RFC 9530).
//!
//! A signature covers *components* of a message: header fields and what is derived from the request
//! line. Both sides write them into one text, the signature base, and sign or verify that. This is
//! the mechanism alone, with time passed in; who has to sign what on our routes says
//! [`super::Operators`].
//!
//! Covered: header fields with the parameters `sf` (of dictionaries), `key` and `bs`; `@method`,
//! `@target-uri`, `@authority`, `@scheme`, `@request-target`, `@path`, `@query`, `@query-param` and
//! `@status`. Parts of another message (`req`) and trailers (`tr`) are refused by name.

mod base;
mod component;
mod digest;
mod message;
mod sign;
mod structured;
#[cfg(test)]
mod tests;
mod verify;

pub use base::signature_base;
pub use digest::{content_digest, verify_digest};
pub use message::Message;
pub use sign::{SignatureParams, sign};
pub use structured::{BareItem, InnerList, Item, Member, parse_dictionary};
pub use verify::{Signed, signatures};

/// Fields of a signature.
pub const SIGNATURE_INPUT: &str = "signature-input";
pub const SIGNATURE: &str = "signature";
pub const CONTENT_DIGEST: &str = "content-digest";
/// The only algorithm, as the registry of RFC 9421 names it.
pub const ALGORITHM: &str = "ed25519";

/// Why a signature, or what it covers, is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpSignatureError {
    #[error("{field} does not parse: {why}")]
    Malformed {
        field: &'static str,
        why: &'static str,
    },
    #[error("the component {0} is not in the message")]
    Missing(String),
    #[error("the component {0} cannot be used: {1}")]
    Unusable(String, &'static str),
    #[error("{0}")]
    Mismatch(&'static str),
}
