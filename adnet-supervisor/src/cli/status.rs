//! `adnet status`: asks a running node over its control socket and shows the answer.

use std::{
    fmt::Write as _,
    io::{self, Write},
    process::ExitCode,
};

use adnet_common::chain_id::ChainId;
use clap::Args;

use super::{UsageError, control_client, settings::SettingsArgs};
use crate::control::{ChainReport, StatusReport};

/// Show what a running node is doing
///
/// Exits with 0 if the node is ready, and with 1 if it is not or does not answer.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  adnet status
  adnet status --data-dir /var/lib/adnet --json | jq .ready")]
pub(super) struct StatusCommand {
    /// As JSON, as the node gave it
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    settings: SettingsArgs,
}

impl StatusCommand {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let loaded = self
            .settings
            .load()
            .map_err(|errors| UsageError(errors.to_string()))?;
        let status = control_client::status(&loaded.config.node.control_socket())?;
        if self.json {
            writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&status)?)?;
        } else {
            write!(io::stdout(), "{}", rendered(&status))?;
        }
        Ok(if status.ready {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// The report for people.
fn rendered(report: &StatusReport) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_report(&mut out, report);
    out
}

fn write_report(out: &mut String, report: &StatusReport) -> std::fmt::Result {
    let node = &report.node;
    let state = match (report.stopping, report.ready) {
        (true, _) => "stopping",
        (false, true) => "ready",
        (false, false) => "not ready",
    };
    writeln!(out, "{state}, up {}", duration(report.uptime_ms))?;
    for reason in &report.reasons {
        writeln!(out, "  {reason}")?;
    }
    writeln!(
        out,
        "network   {} (id {})",
        node.network_name, node.network_id
    )?;
    writeln!(out, "genesis   {}", node.genesis)?;
    writeln!(out, "data      {}", node.data_dir.display())?;
    writeln!(
        out,
        "version   {}, supervisor pid {}",
        node.version, report.pid
    )?;
    for chain in &report.chains {
        write_chain(out, chain)?;
    }
    Ok(())
}

fn write_chain(out: &mut String, chain: &ChainReport) -> std::fmt::Result {
    let name = chain.chain;
    let height = chain
        .height
        .map_or("none".to_owned(), |height| height.to_string());
    write!(out, "\n{:<9} height {height}", name.name())?;
    if let Some(age_ms) = chain.last_block_age_ms {
        write!(out, ", last block {} ago", duration(age_ms))?;
    }
    writeln!(out, ", one every {}", duration(chain.block_interval_ms))?;
    let pid = chain
        .pid
        .map_or("no process".to_owned(), |pid| format!("pid {pid}"));
    let (state, incarnation) = (chain.worker.name(), chain.incarnation);
    writeln!(
        out,
        "  worker  {state}, {pid}, incarnation {incarnation}, {} restarts",
        chain.restarts
    )?;
    if let Some(standby) = chain.standby {
        let state = match (standby.pid, standby.is_ready) {
            (None, _) => "no process".to_owned(),
            (Some(pid), false) => format!("preparing itself, pid {pid}"),
            (Some(pid), true) => format!("ready, pid {pid}"),
        };
        writeln!(out, "  standby {state}, {} takeovers", chain.takeovers)?;
    }
    if let Some(listen) = chain.api_listen {
        writeln!(
            out,
            "  api     http://{listen}{}",
            if name == ChainId::Alpha {
                "/v1/status"
            } else {
                ""
            }
        )?;
    }
    if let Some(progress) = &chain.progress {
        // In the form in which other nodes are told to trust it.
        writeln!(out, "  block   {height}:{}", progress.block_hash)?;
        writeln!(
            out,
            "  waiting {} transactions, {} attestations; {} known final up to {}",
            progress.mempool_txs,
            progress.inbox_waiting,
            name.sibling(),
            progress.sibling_height
        )?;
    }
    Ok(())
}

/// Milliseconds in the unit that fits.
pub(super) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_well() {
        let text = r#"{
            "node": {"version": "0.1.0", "network_name": "adnet-dev", "network_id": 4130,
                     "genesis": "1111111111111111111111111111111111111111111111111111111111111111",
                     "data_dir": "/d"},
            "pid": 5, "started_unix_ms": 1, "uptime_ms": 65000, "ready": false,
            "reasons": ["delta: no block for 9.5 s"], "stopping": false, "store_failure": null,
            "chains": [{"chain": "delta", "worker": "running", "pid": 7, "incarnation": 2,
                        "restarts": 1, "takeovers": 1, "standby": {"pid": 9, "is_ready": true},
                        "api_listen": "127.0.0.1:4030", "block_interval_ms": 3000,
                        "height": 12, "last_block_unix_ms": 1, "last_block_age_ms": 9500,
                        "progress": null}]
        }"#;
        let report: StatusReport = serde_json::from_str(text).expect("a report");
        let shown = rendered(&report);
        assert!(
            shown.starts_with("not ready, up 1 min 5 s\n  delta: no block for 9.5 s\n"),
            "{shown}"
        );
        assert!(
            shown.contains("delta     height 12, last block 9.5 s ago, one every 3.0 s"),
            "{shown}"
        );
        assert!(
            shown.contains("pid 7, incarnation 2, 1 restarts"),
            "{shown}"
        );
        assert!(
            shown.contains("  standby ready, pid 9, 1 takeovers\n"),
            "{shown}"
        );
    }
}
