//! The server of the control socket.
//!
//! Invariants: the socket belongs to this node alone (a living one is never replaced), and its
//! file goes when the handle is dropped.

use super::{Answer, REQUEST_BYTES_MAX, Request, StatusReport};
use crate::node_state::NodeState;
use crate::service_thread::ServiceThread;
use adnet_common::api::PeerReport;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

const CONNECTIONS_MAX: usize = 16;
/// For the next line of a client, and for taking an answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("a node is running already: {} is in use", .0.display())]
    InUse(PathBuf),
    #[error("{} is in the way: it is not a socket", .0.display())]
    NotASocket(PathBuf),
    #[error("the control socket {} cannot be made: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// The running server.
#[derive(Debug)]
pub struct ControlServer {
    path: PathBuf,
    /// Device and inode of our socket file, so that only ours is removed.
    file: (u64, u64),
    _thread: ServiceThread,
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.file) {
            // A file that stays is replaced by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl ControlServer {
    /// Serves on `path` until the handle is dropped. `peers` says who is linked; `on_stop` is
    /// called, maybe more than once, when a client asks the node to stop. Neither may block.
    ///
    /// # Errors
    /// See [`ControlError`]. A socket that nobody listens on any more is replaced.
    pub fn start(
        path: &Path,
        state: Arc<NodeState>,
        peers: Box<dyn Fn() -> Vec<PeerReport> + Send + Sync>,
        on_stop: Box<dyn Fn() + Send + Sync>,
    ) -> Result<ControlServer, ControlError> {
        let io = |error| ControlError::Io {
            path: path.to_owned(),
            error,
        };
        let listener = bind(path)?;
        let metadata = fs::symlink_metadata(path).map_err(io)?;
        let shared = Arc::new(Shared {
            state,
            peers,
            on_stop,
        });
        let thread = ServiceThread::spawn("control", move || {
            listener.set_nonblocking(true)?;
            let listener = UnixListener::from_std(listener)?;
            Ok(accept(listener, shared))
        });
        let file = (metadata.dev(), metadata.ino());
        Ok(ControlServer {
            path: path.to_owned(),
            file,
            _thread: thread.map_err(io)?,
        })
    }
}

struct Shared {
    state: Arc<NodeState>,
    peers: Box<dyn Fn() -> Vec<PeerReport> + Send + Sync>,
    on_stop: Box<dyn Fn() + Send + Sync>,
}

/// Binds under another name, restricts it, and moves it into place: at no moment can another user
/// connect, and a client finds either a socket that is listened on or none.
fn bind(path: &Path) -> Result<std::os::unix::net::UnixListener, ControlError> {
    let io = |error| ControlError::Io {
        path: path.to_owned(),
        error,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(ControlError::NotASocket(path.to_owned()));
        }
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(ControlError::InUse(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(io(error)),
        },
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(&new).map_err(io)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).map_err(io)?;
    fs::rename(&new, path).map_err(io)?;
    Ok(listener)
}

async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let place = place.expect("nobody closes the semaphore");
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let _place = place;
                    // A client that goes away in the middle needs no answer.
                    let _ = converse(stream, &shared).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a control connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Answers line after line.
async fn converse(stream: UnixStream, shared: &Shared) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut read).take(REQUEST_BYTES_MAX as u64);
        tokio::time::timeout(CLIENT_TIMEOUT, bounded.read_until(b'\n', &mut line)).await??;
        if line.is_empty() {
            return Ok(());
        }
        let is_whole = line.ends_with(b"\n");
        let (answer, stops) = if is_whole || line.len() < REQUEST_BYTES_MAX {
            answer(&line, shared)
        } else {
            (
                Answer::error(format!("a request has at most {REQUEST_BYTES_MAX} bytes")),
                false,
            )
        };
        let mut bytes = serde_json::to_vec(&answer)?;
        bytes.push(b'\n');
        tokio::time::timeout(CLIENT_TIMEOUT, write.write_all(&bytes)).await??;
        if stops {
            // After the answer, because the stop ends this conversation.
            (shared.on_stop)();
        }
        if !is_whole {
            return Ok(());
        }
    }
}

/// The answer, and whether the node is to stop.
fn answer(line: &[u8], shared: &Shared) -> (Answer, bool) {
    match serde_json::from_slice(line) {
        Ok(Request::Status) => (Answer::status(StatusReport::of(&shared.state)), false),
        Ok(Request::Peers) => (Answer::peers((shared.peers)()), false),
        Ok(Request::Stop) => (Answer::done(), true),
        Err(error) => {
            let why = format!(
                "not a request: {error}; known are {{\"cmd\":\"status\"}}, {{\"cmd\":\"peers\"}} and \
                 {{\"cmd\":\"stop\"}}"
            );
            (Answer::error(why), false)
        }
    }
}
