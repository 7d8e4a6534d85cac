//! Reading and verifying signatures of a message.

use ed25519_consensus::{Signature, VerificationKey};
use http::HeaderMap;

use super::digest::dictionary;
use super::message::Message;
use super::structured::{BareItem, InnerList, Item, Member};
use super::{ALGORITHM, HttpSignatureError, SIGNATURE, SIGNATURE_INPUT, signature_base};

/// Signatures of one message, at most.
const SIGNATURES_MAX: usize = 8;

/// One signature, not verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub label: String,
    pub input: InnerList,
    signature: Vec<u8>,
}

/// All signatures of a message, in the order of `Signature-Input`.
///
/// # Errors
/// If the fields are missing or do not parse, or one has what the other lacks.
pub fn signatures(headers: &HeaderMap) -> Result<Vec<Signed>, HttpSignatureError> {
    let inputs = dictionary(headers, SIGNATURE_INPUT)?;
    let mut values = dictionary(headers, SIGNATURE)?;
    if inputs.len() > SIGNATURES_MAX {
        return Err(HttpSignatureError::Mismatch(
            "there are too many signatures",
        ));
    }
    let malformed = |field, why| HttpSignatureError::Malformed { field, why };
    let mut all = Vec::with_capacity(inputs.len());
    for (label, input) in inputs {
        let Member::List(input) = input else {
            return Err(malformed(SIGNATURE_INPUT, "a member is no inner list"));
        };
        let place = values.iter().position(|(known, _)| *known == label);
        let place = place.ok_or_else(|| malformed(SIGNATURE, "it lacks a label of the input"))?;
        let (_, value) = values.swap_remove(place);
        let Member::Item(Item {
            bare: BareItem::Bytes(signature),
            ..
        }) = value
        else {
            return Err(malformed(SIGNATURE, "a member is no byte sequence"));
        };
        all.push(Signed {
            label,
            input,
            signature,
        });
    }
    match values.is_empty() {
        true => Ok(all),
        false => Err(malformed(SIGNATURE, "it has a label that the input lacks")),
    }
}

impl Signed {
    fn parameter(&self, name: &str) -> Option<&BareItem> {
        let found = self.input.parameters.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value)
    }

    /// A parameter that is a number, such as `created`.
    pub fn number(&self, name: &str) -> Option<i64> {
        match self.parameter(name)? {
            BareItem::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// A parameter that is a text, such as `nonce`.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.parameter(name)? {
            BareItem::String(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it covers this component, without parameters.
    pub fn covers(&self, name: &str) -> bool {
        let plain = |item: &Item| {
            item.parameters.is_empty() && item.bare == BareItem::String(name.to_owned())
        };
        self.input.items.iter().any(plain)
    }

    /// Checks the signature itself. What it covers and when it was made is for the caller to judge.
    pub fn verify(
        &self,
        message: &Message<'_>,
        key: &VerificationKey,
    ) -> Result<(), HttpSignatureError> {
        if self.parameter("alg").is_some() && self.text("alg") != Some(ALGORITHM) {
            return Err(HttpSignatureError::Mismatch("alg must be ed25519"));
        }
        let length = HttpSignatureError::Mismatch("an ed25519 signature has 64 bytes");
        let signature = Signature::try_from(&self.signature[..]).map_err(|_| length)?;
        let base = signature_base(message, &self.input)?;
        key.verify(&signature, base.as_bytes())
            .map_err(|_| HttpSignatureError::Mismatch("the signature does not verify"))
    }
}
