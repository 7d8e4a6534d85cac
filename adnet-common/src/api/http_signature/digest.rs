//! The field `Content-Digest` (RFC 9530): what binds a signature to the body.

use http::HeaderMap;
use sha2::{Digest, Sha256, Sha512};

use super::structured::{BareItem, Dictionary, Item, Member, parse_dictionary, write_dictionary};
use super::{CONTENT_DIGEST, HttpSignatureError};

/// The field's value for a body, with SHA-256.
pub fn content_digest(body: &[u8]) -> String {
    let item = Item {
        bare: BareItem::Bytes(Sha256::digest(body).to_vec()),
        parameters: Vec::new(),
    };
    write_dictionary(&vec![("sha-256".into(), Member::Item(item))])
}

/// Checks the field against the body: every digest of an algorithm that we know must be right, and
/// there must be one.
pub fn verify_digest(headers: &HeaderMap, body: &[u8]) -> Result<(), HttpSignatureError> {
    let mut known = 0;
    for (algorithm, member) in dictionary(headers, CONTENT_DIGEST)? {
        let expected = match algorithm.as_str() {
            "sha-256" => Sha256::digest(body).to_vec(),
            "sha-512" => Sha512::digest(body).to_vec(),
            _ => continue,
        };
        known += 1;
        let given = match member {
            Member::Item(Item {
                bare: BareItem::Bytes(bytes),
                ..
            }) => bytes,
            _ => return Err(HttpSignatureError::Mismatch("a digest is a byte sequence")),
        };
        if given != expected {
            let why = "content-digest is not that of the body";
            return Err(HttpSignatureError::Mismatch(why));
        }
    }
    match known {
        0 => Err(HttpSignatureError::Mismatch(
            "content-digest has neither sha-256 nor sha-512",
        )),
        _ => Ok(()),
    }
}

/// All lines of a field as one dictionary.
pub(super) fn dictionary(
    headers: &HeaderMap,
    field: &'static str,
) -> Result<Dictionary, HttpSignatureError> {
    let malformed = |why| HttpSignatureError::Malformed { field, why };
    let mut lines = Vec::new();
    for line in headers.get_all(field) {
        lines.push(line.to_str().map_err(|_| malformed("it is not ASCII"))?);
    }
    if lines.is_empty() {
        return Err(HttpSignatureError::Missing(format!("\"{field}\"")));
    }
    parse_dictionary(&lines.join(", ")).map_err(malformed)
}
