//! A line of the log on standard error, for people or as a JSON object.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

use super::LogIdentity;

/// The format of a line.
pub(super) struct Line {
    pub json: bool,
    pub colour: bool,
    pub identity: LogIdentity,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let fields = Fields::of(event);
        let line = if self.json {
            self.json_line(time, event, fields)
        } else {
            self.human_line(&time, event, &fields)
        };
        writeln!(writer, "{line}")
    }
}

impl Line {
    fn json_line(&self, time: String, event: &Event<'_>, fields: Fields) -> String {
        let LogIdentity {
            role,
            incarnation,
            pid,
        } = &self.identity;
        let mut line = Map::new();
        line.insert("time".to_owned(), time.into());
        line.insert(
            "level".to_owned(),
            event.metadata().level().as_str().to_lowercase().into(),
        );
        line.insert("role".to_owned(), (*role).into());
        line.insert("pid".to_owned(), (*pid).into());
        line.insert("incarnation".to_owned(), incarnation.get().into());
        line.insert("target".to_owned(), event.metadata().target().into());
        line.insert("message".to_owned(), fields.message.into());
        for (name, value) in fields.others {
            // A field of the event cannot take the place of one of these: the supervisor's "worker
            // started" has a `pid` of its own, which becomes `event_pid`.
            match line.get(&name) {
                Some(same) if *same == value => {}
                Some(_) => drop(line.insert(format!("event_{name}"), value)),
                None => drop(line.insert(name, value)),
            }
        }
        Value::Object(line).to_string()
    }

    fn human_line(&self, time: &str, event: &Event<'_>, fields: &Fields) -> String {
        let LogIdentity {
            role,
            incarnation,
            pid,
        } = &self.identity;
        let level = *event.metadata().level();
        let (start, end) = if self.colour {
            (colour_of(level), "\x1b[0m")
        } else {
            ("", "")
        };
        let words = fields.words(&self.identity);
        format!(
            "{time} {start}{level:>5}{end} {role}[{pid}.{}] {words}",
            incarnation.get()
        )
    }
}

/// Control characters in a message could forge lines or recolour a terminal.
fn on_one_line(text: &str) -> String {
    let escape = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(escape).collect()
}

fn colour_of(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        _ => "\x1b[2m",
    }
}

/// The message and the other fields of an event.
#[derive(Default)]
pub(super) struct Fields {
    pub message: String,
    pub others: Map<String, Value>,
}

impl Fields {
    /// Those of an event.
    pub fn of(event: &Event<'_>) -> Fields {
        let mut fields = Fields::default();
        event.record(&mut fields);
        fields
    }

    /// The message and the other fields for people, without those that only repeat whose it is.
    pub fn words(&self, identity: &LogIdentity) -> String {
        let mut words = on_one_line(&self.message);
        for (name, value) in &self.others {
            let repeated = match name.as_str() {
                "pid" => value.as_u64() == Some(u64::from(identity.pid)),
                "incarnation" => value.as_u64() == Some(identity.incarnation.get()),
                "role" => value == identity.role,
                _ => false,
            };
            if repeated {
                continue;
            }
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            let plain = !text.is_empty() && !text.contains([' ', '"', '=', '\n', '\x1b']);
            // Writing to a String cannot fail.
            let _ = if plain {
                write!(words, " {name}={text}")
            } else {
                write!(words, " {name}={text:?}")
            };
        }
        words
    }

    fn put(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            _ => self.put(field, text.into()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            _ => self.put(field, value.into()),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use adnet_common::config::LogLevel;
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::filter;
    use super::*;

    /// What `emit` logs, as written to standard error.
    fn logged(json: bool, emit: impl FnOnce()) -> String {
        let written = Arc::new(Mutex::new(Vec::new()));
        let writer = Sink(written.clone());
        let identity = LogIdentity {
            role: "alpha",
            incarnation: 3.into(),
            pid: 77,
        };
        let layer = tracing_subscriber::fmt::layer()
            .event_format(Line {
                json,
                colour: false,
                identity,
            })
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry()
            .with(filter(LogLevel::Info))
            .with(layer);
        tracing::subscriber::with_default(subscriber, emit);
        String::from_utf8(written.lock().expect("not poisoned").clone()).expect("UTF-8")
    }

    #[derive(Clone)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .expect("not poisoned")
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn json_lines_carry_the_identity_and_typed_fields() {
        let line = logged(true, || {
            tracing::info!(target: "adnet_alpha", height = 7u64, pid = 1, peer = "a b", "alpha_runtime_started");
        });
        let line: Value = serde_json::from_str(&line).expect("one JSON object");
        assert_eq!(line["role"], "alpha");
        assert_eq!(
            (line["pid"].as_u64(), line["incarnation"].as_u64()),
            (Some(77), Some(3))
        );
        assert_eq!(
            (line["height"].as_u64(), line["peer"].as_str()),
            (Some(7), Some("a b"))
        );
        assert_eq!(line["event_pid"], 1, "a field of the event is not lost");
        assert_eq!(line["message"], "alpha_runtime_started");
        assert_eq!(line["level"], "info");
    }

    #[test]
    fn human_lines_are_single_lines_whatever_they_hold() {
        let text = logged(false, || {
            tracing::warn!(target: "adnet_delta", name = "x\ny", "two\nlines \x1b[31m");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("WARN alpha[77.3] two\\nlines"), "{text}");
        assert!(text.contains(r#"name="x\ny""#), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
    }

    #[test]
    fn own_events_pass_from_the_level_on_and_those_of_libraries_from_warn_on() {
        let text = logged(false, || {
            tracing::debug!(target: "adnet_common", "own debug");
            tracing::info!(target: "adnet_common", "own info");
            tracing::info!(target: "hyper", "library info");
            tracing::warn!(target: "hyper", "library warn");
        });
        assert!(
            text.contains("own info") && text.contains("library warn"),
            "{text}"
        );
        assert!(
            !text.contains("own debug") && !text.contains("library info"),
            "{text}"
        );
    }
}
