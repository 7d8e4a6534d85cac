//! Entries of systemd's journal: priority, message, and every field of the event under its own name.
//!
//! The protocol is systemd's "native" one (`systemd.io/JOURNAL_NATIVE_PROTOCOL`): one datagram per
//! entry. The socket is connected before it is handed over, so that a worker in its sandbox, which
//! may name no address, can use it.
//!
//! Invariant: logging never waits. When the journal does not keep up, entries are dropped, and the
//! next one that arrives says how many.

use std::{
    io,
    os::unix::net::UnixDatagram,
    sync::atomic::{AtomicU64, Ordering},
};

use serde_json::Value;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::{LogIdentity, line::Fields};

const ADDRESS: &str = "/run/systemd/journal/socket";
/// Of one value. The kernel takes datagrams of about 200 KiB.
const VALUE_BYTES_MAX: usize = 32 * 1024;
/// Of one entry; what does not fit is left out, and the message comes first.
const ENTRY_BYTES_MAX: usize = 128 * 1024;

/// A datagram socket that the journal reads.
pub(super) fn connect() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(ADDRESS)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Writes events to the journal.
pub(super) struct Journal {
    socket: UnixDatagram,
    identity: LogIdentity,
    /// Entries that could not be sent since the last one that could.
    lost: AtomicU64,
}

impl Journal {
    /// On a connected socket that does not block.
    pub fn new(socket: UnixDatagram, identity: LogIdentity) -> Journal {
        Journal {
            socket,
            identity,
            lost: AtomicU64::new(0),
        }
    }

    fn entry(&self, level: Level, target: &str, fields: Fields) -> Vec<u8> {
        let LogIdentity {
            role,
            incarnation,
            pid,
        } = &self.identity;
        let mut entry = Vec::with_capacity(512);
        put(&mut entry, "MESSAGE", &fields.words(&self.identity));
        put(&mut entry, "PRIORITY", priority(level));
        put(&mut entry, "SYSLOG_IDENTIFIER", &identifier(role));
        put(&mut entry, "ADNET_ROLE", role);
        put(&mut entry, "ADNET_PID", &pid.to_string());
        put(
            &mut entry,
            "ADNET_INCARNATION",
            &incarnation.get().to_string(),
        );
        put(&mut entry, "ADNET_TARGET", target);
        for (name, value) in &fields.others {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            // What an event says of another process does not take the place of whose event it is.
            let prefix = match name.as_str() {
                "role" | "pid" | "incarnation" | "target" => "ADNET_EVENT_",
                _ => "ADNET_",
            };
            put(&mut entry, &(prefix.to_owned() + &upper(name)), &text);
        }
        entry
    }

    fn send(&self, entry: &[u8]) {
        let before = self.lost.swap(0, Ordering::Relaxed);
        if before > 0 && self.socket.send(&self.loss(before)).is_err() {
            self.lost.fetch_add(before, Ordering::Relaxed);
        }
        if self.socket.send(entry).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn loss(&self, lost: u64) -> Vec<u8> {
        let message = format!("{lost} entries before this one are lost: the journal took no more");
        let fields = Fields {
            message,
            ..Fields::default()
        };
        self.entry(Level::WARN, module_path!(), fields)
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let entry = self.entry(*metadata.level(), metadata.target(), Fields::of(event));
        self.send(&entry);
    }
}

/// Whose line it is, at the place where `journalctl` shows it; as the processes are called.
fn identifier(role: &str) -> String {
    match role {
        "supervisor" => "adnet".to_owned(),
        worker => format!("adnet-{worker}"),
    }
}

/// The syslog priority, as `journalctl -p` takes it.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    }
}

/// A field name: A to Z, 0 to 9 and underscores.
fn upper(name: &str) -> String {
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    name.chars().map(allowed).collect()
}

/// Appends a field in the form that carries any bytes: name, line break, length, value.
fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    let value = &value[..value.floor_char_boundary(VALUE_BYTES_MAX)];
    if entry.len() + name.len() + value.len() + 10 > ENTRY_BYTES_MAX {
        return;
    }
    entry.extend_from_slice(name.as_bytes());
    entry.push(b'\n');
    let length = u64::try_from(value.len()).expect("a value is bounded");
    entry.extend_from_slice(&length.to_le_bytes());
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn journal() -> (Journal, UnixDatagram) {
        let (ours, theirs) = UnixDatagram::pair().expect("a pair");
        ours.set_nonblocking(true).expect("set");
        theirs.set_nonblocking(true).expect("set");
        let identity = LogIdentity {
            role: "alpha",
            incarnation: 3.into(),
            pid: 77,
        };
        (Journal::new(ours, identity), theirs)
    }

    /// The fields of the next entry, as the journal reads them.
    fn next(socket: &UnixDatagram) -> BTreeMap<String, String> {
        let mut bytes = vec![0; 256 * 1024];
        let count = socket.recv(&mut bytes).expect("an entry");
        let mut rest = &bytes[..count];
        let mut fields = BTreeMap::new();
        while !rest.is_empty() {
            let name_end = rest.iter().position(|b| *b == b'\n').expect("a name");
            let (name, tail) = rest.split_at(name_end);
            let (length, tail) = tail[1..].split_first_chunk().expect("a length");
            let length = usize::try_from(u64::from_le_bytes(*length)).expect("short");
            let (value, tail) = tail.split_at(length);
            assert_eq!(tail[0], b'\n');
            rest = &tail[1..];
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
            let before = fields.insert(text(name), text(value));
            assert_eq!(before, None, "each name once");
        }
        fields
    }

    #[test]
    fn an_entry_has_priority_message_and_every_field_under_its_name() {
        let (journal, socket) = journal();
        let subscriber = tracing_subscriber::registry().with(journal);
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(target: "adnet_alpha", height = 7u64, pid = 1, why = "two\nlines", "it broke");
            tracing::info!(event = "alpha_runtime_started", "open");
        });
        let fields = next(&socket);
        let message = r#"it broke height=7 pid=1 why="two\nlines""#;
        for (name, value) in [
            ("MESSAGE", message),
            ("PRIORITY", "3"),
            ("SYSLOG_IDENTIFIER", "adnet-alpha"),
            ("ADNET_ROLE", "alpha"),
            ("ADNET_PID", "77"),
            ("ADNET_INCARNATION", "3"),
            ("ADNET_TARGET", "adnet_alpha"),
            ("ADNET_HEIGHT", "7"),
            ("ADNET_EVENT_PID", "1"),
            ("ADNET_WHY", "two\nlines"),
        ] {
            assert_eq!(fields.get(name).map(String::as_str), Some(value), "{name}");
        }
        let fields = next(&socket);
        assert_eq!(fields["ADNET_EVENT"], "alpha_runtime_started");
        assert_eq!(fields["PRIORITY"], "6");
    }

    #[test]
    fn a_journal_that_does_not_read_is_not_waited_for_and_hears_of_the_loss() {
        let (journal, socket) = journal();
        let subscriber = tracing_subscriber::registry().with(journal);
        let written = 5_000;
        tracing::subscriber::with_default(subscriber, || {
            (0..written).for_each(|n| tracing::info!(n, "chatter"));
            let mut read = 0;
            let mut bytes = [0; 4096];
            while socket.recv(&mut bytes).is_ok() {
                read += 1;
            }
            assert!(read < written, "the socket takes any number");
            tracing::info!("after");
            let lost = format!("{} entries before this one are lost", written - read);
            assert!(next(&socket)["MESSAGE"].starts_with(&lost), "{lost}");
            assert_eq!(next(&socket)["MESSAGE"], "after");
        });
    }

    #[test]
    fn a_huge_value_is_cut_and_the_entry_still_fits() {
        let (journal, socket) = journal();
        let subscriber = tracing_subscriber::registry().with(journal);
        let huge = "\u{fc}".repeat(1 << 20);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(a = huge, b = huge, c = huge, d = huge, e = huge, "too much");
        });
        let fields = next(&socket);
        assert_eq!(fields["ADNET_A"].len(), VALUE_BYTES_MAX);
        assert_eq!(fields["PRIORITY"], "4");
    }
}
