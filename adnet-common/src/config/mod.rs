//! Configuration: typed values from four layers, each value with its origin.
//!
//! A value comes from the first of: command line, environment (`ADNET_SECTION_KEY`), TOML file,
//! default. `load` is a function of its inputs alone and reports all mistakes at once, each with
//! key, value and place. `DEFAULT_TOML` is the manual: it explains every key and holds exactly the
//! defaults. Whether the machine can do what a valid configuration asks for is a separate question,
//! which `check_machine` answers.

mod error;
mod layers;
mod limits;
mod machine;
mod origin;
mod schema;
mod toml_file;
mod types;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub use error::{ConfigError, ConfigErrors};
pub use layers::Flag;
pub use machine::check_machine;
pub use origin::Origin;
pub use schema::{Setting, env_name};
pub use types::{
    AlphaApiConfig, ChainConfig, Config, DeltaApiConfig, LogConfig, LogFormat, LogLevel,
    MetricsConfig, Mode, NodeConfig, StoreConfig, SupervisorConfig,
};

/// The default configuration file, whose comments are the manual.
pub const DEFAULT_TOML: &str = include_str!("default.toml");

/// The name under which the configuration file is looked for in the data directory.
pub const CONFIG_FILE_NAME: &str = "adnet.toml";

/// A configuration file larger than this is refused.
pub const CONFIG_FILE_MAX_BYTES: u64 = 1024 * 1024;

/// A valid configuration, and where each of its values came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub config: Config,
    /// Every key (`alpha.api_listen`) with the origin of its value.
    pub origins: BTreeMap<String, Origin>,
}

/// Merges flags, environment, file and defaults.
///
/// `flags` maps keys to what the command line said; `env` is the environment, of which only names
/// that begin with `ADNET_` (and `STATE_DIRECTORY`, which systemd sets) are looked at.
///
/// # Errors
/// Every mistake of every layer and every broken limit, in one `ConfigErrors`.
pub fn load(
    flags: &BTreeMap<String, Flag>,
    env: &BTreeMap<String, String>,
    file: Option<&Path>,
) -> Result<Loaded, ConfigErrors> {
    let (loaded, mut errors) = layers::merge(flags, env, file);
    errors.extend(limits::check(&loaded));
    if errors.is_empty() {
        Ok(loaded)
    } else {
        Err(ConfigErrors(errors))
    }
}

/// As `load`, and also asks the machine: a `run` needs writable paths and enough descriptors.
///
/// # Errors
/// The mistakes of `load` and of `check_machine`, together.
pub fn load_for_run(
    flags: &BTreeMap<String, Flag>,
    env: &BTreeMap<String, String>,
    file: Option<&Path>,
) -> Result<Loaded, ConfigErrors> {
    let (loaded, mut errors) = layers::merge(flags, env, file);
    errors.extend(limits::check(&loaded));
    errors.extend(check_machine(&loaded));
    if errors.is_empty() {
        Ok(loaded)
    } else {
        Err(ConfigErrors(errors))
    }
}

/// The data directory that flags and environment lead to, for finding the file in it.
pub fn data_dir_without_file(
    flags: &BTreeMap<String, Flag>,
    env: &BTreeMap<String, String>,
) -> PathBuf {
    layers::merge(flags, env, None).0.config.node.data_dir
}

impl Loaded {
    /// Every setting in the order of the manual, for people.
    pub fn settings(&self) -> Vec<Setting> {
        schema::settings(self)
    }
}

#[cfg(test)]
mod tests;
