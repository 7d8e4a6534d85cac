//! `adnet config`: what is in force, where it came from, and whether it is right.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use adnet_common::config::{ConfigErrors, DEFAULT_TOML};
use clap::{Args, Subcommand};

use super::{EXIT_CONFIG, settings::SettingsArgs};
use crate::logging::complain;

/// Show or check the configuration
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  adnet config show                              every key, its value, and where it came from
  adnet config show --json | jq '.[\"alpha.api_listen\"]'
  adnet config check --config /etc/adnet/adnet.toml
  adnet config manual > adnet.toml               the commented defaults, to start from"
)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print every key with its value and origin
    Show {
        /// As one JSON object: key to value and origin
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Report all mistakes at once; exit 0 if there are none, else 2
    Check {
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Print the default configuration file, whose comments explain every key
    Manual,
}

impl ConfigCommand {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::Show { json, settings } => show(json, &settings),
            Action::Check { settings } => check(&settings),
            Action::Manual => {
                write!(io::stdout(), "{DEFAULT_TOML}")?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn show(json: bool, settings: &SettingsArgs) -> anyhow::Result<ExitCode> {
    let loaded = match settings.load() {
        Ok(loaded) => loaded,
        Err(errors) => return Ok(report(&errors)),
    };
    let rows = loaded.settings();
    if json {
        let entries = rows.iter().map(|row| {
            let entry = serde_json::json!({ "value": row.value, "origin": row.origin });
            (row.key.clone(), entry)
        });
        let object: serde_json::Map<String, serde_json::Value> = entries.collect();
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&object)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let key_width = rows.iter().map(|row| row.key.len()).max().unwrap_or(0);
    let values: Vec<String> = rows.iter().map(|row| row.value.to_string()).collect();
    let value_width = values.iter().map(String::len).max().unwrap_or(0).min(48);
    for (row, value) in rows.iter().zip(&values) {
        writeln!(
            io::stdout(),
            "{:key_width$}  {value:value_width$}  {}",
            row.key,
            row.origin
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn check(settings: &SettingsArgs) -> anyhow::Result<ExitCode> {
    let sources = settings.sources(Vec::new());
    match sources.load_for_run() {
        Ok(loaded) => {
            let file = match &sources.file {
                Some(file) => file.display().to_string(),
                None => "no configuration file".to_owned(),
            };
            writeln!(
                io::stdout(),
                "The configuration is right ({} keys, {file}).",
                loaded.settings().len()
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Err(errors) => Ok(report(&errors)),
    }
}

/// Prints all mistakes and gives the exit code for them.
pub(super) fn report(errors: &ConfigErrors) -> ExitCode {
    complain(&format!(
        "adnet: {errors}\n`adnet config manual` explains every key."
    ));
    ExitCode::from(EXIT_CONFIG)
}
