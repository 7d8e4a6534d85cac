//! Plays many seeds of the simulator: `sim --seeds 0..1000`. Stops at the first seed that breaks a
//! rule, and writes a file that plays it again: `sim --file sim-troubled-17.toml`.

use adnet_tests::sim::{Family, Report, Scenario, Violation, run};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

#[derive(Parser)]
#[command(about = "Networks of validators of both chains, with their troubles, on a virtual clock")]
struct Arguments {
    /// The seeds to play, as FIRST..END.
    #[arg(long, default_value = "0..100", value_parser = seeds)]
    seeds: Range<u64>,
    /// Which troubles.
    #[arg(long, value_enum, default_value_t = Family::Troubled)]
    scenario: Family,
    /// Plays the scenarios in these files instead.
    #[arg(long)]
    file: Vec<PathBuf>,
    /// Every so many seeds, a run is played twice and must be the same; 0 for never.
    #[arg(long, default_value_t = 20)]
    twice_every: u64,
    /// Seeds that are played at the same time; 0 for one on each processor.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("`{text}` is not FIRST..END");
    let (first, end) = text.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    Ok(number(first)?..number(end)?)
}

/// What all runs came to.
#[derive(Default)]
struct Sums {
    blocks: usize,
    deaths: u64,
    settled: u64,
    proved: u64,
    snapshots: u64,
    shielded: u64,
    replayed: u64,
    recoveries: Vec<adnet_tests::sim::Recovery>,
}

impl Sums {
    fn add(&mut self, report: Report, replayed: bool) {
        self.blocks += report.decided.len();
        self.deaths += report.deaths;
        self.settled += report.settled;
        self.proved += report.equivocations;
        self.snapshots += report.snapshots;
        self.shielded += report.notes_settled;
        self.replayed += u64::from(replayed);
        self.recoveries.extend(report.recoveries);
    }

    fn text(&self) -> String {
        let Self {
            blocks,
            deaths,
            settled,
            proved,
            snapshots,
            shielded,
            replayed,
            ..
        } = self;
        format!(
            "{blocks} blocks, {deaths} deaths, {settled} transactions ({shielded} shielded), {proved} validators proved guilty, \
             {snapshots} snapshots begun with, \
             {replayed} played twice"
        )
    }

    /// Median and worst of the times after a trouble, per chain.
    fn recoveries(&self) -> Vec<String> {
        let chains = adnet_common::chain_id::ChainId::ALL.into_iter();
        let line = chains.filter_map(|chain| {
            let of = self.recoveries.iter().filter(|r| r.chain == chain);
            let mut times: Vec<(u64, u64)> = of.map(|r| (r.decided_ms, r.level_ms)).collect();
            let count = times.len();
            times.sort_unstable();
            let (middle, worst) = (times.get(count / 2)?.0, times.last()?.0);
            times.sort_unstable_by_key(|(_, level)| *level);
            let (level_middle, level_worst) = (times[count / 2].1, times[count - 1].1);
            Some(format!(
                "{chain} after {count} troubles: a block after {middle} ms, at worst {worst} ms; all \
                 level after {level_middle} ms, at worst {level_worst} ms"
            ))
        });
        line.collect()
    }
}

type Played = (Scenario, bool, Result<Report, Violation>);

/// Plays a scenario, and again if `twice`.
fn play(scenario: &Scenario, twice: bool) -> Result<Report, Violation> {
    let report = run(scenario)?;
    if twice {
        let again = run(scenario)?;
        if again.digest != report.digest {
            let what = format!(
                "it does not repeat: {} and then {}",
                report.digest, again.digest
            );
            return Err(Violation { at_ms: 0, what });
        }
    }
    Ok(report)
}

/// Plays the scenarios that are left, one after the other, until one fails anywhere.
fn work(
    scenarios: &[Scenario],
    next: &AtomicU64,
    failed: &AtomicBool,
    every: u64,
    to: &Sender<Played>,
) {
    while !failed.load(Ordering::Relaxed) {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let place = usize::try_from(index).expect("they are in memory");
        let Some(scenario) = scenarios.get(place) else {
            return;
        };
        let twice = every > 0 && index.is_multiple_of(every);
        let played = play(scenario, twice);
        failed.fetch_or(played.is_err(), Ordering::Relaxed);
        if to.send((scenario.clone(), twice, played)).is_err() {
            return;
        }
    }
}

/// The first scenario that broke a rule.
type Failure = Box<(Scenario, Violation)>;

fn collect(bar: &ProgressBar, from: &Receiver<Played>) -> Result<Sums, Failure> {
    let mut sums = Sums::default();
    let mut first: Option<Failure> = None;
    for (scenario, twice, played) in from {
        match played {
            Ok(report) => {
                sums.add(report, twice);
                bar.set_message(format!("({})", sums.text()));
                bar.inc(1);
            }
            Err(violation) => {
                if first.as_ref().is_none_or(|f| scenario.seed < f.0.seed) {
                    first = Some(Box::new((scenario, violation)));
                }
            }
        }
    }
    first.map_or(Ok(sums), Err)
}

fn read(files: &[PathBuf]) -> Result<Vec<Scenario>, String> {
    let one = |file: &PathBuf| {
        let text = fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        toml::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))
    };
    files.iter().map(one).collect()
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let scenarios = match read(&arguments.file) {
        Ok(read) if !read.is_empty() => read,
        Ok(_) => {
            let seeds = arguments.seeds.clone();
            seeds.map(|seed| arguments.scenario.of(seed)).collect()
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len}, {per_sec}, {eta} left {msg}");
    let bar = ProgressBar::new(scenarios.len() as u64);
    bar.set_style(style.expect("a constant template"));
    let threads = match arguments.threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let (to, from) = channel();
    let outcome = thread::scope(|scope| {
        for _ in 0..threads {
            let (to, scenarios, next, failed) = (to.clone(), &scenarios, &next, &failed);
            scope.spawn(move || work(scenarios, next, failed, arguments.twice_every, &to));
        }
        drop(to);
        collect(&bar, &from)
    });
    match outcome {
        Ok(sums) => {
            bar.finish();
            sums.recoveries().iter().for_each(|line| println!("{line}"));
            let seconds = bar.elapsed().as_secs();
            println!("{} in {seconds} s: all rules held", sums.text());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            bar.abandon();
            let (scenario, violation) = *failure;
            let (seed, family) = (scenario.seed, arguments.scenario);
            eprintln!("seed {seed} fails {violation}");
            let file = format!("sim-{family}-{seed}.toml");
            let text = toml::to_string(&scenario).expect("a scenario has no odd keys");
            match fs::write(&file, text) {
                Ok(()) => eprintln!("again: sim --file {file}"),
                Err(error) => eprintln!("{file} cannot be written: {error}"),
            }
            eprintln!("or: sim --scenario {family} --seeds {seed}..{}", seed + 1);
            ExitCode::FAILURE
        }
    }
}
