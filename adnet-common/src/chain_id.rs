//! The two chains of a node, and the byte that stands for each in every format.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Alpha (privacy, AX) or Delta (exchange, sAX and DX).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum ChainId {
    Alpha = 1,
    Delta = 2,
}

impl ChainId {
    pub const ALL: [ChainId; 2] = [ChainId::Alpha, ChainId::Delta];

    pub const fn as_byte(self) -> u8 {
        self as u8
    }

    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(ChainId::Alpha),
            2 => Some(ChainId::Delta),
            _ => None,
        }
    }

    /// The chain at the other end of the attest ring.
    pub const fn sibling(self) -> Self {
        match self {
            ChainId::Alpha => ChainId::Delta,
            ChainId::Delta => ChainId::Alpha,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            ChainId::Alpha => "alpha",
            ChainId::Delta => "delta",
        }
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
