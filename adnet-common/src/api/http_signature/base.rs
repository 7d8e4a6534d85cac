//! The signature base: the text that is signed (RFC 9421, section 2.5).

use super::HttpSignatureError;
use super::component;
use super::message::Message;
use super::structured::InnerList;

/// Components of one signature, at most.
const COMPONENTS_MAX: usize = 32;

/// One line per covered component and one for the signature's parameters.
///
/// # Errors
/// If a component is not in the message, comes twice, or is none that we know.
pub fn signature_base(
    message: &Message<'_>,
    input: &InnerList,
) -> Result<String, HttpSignatureError> {
    if input.items.len() > COMPONENTS_MAX {
        return Err(HttpSignatureError::Mismatch(
            "it covers too many components",
        ));
    }
    let mut base = String::new();
    for (index, component) in input.items.iter().enumerate() {
        if input.items[..index].contains(component) {
            let why = "it is covered twice";
            return Err(HttpSignatureError::Unusable(component.to_string(), why));
        }
        let value = component::value(message, component)?;
        base.push_str(&format!("{component}: {value}\n"));
    }
    base.push_str(&format!("\"@signature-params\": {input}"));
    Ok(base)
}
