//! What a supervisor and a standby say to each other over the socket between them: the standby one
//! byte, once it is ready; the supervisor one line, when the standby is to take the place of a worker
//! that died.
//!
//! A standby holds everything that a worker is born with (descriptors, mapped segments, genesis), so
//! the call brings no descriptor, only numbers: plain `read` and `write` do, and the standby is fully
//! confined while it waits.

use adnet_common::worker::WorkerRings;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

const READY: u8 = b'r';
/// The names and epochs of all rings take some two thousand.
const CALL_BYTES_MAX: u64 = 64 << 10;

/// What makes a standby the worker of its chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    pub incarnation: u32,
    /// The ends of the worker, at the epochs of this incarnation.
    pub rings: WorkerRings,
}

/// The supervisor's end.
#[derive(Debug)]
pub struct Caller {
    socket: UnixStream,
}

impl Caller {
    /// A fresh pair: this end, and the one for the standby.
    pub fn pair() -> io::Result<(Caller, OwnedFd)> {
        let (socket, standbys) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        Ok((Caller { socket }, standbys.into()))
    }

    /// Whether the standby has said by now that it is ready; it says so once. Never blocks.
    ///
    /// # Errors
    /// `UnexpectedEof` when it has closed its end, and whatever else is wrong with the socket.
    pub fn hears_ready(&mut self) -> io::Result<bool> {
        let mut byte = [0];
        match self.socket.read(&mut byte) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) if byte == [READY] => Ok(true),
            Ok(_) => Err(io::Error::new(
                ErrorKind::InvalidData,
                "a standby said something else than that it is ready",
            )),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Calls the standby. Never blocks: nothing was sent before, and a call fits into any buffer.
    ///
    /// # Errors
    /// When the standby is gone.
    pub fn call(mut self, call: &Call) -> io::Result<()> {
        let mut line = serde_json::to_vec(call).expect("a call is plain data");
        line.push(b'\n');
        self.socket.write_all(&line)
    }
}

impl AsFd for Caller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Why a standby is not called.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("the supervisor is gone")]
    SupervisorLost,
    #[error("the call cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("the call does not parse: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// In the standby: says that it is ready, and sleeps until it is called.
pub fn wait(socket: OwnedFd) -> Result<Call, CallError> {
    // As a file, so that it takes no more than `read` and `write`.
    let mut socket = File::from(socket);
    socket.write_all(&[READY])?;
    let mut line = Vec::new();
    BufReader::new(socket.take(CALL_BYTES_MAX)).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(CallError::SupervisorLost);
    }
    Ok(serde_json::from_slice(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use adnet_common::worker::RingEnd;
    use std::thread;

    fn call() -> Call {
        let end = |n: u32| RingEnd {
            name: format!("adnet-4194304-network-supervisor-alpha-{n}"),
            ring_id: n,
            epoch: u32::MAX,
        };
        Call {
            incarnation: 7,
            rings: WorkerRings {
                data_up: end(1),
                data_down: end(2),
                query_up: end(3),
                query_down: end(4),
                control_up: end(5),
                control_down: end(6),
                network_up: end(7),
                network_down: end(8),
                attest_out: Some(end(9)),
                attest_in: None,
                heartbeat: end(10),
            },
        }
    }

    #[test]
    fn a_standby_is_heard_and_called() {
        let (mut caller, standbys) = Caller::pair().expect("a pair");
        assert!(!caller.hears_ready().expect("open"));
        let standby = thread::spawn(move || wait(standbys));
        while !caller.hears_ready().expect("open") {
            thread::yield_now();
        }
        caller.call(&call()).expect("it waits");
        let heard = standby.join().expect("no panic").expect("called");
        assert_eq!(heard, call());
    }

    #[test]
    fn either_end_sees_that_the_other_is_gone() {
        let (mut caller, standbys) = Caller::pair().expect("a pair");
        drop(standbys);
        let gone = caller.hears_ready().expect_err("closed");
        assert_eq!(gone.kind(), ErrorKind::UnexpectedEof);
        assert!(caller.call(&call()).is_err());
        let (caller, standbys) = Caller::pair().expect("a pair");
        drop(caller);
        let error = wait(standbys).expect_err("nobody calls");
        assert!(
            matches!(error, CallError::SupervisorLost | CallError::Io(_)),
            "{error}"
        );
    }

    #[test]
    fn a_call_that_breaks_off_or_never_ends_is_refused() {
        for bytes in [b"{\"incarnation\":1".to_vec(), vec![b' '; 1 << 20]] {
            let (mut caller, standbys) = Caller::pair().expect("a pair");
            let standby = thread::spawn(move || wait(standbys));
            caller.socket.set_nonblocking(false).expect("set");
            assert!(caller.hears_ready().expect("it says so first"));
            // It may refuse before it has read everything.
            let _ = (&caller.socket).write_all(&bytes);
            drop(caller);
            let refused = standby.join().expect("no panic");
            assert!(
                matches!(refused, Err(CallError::Malformed(_))),
                "{refused:?}"
            );
        }
    }
}
