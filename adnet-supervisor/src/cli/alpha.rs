//! `adnet alpha`: what concerns Alpha and needs no running node.

mod proof;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Tools for Alpha that need no node
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  adnet alpha proof verify proof.json --state-root 5f2c...
  adnet alpha proof verify --help")]
pub(super) struct AlphaCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Proofs of Alpha's state
    Proof(ProofCommand),
}

#[derive(Debug, Args)]
struct ProofCommand {
    #[command(subcommand)]
    command: ProofSubcommand,
}

#[derive(Debug, Subcommand)]
enum ProofSubcommand {
    Verify(proof::VerifyCommand),
}

impl AlphaCommand {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Proof(ProofCommand {
                command: ProofSubcommand::Verify(command),
            }) => command.execute(),
        }
    }
}
