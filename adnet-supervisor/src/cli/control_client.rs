//! Questions to a running node over its control socket.
//!
//! The protocol is one line of JSON each way, as [`crate::control`] defines it. The answer is
//! bounded in size and time, so a hanging node is reported and not waited for.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context, anyhow, bail};

use crate::control::{ANSWER_BYTES_MAX, Answer, Request, StatusReport};
use adnet_common::api::PeerReport;

/// An answer that takes longer comes from a node that hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What the node at this socket is doing.
pub(super) fn status(socket: &Path) -> anyhow::Result<StatusReport> {
    let answer = granted(ask(socket, &Request::Status)?)?;
    answer
        .status
        .context("the answer of the node holds no status")
}

/// Whom the node at this socket is linked to.
pub(super) fn peers(socket: &Path) -> anyhow::Result<Vec<PeerReport>> {
    let answer = granted(ask(socket, &Request::Peers)?)?;
    answer
        .peers
        .context("the answer of the node holds no peers")
}

fn granted(answer: Answer) -> anyhow::Result<Answer> {
    if !answer.ok {
        bail!("the node refused: {}", answer.error.unwrap_or_default());
    }
    Ok(answer)
}

/// One question and its answer.
fn ask(socket: &Path, request: &Request) -> anyhow::Result<Answer> {
    let mut stream = UnixStream::connect(socket).with_context(|| {
        format!(
            "no node answers at {}; is it running, with this data directory?",
            socket.display()
        )
    })?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = Vec::new();
    let mut reader = BufReader::new(stream).take(ANSWER_BYTES_MAX as u64);
    reader
        .read_until(b'\n', &mut answer)
        .map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                anyhow!(
                    "the node did not answer within {} s",
                    ANSWER_TIMEOUT.as_secs()
                )
            }
            _ => error.into(),
        })?;
    if !answer.ends_with(b"\n") {
        bail!("the answer of the node is cut off");
    }
    serde_json::from_slice(&answer).context("the answer of the node is not of this release")
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, thread};

    use super::*;

    /// What the client makes of a server that answers every request with `answer`.
    fn asked(answer: &'static [u8]) -> anyhow::Result<Answer> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let socket = dir.path().join("control.sock");
        let listener = UnixListener::bind(&socket).expect("bound");
        let server = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a client");
            let mut request = String::new();
            let mut reader = BufReader::new(&stream);
            reader.read_line(&mut request).expect("a request");
            (&stream).write_all(answer).expect("answered");
            request
        });
        let answer = ask(&socket, &Request::Status);
        assert_eq!(server.join().expect("no panic"), "{\"cmd\":\"status\"}\n");
        answer
    }

    #[test]
    fn refusals_and_broken_answers_are_told_apart() {
        let refused = asked(b"{\"ok\":false,\"error\":\"no\"}\n").expect("an answer");
        assert_eq!(refused.error.as_deref(), Some("no"));
        assert!(
            asked(b"{\"ok\":fal")
                .expect_err("cut off")
                .to_string()
                .contains("cut off")
        );
        assert!(asked(b"hello\n").is_err());
        let nobody = ask(Path::new("/nonexistent/control.sock"), &Request::Status);
        assert!(
            nobody
                .expect_err("no socket")
                .to_string()
                .contains("is it running")
        );
    }
}
