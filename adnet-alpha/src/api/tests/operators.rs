//! Mint orders of a node that has operators.

use adnet_common::api::{Operators, sign_request};
use adnet_common::config::AlphaApiConfig;
use adnet_common::keys::{KeyKind, SecretKey};
use axum::body::{Body, to_bytes};
use serde_json::{Value, json};

use super::{Api, error_of};
use crate::api::unix_s;
use crate::tx::TransactionJson;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes(KeyKind::Alpha, &[seed; 32]).expect("any seed")
}

impl Api {
    async fn post_signed(
        &self,
        path: &str,
        body: &Value,
        signer: Option<&SecretKey>,
        made_s: i64,
        nonce: &str,
    ) -> (u16, Value, bool) {
        let body = body.to_string();
        let mut request = http::Request::post(path)
            .header("content-type", "application/json")
            .header("host", "localhost:3030");
        if let Some(key) = signer {
            let url = format!("http://localhost:3030{path}");
            let fields = sign_request(key, &url, body.as_bytes(), made_s, nonce).expect("signed");
            for (name, value) in fields {
                request = request.header(name, value);
            }
        }
        let request = request.body(Body::from(body)).expect("a request");
        let response = self.answer([10, 0, 0, 1], request).await;
        let status = response.status().as_u16();
        let told = response.headers().contains_key("www-authenticate");
        let bytes = to_bytes(response.into_body(), 1 << 20)
            .await
            .expect("in memory");
        (status, serde_json::from_slice(&bytes).expect("JSON"), told)
    }
}

#[tokio::test]
async fn mints_need_an_operators_signature_on_both_routes() {
    let operator = key(77);
    let config = AlphaApiConfig {
        operator_keys: operator.ed25519_public().expect("ed25519").to_string(),
        ..AlphaApiConfig::default()
    };
    let (api, _) = Api::with(&config);
    let mint = api.chain.mint(1, 6, 5_000, 2);
    let mut order = serde_json::to_value(TransactionJson::from(&mint)).expect("serialises");
    order.as_object_mut().expect("an object").remove("function");
    let raw = json!({"raw": hex::encode(mint.encode())});
    // What can have been used before the node began is refused, so these are signed later.
    let begun_s = unix_s();
    while unix_s() <= begun_s + Operators::AHEAD_S {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let now_s = unix_s();
    for (path, body) in [("/v1/mint", &order), ("/v1/transaction/broadcast", &raw)] {
        let refused = |(status, body, told): (u16, Value, bool)| {
            assert!(told, "{path}: {body}");
            error_of((status, body))
        };
        let code = |code: &str| (401, code.to_owned());
        let bare = api.post_signed(path, body, None, now_s, "").await;
        assert_eq!(refused(bare), code("SIGNATURE_REQUIRED"), "{path}");
        let stranger = api
            .post_signed(path, body, Some(&key(78)), now_s, "s")
            .await;
        assert_eq!(refused(stranger), code("SIGNATURE_INVALID"), "{path}");
        let old = api
            .post_signed(path, body, Some(&operator), now_s - 1_000, "o")
            .await;
        assert_eq!(refused(old), code("SIGNATURE_EXPIRED"), "{path}");
        let nonce = format!("once for {path}");
        let (status, answer, _) = api
            .post_signed(path, body, Some(&operator), now_s, &nonce)
            .await;
        assert_eq!(
            (status, &answer["data"]["id"]),
            (200, &json!(mint.id())),
            "{answer}"
        );
        let again = api
            .post_signed(path, body, Some(&operator), now_s, &nonce)
            .await;
        assert_eq!(refused(again), code("SIGNATURE_REPLAYED"), "{path}");
    }
    // What is no mint needs nothing.
    let transfer = json!({"raw": hex::encode(api.chain.transfer(0, 6, 5).encode())});
    let free = api
        .post_signed("/v1/transaction/broadcast", &transfer, None, now_s, "")
        .await;
    assert_eq!(free.0, 200, "{}", free.1);
}
