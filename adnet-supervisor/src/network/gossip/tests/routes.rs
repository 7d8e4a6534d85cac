//! Where messages go: along lines, once, only if accepted, and again after everything was broken.

use super::{super::config::message_bytes_max, *};

#[test]
fn messages_cross_a_line_whose_ends_are_not_linked() {
    let peers = line(1..=4);
    for (from, topic, text) in [
        (0, Topic::Transaction, "along"),
        (3, Topic::Transaction, "back"),
        (0, Topic::Block, "a block"),
    ] {
        peers[from].publish(topic, text);
        for (i, peer) in peers.iter().enumerate().filter(|(i, _)| *i != from) {
            wait_for("the message", || peer.has_seen(text));
            let seen = peer.seen.lock().unwrap();
            let message = seen.iter().find(|m| m.bytes == text.as_bytes()).unwrap();
            assert_eq!((message.topic, message.chain), (topic, CHAIN));
            let neighbour = if from == 0 { i - 1 } else { i + 1 };
            assert_eq!(
                message.peer, peers[neighbour].id,
                "it came from hand to hand"
            );
        }
    }
    assert!(!peers[0].is_linked(&peers[2]) && !peers[0].is_linked(&peers[3]));
}

#[test]
fn only_what_is_accepted_goes_on() {
    let peers = line(1..=3);
    for text in ["!invalid", "?late", ".never judged", "good"] {
        peers[0].publish(Topic::Transaction, text);
    }
    wait_for("the middle's turn", || {
        peers[1].seen.lock().unwrap().len() == 4
    });
    wait_for("the good one", || peers[2].has_seen("good"));
    // What would have gone on with it would be there before the next.
    peers[0].publish(Topic::Transaction, "good too");
    wait_for("the next", || peers[2].has_seen("good too"));
    assert_eq!(peers[2].seen.lock().unwrap().len(), 2);
    let events = ["delivered", "accepted", "ignored", "rejected"];
    assert_eq!(events.map(|e| peers[1].messages(e)), [5, 2, 1, 1]);
    assert_eq!(peers[0].messages("published"), 5);
}

/// Each has configured both others, so that none of them has a mesh, and a message comes from two
/// sides to everybody.
#[test]
fn a_message_that_comes_from_two_sides_is_one_message() {
    let places = [1, 2, 3].map(place);
    let list = |of: u8| {
        let others = places.iter().filter(|place| place.seed != of);
        others
            .map(|place| peer_address(place.seed, place.address))
            .collect::<Vec<_>>()
    };
    let lists = [1, 2, 3].map(list);
    let peers: Vec<Peer> = places
        .into_iter()
        .zip(lists)
        .map(|(place, list)| Peer::start(place, list))
        .collect();
    wait_for("all know that they have configured each other", || {
        peers
            .iter()
            .all(|peer| peer.figure("adnet_gossip_explicit_peers", &[("topic", "tx")]) == 2)
    });
    for n in 0..20 {
        peers[0].publish(Topic::Transaction, &format!("message {n}"));
    }
    // The same content by another author is the same message.
    peers[2].publish(Topic::Transaction, "from all");
    peers[1].publish(Topic::Transaction, "from all");
    for peer in &peers[1..] {
        wait_for("all messages", || {
            peer.seen.lock().unwrap().len() >= 20 && peer.messages("duplicate") > 0
        });
    }
    wait_for("the common one", || peers[0].has_seen("from all"));
    peers[0].publish(Topic::Transaction, "last");
    for peer in &peers {
        wait_for("the last", || {
            peer.has_seen("last") || peer.id == peers[0].id
        });
        let seen = peer.seen.lock().unwrap();
        let mut ids: Vec<_> = seen.iter().map(|message| message.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), seen.len(), "nothing was given to a worker twice");
    }
}

/// The receiver's buffer holds a part of the next message as well: with a narrow limit the stream
/// breaks here.
#[test]
fn the_largest_messages_arrive_in_a_row() {
    let peers = line(1..=3);
    let largest = message_bytes_max(Topic::Transaction);
    for n in 0..20u8 {
        let mut message = vec![b'x'; largest];
        message[1] = n;
        peers[0].publish_bytes(Topic::Transaction, message);
    }
    let mut block = vec![b'x'; message_bytes_max(Topic::Block)];
    block[1] = 1;
    peers[0].publish_bytes(Topic::Block, block);
    wait_for("all of them at the other end", || {
        peers[2].seen.lock().unwrap().len() == 21
    });
    peers[0].publish(Topic::Transaction, "and a small one");
    wait_for("the small one", || peers[2].has_seen("and a small one"));
}

#[test]
fn what_nobody_hears_yet_waits_for_the_first_who_does() {
    let (first, second) = (place(1), place(2));
    let to_first = peer_address(1, first.address);
    let alone = Peer::start(first, vec![]);
    alone.publish(Topic::Transaction, "anybody there?");
    alone.publish(Topic::Block, "a block");
    alone.publish(Topic::Block, "a later block");
    let late = Peer::start(second, vec![to_first]);
    wait_for("the transaction", || late.has_seen("anybody there?"));
    wait_for("the block", || late.has_seen("a later block"));
    assert!(!late.has_seen("a block"));
    assert_eq!(alone.messages("unsent"), 1);
}

#[test]
fn a_session_that_one_side_ends_is_followed_by_the_next_on_the_same_link() {
    let peers = line(1..=2);
    let since = |peer: &Peer| peer.network().peers()[0].connected_since;
    let (since_0, since_1) = (since(&peers[0]), since(&peers[1]));
    for (turn, ends) in [0, 1, 1, 0].into_iter().enumerate() {
        peers[ends].network().nodes[&CHAIN]
            .gossip
            .end_session(Topic::Transaction, peers[1 - ends].id);
        wait_for("a message over the next session", || {
            let text = format!("{turn} {:?}", Instant::now());
            peers[0].publish(Topic::Transaction, &text);
            peers[1].seen.lock().unwrap().iter().any(|message| {
                let text = String::from_utf8_lossy(&message.bytes).into_owned();
                text.starts_with(&format!("{turn} "))
            })
        });
    }
    assert_eq!((since(&peers[0]), since(&peers[1])), (since_0, since_1));
}

#[test]
fn a_node_that_restarts_is_in_the_mesh_again() {
    let mut peers = line(1..=3);
    let middle = peers.remove(1);
    let (address, first) = (middle.address, peers[0].address);
    drop(middle);
    wait_for("the goodbye", || {
        peers.iter().all(|peer| peer.network().peers().is_empty())
    });
    let socket = UdpSocket::bind(address).unwrap();
    let seed = 2;
    let middle = Peer::start(
        Place {
            seed,
            socket,
            address,
        },
        vec![peer_address(1, first)],
    );
    wait_for("the middle is back", || {
        middle.is_linked(&peers[0]) && middle.is_linked(&peers[1])
    });
    wait_for("a message through it", || {
        // The links may be there before the sessions.
        let text = format!("welcome {:?}", Instant::now());
        peers[0].publish(Topic::Transaction, &text);
        let seen = peers[1].seen.lock().unwrap();
        seen.iter()
            .any(|message| message.bytes.starts_with(b"welcome"))
    });
    assert!(!middle.seen.lock().unwrap().is_empty());
}
