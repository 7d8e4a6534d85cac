//! `adnet testnet`: a network of several validators on one machine.

mod plan;
mod run;
mod write;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Subcommand};

use super::UsageError;
use plan::Plan;

/// Make and run a network of several validators on this machine
///
/// Each node is a complete data directory, DIR/node-0, DIR/node-1 and so on, with keys, a
/// configuration file in which the others are its persistent peers, and the genesis that all of
/// them share. With --discovery each knows node 0 only and finds the others. Doing it twice changes
/// nothing.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  adnet testnet --validators 4 --dir ./testnet
  adnet testnet --validators 7 --dir ./fast --alpha-block-interval 2000 --delta-block-interval 500
  adnet testnet --validators 7 --dir ./found --discovery
  adnet testnet run --dir ./testnet
  adnet status --data-dir ./testnet/node-2

Node I has the usual ports plus 10 times I: 3030, 4030, 9090, 4130, 4131 and 4132 for node 0, then 3040,
4040, 9100, 4140, 4141 and 4142. For more than 10 nodes, or beside another node, give --base-port P: node
I then has P + 10 I for Alpha's API, and the next five for Delta's API, metrics, the peers of Alpha
and Delta, and discovery."
)]
pub(super) struct TestnetCommand {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    new: Option<NewTestnet>,
}

#[derive(Debug, Subcommand)]
enum Action {
    Run(run::RunTestnet),
}

#[derive(Debug, Args)]
struct NewTestnet {
    /// How many nodes, each a validator of the same power: 1 to 100
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    validators: u16,

    /// Where the nodes' data directories go
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// First port of node 0 [default: the usual ports of a node, which 10 nodes can share]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1024..))]
    base_port: Option<u16>,

    /// Milliseconds between Alpha's blocks [default: 15000]
    #[arg(long, value_name = "MS")]
    alpha_block_interval: Option<u64>,

    /// Milliseconds between Delta's blocks [default: 3000]
    #[arg(long, value_name = "MS")]
    delta_block_interval: Option<u64>,

    /// Tell each node of node 0 only: they find each other
    #[arg(long)]
    discovery: bool,
}

impl TestnetCommand {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        match (self.action, self.new) {
            (Some(Action::Run(run)), _) => run.execute(),
            (None, Some(new)) => new.execute(),
            (None, None) => Err(UsageError("give --validators and --dir, or run".into()).into()),
        }
    }
}

impl NewTestnet {
    fn execute(self) -> anyhow::Result<ExitCode> {
        let plan = Plan::new(self.dir.clone(), self.validators.into(), self.base_port)
            .map_err(|error| UsageError(error.to_string()))?;
        let intervals = write::Intervals {
            alpha_ms: self.alpha_block_interval,
            delta_ms: self.delta_block_interval,
        };
        let written = match write::write(&plan, intervals, self.discovery) {
            Ok(written) => written,
            Err(error @ (write::TestnetError::Invalid(_) | write::TestnetError::Other { .. })) => {
                return Err(UsageError(error.to_string()).into());
            }
            Err(error) => return Err(error.into()),
        };
        let mut out = io::stdout().lock();
        let word = if written.is_new { "made" } else { "kept" };
        writeln!(
            out,
            "{word}: {} nodes, genesis {}",
            self.validators, written.genesis
        )?;
        for node in plan.nodes() {
            writeln!(
                out,
                "  {}  alpha http://{}  delta http://{}  metrics http://{}",
                node.data_dir.display(),
                node.alpha_api(),
                node.delta_api(),
                node.metrics(),
            )?;
        }
        writeln!(out)?;
        writeln!(
            out,
            "Start it with: adnet testnet run --dir {}",
            self.dir.display()
        )?;
        Ok(ExitCode::SUCCESS)
    }
}
