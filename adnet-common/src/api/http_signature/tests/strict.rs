//! What is refused: components that cannot be covered, wrong digests, fields that do not parse.

use http::{HeaderMap, Uri};

use super::super::*;
use super::{headers, inner_list, test_request};

const BODY: &[u8] = br#"{"hello": "world"}"#;

#[test]
fn what_cannot_be_covered_is_refused_by_name() {
    let (method, target, headers) = test_request();
    let message = Message::request(&method, &target, "https", &headers).expect("a request");
    for (component, missing) in [
        ("\"x-absent\"", true),
        ("\"@query-param\";name=\"absent\"", true),
        ("\"Date\"", false),
        ("\"@status\"", false),
        ("\"@unknown\"", false),
        ("\"@signature-params\"", false),
        ("\"date\" \"date\"", false),
        ("\"date\";req", false),
        ("\"date\";tr", false),
        ("\"date\";sf;bs", false),
        ("\"@method\";req", false),
        ("\"@query-param\"", false),
        ("date", false),
    ] {
        let error = signature_base(&message, &inner_list(&format!("({component})")));
        match error.expect_err(component) {
            HttpSignatureError::Missing(_) => assert!(missing, "{component}"),
            HttpSignatureError::Unusable(..) => assert!(!missing, "{component}"),
            other => panic!("{component}: {other}"),
        }
    }
    let twice = Uri::from_static("/foo?a=1&a=2");
    let message = Message::request(&method, &twice, "https", &headers).expect("a request");
    let twice = signature_base(&message, &inner_list("(\"@query-param\";name=\"a\")"));
    assert!(matches!(twice, Err(HttpSignatureError::Unusable(..))));
    let no_host = HeaderMap::new();
    assert!(Message::request(&method, &target, "https", &no_host).is_err());
}

#[test]
fn a_digest_is_that_of_the_body() {
    let (_, _, signed) = test_request();
    assert_eq!(verify_digest(&signed, BODY), Ok(()));
    assert!(verify_digest(&signed, b"other").is_err());
    // RFC 9530, appendix B.
    let sha_256 = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
    assert_eq!(content_digest(BODY), sha_256);
    let of = |value: &str| headers(&[("content-digest", value)]);
    assert_eq!(verify_digest(&of(sha_256), BODY), Ok(()));
    assert!(verify_digest(&of("md5=:AAAA:"), BODY).is_err());
    let one_wrong = format!("{sha_256}, sha-512=:AAAA:");
    assert!(verify_digest(&of(&one_wrong), BODY).is_err());
    assert!(verify_digest(&of("sha-256=token"), BODY).is_err());
    assert!(verify_digest(&HeaderMap::new(), BODY).is_err());
}

#[test]
fn structured_fields_are_read_strictly() {
    for text in [
        "a=1",
        "a",
        "a;x=1",
        "a=(\"b\";c d);e=:AQ==:",
        "a=?0, b=\"\\\"\\\\\"",
        "",
    ] {
        let read = parse_dictionary(text).expect(text);
        assert_eq!(structured::write_dictionary(&read), text);
    }
    let long = format!("a=\"{}\"", "x".repeat(structured::FIELD_BYTES_MAX));
    for text in [
        "A=1",
        "a=",
        "a=1,",
        "a=1 b=2",
        "a=1, a=2",
        "a;x;x",
        "a=(",
        "a=(\"b\"",
        "a=(\"b\"\"c\")",
        "a=\"x",
        "a=\"\\x\"",
        "a=\"é\"",
        "a=:AQ=:",
        "a=:AQ==",
        "a=?2",
        "a=1.5",
        "a=-",
        "a=1234567890123456",
        ",a",
        "=1",
        &long,
    ] {
        assert!(parse_dictionary(text).is_err(), "{text}");
    }
}

#[test]
fn labels_of_both_fields_are_the_same() {
    let of = |input: &str, signature: &str| {
        signatures(&headers(&[
            (SIGNATURE_INPUT, input),
            (SIGNATURE, signature),
        ]))
    };
    assert_eq!(
        of("a=(), b=()", "b=:AQ==:, a=:AA==:").map(|all| all.len()),
        Ok(2)
    );
    assert!(of("a=()", "b=:AQ==:").is_err());
    assert!(of("a=()", "a=:AQ==:, b=:AQ==:").is_err());
    assert!(of("a=1", "a=:AQ==:").is_err());
    assert!(of("a=()", "a=1").is_err());
    let many: Vec<String> = (0..9).map(|n| format!("a{n}=()")).collect();
    let values: Vec<String> = (0..9).map(|n| format!("a{n}=:AQ==:")).collect();
    assert!(of(&many.join(", "), &values.join(", ")).is_err());
}
