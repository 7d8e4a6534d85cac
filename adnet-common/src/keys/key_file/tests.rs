//! Key files as the operator meets them: created once, private, refused when they are not.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn fixture() -> (tempfile::TempDir, KeyDir) {
    let data_dir = tempfile::tempdir().expect("a temporary folder");
    let keys = KeyDir::of(data_dir.path());
    (data_dir, keys)
}

#[test]
fn a_created_key_is_private_and_reads_back() {
    let (_data_dir, keys) = fixture();
    for (name, kind) in [("validator", KeyKind::Validator), ("alice", KeyKind::Delta)] {
        let key = SecretKey::random(kind);
        let path = keys.create(name, &key).expect("created");
        assert_eq!(
            fs::metadata(&path).expect("exists").permissions().mode() & 0o7777,
            0o600
        );
        let read = keys.load_kind(name, kind).expect("reads back");
        assert_eq!(read.expose(), key.expose());
    }
    assert_eq!(keys.names().expect("lists"), ["alice", "validator"]);
    let dir_mode = fs::metadata(&keys.dir)
        .expect("exists")
        .permissions()
        .mode();
    assert_eq!(dir_mode & 0o7777, 0o700);
    let files = fs::read_dir(&keys.dir).expect("lists").count();
    assert_eq!(files, 2, "no temporary file stays behind");
}

#[test]
fn a_key_is_never_overwritten() {
    let (_data_dir, keys) = fixture();
    let first = SecretKey::random(KeyKind::Node);
    keys.create("node", &first).expect("created");
    let again = keys.create("node", &SecretKey::random(KeyKind::Node));
    assert!(matches!(again, Err(KeyFileError::Exists { .. })));
    assert_eq!(
        keys.load("node").expect("still there").expose(),
        first.expose()
    );
}

#[test]
fn a_key_that_others_may_read_is_refused_with_the_remedy() {
    let (_data_dir, keys) = fixture();
    let path = keys
        .create("node", &SecretKey::random(KeyKind::Node))
        .expect("created");
    for mode in [0o640, 0o604, 0o660, 0o777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
        let refused = keys.load("node").expect_err("exposed").to_string();
        assert!(
            refused.contains(&format!("chmod 600 {}", path.display())),
            "{refused}"
        );
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("chmod");
    keys.load("node").expect("read-only for the owner is fine");
}

#[test]
fn wrong_kinds_names_and_contents_have_their_own_errors() {
    let (_data_dir, keys) = fixture();
    keys.create("node", &SecretKey::random(KeyKind::Node))
        .expect("created");
    assert!(matches!(
        keys.load_kind("node", KeyKind::Validator),
        Err(KeyFileError::Kind { .. })
    ));
    assert!(matches!(
        keys.load("nobody"),
        Err(KeyFileError::Missing { .. })
    ));
    for name in ["", "..", "a/b", "../node", "A", "a b", &"a".repeat(65)] {
        assert!(
            matches!(keys.load(name), Err(KeyFileError::Name(_))),
            "{name}"
        );
    }
    let write = |text: &str| {
        let path = keys.dir.join("bad.key");
        let written = durable_file::write(&path, text.as_bytes(), 0o600, Before::Anything);
        written.expect("a file that may be replaced");
    };
    write("{}");
    assert!(matches!(
        keys.load("bad"),
        Err(KeyFileError::Malformed { .. })
    ));
    write(r#"{"version":1,"kind":"alpha","secret":"00","more":1}"#);
    assert!(matches!(
        keys.load("bad"),
        Err(KeyFileError::Malformed { .. })
    ));
    write(r#"{"version":2,"kind":"alpha","secret":"00"}"#);
    assert!(matches!(
        keys.load("bad"),
        Err(KeyFileError::Version { found: 2, .. })
    ));
    write(r#"{"version":1,"kind":"alpha","secret":"00"}"#);
    assert!(matches!(keys.load("bad"), Err(KeyFileError::Secret { .. })));
    write(&" ".repeat(5_000));
    assert!(matches!(
        keys.load("bad"),
        Err(KeyFileError::TooLarge { .. })
    ));
}
