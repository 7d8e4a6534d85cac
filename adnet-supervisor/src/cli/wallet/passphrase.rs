//! Passphrases: from a file, or from the terminal without echo. Never from the arguments, which every
//! user of the machine can read.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use age::secrecy::{ExposeSecret, SecretString};
use anyhow::{Context, bail};
use clap::Args;
use zeroize::Zeroizing;

use crate::cli::UsageError;

/// More than this is no passphrase.
const PASSPHRASE_BYTES_MAX: u64 = 1_024;
/// Shorter ones are guessed quickly, however slow each guess is.
const PASSPHRASE_CHARS_MIN: usize = 8;

/// Where the passphrase comes from.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Passphrase")]
pub(super) struct PassphraseArgs {
    /// A file whose first line is the passphrase [default: ask for it]
    #[arg(long, value_name = "FILE", env = "ADNET_WALLET_PASSPHRASE_FILE")]
    pub passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    /// The passphrase of a wallet that exists.
    pub fn existing(&self) -> anyhow::Result<SecretString> {
        match &self.passphrase_file {
            Some(file) => from_file(file),
            None => prompt("Passphrase of the wallet: "),
        }
    }

    /// The passphrase of a wallet that is made now, asked for twice.
    pub fn chosen(&self) -> anyhow::Result<SecretString> {
        chosen(self.passphrase_file.as_deref())
    }
}

/// A passphrase that is chosen now: from a file, or asked for twice.
pub(super) fn chosen(file: Option<&Path>) -> anyhow::Result<SecretString> {
    let passphrase = match file {
        Some(file) => from_file(file)?,
        None => {
            let question = format!("New passphrase (at least {PASSPHRASE_CHARS_MIN} characters): ");
            let first = prompt(&question)?;
            let second = prompt("The same again: ")?;
            if first.expose_secret() != second.expose_secret() {
                bail!("the two passphrases differ; nothing was changed");
            }
            first
        }
    };
    if passphrase.expose_secret().chars().count() < PASSPHRASE_CHARS_MIN {
        let why = format!("a passphrase has at least {PASSPHRASE_CHARS_MIN} characters");
        return Err(UsageError(why).into());
    }
    Ok(passphrase)
}

fn prompt(question: &str) -> anyhow::Result<SecretString> {
    // The question goes to the terminal itself, so it does not mix with output that is piped.
    if File::open("/dev/tty").is_err() {
        let why = "there is no terminal to ask for the passphrase: give it by --passphrase-file \
                   or ADNET_WALLET_PASSPHRASE_FILE";
        return Err(UsageError(why.to_owned()).into());
    }
    let text = rpassword::prompt_password(question).context("the passphrase could not be read")?;
    Ok(SecretString::from(text))
}

fn from_file(path: &Path) -> anyhow::Result<SecretString> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let metadata = file
        .metadata()
        .with_context(|| path.display().to_string())?;
    if metadata.is_file() && metadata.mode() & 0o077 != 0 {
        eprintln!(
            "adnet: {} may be read by others; `chmod 600` keeps the passphrase yours",
            path.display()
        );
    }
    let line = first_line(file).with_context(|| path.display().to_string())?;
    if line.is_empty() {
        bail!(
            "{}: its first line, the passphrase, is empty",
            path.display()
        );
    }
    Ok(SecretString::from(line.as_str()))
}

fn first_line(from: impl Read) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::with_capacity(PASSPHRASE_BYTES_MAX as usize + 2));
    let mut reader = BufReader::new(from.take(PASSPHRASE_BYTES_MAX + 2));
    reader.read_line(&mut line)?;
    let kept = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(kept);
    match kept as u64 > PASSPHRASE_BYTES_MAX {
        true => Err(io::Error::other("the passphrase is too long")),
        false => Ok(line),
    }
}

/// Whether a person is at both ends, so that questions make sense.
pub(super) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_passphrase() {
        for (text, line) in [
            ("correct horse\n", "correct horse"),
            ("a b \r\nmore", "a b "),
            ("x", "x"),
            ("", ""),
        ] {
            assert_eq!(first_line(text.as_bytes()).expect("text").as_str(), line);
        }
        assert!(first_line("x".repeat(2_000).as_bytes()).is_err());
        assert!(first_line(&[0xff, 0xfe][..]).is_err());
    }

    #[test]
    fn a_short_passphrase_is_refused_when_it_is_chosen() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("passphrase");
        std::fs::write(&file, "short\n").expect("written");
        let args = PassphraseArgs {
            passphrase_file: Some(file.clone()),
        };
        assert!(args.chosen().is_err());
        assert!(args.existing().is_ok(), "an old wallet may have one");
        std::fs::write(&file, "\n").expect("written");
        assert!(args.existing().is_err());
        let missing = PassphraseArgs {
            passphrase_file: Some(dir.path().join("nothing")),
        };
        let error = missing.existing().expect_err("no such file");
        assert!(error.to_string().contains("nothing"), "{error}");
    }
}
