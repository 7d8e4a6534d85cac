//! `adnet run`: start the node, and make a development network first where there is nothing yet.

use std::process::ExitCode;

use adnet_common::config::Loaded;
use clap::Args;

use crate::logging::complain;

use super::settings::SettingsArgs;
use crate::{
    new_node::{self, NewNode},
    run::Role,
};

/// Start the node
///
/// In a data directory without a genesis it first makes a development network with this node as its
/// only validator, as `adnet init` does, and says what it put where.
///
/// SIGTERM or Ctrl-C stops the node in order; a second one ends it at once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  adnet run                                   both chains in ./adnet-data
  adnet run --data-dir /srv/adnet --mode alpha-only
  adnet run --log-format json --metrics-listen 0.0.0.0:9090
  adnet run --set delta.mempool_ttl_s=60 --set store.cache_bytes=67108864
  adnet run --role alpha                      one worker alone in the foreground, for a debugger")]
pub(super) struct RunCommand {
    /// Which chains to run
    #[arg(long, value_parser = ["dual", "alpha-only", "delta-only"])]
    mode: Option<String>,

    /// Which process of the node to be: the supervisor, which starts the others, or one worker
    #[arg(long, value_enum, default_value_t = Role::Supervisor)]
    role: Role,

    /// Where Alpha's API listens [default: 127.0.0.1:3030]
    #[arg(long, value_name = "ADDRESS:PORT")]
    alpha_listen: Option<String>,

    /// Where Delta's API listens [default: 127.0.0.1:4030]
    #[arg(long, value_name = "ADDRESS:PORT")]
    delta_listen: Option<String>,

    /// Where health and metrics are served [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<String>,

    /// The least severe messages that are logged [default: info]
    #[arg(long, value_parser = ["error", "warn", "info", "debug", "trace"])]
    log_level: Option<String>,

    /// How a log message looks [default: auto]
    #[arg(long, value_parser = ["auto", "human", "json"])]
    log_format: Option<String>,

    /// Refuse to start where the kernel cannot give the workers their whole sandbox
    #[arg(long)]
    require_sandbox: bool,

    #[command(flatten)]
    settings: SettingsArgs,
}

impl RunCommand {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let mut flags = Vec::new();
        let given = [
            ("node.mode", "--mode", self.mode),
            ("alpha.api_listen", "--alpha-listen", self.alpha_listen),
            ("delta.api_listen", "--delta-listen", self.delta_listen),
            ("metrics.listen", "--metrics-listen", self.metrics_listen),
            ("log.level", "--log-level", self.log_level),
            ("log.format", "--log-format", self.log_format),
        ];
        for (key, flag, value) in given {
            flags.extend(value.map(|value| (key, flag, value)));
        }
        if self.require_sandbox {
            flags.push((
                "supervisor.require_sandbox",
                "--require-sandbox",
                "true".to_owned(),
            ));
        }
        let sources = self.settings.sources(flags);
        let loaded = match sources.load_for_run() {
            Ok(loaded) => loaded,
            Err(errors) => return Ok(super::config::report(&errors)),
        };
        if let Err(error) = make_first_node(&loaded) {
            complain(&format!("adnet: {error:#}"));
            let code = crate::run::ending::code_of(&error);
            return Ok(ExitCode::from(
                u8::try_from(code).expect("exit codes are bytes"),
            ));
        }
        crate::run::run(self.role, loaded)
    }
}

/// Makes a development network where the data directory holds none.
fn make_first_node(loaded: &Loaded) -> anyhow::Result<()> {
    let node = &loaded.config.node;
    if node.genesis_file().exists() {
        return Ok(());
    }
    let report = new_node::create(&NewNode::in_dir(node.clone()))?;
    eprintln!(
        "There was no node in {} yet, so here is a new development network:",
        node.data_dir.display()
    );
    eprintln!("{report}");
    Ok(())
}
