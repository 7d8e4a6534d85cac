//! `adnet tx`: sign a transaction here and send it to a node's API.
//!
//! The secret never leaves this process: what is sent is the signed transaction. Parameters of the
//! network (fees, chain id) come from its genesis file, nonce and height from the API.

mod alpha;
mod delta;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use adnet_common::{config::Loaded, genesis::Genesis};
use clap::{Args, Subcommand};

use super::{api_client::url_of, settings::SettingsArgs};

/// Sign a transaction and send it
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples (on a development network, against the node in ./adnet-data):
  adnet tx alpha transfer --from dev-0 --to ax1... --amount 1.5
  adnet tx alpha lock --from dev-0 --to 0x... --amount 100
  adnet tx delta transfer --from dev-0 --to 0x... --amount 0.25
  adnet tx delta unlock --from dev-0 --to ax1... --amount 100

--from takes the name of a key (`adnet keys list`)."
)]
pub(super) struct TxCommand {
    #[command(subcommand)]
    chain: Chain,
}

#[derive(Debug, Subcommand)]
enum Chain {
    Alpha(alpha::AlphaTx),
    Delta(delta::DeltaTx),
}

/// Where to send, and how long to wait.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Sending")]
struct SendArgs {
    /// The API to send to [default: the one that the configuration names]
    #[arg(long, value_name = "URL")]
    api: Option<String>,

    /// The genesis file of the network [default: genesis.json in the data directory]
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,

    /// The sender's nonce [default: asked from the API]
    #[arg(long, value_name = "N")]
    nonce: Option<u64>,

    /// Do not wait until the transaction is in a block
    #[arg(long)]
    no_wait: bool,

    /// Seconds to wait for a block
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,

    /// Print the signed transaction as hex instead of sending it
    #[arg(long)]
    sign_only: bool,

    #[command(flatten)]
    settings: SettingsArgs,
}

impl TxCommand {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        match self.chain {
            Chain::Alpha(tx) => tx.execute(),
            Chain::Delta(tx) => tx.execute(),
        }
    }
}

/// The network that a transaction is for, and the way to it.
struct Network {
    loaded: Loaded,
    genesis: Genesis,
}

impl SendArgs {
    fn network(&self) -> anyhow::Result<Network> {
        let loaded = self
            .settings
            .load()
            .map_err(|errors| super::UsageError(errors.to_string()))?;
        let file = match &self.genesis {
            Some(file) => file.clone(),
            None => loaded.config.node.genesis_file(),
        };
        let genesis = Genesis::load(&file)?;
        Ok(Network { loaded, genesis })
    }

    /// The URL to send to: what was given, or where a node with this configuration listens.
    fn url(&self, listen: SocketAddr) -> String {
        match &self.api {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => url_of(listen),
        }
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}
