//! The vectors of RFC 9421: appendix B with its messages and keys, and the examples of section 2.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_consensus::{SigningKey, VerificationKey};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use sha2::{Digest, Sha256};

use super::*;

/// `test-key-ed25519` of appendix B.1.4.
const SEED: &str = "n4Ni+HpISpVObnQMW0wOhCKROaIKqKtW/2ZYb2p9KcU=";
const PUBLIC: &str = "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=";
const SIGNED_B26: &str =
    "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
const INPUT_B26: &str = r#"("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#;

fn array(text: &str) -> [u8; 32] {
    let bytes = STANDARD.decode(text).expect("base 64");
    bytes.try_into().expect("32 bytes")
}

fn key() -> VerificationKey {
    VerificationKey::try_from(array(PUBLIC)).expect("a curve point")
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

/// The `test-request` of appendix B.2.
fn test_request() -> (Method, Uri, HeaderMap) {
    let digest = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
    let headers = headers(&[
        ("host", "example.com"),
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("content-type", "application/json"),
        ("content-digest", digest),
        ("content-length", "18"),
    ]);
    let target = Uri::from_static("/foo?param=Value&Pet=dog");
    (Method::POST, target, headers)
}

const BODY: &[u8] = br#"{"hello": "world"}"#;

fn inner_list(text: &str) -> InnerList {
    let mut dictionary = parse_dictionary(&format!("x={text}")).expect("it parses");
    match dictionary.remove(0).1 {
        Member::List(list) => list,
        Member::Item(item) => panic!("{item} is no list"),
    }
}

/// The signature base of a request that covers `input`.
fn base(target: &str, scheme: &str, lines: &[(&str, &str)], input: &str) -> String {
    base_of(Method::GET, target, scheme, lines, input)
}

fn base_of(
    method: Method,
    target: &str,
    scheme: &str,
    lines: &[(&str, &str)],
    input: &str,
) -> String {
    let (target, headers) = (target.parse().expect("a target"), headers(lines));
    let message = Message::request(&method, &target, scheme, &headers).expect("a request");
    signature_base(&message, &inner_list(input)).expect("all is there")
}

fn base_of_test_request(input: &str) -> String {
    let (method, target, headers) = test_request();
    let message = Message::request(&method, &target, "https", &headers).expect("a request");
    signature_base(&message, &inner_list(input)).expect("all is there")
}

#[test]
fn b26_verifies_and_is_made_byte_for_byte() {
    let (method, target, mut headers) = test_request();
    let input = format!("sig-b26={INPUT_B26}");
    headers.append(SIGNATURE_INPUT, input.parse().expect("a value"));
    let signature = format!("sig-b26=:{SIGNED_B26}:");
    headers.append(SIGNATURE, signature.parse().expect("a value"));
    let message = Message::request(&method, &target, "https", &headers).expect("a request");
    let [signed] = &signatures(&headers).expect("they parse")[..] else {
        panic!("one signature");
    };
    assert_eq!(signed.verify(&message, &key()), Ok(()));
    assert_eq!(signed.number("created"), Some(1_618_884_473));
    assert_eq!(signed.text("keyid"), Some("test-key-ed25519"));
    assert!(signed.covers("@path") && !signed.covers("@query"));

    let params = SignatureParams {
        created: Some(1_618_884_473),
        keyid: Some("test-key-ed25519".into()),
        ..SignatureParams::default()
    };
    let covered = [
        "date",
        "@method",
        "@path",
        "@authority",
        "content-type",
        "content-length",
    ];
    let signing = SigningKey::from(array(SEED));
    assert_eq!(signing.verification_key(), key());
    let made = sign(&message, &signing, "sig-b26", params.covering(&covered));
    assert_eq!(made, Ok((input, signature)));

    // Whatever is covered cannot be changed.
    let wrong = Err(HttpSignatureError::Mismatch(
        "the signature does not verify",
    ));
    let other_path = Uri::from_static("/bar?param=Value&Pet=dog");
    let changed = Message::request(&method, &other_path, "https", &headers).expect("a request");
    assert_eq!(signed.verify(&changed, &key()), wrong);
    let changed = Message::request(&Method::PUT, &target, "https", &headers).expect("a request");
    assert_eq!(signed.verify(&changed, &key()), wrong);
    let mut later = headers.clone();
    later.insert(
        "date",
        "Tue, 20 Apr 2021 02:07:56 GMT".parse().expect("a value"),
    );
    let changed = Message::request(&method, &target, "https", &later).expect("a request");
    assert_eq!(signed.verify(&changed, &key()), wrong);
    // What is not covered may.
    let other_query = Uri::from_static("/foo?param=other");
    let free = Message::request(&method, &other_query, "https", &headers).expect("a request");
    assert_eq!(signed.verify(&free, &key()), Ok(()));
}

#[test]
fn b4_verifies_after_changes_that_it_allows_and_not_after_others() {
    let value =
        "ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==";
    let verdict = |target: &str, lines: &[(&str, &str)]| {
        let mut headers = headers(lines);
        let input = r#"transform=("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519""#;
        headers.append(SIGNATURE_INPUT, input.parse().expect("a value"));
        let signature = format!("transform=:{value}:");
        headers.append(SIGNATURE, signature.parse().expect("a value"));
        let target = target.parse().expect("a target");
        let message = Message::request(&Method::GET, &target, "https", &headers);
        let signed = signatures(&headers).expect("they parse").remove(0);
        signed.verify(&message.expect("a request"), &key())
    };
    let host = ("host", "example.org");
    let accept = [("accept", "application/json"), ("accept", "*/*")];
    let target = "/demo?name1=Value1&Name2=value2";
    assert_eq!(verdict(target, &[host, accept[0], accept[1]]), Ok(()));
    // Another query, a further field, the two lines as one: all allowed.
    let joined = [
        host,
        ("accept-language", "en"),
        ("accept", "application/json, */*"),
    ];
    assert_eq!(
        verdict("/demo?name1=Value1&Name2=value2&param=added", &joined),
        Ok(())
    );
    // The other order, or another host: not.
    assert!(verdict(target, &[host, accept[1], accept[0]]).is_err());
    assert!(verdict(target, &[("host", "example.com"), accept[0], accept[1]]).is_err());
}

#[test]
fn b21_to_b23_have_the_signature_bases_of_the_rfc() {
    let minimal =
        r#"();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd""#;
    assert_eq!(
        base_of_test_request(minimal),
        format!("\"@signature-params\": {minimal}")
    );
    let selective = r#"("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example""#;
    assert_eq!(
        base_of_test_request(selective),
        format!(
            r#""@authority": example.com
"content-digest": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:
"@query-param";name="Pet": dog
"@signature-params": {selective}"#
        )
    );
    let full = r#"("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss""#;
    assert_eq!(
        base_of_test_request(full),
        format!(
            r#""date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@query": ?param=Value&Pet=dog
"@authority": example.com
"content-type": application/json
"content-digest": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:
"content-length": 18
"@signature-params": {full}"#
        )
    );
}

#[test]
fn b24_a_response_has_the_signature_base_of_the_rfc() {
    let digest = "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:";
    let headers = headers(&[
        ("date", "Tue, 20 Apr 2021 02:07:56 GMT"),
        ("content-type", "application/json"),
        ("content-digest", digest),
        ("content-length", "23"),
    ]);
    let input = r#"("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256""#;
    let base = signature_base(&Message::response(200, &headers), &inner_list(input));
    let expected = format!(
        r#""@status": 200
"content-type": application/json
"content-digest": {digest}
"content-length": 23
"@signature-params": {input}"#
    );
    assert_eq!(base, Ok(expected));
    assert_eq!(
        verify_digest(&headers, br#"{"message": "good dog"}"#),
        Ok(())
    );
}

/// The RFC signs B.2.5 with HMAC-SHA-256: a few lines here show that our base is theirs to the byte.
#[test]
fn b25_gives_the_mac_of_the_rfc() {
    let base = base_of_test_request(
        r#"("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#,
    );
    let secret =
        "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
    let mut block = STANDARD.decode(secret).expect("base 64");
    assert!(block.len() <= 64, "a longer key would be hashed first");
    block.resize(64, 0);
    let pad = |with: u8| block.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
    let inner = Sha256::digest([&pad(0x36)[..], base.as_bytes()].concat());
    let mac = Sha256::digest([&pad(0x5c)[..], &inner[..]].concat());
    assert_eq!(
        STANDARD.encode(mac),
        "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8="
    );
}

#[test]
fn section_2_1_header_fields() {
    let lines = [
        ("host", "www.example.com"),
        ("date", "Tue, 20 Apr 2021 02:07:56 GMT"),
        ("x-ows-header", "  Leading and trailing whitespace.   "),
        ("cache-control", "max-age=60"),
        ("cache-control", "   must-revalidate"),
        ("example-dict", " a=1,    b=2;x=1;y=2,   c=(a   b   c)"),
        ("x-empty-header", ""),
    ];
    let plain = r#"("host" "date" "x-ows-header" "cache-control" "example-dict" "x-empty-header")"#;
    assert_eq!(
        base("/", "https", &lines, plain),
        format!(
            "\"host\": www.example.com
\"date\": Tue, 20 Apr 2021 02:07:56 GMT
\"x-ows-header\": Leading and trailing whitespace.
\"cache-control\": max-age=60, must-revalidate
\"example-dict\": a=1,    b=2;x=1;y=2,   c=(a   b   c)
\"x-empty-header\": 
\"@signature-params\": {plain}"
        )
    );
    let strict = base("/", "https", &lines, r#"("example-dict";sf)"#);
    assert!(
        strict.starts_with("\"example-dict\";sf: a=1, b=2;x=1;y=2, c=(a b c)\n"),
        "{strict}"
    );
    let lines = [
        ("host", "www.example.com"),
        ("example-dict", "  a=1, b=2;x=1;y=2, c=(a   b    c), d"),
    ];
    let keys = r#"("example-dict";key="a" "example-dict";key="d" "example-dict";key="b" "example-dict";key="c")"#;
    assert_eq!(
        base("/", "https", &lines, keys),
        format!(
            r#""example-dict";key="a": 1
"example-dict";key="d": ?1
"example-dict";key="b": 2;x=1;y=2
"example-dict";key="c": (a b c)
"@signature-params": {keys}"#
        )
    );
    let lines = [
        ("host", "www.example.com"),
        ("example-header", "value, with, lots"),
        ("example-header", "of, commas"),
    ];
    let bytes = base("/", "https", &lines, r#"("example-header";bs)"#);
    let expected = "\"example-header\";bs: :dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:\n";
    assert!(bytes.starts_with(expected), "{bytes}");
}

#[test]
fn section_2_2_derived_components() {
    let host = [("host", "www.example.com")];
    let line = |method: Method, target: &str, scheme: &str, component: &str| {
        let all = base_of(method, target, scheme, &host, &format!("({component})"));
        all.lines().next().expect("a line").to_owned()
    };
    let get = |target: &str, component: &str| line(Method::GET, target, "https", component);
    let target = "/path?param=value";
    assert_eq!(
        line(Method::POST, target, "https", "\"@method\""),
        "\"@method\": POST"
    );
    assert_eq!(
        get(target, "\"@target-uri\""),
        "\"@target-uri\": https://www.example.com/path?param=value"
    );
    assert_eq!(
        get(target, "\"@authority\""),
        "\"@authority\": www.example.com"
    );
    assert_eq!(
        line(Method::GET, target, "http", "\"@scheme\""),
        "\"@scheme\": http"
    );
    let request_target = "\"@request-target\"";
    assert_eq!(
        get(target, request_target),
        "\"@request-target\": /path?param=value"
    );
    let absolute = "https://www.example.com/path?param=value";
    assert_eq!(
        get(absolute, request_target),
        format!("\"@request-target\": {absolute}")
    );
    let connect = line(
        Method::CONNECT,
        "www.example.com:80",
        "https",
        request_target,
    );
    assert_eq!(connect, "\"@request-target\": www.example.com:80");
    assert_eq!(
        line(Method::OPTIONS, "*", "https", request_target),
        "\"@request-target\": *"
    );
    assert_eq!(get(target, "\"@path\""), "\"@path\": /path");
    let query = "/path?param=value&foo=bar&baz=bat%2Dman";
    assert_eq!(
        get(query, "\"@query\""),
        "\"@query\": ?param=value&foo=bar&baz=bat%2Dman"
    );
    assert_eq!(
        get("/path?queryString", "\"@query\""),
        "\"@query\": ?queryString"
    );
    assert_eq!(get("/path", "\"@query\""), "\"@query\": ?");

    let query = "/path?param=value&foo=bar&baz=batman&qux=";
    for (name, value) in [("baz", "batman"), ("qux", ""), ("param", "value")] {
        let component = format!("\"@query-param\";name=\"{name}\"");
        assert_eq!(get(query, &component), format!("{component}: {value}"));
    }
    let query = "/parameters?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something";
    for (name, value) in [
        ("var", "this%20is%20a%20big%0Amultiline%20value"),
        ("bar", "with%20plus%20whitespace"),
        ("fa%C3%A7ade%22%3A%20", "something"),
    ] {
        let component = format!("\"@query-param\";name=\"{name}\"");
        assert_eq!(get(query, &component), format!("{component}: {value}"));
    }
}

#[test]
fn an_authority_is_the_same_however_it_is_written() {
    for (scheme, written) in [
        ("https", "EXAMPLE.com"),
        ("https", "example.com:443"),
        ("http", "example.com:80"),
    ] {
        let base = base("/", scheme, &[("host", written)], "(\"@authority\")");
        assert!(base.starts_with("\"@authority\": example.com\n"), "{base}");
    }
    let other = base(
        "/",
        "http",
        &[("host", "example.com:443")],
        "(\"@authority\")",
    );
    assert!(
        other.starts_with("\"@authority\": example.com:443\n"),
        "{other}"
    );
}

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
    let (_, _, headers) = test_request();
    assert_eq!(verify_digest(&headers, BODY), Ok(()));
    assert!(verify_digest(&headers, b"other").is_err());
    // RFC 9530, appendix B.
    let sha_256 = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
    assert_eq!(content_digest(BODY), sha_256);
    let of = |value: &str| self::headers(&[("content-digest", value)]);
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
