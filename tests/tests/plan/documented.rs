//! What an OpenAPI document says that there is.

use serde_json::Value;

/// Every path with something that exists in place of its parameters, and whether it has a GET and a POST.
pub fn paths(document: &Value, known: &[(&str, String)]) -> Vec<(String, bool, bool)> {
    let paths = document["paths"].as_object().expect("paths");
    let filled = paths.iter().map(|(path, operations)| {
        let path = known.iter().fold(path.clone(), |path, (name, value)| {
            path.replace(name, value)
        });
        let has = |method: &str| operations.get(method).is_some();
        (path, has("get"), has("post"))
    });
    filled.collect()
}
