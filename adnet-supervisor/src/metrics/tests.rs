use super::*;
use crate::node_state::{ChainPlan, NodeIdentity, NodeState, StandbyState};
use adnet_common::hash::Hash;
use adnet_common::metrics::MetricKind;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

fn state() -> Arc<NodeState> {
    let identity = NodeIdentity {
        version: "1.2.3".into(),
        network_name: "test".into(),
        network_id: 7,
        genesis: Hash::ZERO,
        data_dir: "data".into(),
    };
    let plan = |chain| ChainPlan {
        chain,
        block_interval: Duration::from_secs(3),
        api_listen: None,
    };
    Arc::new(NodeState::new(identity, &ChainId::ALL.map(plan)))
}

/// Status code and body.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("not zero");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .expect("a status line");
    (status, body.to_owned())
}

fn gauge(value: u64) -> Vec<MetricFamilyText> {
    let lines = vec![format!("adnet_mempool_transactions {value}")];
    let (name, help) = (
        "adnet_mempool_transactions".to_owned(),
        "Waiting.".to_owned(),
    );
    vec![MetricFamilyText {
        name,
        help,
        kind: MetricKind::Gauge,
        lines,
    }]
}

#[test]
fn a_workers_figures_outlive_it() {
    let workers = WorkerMetrics::default();
    let registry = Registry::new();
    registry
        .register(Box::new(workers.refused.clone()))
        .expect("new");
    workers.set(ChainId::Alpha, gauge(5));
    workers.set(ChainId::Delta, gauge(6));
    assert!(
        workers
            .page(&registry)
            .contains("adnet_mempool_transactions{role=\"alpha\"} 5\n")
    );
    workers.set(ChainId::Alpha, gauge(0));
    let mut forged = gauge(1);
    forged[0].lines.push("adnet_ready 1\n# TYPE".into());
    workers.set(ChainId::Delta, forged);
    let page = workers.page(&registry);
    for line in [
        "adnet_mempool_transactions{role=\"alpha\"} 0",
        "adnet_mempool_transactions{role=\"delta\"} 6",
        "adnet_worker_metrics_refused_total{role=\"supervisor\",chain=\"delta\"} 1",
    ] {
        assert!(
            page.contains(&format!("{line}\n")),
            "{line} is missing in\n{page}"
        );
    }
}

#[test]
fn the_server_tells_alive_from_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let state = state();
    let workers = Arc::new(WorkerMetrics::default());
    let server = MetricsServer::start(listener, Registry::new(), Arc::clone(&state), workers);
    let server = server.expect("started");

    assert_eq!(get(address, "/health").0, 200);
    let (status, body) = get(address, "/ready");
    assert_eq!(status, 503);
    assert!(body.contains("alpha: the worker is starting"), "{body}");
    for chain in ChainId::ALL {
        state.worker_started(chain, 1, false);
        state.worker_running(chain);
        state.block_committed(chain, 12);
    }
    let (status, body) = get(address, "/ready");
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("\"height\":12"), "{body}");
    let standby = |is_ready| StandbyState {
        pid: None,
        is_ready,
    };
    state.standby(ChainId::Alpha, standby(true));
    let (_, page) = get(address, "/metrics");
    let line = "adnet_standby_ready{role=\"supervisor\",chain=\"alpha\"} 1\n";
    assert!(page.contains(line), "{page}");
    let no_alarm = "adnet_standby_ready{role=\"supervisor\",chain=\"delta\"}";
    assert!(!page.contains(no_alarm), "Delta is to have none: {page}");
    state.standby(ChainId::Alpha, standby(false));
    state.store_failed("the disk is full");
    assert_eq!(get(address, "/ready").0, 503);
    assert_eq!(get(address, "/health").0, 200);
    let (status, page) = get(address, "/metrics");
    assert_eq!(status, 200);
    assert!(
        page.contains("adnet_chain_height{role=\"supervisor\",chain=\"alpha\"} 12\n"),
        "{page}"
    );
    assert!(page.contains(&line.replace("} 1", "} 0")), "{page}");
    assert_eq!(get(address, "/nothing").0, 404);

    // A client that says nothing, and one that speaks nonsense, hold up nobody.
    let _silent = TcpStream::connect(address).expect("listens");
    let mut nonsense = TcpStream::connect(address).expect("listens");
    nonsense.write_all(&[0xff; 64]).expect("sent");
    assert_eq!(get(address, "/health").0, 200);

    server.stop();
    assert!(
        TcpStream::connect(address).is_err(),
        "the listener is closed"
    );
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    let state = state();
    state.block_committed(ChainId::Alpha, 3);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let workers = Arc::new(WorkerMetrics::default());
    workers.set(ChainId::Alpha, gauge(5));
    let server = MetricsServer::start(listener, Registry::new(), state, workers);
    let _server = server.expect("started");
    let (_, page) = get(address, "/metrics");
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        eprintln!("skipped: promtool is not installed");
        return;
    };
    promtool
        .stdin
        .take()
        .expect("piped")
        .write_all(page.as_bytes())
        .expect("read");
    let output = promtool.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}\n{page}");
}
