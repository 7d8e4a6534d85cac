//! `adnet testnet`, as a newcomer uses it.

use std::{
    net::{TcpListener, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use adnet_tests::harness::{PATIENCE, Process, binary, eventually};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// Nodes of the network, and the ports that they take from the first on.
const NODES: u16 = 2;
const PORTS: u16 = 10 * NODES;

fn adnet(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(binary()).args(arguments).output();
    let output = output.expect("the binary runs");
    (
        output.status.success(),
        String::from_utf8(output.stdout).expect("UTF-8"),
    )
}

/// A first port with room behind it, below those that the system gives to clients.
fn free_ports() -> u16 {
    let is_free = |port: u16| {
        TcpListener::bind(("127.0.0.1", port)).is_ok()
            && UdpSocket::bind(("127.0.0.1", port)).is_ok()
    };
    let from = 12_000 + (std::process::id() % 800) as u16 * 20;
    (0..100u16)
        .map(|i| from + i * PORTS)
        .find(|base| (0..PORTS).all(|i| is_free(base + i)))
        .expect("room for the ports of two nodes")
}

/// The child, ended with everything below it when a check fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn peers(node: &Path) -> Option<Vec<Value>> {
    let (is_there, text) = adnet(&["peers", "--json", "--data-dir", node.to_str()?]);
    is_there.then(|| serde_json::from_str(&text).expect("JSON"))
}

#[test]
fn a_newcomer_makes_and_runs_a_network_with_two_commands() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path().join("net");
    let name = dir.to_str().expect("UTF-8");
    let (validators, base) = (NODES.to_string(), free_ports().to_string());
    let make = [
        "testnet",
        "--validators",
        &validators,
        "--dir",
        name,
        "--base-port",
        &base,
        "--alpha-block-interval",
        "500",
        "--delta-block-interval",
        "250",
    ];
    let (made, said) = adnet(&make);
    assert!(made && said.starts_with("made: 2 nodes"), "{said}");
    let (kept, said) = adnet(&make);
    assert!(kept && said.starts_with("kept: 2 nodes"), "{said}");

    let child = Command::new(binary())
        .args(["testnet", "run", "--dir", name])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut running = Running(child.expect("the binary runs"));
    for node in ["node-0", "node-1"] {
        let node = dir.join(node);
        let linked = eventually("both chains are linked", || {
            peers(&node).filter(|peers| peers.len() == 2)
        });
        let heights = eventually("both chains make blocks", || {
            let (_, text) = adnet(&["status", "--json", "--data-dir", node.to_str()?]);
            let status: Value = serde_json::from_str(&text).ok()?;
            let chains = status["chains"].as_array()?.clone();
            let height = |chain: &Value| chain["height"].as_u64().filter(|height| *height > 1);
            chains.iter().map(height).collect::<Option<Vec<_>>>()
        });
        assert_eq!(heights.len(), 2);
        for peer in linked {
            assert_eq!(peer["role"], "validator", "{peer}");
            assert!(
                peer["round_trip_us"].as_u64().is_some_and(|us| us > 0),
                "{peer}"
            );
        }
    }

    let pid = running.0.id();
    let nodes = Process::of(pid).expect("it runs").children();
    assert_eq!(nodes.len(), usize::from(NODES));
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGINT).expect("it runs");
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = running.0.try_wait().expect("our child") {
            break status;
        }
        assert!(Instant::now() < deadline, "it ends");
        thread::sleep(Duration::from_millis(10));
    };
    assert!(status.success(), "{status}");
    assert!(nodes.iter().all(|node| !node.is_alive()), "no node is left");
}
