//! A person with a wallet, and the node that they ask.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use adnet_tests::harness::{Options, TestNode, binary};
use serde_json::Value;
use tempfile::TempDir;

pub const UNITS_PER_AX: u64 = 10_000;

/// Proofs take seconds of a whole core, and more where others work too.
const PATIENCE: Duration = Duration::from_secs(180);

/// Asks until there is an answer, for as long as several proofs take.
pub fn patiently<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A node whose transactions have a minute from being planned to their block, with their proofs.
pub fn node() -> TestNode {
    TestNode::start(Options {
        alpha_interval_ms: 1_500,
        ..Options::default()
    })
}

/// Somebody with a directory of their own.
pub struct Person {
    pub dir: TempDir,
    pub node_url: String,
}

pub fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A call of the binary without the settings of whoever runs the test.
pub fn adnet() -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ADNET_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

impl Person {
    /// Somebody who asks the node at this URL and has no wallet yet.
    pub fn at(node_url: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let person = Person {
            dir,
            node_url: node_url.to_owned(),
        };
        person.keep("passphrase", "correct horse battery staple\n");
        person
    }

    /// Somebody with a new wallet, which the node tells where to begin.
    pub fn with_wallet(node: &TestNode) -> Self {
        let person = Person::at(&url(node));
        person.json(&["new"]);
        person
    }

    /// Writes a file that only they can read.
    pub fn keep(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).expect("the folder is ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
        path
    }

    pub fn wallet_dir(&self) -> PathBuf {
        self.dir.path().join("wallet")
    }

    /// `adnet wallet ARGUMENTS`, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = adnet();
        command
            .arg("wallet")
            .args(arguments)
            .current_dir(self.dir.path());
        command.env("ADNET_WALLET", self.wallet_dir());
        command.env(
            "ADNET_WALLET_PASSPHRASE_FILE",
            self.dir.path().join("passphrase"),
        );
        const ASK_A_NODE: [&str; 10] = [
            "new",
            "scan",
            "balance",
            "history",
            "send",
            "shield",
            "unshield",
            "lock",
            "burn",
            "consolidate",
        ];
        if arguments
            .first()
            .is_some_and(|verb| ASK_A_NODE.contains(verb))
        {
            command.args(["--node", &self.node_url]);
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary runs")
    }

    /// The JSON that a command prints, which must succeed.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}",
            err(&output)
        );
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// What standard error says when a command fails with this code.
    pub fn refused(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let said = err(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    }

    pub fn address(&self, kind: &str) -> String {
        let addresses = self.json(&["addresses"]);
        addresses[kind].as_str().expect("an address").to_owned()
    }

    /// Units in the pool and in the public account.
    pub fn balance(&self) -> (u64, u64) {
        let balance = self.json(&["balance"]);
        let units = |part: &str| balance[part]["total_units"].as_u64().expect("units");
        (units("pool"), units("public"))
    }

    /// Entries of the history without what differs between two looks at it.
    pub fn history(&self) -> Vec<Value> {
        let history = self.json(&["history"]);
        history["entries"].as_array().expect("a list").clone()
    }

    pub fn mnemonic(&self) -> String {
        let shown = self.json(&["show-mnemonic", "--yes"]);
        shown["mnemonic"].as_str().expect("words").to_owned()
    }
}

pub fn url(node: &TestNode) -> String {
    format!("http://{}", node.alpha().address)
}

/// Has the governors of the development network mint for an address.
pub fn mint(node: &TestNode, to: &str, ax: &str, order: &str) {
    let mut command = adnet();
    command.args(["tx", "alpha", "mint", "--api", &url(node), "--data-dir"]);
    command.arg(node.data_dir());
    command.args([
        "--governor",
        "dev-governor-0",
        "--governor",
        "dev-governor-1",
    ]);
    command.args(["--to", to, "--amount", ax, "--order", order]);
    let output = command.output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0), "mint: {}", err(&output));
}
