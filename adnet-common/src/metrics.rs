//! Metrics of several processes in one page of the Prometheus text format, version 0.0.4.
//!
//! A worker gathers its registry into plain text families and sends them to the supervisor; the
//! supervisor renders the families of all roles together, each family once, with a `role` label on
//! each sample.
//!
//! Invariant: whatever a worker sends, the page stays well-formed. [`MetricFamilyText::check`]
//! accepts only what [`gather_text`] could have made, within bounds.

use prometheus::proto::MetricType;
use prometheus::{Registry, TextEncoder};
use std::collections::{BTreeMap, BTreeSet};

/// Families that one process may report.
pub const FAMILIES_MAX: usize = 512;
/// Samples of one family.
pub const LINES_MAX: usize = 2048;
/// Bytes of a name, a help text or a sample.
pub const LINE_BYTES_MAX: usize = 1024;

/// The type of a family.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MetricKind {
    Counter = 0,
    Gauge = 1,
    Histogram = 2,
}

impl MetricKind {
    pub const fn as_byte(self) -> u8 {
        self as u8
    }

    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(MetricKind::Counter),
            1 => Some(MetricKind::Gauge),
            2 => Some(MetricKind::Histogram),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        }
    }
}

/// A metric family of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricFamilyText {
    pub name: String,
    pub help: String,
    pub kind: MetricKind,
    /// `name{label="value"} number`, without a role and without a timestamp.
    pub lines: Vec<String>,
}

/// What is wrong with a reported family.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricTextError {
    #[error("more than {FAMILIES_MAX} metric families")]
    TooManyFamilies,
    #[error("the metric family has more than {LINES_MAX} samples")]
    TooManyLines,
    #[error("a name, help text or sample is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("the name of a metric family is malformed")]
    Name,
    #[error("sample {0} of the metric family is malformed")]
    Sample(usize),
    #[error("the metric family `{0}` came twice")]
    Twice(String),
}

/// Gathers everything in a registry. Summaries are left out, since nothing here makes any.
pub fn gather_text(registry: &Registry) -> Vec<MetricFamilyText> {
    let text = |family: prometheus::proto::MetricFamily| {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => MetricKind::Counter,
            MetricType::GAUGE => MetricKind::Gauge,
            MetricType::HISTOGRAM => MetricKind::Histogram,
            _ => return None,
        };
        let (name, help) = (family.name().to_owned(), family.help().to_owned());
        let page = TextEncoder::new().encode_to_string(&[family]);
        let page = page.expect("a registry gathers only families that can be encoded");
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let lines = samples.map(str::to_owned).collect();
        Some(MetricFamilyText {
            name,
            help,
            kind,
            lines,
        })
    };
    registry.gather().into_iter().filter_map(text).collect()
}

/// Checks what a process reported, before it is kept.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_report(families: &[MetricFamilyText]) -> Result<(), MetricTextError> {
    if families.len() > FAMILIES_MAX {
        return Err(MetricTextError::TooManyFamilies);
    }
    let mut names = BTreeSet::new();
    for family in families {
        family.check()?;
        if !names.insert(&family.name) {
            return Err(MetricTextError::Twice(family.name.clone()));
        }
    }
    Ok(())
}

impl MetricFamilyText {
    /// Whether this is within bounds and can be rendered.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), MetricTextError> {
        if self.lines.len() > LINES_MAX {
            return Err(MetricTextError::TooManyLines);
        }
        let mut texts = self.lines.iter().chain([&self.name, &self.help]);
        if texts.any(|text| text.len() > LINE_BYTES_MAX) {
            return Err(MetricTextError::TooLong);
        }
        if !is_name(&self.name, true) {
            return Err(MetricTextError::Name);
        }
        let mut series = BTreeSet::new();
        for (place, line) in self.lines.iter().enumerate() {
            let sample = Sample::parse(line);
            let sample = sample.filter(|sample| self.has(sample.name));
            let sample = sample.ok_or(MetricTextError::Sample(place))?;
            if !series.insert((sample.name, sample.labels)) {
                return Err(MetricTextError::Sample(place));
            }
        }
        Ok(())
    }

    /// Whether samples of this family may have this name.
    fn has(&self, sample: &str) -> bool {
        match sample.strip_prefix(self.name.as_str()) {
            Some("") => self.kind != MetricKind::Histogram,
            Some("_bucket" | "_sum" | "_count") => self.kind == MetricKind::Histogram,
            _ => false,
        }
    }
}

/// A sample, cut apart.
struct Sample<'a> {
    name: &'a str,
    /// What stands between the braces; empty without any.
    labels: &'a str,
    value: &'a str,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let name_end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at(name_end);
        let (labels, value) = match rest.strip_prefix('{') {
            None => ("", rest.strip_prefix(' ')?),
            Some(inside) => {
                let end = labels_end(inside)?;
                (&inside[..end], inside[end..].strip_prefix("} ")?)
            }
        };
        let is_number = matches!(value, "+Inf" | "-Inf" | "NaN")
            || (value
                .bytes()
                .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
                && value.parse::<f64>().is_ok());
        (is_name(name, true) && is_number).then_some(Sample {
            name,
            labels,
            value,
        })
    }
}

/// Where the labels of a sample end, if they are well-formed: `name="value"`, separated by commas.
fn labels_end(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let equals = at + text[at..].find('=')?;
        let name = &text[at..equals];
        if !is_name(name, false) || name == "role" {
            return None;
        }
        at = equals + 1;
        if !text[at..].starts_with('"') {
            return None;
        }
        at += 1;
        let mut escaped = false;
        let close = text[at..].char_indices().find(|(_, c)| {
            let closes = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            closes
        });
        let value = &text[at..at + close?.0];
        if !is_label_value(value) {
            return None;
        }
        at += value.len() + 1;
        match text[at..].chars().next()? {
            ',' => at += 1,
            '}' => return Some(at),
            _ => return None,
        }
    }
}

/// Escapes are `\\`, `\"` and `\n`; a line break stands nowhere else.
fn is_label_value(value: &str) -> bool {
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        let fine = match c {
            '\\' => matches!(chars.next(), Some('\\' | '"' | 'n')),
            c => !c.is_control(),
        };
        if !fine {
            return false;
        }
    }
    true
}

fn is_name(name: &str, colons: bool) -> bool {
    let is_first = |b: u8| b.is_ascii_alphabetic() || b == b'_' || (colons && b == b':');
    let mut bytes = name.bytes();
    bytes.next().is_some_and(is_first) && bytes.all(|b| is_first(b) || b.is_ascii_digit())
}

/// One page for all roles: each family once, its samples by role. Where two roles disagree about
/// the type of a family, the first one named wins and the other's samples are left out. Samples
/// that are malformed are left out.
pub fn render(roles: &[(&str, &[MetricFamilyText])]) -> String {
    struct Merged<'a> {
        first: &'a MetricFamilyText,
        samples: Vec<(&'a str, Sample<'a>)>,
    }
    let mut merged: BTreeMap<&str, Merged> = BTreeMap::new();
    for (role, families) in roles {
        for family in *families {
            let entry = merged.entry(&family.name);
            let entry = entry.or_insert(Merged {
                first: family,
                samples: Vec::new(),
            });
            if entry.first.kind == family.kind {
                let samples = family.lines.iter().filter_map(|line| Sample::parse(line));
                entry.samples.extend(samples.map(|sample| (*role, sample)));
            }
        }
    }
    let mut page = String::new();
    for (name, Merged { first, samples }) in merged {
        let help = first.help.replace('\\', "\\\\").replace('\n', "\\n");
        page.push_str(&format!(
            "# HELP {name} {help}\n# TYPE {name} {}\n",
            first.kind.name()
        ));
        for (
            role,
            Sample {
                name,
                labels,
                value,
            },
        ) in samples
        {
            let comma = if labels.is_empty() { "" } else { "," };
            page.push_str(&format!(
                "{name}{{role=\"{role}\"{comma}{labels}}} {value}\n"
            ));
        }
    }
    page
}

#[cfg(test)]
mod tests;
