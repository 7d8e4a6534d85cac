//! `adnet tx delta`: sAX transfers, contracts, and the way back to Alpha.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::PathBuf,
    process::ExitCode,
};

use adnet_common::{
    block::MAX_TX_BYTES,
    genesis::WEI_PER_UNIT,
    keys::{AlphaAddress, KeyKind, SecretKey},
};
use adnet_delta::{
    attest::{ATTEST_ADDRESS, abi},
    tx::{Envelope, Fees, SignedTx, address, sign_call, sign_deploy, sign_transfer, sign_unlock},
};
use alloy_primitives::{Address, Bytes, U256};
use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Network, SendArgs};
use crate::cli::{
    UsageError,
    amount::{Units, Wei},
    api_client::{ApiClient, quantity, wait_for},
    signer_key,
};

/// Transfer sAX, deploy and call contracts, and unlock AX, on Delta
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct DeltaTx {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Send sAX to another account
    #[command(after_help = "Example:
  adnet tx delta transfer --from dev-0 --to $(adnet keys show dev-1 --kind delta) --amount 0.25")]
    Transfer {
        /// The name of the sender's key
        #[arg(long, value_name = "KEY")]
        from: String,
        /// The recipient
        #[arg(long, value_name = "0x...")]
        to: Address,
        /// sAX to send, with up to 18 decimals
        #[arg(long, value_name = "SAX")]
        amount: Wei,
        #[command(flatten)]
        gas: GasArgs,
        #[command(flatten)]
        send: SendArgs,
    },
    /// Deploy a contract
    #[command(after_help = "Example:
  solc --bin Token.sol -o out && adnet tx delta deploy --from dev-0 --code out/Token.bin")]
    Deploy {
        /// The name of the sender's key
        #[arg(long, value_name = "KEY")]
        from: String,
        /// A file with the creation code (and constructor arguments) as hex digits
        #[arg(long, value_name = "FILE")]
        code: PathBuf,
        /// sAX to give to the contract
        #[arg(long, value_name = "SAX", default_value = "0")]
        amount: Wei,
        #[command(flatten)]
        gas: GasArgs,
        #[command(flatten)]
        send: SendArgs,
    },
    /// Call a contract
    #[command(after_help = "Example:
  adnet tx delta call --from dev-0 --to 0x... --data $(cast calldata 'mint(uint256)' 5)")]
    Call {
        /// The name of the sender's key
        #[arg(long, value_name = "KEY")]
        from: String,
        /// The contract
        #[arg(long, value_name = "0x...")]
        to: Address,
        /// The calldata as hex digits
        #[arg(long, value_name = "0x...", default_value = "0x")]
        data: Bytes,
        /// sAX to send along
        #[arg(long, value_name = "SAX", default_value = "0")]
        amount: Wei,
        #[command(flatten)]
        gas: GasArgs,
        #[command(flatten)]
        send: SendArgs,
    },
    /// Burn sAX; as much AX is released on Alpha
    #[command(after_help = "Example:
  adnet tx delta unlock --from dev-0 --to $(adnet keys show dev-0) --amount 100")]
    Unlock {
        /// The name of the sender's key
        #[arg(long, value_name = "KEY")]
        from: String,
        /// Who gets the AX on Alpha
        #[arg(long, value_name = "ax1...")]
        to: AlphaAddress,
        /// sAX to burn, with up to 4 decimals
        #[arg(long, value_name = "SAX")]
        amount: Units,
        #[command(flatten)]
        gas: GasArgs,
        #[command(flatten)]
        send: SendArgs,
    },
}

/// What the transaction may cost.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Gas")]
struct GasArgs {
    /// The most gas it may use [default: estimated by the API]
    #[arg(long, value_name = "GAS")]
    gas_limit: Option<u64>,

    /// The most wei per gas, tip included [default: twice the present price and the tip]
    #[arg(long, value_name = "WEI")]
    max_fee: Option<u128>,

    /// Wei per gas above the base fee [default: what the API suggests]
    #[arg(long, value_name = "WEI")]
    tip: Option<u128>,
}

/// What the transaction does.
enum Kind {
    Transfer { to: Address },
    Deploy { code: Bytes },
    Call { to: Address, data: Bytes },
    Unlock { to: AlphaAddress, amount: Units },
}

impl DeltaTx {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let (from, kind, value_wei, gas, send) = match self.action {
            Action::Transfer {
                from,
                to,
                amount,
                gas,
                send,
            } => (from, Kind::Transfer { to }, amount.0, gas, send),
            Action::Deploy {
                from,
                code,
                amount,
                gas,
                send,
            } => (
                from,
                Kind::Deploy {
                    code: read_code(&code)?,
                },
                amount.0,
                gas,
                send,
            ),
            Action::Call {
                from,
                to,
                data,
                amount,
                gas,
                send,
            } => (from, Kind::Call { to, data }, amount.0, gas, send),
            Action::Unlock {
                from,
                to,
                amount,
                gas,
                send,
            } => {
                let value_wei = u128::from(amount.0) * WEI_PER_UNIT;
                (from, Kind::Unlock { to, amount }, value_wei, gas, send)
            }
        };
        let network = send.network()?;
        let client = ApiClient::new(send.url(network.loaded.config.delta.api_listen));
        let key = signer_key::find(&network.loaded.config.node.data_dir, &from, KeyKind::Delta)?;
        let tx = sign(
            &network,
            &client,
            &key,
            &kind,
            U256::from(value_wei),
            &gas,
            &send,
        )?;
        let raw = format!("0x{}", hex::encode(&tx.raw));
        if send.sign_only {
            writeln!(io::stdout(), "{raw}")?;
            return Ok(ExitCode::SUCCESS);
        }
        client.rpc("eth_sendRawTransaction", json!([raw]))?;
        writeln!(io::stdout(), "{}", tx.hash)?;
        eprintln!("accepted by {}", client.url());
        if send.no_wait {
            return Ok(ExitCode::SUCCESS);
        }
        wait_for_receipt(&client, &tx, &kind, &send)
    }
}

fn sign(
    network: &Network,
    client: &ApiClient,
    key: &SecretKey,
    kind: &Kind,
    value: U256,
    gas: &GasArgs,
    send: &SendArgs,
) -> anyhow::Result<SignedTx> {
    let sender = address(key)?;
    let nonce = match send.nonce {
        Some(nonce) => nonce,
        None => {
            let count = client.rpc("eth_getTransactionCount", json!([sender, "pending"]))?;
            u64::try_from(quantity(&count)?).context("the API names an impossible nonce")?
        }
    };
    let tip = match gas.tip {
        Some(tip) => tip,
        None => quantity(&client.rpc("eth_maxPriorityFeePerGas", json!([]))?)?,
    };
    let max_fee = match gas.max_fee {
        Some(max_fee) => max_fee,
        None => {
            let price = quantity(&client.rpc("eth_gasPrice", json!([]))?)?;
            price.saturating_mul(2).saturating_add(tip)
        }
    };
    let gas_limit = match gas.gas_limit {
        Some(gas_limit) => gas_limit,
        None => estimate(client, sender, kind, value)?,
    };
    let fees = Fees {
        gas_limit,
        max_fee_per_gas_wei: max_fee,
        max_priority_fee_per_gas_wei: tip.min(max_fee),
    };
    let envelope = Envelope {
        chain_id: network.genesis.delta.chain_id,
        nonce,
        fees,
    };
    Ok(match kind {
        Kind::Transfer { to } => sign_transfer(key, envelope, *to, value)?,
        Kind::Deploy { code } => sign_deploy(key, envelope, value, code.clone())?,
        Kind::Call { to, data } => sign_call(key, envelope, *to, value, data.clone())?,
        Kind::Unlock { to, amount } => sign_unlock(key, envelope, &to.0, amount.0)?,
    })
}

fn estimate(client: &ApiClient, from: Address, kind: &Kind, value: U256) -> anyhow::Result<u64> {
    let mut call = json!({ "from": from, "value": value });
    match kind {
        Kind::Transfer { to } => call["to"] = json!(to),
        Kind::Deploy { code } => call["data"] = json!(code),
        Kind::Call { to, data } => {
            call["to"] = json!(to);
            call["data"] = json!(data);
        }
        Kind::Unlock { to, .. } => {
            call["to"] = json!(ATTEST_ADDRESS);
            call["data"] = json!(abi::unlock_calldata(&to.0));
        }
    }
    let estimate = quantity(&client.rpc("eth_estimateGas", json!([call]))?)?;
    u64::try_from(estimate).context("the API names an impossible gas limit")
}

fn wait_for_receipt(
    client: &ApiClient,
    tx: &SignedTx,
    kind: &Kind,
    send: &SendArgs,
) -> anyhow::Result<ExitCode> {
    let receipt = wait_for(send.timeout(), || {
        let receipt = client.rpc("eth_getTransactionReceipt", json!([tx.hash]))?;
        Ok(Some(receipt).filter(|receipt| !receipt.is_null()))
    })?;
    let block = quantity(&receipt["blockNumber"])?;
    let gas_used = quantity(&receipt["gasUsed"])?;
    if receipt["status"] != "0x1" {
        bail!("block {block} holds it, but it was reverted ({gas_used} gas used)");
    }
    eprintln!("final in block {block}, {gas_used} gas used");
    match kind {
        Kind::Deploy { .. } => eprintln!("contract: {}", text(&receipt["contractAddress"])?),
        Kind::Unlock { .. } => {
            eprintln!("as much AX is released on Alpha with one of its next blocks")
        }
        Kind::Transfer { .. } | Kind::Call { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn text(value: &Value) -> anyhow::Result<&str> {
    value
        .as_str()
        .ok_or_else(|| anyhow!("the receipt names no contract"))
}

/// Reads hex digits, at most as many as a transaction can hold.
fn read_code(path: &PathBuf) -> anyhow::Result<Bytes> {
    let named = || path.display().to_string();
    let mut digits = String::new();
    let file = File::open(path).with_context(named)?;
    file.take(2 * MAX_TX_BYTES as u64 + 16)
        .read_to_string(&mut digits)
        .with_context(named)?;
    let digits = digits.trim();
    hex::decode(digits.strip_prefix("0x").unwrap_or(digits))
        .map(Bytes::from)
        .map_err(|error| UsageError(format!("{}: {error}", named())).into())
}
