//! The merge of the layers: which value wins, and which values are no values at all.
//!
//! Every layer is read completely and judged key by key, so that one run finds all mistakes. A
//! value that is wrong does not hide the one below it: the result is a usable configuration even
//! beside errors, which lets later checks add theirs.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use toml::{Table, Value};

use super::{
    Loaded,
    error::ConfigError,
    origin::Origin,
    schema::{self, env_name, nearest},
    toml_file,
    types::Config,
};

/// A value that the command line gave for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// How it was typed, for messages: `--mode` or `--set`.
    pub flag: String,
    pub value: String,
}

/// Sets the data directory, shorter than `ADNET_NODE_DATA_DIR`, which wins over it.
const DATA_DIR_ENV: &str = "ADNET_DATA_DIR";

/// Set by systemd for units with `StateDirectory=`; takes the place of the built-in default.
const STATE_DIRECTORY_ENV: &str = "STATE_DIRECTORY";

/// Names in the environment that begin with `ADNET_` and are no settings: the path of the
/// configuration file, the commit that a build is told, the wallet's directory and passphrase file,
/// and what tests and benchmarks are told.
fn is_no_setting(name: &str) -> bool {
    matches!(name, "ADNET_CONFIG" | "ADNET_COMMIT" | "ADNET_WALLET")
        || name.starts_with("ADNET_WALLET_")
        || name.starts_with("ADNET_TEST_")
        || name.starts_with("ADNET_BENCH_")
}

/// Merges all layers into a configuration, and collects what was wrong on the way.
pub(super) fn merge(
    flags: &BTreeMap<String, Flag>,
    env: &BTreeMap<String, String>,
    file: Option<&Path>,
) -> (Loaded, Vec<ConfigError>) {
    let mut merged = Merge::new();
    if let Some(first) = env
        .get(STATE_DIRECTORY_ENV)
        .and_then(|list| list.split(':').next())
        && !first.is_empty()
    {
        let origin = Origin::Env {
            name: STATE_DIRECTORY_ENV.to_owned(),
        };
        merged.set("node.data_dir", Value::from(first), origin);
    }
    if let Some(path) = file {
        let (entries, errors) = toml_file::read(path);
        merged.errors.extend(errors);
        for entry in entries {
            let origin = Origin::File {
                path: path.to_path_buf(),
                line: entry.line,
            };
            merged.set(&entry.key, entry.value, origin);
        }
    }
    merged.set_from_env(env);
    for (key, Flag { flag, value }) in flags {
        merged.set_text(key, value, Origin::Flag { flag: flag.clone() });
    }
    merged.finish()
}

struct Merge {
    table: Table,
    defaults: BTreeMap<String, Value>,
    origins: BTreeMap<String, Origin>,
    errors: Vec<ConfigError>,
}

impl Merge {
    fn new() -> Self {
        let defaults = schema::defaults();
        Merge {
            table: schema::table_of(&Config::default()),
            origins: defaults
                .keys()
                .map(|key| (key.clone(), Origin::Default))
                .collect(),
            defaults,
            errors: Vec::new(),
        }
    }

    fn set_from_env(&mut self, env: &BTreeMap<String, String>) {
        if let Some(value) = env.get(DATA_DIR_ENV) {
            self.set_text(
                "node.data_dir",
                value,
                Origin::Env {
                    name: DATA_DIR_ENV.to_owned(),
                },
            );
        }
        let keys: BTreeMap<String, String> = self
            .defaults
            .keys()
            .map(|key| (env_name(key), key.clone()))
            .collect();
        for (name, value) in env.iter().filter(|(name, _)| name.starts_with("ADNET_")) {
            let origin = Origin::Env { name: name.clone() };
            if let Some(key) = keys.get(name) {
                self.set_text(key, value, origin);
            } else if name != DATA_DIR_ENV && !is_no_setting(name) {
                let problem = unknown(name, keys.keys().map(String::as_str));
                self.errors
                    .push(ConfigError::new(name, Some(value.clone()), origin, problem));
            }
        }
    }

    /// Sets a key from a text, which the type of the key's default tells how to read.
    fn set_text(&mut self, key: &str, text: &str, origin: Origin) {
        let value = match self.defaults.get(key) {
            Some(Value::Integer(_)) => text.replace('_', "").parse().ok().map(Value::Integer),
            Some(Value::Boolean(_)) => text.parse().ok().map(Value::Boolean),
            _ => None,
        };
        self.set(key, value.unwrap_or_else(|| Value::from(text)), origin);
    }

    /// Sets a key if it exists and the value is one that its type accepts.
    fn set(&mut self, key: &str, value: Value, origin: Origin) {
        let problem = match self.defaults.get(key) {
            None => match self.unknown_key(key) {
                Some(problem) => problem,
                None => return,
            },
            Some(default) => match accept(&self.table, key, &value, default) {
                Ok(table) => {
                    self.table = table;
                    self.origins.insert(key.to_owned(), origin);
                    return;
                }
                Err(problem) => problem,
            },
        };
        let key = key.trim_end_matches('.');
        self.errors.push(ConfigError::new(
            key,
            Some(value.to_string()),
            origin,
            problem,
        ));
    }

    /// What to say about a key that does not exist; `None` for an empty section that does.
    fn unknown_key(&self, key: &str) -> Option<String> {
        let sections = || self.table.keys().map(String::as_str);
        match key.split_once('.') {
            Some((section, "")) if sections().any(|known| known == section) => None,
            Some((section, "")) => Some(unknown(section, sections())),
            _ => Some(unknown(key, self.defaults.keys().map(String::as_str))),
        }
    }

    fn finish(self) -> (Loaded, Vec<ConfigError>) {
        let config =
            Config::deserialize(self.table).expect("each value was accepted before it was set");
        (
            Loaded {
                config,
                origins: self.origins,
            },
            self.errors,
        )
    }
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(near) => format!("unknown key, did you mean `{near}`?"),
        None => "unknown key; `adnet config show` lists all keys".to_owned(),
    }
}

/// The table with `value` at `key`, if the typed configuration can be made from it.
fn accept(table: &Table, key: &str, value: &Value, default: &Value) -> Result<Table, String> {
    if !value.same_type(default) {
        let expected = match default {
            Value::Integer(_) => "a whole number",
            Value::Boolean(_) => "true or false",
            _ => "a text in quotes",
        };
        return Err(format!("expected {expected}, found {}", kind_of(value)));
    }
    let mut changed = table.clone();
    let (section, name) = key.split_once('.').expect("every known key has a section");
    *changed
        .get_mut(section)
        .and_then(Value::as_table_mut)
        .and_then(|section| section.get_mut(name))
        .expect("a known key is in the table") = value.clone();
    match Config::deserialize(changed.clone()) {
        Ok(_) => Ok(changed),
        Err(_) if name.ends_with("listen") => Err(
            "expected ADDRESS:PORT with a port up to 65535, such as 127.0.0.1:3030 or [::1]:3030"
                .to_owned(),
        ),
        Err(_) if value.as_integer().is_some_and(i64::is_negative) => {
            Err("expected 0 or more".to_owned())
        }
        Err(error) => Err(error.message().to_owned()),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a decimal point",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}
