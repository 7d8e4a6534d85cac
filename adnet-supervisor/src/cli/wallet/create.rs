//! Making a wallet: new, from its words, or from viewing keys.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
    process::ExitCode,
};

use adnet_alpha::wallet::{Network, mnemonic::Mnemonic};
use anyhow::Context;
use clap::Args;

use super::{
    folder::{Folder, FolderError},
    key_file::KEY_FILE,
    node::NetworkFacts,
    options::{NodeArgs, WalletArgs},
    output::{Fields, Report},
    passphrase::is_interactive,
    session::Session,
    show::address_fields,
    viewing_file::{VIEWING_FILE, VIEWING_FILE_BYTES_MAX, ViewingFile},
    words,
};

/// Make a new wallet
///
/// Shows its 24 words once, to be written down, and asks for some of them. The wallet begins at the
/// node's last block, if a node answers.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  adnet wallet new
  adnet wallet new --wallet ./alice --passphrase-file alice.passphrase --json")]
pub(super) struct New {
    /// Do not ask for some of the words to see that they are on paper
    #[arg(long)]
    no_confirm: bool,

    #[command(flatten)]
    wallet: WalletArgs,
    #[command(flatten)]
    node: NodeArgs,
}

/// Make a wallet from its 24 words
///
/// The words come from the terminal (not shown), from standard input, or from a file. Everything that
/// happened since the birthday is found again: balance, history, memos.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  adnet wallet restore --birthday 12000
  adnet wallet restore --wallet ./again --words-file words.txt --passphrase-file passphrase")]
pub(super) struct Restore {
    /// A file with the words [default: ask for them, or standard input if it is no terminal]
    #[arg(long, value_name = "FILE")]
    words_file: Option<PathBuf>,

    /// A height before which nothing happened in this wallet; a late one saves scanning
    #[arg(long, value_name = "HEIGHT", default_value_t = 0)]
    birthday: u64,

    #[command(flatten)]
    wallet: WalletArgs,
}

/// Make a wallet that sees everything and cannot spend
///
/// From what `adnet wallet export-viewing-key --json` has printed.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  adnet wallet export-viewing-key --json > viewing.json
  adnet wallet import-viewing-key --wallet ./watched --file viewing.json")]
pub(super) struct ImportViewingKey {
    /// The file to read [default: standard input]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    wallet: WalletArgs,
}

impl New {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let folder = vacant(&self.wallet)?;
        let (birthday_height, network) = match self.birthday() {
            Ok((tip, facts)) => (tip, Some(network_of(facts))),
            Err(error) => {
                eprintln!(
                    "adnet: the wallet begins at block 0, because no node could be asked: {error:#}"
                );
                (0, None)
            }
        };
        let passphrase = self.wallet.passphrase.chosen()?;
        let mnemonic = Mnemonic::generate();
        let phrase = mnemonic.phrase();
        if is_interactive() && !self.wallet.json {
            eprintln!(
                "These 24 words are the wallet. Write them down, on paper: whoever has them can spend \
                 everything,\nand nobody can bring them back. They are shown this once.\n"
            );
            eprintln!("{}", words::numbered(&phrase).as_str());
            if !self.no_confirm {
                words::confirm(&phrase)?;
            }
        }
        let session = Session::create(folder, &mnemonic, passphrase, birthday_height, network)?;
        let (mut fields, mut text) = made(&session);
        if !is_interactive() || self.wallet.json {
            // Nobody watches: who started this has to keep the words.
            fields = fields.with("mnemonic", phrase.as_str());
            text = format!("words      {}\n{text}", phrase.as_str());
        }
        let json = fields.into();
        Report { json, text }.print(self.wallet.json)
    }

    fn birthday(&self) -> anyhow::Result<(u64, NetworkFacts)> {
        let node = self.node.client()?;
        Ok((node.tip()?, node.network()?))
    }
}

impl Restore {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let folder = vacant(&self.wallet)?;
        let text = words::read(self.words_file.as_deref(), is_interactive())?;
        let mnemonic = Mnemonic::parse(&text)?;
        let passphrase = self.wallet.passphrase.chosen()?;
        let session = Session::create(folder, &mnemonic, passphrase, self.birthday, None)?;
        eprintln!("`adnet wallet scan` finds what it holds.");
        let (fields, text) = made(&session);
        let json = fields.into();
        Report { json, text }.print(self.wallet.json)
    }
}

impl ImportViewingKey {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let folder = vacant(&self.wallet)?;
        let mut bytes = Vec::new();
        let (name, read) = match &self.file {
            Some(path) => {
                let opened = File::open(path);
                let read = opened.and_then(|file| read_all(file, &mut bytes));
                (path.display().to_string(), read)
            }
            None => (
                "standard input".to_owned(),
                read_all(io::stdin(), &mut bytes),
            ),
        };
        read.with_context(|| name.clone())?;
        let viewing = ViewingFile::decode(&bytes).context(name)?;
        let session = Session::create_watching(folder, viewing)?;
        let (fields, text) = made(&session);
        let json = fields.into();
        Report { json, text }.print(self.wallet.json)
    }
}

fn read_all(from: impl Read, into: &mut Vec<u8>) -> io::Result<usize> {
    from.take(VIEWING_FILE_BYTES_MAX).read_to_end(into)
}

/// The directory, in which there must be no wallet yet.
fn vacant(args: &WalletArgs) -> anyhow::Result<Folder> {
    let folder = Folder::make(&args.path()?)?;
    for name in [KEY_FILE, VIEWING_FILE] {
        if folder.has(name) {
            return Err(FolderError::Exists(folder.path_of(name)).into());
        }
    }
    Ok(folder)
}

fn network_of(facts: NetworkFacts) -> Network {
    Network {
        name: facts.name,
        genesis: facts.genesis,
    }
}

fn made(session: &Session) -> (Fields, String) {
    let birthday = session.viewing.birthday_height;
    let (fields, addresses) = address_fields(session.keys(), 0);
    let path = session.folder.path().display().to_string();
    let fields = fields
        .with("wallet", &path)
        .with("birthday_height", birthday);
    let text = format!("wallet     {path}\nbirthday   block {birthday}\n{addresses}");
    (fields, text)
}
