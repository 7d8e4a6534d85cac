//! The keys that exist, read off the typed defaults, and the nearest one to a key that does not.

use std::collections::BTreeMap;

use serde::Serialize;
use toml::{Table, Value};

use super::{DEFAULT_TOML, Loaded, origin::Origin, types::Config};

/// One row of `config show`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// Section and name, as `alpha.api_listen`.
    pub key: String,
    pub value: Value,
    pub origin: Origin,
}

/// The environment variable that sets `key`: `alpha.api_listen` → `ADNET_ALPHA_API_LISTEN`.
pub fn env_name(key: &str) -> String {
    format!("ADNET_{}", key.replace('.', "_").to_uppercase())
}

/// Sections and keys of a configuration as a TOML table.
pub(super) fn table_of(config: &Config) -> Table {
    Table::try_from(config).expect("a struct of plain fields, numbers below 2^63, serialises")
}

/// Every key with its default value.
pub(super) fn defaults() -> BTreeMap<String, Value> {
    leaves(&table_of(&Config::default()))
}

/// The leaves of a table of sections, by `section.name`.
pub(super) fn leaves(table: &Table) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    for (section, keys) in table {
        for (name, value) in keys.as_table().into_iter().flatten() {
            leaves.insert(format!("{section}.{name}"), value.clone());
        }
    }
    leaves
}

/// Every setting, in the order of the manual.
pub(super) fn settings(loaded: &Loaded) -> Vec<Setting> {
    let mut values = leaves(&table_of(&loaded.config));
    let mut section = "";
    let mut settings = Vec::with_capacity(values.len());
    for line in DEFAULT_TOML.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        let name = line.split(' ').next().unwrap_or_default();
        let key = format!("{section}.{name}");
        if let Some(value) = values.remove(&key) {
            let origin = loaded.origins.get(&key).cloned().unwrap_or(Origin::Default);
            settings.push(Setting { key, value, origin });
        }
    }
    settings
}

/// The known name nearest to `wrong`, if one is near enough to be what was meant.
pub(super) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    known
        .map(|name| {
            let name_alone = name.rsplit('.').next().unwrap_or(name);
            let wrong_alone = wrong.rsplit('.').next().unwrap_or(&wrong);
            let whole = edits(&wrong, &name.to_lowercase());
            // The right name in the wrong section is nearer than a far-off name in the right one.
            let alone = edits(wrong_alone, &name_alone.to_lowercase()) + 1;
            (whole.min(alone), name)
        })
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 5)
        .map(|(_, name)| name)
}

/// Levenshtein distance, on inputs cut to 64 bytes so that hostile keys cost nothing.
fn edits(left: &str, right: &str) -> usize {
    let left: Vec<u8> = left.bytes().take(64).collect();
    let right: Vec<u8> = right.bytes().take(64).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let substitution = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substitution.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_find_their_key_and_nonsense_finds_none() {
        let keys = defaults();
        let find = |wrong| nearest(wrong, keys.keys().map(String::as_str));
        assert_eq!(find("alpha.api_listn"), Some("alpha.api_listen"));
        assert_eq!(find("aplha.api_listen"), Some("alpha.api_listen"));
        assert_eq!(find("delta.mempool_ttl"), Some("delta.mempool_ttl_s"));
        assert_eq!(find("mode"), Some("node.mode"));
        assert_eq!(find("log.data_dir"), Some("node.data_dir"));
        assert_eq!(find("colour"), None);
        assert_eq!(find(&"x".repeat(100_000)), None);
    }
}
