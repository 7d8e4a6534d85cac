//! The command line: one file per command, and the table that leads to them.
//!
//! Exit codes: 0 done, 1 it failed, 2 the arguments are wrong, 78 the configuration is; `run` has some
//! more (`process/exit_code.rs`). Results go to standard output and everything else to standard error,
//! so that `--json` can be piped.

mod alpha;
mod amount;
mod api_client;
mod completion;
mod config;
mod control_client;
mod init;
mod keys;
mod node_record;
mod payee;
mod peers;
mod run;
mod settings;
mod signer_key;
mod spinner;
mod status;
mod testnet;
mod tx;
mod version;
mod wallet;

use std::{io, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::logging::complain;
use crate::process::exit_code;

pub use version::{COMMIT, VersionReport};

/// What the binary ends with when its arguments are wrong.
const EXIT_USAGE: u8 = exit_code::USAGE as u8;
/// And when its configuration is.
const EXIT_CONFIG: u8 = exit_code::CONFIG as u8;

/// The adnet node: Alpha, the privacy chain, and Delta, the exchange chain, in one program.
#[derive(Debug, Parser)]
#[command(
    name = "adnet",
    version,
    propagate_version = false,
    arg_required_else_help = true,
    infer_long_args = false,
    max_term_width = 100,
    after_help = "Examples:
  adnet run                       start a node in ./adnet-data; the first time it makes a
                                  development network there and says what it put where
  adnet status                    what that node is doing
  adnet wallet new                make a wallet; `adnet wallet --help` says what it does
  adnet tx alpha transfer --help  how to send something with a key file
  adnet config show               every setting in force and where it came from

`adnet COMMAND --help` explains each command."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunCommand),
    Init(init::InitCommand),
    Status(status::StatusCommand),
    Peers(peers::PeersCommand),
    Testnet(testnet::TestnetCommand),
    Tx(tx::TxCommand),
    Wallet(wallet::WalletCommand),
    Alpha(alpha::AlphaCommand),
    Keys(keys::KeysCommand),
    Config(config::ConfigCommand),
    Version(version::VersionCommand),
    Completion(completion::CompletionCommand),
}

/// Reads the arguments of this process and carries them out. Ends the process itself for `--help`
/// (0) and for wrong arguments (2, with a hint).
pub fn parse_and_dispatch() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(command) => command.execute(),
        Command::Init(command) => command.execute(),
        Command::Status(command) => command.execute(),
        Command::Peers(command) => command.execute(),
        Command::Testnet(command) => command.execute(),
        Command::Tx(command) => command.execute(),
        Command::Wallet(command) => command.execute(),
        Command::Alpha(command) => command.execute(),
        Command::Keys(command) => command.execute(),
        Command::Config(command) => command.execute(),
        Command::Version(command) => command.execute(),
        Command::Completion(command) => command.execute(),
    };
    match done {
        Ok(code) => code,
        // Whoever read the output has seen enough, as in `adnet config show | head -1`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("adnet: {error:#}"));
            match error.downcast_ref::<UsageError>() {
                Some(_) => ExitCode::from(EXIT_USAGE),
                None => ExitCode::FAILURE,
            }
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io_error = error.downcast_ref::<io::Error>();
    io_error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The user asked for something that cannot be: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

#[cfg(test)]
mod tests;
