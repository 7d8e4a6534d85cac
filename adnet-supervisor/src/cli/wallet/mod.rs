//! `adnet wallet`: the 24 words of a person, what they hold, and what is done with it.
//!
//! The wallet's core (`adnet_alpha::wallet`) knows keys, notes and transactions and touches nothing;
//! here are the files, the passphrase, the node's API, and what a person sees. Nothing secret leaves
//! this process: nodes get questions and signed transactions.
//!
//! ```text
//! options, output, progress, interrupt     what all commands share
//! folder ─▶ key_file, viewing_file ─▶ session      the files, and a wallet that is open
//! node ─▶ sync ─▶ transact                 asking a node, reading the chain, sending
//! create, secrets, show, history, pay      the commands
//! ```

mod create;
mod folder;
mod history;
mod interrupt;
mod key_file;
mod node;
mod options;
mod output;
mod passphrase;
mod pay;
mod progress;
mod secrets;
mod session;
mod shortage;
mod show;
mod sync;
mod transact;
mod viewing_file;
mod words;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// What a shell calls a process that ended by Ctrl-C.
const EXIT_INTERRUPTED: u8 = 130;

/// Make a wallet, see what it holds, send privately
///
/// A wallet is 24 words. From them come a shielded address (axz1..., nobody sees what it holds), a
/// public account (ax1...) and an account on Delta (0x...).
///
/// Its directory has three files: keys.age, the words, encrypted with a passphrase; viewing.json and
/// state.json, which are not encrypted: whoever reads them sees what you have and what you did, and
/// can spend nothing. The words alone bring everything back.
///
/// The node never gets a key. It does learn what you ask it for: use your own.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  adnet wallet new                                      make one; write down the words
  adnet wallet addresses                                where others send you something
  adnet wallet shield --amount 10                       from the public account into the pool
  adnet wallet send --to axz1... --amount 2.5 --memo 'for lunch'
  adnet wallet balance
  adnet wallet history
  adnet wallet restore --birthday 12000                 from the words, on another machine

A wallet is in ~/.adnet/wallet unless --wallet or ADNET_WALLET names another directory. The passphrase is
asked for, or read from the file that --passphrase-file or ADNET_WALLET_PASSPHRASE_FILE names."
)]
pub(super) struct WalletCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    New(create::New),
    Restore(create::Restore),
    Addresses(show::Addresses),
    #[command(visible_alias = "sync")]
    Scan(show::Scan),
    Balance(show::Balance),
    History(history::History),
    Send(pay::Send),
    Shield(pay::Shield),
    Unshield(pay::Unshield),
    Lock(pay::Lock),
    Burn(pay::Burn),
    Consolidate(pay::Consolidate),
    Info(show::Info),
    ExportViewingKey(secrets::ExportViewingKey),
    ImportViewingKey(create::ImportViewingKey),
    ChangePassphrase(secrets::ChangePassphrase),
    ShowMnemonic(secrets::ShowMnemonic),
}

impl WalletCommand {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let done = match self.action {
            Action::New(command) => command.execute(),
            Action::Restore(command) => command.execute(),
            Action::Addresses(command) => command.execute(),
            Action::Scan(command) => command.execute(),
            Action::Balance(command) => command.execute(),
            Action::History(command) => command.execute(),
            Action::Send(command) => command.execute(),
            Action::Shield(command) => command.execute(),
            Action::Unshield(command) => command.execute(),
            Action::Lock(command) => command.execute(),
            Action::Burn(command) => command.execute(),
            Action::Consolidate(command) => command.execute(),
            Action::Info(command) => command.execute(),
            Action::ExportViewingKey(command) => command.execute(),
            Action::ImportViewingKey(command) => command.execute(),
            Action::ChangePassphrase(command) => command.execute(),
            Action::ShowMnemonic(command) => command.execute(),
        };
        match done {
            Err(error) if error.downcast_ref::<interrupt::Interrupted>().is_some() => {
                eprintln!("adnet: {error}");
                Ok(ExitCode::from(EXIT_INTERRUPTED))
            }
            done => done,
        }
    }
}
