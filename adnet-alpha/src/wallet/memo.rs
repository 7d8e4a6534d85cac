//! The 512 bytes that go with a note, in the form of ZIP 302.
//!
//! UTF-8 text padded with zeros; no memo is 0xF6 and zeros; what begins with 0xF5 and up is for
//! machines. The recipient sees a memo, and whoever has the sender's viewing key.

use std::fmt;

use serde::{Deserialize, Serialize};

pub const MEMO_BYTES: usize = 512;
const NO_MEMO: u8 = 0xf6;
const LAST_TEXT: u8 = 0xf4;

/// A text of at most [`MEMO_BYTES`] bytes, or none.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Memo(String);

/// Why a text cannot be a memo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoError {
    #[error("a memo holds 512 bytes of UTF-8, this text has {0}")]
    TooLong(usize),
    #[error("a memo cannot hold the character NUL, with which memos are padded")]
    Nul,
}

impl Memo {
    pub fn none() -> Self {
        Self::default()
    }

    pub fn text(text: &str) -> Result<Self, MemoError> {
        if text.len() > MEMO_BYTES {
            return Err(MemoError::TooLong(text.len()));
        }
        if text.contains('\0') {
            return Err(MemoError::Nul);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    pub fn to_bytes(&self) -> [u8; MEMO_BYTES] {
        let mut bytes = [0; MEMO_BYTES];
        match self.is_none() {
            true => bytes[0] = NO_MEMO,
            false => bytes[..self.0.len()].copy_from_slice(self.0.as_bytes()),
        }
        bytes
    }

    /// What a sender, who may be anybody, has put there: its text, or none. Bytes that are neither
    /// come back as `Err`, without the zeros at their end.
    pub fn read(bytes: &[u8; MEMO_BYTES]) -> Result<Self, Vec<u8>> {
        let used = bytes.iter().rposition(|byte| *byte != 0);
        let used = &bytes[..used.map_or(0, |last| last + 1)];
        match used {
            [] | [NO_MEMO] => Ok(Self::none()),
            [first, ..] if *first <= LAST_TEXT => match std::str::from_utf8(used) {
                Ok(text) if !text.contains('\0') => Ok(Self(text.to_owned())),
                _ => Err(used.to_vec()),
            },
            _ => Err(used.to_vec()),
        }
    }
}

impl From<Memo> for String {
    fn from(memo: Memo) -> Self {
        memo.0
    }
}

impl TryFrom<String> for Memo {
    type Error = MemoError;

    fn try_from(text: String) -> Result<Self, MemoError> {
        Self::text(&text)
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memo({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back_to_the_last_byte() {
        for text in [
            "",
            "a",
            "Grüße, 世界 🦀",
            &"x".repeat(512),
            &"é".repeat(256),
        ] {
            let memo = Memo::text(text).expect("fits");
            assert_eq!(Memo::read(&memo.to_bytes()), Ok(memo.clone()));
            assert_eq!(memo.as_str(), text);
        }
        assert_eq!(Memo::text(&"é".repeat(257)), Err(MemoError::TooLong(514)));
        assert_eq!(Memo::text("a\0b"), Err(MemoError::Nul));
    }

    #[test]
    fn foreign_bytes_are_no_text() {
        let with = |head: &[u8]| {
            let mut bytes = [0; MEMO_BYTES];
            bytes[..head.len()].copy_from_slice(head);
            Memo::read(&bytes)
        };
        assert_eq!(with(&[0xf6]), Ok(Memo::none()), "ZIP 302: no memo");
        assert_eq!(with(&[]), Ok(Memo::none()), "older software");
        for head in [
            &[0xf6, 1][..],
            &[0xff, 2, 3],
            &[0xf5],
            &[0xc3, 0x28],
            b"a\0b",
        ] {
            assert_eq!(with(head), Err(head.to_vec()));
        }
    }
}
