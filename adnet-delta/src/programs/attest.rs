//! The attest program: burns sAX here and releases as much AX on Alpha (`contracts/IAttest.sol`).

use super::native::NativeState;
use super::{Call, Done, Origin, Refused};
use crate::abi::words;
use crate::attest::{self, abi, units};
use adnet_common::attestation::Payload;
use alloy_primitives::{Bytes, U256};

/// Gas of an unlock on top of what its transaction costs anyhow.
pub const UNLOCK_GAS: u64 = 25_000;
const READ_GAS: u64 = 2_600;

pub(super) fn gas(data: &[u8]) -> u64 {
    if data.starts_with(abi::SUPPLY.as_slice()) {
        READ_GAS
    } else {
        UNLOCK_GAS
    }
}

pub(super) fn is_action(data: &[u8]) -> bool {
    abi::decode_unlock(data).is_some()
}

pub(super) fn call(native: &mut NativeState<'_>, call: &Call<'_>) -> Result<Done, Refused> {
    if let Some(arguments) = call.data.strip_prefix(abi::SUPPLY.as_slice()) {
        call.takes_no_value()?;
        words::<0>(arguments).ok_or(Refused("attest: supply() has no parameters"))?;
        return Ok(Done::output(supply(native)));
    }
    let recipient = abi::decode_unlock(call.data);
    let recipient = recipient.ok_or(Refused("unlock: the calldata is not unlock(bytes32)"))?;
    if let Origin::Contract { .. } = call.origin {
        let why = "unlock: a contract unlocks through the action log, 0x...0a04";
        return Err(Refused(why));
    }
    if call.value_wei.is_zero() {
        return Err(Refused("unlock: send the amount as the value of the call"));
    }
    let amount_units =
        units(call.value_wei).ok_or(Refused("unlock: the value is not a multiple of 10^14 wei"))?;
    if !native.has_outbox_room() {
        return Err(Refused("unlock: this block has no room for more unlocks"));
    }
    const EXHAUSTED: Refused = Refused("unlock: a counter is at its end");
    native.burn(amount_units).ok_or(EXHAUSTED)?;
    let payload = Payload::Unlock {
        recipient,
        amount_units,
    };
    let sequence = native.send(payload).ok_or(EXHAUSTED)?;
    Ok(Done {
        output: Bytes::new(),
        logs: vec![abi::unlock_log(sequence, recipient, amount_units)],
        burned_wei: call.value_wei,
    })
}

/// What was ever minted and burned, and the last messages sent and consumed.
fn supply(native: &NativeState<'_>) -> Bytes {
    let supply = attest::supply(native.at_start());
    let fields = [
        supply.minted_total_units,
        supply.burned_total_units,
        supply.last_sent,
        supply.last_consumed,
    ];
    let words = fields.map(|field| U256::from(field).to_be_bytes::<32>());
    words.concat().into()
}
