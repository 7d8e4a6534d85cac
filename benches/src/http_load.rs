//! A client that measures servers: keep-alive connections, one request at a time on each, as little
//! work of its own as possible, because it shares the machine with what it measures.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

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

/// Asks the same question on so many connections for a while.
///
/// # Panics
/// If the server breaks a connection or refuses.
pub fn load(address: SocketAddr, connections: usize, body: &str, span: Duration) -> Load {
    let began = Instant::now();
    let latencies: Vec<Histogram<u64>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|_| scope.spawn(|| one(address, body, began + span)))
            .collect();
        let done = workers.into_iter().map(|worker| worker.join());
        done.map(|latency| latency.expect("the server answers"))
            .collect()
    });
    let elapsed = began.elapsed();
    let mut all = Histogram::new(3).expect("three digits are supported");
    for latency in latencies {
        all.add(latency).expect("they grow by themselves");
    }
    Load {
        answers_per_s: all.len() as f64 / elapsed.as_secs_f64(),
        latency_us: all,
    }
}

fn one(address: SocketAddr, body: &str, until: Instant) -> Histogram<u64> {
    let mut latency = Histogram::new(3).expect("three digits are supported");
    let mut connection = Connection::open(address).expect("the server listens");
    let request = connection.request(body);
    while Instant::now() < until {
        let began = Instant::now();
        let (status, _) = connection.answer(&request).expect("the server answers");
        assert_eq!(status, 200);
        let us = u64::try_from(began.elapsed().as_micros()).expect("a short time");
        latency.record(us).expect("it grows by itself");
    }
    latency
}
