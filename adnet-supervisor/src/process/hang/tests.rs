//! The judge of hangs, driven look by look on a virtual clock.

use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

const LIMITS: HangLimits = HangLimits {
    warn_ns: WARN_NS,
    kill_ns: KILL_NS,
};
const WARN_NS: u64 = 250_000_000;
const KILL_NS: u64 = 2_000_000_000;
const LOOK_NS: u64 = 100_000_000;

/// Looks every 100 ms at a worker that is silent from the start, and returns the first verdict
/// that is a kill, or the last verdict after five seconds.
fn silent(state: RunState, cpu_share_percent: u64) -> Verdict {
    let beat = Beat {
        progress: 9,
        beat_ns: 0,
    };
    let mut judge = HangJudge::new(LIMITS, beat, 0);
    let mut last = Verdict::Fine;
    for look in 1..=50 {
        let now_ns = look * LOOK_NS;
        let cpu_ns = now_ns / 100 * cpu_share_percent;
        last = judge.look(beat, now_ns, || {
            Ok::<_, Infallible>(ProcessSample { cpu_ns, state })
        });
        match last {
            Verdict::Fine => assert!(now_ns < WARN_NS),
            Verdict::Warn { silent_ns } => assert_eq!(silent_ns, now_ns),
            Verdict::Kill { .. } => return last,
        }
    }
    last
}

#[test]
fn a_silent_worker_is_killed_at_two_seconds_if_it_could_have_gone_on() {
    for (state, cpu, kind) in [
        (RunState::Runnable, 90, HangKind::Spinning),
        (RunState::Asleep, 5, HangKind::Spinning),
        (RunState::Asleep, 0, HangKind::Deadlocked),
        (RunState::Stopped, 0, HangKind::Stopped),
    ] {
        assert_eq!(
            silent(state, cpu),
            Verdict::Kill {
                silent_ns: KILL_NS,
                kind
            },
            "{state:?}"
        );
    }
}

#[test]
fn a_starved_worker_is_warned_about_and_never_killed() {
    assert_eq!(
        silent(RunState::Runnable, 0),
        Verdict::Warn {
            silent_ns: 50 * LOOK_NS
        }
    );
}

#[test]
fn a_time_in_the_future_buys_no_grace() {
    let mut judge = HangJudge::new(
        LIMITS,
        Beat {
            progress: 0,
            beat_ns: 0,
        },
        0,
    );
    let lie = Beat {
        progress: 1,
        beat_ns: u64::MAX,
    };
    let asleep = || {
        Ok::<_, Infallible>(ProcessSample {
            cpu_ns: 0,
            state: RunState::Asleep,
        })
    };
    let verdicts: Vec<_> = (1..=21)
        .map(|look| judge.look(lie, look * LOOK_NS, asleep))
        .collect();
    assert_eq!(verdicts[0], Verdict::Fine);
    let kind = HangKind::Deadlocked;
    assert_eq!(
        verdicts[20],
        Verdict::Kill {
            silent_ns: KILL_NS,
            kind
        }
    );
}

#[test]
fn a_pause_of_the_judge_starts_the_silence_anew() {
    let beat = Beat {
        progress: 0,
        beat_ns: 0,
    };
    let mut judge = HangJudge::new(LIMITS, beat, 0);
    let stopped = || {
        Ok::<_, Infallible>(ProcessSample {
            cpu_ns: 0,
            state: RunState::Stopped,
        })
    };
    assert_eq!(judge.look(beat, 3_600_000_000_000, stopped), Verdict::Fine);
    let next = judge.look(beat, 3_600_000_000_000 + WARN_NS, stopped);
    assert_eq!(next, Verdict::Warn { silent_ns: WARN_NS });
}

#[test]
fn a_process_that_cannot_be_sampled_is_not_convicted() {
    let beat = Beat {
        progress: 0,
        beat_ns: 0,
    };
    let mut judge = HangJudge::new(LIMITS, beat, 0);
    for look in 1..=100 {
        let verdict = judge.look(beat, look * LOOK_NS, || Err("gone"));
        assert!(!matches!(verdict, Verdict::Kill { .. }));
    }
}

proptest! {
    /// Whatever a worker writes and the kernel reports: no kill within 2 s of a new count, and a
    /// healthy worker is never sampled.
    #[test]
    fn no_kill_before_its_time(
        looks in prop::collection::vec(
            (1_u64..1_500_000_000, any::<bool>(), any::<u64>(), 0_u64..3, any::<u64>()),
            1..300,
        ),
    ) {
        let mut progress = 0;
        let mut judge = HangJudge::new(LIMITS, Beat { progress, beat_ns: 0 }, 0);
        let (mut now_ns, mut alive_ns) = (0_u64, 0_u64);
        for (pause_ns, counts, beat_ns, state, cpu_ns) in looks {
            let before_ns = now_ns;
            now_ns += pause_ns;
            if counts {
                progress += 1;
                // It counted at some moment since the last look, at the earliest then.
                alive_ns = before_ns;
            }
            let state = [RunState::Stopped, RunState::Runnable, RunState::Asleep]
                [usize::try_from(state).unwrap()];
            let mut sampled = false;
            let verdict = judge.look(Beat { progress, beat_ns }, now_ns, || {
                sampled = true;
                Ok::<_, Infallible>(ProcessSample { cpu_ns, state })
            });
            match verdict {
                Verdict::Kill { silent_ns, .. } => {
                    prop_assert!(silent_ns >= KILL_NS && now_ns - alive_ns >= KILL_NS);
                    prop_assert!(sampled);
                }
                Verdict::Warn { silent_ns } => prop_assert!(silent_ns >= WARN_NS),
                Verdict::Fine => prop_assert!(!sampled),
            }
        }
    }
}
