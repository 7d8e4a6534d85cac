//! Peers that gossip what nobody wants: what it costs them, and what it does not cost others.

use super::*;
use crate::network::{Class, PeerInfo};

/// One that others dial, a peer that will flood it, and an honest one.
fn victim_offender_honest() -> (Peer, Peer, Peer) {
    let at = place(1);
    let to_victim = vec![peer_address(1, at.address)];
    let victim = Peer::start(at, vec![]);
    let offender = Peer::start(place(2), to_victim.clone());
    let honest = Peer::start(place(3), to_victim);
    wait_for("both sessions", || {
        victim.figure("adnet_gossip_sessions", &[("topic", "tx")]) == 2
    });
    (victim, offender, honest)
}

fn send_votes(from: &Peer, to: &Peer, votes: u64) {
    for _ in 0..votes {
        let vote = vec![1; 200];
        assert!(from.network().send(CHAIN, &to.id, Class::Consensus, vote));
    }
}

#[test]
fn whoever_floods_with_invalid_messages_is_banned_by_name_while_votes_go_on() {
    let (victim, offender, honest) = victim_offender_honest();
    for n in 0..2_000 {
        offender.publish(Topic::Transaction, &format!("!{n}"));
        if n % 10 == 0 {
            send_votes(&honest, &victim, 1);
        }
    }
    wait_for("the ban", || {
        victim.refused("us", "banned") > 0 && !victim.is_linked(&offender)
    });
    wait_for("the offender hears why", || {
        offender.refused("peer", "banned") > 0
    });
    wait_for("all votes", || victim.direct.load(Ordering::Relaxed) == 200);
    assert!(victim.is_linked(&honest));
    honest.publish(Topic::Transaction, "still here");
    wait_for("the honest message", || victim.has_seen("still here"));
    let seen = victim.seen.lock().unwrap().len();
    assert!(seen < 1_000, "{seen} messages came to the worker");
    assert!(!honest.has_seen("!0"), "nothing of it went on");
}

/// The operator's choice keeps the link, and the score keeps the messages away.
#[test]
fn a_configured_peer_that_sends_invalid_messages_is_not_listened_to() {
    let (at_1, at_2) = (place(1), place(2));
    let to_offender = vec![peer_address(2, at_2.address)];
    let offender = Peer::start(at_2, vec![]);
    let victim = Peer::start(at_1, to_offender);
    wait_for("the session", || {
        victim.figure("adnet_gossip_mesh_peers", &[("topic", "tx")]) == 1
    });
    for n in 0..20 {
        offender.publish(Topic::Transaction, &format!("!{n}"));
    }
    wait_for("the graylist", || {
        victim.figure("adnet_gossip_graylisted_peers", &[]) == 1
    });
    // A vote that is sent later arrives, the message before it does not.
    offender.publish(Topic::Transaction, "honest, but too late");
    send_votes(&offender, &victim, 1);
    wait_for("the vote", || victim.direct.load(Ordering::Relaxed) == 1);
    assert!(victim.is_linked(&offender));
    let score = |info: &PeerInfo| info.score;
    assert!(victim.network().peers().iter().map(score).sum::<f64>() < 0.0);
    send_votes(&offender, &victim, 1);
    wait_for("the next vote", || {
        victim.direct.load(Ordering::Relaxed) == 2
    });
    assert!(!victim.has_seen("honest, but too late"));
}

/// New messages without end, for a worker that answers nothing: few come to it, few wait, the rest
/// is shed, and the flood is an offence.
#[test]
fn a_flood_of_new_messages_stays_within_bounds_and_ends_in_a_ban() {
    let (victim, offender, honest) = victim_offender_honest();
    let mut sent = 0;
    while victim.refused("us", "banned") == 0 {
        assert!(sent < 200_000, "never banned");
        offender
            .network()
            .publish(CHAIN, Topic::Transaction, format!(".{sent}").into_bytes());
        sent += 1;
        if sent % 100 == 0 {
            thread::yield_now();
        }
    }
    // The worker was given a handful, and as many again each time it was given up on.
    let seen = victim.seen.lock().unwrap().len();
    assert!(seen <= 64 * 10, "{seen} messages came to the worker");
    assert!(victim.messages("shed") >= 5_000);
    send_votes(&honest, &victim, 10);
    wait_for("all votes", || victim.direct.load(Ordering::Relaxed) == 10);
    // Others have their turn as soon as what the worker holds is given up, if not before. What comes
    // until then may be shed.
    let mut said = 0;
    wait_for("an honest message", || {
        honest.publish(Topic::Transaction, &format!("still here {said}"));
        said += 1;
        thread::sleep(Duration::from_millis(100));
        (0..said).any(|n| victim.has_seen(&format!("still here {n}")))
    });
}
