//! Keys and the names that belong to them: key files, ed25519 public keys, addresses of both chains.
//!
//! Secrets live in `SecretKey`, which is wiped from memory on drop and has no `Display`; public
//! names are plain `Copy` types with one text form each.

mod alpha_address;
mod evm_address;
mod key_file;
mod public_key;
mod secret;

pub use alpha_address::{ALPHA_ADDRESS_CHARS, ALPHA_HRP, AlphaAddress, AlphaAddressError};
pub use evm_address::{EvmAddress, EvmAddressError};
pub use key_file::{KEY_FILE_MAX_BYTES, KeyDir, KeyFileError, NODE_KEY_NAME, VALIDATOR_KEY_NAME};
pub use public_key::{PublicKey, PublicKeyError};
pub use secret::{KeyKind, SecretKey, SecretKeyError};
