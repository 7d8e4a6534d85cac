//! A validator set as bytes, on its way from one chain to the other.
//!
//! Taking a set apart costs a curve operation per member, and whoever sends a block may put many sets
//! into it. So messages carry the bytes, and only where a certified header names their hash are they
//! decoded.

use super::validators::{VALIDATORS_MAX, ValidatorSet};
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedSet(Vec<u8>);

impl EncodedSet {
    /// A count, then a key and a power per member (10 kB).
    pub const BYTES_MAX: usize = 4 + VALIDATORS_MAX * 40;

    pub fn of(set: &ValidatorSet) -> Self {
        Self(set.encode())
    }

    /// The hash by which headers name the set; equal to [`ValidatorSet::validators_hash`] if these
    /// bytes are a set at all.
    pub fn hash(&self) -> Hash {
        Hash::of("adnet/validators/v1", &[&self.0])
    }

    /// Takes the set apart.
    ///
    /// # Errors
    /// Bytes that are no sound, sorted set.
    pub fn open(&self) -> Result<ValidatorSet, DecodeError> {
        ValidatorSet::decode(&self.0)
    }

    pub fn encode_into(&self, w: &mut Writer) {
        w.bytes(&self.0);
    }

    pub fn decode_from(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(r.bytes("validator set", Self::BYTES_MAX)?.to_vec()))
    }
}
