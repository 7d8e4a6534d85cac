//! Private balances by a viewing key, and who gets none.

use adnet_common::block::{Block, Body as BlockBody, Header};
use adnet_common::chain_id::ChainId;
use adnet_common::config::AlphaApiConfig;
use adnet_common::hash::Hash;
use adnet_common::ledger::{CommittedBlock, block_writes};
use adnet_common::store::{Family, Write};
use axum::body::{Body, to_bytes};
use orchard::Address;
use orchard::builder::{Builder, BundleType};
use orchard::bundle::Flags;
use orchard::keys::{FullViewingKey, Scope, SpendingKey};
use orchard::note_encryption::IronwoodDomain;
use orchard::value::NoteValue;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use serde_json::{Value, json};
use zcash_note_encryption::try_note_decryption;

use super::{Api, record};
use crate::pool::bundle::{BUNDLE_VERSION, empty_anchor};
use crate::pool::{Bundle, BundleProof};
use crate::pool_index::commitments_write;
use crate::state::StateKey;
use crate::tests::harness::Chain;
use crate::tx::{Function, Shield, Transaction, Witness};
use crate::wallet::viewing_key::PoolViewingKey;

fn viewing_key(seed: u8) -> FullViewingKey {
    let key = SpendingKey::from_zip32_seed(&[seed; 32], 8888, zip32::AccountId::ZERO);
    FullViewingKey::from(&key.expect("a lucky seed"))
}

/// A transaction that makes notes. Its proof is blank: what is scanned was verified long ago.
fn notes(chain: &Chain, to: &[(Address, u64)]) -> (Transaction, Vec<orchard::Note>) {
    let flags = Flags::SPENDS_DISABLED;
    let builder = Builder::new(BundleType::DEFAULT, BUNDLE_VERSION, flags, empty_anchor());
    let mut builder = builder.expect("flags of this version");
    for (address, units) in to {
        let value = NoteValue::from_raw(*units);
        let added = builder.add_output(None, *address, value, [0; 512]);
        added.expect("an output");
    }
    let built = builder.build::<i64>(UnwrapErr(SysRng)).expect("it builds");
    let (built, _) = built.expect("there are outputs");
    let keys = [Scope::External, Scope::Internal].map(|scope| viewing_key(1).to_ivk(scope));
    let keys = keys.map(|key| orchard::keys::PreparedIncomingViewingKey::new(&key));
    let own = built.actions().iter().flat_map(|action| {
        let domain = IronwoodDomain::for_action(action);
        let tried = keys
            .each_ref()
            .map(|key| try_note_decryption(&domain, key, action));
        tried.into_iter().flatten().map(|(note, _, _)| note)
    });
    let own = own.collect();
    let bundle = Bundle::of(&built);
    let proof = BundleProof::blank(bundle.actions.len());
    let payload = chain.terms().payload(Function::Shield(Shield {
        sender: [1; 32],
        nonce: 0,
        bundle,
    }));
    let witness = Witness::AccountAndBundle([0; 64], proof);
    (Transaction { payload, witness }, own)
}

/// Block 1 pays 700 and 40 to the key, 5 to another, and 60 as change; block 2 is empty. The note of
/// 40 is spent.
fn api(config: &AlphaApiConfig) -> Api {
    let mut chain = Chain::new();
    record(&mut chain, &[]);
    chain.must_block(&[]);
    let (mine, other) = (viewing_key(1), viewing_key(2));
    let outside = mine.address_at(3u32, Scope::External);
    let change = mine.address_at(0u32, Scope::Internal);
    let stranger = other.address_at(0u32, Scope::External);
    let (tx, own) = notes(
        &chain,
        &[(outside, 700), (outside, 40), (stranger, 5), (change, 60)],
    );
    assert_eq!(own.len(), 3);
    let body = BlockBody {
        txs: vec![tx.encode()],
        ..BlockBody::default()
    };
    let header = Header {
        chain: ChainId::Alpha,
        genesis: chain.genesis.hash(),
        height: 1,
        time_ms: 1,
        parent: Hash::ZERO,
        proposer: [0; 32],
        body_root: body.root(),
        state_root: chain.roots[1],
        outbox_root: Hash::ZERO,
        next_validators: Hash::ZERO,
    };
    let block = Block { header, body };
    let certificate = Vec::new();
    let committed = CommittedBlock { block, certificate };
    chain.store.apply(&block_writes(ChainId::Alpha, &committed));
    chain.must_block(&[]);
    record(&mut chain, &[]);
    let spent = own.iter().find(|note| note.value().inner() == 40);
    let nullifier = spent.expect("it is ours").nullifier(&mine).to_bytes();
    let key = StateKey::Nullifier(nullifier).encode();
    let row = [&2u64.to_be_bytes()[..], &2u64.to_be_bytes()].concat();
    chain.store.apply(&[
        commitments_write(
            2,
            tx.payload
                .function
                .bundle()
                .expect("it has one")
                .actions
                .len() as u64,
        ),
        Write::put(Family::AlphaState, [b"c", &key[..]].concat(), row),
    ]);
    Api::of(chain, config)
}

fn enabled() -> AlphaApiConfig {
    AlphaApiConfig {
        viewing_key_balance: true,
        ..AlphaApiConfig::default()
    }
}

async fn ask(api: &Api, peer: [u8; 4], fields: &[(&str, &str)], body: String) -> (u16, Value) {
    let mut request = http::Request::post("/v1/balance");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body)).expect("a request");
    let response = api.answer(peer, request).await;
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), 1 << 20)
        .await
        .expect("in memory");
    (status, serde_json::from_slice(&bytes).expect("JSON"))
}

const HERE: [u8; 4] = [127, 0, 0, 1];

fn query(seed: u8, from: u64) -> String {
    let key = PoolViewingKey::from(viewing_key(seed)).export();
    json!({"viewing_key": key, "from": from}).to_string()
}

#[tokio::test]
async fn a_viewing_key_finds_its_notes_and_what_is_spent_of_them() {
    let api = api(&enabled());
    let (status, body) = ask(&api, HERE, &[], query(1, 0)).await;
    let expected = json!({
        "from": 0, "to": 2, "tip": 2, "notes": 3,
        "received_units": 740, "change_units": 60, "spent_units": 40, "balance_units": 760,
    });
    assert_eq!((status, &body["data"]), (200, &expected), "{body}");
    let (_, other) = ask(&api, HERE, &[], query(2, 0)).await;
    assert_eq!(other["data"]["balance_units"], 5);
    let (_, nobody) = ask(&api, HERE, &[], query(3, 0)).await;
    assert_eq!(nobody["data"]["notes"], 0);
    let (_, later) = ask(&api, HERE, &[], query(1, 2)).await;
    assert_eq!(later["data"]["notes"], 0);
}

#[tokio::test]
async fn it_is_off_and_for_this_machine_only() {
    let forbidden = |(status, body): (u16, Value)| {
        let code = body["error"]["code"].as_str().expect("a code").to_owned();
        (status, code)
    };
    let off = api(&AlphaApiConfig::default());
    let answer = forbidden(ask(&off, HERE, &[], query(1, 0)).await);
    assert_eq!(answer, (403, "NOT_ENABLED".to_owned()));
    let on = api(&enabled());
    let elsewhere = (403, "LOOPBACK_ONLY".to_owned());
    assert_eq!(
        forbidden(ask(&on, [10, 0, 0, 1], &[], query(1, 0)).await),
        elsewhere
    );
    for fields in [
        &[("x-forwarded-for", "10.0.0.1")][..],
        &[("forwarded", "for=10.0.0.1")],
        &[("x-forwarded-proto", "http")],
        &[
            ("x-forwarded-proto", "https"),
            ("x-forwarded-proto", "http"),
        ],
    ] {
        let answer = forbidden(ask(&on, HERE, fields, query(1, 0)).await);
        assert_eq!(answer, elsewhere, "{fields:?}");
    }
    let by_tls = [
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "https"),
    ];
    assert_eq!(ask(&on, HERE, &by_tls, query(1, 0)).await.0, 200);
    assert_eq!(ask(&on, [10, 0, 0, 1], &by_tls, query(1, 0)).await.0, 403);
}

#[tokio::test]
async fn no_answer_quotes_a_key() {
    let api = api(&enabled());
    let key = PoolViewingKey::from(viewing_key(1)).export();
    let nearly = format!("{}q", &key[..key.len() - 1]);
    let bodies = [
        json!({"viewing_key": nearly, "from": 0}).to_string(),
        json!({"viewing_key": "axview1", "from": 0}).to_string(),
        json!({"viewing_key": 1, "from": key}).to_string(),
        json!({"viewing_key": key, "from": key}).to_string(),
        json!({"viewing_key": key, "from": 0, "also": 1}).to_string(),
        json!({"viewing_key": key, "from": -1}).to_string(),
        json!({"viewing_key": key, "from": 2, "to": 1}).to_string(),
        json!({"viewing_key": key, "from": u64::MAX}).to_string(),
        key.clone(),
        format!(
            "{{\"viewing_key\":\"{key}\",\"from\":0{}",
            " ".repeat(2_000)
        ),
        String::new(),
    ];
    for body in bodies {
        let (status, answer) = ask(&api, HERE, &[], body).await;
        assert!((400..500).contains(&status), "{answer}");
        let text = answer.to_string();
        assert!(!text.contains(&key[..20]), "{text}");
    }
}
