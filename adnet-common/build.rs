//! Computes the schema hash: a digest over the definitions of everything that crosses a ring.
//!
//! Comments and white space do not count, so that only a change of the definitions makes two
//! builds strangers to each other.

use sha2::{Digest, Sha256};
use std::path::Path;

fn main() {
    let mut files: Vec<_> = std::fs::read_dir("src/messages")
        .expect("the messages are in src/messages")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .collect();
    files.push("src/store.rs".into());
    files.sort();
    let mut hasher = Sha256::new();
    hasher.update(b"adnet/schema/v1");
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
        hasher.update(definitions(file));
    }
    println!("cargo::rerun-if-changed=src/messages");
    let digest: Vec<String> = hasher
        .finalize()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    println!("cargo::rustc-env=ADNET_SCHEMA_HASH={}", digest.concat());
}

/// The file without comments and runs of white space.
fn definitions(file: &Path) -> String {
    let text = std::fs::read_to_string(file).expect("a readable source file");
    let code = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""));
    let words: Vec<&str> = code.flat_map(str::split_whitespace).collect();
    words.join(" ")
}
