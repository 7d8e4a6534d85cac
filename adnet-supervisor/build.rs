//! Gives the binary its commit: `ADNET_COMMIT` if set (packagers build without git), else what git
//! says, else "unknown".

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-env-changed=ADNET_COMMIT");
    let commit = env::var("ADNET_COMMIT")
        .ok()
        .filter(|commit| !commit.is_empty())
        .or_else(|| git(&["rev-parse", "--short=12", "HEAD"]))
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=ADNET_BUILD_COMMIT={commit}");
    // The reflog grows with every commit and change of branch. A path that does not exist would make
    // cargo run this every time.
    if let Some(reflog) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&reflog).exists()
    {
        println!("cargo::rerun-if-changed={reflog}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
