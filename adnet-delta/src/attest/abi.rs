//! The Solidity ABI of the system account: calldata, log and revert reasons.

use super::ATTEST_ADDRESS;
use adnet_common::attestation::{OutboundMessage, Payload};
use alloy_primitives::{B256, Bytes, Log, LogData, U256, keccak256};
use std::sync::LazyLock;

static UNLOCK_SELECTOR: LazyLock<[u8; 4]> = LazyLock::new(|| selector("unlock(bytes32)"));
static ERROR_SELECTOR: LazyLock<[u8; 4]> = LazyLock::new(|| selector("Error(string)"));
static UNLOCK_TOPIC: LazyLock<B256> = LazyLock::new(|| keccak256("Unlock(uint64,bytes32,uint256)"));

fn selector(signature: &str) -> [u8; 4] {
    let hash = keccak256(signature);
    [hash[0], hash[1], hash[2], hash[3]]
}

/// Calldata of `unlock(alphaPublicKey)`.
pub fn unlock_calldata(alpha_public_key: &[u8; 32]) -> Bytes {
    [UNLOCK_SELECTOR.as_slice(), alpha_public_key]
        .concat()
        .into()
}

/// The recipient that calldata names, if it is exactly a call of `unlock(bytes32)`.
pub fn decode_unlock(calldata: &[u8]) -> Option<[u8; 32]> {
    calldata
        .strip_prefix(UNLOCK_SELECTOR.as_slice())?
        .try_into()
        .ok()
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

/// The message that a log of the system account stands for. No other code can emit logs there.
pub fn message_of(log: &Log) -> Option<OutboundMessage> {
    if log.address != ATTEST_ADDRESS {
        return None;
    }
    let [topic, sequence, recipient] = log.topics() else {
        return None;
    };
    if *topic != *UNLOCK_TOPIC {
        return None;
    }
    let amount_units = U256::try_from_be_slice(&log.data.data)?;
    let payload = Payload::Unlock {
        recipient: recipient.0,
        amount_units: u64::try_from(amount_units).ok()?,
    };
    let sequence = u64::try_from(U256::from_be_bytes(sequence.0)).ok()?;
    Some(OutboundMessage { sequence, payload })
}

/// `Error(string)`, as Solidity's `revert("reason")` encodes it.
pub fn revert_reason(reason: &str) -> Bytes {
    let mut out = ERROR_SELECTOR.to_vec();
    out.extend_from_slice(&U256::from(32).to_be_bytes::<32>());
    out.extend_from_slice(&U256::from(reason.len()).to_be_bytes::<32>());
    out.extend_from_slice(reason.as_bytes());
    out.resize(4 + 64 + reason.len().next_multiple_of(32), 0);
    out.into()
}

/// The reason in revert data, if it is a well-formed `Error(string)`.
pub fn decode_reason(output: &[u8]) -> Option<String> {
    let words = output.strip_prefix(ERROR_SELECTOR.as_slice())?;
    let word = |at: usize| -> Option<usize> {
        let bytes = words.get(at..at.checked_add(32)?)?;
        usize::try_from(U256::from_be_slice(bytes)).ok()
    };
    let offset = word(0)?;
    let len = word(offset)?;
    let start = offset.checked_add(32)?;
    let text = words.get(start..start.checked_add(len)?)?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn selectors_are_those_of_the_published_interface() {
        assert_eq!(*ERROR_SELECTOR, [0x08, 0xc3, 0x79, 0xa0]);
        let data = unlock_calldata(&[7; 32]);
        assert_eq!(decode_unlock(&data), Some([7; 32]));
        assert_eq!(decode_unlock(&data[..35]), None);
        assert_eq!(decode_unlock(&[&data[..], &[0]].concat()), None);
        assert_eq!(decode_unlock(b""), None);
    }

    #[test]
    fn a_log_stands_for_its_message() {
        let message = message_of(&unlock_log(9, [3; 32], 55)).expect("our own log");
        assert_eq!(message.sequence, 9);
        let payload = Payload::Unlock {
            recipient: [3; 32],
            amount_units: 55,
        };
        assert_eq!(message.payload, payload);
    }

    proptest! {
        #[test]
        fn reasons_survive_and_garbage_is_refused(reason in ".{0,80}", garbage: Vec<u8>) {
            prop_assert_eq!(decode_reason(&revert_reason(&reason)), Some(reason));
            let framed = [ERROR_SELECTOR.as_slice(), &garbage].concat();
            decode_reason(&framed);
            decode_reason(&garbage);
        }
    }
}
