//! The configuration file that a new node gets: the manual, with what differs from it filled in.

use adnet_common::config::DEFAULT_TOML;

/// The manual with every value commented out but those of `set`: keys as `section.key`, values as
/// TOML. So what a person sets in it stands out.
pub fn manual_with(set: &[(&str, String)]) -> String {
    let mut section = "";
    let mut text = String::with_capacity(DEFAULT_TOML.len());
    for line in DEFAULT_TOML.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        let is_value = !line.is_empty() && !line.starts_with(['#', '[']);
        if !is_value {
            text.push_str(line);
        } else {
            let key = line.split('=').next().unwrap_or_default().trim();
            let is_it = |name: &str| name.split_once('.') == Some((section, key));
            match set.iter().find(|(name, _)| is_it(name)) {
                Some((_, value)) => text.push_str(&format!("{key} = {value}")),
                None => text.push_str(&format!("# {line}")),
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_set_has_a_value() {
        let plain: toml::Table = manual_with(&[]).parse().expect("TOML");
        let is_empty = |value: &toml::Value| value.as_table().is_some_and(toml::Table::is_empty);
        assert!(plain.values().all(is_empty), "{plain:?}");
        let set = [("delta.api_listen", "\"127.0.0.1:1\"".to_owned())];
        let text = manual_with(&set);
        let table: toml::Table = text.parse().expect("TOML");
        assert_eq!(table["delta"]["api_listen"].as_str(), Some("127.0.0.1:1"));
        assert!(is_empty(&table["alpha"]), "the other section keeps its own");
        assert_eq!(text.lines().count(), DEFAULT_TOML.lines().count());
    }
}
