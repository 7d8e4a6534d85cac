//! `adnet completion`: a script that teaches a shell the commands.

use std::{io, process::ExitCode};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  adnet completion bash > /etc/bash_completion.d/adnet
  adnet completion zsh > ~/.zfunc/_adnet
  adnet completion fish > ~/.config/fish/completions/adnet.fish")]
pub(super) struct CompletionCommand {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl CompletionCommand {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        // Generated into memory first: a closed pipe must be an error, not a panic of the library.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Cli::command(), "adnet", &mut script);
        io::Write::write_all(&mut io::stdout(), &script)?;
        Ok(ExitCode::SUCCESS)
    }
}
