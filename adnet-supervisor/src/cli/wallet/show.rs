//! The commands that look and change nothing: addresses, scan, balance, info.

use std::process::ExitCode;

use adnet_alpha::wallet::{Status, Wallet, keys::ViewingKeys};
use anyhow::anyhow;
use clap::{Args, ValueEnum};

use super::{
    options::{NodeArgs, WalletArgs},
    output::{Fields, Report},
    session::Session,
    sync::{sync, sync_with},
};
use crate::cli::amount::in_ax;

/// Print the addresses of the wallet
#[derive(Debug, Args)]
#[command(after_help = "Example:
  adnet wallet addresses
  adnet wallet addresses --only shielded
  adnet wallet addresses --index 7       another shielded address of the same wallet")]
pub(super) struct Addresses {
    /// Which of the shielded addresses. All lead to this wallet, and nobody can tell that two of them
    /// do: give each payer another one
    #[arg(long, value_name = "N", default_value_t = 0)]
    index: u32,

    /// Print this one and nothing else, for scripts
    #[arg(long, value_enum, conflicts_with = "json")]
    only: Option<AddressKind>,

    #[command(flatten)]
    wallet: WalletArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AddressKind {
    /// In the pool
    Shielded,
    /// The public account on Alpha
    Public,
    /// The account on Delta
    Delta,
}

/// Read the chain up to the node's last block
///
/// Every command that needs it does this too. Ctrl-C keeps what is scanned, and the next scan goes on
/// from there.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  adnet wallet scan")]
pub(super) struct Scan {
    /// Forget what was scanned and begin again at the birthday
    #[arg(long)]
    anew: bool,

    #[command(flatten)]
    wallet: WalletArgs,
    #[command(flatten)]
    node: NodeArgs,
}

/// Show what the wallet holds
#[derive(Debug, Args)]
#[command(after_help = "Example:
  adnet wallet balance
  adnet wallet balance --json | jq .pool.spendable_ax")]
pub(super) struct Balance {
    /// Show what the last scan has found, without asking a node
    #[arg(long)]
    offline: bool,

    #[command(flatten)]
    wallet: WalletArgs,
    #[command(flatten)]
    node: NodeArgs,
}

/// Say which wallet this is and how far it has read
#[derive(Debug, Args)]
#[command(after_help = "Example:
  adnet wallet info")]
pub(super) struct Info {
    #[command(flatten)]
    wallet: WalletArgs,
}

/// Addresses as JSON and for people.
pub(super) fn address_fields(keys: &ViewingKeys, index: u32) -> (Fields, String) {
    let shielded = keys.shielded_address(index);
    let fields = Fields::new()
        .with("shielded", shielded)
        .with("index", index)
        .with("public", keys.alpha)
        .with("delta", keys.delta);
    let text = format!(
        "shielded   {shielded}\npublic     {}\ndelta      {}",
        keys.alpha, keys.delta
    );
    (fields, text)
}

impl Addresses {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let session = Session::open(&self.wallet)?;
        let keys = session.keys();
        let (fields, text) = address_fields(keys, self.index);
        let text = match self.only {
            None => text,
            Some(AddressKind::Shielded) => keys.shielded_address(self.index).to_string(),
            Some(AddressKind::Public) => keys.alpha.to_string(),
            Some(AddressKind::Delta) => keys.delta.to_string(),
        };
        let json = fields.into();
        Report { json, text }.print(self.wallet.json)
    }
}

impl Scan {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let mut session = Session::open(&self.wallet)?;
        let node = self.node.client()?;
        let facts = node.network()?;
        if self.anew {
            session.begin_again(&node, &facts)?;
        }
        let synced = sync_with(&mut session, &node, &facts, self.node.no_memos)?;
        let json = Fields::new()
            .with("height", synced.tip)
            .with("blocks", synced.blocks)
            .with("actions", synced.actions)
            .with("notes_found", synced.notes_found)
            .with("notes_spent", synced.notes_spent)
            .with("finalised", &synced.finalised)
            .with("expired", &synced.expired);
        let text = format!(
            "at block {}: {} new blocks with {} actions; {} notes found, {} spent",
            synced.tip, synced.blocks, synced.actions, synced.notes_found, synced.notes_spent
        );
        let json = json.into();
        Report { json, text }.print(self.wallet.json)
    }
}

impl Balance {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let mut session = Session::open(&self.wallet)?;
        if !self.offline {
            sync(&mut session, &self.node)?;
        }
        let known = session.known().ok_or_else(|| {
            anyhow!("nothing was scanned yet: `adnet wallet scan`, with a node at hand")
        })?;
        balance(known).print(self.wallet.json)
    }
}

fn balance(wallet: &Wallet) -> Report {
    let pool = wallet.pool_balance();
    let public_units = public_units(wallet);
    let account = wallet.account_pending();
    let height = wallet.tip().height;
    let pool_fields = Fields::new()
        .with_amount("total", pool.total_units)
        .with_amount("spendable", pool.spendable_units)
        .with_amount("confirming", pool.confirming_units)
        .with_amount("locked", pool.locked_units)
        .with_amount("returning", pool.returning_units)
        .with_amount("incoming", pool.incoming_units);
    let public_fields = Fields::new()
        .with_amount("total", public_units)
        .with_amount("outgoing", account.outgoing_units)
        .with_amount("incoming", account.incoming_units);
    let all = pool.total_units.saturating_add(public_units);
    let json = Fields::new()
        .with("height", height)
        .with_amount("total", all)
        .with("pool", pool_fields)
        .with("public", public_fields);
    let mut text = format!(
        "pool     {:>16} AX, of which {} can be spent now\n",
        in_ax(pool.total_units),
        in_ax(pool.spendable_units)
    );
    let parts = [
        (
            "in blocks that are too young to spend from",
            pool.confirming_units,
        ),
        (
            "in notes that pending transactions spend",
            pool.locked_units,
        ),
        ("of which comes back", pool.returning_units),
        ("on the way into the pool", pool.incoming_units),
    ];
    for (what, units) in parts.into_iter().filter(|(_, units)| *units > 0) {
        text += &format!("         {:>16} AX {what}\n", in_ax(units));
    }
    text += &format!("public   {:>16} AX\n", in_ax(public_units));
    let parts = [
        ("on the way out, with fees", account.outgoing_units),
        ("on the way in", account.incoming_units),
    ];
    for (what, units) in parts.into_iter().filter(|(_, units)| *units > 0) {
        text += &format!("         {:>16} AX {what}\n", in_ax(units));
    }
    text += &format!("as of block {height}");
    let json = json.into();
    Report { json, text }
}

/// What the public account holds by all that was read: nobody has to be asked about it. A wallet that
/// was restored with too late a birthday has not read all.
fn public_units(wallet: &Wallet) -> u64 {
    let history = wallet.history();
    let final_ones = history.iter().filter(|entry| entry.status == Status::Final);
    let sum: i128 = final_ones
        .map(|entry| i128::from(entry.public_change_units))
        .sum();
    u64::try_from(sum.max(0)).unwrap_or(u64::MAX)
}

impl Info {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let session = Session::open(&self.wallet)?;
        let path = session.folder.path().display().to_string();
        let network = session.viewing.network.as_ref();
        let mut json = Fields::new()
            .with("wallet", &path)
            .with("watch_only", session.is_watching_only())
            .with("birthday_height", session.viewing.birthday_height)
            .with("network", network.map(|network| &network.name))
            .with("genesis", network.map(|network| network.genesis));
        let kind = match session.is_watching_only() {
            true => "sees everything and cannot spend",
            false => "can spend, with its passphrase",
        };
        let mut text = format!("wallet     {path}\n           {kind}\n");
        text += &match network {
            Some(network) => format!(
                "network    {} (genesis {})\n",
                network.name, network.genesis
            ),
            None => {
                "network    none yet: it belongs to that of the first node it meets\n".to_owned()
            }
        };
        text += &format!("birthday   block {}\n", session.viewing.birthday_height);
        if let Some(wallet) = session.known() {
            let height = wallet.tip().height;
            let unspent = wallet.notes().filter(|note| note.spent.is_none()).count();
            let notes = wallet.notes().count();
            let pending = wallet.pending().iter();
            let pending = pending.filter(|pending| wallet.status(pending) == Status::Pending);
            let pending = pending.count();
            json = json
                .with("height", height)
                .with("notes", notes)
                .with("unspent_notes", unspent)
                .with("pending", pending);
            text += &format!(
                "scanned    up to block {height}\nnotes      {notes}, of which {unspent} unspent\n\
                 pending    {pending} transactions\n"
            );
        } else {
            text += "scanned    nothing yet\n";
        }
        let json = json.into();
        Report { json, text }.print(self.wallet.json)
    }
}
