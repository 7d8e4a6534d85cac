//! Every prefix of real logs replays, and what it signs is what was signed before.

use super::bench::{KeyHolder, NOW_MS, domain, test_key};
use super::network::{Faults, Network};
use crate::consensus::{Action, Engine, Event, SignSlot, Timeouts};

#[test]
fn every_prefix_of_a_log_derives_the_same_signatures() {
    let (mut logs, mut prefixes, mut anew) = (0, 0, 0);
    for seed in 100..105 {
        let faults = Faults {
            loss: 150,
            crash: 15,
            until_height: 8,
            forgets: false,
        };
        let mut network = Network::new(&[1; 4], seed, faults);
        network.run(9);
        for (height, node, log, marks) in &network.logs {
            logs += 1;
            for cut in 0..=log.len() {
                // Without its marks the holder signs anything, once: a divergence would show.
                let mut holder = KeyHolder::new(test_key(*node as u8));
                holder.wal = log[..cut].to_vec();
                let key = Some(network.key(*node));
                let mut engine = Engine::new(key, domain(), Timeouts::default());
                let (validators, wal) = (network.set.clone(), holder.wal.clone());
                let start = Event::StartHeight {
                    height: *height,
                    validators,
                    wal,
                };
                let out = engine.step(NOW_MS, start.clone(), &mut holder);
                let halt = out.iter().find(|a| matches!(a, Action::Halt(_)));
                assert!(halt.is_none(), "seed {seed}, cut {cut}: {halt:?}");
                for request in &holder.fresh {
                    let bytes = domain().sign_bytes(request);
                    let known = marks.get(&SignSlot::from(request)).map(|mark| &mark.bytes);
                    assert_eq!(known, Some(&bytes), "seed {seed}, cut {cut}: {request:?}");
                    anew += 1;
                }
                // With the marks, as after a real crash, nothing at all is signed anew.
                let mut holder = KeyHolder::new(test_key(*node as u8));
                holder.wal = log[..cut].to_vec();
                holder.marks = marks.clone();
                let mut engine = Engine::new(key, domain(), Timeouts::default());
                engine.step(NOW_MS, start, &mut holder);
                assert_eq!(holder.fresh, [], "seed {seed}, cut {cut}");
                prefixes += 1;
            }
        }
    }
    assert!(
        logs > 150 && prefixes > 1_500 && anew > 500,
        "{logs} {prefixes} {anew}"
    );
}

/// The crash that comes between the signature of a proposal and everything after it.
#[test]
fn a_value_of_our_own_is_proposed_again_after_a_crash() {
    use super::bench::{A, B, Bench, has, proposals};
    let mut b = Bench::proposing(4, 0, true);
    b.start(1);
    let out = b.step(Event::Propose {
        height: 1,
        round: 0,
        hash: A,
    });
    let first = proposals(&out);
    for kept in [1, b.holder.wal.len()] {
        b.holder.wal.truncate(kept);
        let out = b.restart();
        assert_eq!(proposals(&out), first);
        assert!(!has(&out, |a| matches!(a, Action::BuildBlock { .. })));
        assert!(has(
            &out,
            |a| matches!(a, Action::Restream(block) if block.hash == A)
        ));
        let out = b.step(Event::Propose {
            height: 1,
            round: 0,
            hash: B,
        });
        assert!(proposals(&out).is_empty());
    }
    assert_eq!(
        b.holder.fresh.len(),
        2,
        "a proposal and a prevote, each signed once"
    );
}
