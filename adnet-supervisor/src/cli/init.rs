//! `adnet init`: make a node of a new development network, without starting it.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use adnet_common::{chain_id::ChainId, trusted_block::TrustedBlock};
use clap::Args;

use super::settings::SettingsArgs;
use crate::new_node::{self, Join, NewNode, NewNodeError};

/// Make a node: keys, configuration file and the genesis of a development network
///
/// The network has this node as its only validator, and three accounts per chain whose keys are
/// public knowledge. With --genesis and --boot the node joins a network that exists instead. What
/// exists already is kept and reported, so doing it twice changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  adnet init                                     in ./adnet-data
  adnet init --data-dir ./fast --block-interval 200
  adnet init --alpha-block-interval 5000 --delta-block-interval 1000 --force
  adnet init --genesis genesis.json --boot enr:-...,enr:-...
  adnet init --genesis genesis.json --boot enr:-... --trust alpha=1200:5f0c... --trust delta=6000:ab31...")]
pub(super) struct InitCommand {
    /// Milliseconds between blocks, on both chains [default: alpha 15000, delta 3000]
    #[arg(long, value_name = "MS")]
    block_interval: Option<u64>,

    /// Milliseconds between Alpha's blocks
    #[arg(long, value_name = "MS")]
    alpha_block_interval: Option<u64>,

    /// Milliseconds between Delta's blocks
    #[arg(long, value_name = "MS")]
    delta_block_interval: Option<u64>,

    /// Replace an existing genesis; refused once there is a database. Keys are always kept
    #[arg(long)]
    force: bool,

    /// The genesis of the network to join [default: the one in the data directory]
    #[arg(long, value_name = "FILE", conflicts_with_all = INTERVALS)]
    genesis: Option<PathBuf>,

    /// Records of nodes of that network, separated by commas (`adnet keys show node --record`)
    #[arg(long, value_name = "ENR", value_delimiter = ',', conflicts_with_all = INTERVALS)]
    boot: Vec<String>,

    /// A recent block of the network that you trust, per chain, as CHAIN=HEIGHT:HASH (`adnet status` on
    /// a trusted node shows them): the node then begins with the state of a recent height
    #[arg(long, value_name = "BLOCK", value_parser = trusted_block, conflicts_with_all = INTERVALS)]
    trust: Vec<(ChainId, TrustedBlock)>,

    #[command(flatten)]
    settings: SettingsArgs,
}

/// What a network that exists has decided already.
const INTERVALS: [&str; 4] = [
    "block_interval",
    "alpha_block_interval",
    "delta_block_interval",
    "force",
];

/// `alpha=1200:5f0c…`
fn trusted_block(text: &str) -> Result<(ChainId, TrustedBlock), String> {
    let parts = text.split_once('=');
    let (chain, block) = parts.ok_or("a trusted block is CHAIN=HEIGHT:HASH")?;
    let mut chains = ChainId::ALL.into_iter();
    let chain = chains.find(|known| known.name() == chain.trim());
    let chain = chain.ok_or("the chain is alpha or delta")?;
    let block: Result<TrustedBlock, _> = block.parse();
    Ok((chain, block.map_err(|error| error.to_string())?))
}

impl InitCommand {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let loaded = match self.settings.sources(Vec::new()).load_for_run() {
            Ok(loaded) => loaded,
            Err(errors) => return Ok(super::config::report(&errors)),
        };
        let joins = self.genesis.is_some() || !self.boot.is_empty() || !self.trust.is_empty();
        let new = NewNode {
            node: loaded.config.node,
            alpha_block_interval_ms: self.alpha_block_interval.or(self.block_interval),
            delta_block_interval_ms: self.delta_block_interval.or(self.block_interval),
            replace_genesis: self.force,
            join: joins.then_some(Join {
                genesis_file: self.genesis,
                boot_nodes: self.boot,
                trusted: self.trust.into_iter().collect(),
            }),
        };
        let report = match new_node::create(&new) {
            Ok(report) => report,
            Err(
                error @ (NewNodeError::Invalid(_)
                | NewNodeError::OtherIntervals { .. }
                | NewNodeError::NoGenesisToJoin(_)
                | NewNodeError::OtherGenesis(_)
                | NewNodeError::OtherConfiguration(_)
                | NewNodeError::BootNode(_)),
            ) => {
                return Err(super::UsageError(error.to_string()).into());
            }
            Err(error) => return Err(error.into()),
        };
        writeln!(io::stdout(), "{}:", report.data_dir.display())?;
        writeln!(io::stdout(), "{report}")?;
        writeln!(io::stdout())?;
        writeln!(
            io::stdout(),
            "Start it with: adnet run --data-dir {}",
            report.data_dir.display()
        )?;
        Ok(ExitCode::SUCCESS)
    }
}
