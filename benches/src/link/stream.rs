//! Byte streams of the kernel: a Unix socket, two pipes, and TCP over the loopback device.
//!
//! A batch is collected and written at once, and as much is read as is there.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use super::{Job, Link, Seen, Wait, put_words};

/// Written at the latest when this many bytes have been collected.
const WRITE_BYTES: usize = 256 * 1024;

/// Messages over a reader and a writer of bytes.
pub struct Framed<R, W> {
    reader: R,
    writer: W,
    bytes: usize,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    /// The unread part of `incoming`.
    from: usize,
    to: usize,
}

impl<R: Read, W: Write> Framed<R, W> {
    fn new(reader: R, writer: W, job: &Job) -> Framed<R, W> {
        let bytes = job.words * 8;
        Framed {
            reader,
            writer,
            bytes,
            outgoing: Vec::with_capacity(WRITE_BYTES + bytes),
            incoming: vec![0; WRITE_BYTES.max(2 * bytes)],
            from: 0,
            to: 0,
        }
    }

    fn send(&mut self, seed: u64) {
        let from = self.outgoing.len();
        self.outgoing.resize(from + self.bytes, 0);
        put_words(&mut self.outgoing[from..], seed);
        if self.outgoing.len() >= WRITE_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let mut rest = self.outgoing.as_slice();
        while !rest.is_empty() {
            match self.writer.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
                Err(error) => panic!("write: {error}"),
            }
        }
        self.outgoing.clear();
    }

    fn recv(&mut self) -> Seen {
        while self.to - self.from < self.bytes {
            if self.incoming.len() - self.from < self.bytes {
                self.incoming.copy_within(self.from..self.to, 0);
                self.to -= self.from;
                self.from = 0;
            }
            match self.reader.read(&mut self.incoming[self.to..]) {
                Ok(0) => panic!("the other process is gone"),
                Ok(read) => self.to += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
                Err(error) => panic!("read: {error}"),
            }
        }
        let seen = Seen::in_bytes(&self.incoming[self.from..self.from + self.bytes]);
        self.from += self.bytes;
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        }
        seen
    }
}

macro_rules! framed_link {
    ($link:ident, $name:literal, $start:item, $join:item) => {
        impl Link for $link {
            const NAME: &'static str = $name;

            $start

            $join

            fn send(&mut self, seed: u64) {
                self.0.send(seed);
            }

            fn flush(&mut self) {
                self.0.flush();
            }

            fn recv(&mut self) -> Seen {
                self.0.recv()
            }
        }
    };
}

/// A connected pair of Unix stream sockets.
pub struct UnixSocket(Framed<UnixStream, UnixStream>);

impl UnixSocket {
    fn over(socket: UnixStream, job: &Job) -> UnixSocket {
        socket
            .set_nonblocking(job.wait == Wait::Polling)
            .expect("a socket");
        let writer = socket.try_clone().expect("a socket");
        UnixSocket(Framed::new(socket, writer, job))
    }
}

framed_link!(
    UnixSocket,
    "Unix socket",
    fn start(job: &mut Job, mut peer: Command) -> (UnixSocket, Child) {
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        let child = peer
            .args(job.arguments())
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .expect("this binary");
        (UnixSocket::over(ours, job), child)
    },
    fn join(job: &Job) -> UnixSocket {
        let stdin = rustix::io::dup(std::io::stdin()).expect("given by the parent");
        UnixSocket::over(UnixStream::from(stdin), job)
    }
);

/// Two pipes.
pub struct Pipe(Framed<std::fs::File, std::fs::File>);

impl Pipe {
    fn over(reader: OwnedFd, writer: OwnedFd, job: &Job) -> Pipe {
        for end in [&reader, &writer] {
            // As deep as the other links, if the system allows it.
            let _ = rustix::pipe::fcntl_setpipe_size(end, 1 << 20);
            if job.wait == Wait::Polling {
                let flags = rustix::fs::fcntl_getfl(end).expect("a pipe");
                rustix::fs::fcntl_setfl(end, flags | rustix::fs::OFlags::NONBLOCK).expect("a pipe");
            }
        }
        Pipe(Framed::new(reader.into(), writer.into(), job))
    }
}

framed_link!(
    Pipe,
    "pipe",
    fn start(job: &mut Job, mut peer: Command) -> (Pipe, Child) {
        let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
        let ((their_reader, writer), (reader, their_writer)) = (pipe(), pipe());
        let child = peer
            .args(job.arguments())
            .stdin(Stdio::from(their_reader))
            .stdout(Stdio::from(their_writer))
            .spawn()
            .expect("this binary");
        (Pipe::over(reader, writer, job), child)
    },
    fn join(job: &Job) -> Pipe {
        let reader = rustix::io::dup(std::io::stdin()).expect("given by the parent");
        let writer = rustix::io::dup(std::io::stdout()).expect("given by the parent");
        Pipe::over(reader, writer, job)
    }
);

/// A TCP connection over the loopback device, without Nagle's delay.
pub struct Tcp(Framed<TcpStream, TcpStream>);

impl Tcp {
    fn over(stream: TcpStream, job: &Job) -> Tcp {
        stream.set_nodelay(true).expect("a TCP socket");
        stream
            .set_nonblocking(job.wait == Wait::Polling)
            .expect("a TCP socket");
        let writer = stream.try_clone().expect("a TCP socket");
        Tcp(Framed::new(stream, writer, job))
    }
}

framed_link!(
    Tcp,
    "TCP_NODELAY",
    fn start(job: &mut Job, mut peer: Command) -> (Tcp, Child) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        job.address = listener.local_addr().expect("bound").to_string();
        let child = peer.args(job.arguments()).spawn().expect("this binary");
        let (stream, _) = listener.accept().expect("the child connects");
        (Tcp::over(stream, job), child)
    },
    fn join(job: &Job) -> Tcp {
        Tcp::over(
            TcpStream::connect(&job.address).expect("the parent listens"),
            job,
        )
    }
);
