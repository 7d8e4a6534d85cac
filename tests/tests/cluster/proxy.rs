//! The proxy between nodes does what it is told, and no more.

use adnet_common::chain_id::ChainId;
use adnet_tests::cluster::{Proxy, Wire};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
    let patience = Duration::from_millis(300);
    socket.set_read_timeout(Some(patience)).expect("set");
    socket
}

/// How many of 60 datagrams, fewer than a socket keeps, arrive, with an answer to each that does.
fn arrived(proxy: &Proxy) -> (usize, usize) {
    let (one, other) = (socket(), socket());
    let target = other.local_addr().expect("bound");
    let front = proxy.lay(0, 1, ChainId::Alpha, target);
    let (mut there, mut back) = (0, 0);
    let mut bytes = [0; 16];
    for number in 0..60u8 {
        one.send_to(&[number], front).expect("loopback");
    }
    while let Ok((_, from)) = other.recv_from(&mut bytes) {
        there += 1;
        other.send_to(b"answer", from).expect("loopback");
    }
    while one.recv_from(&mut bytes).is_ok() {
        back += 1;
    }
    (there, back)
}

#[test]
fn it_carries_both_ways_and_loses_as_it_is_told() {
    let honest = Proxy::new(1, Wire::default());
    assert_eq!(arrived(&honest), (60, 60));
    assert_eq!(honest.carried(), 120);
    let wire = Wire {
        lost_percent: 30,
        doubled_percent: 0,
        delay_max_ms: 5,
    };
    let (there, back) = arrived(&Proxy::new(1, wire));
    assert!((25..57).contains(&there), "{there}");
    assert!(back < there, "{back} of {there}");
    let doubling = Wire {
        doubled_percent: 100,
        ..Wire::default()
    };
    assert_eq!(arrived(&Proxy::new(1, doubling)), (120, 240));
}

#[test]
fn a_cut_link_carries_nothing_and_a_healed_one_all() {
    let proxy = Proxy::new(1, Wire::default());
    proxy.part(&BTreeSet::from([1, 2]));
    assert_eq!(arrived(&proxy), (0, 0));
    proxy.part(&BTreeSet::from([0, 1]));
    assert_eq!(arrived(&proxy), (60, 60), "both are on the same side");
    proxy.heal();
    assert_eq!(arrived(&proxy), (60, 60));
}
