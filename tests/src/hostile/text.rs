//! What people and clients write: genesis files, addresses, transactions in JSON. A value that was
//! read is written in a form that reads as the same value.

use super::{Decoder, Group, History};
use adnet_alpha::tx::{
    SignedBurn, SignedLock, SignedMint, SignedTransfer, Transaction, TransactionJson,
};
use adnet_common::api::http_signature::parse_dictionary;
use adnet_common::api::sign_request;
use adnet_common::genesis::{Genesis, dev_alpha_seed};
use adnet_common::keys::{AlphaAddress, EvmAddress, PublicKey};
use serde::de::DeserializeOwned;
use std::fmt::{Debug, Display};
use std::str::FromStr;

/// Text that parses, displays as text that parses as the same.
fn parsed<T: FromStr + Display + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string().parse::<T>().ok(), Some(value));
    }
}

/// A signed transaction in JSON becomes one in the wire form, or one that the wire form refuses.
fn signed<T: DeserializeOwned + Into<Transaction>>(bytes: &[u8]) {
    if let Ok(json) = serde_json::from_slice::<T>(bytes) {
        let tx: Transaction = json.into();
        if let Ok(decoded) = Transaction::decode(&tx.encode()) {
            assert_eq!(decoded, tx);
        }
    }
}

/// The samples of one function, without the name that blocks show it with.
fn json_of(history: &History, function: &str) -> Vec<Vec<u8>> {
    let all = history.alpha_txs.iter().filter_map(|raw| {
        let tx = Transaction::decode(raw).expect("a sample");
        let mut json = serde_json::to_value(TransactionJson::from(&tx)).expect("plain fields");
        let name = json
            .as_object_mut()
            .and_then(|fields| fields.remove("function"));
        let is_wanted = name.is_some_and(|name| name == function);
        is_wanted.then(|| serde_json::to_vec(&json).expect("plain fields"))
    });
    all.collect()
}

pub fn decoders() -> Vec<Decoder> {
    let decoder = |name, samples, check| Decoder {
        name,
        group: Group::Text,
        samples,
        check,
    };
    vec![
        decoder(
            "HTTP signature",
            |_| {
                let key = dev_alpha_seed(0);
                let url = "http://localhost:3030/v1/mint";
                let fields = sign_request(&key, url, b"{}", 1_800_000_000, "n");
                let fields = fields.expect("an ed25519 key and a URL");
                fields.map(|(_, value)| value.into_bytes()).into()
            },
            |bytes| {
                let Ok(text) = std::str::from_utf8(bytes) else {
                    return;
                };
                // What was read is written as text that reads as the same.
                for (key, member) in parse_dictionary(text).unwrap_or_default() {
                    let written = format!("{key}={member}");
                    assert_eq!(parse_dictionary(&written), Ok(vec![(key, member)]));
                }
            },
        ),
        decoder(
            "genesis",
            |history| vec![serde_json::to_vec(&*history.genesis).expect("plain fields")],
            |bytes| {
                if let Ok(genesis) = serde_json::from_slice::<Genesis>(bytes) {
                    let written = serde_json::to_vec(&genesis).expect("plain fields");
                    let again: Genesis = serde_json::from_slice(&written).expect("it reads");
                    assert_eq!(again, genesis);
                    if genesis.validate().is_empty() {
                        assert_eq!(again.hash(), genesis.hash());
                    }
                }
            },
        ),
        decoder(
            "Alpha address",
            |_| {
                let key = dev_alpha_seed(0).ed25519_public().expect("a seed");
                vec![AlphaAddress::from(key).to_string().into_bytes()]
            },
            parsed::<AlphaAddress>,
        ),
        decoder(
            "Delta address",
            |_| vec![EvmAddress([0xab; 20]).to_string().into_bytes()],
            parsed::<EvmAddress>,
        ),
        decoder(
            "public key",
            |_| {
                let key = dev_alpha_seed(0).ed25519_public().expect("a seed");
                vec![key.to_string().into_bytes()]
            },
            parsed::<PublicKey>,
        ),
        decoder(
            "transfer in JSON",
            |history| json_of(history, "transfer_public"),
            signed::<SignedTransfer>,
        ),
        decoder(
            "mint in JSON",
            |history| json_of(history, "mint"),
            signed::<SignedMint>,
        ),
        decoder(
            "burn in JSON",
            |history| json_of(history, "burn"),
            signed::<SignedBurn>,
        ),
        decoder(
            "lock in JSON",
            |history| json_of(history, "lock"),
            signed::<SignedLock>,
        ),
    ]
}
