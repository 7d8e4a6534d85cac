//! Results: text for people, or one JSON object for programs.
//!
//! Amounts in JSON are there twice: in units as a number (`…_units`) and in AX as a decimal text
//! (`…_ax`), so that nobody reads one through a float.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::cli::amount::in_ax;

/// What a command found or did.
pub(super) struct Report {
    pub json: Value,
    pub text: String,
}

impl Report {
    pub fn print(&self, as_json: bool) -> anyhow::Result<ExitCode> {
        let mut out = io::stdout().lock();
        match as_json {
            true => writeln!(out, "{}", serde_json::to_string_pretty(&self.json)?)?,
            false => writeln!(out, "{}", self.text.trim_end())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Fields of a JSON object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("plain fields serialise");
        self.0.insert(name.to_owned(), value);
        self
    }

    /// `NAME_units` and `NAME_ax`.
    pub fn with_amount(self, name: &str, units: u64) -> Self {
        self.with(&format!("{name}_units"), units)
            .with(&format!("{name}_ax"), in_ax(units))
    }
}

impl Serialize for Fields {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl From<Fields> for Value {
    fn from(fields: Fields) -> Value {
        Value::Object(fields.0)
    }
}

/// Milliseconds since the epoch as a date and time in UTC.
pub(super) fn utc(time_ms: u64) -> String {
    let seconds = time_ms / 1_000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// The Gregorian date so many days after 1970-01-01, counted in eras of 400 years that begin in
/// March, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = match month_from_march < 10 {
        true => month_from_march + 3,
        false => month_from_march - 9,
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        for (ms, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_827_696_000, "2000-02-29 12:34:56"),
            (1_709_251_199_999, "2024-02-29 23:59:59"),
            (1_800_000_000_000, "2027-01-15 08:00:00"),
            (4_107_542_400_000, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(utc(ms), text);
        }
        let _ = utc(u64::MAX);
    }

    #[test]
    fn amounts_are_given_twice() {
        let fields: Value = Fields::new().with_amount("fee", 12_345).into();
        assert_eq!(
            fields,
            serde_json::json!({ "fee_units": 12_345, "fee_ax": "1.2345" })
        );
    }
}
