//! The configuration as a whole: layers key by key, the manual, and every kind of mistake at once.

use std::{collections::BTreeMap, fs, path::PathBuf};

use toml::Value;

use super::*;

type Env = BTreeMap<String, String>;
type Flags = BTreeMap<String, Flag>;

fn env(pairs: &[(&str, &str)]) -> Env {
    pairs
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

fn flags(pairs: &[(&str, &str)]) -> Flags {
    let flag = |value: &str| Flag {
        flag: "--set".to_owned(),
        value: value.to_owned(),
    };
    pairs
        .iter()
        .map(|(key, value)| (key.to_string(), flag(value)))
        .collect()
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("adnet.toml");
    fs::write(&path, text).expect("written");
    (dir, path)
}

/// Loads from a file with this text and returns each mistake as text, with the path cut off.
fn mistakes(text: &str) -> Vec<String> {
    let (dir, path) = file(text);
    let prefix = format!("{}/", dir.path().display());
    match load(&Flags::new(), &Env::new(), Some(&path)) {
        Ok(_) => Vec::new(),
        Err(errors) => errors
            .0
            .iter()
            .map(|error| error.to_string().replace(&prefix, ""))
            .collect(),
    }
}

fn value_of(loaded: &Loaded, key: &str) -> Value {
    schema::leaves(&schema::table_of(&loaded.config))[key].clone()
}

/// A valid value of `key` that differs from the default, and from those of other `step`s.
fn other_value(key: &str, default: &Value, step: i64) -> Value {
    let choices: [&str; 3] = match key {
        "node.mode" => ["alpha-only", "delta-only", "alpha-only"],
        "log.level" => ["error", "debug", "trace"],
        "log.format" => ["json", "human", "json"],
        "node.data_dir" => ["/srv/one", "/srv/two", "/srv/three"],
        _ if key.ends_with("persistent_peers") => {
            return Value::from(format!("{}@peer-{step}:4130", "ab".repeat(32)));
        }
        _ if key.ends_with("trusted_block") => {
            return Value::from(format!("{step}00:{}", "ab".repeat(32)));
        }
        "alpha_api.operator_keys" => [
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        ],
        "network.external_ip" => ["192.0.2.1", "192.0.2.2", "2001:db8::3"],
        "network.boot_nodes" => ["enr:-one", "enr:-two,enr:-three", "enr:-four"],
        _ if key.ends_with("listen") => ["127.0.0.1:10001", "127.0.0.1:10002", "[::1]:10003"],
        _ => {
            return match default {
                Value::Boolean(flag) => Value::Boolean(if step == 2 { *flag } else { !*flag }),
                Value::Integer(number) => Value::Integer(match key {
                    // These must stay on their side of another key.
                    _ if key.ends_with("rate_limit_per_s") || key == "supervisor.hang_warn_ms" => {
                        number - step
                    }
                    _ => number + step,
                }),
                other => panic!("{key} has no other value for {other}"),
            };
        }
    };
    Value::from(choices[(step - 1) as usize])
}

fn as_text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn without_any_source_all_values_are_defaults() {
    let loaded = load(&Flags::new(), &Env::new(), None).expect("the defaults are valid");
    assert_eq!(loaded.config, Config::default());
    assert!(
        loaded
            .origins
            .values()
            .all(|origin| *origin == Origin::Default)
    );
    let settings = loaded.settings();
    assert_eq!(settings.len(), schema::defaults().len());
    assert_eq!(
        settings[0].key, "node.data_dir",
        "in the order of the manual"
    );
}

#[test]
fn the_manual_is_the_defaults_and_explains_every_key() {
    let manual: Config = toml::from_str(DEFAULT_TOML).expect("the manual is a valid file");
    assert_eq!(manual, Config::default());
    let (_dir, path) = file(DEFAULT_TOML);
    let loaded = load(&Flags::new(), &Env::new(), Some(&path)).expect("valid");
    for (key, origin) in &loaded.origins {
        assert!(
            matches!(origin, Origin::File { .. }),
            "{key} is missing in the manual"
        );
    }
    // Above each key, or above the group of lines that it belongs to, stands a comment.
    let mut explained = false;
    for line in DEFAULT_TOML.lines() {
        match line.trim() {
            "" => explained = false,
            comment if comment.starts_with('#') => explained = true,
            section if section.starts_with('[') => {}
            key => assert!(explained, "no comment above `{key}`"),
        }
    }
}

#[test]
fn each_layer_overrides_the_next_for_every_key() {
    for (key, default) in schema::defaults() {
        let [in_file, in_env, in_flag] = [1, 2, 3].map(|step| other_value(&key, &default, step));
        let (section, name) = key.split_once('.').expect("section.name");
        let (_dir, path) = file(&format!("# comment\n[{section}]\n{name} = {in_file}\n"));
        let env_var = env_name(&key);
        let env = env(&[(&env_var, &as_text(&in_env))]);
        let flags = flags(&[(&key, &as_text(&in_flag))]);

        let check = |loaded: Result<Loaded, ConfigErrors>, value: &Value, origin: Origin| {
            let loaded = loaded.unwrap_or_else(|errors| panic!("{key}: {errors}"));
            assert_eq!(value_of(&loaded, &key), *value, "{key}");
            assert_eq!(loaded.origins[&key], origin, "{key}");
            let others = loaded.origins.iter().filter(|(other, _)| **other != key);
            assert!(
                others
                    .into_iter()
                    .all(|(_, origin)| *origin == Origin::Default),
                "{key}"
            );
        };
        let none = Env::new();
        check(load(&Flags::new(), &none, None), &default, Origin::Default);
        let line = Origin::File {
            path: path.clone(),
            line: 3,
        };
        check(load(&Flags::new(), &none, Some(&path)), &in_file, line);
        let name = Origin::Env { name: env_var };
        check(load(&Flags::new(), &env, Some(&path)), &in_env, name);
        let flag = Origin::Flag {
            flag: "--set".to_owned(),
        };
        check(load(&flags, &env, Some(&path)), &in_flag, flag);
    }
}

#[test]
fn the_data_directory_has_two_more_names_in_the_environment() {
    let (_dir, path) = file("[node]\ndata_dir = \"/from/file\"\n");
    let data_dir = |env: &Env, file: Option<&Path>| {
        load(&Flags::new(), env, file)
            .expect("valid")
            .config
            .node
            .data_dir
            .display()
            .to_string()
    };
    let systemd = env(&[("STATE_DIRECTORY", "/var/lib/adnet:/var/lib/other")]);
    assert_eq!(data_dir(&systemd, None), "/var/lib/adnet");
    assert_eq!(data_dir(&systemd, Some(&path)), "/from/file");
    let short = env(&[
        ("ADNET_DATA_DIR", "/short"),
        ("STATE_DIRECTORY", "/var/lib/adnet"),
    ]);
    assert_eq!(data_dir(&short, Some(&path)), "/short");
    let both = env(&[
        ("ADNET_DATA_DIR", "/short"),
        ("ADNET_NODE_DATA_DIR", "/long"),
    ]);
    assert_eq!(data_dir(&both, None), "/long");
}

#[test]
fn all_mistakes_of_a_file_are_reported_at_once_with_key_value_and_line() {
    let found = mistakes(
        "mode = \"dual\"\n\
         [alpha]\n\
         api_listn = \"127.0.0.1:1\"\n\
         api_listen = \"127.0.0.1:99999\"\n\
         mempool_max_txs = \"many\"\n\
         mempool_ttl_s = -5\n\
         api_max_body_bytes = 1.5\n\
         [delta]\n\
         api_max_header_bytes = 1\n\
         [node]\n\
         mode = \"both\"\n\
         [stoer]\n\
         cache_bytes = 1\n\
         [metrik]\n",
    );
    let expected = [
        "adnet.toml:1: mode = \"dual\": unknown key, did you mean `node.mode`?",
        "adnet.toml:3: alpha.api_listn = \"127.0.0.1:1\": unknown key, did you mean `alpha.api_listen`?",
        "adnet.toml:4: alpha.api_listen = \"127.0.0.1:99999\": expected ADDRESS:PORT with a port up to 65535",
        "adnet.toml:5: alpha.mempool_max_txs = \"many\": expected a whole number, found a text",
        "adnet.toml:6: alpha.mempool_ttl_s = -5: expected 0 or more",
        "adnet.toml:7: alpha.api_max_body_bytes = 1.5: expected a whole number, found a number with",
        "adnet.toml:11: node.mode = \"both\": unknown variant `both`, expected one of `dual`, `alpha-only`",
        "adnet.toml:13: stoer.cache_bytes = 1: unknown key, did you mean `store.cache_bytes`?",
        "adnet.toml:14: metrik = \"\": unknown key, did you mean `metrics`?",
        "adnet.toml:9: delta.api_max_header_bytes = 1: expected 8192 to 1048576",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            found.starts_with(expected),
            "found    {found}\nexpected {expected}"
        );
    }
}

#[test]
fn mistakes_of_all_layers_come_together() {
    let (_dir, path) = file("[log]\nlevel = \"loud\"\n");
    let env = env(&[
        ("ADNET_APLHA_API_LISTEN", "x"),
        ("ADNET_STORE_CACHE_BYTES", "much"),
        ("PATH", "/bin"),
    ]);
    let flags = flags(&[("supervisor.require_sandbox", "maybe"), ("nonsense", "1")]);
    let errors = load(&flags, &env, Some(&path))
        .expect_err("five mistakes")
        .0;
    let summary: Vec<_> = errors
        .iter()
        .map(|error| (error.key.as_str(), error.origin.to_string()))
        .collect();
    let in_file = format!("{}:2", path.display());
    let expected = [
        ("log.level", in_file.as_str()),
        (
            "ADNET_APLHA_API_LISTEN",
            "environment ADNET_APLHA_API_LISTEN",
        ),
        ("store.cache_bytes", "environment ADNET_STORE_CACHE_BYTES"),
        ("nonsense", "flag --set"),
        ("supervisor.require_sandbox", "flag --set"),
    ];
    assert_eq!(
        summary,
        expected.map(|(key, origin)| (key, origin.to_owned()))
    );
    assert!(
        errors[1]
            .problem
            .contains("did you mean `ADNET_ALPHA_API_LISTEN`?"),
        "{}",
        errors[1]
    );
    assert!(
        ConfigErrors(errors)
            .to_string()
            .starts_with("5 mistakes in the configuration:\n")
    );
}

#[test]
fn other_names_in_the_environment_are_left_alone() {
    let env = env(&[
        ("ADNET_CONFIG", "x"),
        ("ADNET_TEST_SEED", "1"),
        ("ADNET_BENCH_SECONDS", "1"),
        ("ADNET_WALLET", "./wallet"),
        ("ADNET_WALLET_PASSPHRASE_FILE", "passphrase"),
        ("XADNET_", "1"),
    ]);
    load(&Flags::new(), &env, None).expect("none of them is a setting");
}

#[test]
fn port_clashes_are_found_between_the_listeners_that_the_mode_starts() {
    let clash =
        "[alpha]\napi_listen = \"127.0.0.1:7000\"\n[delta]\napi_listen = \"0.0.0.0:7000\"\n";
    let found = mistakes(clash);
    assert_eq!(
        found,
        [
            "adnet.toml:4: delta.api_listen = \"0.0.0.0:7000\": port 7000 is also that of alpha.api_listen"
        ]
    );
    assert_eq!(
        mistakes(&format!("[node]\nmode = \"alpha-only\"\n{clash}")),
        Vec::<String>::new()
    );
    let metrics = "[metrics]\nlisten = \"127.0.0.1:3030\"\n";
    assert_eq!(mistakes(metrics).len(), 1);
    let apart = "[alpha]\napi_listen = \"127.0.0.2:9090\"\n[delta]\napi_listen = \"127.0.0.1:0\"\n";
    assert_eq!(mistakes(apart), Vec::<String>::new());
    let peers = "[alpha]\np2p_listen = \"[::]:4131\"\n";
    assert_eq!(mistakes(peers).len(), 1);
    let discovery = "[network]\ndiscovery_listen = \"127.0.0.1:4130\"\n";
    assert_eq!(mistakes(discovery).len(), 1);
    let without = format!("{discovery}discovery = false\n");
    assert_eq!(mistakes(&without), Vec::<String>::new());
    // What is not run listens nowhere.
    let hidden = format!("{discovery}persistent_peers_only = true\n");
    assert_eq!(mistakes(&hidden), Vec::<String>::new());
    // UDP and TCP ports do not clash.
    let other_protocol = "[alpha]\np2p_listen = \"127.0.0.1:3030\"\n";
    assert_eq!(mistakes(other_protocol), Vec::<String>::new());
}

#[test]
fn each_wrong_peer_of_a_list_is_named() {
    let key = "ab".repeat(32);
    let list = format!("{key}@host:1, x@host:1,{key}@host, {key}@[::1]:4130,{key}@host:0");
    let found = mistakes(&format!("[alpha]\npersistent_peers = \"{list}\"\n"));
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        found[0].ends_with("`x@host:1` is not of the form KEY@HOST:PORT"),
        "{}",
        found[0]
    );
}

#[test]
fn a_trusted_block_is_a_height_and_a_hash() {
    let hash = "ab".repeat(32);
    let good = mistakes(&format!("[alpha]\ntrusted_block = \"12:{hash}\"\n"));
    assert_eq!(good, Vec::<String>::new());
    let (no_hash, genesis) = ("12".to_owned(), format!("0:{hash}"));
    for (wrong, why) in [(no_hash, "HEIGHT:HASH"), (genesis, "needs no trust")] {
        let found = mistakes(&format!("[delta]\ntrusted_block = \"{wrong}\"\n"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("delta.trusted_block"), "{found:?}");
        assert!(found[0].contains(why), "{found:?}");
    }
}

#[test]
fn each_mistake_about_finding_peers_is_named() {
    let found = mistakes(
        "[network]\nboot_nodes = \"enr:-abc, enode:xyz\"\nexternal_ip = \"here\"\nmax_peers = 4\n",
    );
    assert_eq!(found.len(), 3, "{found:#?}");
    let all = found.join("\n");
    assert!(all.contains("`enode:xyz` is no node record"), "{all}");
    assert!(
        all.contains("network.external_ip = \"here\": is no IP address"),
        "{all}"
    );
    assert!(
        all.contains("network.outbound_peers = 8: must not be above"),
        "{all}"
    );
}

#[test]
fn rules_between_keys_name_the_key_to_change() {
    let found = mistakes(
        "[supervisor]\nhang_kill_ms = 100\n[alpha]\napi_rate_burst = 1\nmempool_max_txs = 10\n",
    );
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("adnet.toml:2: supervisor.hang_kill_ms = 100: must be above"));
    assert!(found[1].starts_with("adnet.toml:4: alpha.api_rate_burst = 1: must be at least"));
    assert!(found[2].starts_with("default: alpha.mempool_max_per_sender = 64: must not be above"));
    assert_eq!(mistakes("[node]\ndata_dir = \"\"\n").len(), 1);
}

#[test]
fn files_that_are_no_toml_say_where() {
    let found = mistakes("[alpha]\napi_listen = \n[delta]\nx y\napi_listen = \"127.0.0.1:1\"\n");
    assert_eq!(found.len(), 2, "{found:#?}");
    for (found, line) in found.iter().zip([2, 4]) {
        assert!(
            found.starts_with(&format!("adnet.toml:{line}: is not TOML")),
            "{found}"
        );
    }

    let missing = load(
        &Flags::new(),
        &Env::new(),
        Some(Path::new("/nonexistent/adnet.toml")),
    );
    let error = missing.expect_err("missing").to_string();
    assert!(
        error.contains("/nonexistent/adnet.toml:1: cannot be read"),
        "{error}"
    );

    let (_dir, path) = file("");
    fs::File::options()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_len(1 << 40))
        .expect("sparse");
    let error = load(&Flags::new(), &Env::new(), Some(&path))
        .expect_err("too large")
        .to_string();
    assert!(error.contains("is larger than"), "{error}");
    fs::write(&path, b"\n\xff\n").expect("written");
    let error = load(&Flags::new(), &Env::new(), Some(&path))
        .expect_err("not UTF-8")
        .to_string();
    assert!(error.contains(":2: is not UTF-8"), "{error}");
}

#[test]
fn unwritable_paths_and_too_few_descriptors_are_found_beside_other_mistakes() {
    let (dir, path) = file("[store]\nmax_open_files = 1000000\n[log]\nlevel = \"loud\"\n");
    let below_a_file = path.join("data").display().to_string();
    let flags = flags(&[("node.data_dir", &below_a_file)]);
    let errors = load_for_run(&flags, &Env::new(), Some(&path))
        .expect_err("mistakes")
        .0;
    let keys: Vec<_> = errors.iter().map(|error| error.key.as_str()).collect();
    assert!(
        keys.contains(&"log.level") && keys.contains(&"node.data_dir"),
        "{keys:?}"
    );
    let unwritable = errors
        .iter()
        .find(|error| error.key == "node.data_dir")
        .expect("reported");
    assert!(
        unwritable.problem.ends_with("is not a directory"),
        "{unwritable}"
    );

    let fine = dir.path().join("not/yet/there").display().to_string();
    let flags = BTreeMap::from([(
        "node.data_dir".to_owned(),
        Flag {
            flag: "--data-dir".into(),
            value: fine,
        },
    )]);
    load_for_run(&flags, &Env::new(), None).expect("a directory that can be made is fine");
}
