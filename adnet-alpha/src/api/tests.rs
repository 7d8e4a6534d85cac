//! The document and the routes are one.

use super::{OPENAPI, routes};

#[test]
fn every_route_is_documented_and_nothing_else() {
    assert_eq!(routes().undocumented(OPENAPI), Vec::<String>::new());
}

#[test]
fn every_reference_of_the_document_has_a_target() {
    let document: serde_json::Value = serde_json::from_str(OPENAPI).expect("JSON");
    let schemas = document["components"]["schemas"]
        .as_object()
        .expect("schemas");
    let mentions = OPENAPI.split("#/components/schemas/").skip(1);
    for mention in mentions {
        let name = mention
            .split('"')
            .next()
            .expect("split gives at least one part");
        assert!(schemas.contains_key(name), "{name}");
    }
}
