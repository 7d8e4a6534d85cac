//! Code that uses up its gas with what takes the longest for it, over and over.

use alloy_primitives::{B256, U256, keccak256};
use secp256k1::{Message, SECP256K1, SecretKey};

pub struct Costly {
    pub name: &'static str,
    pub code: Vec<u8>,
    pub input: Vec<u8>,
}

/// What clients of Ethereum measure for the price of gas: hashes, signatures, powers, cold slots.
pub fn costly() -> Vec<Costly> {
    let odd = B256::repeat_byte(0xff);
    let length = B256::from(U256::from(32));
    let power = [length, length, length, B256::repeat_byte(0xfe), odd, odd];
    vec![
        // JUMPDEST, KECCAK256 of the first 128 KiB, again
        Costly {
            name: "keccak256",
            code: hex::decode("5b620200005f20505f56").expect("hexadecimal"),
            input: Vec::new(),
        },
        Costly {
            name: "ecrecover",
            code: precompile(1, 128),
            input: signature(),
        },
        Costly {
            name: "modexp",
            code: precompile(5, 192),
            input: power.concat(),
        },
        // a counter; JUMPDEST, SLOAD of it, one more, again
        Costly {
            name: "cold SLOAD",
            code: hex::decode("5f5b805450600101600156").expect("hexadecimal"),
            input: Vec::new(),
        },
    ]
}

/// Copies the input to memory, and calls a precompiled contract with it, again and again.
fn precompile(address: u8, input: u8) -> Vec<u8> {
    let copy = [0x60, input, 0x5f, 0x5f, 0x37];
    // JUMPDEST; 32 bytes of output behind the input; POP, again from the JUMPDEST
    let call = [
        0x5b, 0x60, 32, 0x60, input, 0x60, input, 0x5f, 0x60, address,
    ];
    let again = [0x5a, 0xfa, 0x50, 0x60, copy.len() as u8, 0x56];
    [&copy[..], &call, &again].concat()
}

/// Hash, v, r and s of a good signature.
fn signature() -> Vec<u8> {
    let secret = SecretKey::from_byte_array([7; 32]).expect("a secret");
    let hash = keccak256("costly");
    let signed = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(hash.0), &secret);
    let (id, compact) = signed.serialize_compact();
    let v = B256::from(U256::from(27 + i32::from(id)));
    [hash.as_slice(), v.as_slice(), &compact].concat()
}
