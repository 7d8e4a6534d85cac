//! What a node says of itself: the report on its control socket, and its log.

use std::{
    fs,
    io::{Read, Write},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde_json::Value;

/// What the control socket answers to `status`, if it answers.
pub(super) fn status_at(socket: &Path) -> Option<Value> {
    Some(ask(socket, "status")?["status"].take())
}

/// What the control socket answers to a command, if it answers.
pub(super) fn ask(socket: &Path, command: &str) -> Option<Value> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let request = format!("{{\"cmd\":\"{command}\"}}\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let mut byte = [0; 4096];
    while !answer.ends_with(b"\n") {
        match stream.read(&mut byte).ok()? {
            0 => return None,
            n => answer.extend_from_slice(&byte[..n]),
        }
    }
    serde_json::from_slice(&answer).ok()
}

pub(super) fn listen(report: &Value, chain: &str) -> Option<SocketAddr> {
    let chains = report["chains"].as_array()?;
    let found = chains.iter().find(|report| report["chain"] == chain)?;
    found["api_listen"].as_str()?.parse().ok()
}

pub(super) fn logged(log: &Path, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(log).expect("the node writes its log");
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["event"] == name || event["message"] == name)
        .collect()
}

pub(super) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
