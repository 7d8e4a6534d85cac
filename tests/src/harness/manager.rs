//! What systemd is to a service: it passes listening sockets and hears notifications, by the
//! protocols of `sd_listen_fds(3)` and `sd_notify(3)`.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    os::{
        fd::OwnedFd,
        unix::net::{SocketAddr as UnixAddr, UnixDatagram},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// The shell moves what came as standard input and output to where passed sockets begin. It names
/// itself as the one they are for, and then becomes the node.
const PASS: &str = "exec 3<&0 4<&1 0</dev/null 1>/dev/null; export LISTEN_PID=$$; exec \"$@\"";

/// A listening socket that outlives every node it is passed to.
#[derive(Clone, Debug)]
pub struct PassedSocket {
    pub name: String,
    listener: Arc<TcpListener>,
}

impl PassedSocket {
    /// On a port of the system's choice.
    pub fn new(name: &str) -> PassedSocket {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        PassedSocket {
            name: name.to_owned(),
            listener: Arc::new(listener),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("it is bound")
    }

    fn stdio(&self) -> Stdio {
        let duplicate = self.listener.try_clone().expect("a descriptor");
        Stdio::from(OwnedFd::from(duplicate))
    }
}

/// A command that runs `program` with two sockets passed.
pub fn command_with(program: &Path, [first, second]: &[PassedSocket; 2]) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", PASS, "sh"]).arg(program);
    command.stdin(first.stdio()).stdout(second.stdio());
    command.env("LISTEN_FDS", "2");
    command.env("LISTEN_FDNAMES", format!("{}:{}", first.name, second.name));
    command
}

/// One notification, by the names of its assignments, and when it came.
#[derive(Clone, Debug)]
pub struct Notice {
    pub at: Instant,
    pub assignments: BTreeMap<String, String>,
}

impl Notice {
    pub fn says(&self, name: &str) -> bool {
        self.assignments.contains_key(name)
    }
}

/// The receiving end of notifications.
pub struct NotifySocket {
    socket: UnixDatagram,
    path: PathBuf,
    _dir: TempDir,
}

impl Default for NotifySocket {
    fn default() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("notify");
        let address = UnixAddr::from_pathname(&path).expect("a short path");
        let socket = UnixDatagram::bind_addr(&address).expect("a socket");
        NotifySocket {
            socket,
            path,
            _dir: dir,
        }
    }
}

impl NotifySocket {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next notification within `patience`.
    pub fn next(&self, patience: Duration) -> Option<Notice> {
        let mut bytes = [0; 4096];
        let patience = patience.max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(patience)).expect("set");
        let count = match self.socket.recv(&mut bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => panic!("the notification socket fails: {error}"),
        };
        let at = Instant::now();
        let text = std::str::from_utf8(&bytes[..count]).expect("assignments are text");
        let assignments = text.lines().map(|line| {
            let (name, value) = line.split_once('=').expect("an assignment per line");
            (name.to_owned(), value.to_owned())
        });
        Some(Notice {
            at,
            assignments: assignments.collect(),
        })
    }

    /// The next notification that says `name`, and all before it.
    ///
    /// # Panics
    /// When it does not come within `patience`.
    pub fn until(&self, name: &str, patience: Duration) -> (Vec<Notice>, Notice) {
        let deadline = Instant::now() + patience;
        let mut before = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.next(left) {
                Some(notice) if notice.says(name) => return (before, notice),
                Some(notice) => before.push(notice),
                None if left.is_zero() => panic!("no {name} within {patience:?}: {before:?}"),
                None => {}
            }
        }
    }
}
