//! `adnet alpha proof verify`: checks what a node says of Alpha's state, without a node.
//!
//! A proof leads from a leaf, or from its absence, to a state root. Whether that root is the chain's
//! is another question: a header has it, and validators have signed the header. The genesis names the
//! first validators, so with both the answer of somebody unknown can be checked to the end.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use adnet_alpha::state::Account;
use adnet_common::attestation::FinalityProof;
use adnet_common::chain_id::ChainId;
use adnet_common::genesis::Genesis;
use adnet_common::hash::Hash;
use adnet_common::header::Header;
use adnet_common::keys::AlphaAddress;
use adnet_common::light_client::LightClient;
use adnet_common::state_proof;
use adnet_common::validators::Validators;
use anyhow::{Context, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::super::UsageError;

/// A proof with its value has some kilobytes; a header with its certificate not many more.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Check a proof of a leaf of Alpha's state, or of its absence, without a node
///
/// Exits with 0 if it is good, and with 1 if it is not.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  curl -s localhost:3030/v1/balance/ax1... > proof.json
  adnet alpha proof verify proof.json --state-root 5f2c...

  curl -s localhost:3030/v1/block/120/header > header.json
  adnet alpha proof verify proof.json --header header.json --genesis adnet-data/genesis.json

A state root is worth what you know of it: take it from somebody whom you trust, or have it checked
by --header and --genesis, against the signatures of the validators.")]
pub(super) struct VerifyCommand {
    /// The node's answer of /v1/state/proof, /v1/balance or /v1/nullifier; `-` reads standard input
    #[arg(value_name = "FILE")]
    proof: PathBuf,

    /// The state root that it must lead to
    #[arg(
        long,
        value_name = "HASH",
        required_unless_present = "header",
        conflicts_with = "header"
    )]
    state_root: Option<Hash>,

    /// The node's answer of /v1/block/HEIGHT/header for the height of the proof
    #[arg(long, value_name = "FILE", requires = "genesis")]
    header: Option<PathBuf>,

    /// The network's genesis, whose validators must have signed the header
    #[arg(long, value_name = "FILE", requires = "header")]
    genesis: Option<PathBuf>,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What is needed of the node's answer; it may have more in it.
#[derive(Deserialize)]
struct ProofAnswer {
    height: u64,
    key: String,
    value: Option<String>,
    proof: String,
}

#[derive(Deserialize)]
struct HeaderAnswer {
    header: String,
    certificate: String,
}

#[derive(Serialize)]
struct Verdict {
    height: u64,
    state_root: Hash,
    /// The validators of the genesis have signed the header with this root.
    root_is_signed: bool,
    key: String,
    key_text: String,
    present: bool,
    value: Option<String>,
    meaning: String,
}

impl VerifyCommand {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let answer: ProofAnswer = data_of(&self.proof)?;
        let key = bytes("key", &answer.key)?;
        let value = answer.value.as_deref().map(|text| bytes("value", text));
        let value = value.transpose()?;
        let proof = bytes("proof", &answer.proof)?;
        let (state_root, root_is_signed) = match (self.state_root, &self.header, &self.genesis) {
            (Some(root), ..) => (root, false),
            (None, Some(header), Some(genesis)) => {
                (signed_root(header, genesis, answer.height)?, true)
            }
            _ => {
                return Err(
                    UsageError("give --state-root, or --header and --genesis".into()).into(),
                );
            }
        };
        state_proof::verify(ChainId::Alpha, &state_root, &key, value.as_deref(), &proof)
            .with_context(|| format!("the proof does not lead to the state root {state_root}"))?;
        let verdict = Verdict {
            height: answer.height,
            state_root,
            root_is_signed,
            key_text: key_text(&key),
            meaning: meaning(&key, value.as_deref()),
            key: answer.key,
            present: value.is_some(),
            value: answer.value,
        };
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&verdict)?)?;
        } else {
            writeln!(out, "the proof is good: {}", verdict.meaning)?;
            let signed = match root_is_signed {
                true => ", signed by the validators of the genesis",
                false => ", which you have named",
            };
            writeln!(out, "  under the state root {state_root}{signed}")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The root in a header that the genesis' validators have signed.
fn signed_root(header: &Path, genesis: &Path, height: u64) -> anyhow::Result<Hash> {
    let answer: HeaderAnswer = data_of(header)?;
    let genesis = Genesis::load(genesis)?;
    let encoded = bytes("header", &answer.header)?;
    let header = Header::decode(&encoded).context("the header does not decode")?;
    if header.height != height {
        bail!(
            "the proof is of height {height}, the header of height {}",
            header.height
        );
    }
    let state_root = header.state_root;
    let set = genesis
        .validator_set()
        .context("the genesis has no validators that can be used")?;
    let validators = Validators::genesis(set);
    let client = LightClient::new(
        ChainId::Alpha,
        genesis.network_id,
        genesis.hash(),
        &validators.own,
    );
    let proof = FinalityProof {
        header,
        certificate: bytes("certificate", &answer.certificate)?,
        next_set: None,
    };
    client.learn(&proof).context(
        "the header is not signed by the validators of the genesis (if the network has others by \
         now, name a state root with --state-root)",
    )?;
    Ok(state_root)
}

/// Reads a file with a node's answer, in its envelope or without.
fn data_of<T: for<'de> Deserialize<'de>>(path: &Path) -> anyhow::Result<T> {
    let mut text = String::new();
    let reading = || format!("reading {}", path.display());
    let reader: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(io::stdin()),
        false => Box::new(fs::File::open(path).with_context(reading)?),
    };
    reader
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .with_context(reading)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        bail!("{} has more than {FILE_BYTES_MAX} bytes", path.display());
    }
    let wrong = || format!("{} is not a node's answer", path.display());
    let mut json: serde_json::Value = serde_json::from_str(&text).with_context(wrong)?;
    if let Some(data) = json.get_mut("data") {
        json = data.take();
    }
    serde_json::from_value(json).with_context(wrong)
}

fn bytes(what: &str, text: &str) -> anyhow::Result<Vec<u8>> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    hex::decode(digits).with_context(|| format!("the {what} is not hexadecimal"))
}

/// The key as its kind and what it names.
fn key_text(key: &[u8]) -> String {
    match key.iter().position(|byte| *byte == b'/') {
        None => String::from_utf8_lossy(key).into_owned(),
        Some(at) => {
            let (kind, name) = key.split_at(at + 1);
            let kind = String::from_utf8_lossy(kind);
            match (
                kind.as_ref(),
                <[u8; 32]>::try_from(name),
                <[u8; 8]>::try_from(name),
            ) {
                ("account/", Ok(owner), _) => format!("{kind}{}", AlphaAddress(owner)),
                (_, _, Ok(number)) => format!("{kind}{}", u64::from_be_bytes(number)),
                _ => format!("{kind}{}", hex::encode(name)),
            }
        }
    }
}

/// The leaf in words.
fn meaning(key: &[u8], value: Option<&[u8]>) -> String {
    let name = key_text(key);
    let Some(value) = value else {
        return format!("there is no {name}");
    };
    let height = value.try_into().map(u64::from_be_bytes);
    match (name.split('/').next(), Account::decode(value), height) {
        (Some("account"), Ok(account), _) => format!(
            "{name} holds {} units, its next nonce is {}",
            account.balance_units, account.nonce
        ),
        (Some("nullifier"), _, Ok(height)) => format!("{name} was spent at height {height}"),
        _ => format!("{name} is {}", hex::encode(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adnet_alpha::state::StateKey;

    #[test]
    fn leaves_are_put_into_words() {
        let account = StateKey::Account([1; 32]).encode();
        let value = Account {
            balance_units: 7,
            nonce: 2,
        };
        let text = meaning(&account, Some(&value.encode()));
        assert!(text.starts_with("account/ax1"), "{text}");
        assert!(
            text.ends_with("holds 7 units, its next nonce is 2"),
            "{text}"
        );
        let nullifier = StateKey::Nullifier([0xab; 32]).encode();
        let text = meaning(&nullifier, Some(&9u64.to_be_bytes()));
        assert!(text.ends_with("abab was spent at height 9"), "{text}");
        assert!(meaning(&nullifier, None).starts_with("there is no nullifier/abab"));
        assert_eq!(key_text(&StateKey::Mint(5).encode()), "mint/5");
        assert_eq!(key_text(&StateKey::Supply.encode()), "supply");
    }
}
