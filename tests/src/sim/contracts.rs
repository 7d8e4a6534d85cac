//! Random work for Delta's EVM: programs that are deployed, called and delegated to, that store, log,
//! create others, call each other and themselves, revert, run out of gas and destroy themselves.
//!
//! Whether they succeed does not matter. All machines must come to the same root, and no wei may
//! appear or vanish.

use super::random::Random;
use adnet_common::genesis::{DEV_ACCOUNTS, Genesis, dev_delta_secret};
use adnet_common::keys::SecretKey;
use adnet_delta::transaction::recover::address_of;
use adnet_delta::tx::{self, Envelope, Fees};
use alloy_consensus::{SignableTransaction, TxEip7702, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, B256, Bytes, Signature, U256};
use secp256k1::{Message, SECP256K1};

/// Enough for most programs, and not for all of them.
const GAS_LIMIT: u64 = 600_000;
/// Accounts that delegate to contracts (EIP-7702) and send nothing themselves.
const AUTHORITIES: u64 = 3;
/// Creators' nonces whose contracts are called.
const CALLED_NONCES: u64 = 24;
const PUSH1: u8 = 0x60;
const PUSH2: u8 = 0x61;
const PUSH20: u8 = 0x73;

/// The next contract transaction of the account with this key.
pub(super) fn transaction(
    key: &SecretKey,
    nonce: u64,
    genesis: &Genesis,
    random: &mut Random,
) -> Vec<u8> {
    let envelope = Envelope {
        chain_id: genesis.delta.chain_id,
        nonce,
        fees: Fees {
            gas_limit: GAS_LIMIT,
            max_fee_per_gas_wei: 4_000_000_000,
            max_priority_fee_per_gas_wei: 1_000,
        },
    };
    let value = U256::from(random.below(3) * 1_000);
    match random.below(10) {
        0..4 => {
            let runtime = program(random, 2);
            let code = Bytes::from(deployer(&runtime, random));
            let signed = tx::sign_deploy(key, envelope, value, code);
            signed.expect("a Delta key").raw
        }
        4..9 => {
            let data = Bytes::from(bytes(random, 64));
            let to = contract(random);
            let signed = tx::sign_call(key, envelope, to, value, data);
            signed.expect("a Delta key").raw
        }
        _ => delegation(key, &envelope, random),
    }
}

/// A contract that one of the accounts may have created by now.
fn contract(random: &mut Random) -> Address {
    let creator = random.below(DEV_ACCOUNTS as u64) as usize;
    let creator = dev_delta_secret(creator).expect("there are that many accounts");
    let creator = tx::address(&creator).expect("a Delta key");
    if random.chance(15) {
        return address_of(&authority(random).public_key(SECP256K1));
    }
    creator.create(random.below(CALLED_NONCES))
}

fn authority(random: &mut Random) -> secp256k1::SecretKey {
    let seed = [1 + random.below(AUTHORITIES) as u8; 32];
    secp256k1::SecretKey::from_byte_array(seed).expect("below the order of the group")
}

fn sign(key: &secp256k1::SecretKey, digest: &B256) -> Signature {
    let signature = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest.0), key);
    let (id, compact) = signature.serialize_compact();
    Signature::from_bytes_and_parity(&compact, i32::from(id) & 1 == 1)
}

/// An EIP-7702 transaction, whose authorizations hold if their nonces happen to be right.
fn delegation(key: &SecretKey, envelope: &Envelope, random: &mut Random) -> Vec<u8> {
    let authorizations = (0..1 + random.below(2)).map(|_| {
        let key = authority(random);
        let authorization = Authorization {
            chain_id: U256::from(envelope.chain_id),
            address: contract(random),
            nonce: random.below(4),
        };
        let signature = sign(&key, &authorization.signature_hash());
        authorization.into_signed(signature)
    });
    let authorization_list = authorizations.collect();
    let tx = TxEip7702 {
        chain_id: envelope.chain_id,
        nonce: envelope.nonce,
        gas_limit: envelope.fees.gas_limit,
        max_fee_per_gas: envelope.fees.max_fee_per_gas_wei,
        max_priority_fee_per_gas: envelope.fees.max_priority_fee_per_gas_wei,
        to: contract(random),
        authorization_list,
        ..TxEip7702::default()
    };
    let key = secp256k1::SecretKey::from_byte_array(*key.expose()).expect("a Delta key");
    let signature = sign(&key, &tx.signature_hash());
    TxEnvelope::from(tx.into_signed(signature)).encoded_2718()
}

fn bytes(random: &mut Random, max: u64) -> Vec<u8> {
    let length = random.below(max + 1);
    (0..length).map(|_| random.draw() as u8).collect()
}

/// Code that deploys `runtime`; at times it stores something first, or fails.
fn deployer(runtime: &[u8], random: &mut Random) -> Vec<u8> {
    let mut code = Vec::new();
    if random.chance(30) {
        code.extend([PUSH1, 7, PUSH1, random.below(4) as u8, 0x55]);
    }
    if random.chance(8) {
        // It destroys itself in favour of itself before it is there.
        code.extend([0x30, 0xff]);
    }
    let size = u16::try_from(runtime.len())
        .expect("programs are short")
        .to_be_bytes();
    let at = u16::try_from(code.len() + 14)
        .expect("a short head")
        .to_be_bytes();
    // CODECOPY of what follows to 0, RETURN.
    code.extend([PUSH2, size[0], size[1], PUSH2, at[0], at[1], 0x5f, 0x39]);
    code.extend([PUSH2, size[0], size[1], 0x5f, 0xf3, 0x00]);
    code.extend(runtime);
    code
}

/// Statements that leave the stack as they found it, and an end.
fn program(random: &mut Random, depth: u32) -> Vec<u8> {
    let mut code = Vec::new();
    for _ in 0..1 + random.below(6) {
        statement(&mut code, random, depth);
    }
    match random.below(12) {
        // RETURN, REVERT, INVALID, SELFDESTRUCT to another or to itself, or anything at all.
        0..2 => code.extend([PUSH1, 32, 0x5f, 0xf3]),
        2 => code.extend([PUSH1, 4, 0x5f, 0xfd]),
        3 => code.push(0xfe),
        4 => {
            push_address(&mut code, random);
            code.push(0xff);
        }
        5 => code.extend([0x30, 0xff]),
        6 => code.extend(bytes(random, 6)),
        _ => code.push(0x00),
    }
    code
}

fn push_address(code: &mut Vec<u8>, random: &mut Random) {
    code.push(PUSH20);
    code.extend(contract(random));
}

fn statement(code: &mut Vec<u8>, random: &mut Random, depth: u32) {
    let slot = random.below(4) as u8;
    match random.below(11) {
        // SSTORE of SLOAD + 1, of CALLVALUE, of NUMBER, of nothing.
        0 => code.extend([PUSH1, 1, PUSH1, slot, 0x54, 0x01, PUSH1, slot, 0x55]),
        1 => code.extend([0x34, PUSH1, slot, 0x55]),
        2 => code.extend([0x43, PUSH1, slot, 0x55]),
        3 => code.extend([0x5f, PUSH1, slot, 0x55]),
        // TSTORE, and what TLOAD finds into storage.
        4 => code.extend([
            0x5a, PUSH1, slot, 0x5d, PUSH1, slot, 0x5c, 0x15, PUSH1, slot, 0x55,
        ]),
        // LOG1 of the memory with the caller as its topic.
        5 => code.extend([0x33, PUSH1, 33, 0x5f, 0xa1]),
        // CALL of somebody with a part of what it has, and whether it went well.
        6 | 7 => {
            code.extend([0x5f, 0x5f, PUSH1, 32, 0x5f, PUSH1, slot]);
            push_address(code, random);
            code.extend([PUSH2, 0xc0, 0x00, 0xf1, PUSH1, slot, 0x55]);
        }
        // DELEGATECALL: another's code in this one's storage.
        8 => {
            code.extend([0x5f, 0x5f, 0x5f, 0x5f]);
            push_address(code, random);
            code.extend([PUSH2, 0xc0, 0x00, 0xf4, 0x50]);
        }
        // CREATE2 of a small contract, which may be there already.
        9 if depth > 0 => {
            let runtime = program(random, 0);
            let init = deployer(&runtime[..runtime.len().min(80)], random);
            for (at, word) in (0u8..).step_by(32).zip(init.chunks(32)) {
                let mut padded = [0; 32];
                padded[..word.len()].copy_from_slice(word);
                code.push(0x7f);
                code.extend(padded);
                code.extend([PUSH1, at, 0x52]);
            }
            let size = u8::try_from(init.len()).expect("a small contract");
            code.extend([
                PUSH1, slot, PUSH1, size, 0x5f, PUSH1, slot, 0xf5, PUSH1, slot, 0x55,
            ]);
        }
        // Another's balance and code hash.
        _ => {
            push_address(code, random);
            code.extend([0x31]);
            push_address(code, random);
            code.extend([0x3f, 0x18, PUSH1, slot, 0x55]);
        }
    }
}
