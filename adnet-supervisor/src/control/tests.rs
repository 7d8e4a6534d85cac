use super::*;
use crate::node_state::{ChainPlan, NodeIdentity, NodeState};
use adnet_common::chain_id::ChainId;
use adnet_common::hash::Hash;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;

fn state() -> Arc<NodeState> {
    let identity = NodeIdentity {
        version: "1.2.3".into(),
        network_name: "test".into(),
        network_id: 7,
        genesis: Hash::ZERO,
        data_dir: "data".into(),
    };
    let plan = ChainPlan {
        chain: ChainId::Delta,
        block_interval: Duration::from_secs(3),
        api_listen: Some(([127, 0, 0, 1], 4030).into()),
    };
    Arc::new(NodeState::new(identity, &[plan]))
}

fn ask(path: &Path, request: &[u8]) -> Answer {
    let mut stream = UnixStream::connect(path).expect("listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("not zero");
    stream.write_all(request).expect("sent");
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .expect("answered");
    serde_json::from_str(&line).expect("an answer")
}

#[test]
fn status_stop_and_nonsense_are_answered() {
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join(SOCKET_NAME);
    let (stop, stopped) = mpsc::channel();
    let state = state();
    state.block_committed(ChainId::Delta, 9);
    let on_stop = move || {
        let _ = stop.send(());
    };
    let server = ControlServer::start(
        &path,
        Arc::clone(&state),
        Box::new(Vec::new),
        Box::new(on_stop),
    )
    .expect("started");
    assert_eq!(
        fs::metadata(&path).expect("exists").permissions().mode() & 0o777,
        0o600
    );

    let answer = ask(&path, b"{\"cmd\":\"status\"}\n");
    let status = answer.status.expect("a status");
    assert!(answer.ok && !status.ready);
    assert_eq!(
        (status.node.network_id, status.chains[0].height),
        (7, Some(9))
    );

    for nonsense in [
        &b"{\"cmd\":\"dance\"}\n"[..],
        b"\xff\n",
        b"[]\n",
        b"{\"cmd\":1}\n",
    ] {
        let answer = ask(&path, nonsense);
        assert!(!answer.ok && answer.error.expect("a reason").contains("not a request"));
    }
    let answer = ask(&path, &[b'x'; REQUEST_BYTES_MAX]);
    assert!(
        answer
            .error
            .expect("a reason")
            .contains("at most 4096 bytes")
    );
    assert!(stopped.try_recv().is_err(), "nothing of that stops a node");

    assert!(ask(&path, b"{\"cmd\":\"stop\"}\n").ok);
    stopped
        .recv_timeout(Duration::from_secs(10))
        .expect("the callback is called");
    drop(server);
    assert!(!path.exists());
}

#[test]
fn one_connection_asks_many_times() {
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join(SOCKET_NAME);
    let _server =
        ControlServer::start(&path, state(), Box::new(Vec::new), Box::new(|| ())).expect("started");
    let mut stream = UnixStream::connect(&path).expect("listens");
    let mut lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
    for _ in 0..3 {
        stream.write_all(b"{\"cmd\":\"status\"}\n").expect("sent");
        assert!(
            lines
                .next()
                .expect("a line")
                .expect("readable")
                .starts_with("{\"ok\":true")
        );
    }
}

#[test]
fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join(SOCKET_NAME);
    drop(UnixListener::bind(&path).expect("bound"));
    let first = ControlServer::start(&path, state(), Box::new(Vec::new), Box::new(|| ()))
        .expect("replaces the dead socket");
    assert!(matches!(
        ControlServer::start(&path, state(), Box::new(Vec::new), Box::new(|| ())),
        Err(ControlError::InUse(_))
    ));
    assert!(ask(&path, b"{\"cmd\":\"status\"}\n").ok);
    drop(first);
    fs::write(&path, "a file").expect("written");
    assert!(matches!(
        ControlServer::start(&path, state(), Box::new(Vec::new), Box::new(|| ())),
        Err(ControlError::NotASocket(_))
    ));
    assert_eq!(fs::read_to_string(&path).expect("still there"), "a file");
}
