//! Clients that nobody here wrote, unmodified, on a node of the real binary: ethers, viem, cast, and the
//! same signed transactions on anvil. The scripts are in `tests/clients`; npm installs what their lock
//! file names into a cache outside of the checkout.
//!
//! Without Node.js and npm these tests fail and say so: `.ci/setup` installs both.

use adnet_tests::harness::{Options, TestNode};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const NODE_MAJOR_MIN: u64 = 18;

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Stops with what is missing.
fn require_tools() {
    let version = |tool: &str| {
        let said = Command::new(tool).arg("--version").output();
        let said = said.unwrap_or_else(|error| {
            panic!("{tool} is missing ({error}): `.ci/setup`, or `apt-get install nodejs npm`")
        });
        String::from_utf8_lossy(&said.stdout).trim().to_owned()
    };
    version("npm");
    let node = version("node");
    let major = node.trim_start_matches('v').split('.').next();
    let major: u64 = major.and_then(|text| text.parse().ok()).unwrap_or(0);
    assert!(
        major >= NODE_MAJOR_MIN,
        "Node.js {node} is too old: these clients want {NODE_MAJOR_MIN} or newer"
    );
}

/// The folder of this lock file's packages below the user's cache.
fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let base = base.unwrap_or_else(std::env::temp_dir);
    let mut hash = Sha256::new();
    for name in ["package.json", "package-lock.json"] {
        hash.update(fs::read(sources().join(name)).expect("it is in the repository"));
    }
    let name = hex::encode(hash.finalize());
    base.join("adnet").join("clients").join(&name[..16])
}

/// Where the packages are installed; once for all tests and all processes.
fn packages() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        require_tools();
        let folder = cache();
        fs::create_dir_all(&folder).expect("the cache can be written");
        let lock = File::create(folder.join("lock")).expect("the cache can be written");
        // The lock is given back when the file is closed.
        lock.lock().expect("a file can be locked");
        let complete = folder.join("complete");
        if !complete.exists() {
            for name in ["package.json", "package-lock.json", ".npmrc"] {
                fs::copy(sources().join(name), folder.join(name)).expect("the cache is writable");
            }
            // Not `npm ci`: that wants the programs of every platform in the lock file, and not every
            // registry has them all. The versions are those of the lock file either way.
            let mut npm = Command::new("npm");
            let done = npm.args(["install", "--no-save"]).current_dir(&folder);
            let done = done.output().expect("npm starts");
            assert!(
                done.status.success(),
                "npm install failed; it needs the npm registry once:\n{}",
                String::from_utf8_lossy(&done.stderr)
            );
            File::create(complete).expect("the cache can be written");
        }
        folder
    })
}

/// Runs a script against a node of its own.
fn run(script: &str) {
    run_with(script, &[]);
}

/// The same with settings of the node.
fn run_with(script: &str, settings: &[&str]) {
    let packages = packages();
    let mut arguments = vec!["--mode".to_owned(), "delta-only".to_owned()];
    for setting in settings {
        arguments.extend(["--set".to_owned(), (*setting).to_owned()]);
    }
    let options = Options {
        arguments,
        ..Options::default()
    };
    let node = TestNode::start(options);
    // Modules are found beside the script.
    let folder = tempfile::tempdir().expect("a temporary folder");
    copy(&sources(), folder.path());
    let modules = folder.path().join("node_modules");
    std::os::unix::fs::symlink(packages.join("node_modules"), modules).expect("a link");
    let done = Command::new("node")
        .arg(script)
        .current_dir(folder.path())
        .env("ADNET_RPC", format!("http://{}", node.delta().address))
        .env("ADNET_PID", node.worker("delta").pid.to_string())
        .env("NO_COLOR", "1")
        .output();
    let done = done.expect("node starts");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(done.status.success(), "{script}:\n{said}");
    println!("{said}");
}

/// Copies the files of a folder and those one level below.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("it can be read");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            if entry.file_name() != "node_modules" {
                fs::create_dir(&target).expect("a new folder");
                copy(&entry.path(), &target);
            }
        } else {
            fs::copy(entry.path(), target).expect("a new file");
        }
    }
}

#[test]
fn ethers_works_unmodified() {
    run("ethers.mjs");
}

#[test]
fn viem_works_unmodified_with_a_token_of_openzeppelin() {
    run("viem.mjs");
}

#[test]
fn cast_works_unmodified() {
    run("cast.mjs");
}

#[test]
fn uniswap_v2_swaps() {
    run("uniswap.mjs");
}

#[test]
fn the_same_signed_transactions_have_the_same_receipts_on_anvil() {
    run("replay.mjs");
}

#[test]
#[ignore = "wants a checkout of ethereum/execution-apis, which EXECUTION_APIS names"]
fn answers_have_the_shape_of_the_fixtures_of_execution_apis() {
    run("execution_apis.mjs");
}

#[test]
#[ignore = "wants a checkout of ethereum/execution-apis, which EXECUTION_APIS names"]
fn simulations_come_to_what_the_fixtures_of_execution_apis_say() {
    run("execution_apis_simulations.mjs");
}

#[test]
fn streams_tell_everything_and_close_who_is_too_slow() {
    run("streams.mjs");
}

#[test]
fn strangers_get_named_errors_and_cost_bounded_memory() {
    // Half of the connections are for one address, and here there is only one.
    run_with("hostile.mjs", &["delta.api_max_connections=5000"]);
}
