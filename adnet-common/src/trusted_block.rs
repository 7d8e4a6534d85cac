//! A block that the operator vouches for: where a node that has nothing yet may begin.

use crate::hash::{Hash, ParseHashError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// A height with the hash of its block. Reads and prints as `HEIGHT:HASH`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedBlock {
    /// Above 0: the genesis block is everybody's own.
    pub height: u64,
    pub hash: Hash,
}

impl fmt::Display for TrustedBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.height, self.hash)
    }
}

/// A text names no trusted block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseTrustedBlockError {
    #[error("a trusted block is HEIGHT:HASH, as in 1200:5f0c… (64 hexadecimal digits)")]
    NoColon,
    #[error("the height of a trusted block: {0}")]
    Height(#[from] ParseIntError),
    #[error("the height of a trusted block is above 0: the genesis block needs no trust")]
    Genesis,
    #[error("the hash of a trusted block: {0}")]
    Hash(#[from] ParseHashError),
}

impl FromStr for TrustedBlock {
    type Err = ParseTrustedBlockError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.trim().split_once(':');
        let (height, hash) = parts.ok_or(ParseTrustedBlockError::NoColon)?;
        let height = height.trim().parse()?;
        if height == 0 {
            return Err(ParseTrustedBlockError::Genesis);
        }
        let hash = hash.trim().parse()?;
        Ok(Self { height, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trusted_block_reads_as_it_prints() {
        let (height, hash) = (1200, Hash([0xab; 32]));
        let trusted = TrustedBlock { height, hash };
        assert_eq!(trusted.to_string().parse(), Ok(trusted));
        let spaced = format!(" 1200: 0x{hash} ");
        assert_eq!(spaced.parse(), Ok(trusted));
    }

    #[test]
    fn other_texts_are_refused() {
        let hash = Hash([1; 32]);
        for text in ["", "12", &hash.to_string(), "12:ab", "x:1", ":", "-1:00"] {
            assert!(text.parse::<TrustedBlock>().is_err(), "{text}");
        }
        let genesis = format!("0:{hash}");
        let error = genesis.parse::<TrustedBlock>();
        assert_eq!(error, Err(ParseTrustedBlockError::Genesis));
    }
}
