//! What several commands of the wallet take: its directory, the node, an amount, how long to wait.

use std::{path::PathBuf, time::Duration};

use anyhow::anyhow;
use clap::{Args, ValueEnum};

use super::{folder, node::NodeClient, passphrase::PassphraseArgs};
use crate::cli::{
    UsageError,
    amount::Units,
    api_client::{ApiClient, url_of},
    settings::SettingsArgs,
};

/// Which wallet, and how its answers look.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Wallet")]
pub(super) struct WalletArgs {
    /// The wallet's directory [default: ~/.adnet/wallet]
    #[arg(long = "wallet", value_name = "DIR", env = "ADNET_WALLET")]
    dir: Option<PathBuf>,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

impl WalletArgs {
    pub fn path(&self) -> anyhow::Result<PathBuf> {
        let path = self.dir.clone().or_else(folder::default_path);
        let missing = "there is no home directory: name the wallet's directory by --wallet";
        Ok(path.ok_or_else(|| UsageError(missing.to_owned()))?)
    }
}

/// Which node the wallet asks. It learns what you ask it for: use your own.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Node")]
pub(super) struct NodeArgs {
    /// Alpha's API of the node to ask [default: the one that the configuration names]
    #[arg(long, value_name = "URL", visible_alias = "api")]
    node: Option<String>,

    /// Do not fetch the whole transactions, by which the node learns which ones are yours: history
    /// then lacks memos and recipients
    #[arg(long)]
    pub no_memos: bool,

    #[command(flatten)]
    settings: SettingsArgs,
}

impl NodeArgs {
    pub fn client(&self) -> anyhow::Result<NodeClient> {
        let url = match &self.node {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => {
                let loaded = self.settings.load();
                let loaded = loaded.map_err(|errors| UsageError(errors.to_string()))?;
                url_of(loaded.config.alpha.api_listen)
            }
        };
        Ok(NodeClient::new(ApiClient::new(url)))
    }
}

/// How much.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct AmountArgs {
    /// AX, with up to 4 decimals
    #[arg(long, value_name = "AX")]
    amount: Option<Units>,

    /// The same in units, of which an AX has 10,000
    #[arg(long, value_name = "N")]
    units: Option<u64>,
}

impl AmountArgs {
    pub fn units(&self) -> anyhow::Result<u64> {
        let units = self.amount.map(|Units(units)| units).or(self.units);
        match units {
            Some(0) => Err(UsageError("the amount is zero".to_owned()).into()),
            Some(units) => Ok(units),
            None => Err(anyhow!("no amount was given")),
        }
    }
}

/// Where the AX of a payment come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum From {
    /// The wallet's notes in the shielded pool
    Pool,
    /// Its public account
    Public,
}

/// What a payment costs at most, and whether the command waits for it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Sending")]
pub(super) struct SendArgs {
    /// Give up if the fee would be higher than this
    #[arg(long, value_name = "AX", default_value = "20")]
    pub max_fee: Units,

    /// Make another one, even if the very same thing is under way already
    #[arg(long)]
    pub again: bool,

    /// Do not wait until the transaction is in a block
    #[arg(long)]
    pub no_wait: bool,

    /// Seconds to wait for a block
    #[arg(long, value_name = "S", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

impl SendArgs {
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}
