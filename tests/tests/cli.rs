//! The command line as a newcomer meets it: help, mistakes, and what programs read.

use std::process::{Command, Output};

use adnet_tests::harness::binary;

fn adnet(arguments: &[&str]) -> Output {
    // Away from any data directory, and without the settings of whoever runs the test.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ADNET_") {
            command.env_remove(name);
        }
    }
    let output = command.args(arguments).current_dir(folder.path()).output();
    output.expect("the binary runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_command_explains_itself() {
    for command in [
        "",
        "run",
        "init",
        "status",
        "tx",
        "tx alpha",
        "tx alpha transfer",
        "tx alpha lock",
        "tx alpha burn",
        "tx alpha mint",
        "tx delta",
        "tx delta transfer",
        "tx delta unlock",
        "wallet",
        "wallet new",
        "wallet restore",
        "wallet scan",
        "wallet send",
        "wallet history",
        "keys",
        "keys new",
        "config",
        "config show",
        "config check",
        "version",
        "completion",
    ] {
        let mut arguments: Vec<&str> = command.split_whitespace().collect();
        arguments.push("--help");
        let output = adnet(&arguments);
        assert_eq!(output.status.code(), Some(0), "{command}: {}", err(&output));
        let text = out(&output);
        assert!(text.contains("Usage: adnet"), "{command}: {text}");
    }
    for command in ["run", "init", "status", "tx", "wallet", "keys"] {
        let text = out(&adnet(&[command, "--help"]));
        assert!(text.contains("Examples"), "{command}: {text}");
    }
}

#[test]
fn the_version_is_for_people_and_for_programs() {
    let output = adnet(&["version", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let version: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    for key in ["commit", "schema_hash"] {
        assert!(version[key].is_string(), "{key}: {version}");
    }
    for key in [
        "ring_abi",
        "network_protocol",
        "block_format",
        "database_schema",
    ] {
        assert!(version[key].is_u64(), "{key}: {version}");
    }
    let text = out(&adnet(&["version"]));
    assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    let short = version["commit"].as_str().expect("text");
    assert!(text.contains(short), "{text}");
}

#[test]
fn all_mistakes_of_a_configuration_are_told_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("bad.toml");
    let text = "[alpha]\napi_listen = \"127.0.0.1:99999\"\nno_such_key = 1\n\n\
                [supervisor]\nhang_warn_ms = 3000\nhang_kill_ms = 1000\n\n\
                [log]\nlevel = \"loud\"\n";
    std::fs::write(&file, text).expect("written");
    let path = file.to_str().expect("UTF-8");
    for command in [vec!["config", "check"], vec!["run"]] {
        let output = adnet(&[command, vec!["--config", path]].concat());
        assert_eq!(output.status.code(), Some(78), "{}", err(&output));
        let said = out(&output) + &err(&output);
        for part in [
            "alpha.api_listen",
            "99999",
            "no_such_key",
            "hang_kill_ms",
            "log.level",
            "loud",
            "bad.toml:2",
        ] {
            assert!(said.contains(part), "{part} is not in:\n{said}");
        }
    }
    let good = adnet(&["config", "check", "--set", "log.level=debug"]);
    assert_eq!(good.status.code(), Some(0), "{}", err(&good));
}

#[test]
fn settings_override_in_order_and_name_their_origin() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("adnet.toml");
    std::fs::write(&file, "[log]\nlevel = \"error\"\nformat = \"json\"\n").expect("written");
    let show = |environment: &[(&str, &str)], arguments: &[&str]| {
        let mut command = Command::new(binary());
        command
            .args(["config", "show", "--config"])
            .arg(&file)
            .args(arguments);
        command
            .current_dir(folder.path())
            .envs(environment.iter().copied());
        let output = command.output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        let text = out(&output);
        let found = text.lines().find(|line| line.contains("level"));
        found
            .unwrap_or_else(|| panic!("no level in {text}"))
            .to_owned()
    };
    let environment = [("ADNET_LOG_LEVEL", "warn")];
    for (line, value, origin) in [
        (show(&[], &[]), "error", "adnet.toml"),
        (show(&environment, &[]), "warn", "ADNET_LOG_LEVEL"),
        (
            show(&environment, &["--set", "log.level=trace"]),
            "trace",
            "--set",
        ),
    ] {
        assert!(line.contains(value) && line.contains(origin), "{line}");
    }
}

#[test]
fn completion_scripts_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let output = adnet(&["completion", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(out(&output).contains("adnet"), "{shell}");
    }
}

#[test]
fn wrong_arguments_exit_2_with_a_hint() {
    for arguments in [
        &["no-such-command"][..],
        &["run", "--no-such-flag"],
        &["run", "--mode", "triple"],
        &["run", "--set", "nonsense"],
        &["completion", "no-such-shell"],
        &["tx", "alpha", "transfer"],
        &["init", "--block-interval", "soon"],
    ] {
        let output = adnet(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            err(&output)
        );
        assert!(!err(&output).is_empty(), "{arguments:?}");
    }
    let typo = err(&adnet(&["statsu"]));
    assert!(typo.contains("status"), "{typo}");
    let nobody = adnet(&["status"]);
    assert_eq!(nobody.status.code(), Some(1), "{}", err(&nobody));
    assert!(err(&nobody).contains("is it running"), "{}", err(&nobody));
}

#[test]
fn init_twice_changes_nothing_and_keys_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path().join("node");
    let path = dir.to_str().expect("UTF-8");
    let init = |more: &[&str]| adnet(&[&["init", "--data-dir", path], more].concat());
    assert_eq!(init(&["--block-interval", "200"]).status.code(), Some(0));
    let genesis = std::fs::read(dir.join("genesis.json")).expect("made");
    assert_eq!(init(&["--block-interval", "200"]).status.code(), Some(0));
    assert_eq!(
        std::fs::read(dir.join("genesis.json")).expect("kept"),
        genesis
    );
    assert_eq!(init(&["--block-interval", "300"]).status.code(), Some(2));
    let keys = std::fs::read_dir(dir.join("keys")).expect("keys").flatten();
    let modes: Vec<u32> = keys
        .map(|key| key.metadata().expect("metadata").permissions().mode() & 0o777)
        .collect();
    assert!(
        modes.len() >= 2 && modes.iter().all(|mode| *mode == 0o600),
        "{modes:?}"
    );
}
