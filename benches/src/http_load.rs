//! A client that measures servers: keep-alive connections, one request at a time on each, as little
//! work of its own as possible, because it shares the machine with what it measures.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// One connection.
pub struct Connection {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let stream = BufReader::with_capacity(64 << 10, stream);
        Ok(Self { stream, address })
    }

    /// The bytes of a POST of JSON to `/`.
    pub fn request(&self, body: &str) -> Vec<u8> {
        format!(
            "POST / HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .into_bytes()
    }

    /// Sends what [`Connection::request`] made; the status and the body of the answer.
    pub fn answer(&mut self, request: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        self.stream.get_mut().write_all(request)?;
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| bad("no status"))?;
        let mut length = None;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            }
        }
        let mut body = vec![0; length.ok_or_else(|| bad("an answer without a length"))?];
        self.stream.read_exact(&mut body)?;
        Ok((status, body))
    }
}

/// What a server did under load.
pub struct Load {
    pub answers_per_s: f64,
    pub latency_us: Histogram<u64>,
}

impl Load {
    pub fn words(&self) -> String {
        format!(
            "{:.0}/s, p50 {} us, p99 {} us",
            self.answers_per_s,
            self.latency_us.value_at_quantile(0.5),
            self.latency_us.value_at_quantile(0.99)
        )
    }
}

/// Asks the same question on so many connections for a while. One thread asks on all of them: each
/// further one would take its time from the server, with which it shares the machine.
///
/// # Panics
/// If the server breaks a connection or refuses.
pub fn load(address: SocketAddr, connections: usize, body: &str, span: Duration) -> Load {
    let mut latency_us = Histogram::new(3).expect("three digits are supported");
    let mut asking: Vec<Asking> = (0..connections)
        .map(|_| Asking::open(address, body))
        .collect();
    let (began, mut answers) = (Instant::now(), 0u64);
    let until = began + span;
    while Instant::now() < until {
        for (place, is_ready) in ready(&asking).into_iter().enumerate() {
            if is_ready && let Some(took) = asking[place].hear() {
                let us = u64::try_from(took.as_micros()).expect("a short time");
                latency_us.record(us).expect("it grows by itself");
                answers += 1;
                asking[place].ask();
            }
        }
    }
    Load {
        answers_per_s: answers as f64 / began.elapsed().as_secs_f64(),
        latency_us,
    }
}

/// Waits until one of them has something to read; which have.
fn ready(asking: &[Asking]) -> Vec<bool> {
    let fds = asking
        .iter()
        .map(|one| PollFd::new(&one.stream, PollFlags::IN));
    let mut fds: Vec<PollFd<'_>> = fds.collect();
    let patience = Timespec {
        tv_sec: 30,
        tv_nsec: 0,
    };
    let ready = poll(&mut fds, Some(&patience)).expect("sockets can be waited for");
    assert!(ready > 0, "the server does not answer");
    fds.iter().map(|fd| !fd.revents().is_empty()).collect()
}

/// A connection on which an answer is awaited.
struct Asking {
    stream: TcpStream,
    request: Vec<u8>,
    asked: Instant,
    heard: Vec<u8>,
}

impl Asking {
    fn open(address: SocketAddr, body: &str) -> Self {
        let connection = Connection::open(address).expect("the server listens");
        let request = connection.request(body);
        let mut one = Self {
            stream: connection.stream.into_inner(),
            request,
            asked: Instant::now(),
            heard: Vec::with_capacity(64 << 10),
        };
        one.ask();
        one
    }

    fn ask(&mut self) {
        self.asked = Instant::now();
        let sent = self.stream.write_all(&self.request);
        sent.expect("the server reads");
    }

    /// Reads what is there. The time since it was asked, if the answer is whole now.
    fn hear(&mut self) -> Option<Duration> {
        let mut buffer = [0; 16 << 10];
        let read = self.stream.read(&mut buffer).expect("the server answers");
        assert!(read > 0, "the server closed the connection");
        self.heard.extend_from_slice(&buffer[..read]);
        let head_len = 4 + self.heard.windows(4).position(|part| part == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&self.heard[..head_len]).expect("a head is text");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let (_, length) = head
            .split_once("content-length: ")
            .expect("it says how long");
        let length: Option<usize> = length
            .split_once('\r')
            .and_then(|(length, _)| length.parse().ok());
        let whole = head_len + length.unwrap_or_else(|| panic!("no length: {head}"));
        if self.heard.len() < whole {
            return None;
        }
        assert_eq!(self.heard.len(), whole, "more than was asked for");
        self.heard.clear();
        Some(self.asked.elapsed())
    }
}
