//! State tests of Ethereum through this crate's executor: decoder, handler, block run, state and trie.
//!
//! Two suites. `tests/fixtures/state-tests` lies beside the code; its README says where it comes from.
//! The other is GeneralStateTests of github.com/ethereum/tests, which is not part of this repository:
//! `ADNET_STATE_TESTS` names a directory that has it (`make statetests SUITE=...`). What is known
//! to differ is listed in a file with reasons, and must differ: an exception that passes fails, too.

mod case;
mod fixture;

use case::{Verdict, judge};
use revm::primitives::hardfork::SpecId;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Forks whose outcomes are compared.
const FORKS: [(&str, SpecId); 2] = [("Cancun", SpecId::CANCUN), ("Prague", SpecId::PRAGUE)];

/// What the cases of a suite came to.
#[derive(Default)]
struct Report {
    passed: usize,
    blobs: usize,
    failed: BTreeMap<String, String>,
}

impl Report {
    fn count(&mut self, id: String, verdict: Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Blob => self.blobs += 1,
            Verdict::Failed(reason) => {
                self.failed.insert(id, reason);
            }
        }
    }

    fn add(&mut self, other: Report) {
        self.passed += other.passed;
        self.blobs += other.blobs;
        self.failed.extend(other.failed);
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/state-tests")
}

/// Every case below `root` on all cores.
fn run(root: &Path) -> Report {
    let files = fixture::files(root);
    let next = AtomicUsize::new(0);
    let report = Mutex::new(Report::default());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let of_file = run_file(root, file);
                    let mut report = report.lock().expect("no thread panics with it");
                    report.add(of_file);
                }
            });
        }
    });
    report.into_inner().expect("no thread panics with it")
}

fn run_file(root: &Path, file: &Path) -> Report {
    let mut report = Report::default();
    let path = file.strip_prefix(root).expect("it was found below");
    let path = path.with_extension("");
    for (name, test) in fixture::tests(file) {
        for (fork, spec) in FORKS {
            let outcomes = test.post.get(fork).into_iter().flatten();
            for (index, outcome) in outcomes.enumerate() {
                let id = format!("{}:{name}:{fork}:{index}", path.display());
                report.count(id, judge(spec, &test, outcome));
            }
        }
    }
    report
}

/// The exceptions in `file`: an id, two spaces, a reason.
fn exceptions(file: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(file).expect("the list of exceptions is beside the fixtures");
    let lines = text.lines().map(str::trim);
    let entries = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    entries
        .map(|line| {
            let (id, reason) = line.split_once("  ").expect("an id, two spaces, a reason");
            (id.to_owned(), reason.trim().to_owned())
        })
        .collect()
}

/// Prints the counts; panics unless exactly the listed exceptions fail.
fn hold(suite: &str, report: &Report, exceptions: &BTreeMap<String, String>) {
    let mut excepted = 0;
    let mut wrong = Vec::new();
    for (id, reason) in &report.failed {
        match exceptions.contains_key(id) {
            true => excepted += 1,
            false => wrong.push(format!("{id}: {reason}")),
        }
    }
    println!(
        "{suite}: {} passed, {excepted} differ as listed, {} are blob transactions, {} failed",
        report.passed,
        report.blobs,
        wrong.len()
    );
    for id in exceptions.keys() {
        if !report.failed.contains_key(id) {
            wrong.push(format!("the exception {id} does not differ"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_state_tests_beside_the_code_pass() {
    let report = run(&fixtures());
    assert!(report.passed > 0, "the fixtures are there");
    hold("tests/fixtures/state-tests", &report, &BTreeMap::new());
}

/// Not part of a plain run, because the suite is not part of this repository.
#[test]
#[ignore = "needs ADNET_STATE_TESTS, a directory with GeneralStateTests of github.com/ethereum/tests"]
fn general_state_tests_pass() {
    let root = std::env::var_os("ADNET_STATE_TESTS").expect("ADNET_STATE_TESTS names the suite");
    let report = run(Path::new(&root));
    let listed = exceptions(&fixtures().join("general-state-tests.exceptions"));
    hold("GeneralStateTests", &report, &listed);
}

#[test]
fn a_wrong_root_wrong_logs_and_a_wrong_refusal_are_found() {
    let file = fixture::files(&fixtures()).remove(0);
    let tests = fixture::tests(&file);
    let (fork, spec) = FORKS[1];
    let passing = tests.values().find_map(|test| {
        let outcomes = test.post.get(fork)?;
        let outcome = outcomes.iter().find(|o| o.exception.is_none())?;
        (judge(spec, test, outcome) == Verdict::Passed).then_some((test, outcome))
    });
    let (test, right) = passing.expect("most cases pass");
    let wrong = |change: fn(&mut fixture::Outcome)| {
        let mut outcome = fixture::Outcome {
            hash: right.hash,
            logs: right.logs,
            txbytes: right.txbytes.clone(),
            exception: None,
        };
        change(&mut outcome);
        assert!(matches!(judge(spec, test, &outcome), Verdict::Failed(_)));
    };
    wrong(|outcome| outcome.hash.0[31] ^= 1);
    wrong(|outcome| outcome.logs.0[0] ^= 1);
    wrong(|outcome| outcome.exception = Some("anything".into()));
}
