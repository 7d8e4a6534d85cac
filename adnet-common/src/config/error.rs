//! A mistake in the configuration: which key, which value, where it was written, what is wrong.

use std::fmt;

use super::origin::Origin;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key as it was written, for example `alpha.api_listen`; empty if a file is unreadable.
    pub key: String,
    /// The value as it was written, shortened; `None` where there is none.
    pub value: Option<String>,
    pub origin: Origin,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// All mistakes that were found, at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl ConfigError {
    pub(super) fn new(
        key: &str,
        value: Option<String>,
        origin: Origin,
        problem: impl Into<String>,
    ) -> Self {
        let value = value.map(|text| match text.char_indices().nth(80) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        });
        ConfigError {
            key: key.to_owned(),
            value,
            origin,
            problem: problem.into(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        match (&*self.key, &self.value) {
            ("", _) => {}
            (key, Some(value)) => write!(f, "{key} = {value}: ")?,
            (key, None) => write!(f, "{key}: ")?,
        }
        f.write_str(&self.problem)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("1 mistake in the configuration:")?,
            count => write!(f, "{count} mistakes in the configuration:")?,
        }
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}
