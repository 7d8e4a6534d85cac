//! `adnet peers`: whom a running node is linked to.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Args;

use super::{UsageError, control_client, settings::SettingsArgs, status::duration};
use adnet_common::api::PeerReport;

/// Show the peers of a running node
///
/// One line per peer and chain: its key, where it is, who dialled whom, the height that it says it
/// has, its score (zero, or below for one that misbehaved; -50 is a ban), the round trip time, and the
/// bytes received and sent.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  adnet peers
  adnet peers --json | jq 'map(select(.chain == \"delta\")) | length'")]
pub(super) struct PeersCommand {
    /// As JSON, as the node gave it
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    settings: SettingsArgs,
}

impl PeersCommand {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let loaded = self
            .settings
            .load()
            .map_err(|errors| UsageError(errors.to_string()))?;
        let peers = control_client::peers(&loaded.config.node.control_socket())?;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&peers)?)?;
        } else {
            write!(out, "{}", rendered(&peers, unix_now_ms()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn unix_now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

fn rendered(peers: &[PeerReport], now_ms: u64) -> String {
    if peers.is_empty() {
        return "no peers\n".to_owned();
    }
    let mut rows = vec![
        [
            "CHAIN",
            "PEER",
            "ADDRESS",
            "DIRECTION",
            "ROLE",
            "HEIGHT",
            "SCORE",
            "LATENCY",
            "LINKED",
            "IN",
            "OUT",
        ]
        .map(str::to_owned),
    ];
    rows.extend(peers.iter().map(|peer| {
        let key = peer.peer.get(..16).unwrap_or(&peer.peer);
        [
            peer.chain.to_string(),
            key.to_owned(),
            peer.address.clone(),
            peer.direction.clone(),
            peer.role.clone(),
            peer.height.to_string(),
            peer.score.to_string(),
            format!(
                "{}.{:02} ms",
                peer.round_trip_us / 1000,
                peer.round_trip_us % 1000 / 10
            ),
            duration(now_ms.saturating_sub(peer.connected_unix_ms)),
            bytes(peer.bytes_in),
            bytes(peer.bytes_out),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 11] = std::array::from_fn(width);
    let line = |row: &[String; 11]| {
        let cells = row.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// In the unit that fits, with powers of 1000.
fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{}.{} kB", count / 1_000, count % 1_000 / 100),
        1_000_000..1_000_000_000 => {
            format!("{}.{} MB", count / 1_000_000, count % 1_000_000 / 100_000)
        }
        _ => format!(
            "{}.{} GB",
            count / 1_000_000_000,
            count % 1_000_000_000 / 100_000_000
        ),
    }
}

#[cfg(test)]
mod tests {
    use adnet_common::chain_id::ChainId;

    use super::*;

    #[test]
    fn columns_stand_under_their_headings() {
        let peer = PeerReport {
            peer: "ab".repeat(32),
            chain: ChainId::Delta,
            address: "127.0.0.1:4131".to_owned(),
            direction: "inbound".to_owned(),
            role: "validator".to_owned(),
            height: 7,
            connected_unix_ms: 1_000,
            round_trip_us: 1_234,
            bytes_in: 1_500,
            bytes_out: 2_000_000,
            score: 0,
        };
        let text = rendered(&[peer], 3_500);
        let lines: Vec<&str> = text.lines().collect();
        let column = lines[0].find("LATENCY").expect("a heading");
        assert!(lines[1][column..].starts_with("1.23 ms  2.5 s"), "{text}");
        assert!(lines[1].ends_with("1.5 kB  2.0 MB"), "{text}");
        assert_eq!(rendered(&[], 0), "no peers\n");
    }
}
