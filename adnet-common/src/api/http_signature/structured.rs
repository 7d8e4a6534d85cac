//! Structured field values (RFC 8941), as far as signatures need them: dictionaries whose members are
//! items or inner lists, with parameters. Decimals are left out.
//!
//! Stricter than the RFC in one point: a key that comes twice is an error, because two readers who
//! take different ones must not see one signature.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Longer fields are refused before they are read.
pub(super) const FIELD_BYTES_MAX: usize = 8 * 1024;
/// Digits of an integer (RFC 8941, section 3.3.1).
const INTEGER_DIGITS_MAX: usize = 15;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BareItem {
    Integer(i64),
    String(String),
    Token(String),
    Bytes(Vec<u8>),
    Boolean(bool),
}

/// In the order of the text.
pub type Parameters = Vec<(String, BareItem)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub bare: BareItem,
    pub parameters: Parameters,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InnerList {
    pub items: Vec<Item>,
    pub parameters: Parameters,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    Item(Item),
    List(InnerList),
}

/// In the order of the text.
pub type Dictionary = Vec<(String, Member)>;

/// Reads a dictionary; all lines of a field are joined by commas before.
///
/// # Errors
/// What is wrong with the text, for people.
pub fn parse_dictionary(text: &str) -> Result<Dictionary, &'static str> {
    if text.len() > FIELD_BYTES_MAX {
        return Err("it is too long");
    }
    let mut parser = Parser {
        rest: text.as_bytes(),
    };
    parser.skip(b" ");
    let mut dictionary = Dictionary::new();
    while !parser.rest.is_empty() {
        let key = parser.key()?;
        let member = if parser.eat(b'=') {
            parser.member()?
        } else {
            Member::Item(Item {
                bare: BareItem::Boolean(true),
                parameters: parser.parameters()?,
            })
        };
        if dictionary.iter().any(|(known, _)| *known == key) {
            return Err("a key comes twice");
        }
        dictionary.push((key, member));
        parser.skip(b" \t");
        if parser.rest.is_empty() {
            break;
        }
        if !parser.eat(b',') {
            return Err("a comma is missing between two members");
        }
        parser.skip(b" \t");
        if parser.rest.is_empty() {
            return Err("it ends with a comma");
        }
    }
    Ok(dictionary)
}

struct Parser<'a> {
    rest: &'a [u8],
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        if is_next {
            self.rest = &self.rest[1..];
        }
        is_next
    }

    fn skip(&mut self, any_of: &[u8]) {
        while self.peek().is_some_and(|byte| any_of.contains(&byte)) {
            self.rest = &self.rest[1..];
        }
    }

    /// The longest beginning of bytes that `allowed` takes.
    fn take(&mut self, allowed: impl Fn(u8) -> bool) -> String {
        let end = self.rest.iter().position(|byte| !allowed(*byte));
        let (taken, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        taken.iter().map(|byte| char::from(*byte)).collect()
    }

    fn key(&mut self) -> Result<String, &'static str> {
        match self.peek() {
            Some(b'a'..=b'z' | b'*') => {}
            _ => return Err("a key begins with a lower-case letter or *"),
        }
        Ok(self.take(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.*".contains(&b)))
    }

    fn member(&mut self) -> Result<Member, &'static str> {
        if !self.eat(b'(') {
            return self.item().map(Member::Item);
        }
        let mut items = Vec::new();
        loop {
            self.skip(b" ");
            if self.eat(b')') {
                let parameters = self.parameters()?;
                return Ok(Member::List(InnerList { items, parameters }));
            }
            items.push(self.item()?);
            if !matches!(self.peek(), Some(b' ' | b')')) {
                return Err("an inner list does not end");
            }
        }
    }

    fn item(&mut self) -> Result<Item, &'static str> {
        Ok(Item {
            bare: self.bare_item()?,
            parameters: self.parameters()?,
        })
    }

    fn parameters(&mut self) -> Result<Parameters, &'static str> {
        let mut parameters = Parameters::new();
        while self.eat(b';') {
            self.skip(b" ");
            let key = self.key()?;
            let value = match self.eat(b'=') {
                true => self.bare_item()?,
                false => BareItem::Boolean(true),
            };
            if parameters.iter().any(|(known, _)| *known == key) {
                return Err("a parameter comes twice");
            }
            parameters.push((key, value));
        }
        Ok(parameters)
    }

    fn bare_item(&mut self) -> Result<BareItem, &'static str> {
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => self.integer(),
            Some(b'"') => self.string(),
            Some(b':') => self.bytes(),
            Some(b'?') => self.boolean(),
            Some(b'*' | b'A'..=b'Z' | b'a'..=b'z') => {
                Ok(BareItem::Token(self.take(|b| {
                    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&b)
                })))
            }
            _ => Err("a value is missing or of an unknown kind"),
        }
    }

    fn integer(&mut self) -> Result<BareItem, &'static str> {
        let sign = if self.eat(b'-') { -1 } else { 1 };
        let digits = self.take(|b| b.is_ascii_digit());
        if digits.len() > INTEGER_DIGITS_MAX || self.peek() == Some(b'.') {
            return Err("a number is no integer of at most 15 digits");
        }
        let number: i64 = digits.parse().map_err(|_| "a number has no digits")?;
        Ok(BareItem::Integer(sign * number))
    }

    fn string(&mut self) -> Result<BareItem, &'static str> {
        self.eat(b'"');
        let mut text = String::new();
        loop {
            text.push_str(&self.take(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\'));
            if self.eat(b'"') {
                return Ok(BareItem::String(text));
            }
            if !self.eat(b'\\') {
                return Err("a string does not end, or has other than ASCII in it");
            }
            match self.peek() {
                Some(escaped @ (b'"' | b'\\')) => text.push(char::from(escaped)),
                _ => return Err("a string escapes other than quotes and backslashes"),
            }
            self.rest = &self.rest[1..];
        }
    }

    fn bytes(&mut self) -> Result<BareItem, &'static str> {
        self.eat(b':');
        let digits = self.take(|b| b != b':');
        if !self.eat(b':') {
            return Err("a byte sequence does not end");
        }
        let bytes = STANDARD.decode(digits);
        bytes
            .map(BareItem::Bytes)
            .map_err(|_| "a byte sequence is not base 64")
    }

    fn boolean(&mut self) -> Result<BareItem, &'static str> {
        self.eat(b'?');
        match (self.eat(b'1'), self.eat(b'0')) {
            (true, false) => Ok(BareItem::Boolean(true)),
            (false, true) => Ok(BareItem::Boolean(false)),
            _ => Err("a boolean is ?0 or ?1"),
        }
    }
}

impl fmt::Display for BareItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BareItem::Integer(number) => write!(f, "{number}"),
            BareItem::String(text) => {
                let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
                write!(f, "\"{escaped}\"")
            }
            BareItem::Token(token) => f.write_str(token),
            BareItem::Bytes(bytes) => write!(f, ":{}:", STANDARD.encode(bytes)),
            BareItem::Boolean(yes) => write!(f, "?{}", u8::from(*yes)),
        }
    }
}

fn write_parameters(f: &mut fmt::Formatter<'_>, parameters: &Parameters) -> fmt::Result {
    for (key, value) in parameters {
        match value {
            BareItem::Boolean(true) => write!(f, ";{key}")?,
            value => write!(f, ";{key}={value}")?,
        }
    }
    Ok(())
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bare)?;
        write_parameters(f, &self.parameters)
    }
}

impl fmt::Display for InnerList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items: Vec<String> = self.items.iter().map(Item::to_string).collect();
        write!(f, "({})", items.join(" "))?;
        write_parameters(f, &self.parameters)
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Member::Item(item) => item.fmt(f),
            Member::List(list) => list.fmt(f),
        }
    }
}

/// The dictionary as one line.
pub(super) fn write_dictionary(dictionary: &Dictionary) -> String {
    let members = dictionary.iter().map(|(key, member)| match member {
        Member::Item(Item {
            bare: BareItem::Boolean(true),
            parameters,
        }) => {
            let bare = Item {
                bare: BareItem::Token(key.clone()),
                parameters: parameters.clone(),
            };
            bare.to_string()
        }
        member => format!("{key}={member}"),
    });
    members.collect::<Vec<String>>().join(", ")
}
