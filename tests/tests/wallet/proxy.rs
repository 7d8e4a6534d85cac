//! A node seen through somebody who can hold its answers back.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use adnet_tests::harness::TestNode;

/// What is done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Pass,
    /// Answered with so many blocks of a range at most, after so long.
    Slow {
        blocks: u64,
        delay_ms: u64,
    },
    /// Never answered.
    Hold,
    /// Refused with this code, and the node does not hear of it.
    Refuse(&'static str),
    /// Answered with the last bit of these bytes changed, wherever they stand.
    Forge([u8; 32]),
}

/// Passes requests on to a node, one per connection.
pub struct Proxy {
    pub address: SocketAddr,
    /// Paths that were asked for.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// `fate` decides by the path. Its threads end with the test's process.
    pub fn before(node: &TestNode, fate: impl Fn(&str) -> Fate + Send + Sync + 'static) -> Self {
        Self::reading(node, move |path, _| fate(path))
    }

    /// `fate` decides by the path and the body, and may take its time.
    pub fn reading(
        node: &TestNode,
        fate: impl Fn(&str, &[u8]) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let target = node.alpha().address;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (paths, fate) = (Arc::clone(&seen), Arc::new(fate));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (paths, fate) = (Arc::clone(&paths), Arc::clone(&fate));
                thread::spawn(move || pass(client, target, &*fate, &paths));
            }
        });
        Proxy { address, seen }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Paths so far that begin so.
    pub fn seen(&self, begin: &str) -> Vec<String> {
        let seen = self.seen.lock().expect("nobody panics with it");
        let begins = seen.iter().filter(|path| path.starts_with(begin));
        begins.cloned().collect()
    }
}

fn pass(
    client: TcpStream,
    target: SocketAddr,
    fate: &dyn Fn(&str, &[u8]) -> Fate,
    seen: &Mutex<Vec<String>>,
) {
    let mut reader = BufReader::new(&client);
    let Some((method, mut path, length)) = head(&mut reader) else {
        return;
    };
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    seen.lock()
        .expect("nobody panics with it")
        .push(path.clone());
    let fate = fate(&path, &body);
    match fate {
        Fate::Pass | Fate::Forge(_) => {}
        Fate::Hold => {
            // Until the client gives up.
            let _ = reader.read(&mut [0]);
            return;
        }
        Fate::Refuse(code) => {
            let body = format!(
                r#"{{"success":false,"error":{{"code":"{code}","message":"refused on the way"}}}}"#
            );
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 409 Conflict\r\nconnection: close\r\ncontent-type: application/json\r\n\
                 content-length: {length}\r\n\r\n{body}"
            );
            let _ = (&client).write_all(answer.as_bytes());
            return;
        }
        Fate::Slow { blocks, delay_ms } => {
            thread::sleep(Duration::from_millis(delay_ms));
            path = shortened(&path, blocks);
        }
    }
    let Ok(mut node) = TcpStream::connect(target) else {
        return;
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    if node.write_all(request.as_bytes()).is_err() || node.write_all(&body).is_err() {
        return;
    }
    let Fate::Forge(bytes) = fate else {
        let _ = std::io::copy(&mut node, &mut &client);
        return;
    };
    let mut answer = Vec::new();
    if node.read_to_end(&mut answer).is_ok() {
        while let Some(place) = answer.windows(32).position(|part| part == bytes) {
            answer[place] ^= 1;
        }
        let _ = (&client).write_all(&answer);
    }
}

/// Method, path and length of the body.
fn head(reader: &mut impl BufRead) -> Option<(String, String, usize)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut parts = line.split_whitespace().map(str::to_owned);
    let (method, path) = (parts.next()?, parts.next()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            return Some((method, path, length));
        }
        if let Some(text) = line.strip_prefix("content-length:") {
            length = text.trim().parse().ok()?;
        }
    }
}

/// `…?from=F&to=T` with a nearer `to`.
fn shortened(path: &str, blocks: u64) -> String {
    let from = from_of(path).expect("a range has a beginning");
    let (route, _) = path.split_once('?').expect("a range is a query");
    format!("{route}?from={from}&to={}", from + blocks - 1)
}

pub fn from_of(path: &str) -> Option<u64> {
    let (_, query) = path.split_once("from=")?;
    query.split('&').next()?.parse().ok()
}
