//! Plays many seeds of the simulator: `sim --seeds 0..1000`. Stops at the first seed that breaks a
//! rule, and prints how to play it again.

use adnet_tests::sim::{Scenario, run};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use std::ops::Range;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Four validators of both chains, with deaths and losses, on a virtual clock")]
struct Arguments {
    /// The seeds to play, as FIRST..END.
    #[arg(long, default_value = "0..100", value_parser = seeds)]
    seeds: Range<u64>,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("`{text}` is not FIRST..END");
    let (first, end) = text.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    Ok(number(first)?..number(end)?)
}

fn main() -> ExitCode {
    let Arguments { seeds } = Arguments::parse();
    let style =
        ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left {msg}");
    let bar = ProgressBar::new(seeds.end.saturating_sub(seeds.start));
    bar.set_style(style.expect("a constant template"));
    let (mut blocks, mut deaths, mut settled, mut proved) = (0, 0, 0, 0);
    for seed in seeds {
        match run(&Scenario::troubled(seed)) {
            Ok(report) => {
                blocks += report.decided.len();
                deaths += report.deaths;
                settled += report.settled;
                proved += report.equivocations;
                bar.set_message(format!(
                    "({blocks} blocks, {deaths} deaths, {settled} transactions, {proved} equivocations proved)"
                ));
                bar.inc(1);
            }
            Err(violation) => {
                bar.abandon();
                eprintln!("seed {seed} fails {violation}");
                eprintln!("again: sim --seeds {seed}..{}", seed.saturating_add(1));
                return ExitCode::FAILURE;
            }
        }
    }
    bar.finish();
    println!(
        "{blocks} blocks, {deaths} deaths, {settled} transactions, {proved} equivocations proved: all \
         rules held"
    );
    ExitCode::SUCCESS
}
