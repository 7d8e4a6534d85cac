//! The Solidity ABI of the attest program: calldata and log.

use super::ATTEST_ADDRESS;
use crate::abi::selector;
use alloy_primitives::{B256, Bytes, Log, LogData, U256, keccak256};
use std::sync::LazyLock;

pub static UNLOCK: LazyLock<[u8; 4]> = LazyLock::new(|| selector("unlock(bytes32)"));
pub static SUPPLY: LazyLock<[u8; 4]> = LazyLock::new(|| selector("supply()"));
static UNLOCK_TOPIC: LazyLock<B256> = LazyLock::new(|| keccak256("Unlock(uint64,bytes32,uint256)"));

/// Calldata of `unlock(alphaPublicKey)`.
pub fn unlock_calldata(alpha_public_key: &[u8; 32]) -> Bytes {
    [UNLOCK.as_slice(), alpha_public_key].concat().into()
}

/// The recipient that calldata names, if it is exactly a call of `unlock(bytes32)`.
pub fn decode_unlock(calldata: &[u8]) -> Option<[u8; 32]> {
    calldata.strip_prefix(UNLOCK.as_slice())?.try_into().ok()
}

/// `event Unlock(uint64 indexed sequence, bytes32 indexed recipient, uint256 amountUnits)`
pub fn unlock_log(sequence: u64, recipient: [u8; 32], amount_units: u64) -> Log {
    let sequence = B256::from(U256::from(sequence));
    let topics = vec![*UNLOCK_TOPIC, sequence, B256::new(recipient)];
    let amount = U256::from(amount_units).to_be_bytes::<32>();
    let data = LogData::new_unchecked(topics, Bytes::from(amount));
    Log {
        address: ATTEST_ADDRESS,
        data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_calldata_of_an_unlock_is_one() {
        let data = unlock_calldata(&[7; 32]);
        assert_eq!(decode_unlock(&data), Some([7; 32]));
        assert_eq!(decode_unlock(&data[..35]), None);
        assert_eq!(decode_unlock(&[&data[..], &[0]].concat()), None);
        assert_eq!(decode_unlock(b""), None);
    }
}
