//! Who may use the operators' routes: requests signed by a configured key (RFC 9421).
//!
//! A signature must cover the method, the authority, the path, the query if there is one, and the
//! digest of the body, and say when it was made, by which key, for what (`tag`) and with which nonce.
//! It is good once: within a time window nonces are remembered, per key and within a bound. They are
//! forgotten with the process, so what can have been used before it began is refused: whatever was made
//! until then, or dated no further ahead than it may be.

use std::collections::BTreeMap;
use std::sync::Mutex;

use ed25519_consensus::VerificationKey;
use http::request::Parts;

use super::envelope::ApiError;
use super::http_signature::{
    CONTENT_DIGEST, HttpSignatureError, Message, SIGNATURE, SIGNATURE_INPUT, SignatureParams,
    Signed, content_digest, sign, signatures, verify_digest,
};
use crate::keys::{PublicKey, SecretKey};

/// A signature is accepted this long after it was made.
pub const WINDOW_S: i64 = 300;
/// What a signature for this use says.
pub const TAG: &str = "adnet-operator";
const LABEL: &str = "operator";
/// Nonces of one key within the window, at most.
const NONCES_MAX: usize = 4096;
const NONCE_BYTES_MAX: usize = 128;
const COVERED: [&str; 4] = ["@method", "@authority", "@path", CONTENT_DIGEST];

/// What a client is told to sign, as the field `Accept-Signature` says it.
pub(super) const ACCEPT_SIGNATURE: &str = r#"operator=("@method" "@authority" "@path" "content-digest");created;nonce;keyid;alg="ed25519";tag="adnet-operator""#;

/// The configured operators of one API.
pub struct Operators {
    keys: BTreeMap<PublicKey, VerificationKey>,
    started_s: i64,
    /// Nonces that were used, per key, with the time until which they are remembered.
    used: Mutex<BTreeMap<PublicKey, BTreeMap<String, i64>>>,
}

impl Operators {
    /// A signature may be dated so far ahead of our clock. For as long after its start a node takes none.
    pub const AHEAD_S: i64 = 5;

    /// Keys that are no curve points can sign nothing and are left out.
    pub fn new(keys: impl IntoIterator<Item = PublicKey>, started_s: i64) -> Self {
        let keys = keys.into_iter();
        let keys = keys.filter_map(|key| Some((key, VerificationKey::try_from(key.0).ok()?)));
        Self {
            keys: keys.collect(),
            started_s,
            used: Mutex::default(),
        }
    }

    /// Whether nobody is configured, so that the routes are open to everybody.
    pub fn is_open(&self) -> bool {
        self.keys.is_empty()
    }

    /// Passes a request that one of the operators signed, or any if nobody is configured.
    pub fn authorize(&self, parts: &Parts, body: &[u8], now_s: i64) -> Result<(), ApiError> {
        if self.is_open() {
            return Ok(());
        }
        let headers = &parts.headers;
        if !headers.contains_key(SIGNATURE_INPUT) && !headers.contains_key(SIGNATURE) {
            let message =
                "this node takes this from its operators only: sign the request (RFC 9421)";
            return Err(ApiError::new("SIGNATURE_REQUIRED", message));
        }
        let all = signatures(headers).map_err(invalid)?;
        let ours = all.iter().find_map(|signed| {
            let key: PublicKey = signed.text("keyid")?.parse().ok()?;
            self.keys.get(&key).map(|verifies| (signed, key, verifies))
        });
        let unknown = "no signature has the keyid of an operator of this node";
        let (signed, key, verifies) = ours.ok_or_else(|| refused(unknown))?;
        let missing = COVERED.iter().find(|component| !signed.covers(component));
        if let Some(component) = missing {
            return Err(refused(&format!(
                "the signature must cover \"{component}\""
            )));
        }
        if parts.uri.query().is_some() && !signed.covers("@query") {
            return Err(refused("the signature must cover \"@query\""));
        }
        if signed.text("tag") != Some(TAG) {
            return Err(refused(&format!("the signature's tag must be {TAG}")));
        }
        let (nonce, created) = self.fresh(signed, now_s)?;
        // A proxy in front of this server may speak TLS, so the scheme is not what the client saw,
        // and nothing that is covered depends on it but a default port.
        let message = Message::request(&parts.method, &parts.uri, "http", headers);
        let message = message.map_err(invalid)?;
        signed.verify(&message, verifies).map_err(invalid)?;
        verify_digest(headers, body).map_err(invalid)?;
        self.use_nonce(key, nonce, created, now_s)
    }

    /// The nonce and the time of a signature that is neither too old nor from the future.
    fn fresh<'a>(&self, signed: &'a Signed, now_s: i64) -> Result<(&'a str, i64), ApiError> {
        let created = signed.number("created");
        let created =
            created.ok_or_else(|| refused("the signature does not say when it was made"))?;
        let nonce = signed.text("nonce").filter(|nonce| !nonce.is_empty());
        let nonce = nonce.ok_or_else(|| refused("the signature has no nonce"))?;
        if nonce.len() > NONCE_BYTES_MAX {
            return Err(refused("the signature's nonce is longer than 128 bytes"));
        }
        let expired = |message: String| Err(ApiError::new("SIGNATURE_EXPIRED", message));
        if created < now_s.saturating_sub(WINDOW_S) || created > now_s.saturating_add(Self::AHEAD_S)
        {
            return expired(format!(
                "the signature was made at {created}, it is {now_s} now: it is good for {WINDOW_S} s"
            ));
        }
        if created <= self.started_s.saturating_add(Self::AHEAD_S) {
            let message =
                "the signature may have been used before this node started: sign again in a moment";
            return expired(message.into());
        }
        if signed
            .number("expires")
            .is_some_and(|expires| expires < now_s)
        {
            return expired(format!(
                "the signature says that it expired, it is {now_s} now"
            ));
        }
        Ok((nonce, created))
    }

    fn use_nonce(
        &self,
        key: PublicKey,
        nonce: &str,
        created: i64,
        now_s: i64,
    ) -> Result<(), ApiError> {
        let mut used = self
            .used
            .lock()
            .expect("nobody panics while holding the nonces");
        let used = used.entry(key).or_default();
        used.retain(|_, until| *until >= now_s);
        if used.contains_key(nonce) {
            let message = "this signature's nonce was used already: sign again with another";
            return Err(ApiError::new("SIGNATURE_REPLAYED", message));
        }
        if used.len() >= NONCES_MAX {
            let message = "this key has signed too many requests in the last minutes";
            return Err(ApiError::new("RATE_LIMITED", message));
        }
        used.insert(nonce.to_owned(), created.saturating_add(WINDOW_S));
        Ok(())
    }
}

fn refused(message: &str) -> ApiError {
    ApiError::new("SIGNATURE_INVALID", message)
}

fn invalid(error: HttpSignatureError) -> ApiError {
    refused(&error.to_string())
}

/// Why a request cannot be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignRequestError {
    #[error("a key of this kind does not sign requests: it must be ed25519")]
    WrongKind,
    #[error("`{0}` is no URL of a request")]
    Url(String),
    #[error(transparent)]
    Signature(#[from] HttpSignatureError),
}

/// The header fields that make a POST of `body` to `url` an operator's, signed at `now_s`.
pub fn sign_request(
    key: &SecretKey,
    url: &str,
    body: &[u8],
    now_s: i64,
    nonce: &str,
) -> Result<[(&'static str, String); 3], SignRequestError> {
    let signing = key.ed25519().ok_or(SignRequestError::WrongKind)?;
    let public = PublicKey(signing.verification_key().to_bytes());
    let wrong_url = || SignRequestError::Url(url.to_owned());
    let target: http::Uri = url.parse().map_err(|_| wrong_url())?;
    target.authority().ok_or_else(wrong_url)?;
    let digest = content_digest(body);
    let mut headers = http::HeaderMap::new();
    let value = digest.parse().expect("base 64 is a header value");
    headers.insert(CONTENT_DIGEST, value);
    let params = SignatureParams {
        created: Some(now_s),
        expires: Some(now_s.saturating_add(WINDOW_S)),
        nonce: Some(nonce.to_owned()),
        keyid: Some(public.to_string()),
        names_algorithm: true,
        tag: Some(TAG.to_owned()),
    };
    let mut covered = COVERED.to_vec();
    covered.extend(target.query().map(|_| "@query"));
    let scheme = target.scheme_str().unwrap_or("http").to_owned();
    let message = Message::request(&http::Method::POST, &target, &scheme, &headers)?;
    let (input, signature) = sign(&message, &signing, LABEL, params.covering(&covered))?;
    Ok([
        (CONTENT_DIGEST, digest),
        (SIGNATURE_INPUT, input),
        (SIGNATURE, signature),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyKind;

    const NOW_S: i64 = 1_800_000_000;
    const URL: &str = "http://node.example:3030/v1/mint";
    const BODY: &[u8] = b"{\"amount\":1}";

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_bytes(KeyKind::Alpha, &[seed; 32]).expect("any seed")
    }

    fn operators() -> Operators {
        let public = key(1).ed25519_public().expect("ed25519");
        Operators::new([public], NOW_S - 1_000)
    }

    fn request(path: &str, host: &str, fields: &[(&str, String)]) -> Parts {
        let mut request = http::Request::post(path).header("host", host);
        for (name, value) in fields {
            request = request.header(*name, value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn signed(by: u8, made_s: i64, nonce: &str) -> Parts {
        let fields = sign_request(&key(by), URL, BODY, made_s, nonce).expect("signed");
        request("/v1/mint", "node.example:3030", &fields)
    }

    fn code(verdict: Result<(), ApiError>) -> &'static str {
        verdict.map_or_else(|error| error.code, |()| "OK")
    }

    #[test]
    fn an_operators_request_passes_once() {
        let operators = operators();
        let judge = |parts: &Parts, now_s| code(operators.authorize(parts, BODY, now_s));
        let first = signed(1, NOW_S, "a");
        assert_eq!(judge(&first, NOW_S), "OK");
        assert_eq!(judge(&first, NOW_S + 1), "SIGNATURE_REPLAYED");
        assert_eq!(judge(&signed(1, NOW_S, "b"), NOW_S), "OK");
        // While it is not too old its nonce is remembered, and then it is too old.
        assert_eq!(judge(&first, NOW_S + WINDOW_S), "SIGNATURE_REPLAYED");
        assert_eq!(judge(&first, NOW_S + WINDOW_S + 1), "SIGNATURE_EXPIRED");
        let future = signed(1, NOW_S + Operators::AHEAD_S + 1, "c");
        assert_eq!(judge(&future, NOW_S), "SIGNATURE_EXPIRED");
        let before_the_start = signed(1, operators.started_s, "d");
        assert_eq!(
            judge(&before_the_start, operators.started_s + 1),
            "SIGNATURE_EXPIRED"
        );
    }

    #[test]
    fn no_request_passes_again_in_the_nodes_next_life() {
        let ahead = |made_s: i64| signed(1, made_s, "once");
        for early_s in 0..=Operators::AHEAD_S {
            let parts = ahead(NOW_S + early_s);
            assert_eq!(code(operators().authorize(&parts, BODY, NOW_S)), "OK");
            let public = key(1).ed25519_public().expect("ed25519");
            for started_s in NOW_S..NOW_S + 3 {
                let restarted = Operators::new([public], started_s);
                for now_s in started_s..started_s + WINDOW_S + Operators::AHEAD_S {
                    let verdict = code(restarted.authorize(&parts, BODY, now_s));
                    assert_eq!(
                        verdict, "SIGNATURE_EXPIRED",
                        "{early_s} {started_s} {now_s}"
                    );
                }
                // It does take what is made a little later.
                let later_s = started_s + Operators::AHEAD_S + 1;
                let verdict = restarted.authorize(&ahead(later_s), BODY, later_s);
                assert_eq!(code(verdict), "OK");
            }
        }
    }

    #[test]
    fn everybody_else_is_told_why_not() {
        let operators = operators();
        let judge = |parts: &Parts| code(operators.authorize(parts, BODY, NOW_S));
        let bare = request("/v1/mint", "node.example:3030", &[]);
        assert_eq!(judge(&bare), "SIGNATURE_REQUIRED");
        assert_eq!(judge(&signed(2, NOW_S, "a")), "SIGNATURE_INVALID");
        let fields = sign_request(&key(1), URL, BODY, NOW_S, "a").expect("signed");
        for (path, host) in [
            ("/v1/burn", "node.example:3030"),
            ("/v1/mint?x=1", "node.example:3030"),
            ("/v1/mint", "other.example:3030"),
        ] {
            let moved = request(path, host, &fields);
            assert_eq!(judge(&moved), "SIGNATURE_INVALID", "{path} {host}");
        }
        let good = signed(1, NOW_S, "a");
        let other_body = operators.authorize(&good, b"other", NOW_S);
        assert_eq!(code(other_body), "SIGNATURE_INVALID");
        // A refused request has not used up the nonce.
        assert_eq!(judge(&good), "OK");
        let open = Operators::new([], NOW_S);
        assert_eq!(code(open.authorize(&bare, BODY, NOW_S)), "OK");
    }

    #[test]
    fn a_signature_that_covers_too_little_is_worth_nothing() {
        let operators = operators();
        let signing = key(1).ed25519().expect("ed25519");
        let keyid = Some(key(1).ed25519_public().expect("ed25519").to_string());
        let params = SignatureParams {
            created: Some(NOW_S),
            nonce: Some("n".into()),
            keyid,
            tag: Some(TAG.into()),
            ..SignatureParams::default()
        };
        let judge = |covered: &[&str], params: &SignatureParams| {
            let digest = (CONTENT_DIGEST, content_digest(BODY));
            let parts = request(
                "/v1/mint",
                "node.example:3030",
                std::slice::from_ref(&digest),
            );
            let message = Message::request(&parts.method, &parts.uri, "http", &parts.headers);
            let message = message.expect("a request");
            let made = sign(&message, &signing, "x", params.covering(covered));
            let (input, signature) = made.expect("signed");
            let fields = [digest, (SIGNATURE_INPUT, input), (SIGNATURE, signature)];
            let parts = request("/v1/mint", "node.example:3030", &fields);
            code(operators.authorize(&parts, BODY, NOW_S))
        };
        for left_out in COVERED {
            let covered: Vec<&str> = COVERED.into_iter().filter(|c| *c != left_out).collect();
            assert_eq!(judge(&covered, &params), "SIGNATURE_INVALID", "{left_out}");
        }
        for incomplete in [
            SignatureParams {
                created: None,
                ..params.clone()
            },
            SignatureParams {
                nonce: None,
                ..params.clone()
            },
            SignatureParams {
                keyid: None,
                ..params.clone()
            },
            SignatureParams {
                tag: Some("other".into()),
                ..params.clone()
            },
            SignatureParams {
                nonce: Some("n".repeat(129)),
                ..params.clone()
            },
        ] {
            assert_eq!(
                judge(&COVERED, &incomplete),
                "SIGNATURE_INVALID",
                "{incomplete:?}"
            );
        }
        let over = SignatureParams {
            expires: Some(NOW_S - 1),
            ..params.clone()
        };
        assert_eq!(judge(&COVERED, &over), "SIGNATURE_EXPIRED");
        assert_eq!(judge(&COVERED, &params), "OK");
    }

    #[test]
    fn nonces_are_bounded_and_forgotten_with_time() {
        let operators = operators();
        let public = key(1).ed25519_public().expect("ed25519");
        let using = |nonce: usize, now_s| {
            code(operators.use_nonce(public, &nonce.to_string(), now_s, now_s))
        };
        for nonce in 0..NONCES_MAX {
            assert_eq!(using(nonce, NOW_S), "OK");
        }
        assert_eq!(using(NONCES_MAX, NOW_S), "RATE_LIMITED");
        assert_eq!(using(NONCES_MAX, NOW_S + WINDOW_S + 1), "OK");
        let used = operators.used.lock().expect("mine");
        assert_eq!(used[&public].len(), 1);
    }
}
