//! The node as a service: what it takes from systemd and tells it, without a systemd.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use adnet_tests::harness::{
    Api, NotifySocket, Options, PATIENCE, PassedSocket, Signal, TestNode, binary, command_with,
    eventually,
};

fn sockets() -> [PassedSocket; 2] {
    [
        PassedSocket::new("alpha-api"),
        PassedSocket::new("delta-api"),
    ]
}

fn options(notify: &NotifySocket, watchdog: Duration) -> Options {
    let path = notify.path().to_str().expect("UTF-8").to_owned();
    let watchdog_us = watchdog.as_micros().to_string();
    Options {
        environment: vec![
            ("NOTIFY_SOCKET".to_owned(), path),
            ("WATCHDOG_USEC".to_owned(), watchdog_us),
        ],
        ..Options::default()
    }
}

/// Asks before anybody accepts; the answer is read later.
fn ask(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the socket is open, node or not");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let request = "GET /v1/status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("buffered");
    stream
}

fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

#[test]
fn passed_sockets_are_used_and_refuse_nobody_while_the_node_is_away() {
    let sockets = sockets();
    let addresses = [sockets[0].address(), sockets[1].address()];
    let early = addresses.map(ask);
    let mut node = TestNode::start(Options {
        sockets: Some(sockets),
        ..Options::default()
    });
    assert_eq!([node.alpha().address, node.delta().address], addresses);
    for stream in early {
        assert!(answer(stream).starts_with("HTTP/1.1 200"));
    }
    // A restart in order, and one after a kill: connections wait and are answered.
    node.stop();
    let waiting = addresses.map(ask);
    node.restart();
    for stream in waiting {
        assert!(answer(stream).starts_with("HTTP/1.1 200"));
    }
    node.kill();
    let waiting = addresses.map(ask);
    node.restart();
    for stream in waiting {
        assert!(answer(stream).starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn systemd_hears_readiness_heights_the_watchdog_and_the_stop() {
    const LIMIT: Duration = Duration::from_secs(2);
    let notify = NotifySocket::default();
    let sockets = sockets();
    let apis = [&sockets[0], &sockets[1]].map(|socket| Api::new(socket.address(), Arc::default()));
    let mut node = TestNode::start(Options {
        sockets: Some(sockets),
        ..options(&notify, LIMIT)
    });
    let (before, ready) = notify.until("READY", PATIENCE);
    assert!(
        before.is_empty(),
        "nothing comes before readiness: {before:?}"
    );
    assert_eq!(ready.assignments["READY"], "1");
    assert!(ready.assignments["STATUS"].contains("alpha running at height"));
    for api in apis {
        api.height().expect("at READY=1 both APIs answer");
    }

    // The heights follow every few seconds, and the watchdog never waits as long as its limit.
    let (mut notices, status) = notify.until("STATUS", PATIENCE);
    let words = &status.assignments["STATUS"];
    assert!(
        words.contains("delta running at height") && !words.contains("height 0"),
        "{words}"
    );
    notices.extend((0..3).map(|_| notify.until("WATCHDOG", PATIENCE).1));
    let mut last = ready.at;
    for sign in notices.iter().filter(|notice| notice.says("WATCHDOG")) {
        let pause = sign.at.duration_since(last);
        assert!(pause < LIMIT, "no sign for {pause:?}");
        last = sign.at;
    }
    assert!(
        notices.len() <= 3 + status.at.duration_since(ready.at).as_secs() as usize,
        "about one sign per half of the limit is enough: {notices:?}"
    );

    let status = node.stop();
    assert_eq!(status.code(), Some(0));
    let (_, stopping) = notify.until("STOPPING", PATIENCE);
    let extension_us = &stopping.assignments["EXTEND_TIMEOUT_USEC"];
    assert!(extension_us.parse::<u64>().expect("a number") >= 1_000_000);
    assert!(
        notify.next(Duration::from_millis(1)).is_none(),
        "nothing follows the stop"
    );
}

#[test]
fn a_worker_that_the_supervisor_heals_does_not_starve_the_watchdog() {
    const LIMIT: Duration = Duration::from_secs(4);
    let notify = NotifySocket::default();
    let node = TestNode::start(options(&notify, LIMIT));
    notify.until("READY", PATIENCE);
    let before = node.worker("alpha");
    before.signal(Signal::SIGSTOP);
    let mut last = Instant::now();
    eventually("another worker is at work", || {
        while let Some(notice) = notify.next(Duration::from_millis(1)) {
            assert!(!notice.says("READY"), "the node was ready all the time");
            if notice.says("WATCHDOG") {
                last = notice.at;
            }
        }
        assert!(last.elapsed() < LIMIT, "no sign for the watchdog");
        let chain = node.chain("alpha");
        let healed = chain["worker"] == "running" && chain["pid"] != before.pid;
        healed.then_some(())
    });
    notify.until("WATCHDOG", LIMIT);
}

#[test]
fn the_watchdog_gets_no_sign_while_a_worker_cannot_go_on() {
    const LIMIT: Duration = Duration::from_secs(1);
    let notify = NotifySocket::default();
    let mut options = options(&notify, LIMIT);
    // So the supervisor does not heal it, which is what the watchdog is for.
    let setting = "supervisor.hang_kill_ms=600000";
    options.arguments = vec!["--set".to_owned(), setting.to_owned()];
    let node = TestNode::start(options);
    notify.until("WATCHDOG", PATIENCE);
    let worker = node.worker("delta");
    worker.signal(Signal::SIGSTOP);
    // What was on its way comes first; then there is nothing for longer than systemd would wait.
    eventually("the signs end", || match notify.next(2 * LIMIT) {
        Some(_) => None,
        None => Some(()),
    });
    let told = node.logged("no sign for the watchdog: systemd will end this node");
    let why = told.first().expect("the log says why")["why"].to_string();
    assert!(why.contains("delta: the worker has been silent"), "{why}");
    worker.signal(Signal::SIGCONT);
    notify.until("WATCHDOG", PATIENCE);
}

#[test]
fn a_notification_that_nobody_takes_is_not_the_end() {
    let notify = NotifySocket::default();
    let options = options(&notify, Duration::from_secs(1));
    drop(notify);
    let node = TestNode::start(options);
    let api = node.delta();
    let before = api.height().expect("a height");
    eventually("blocks are made", || {
        api.height().ok().filter(|height| *height > before + 3)
    });
    assert!(
        !node
            .logged("systemd could not be told how the node is")
            .is_empty()
    );
}

/// Runs a node that is expected not to start.
fn refused(mut command: Command, arguments: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    command.arg("run").arg("--data-dir").arg(folder.path());
    for setting in [
        "alpha.api_listen=127.0.0.1:0",
        "delta.api_listen=127.0.0.1:0",
        "metrics.listen=127.0.0.1:0",
        "alpha.p2p_listen=127.0.0.1:0",
        "delta.p2p_listen=127.0.0.1:0",
        "network.discovery_listen=127.0.0.1:0",
    ] {
        command.args(["--set", setting]);
    }
    let output: Output = command
        .args(arguments)
        .stderr(Stdio::piped())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn a_start_that_cannot_be_says_by_its_exit_code_whether_another_may_help() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let (code, said) = refused(Command::new(binary()), &["--alpha-listen", &address]);
    assert_eq!(code, Some(71), "{said}");
    assert!(
        said.contains("alpha.api_listen") && said.contains("in use"),
        "{said}"
    );

    let odd = [PassedSocket::new("alpha-api"), PassedSocket::new("http")];
    let (code, said) = refused(command_with(&binary(), &odd), &[]);
    assert_eq!(code, Some(71), "{said}");
    assert!(
        said.contains("\"http\"") && said.contains("FileDescriptorName"),
        "{said}"
    );

    let (code, said) = refused(Command::new(binary()), &["--set", "log.level=loud"]);
    assert_eq!(code, Some(78), "{said}");
    let (code, said) = refused(Command::new(binary()), &["--no-such-flag"]);
    assert_eq!(code, Some(2), "{said}");
}
