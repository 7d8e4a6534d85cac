//! The commands that show or change what is kept: viewing keys, passphrase, words.

use std::{
    io::{self, BufRead},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::bail;
use clap::Args;

use super::{
    key_file::KeyFile,
    options::WalletArgs,
    output::{Fields, Report},
    passphrase::{chosen, is_interactive},
    session::Session,
    words,
};
use crate::cli::UsageError;

/// Print the viewing key
///
/// Whoever has it sees every payment of this wallet, past and future, and can spend nothing. With
/// --json, what `import-viewing-key` takes.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  adnet wallet export-viewing-key --json > viewing.json")]
pub(super) struct ExportViewingKey {
    #[command(flatten)]
    wallet: WalletArgs,
}

/// Encrypt the keys with another passphrase
///
/// The words stay the same: who has a copy of the old key file opens it with the old passphrase.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  adnet wallet change-passphrase")]
pub(super) struct ChangePassphrase {
    /// A file whose first line is the new passphrase [default: ask for it]
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,

    #[command(flatten)]
    wallet: WalletArgs,
}

/// Show the 24 words
///
/// Whoever sees them can spend everything. Asks whether you mean it, and for the passphrase.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  adnet wallet show-mnemonic")]
pub(super) struct ShowMnemonic {
    /// Do not ask whether you mean it
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    wallet: WalletArgs,
}

impl ExportViewingKey {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let session = Session::open(&self.wallet)?;
        let keys = session.keys();
        let birthday = session.viewing.birthday_height;
        Report {
            json: serde_json::to_value(&session.viewing)?,
            text: format!(
                "viewing key  {}\npublic       {}\ndelta        {}\nbirthday     block {birthday}",
                keys.pool.export(),
                keys.alpha,
                keys.delta
            ),
        }
        .print(self.wallet.json)
    }
}

impl ChangePassphrase {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let session = Session::open(&self.wallet)?;
        let keys = KeyFile::load(&session.folder, self.wallet.passphrase.existing()?)?;
        let passphrase = chosen(self.new_passphrase_file.as_deref())?;
        keys.replace(&session.folder, passphrase)?;
        let path = session.folder.path().display().to_string();
        Report {
            json: Fields::new()
                .with("wallet", &path)
                .with("changed", true)
                .into(),
            text: format!("the keys in {path} have another passphrase"),
        }
        .print(self.wallet.json)
    }
}

impl ShowMnemonic {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let session = Session::open(&self.wallet)?;
        if !self.yes {
            if !is_interactive() {
                let why = "say --yes to print the words where nobody can be asked";
                return Err(UsageError(why.to_owned()).into());
            }
            eprint!("Whoever sees the words can spend everything. Show them? Type yes: ");
            let mut answer = String::new();
            io::stdin().lock().read_line(&mut answer)?;
            if answer.trim() != "yes" {
                bail!("nothing was shown");
            }
        }
        let keys = KeyFile::load(&session.folder, self.wallet.passphrase.existing()?)?;
        let birthday = keys.birthday_height;
        Report {
            json: Fields::new()
                .with("mnemonic", &keys.mnemonic)
                .with("birthday_height", birthday)
                .into(),
            text: format!(
                "{}\nbirthday: block {birthday}",
                words::numbered(&keys.mnemonic).as_str()
            ),
        }
        .print(self.wallet.json)
    }
}
