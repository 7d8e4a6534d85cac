//! Peers that speak the streams by hand: goodbyes, wrong streams, and floods at the speed of the
//! wire.

use quinn::{Connection, RecvStream, SendStream};
use tokio::time::timeout;

use super::{
    super::{
        config,
        stream::{self, Header, bye_tag, gossip_tag},
    },
    *,
};
use crate::network::{
    frame,
    refusal::Refusal,
    tests::{Honest, Hostile, honest, run},
};

/// The chain of the node that [`honest`] makes.
const ITS_CHAIN: ChainId = ChainId::Alpha;
const MULTISTREAM: &[u8] = b"\x13/multistream/1.0.0\n";
const MESHSUB: &[u8] = b"\x0f/meshsub/1.1.0\n";

fn header(epoch: u32) -> Header {
    Header {
        topic: Topic::Transaction,
        epoch,
        configured: false,
    }
}

/// Opens a stream of a session and agrees on the protocol.
async fn talk(connection: &Connection, epoch: u32) -> (SendStream, RecvStream) {
    let opened = stream::open(connection, header(epoch)).await;
    let (mut send, mut recv) = opened.unwrap();
    send.write_all(MULTISTREAM).await.unwrap();
    send.write_all(MESHSUB).await.unwrap();
    let mut answer = [0; MULTISTREAM.len() + MESHSUB.len()];
    let read = timeout(PATIENCE, recv.read_exact(&mut answer)).await;
    read.expect("an answer in time").unwrap();
    assert_eq!(answer, *[MULTISTREAM, MESHSUB].concat());
    (send, recv)
}

fn varint(mut n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes
}

/// A length-delimited field of a protobuf message.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    bytes.extend(varint(content.len()));
    bytes.extend(content);
    bytes
}

/// A frame with one published message.
fn published(topic: &str, data: &[u8]) -> Vec<u8> {
    let message = [field(2, data), field(4, topic.as_bytes())].concat();
    let rpc = field(2, &message);
    [varint(rpc.len()), rpc].concat()
}

fn tx_topic() -> String {
    let topic = config::topic(ITS_CHAIN, Topic::Transaction);
    topic.hash().into_string()
}

fn count(node: &Honest, event: &str) -> i64 {
    let labels = [("event", event)];
    figure(&node.registry, "adnet_gossip_messages_total", &labels)
}

/// The epoch of the next stream for transactions that the node opens, and the stream: a node that is let down
/// with it ends the session.
async fn next_epoch(peer: &Hostile) -> (u32, (SendStream, RecvStream)) {
    loop {
        let accepted = timeout(PATIENCE, peer.connection.accept_bi()).await;
        let (send, mut recv) = accepted.expect("a stream in time").unwrap();
        let tag = frame::read_tag(&mut recv).await.unwrap();
        if tag == gossip_tag(Topic::Transaction) {
            let header = stream::read_header(Topic::Transaction, &mut recv).await;
            return (header.unwrap().epoch, (send, recv));
        }
        assert_eq!(tag, gossip_tag(Topic::Block));
    }
}

#[test]
fn after_a_goodbye_the_next_session_begins() {
    let node = honest(8);
    run(async {
        let peer = Hostile::linked(&node, 2).await;
        let streams = quinn::VarInt::from_u32(8);
        peer.connection.set_max_concurrent_bi_streams(streams);
        let (first, _first) = next_epoch(&peer).await;
        assert_eq!(first, 0);
        stream::say_bye(&peer.connection, Topic::Transaction, 0).await;
        let (second, _second) = next_epoch(&peer).await;
        assert_eq!(second, 1);
        // Whoever opens a stream of a later session has let go of the one before.
        let _stream = talk(&peer.connection, 2).await;
        let (third, _third) = next_epoch(&peer).await;
        assert_eq!(third, 2);
        // Old news change nothing.
        stream::say_bye(&peer.connection, Topic::Transaction, 0).await;
        let (send, mut recv) = talk(&peer.connection, 2).await;
        let quiet = timeout(Duration::from_millis(300), recv.read_chunk(1, true)).await;
        assert!(quiet.is_err(), "the session stands");
        drop(send);
        assert!(peer.connection.close_reason().is_none());
    });
}

#[test]
fn gossip_streams_that_break_the_rules_end_the_link() {
    let node = honest(8);
    run(async {
        let heads: [&[u8]; 4] = [
            &[0],
            &[bye_tag(Topic::Block), 0, 0, 0, 0],
            &[gossip_tag(Topic::Block), 0, 0, 0, 0, 0xff],
            &[gossip_tag(Topic::Block), 0xff, 0, 0, 0, 0],
        ];
        for (seed, head) in (2..).zip(heads) {
            let peer = Hostile::linked(&node, seed).await;
            let (mut send, _recv) = peer.connection.open_bi().await.unwrap();
            send.write_all(head).await.unwrap();
            assert_eq!(peer.verdict().await, Refusal::Protocol);
        }
        // A bye of a session that is nowhere near, and one that says too much.
        let byes: [&[u8]; 2] = [&[0xff, 0, 0, 0], &[0, 0, 0, 0, 0]];
        for (seed, bye) in (6..).zip(byes) {
            let peer = Hostile::linked(&node, seed).await;
            let opened = frame::open(&peer.connection, bye_tag(Topic::Block), 0).await;
            let mut stream = opened.unwrap();
            stream.write_all(bye).await.unwrap();
            stream.finish().unwrap();
            assert_eq!(peer.verdict().await, Refusal::Protocol);
        }
    });
}

/// Bytes that are no gossip end the stream at most; the link, and what else goes over it, stands.
#[test]
fn garbage_in_a_session_leaves_the_link_alone() {
    let node = honest(8);
    run(async {
        let peer = Hostile::linked(&node, 2).await;
        for _ in 0..8 {
            let opened = stream::open(&peer.connection, header(0)).await;
            let (mut send, _recv) = opened.unwrap();
            // The node may refuse it at any point.
            let _ = send.write_all(&[0xff; 4096]).await;
            let _ = send.finish();
        }
        let tag = crate::network::Class::Body.tag();
        let mut body = frame::open(&peer.connection, tag, 0).await.unwrap();
        let written = frame::write(&mut body, bytes::Bytes::from_static(b"body")).await;
        written.unwrap();
        body.finish().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while node.inbox.lock().unwrap().is_empty() {
            assert!(Instant::now() < deadline, "the body never came");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(peer.connection.close_reason().is_none());
    });
}

/// One message again and again, and messages of a topic that is none: the worker gets one, and no
/// more is read than the pace allows, however fast they are sent.
#[test]
fn duplicates_and_unknown_topics_are_read_at_a_bounded_pace() {
    let node = honest(8);
    run(async {
        let peer = Hostile::linked(&node, 2).await;
        let (mut send, _recv) = talk(&peer.connection, 0).await;
        let topic = tx_topic();
        let twice = published(&topic, &[b'.'; 64 << 10]);
        let unknown = published("/adnet/1/alpha/cheese", &[b'.'; 64 << 10]);
        let begun = Instant::now();
        let mut written = 0;
        while begun.elapsed() < Duration::from_secs(3) {
            for frame in [&twice, &unknown] {
                let wrote = timeout(Duration::from_secs(1), send.write_all(frame)).await;
                written += match wrote {
                    Ok(wrote) => {
                        wrote.unwrap();
                        frame.len()
                    }
                    Err(_) => 0, // no room: the peer makes us wait
                };
            }
        }
        // Burst, pace, and what two windows and the sender's own buffers hold.
        let bound = (8 << 20) + 5 * (4 << 20) + (16 << 20);
        assert!(written < bound, "{written} bytes were taken in 3 s");
        assert!(count(&node, "received") > 20);
        assert_eq!(count(&node, "delivered"), 1);
        assert!(peer.connection.close_reason().is_none());
    });
}

/// Every kind of envelope that routers exchange, each with a topic or id that the node knows.
fn envelopes() -> Vec<Vec<u8>> {
    let topic = field(1, tx_topic().as_bytes());
    let id = field(2, &[7; config::ID_BYTES]);
    let only_id = field(1, &[7; config::ID_BYTES]);
    let subscription = [&[1 << 3, 1][..], &field(2, tx_topic().as_bytes())].concat();
    let backoff = [&topic[..], &field(2, &field(1, b"peer")), &[3 << 3, 60]].concat();
    let control = |number, content: &[u8]| field(3, &field(number, content));
    let message = [field(2, b"data"), field(4, tx_topic().as_bytes())].concat();
    let signed = [field(1, b"from"), field(3, &[1; 8]), field(5, &[2; 64])].concat();
    vec![
        field(1, &subscription),
        field(2, &message),
        field(2, &[&message[..], &signed].concat()),
        control(1, &[&topic[..], &id].concat()),
        control(2, &only_id),
        control(3, &topic),
        control(4, &backoff),
        control(5, &only_id),
        control(6, &[10 << 3, 1]),
        field(10, &[topic, field(2, b"group"), field(3, b"part")].concat()),
    ]
}

/// Changes some bytes, or cuts or lengthens what is there.
fn spoil(bytes: &mut Vec<u8>, chance: &mut impl FnMut(usize) -> usize) {
    for _ in 0..=chance(3) {
        let at = chance(bytes.len().max(1));
        match chance(5) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..at, [0xff; 9])),
            2 => bytes.iter_mut().skip(at).take(1).for_each(|b| *b = 0xff),
            _ => {
                let bit = chance(8);
                let byte = bytes.iter_mut().skip(at).take(1);
                byte.for_each(|b| *b ^= 1 << bit);
            }
        }
    }
}

/// Whatever envelopes come, the router goes on, and so do the links they came over.
#[test]
fn spoilt_envelopes_leave_the_router_and_the_link_alone() {
    let node = honest(8);
    let mut state = 1u64;
    let mut chance = |end: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % end
    };
    let samples = envelopes();
    let mut refused = 0;
    run(async {
        for seed in 2..=120 {
            let peer = Hostile::linked(&node, seed).await;
            let (mut send, _recv) = talk(&peer.connection, 0).await;
            for _ in 0..=chance(3) {
                let mut rpc = samples[chance(samples.len())].clone();
                if chance(8) > 0 {
                    spoil(&mut rpc, &mut chance);
                }
                let frame = [varint(rpc.len()), rpc].concat();
                // The node may refuse the stream at any point.
                let _ = send.write_all(&frame).await;
            }
            // The last one is sound: it is read, unless the node gave the stream up before.
            let before = count(&node, "received");
            let _ = send.write_all(&published(&tx_topic(), b"sound")).await;
            let is_read = async {
                while count(&node, "received") == before {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            let dealt_with = async {
                tokio::select! {
                    () = is_read => {}
                    _ = send.stopped() => refused += 1,
                }
            };
            let in_time = timeout(PATIENCE, dealt_with).await;
            in_time.expect("the router answers or reads");
            assert!(peer.connection.close_reason().is_none());
        }
        // Some were beyond reading, and others were read to the end.
        assert!(
            refused > 10 && refused < 110,
            "{refused} streams were refused"
        );
        let peer = Hostile::linked(&node, 200).await;
        let (mut send, _recv) = talk(&peer.connection, 0).await;
        let delivered = count(&node, "delivered");
        send.write_all(&published(&tx_topic(), b"news"))
            .await
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        while count(&node, "delivered") == delivered {
            assert!(Instant::now() < deadline, "the router is gone");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(peer.connection.close_reason().is_none());
    });
}
