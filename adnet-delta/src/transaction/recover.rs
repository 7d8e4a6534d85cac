//! Who signed: recovery of addresses by libsecp256k1, with low-s enforced (EIP-2).

use alloy_primitives::{Address, B256, U256, keccak256};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, SECP256K1};

/// Half of the group order, rounded down (EIP-2).
const HALF_ORDER: U256 = U256::from_limbs([
    0xdfe9_2f46_681b_20a0,
    0x5d57_6e73_57a4_501d,
    0xffff_ffff_ffff_ffff,
    0x7fff_ffff_ffff_ffff,
]);

#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    #[error("s is in the upper half of the group order (EIP-2)")]
    HighS,
    #[error("r and s are no secp256k1 signature")]
    Invalid,
}

/// The address whose key signed `digest`.
pub fn recover(digest: &B256, odd_y: bool, r: U256, s: U256) -> Result<Address, RecoverError> {
    if s > HALF_ORDER {
        return Err(RecoverError::HighS);
    }
    let compact = [r.to_be_bytes::<32>(), s.to_be_bytes::<32>()].concat();
    let id = if odd_y {
        RecoveryId::One
    } else {
        RecoveryId::Zero
    };
    let invalid = |_| RecoverError::Invalid;
    let signature = RecoverableSignature::from_compact(&compact, id).map_err(invalid)?;
    let key = SECP256K1.recover_ecdsa(Message::from_digest(digest.0), &signature);
    Ok(address_of(&key.map_err(invalid)?))
}

/// The last 20 bytes of the hash of the key's coordinates.
pub fn address_of(key: &PublicKey) -> Address {
    Address::from_slice(&keccak256(&key.serialize_uncompressed()[1..])[12..])
}
