//! `adnet keys`: make, show, import and list key files of the data directory.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use adnet_common::{
    genesis::DEV_ACCOUNTS,
    keys::{KEY_FILE_MAX_BYTES, KeyDir, KeyKind, SecretKey},
};
use anyhow::Context;
use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::{node_record, settings::SettingsArgs, signer_key};

/// Make, show, import and list keys
///
/// Keys are files in DATA_DIR/keys, readable by their owner only and not encrypted. A file that
/// others may read is refused.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  adnet keys new alice                      an account on Alpha
  adnet keys new bob --kind delta           an account on Delta
  adnet keys list
  adnet keys show alice                     its address
  adnet keys show node --record             this node as a boot node of others
  adnet keys import carol --kind delta < secret.hex

The names dev-0, dev-1 and dev-2 work without a file: they are the accounts of every development
network, on both chains, and everybody knows their secrets."
)]
pub(super) struct KeysCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a new random key
    New {
        /// The name of the key: a-z, 0-9, - and _
        name: String,
        /// The chain that the key is for
        #[arg(long, value_parser = kind_parser(), default_value = "alpha")]
        kind: String,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Print the address of a key (or the public key, for keys of the node)
    Show {
        /// The name of the key
        name: String,
        /// The chain, where the name means a development account or to insist on it
        #[arg(long, value_parser = kind_parser())]
        kind: Option<String>,
        /// Print the secret instead. Whoever sees it owns the account
        #[arg(long)]
        secret: bool,
        /// Of the node key: print the node's record, which others take for a boot node
        #[arg(long, conflicts_with = "secret")]
        record: bool,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Store a secret that exists already, read from a file or from standard input
    Import {
        /// The name that the key gets
        name: String,
        /// The chain that the key is for
        #[arg(long, value_parser = kind_parser())]
        kind: String,
        /// A file with 64 hex digits [default: standard input]
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// List all keys with kind and address
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

fn kind_parser() -> [&'static str; 2] {
    [KeyKind::Alpha.as_str(), KeyKind::Delta.as_str()]
}

impl KeysCommand {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::New {
                name,
                kind,
                settings,
            } => store(
                &data_dir(&settings)?,
                &name,
                &SecretKey::random(parsed(&kind)),
            ),
            Action::Show {
                name,
                kind: _,
                secret: _,
                record: true,
                settings,
            } => node_record::show(&name, &settings),
            Action::Show {
                name,
                kind,
                secret,
                record: false,
                settings,
            } => show(
                &data_dir(&settings)?,
                &name,
                kind.as_deref().map(parsed),
                secret,
            ),
            Action::Import {
                name,
                kind,
                from,
                settings,
            } => {
                let key = SecretKey::from_hex(parsed(&kind), read_secret(from.as_deref())?.trim())?;
                store(&data_dir(&settings)?, &name, &key)
            }
            Action::List { json, settings } => list(&data_dir(&settings)?, json),
        }
    }
}

fn parsed(kind: &str) -> KeyKind {
    kind.parse()
        .expect("the command line accepts only kinds that exist")
}

fn data_dir(settings: &SettingsArgs) -> anyhow::Result<PathBuf> {
    Ok(settings
        .load()
        .map_err(|errors| super::UsageError(errors.to_string()))?
        .config
        .node
        .data_dir)
}

fn store(data_dir: &Path, name: &str, key: &SecretKey) -> anyhow::Result<ExitCode> {
    let path = KeyDir::of(data_dir).create(name, key)?;
    writeln!(io::stdout(), "{}", signer_key::public_name(key))?;
    eprintln!(
        "Stored in {} (mode 0600, not encrypted: keep a copy in a safe place).",
        path.display()
    );
    Ok(ExitCode::SUCCESS)
}

fn show(
    data_dir: &Path,
    name: &str,
    kind: Option<KeyKind>,
    secret: bool,
) -> anyhow::Result<ExitCode> {
    let key = match kind {
        Some(kind) => signer_key::find(data_dir, name, kind)?,
        None => KeyDir::of(data_dir).load(name).or_else(|missing| {
            signer_key::find(data_dir, name, KeyKind::Alpha).map_err(|_| missing)
        })?,
    };
    match secret {
        true => writeln!(io::stdout(), "{}", key.to_hex().as_str())?,
        false => writeln!(io::stdout(), "{}", signer_key::public_name(&key))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads at most a key file's size: whatever is longer is no secret.
fn read_secret(from: Option<&Path>) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    match from {
        Some(path) => File::open(path)
            .and_then(|file| file.take(KEY_FILE_MAX_BYTES).read_to_string(&mut text))
            .with_context(|| path.display().to_string())?,
        None => io::stdin()
            .take(KEY_FILE_MAX_BYTES)
            .read_to_string(&mut text)
            .context("standard input")?,
    };
    Ok(text)
}

fn list(data_dir: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let keys = KeyDir::of(data_dir);
    let mut rows: Vec<(String, String, String)> = Vec::new();
    let mut unreadable = 0;
    for name in keys.names()? {
        match keys.load(&name) {
            Ok(key) => rows.push((name, key.kind().to_string(), signer_key::public_name(&key))),
            Err(error) => {
                eprintln!("adnet: {error}");
                unreadable += 1;
            }
        }
    }
    for index in 0..DEV_ACCOUNTS {
        let name = format!("dev-{index}");
        for kind in [KeyKind::Alpha, KeyKind::Delta] {
            let key = signer_key::find(data_dir, &name, kind);
            if let Ok(key) = key
                && !keys.path_of(&name)?.exists()
            {
                rows.push((
                    name.clone(),
                    format!("{kind} (public)"),
                    signer_key::public_name(&key),
                ));
            }
        }
    }
    if json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(name, kind, public)| serde_json::json!({ "name": name, "kind": kind, "public": public }))
            .collect();
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&rows)?)?;
    } else {
        for (name, kind, public) in rows {
            writeln!(io::stdout(), "{name:<16} {kind:<15} {public}")?;
        }
    }
    Ok(if unreadable == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
