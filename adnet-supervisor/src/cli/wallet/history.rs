//! `adnet wallet history`: what happened, the newest last.

use std::process::ExitCode;

use adnet_alpha::wallet::{HistoryEntry, Kind, Party, Status};
use anyhow::anyhow;
use clap::Args;
use serde_json::Value;

use super::{
    options::{NodeArgs, WalletArgs},
    output::{Fields, Report, utc},
    session::Session,
    sync::sync,
};
use crate::cli::amount::in_ax;

/// Show what happened, with memos
#[derive(Debug, Args)]
#[command(after_help = "Example:
  adnet wallet history --limit 10")]
pub(super) struct History {
    /// Show the last so many only
    #[arg(long, value_name = "N")]
    limit: Option<usize>,

    /// Show what the last scan has found, without asking a node
    #[arg(long)]
    offline: bool,

    #[command(flatten)]
    wallet: WalletArgs,
    #[command(flatten)]
    node: NodeArgs,
}

impl History {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let mut session = Session::open(&self.wallet)?;
        if !self.offline {
            sync(&mut session, &self.node)?;
        }
        let known = session.known().ok_or_else(|| {
            anyhow!("nothing was scanned yet: `adnet wallet scan`, with a node at hand")
        })?;
        let all = known.history();
        let shown = all.len().saturating_sub(self.limit.unwrap_or(usize::MAX));
        let shown = &all[shown..];
        let text = match shown.is_empty() {
            true => "nothing happened yet".to_owned(),
            false => shown.iter().map(line).collect(),
        };
        let entries: Vec<Value> = shown.iter().map(|entry| fields(entry).into()).collect();
        let json = Fields::new()
            .with("height", known.tip().height)
            .with("entries", entries)
            .into();
        Report { json, text }.print(self.wallet.json)
    }
}

/// One entry for programs.
fn fields(entry: &HistoryEntry) -> Fields {
    let payments = entry.payments.iter().map(|payment| {
        let fields = Fields::new()
            .with("party", payment.party.map(|party| party.to_string()))
            .with_amount("amount", payment.amount_units)
            .with("memo", payment.memo.as_ref().filter(|memo| !memo.is_none()));
        Value::from(fields)
    });
    let memo = entry.memo().map(|memo| memo.as_str());
    Fields::new()
        .with("id", entry.id)
        .with("height", entry.height)
        .with("time_ms", entry.time_ms)
        .with("kind", entry.kind)
        .with("status", entry.status)
        .with_amount("amount", entry.amount_units)
        .with_amount("fee", entry.fee_units)
        .with("pool_change_units", entry.pool_change_units)
        .with("public_change_units", entry.public_change_units)
        .with("memo", memo)
        .with("payments", payments.collect::<Vec<_>>())
}

/// One entry for people.
fn line(entry: &HistoryEntry) -> String {
    let when = match (entry.time_ms, entry.status) {
        (Some(time_ms), _) => utc(time_ms),
        (None, Status::Expired) => "expired".to_owned(),
        (None, _) => "pending".to_owned(),
    };
    let height = entry
        .height
        .map_or(String::new(), |height| height.to_string());
    let mut line = format!(
        "{when:<19}  {height:>8}  {:<10} {:>16} AX",
        what(entry.kind),
        in_ax(entry.amount_units)
    );
    if entry.fee_units > 0 {
        line += &format!("  fee {}", in_ax(entry.fee_units));
    }
    if let Some(party) = entry.party() {
        let direction = match entry.kind {
            Kind::Received | Kind::Minted | Kind::Unlocked => "from",
            _ => "to",
        };
        line += &format!("  {direction} {}", short(&party));
    }
    line += "\n";
    for payment in &entry.payments {
        if let Some(memo) = payment.memo.as_ref().filter(|memo| !memo.is_none()) {
            line += &format!("{:33}\"{}\"\n", "", printable(memo.as_str()));
        }
    }
    line += &format!("{:33}{}\n", "", entry.id);
    line
}

fn what(kind: Kind) -> &'static str {
    match kind {
        Kind::Received => "received",
        Kind::Sent => "sent",
        Kind::Shielded => "shielded",
        Kind::Unshielded => "unshielded",
        Kind::Locked => "locked",
        Kind::Unlocked => "unlocked",
        Kind::Burned => "burned",
        Kind::Minted => "minted",
        Kind::ToSelf => "to itself",
    }
}

/// Enough of an address to know it again.
fn short(party: &Party) -> String {
    let text = party.to_string();
    match (text.get(..12), text.get(text.len().saturating_sub(6)..)) {
        (Some(head), Some(tail)) if text.len() > 24 => format!("{head}…{tail}"),
        _ => text,
    }
}

/// A text that somebody else has written, without what would do something to a terminal.
fn printable(text: &str) -> String {
    let keep = |c: char| match c {
        '\n' | '\t' => ' ',
        // Also what turns the direction of writing round, so that an amount cannot be faked.
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memo_cannot_steer_the_terminal() {
        assert_eq!(
            printable("a\x1b[2Jb\u{202e}c\nd"),
            "a\u{fffd}[2Jb\u{fffd}c d"
        );
        assert_eq!(printable("Grüße 🦀"), "Grüße 🦀");
    }
}
