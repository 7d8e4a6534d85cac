//! What a storm kills, and when: all of it follows from one seed.
//!
//! `ADNET_FAILOVER_SEED` repeats a storm, `ADNET_FAILOVER_KILLS` makes a longer one.

use std::{env, fmt, thread, time::Duration};

use adnet_common::chain_id::ChainId;
use adnet_tests::sim::Random;

use crate::clock;

/// Three rounds.
const KILLS: u64 = 21;
/// A kill comes at any instant of three intervals of the slower chain, six of the faster one.
const PAUSE_MS: u64 = 750;
/// Between the two kills of a pair: the first one's successor is anywhere in its start.
const APART_MS: u64 = 60;
/// Deaths of one worker under one supervisor: fewer than the supervisor takes for too many, even
/// if they come within its window.
const DEATHS_MAX: u32 = 4;

/// Who dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Worker(ChainId),
    Supervisor,
}

/// One blow: at a random instant, one process, or two in quick succession.
#[derive(Clone, Debug)]
pub struct Blow {
    pub pause: Duration,
    pub first: Target,
    pub second: Option<(Duration, Target)>,
}

impl Blow {
    pub fn hits(&self, target: Target) -> bool {
        self.targets().any(|hit| hit == target)
    }

    pub fn targets(&self) -> impl Iterator<Item = Target> {
        [Some(self.first), self.second.map(|(_, target)| target)]
            .into_iter()
            .flatten()
    }
}

/// A whole storm. If the test fails, it says how to have the same one again.
pub struct Plan {
    seed: u64,
    kills: u64,
    pub blows: Vec<Blow>,
}

impl Plan {
    pub fn from_environment() -> Plan {
        let seed = number("ADNET_FAILOVER_SEED").unwrap_or_else(|| clock::unix_us() % 1_000_000);
        let kills = number("ADNET_FAILOVER_KILLS").unwrap_or(KILLS);
        let plan = Plan {
            seed,
            kills,
            blows: blows(seed, kills),
        };
        eprintln!("{plan}");
        plan
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { seed, kills, .. } = self;
        write!(
            f,
            "this storm: ADNET_FAILOVER_SEED={seed} ADNET_FAILOVER_KILLS={kills}"
        )
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("failed in {self}");
        }
    }
}

/// A number in the environment.
fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Rounds in random order, each with two kills of either worker, one of the supervisor, and a pair.
fn blows(seed: u64, kills: u64) -> Vec<Blow> {
    let mut random = Random::new(seed);
    let mut blows = Vec::new();
    let mut killed = 0;
    // Of Alpha and Delta since the supervisor was started.
    let mut deaths = [0; 2];
    while killed < kills {
        for mut blow in round(&mut random) {
            let is_too_often = ChainId::ALL
                .into_iter()
                .zip(deaths)
                .any(|(chain, deaths)| deaths == DEATHS_MAX && blow.hits(Target::Worker(chain)));
            if is_too_often {
                blow.first = Target::Supervisor;
                blow.second = None;
            }
            for (chain, deaths) in ChainId::ALL.into_iter().zip(&mut deaths) {
                *deaths += u32::from(blow.hits(Target::Worker(chain)));
                if blow.hits(Target::Supervisor) {
                    *deaths = 0;
                }
            }
            killed += blow.targets().count() as u64;
            blows.push(blow);
        }
    }
    blows
}

fn round(random: &mut Random) -> Vec<Blow> {
    use Target::{Supervisor, Worker};
    let (alpha, delta) = (Worker(ChainId::Alpha), Worker(ChainId::Delta));
    let (one, other) = if random.chance(50) {
        (alpha, delta)
    } else {
        (delta, alpha)
    };
    let then = if random.chance(50) { other } else { Supervisor };
    let apart = Duration::from_millis(random.below(APART_MS));
    let mut round = vec![
        (alpha, None),
        (delta, None),
        (alpha, None),
        (delta, None),
        (Supervisor, None),
        (one, Some((apart, then))),
    ];
    for last in (1..round.len()).rev() {
        let chosen = random.below(last as u64 + 1) as usize;
        round.swap(last, chosen);
    }
    let mut blow = |(first, second)| Blow {
        pause: Duration::from_micros(random.below(PAUSE_MS * 1_000)),
        first,
        second,
    };
    round.into_iter().map(&mut blow).collect()
}
