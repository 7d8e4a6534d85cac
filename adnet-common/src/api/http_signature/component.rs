//! The value of one covered component (RFC 9421, section 2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, Uri};

use super::HttpSignatureError;
use super::message::{Message, Start};
use super::structured::{BareItem, Item, parse_dictionary, write_dictionary};

type Value = Result<String, HttpSignatureError>;

/// What the signature base says after the component's identifier.
pub(super) fn value(message: &Message<'_>, component: &Item) -> Value {
    let unusable = |why| HttpSignatureError::Unusable(component.to_string(), why);
    let BareItem::String(name) = &component.bare else {
        return Err(unusable("a component is named by a string"));
    };
    if let Some(derived) = name.strip_prefix('@') {
        return derived_value(message, component, derived);
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(unusable("names are in lower case"));
    }
    field_value(message, component, name)
}

fn derived_value(message: &Message<'_>, component: &Item, name: &str) -> Value {
    let unusable = |why| HttpSignatureError::Unusable(component.to_string(), why);
    let no_parameters = component.parameters.is_empty();
    if !no_parameters && name != "query-param" {
        return Err(unusable("it takes no parameters here"));
    }
    let (method, target, scheme, authority) = match &message.start {
        Start::Response { status } if name == "status" => return Ok(status.to_string()),
        Start::Response { .. } => return Err(unusable("a response does not have it")),
        Start::Request {
            method,
            target,
            scheme,
            authority,
        } => (method, target, scheme, authority),
    };
    let query = target.query();
    match name {
        "method" => Ok(method.to_string()),
        "authority" => Ok(authority.clone()),
        "scheme" => Ok((*scheme).to_owned()),
        "request-target" => Ok(target.to_string()),
        "path" => Ok(path(target).to_owned()),
        "query" => Ok(format!("?{}", query.unwrap_or_default())),
        "target-uri" => {
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            Ok(format!("{scheme}://{authority}{}{query}", path(target)))
        }
        "query-param" => query_parameter(component, query.unwrap_or_default()),
        "status" => Err(unusable("a request does not have it")),
        _ => Err(unusable("it is not known")),
    }
}

fn path(target: &Uri) -> &str {
    match target.path() {
        "" => "/",
        path => path,
    }
}

/// The parameter that the component's `name` names, if it is in the query exactly once.
fn query_parameter(component: &Item, query: &str) -> Value {
    let unusable = |why| HttpSignatureError::Unusable(component.to_string(), why);
    let [(key, BareItem::String(name))] = &component.parameters[..] else {
        return Err(unusable("it takes a name and nothing else"));
    };
    if key != "name" {
        return Err(unusable("it takes a name and nothing else"));
    }
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut named = pairs.filter(|(key, _)| encode(&decode(key)) == *name);
    match (named.next(), named.next()) {
        (Some((_, value)), None) => Ok(encode(&decode(value))),
        (None, _) => Err(HttpSignatureError::Missing(component.to_string())),
        (Some(_), Some(_)) => Err(unusable("the query has it more than once")),
    }
}

/// The bytes of a form-encoded text.
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| *first == b'%');
        let mut byte = [0];
        match escaped.map(|digits| hex::decode_to_slice(digits, &mut byte)) {
            Some(Ok(())) => {
                bytes.push(byte[0]);
                rest = &after[2..];
            }
            _ => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    bytes
}

/// Form encoding with `%20` for a space (RFC 9421, section 2.2.8).
fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'*' | b'-' | b'.' | b'_' => {
                text.push(char::from(*byte));
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

/// How a field's value is taken.
enum Form<'a> {
    /// All lines, joined by commas.
    Plain,
    /// As a dictionary that is written anew.
    Structured,
    /// One member of a dictionary.
    Member(&'a str),
    /// Each line as a byte sequence.
    Lines,
}

fn form<'a>(component: &'a Item) -> Result<Form<'a>, HttpSignatureError> {
    match &component.parameters[..] {
        [] => Ok(Form::Plain),
        [(key, BareItem::Boolean(true))] if key == "sf" => Ok(Form::Structured),
        [(key, BareItem::Boolean(true))] if key == "bs" => Ok(Form::Lines),
        [(key, BareItem::String(member))] if key == "key" => Ok(Form::Member(member)),
        _ => {
            let why = "a field takes one of sf, key and bs";
            Err(HttpSignatureError::Unusable(component.to_string(), why))
        }
    }
}

fn field_value(message: &Message<'_>, component: &Item, name: &str) -> Value {
    let unusable = |why| HttpSignatureError::Unusable(component.to_string(), why);
    let missing = || HttpSignatureError::Missing(component.to_string());
    let form = form(component)?;
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| missing())?;
    let mut lines = Vec::new();
    for line in message.headers.get_all(name) {
        let line = line.to_str().map_err(|_| unusable("it is not ASCII"))?;
        lines.push(line.trim_matches([' ', '\t']));
    }
    if lines.is_empty() {
        return Err(missing());
    }
    match form {
        Form::Plain => Ok(lines.join(", ")),
        Form::Lines => {
            let encoded = lines
                .iter()
                .map(|line| format!(":{}:", STANDARD.encode(line)));
            Ok(encoded.collect::<Vec<String>>().join(", "))
        }
        Form::Structured => {
            let dictionary = parse_dictionary(&lines.join(", ")).map_err(unusable)?;
            Ok(write_dictionary(&dictionary))
        }
        Form::Member(wanted) => {
            let dictionary = parse_dictionary(&lines.join(", ")).map_err(unusable)?;
            let found = dictionary.iter().find(|(key, _)| key == wanted);
            found
                .map(|(_, member)| member.to_string())
                .ok_or_else(missing)
        }
    }
}
