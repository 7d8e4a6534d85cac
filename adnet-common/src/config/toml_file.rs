//! The TOML file as a flat list of keys with values and line numbers, and the mistakes of its form.

use std::{collections::BTreeMap, fs::File, io::Read, path::Path};

use toml::{
    Value,
    de::{DeTable, DeValue},
};

use super::{CONFIG_FILE_MAX_BYTES, error::ConfigError, origin::Origin};

/// One `key = value` of the file.
pub(super) struct FileEntry {
    /// `section.name`, or the bare name if it stands before any section.
    pub key: String,
    pub value: Value,
    pub line: usize,
}

/// Reads the file. Entries that can be read are returned even if others cannot.
pub(super) fn read(path: &Path) -> (Vec<FileEntry>, Vec<ConfigError>) {
    let in_line = |line| Origin::File {
        path: path.to_path_buf(),
        line,
    };
    let mut bytes = Vec::new();
    let read = File::open(path)
        .and_then(|file| file.take(CONFIG_FILE_MAX_BYTES + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        return (
            Vec::new(),
            vec![ConfigError::new(
                "",
                None,
                in_line(1),
                format!("cannot be read: {error}"),
            )],
        );
    }
    if bytes.len() as u64 > CONFIG_FILE_MAX_BYTES {
        let problem = format!("is larger than {CONFIG_FILE_MAX_BYTES} bytes");
        return (
            Vec::new(),
            vec![ConfigError::new("", None, in_line(1), problem)],
        );
    }
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => {
            let line = line_of(&bytes, error.valid_up_to());
            return (
                Vec::new(),
                vec![ConfigError::new("", None, in_line(line), "is not UTF-8")],
            );
        }
    };
    let (table, parse_errors) = DeTable::parse_recoverable(text);
    let broken_lines: BTreeMap<usize, &str> = parse_errors
        .iter()
        .map(|error| {
            let line = error.span().map_or(1, |span| line_of(&bytes, span.start));
            (line, error.message())
        })
        .collect();
    let errors = broken_lines
        .iter()
        .map(|(line, message)| {
            ConfigError::new("", None, in_line(*line), format!("is not TOML: {message}"))
        })
        .collect();
    let mut entries = Vec::new();
    for (name, value) in table.get_ref() {
        let line = line_of(&bytes, name.span().start);
        match value.get_ref() {
            DeValue::Table(section) if section.is_empty() => {
                // A section without keys sets nothing, but its name must exist all the same.
                entries.push(FileEntry {
                    key: format!("{}.", name.get_ref()),
                    value: Value::from(""),
                    line,
                });
            }
            DeValue::Table(section) => {
                for (key, value) in section {
                    entries.push(FileEntry {
                        key: format!("{}.{}", name.get_ref(), key.get_ref()),
                        value: plain(value.get_ref()),
                        line: line_of(&bytes, key.span().start),
                    });
                }
            }
            value => entries.push(FileEntry {
                key: name.get_ref().to_string(),
                value: plain(value),
                line,
            }),
        }
    }
    // What the parser made up to go on after an error is no value that somebody wrote.
    entries.retain(|entry| !broken_lines.contains_key(&entry.line));
    entries.sort_by_key(|entry| entry.line);
    (entries, errors)
}

/// The line of a byte offset, counted from 1.
fn line_of(text: &[u8], offset: usize) -> usize {
    1 + text[..offset.min(text.len())]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
}

/// The value without its positions. Numbers that do not fit become texts, which no key accepts.
fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(
                |_| Value::String(number.as_str().to_owned()),
                Value::Integer,
            ),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map_or_else(|_| Value::String(number.as_str().to_owned()), Value::Float),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Array(items) => {
            Value::Array(items.iter().map(|item| plain(item.get_ref())).collect())
        }
        DeValue::Table(table) => Value::Table(
            table
                .iter()
                .map(|(key, value)| (key.get_ref().to_string(), plain(value.get_ref())))
                .collect(),
        ),
    }
}
