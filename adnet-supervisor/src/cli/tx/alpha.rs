//! `adnet tx alpha`: AX on public accounts.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use adnet_alpha::{
    tx::{
        FeeSchedule, Function, MintOrder, Payload, Terms, Transaction, approve, assemble_mint,
        sign_burn, sign_lock, sign_transfer,
    },
    wallet::{Memo, PrivateMint, add_approval, prepare_proving},
};
use adnet_common::{
    genesis::Genesis,
    hash::Hash,
    keys::{AlphaAddress, EvmAddress, KeyKind, SecretKey},
};
use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Network, SendArgs};
use crate::cli::{
    UsageError,
    amount::{Units, in_ax},
    api_client::{ApiClient, number, wait_for},
    payee::Payee,
    signer_key,
    spinner::Spinner,
};

/// Transfer, lock, burn or mint AX on Alpha
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct AlphaTx {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Send AX to another account
    #[command(after_help = "Example:
  adnet tx alpha transfer --from dev-0 --to $(adnet keys show dev-1) --amount 1.5")]
    Transfer {
        /// The name of the sender's key
        #[arg(long, value_name = "KEY")]
        from: String,
        /// The recipient
        #[arg(long, value_name = "ax1...")]
        to: AlphaAddress,
        /// AX to send, with up to 4 decimals
        #[arg(long, value_name = "AX")]
        amount: Units,
        #[command(flatten)]
        terms: TermsArgs,
        #[command(flatten)]
        send: SendArgs,
    },
    /// Lock AX; as much sAX appears on Delta
    #[command(after_help = "Example:
  adnet tx alpha lock --from dev-0 --to $(adnet keys show dev-0 --kind delta) --amount 100")]
    Lock {
        /// The name of the sender's key
        #[arg(long, value_name = "KEY")]
        from: String,
        /// Who gets the sAX on Delta
        #[arg(long, value_name = "0x...")]
        to: EvmAddress,
        /// AX to lock, with up to 4 decimals
        #[arg(long, value_name = "AX")]
        amount: Units,
        #[command(flatten)]
        terms: TermsArgs,
        #[command(flatten)]
        send: SendArgs,
    },
    /// Destroy AX for ever
    Burn {
        /// The name of the sender's key
        #[arg(long, value_name = "KEY")]
        from: String,
        /// AX to destroy, with up to 4 decimals
        #[arg(long, value_name = "AX")]
        amount: Units,
        #[command(flatten)]
        terms: TermsArgs,
        #[command(flatten)]
        send: SendArgs,
    },
    /// Issue new AX, by order of the governors
    #[command(after_help = "Example:
  adnet tx alpha mint --governor dev-governor-0 --governor dev-governor-1 \\
      --to $(adnet keys show dev-0) --amount 1000 --order 1 --reason 'first mint'
  adnet tx alpha mint --governor dev-governor-0 --governor dev-governor-1 \\
      --to axz1... --amount 1000 --order 2

Of a mint to a shielded address the amount is public and the recipient is not.

--nonce is not used: the order number takes its place.")]
    Mint {
        /// The name of a governor's key; as many times as the network's threshold asks for
        #[arg(long = "governor", value_name = "KEY", required = true)]
        governors: Vec<String>,
        /// Who gets the AX: a public account, or a shielded address that nobody sees
        #[arg(long, value_name = "ax1...|axz1...")]
        to: Payee,
        /// AX to issue, with up to 4 decimals; the fee comes out of it
        #[arg(long, value_name = "AX")]
        amount: Units,
        /// The number of the order; each number can be used once
        #[arg(long, value_name = "N")]
        order: u64,
        /// The reason, whose hash goes into the order
        #[arg(long, default_value = "")]
        reason: String,
        /// The name of the operator's key that signs the request, where the node takes mint orders from
        /// its operators only
        #[arg(long, value_name = "KEY")]
        sign_with: Option<String>,
        #[command(flatten)]
        terms: TermsArgs,
        #[command(flatten)]
        send: SendArgs,
    },
}

/// What every transaction of Alpha says beside its function.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Terms")]
struct TermsArgs {
    /// The fee in AX [default: the least that the network takes]
    #[arg(long, value_name = "AX")]
    fee: Option<Units>,

    /// The last block that may hold the transaction [default: half of the longest time allowed]
    #[arg(long, value_name = "HEIGHT")]
    expiry: Option<u64>,
}

/// A transaction to be signed once nonce and terms are known.
struct Draft {
    signers: Vec<String>,
    build: Build,
}

/// The function and who signs it.
enum Build {
    Transfer(AlphaAddress, Units),
    Lock(EvmAddress, Units),
    Burn(Units),
    Mint(MintOrder),
    PrivateMint(PrivateMint),
}

impl AlphaTx {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let mut operator = None;
        let (draft, terms, send) = match self.action {
            Action::Transfer {
                from,
                to,
                amount,
                terms,
                send,
            } => (
                Draft {
                    signers: vec![from],
                    build: Build::Transfer(to, amount),
                },
                terms,
                send,
            ),
            Action::Lock {
                from,
                to,
                amount,
                terms,
                send,
            } => (
                Draft {
                    signers: vec![from],
                    build: Build::Lock(to, amount),
                },
                terms,
                send,
            ),
            Action::Burn {
                from,
                amount,
                terms,
                send,
            } => (
                Draft {
                    signers: vec![from],
                    build: Build::Burn(amount),
                },
                terms,
                send,
            ),
            Action::Mint {
                governors,
                to,
                amount,
                order,
                reason,
                sign_with,
                terms,
                send,
            } => {
                operator = sign_with;
                let reason_hash = Hash::of("adnet/mint-reason/v1", &[reason.as_bytes()]);
                let build = match to {
                    Payee::Public(address) => Build::Mint(MintOrder {
                        order_nonce: order,
                        recipient: address.0,
                        amount_units: amount.0,
                        reason_hash,
                    }),
                    Payee::Shielded(recipient) => Build::PrivateMint(PrivateMint {
                        // Genesis and expiry are known once the network is.
                        genesis: Hash::ZERO,
                        order_nonce: order,
                        recipient,
                        amount_units: amount.0,
                        reason_hash,
                        memo: Memo::none(),
                        expiry_height: 0,
                    }),
                };
                (
                    Draft {
                        signers: governors,
                        build,
                    },
                    terms,
                    send,
                )
            }
        };
        let network = send.network()?;
        let client = ApiClient::new(send.url(network.loaded.config.alpha.api_listen));
        let tx = draft.sign(&network, &terms, &send, &client)?;
        if send.sign_only {
            writeln!(io::stdout(), "{}", hex::encode(tx.encode()))?;
            return Ok(ExitCode::SUCCESS);
        }
        let operator = operator.map(|name| {
            let data_dir = &network.loaded.config.node.data_dir;
            signer_key::find(data_dir, &name, KeyKind::Alpha)
        });
        broadcast(&client, &tx, operator.transpose()?.as_ref(), &send)
    }
}

impl Draft {
    fn sign(
        self,
        network: &Network,
        terms_args: &TermsArgs,
        send: &SendArgs,
        client: &ApiClient,
    ) -> anyhow::Result<Transaction> {
        let data_dir = &network.loaded.config.node.data_dir;
        let keys: Vec<SecretKey> = self
            .signers
            .iter()
            .map(|name| signer_key::find(data_dir, name, KeyKind::Alpha))
            .collect::<Result<_, _>>()?;
        let first = keys.first().ok_or_else(|| anyhow!("nobody signs"))?;
        let is_proved = matches!(self.build, Build::PrivateMint(_));
        if is_proved {
            let _spinner = Spinner::new("Building the key that proofs are made with");
            prepare_proving();
        }
        let expiry_height = match terms_args.expiry {
            Some(height) => height,
            None => default_expiry(&network.genesis, client, is_proved)?,
        };
        let terms = |function: &Function, approvals: usize| {
            let mut terms = Terms::cheapest(&network.genesis, expiry_height, function, approvals);
            if let Some(Units(fee_units)) = terms_args.fee {
                terms.fee_units = fee_units;
            }
            terms
        };
        if let Build::PrivateMint(order) = self.build {
            if terms_args.fee.is_some() {
                let why =
                    "a mint to a shielded address pays exactly the least fee: leave --fee out";
                return Err(UsageError(why.to_owned()).into());
            }
            let order = PrivateMint {
                genesis: network.genesis.hash(),
                expiry_height,
                ..order
            };
            return private_mint(&order, &network.genesis, &keys);
        }
        if let Build::Mint(order) = self.build {
            let function = Function::Mint(order);
            let payload: Payload = terms(&function, keys.len()).payload(function);
            let approvals = keys
                .iter()
                .map(|key| approve(key, &payload))
                .collect::<Result<_, _>>()?;
            return Ok(assemble_mint(payload, approvals));
        }
        let nonce = match send.nonce {
            Some(nonce) => nonce,
            None => next_nonce(client, first)?,
        };
        // The least fee depends on the size only, so blank terms build the function to be measured.
        let blank = Terms {
            genesis: Hash::ZERO,
            fee_units: 0,
            expiry_height,
        };
        let build = |terms: &Terms| match &self.build {
            Build::Transfer(to, amount) => sign_transfer(first, terms, nonce, *to, amount.0),
            Build::Lock(to, amount) => sign_lock(first, terms, nonce, *to, amount.0),
            Build::Burn(amount) => sign_burn(first, terms, nonce, amount.0),
            Build::Mint(_) | Build::PrivateMint(_) => {
                unreachable!("a mint was signed above, by its governors")
            }
        };
        let terms = terms(&build(&blank)?.payload.function, 0);
        Ok(build(&terms)?)
    }
}

/// Proves a mint to a note, and lets the governors sign it.
fn private_mint(
    order: &PrivateMint,
    genesis: &Genesis,
    governors: &[SecretKey],
) -> anyhow::Result<Transaction> {
    let fees = FeeSchedule::of(&genesis.alpha);
    let mut tx = {
        let _spinner = Spinner::new("Proving, about 4 s of work");
        order.propose(&fees, governors.len(), &mut |_| {})?
    };
    for governor in governors {
        let approval = approve(governor, &tx.payload)?;
        tx = add_approval(tx, approval).expect("a proposed mint takes signatures of governors");
    }
    Ok(tx)
}

/// Half of the longest time allowed, or all of it where a proof takes its part.
fn default_expiry(genesis: &Genesis, client: &ApiClient, is_proved: bool) -> anyhow::Result<u64> {
    let height = number(&client.get("/v1/status")?, "height")?;
    let window = genesis.alpha.expiry_window_blocks;
    let ahead = match is_proved {
        true => window,
        false => (window / 2).max(1),
    };
    height
        .checked_add(ahead)
        .ok_or_else(|| anyhow!("the API names an impossible height"))
}

fn next_nonce(client: &ApiClient, key: &SecretKey) -> anyhow::Result<u64> {
    let public = key
        .ed25519_public()
        .ok_or_else(|| anyhow!("a Delta key does not sign on Alpha"))?;
    let address = AlphaAddress::from(public);
    number(
        &client.get(&format!("/v1/balance/{address}"))?,
        "next_nonce",
    )
}

fn broadcast(
    client: &ApiClient,
    tx: &Transaction,
    operator: Option<&SecretKey>,
    send: &SendArgs,
) -> anyhow::Result<ExitCode> {
    let (path, body) = (
        "/v1/transaction/broadcast",
        json!({ "raw": hex::encode(tx.encode()) }),
    );
    match operator {
        Some(key) => client.post_signed(path, &body, key)?,
        None => client.post(path, &body)?,
    };
    let id = tx.id();
    writeln!(io::stdout(), "{id}")?;
    let fee = in_ax(tx.payload.fee_units);
    eprintln!(
        "{} accepted by {}, fee {fee} AX",
        tx.payload.function.name(),
        client.url()
    );
    if send.no_wait {
        return Ok(ExitCode::SUCCESS);
    }
    let path = format!("/v1/transaction/{id}");
    let height = wait_for(send.timeout(), || {
        let found = client.find(&path)?;
        Ok(found
            .filter(|tx| tx["status"] == "final")
            .map(|tx| tx["receipt"]["height"].clone()))
    })?;
    eprintln!("final in block {height}");
    if matches!(tx.payload.function, Function::Lock(_)) {
        eprintln!("as much sAX appears on Delta with one of its next blocks");
    }
    Ok(ExitCode::SUCCESS)
}
