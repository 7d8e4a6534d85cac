//! What was found once stays mended: each file in `tests/regressions` is a scenario that broke a
//! rule.

use super::held;
use adnet_tests::sim::Scenario;
use std::fs;
use std::path::Path;

#[test]
fn what_failed_once_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let files = fs::read_dir(&folder).expect("the folder is part of the sources");
    let mut played = 0;
    for file in files {
        let path = file.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a file");
        let scenario: Scenario = toml::from_str(&text).expect("`sim` has written it");
        println!("{}", path.display());
        held(&scenario);
        played += 1;
    }
    assert!(played > 0);
}
