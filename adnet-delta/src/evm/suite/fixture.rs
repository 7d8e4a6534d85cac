//! State tests as their files have them: what stands before, a transaction, and the root after it.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One test: an environment, a state, and outcomes of several transactions for each fork.
#[derive(Deserialize)]
pub struct StateTest {
    pub env: Env,
    pub pre: BTreeMap<Address, PreAccount>,
    pub post: BTreeMap<String, Vec<Outcome>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Env {
    pub current_coinbase: Address,
    pub current_gas_limit: U256,
    pub current_number: U256,
    pub current_timestamp: U256,
    pub current_base_fee: Option<U256>,
    pub current_random: Option<B256>,
    pub current_excess_blob_gas: Option<U256>,
}

#[derive(Deserialize)]
pub struct PreAccount {
    pub balance: U256,
    pub code: Bytes,
    pub nonce: U256,
    pub storage: BTreeMap<U256, U256>,
}

/// What one transaction must come to.
#[derive(Deserialize)]
pub struct Outcome {
    /// The state root.
    pub hash: B256,
    /// Hash of the logs' RLP.
    pub logs: B256,
    pub txbytes: Bytes,
    /// Set where the transaction must be refused.
    #[serde(rename = "expectException")]
    pub exception: Option<String>,
}

/// All test files below `directory`, in order.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(directory)
        .unwrap_or_else(|e| panic!("the suite at {} cannot be read: {e}", directory.display()));
    for entry in entries {
        let path = entry.expect("the directory can be read").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|end| end == "json") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The tests of one file by their names.
pub fn tests(file: &Path) -> BTreeMap<String, StateTest> {
    let text = fs::read(file).expect("the file can be read");
    serde_json::from_slice(&text)
        .unwrap_or_else(|e| panic!("{} is no file of state tests: {e}", file.display()))
}
