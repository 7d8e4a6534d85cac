//! The flags that lead to a configuration, shared by all commands that need one.

use std::{collections::BTreeMap, env, path::PathBuf};

use adnet_common::config::{self, CONFIG_FILE_NAME, ConfigErrors, Flag, Loaded};
use clap::Args;

/// Where the node lives and what overrides its configuration.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub(super) struct SettingsArgs {
    /// The node's data directory [default: ./adnet-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,

    /// The configuration file [default: adnet.toml in the data directory, if it exists]
    #[arg(long, value_name = "FILE", env = "ADNET_CONFIG")]
    pub config: Option<PathBuf>,

    /// Overrides one key of the configuration; may be given several times
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", value_parser = parse_override)]
    pub overrides: Vec<(String, String)>,
}

/// Flags as `load` wants them, the environment, and the file.
pub(super) struct Sources {
    pub flags: BTreeMap<String, Flag>,
    pub env: BTreeMap<String, String>,
    pub file: Option<PathBuf>,
}

impl SettingsArgs {
    /// The sources of the configuration. `own_flags` are the calling command's flags, as key, name
    /// of the flag, value; they win over `--set`.
    pub fn sources(&self, own_flags: Vec<(&str, &str, String)>) -> Sources {
        let mut flags = BTreeMap::new();
        for (key, value) in &self.overrides {
            let flag = Flag {
                flag: "--set".to_owned(),
                value: value.clone(),
            };
            flags.insert(key.clone(), flag);
        }
        let data_dir = self
            .data_dir
            .iter()
            .map(|dir| ("node.data_dir", "--data-dir", dir.clone()));
        for (key, flag, value) in data_dir.chain(own_flags) {
            flags.insert(
                key.to_owned(),
                Flag {
                    flag: flag.to_owned(),
                    value,
                },
            );
        }
        let env = process_environment();
        let file = self.config.clone().or_else(|| {
            let file = config::data_dir_without_file(&flags, &env).join(CONFIG_FILE_NAME);
            file.exists().then_some(file)
        });
        Sources { flags, env, file }
    }

    /// The configuration for commands that do not run a node.
    pub fn load(&self) -> Result<Loaded, ConfigErrors> {
        self.sources(Vec::new()).load()
    }
}

impl Sources {
    pub fn load(&self) -> Result<Loaded, ConfigErrors> {
        config::load(&self.flags, &self.env, self.file.as_deref())
    }

    pub fn load_for_run(&self) -> Result<Loaded, ConfigErrors> {
        config::load_for_run(&self.flags, &self.env, self.file.as_deref())
    }
}

/// The environment as text. What is not UTF-8 comes through mangled and is refused as a value.
fn process_environment() -> BTreeMap<String, String> {
    env::vars_os()
        .map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        })
        .collect()
}

fn parse_override(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if key.contains('.') => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err(
            "expected SECTION.KEY=VALUE, for example alpha.api_listen=127.0.0.1:3030".to_owned(),
        ),
    }
}
