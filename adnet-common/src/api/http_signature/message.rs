//! What a signature may cover of a message beside its header fields.

use http::{HeaderMap, Method, Uri, header};

use super::HttpSignatureError;

/// A request or a response, as a signature sees it.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub(super) start: Start<'a>,
    pub(super) headers: &'a HeaderMap,
}

#[derive(Clone, Debug)]
pub(super) enum Start<'a> {
    Request {
        method: &'a Method,
        /// As sent in the request line.
        target: &'a Uri,
        scheme: &'a str,
        /// In lower case, without the scheme's own port.
        authority: String,
    },
    Response {
        status: u16,
    },
}

impl<'a> Message<'a> {
    /// A request whose target is as in its request line; the authority is in the target or in the
    /// field `Host`.
    ///
    /// # Errors
    /// If there is no authority in either.
    pub fn request(
        method: &'a Method,
        target: &'a Uri,
        scheme: &'a str,
        headers: &'a HeaderMap,
    ) -> Result<Self, HttpSignatureError> {
        let missing = || HttpSignatureError::Missing("\"@authority\"".into());
        let authority = match target.authority() {
            Some(authority) => authority.as_str(),
            None => {
                let host = headers.get(header::HOST).ok_or_else(missing)?;
                host.to_str().map_err(|_| missing())?.trim()
            }
        };
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        let authority = authority.to_ascii_lowercase();
        let authority = authority.strip_suffix(default_port).unwrap_or(&authority);
        let start = Start::Request {
            method,
            target,
            scheme,
            authority: authority.to_owned(),
        };
        Ok(Self { start, headers })
    }

    pub fn response(status: u16, headers: &'a HeaderMap) -> Self {
        let start = Start::Response { status };
        Self { start, headers }
    }
}
