//! `adnet version`: which build this is, and which formats and protocols it speaks.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use adnet_common::{attestation, genesis::GENESIS_VERSION, header, messages::SCHEMA_HASH};
use clap::Args;
use serde::Serialize;

use crate::{network::PROTOCOL_VERSION, store::SCHEMA_VERSION};

/// The commit that this binary was built from, or "unknown".
pub const COMMIT: &str = env!("ADNET_BUILD_COMMIT");

/// Show version, commit, and the versions of schema, formats and protocols
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  adnet version
  adnet version --json | jq -r .schema_hash

Two nodes talk if their network protocols are the same. A worker and its supervisor must have the
same schema hash, which covers every message between them.")]
pub(super) struct VersionCommand {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Everything that `adnet version` tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VersionReport {
    pub version: &'static str,
    pub commit: &'static str,
    /// Over the definitions of all messages between the processes, in hex.
    pub schema_hash: String,
    /// Layout of the shared-memory rings.
    pub ring_abi: u32,
    /// The protocol between nodes.
    pub network_protocol: u16,
    pub block_format: u16,
    pub attestation_format: u16,
    pub genesis_format: u32,
    /// Layout of the database.
    pub database_schema: u32,
}

impl VersionReport {
    /// What is true of this binary.
    pub fn of_this_build() -> Self {
        VersionReport {
            version: env!("CARGO_PKG_VERSION"),
            commit: COMMIT,
            schema_hash: hex::encode(SCHEMA_HASH),
            ring_abi: adnet_shm::layout::ABI_VERSION,
            network_protocol: PROTOCOL_VERSION,
            block_format: header::VERSION,
            attestation_format: attestation::VERSION,
            genesis_format: GENESIS_VERSION,
            database_schema: SCHEMA_VERSION,
        }
    }
}

impl VersionCommand {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let report = VersionReport::of_this_build();
        if self.json {
            writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        writeln!(io::stdout(), "adnet {}", report.version)?;
        writeln!(io::stdout(), "commit            {}", report.commit)?;
        writeln!(io::stdout(), "message schema    {}", report.schema_hash)?;
        writeln!(io::stdout(), "ring ABI          {}", report.ring_abi)?;
        writeln!(
            io::stdout(),
            "network protocol  {}",
            report.network_protocol
        )?;
        writeln!(io::stdout(), "block format      {}", report.block_format)?;
        writeln!(
            io::stdout(),
            "attestation       {}",
            report.attestation_format
        )?;
        writeln!(io::stdout(), "genesis format    {}", report.genesis_format)?;
        writeln!(io::stdout(), "database schema   {}", report.database_schema)?;
        Ok(ExitCode::SUCCESS)
    }
}
