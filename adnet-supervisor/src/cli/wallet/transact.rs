//! From what is wanted to a final transaction: plan, prove, remember, send, wait.
//!
//! A transaction is on the disk before its first byte goes to a node. So whatever kills this process,
//! and whenever, the next command knows of it: its notes are not spent a second time, and it is handed
//! over again until it is in a block or its time is over. What the node refuses because it came too
//! late is planned and proved once more, of the same notes and with the same number; whichever of the
//! two comes to a block has paid.

use std::{
    io::{self, Write},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use adnet_alpha::wallet::{
    Built, Conditions, Intent, Pending, Phase, Plan, Source, Status,
    keys::{SpendingKeys, ViewingKeys},
    prepare_proving,
};
use adnet_common::hash::Hash;
use anyhow::{Context, anyhow, bail};

use super::{
    interrupt::Interrupted,
    node::{Answer, NetworkFacts, NodeClient, is_refusal},
    options::{NodeArgs, SendArgs, WalletArgs},
    output::{Fields, Report},
    session::Session,
    shortage::{explained, may_help},
    sync::sync_with,
};
use crate::cli::{
    amount::{Units, in_ax},
    spinner::Spinner,
};

const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Refusals that say that the transaction came too late: another one of the same kind would be taken.
const TOO_LATE: [&str; 2] = ["ANCHOR_UNKNOWN", "EXPIRED"];
/// Refusals that say that another transaction has, or will have, used up the same. If that is the one in
/// whose place this one comes, everything is as it was wanted.
const USED_UP: [&str; 4] = [
    "NULLIFIER_SPENT",
    "NONCE_TOO_LOW",
    "CLAIMED",
    "REPLACEMENT_UNDERPRICED",
];
/// Refusals after which no node will ever take these very bytes. After any other one it may come to a
/// block all the same, so it is kept and its notes stay set aside.
const NEVER: [&str; 18] = [
    "INVALID_REQUEST",
    "INVALID_SIGNATURE",
    "INVALID_RECIPIENT",
    "INSUFFICIENT_BALANCE",
    "NONCE_TOO_LOW",
    "NULLIFIER_SPENT",
    "DUPLICATE_NULLIFIER",
    "BAD_BUNDLE",
    "BAD_PROOF",
    "WRONG_FLAGS",
    "WRONG_NETWORK",
    "WRONG_VALUE_BALANCE",
    "FEE_TOO_LOW",
    "FEE_NOT_STANDARD",
    "AMOUNT_ZERO",
    "AMOUNT_TOO_LARGE",
    "POOL_EXCEEDED",
    "EXPIRY_TOO_FAR",
];

/// A transaction that a person asks for.
pub(super) struct Transaction {
    /// The command, for messages.
    pub verb: &'static str,
    pub wallet: WalletArgs,
    pub node: NodeArgs,
    pub send: SendArgs,
}

/// Everything that is at hand while it is made.
struct Workshop<'a> {
    session: Session,
    node: NodeClient,
    facts: NetworkFacts,
    keys: SpendingKeys,
    order: &'a Transaction,
    deadline: Instant,
}

/// A transaction that is signed and on the disk.
struct Outgoing {
    id: Hash,
    raw: Vec<u8>,
    function: &'static str,
    amount_units: u64,
    fee_units: u64,
    expiry_height: u64,
    is_lock: bool,
}

impl Outgoing {
    fn of(built: &Built) -> Self {
        Self {
            id: built.id,
            raw: built.transaction.encode(),
            function: built.transaction.payload.function.name(),
            amount_units: built.plan.amount_units,
            fee_units: built.plan.fee_units,
            expiry_height: built.plan.expiry_height,
            is_lock: matches!(built.plan.intent, Intent::Lock { .. }),
        }
    }

    /// One that an earlier command has made.
    fn earlier(pending: &Pending) -> anyhow::Result<Self> {
        let raw = hex::decode(pending.raw()).context("a pending transaction is damaged")?;
        let tx = adnet_alpha::tx::Transaction::decode(&raw);
        let tx = tx.context("a pending transaction is damaged")?;
        Ok(Self {
            id: pending.id,
            function: tx.payload.function.name(),
            amount_units: pending.entry().amount_units,
            fee_units: tx.payload.fee_units,
            expiry_height: pending.expiry_height,
            is_lock: matches!(pending.intent, Intent::Lock { .. }),
            raw,
        })
    }
}

/// How sending has ended.
enum Sent {
    /// In a block of this height.
    Final(u64),
    /// With the node, and nobody waits.
    Accepted,
    /// It will never be in a block; the reason in words.
    TooLate(String),
}

impl Transaction {
    pub fn execute(
        self,
        intent: impl FnOnce(&ViewingKeys) -> anyhow::Result<Intent>,
    ) -> anyhow::Result<ExitCode> {
        let session = Session::open(&self.wallet)?;
        let intent = intent(session.keys())?;
        if session.is_watching_only() {
            bail!("this wallet sees everything and cannot spend: its words are elsewhere");
        }
        let keys = session.unlock(self.wallet.passphrase.existing()?)?;
        let node = self.node.client()?;
        let facts = node.network()?;
        if !matches!(
            (intent.source(), &intent),
            (
                Source::Account,
                Intent::TransferPublic { .. } | Intent::Lock { .. } | Intent::Burn { .. }
            )
        ) {
            // It takes seconds, in which the chain is read.
            thread::spawn(prepare_proving);
        }
        let mut workshop = Workshop {
            session,
            node,
            facts,
            keys,
            deadline: Instant::now() + self.send.timeout(),
            order: &self,
        };
        let (outgoing, height) = workshop.make(&intent)?;
        workshop.report(&outgoing, height)
    }
}

impl Workshop<'_> {
    /// Makes it and sends it; a second time if the first came too late. Goes on with the same thing if
    /// an earlier command has begun it.
    fn make(&mut self, intent: &Intent) -> anyhow::Result<(Outgoing, Option<u64>)> {
        if let Some(earlier) = self.begun(intent)? {
            eprintln!(
                "adnet: the same is under way as {}, and this goes on with it; --again would make \
                 another",
                earlier.id
            );
            return match self.send(&earlier)? {
                Sent::TooLate(why) => bail!("{} came too late ({why}): try again", earlier.id),
                sent => self.done(earlier, sent),
            };
        }
        let plan = self.plan(intent)?;
        let built = self.build(&plan)?;
        let first = Outgoing::of(&built);
        let why = match self.send(&first)? {
            Sent::TooLate(why) => why,
            sent => return self.done(first, sent),
        };
        if let Some(sent) = self.after_all(&first)? {
            return self.done(first, sent);
        }
        eprintln!("adnet: {} came too late ({why}); it is made anew", first.id);
        let window_blocks = self.facts.expiry_window_blocks;
        let wallet = self.session.wallet(&self.node, &self.facts)?;
        let plan = wallet.plan_again(built.id, &plan, window_blocks);
        let second = Outgoing::of(&self.build(&plan)?);
        let error = match self.send(&second) {
            Ok(Sent::TooLate(why)) => anyhow!("{} came too late twice: {why}", second.id),
            Err(error) if USED_UP.iter().any(|code| is_refusal(&error, code)) => error,
            sent => return self.done(second, sent?),
        };
        for outgoing in [first, second] {
            if let Some(sent) = self.after_all(&outgoing)? {
                return self.done(outgoing, sent);
            }
        }
        Err(error)
    }

    /// What is to be reported.
    fn done(&mut self, outgoing: Outgoing, sent: Sent) -> anyhow::Result<(Outgoing, Option<u64>)> {
        match sent {
            Sent::Final(height) => {
                self.sync()?;
                Ok((outgoing, Some(height)))
            }
            Sent::Accepted => Ok((outgoing, None)),
            Sent::TooLate(why) => bail!("{} came too late: {why}", outgoing.id),
        }
    }

    /// What has become of a transaction that was refused, if it is in a block all the same, or waits for
    /// one: a refusal is the word of one node at one moment, and the bytes were out.
    fn after_all(&mut self, outgoing: &Outgoing) -> anyhow::Result<Option<Sent>> {
        // It hands over again what is pending.
        self.sync()?;
        let id = outgoing.id;
        if let Some(height) = self.final_height(&id)? {
            return Ok(Some(Sent::Final(height)));
        }
        if self.node.transaction(&id)?.is_none() {
            return Ok(None);
        }
        eprintln!("adnet: {id} was refused, and is under way all the same");
        if self.order.send.no_wait {
            return Ok(Some(Sent::Accepted));
        }
        Ok(match self.wait(outgoing)? {
            Sent::TooLate(_) => None,
            sent => Some(sent),
        })
    }

    /// The block of an own transaction, if the wallet has read it.
    fn final_height(&mut self, id: &Hash) -> anyhow::Result<Option<u64>> {
        let history = self.session.wallet(&self.node, &self.facts)?.history();
        let mut known = history.iter().filter(|entry| entry.id == *id);
        Ok(known.find_map(|entry| entry.height))
    }

    /// The same thing, if it waits for its block already.
    fn begun(&mut self, intent: &Intent) -> anyhow::Result<Option<Outgoing>> {
        if self.order.send.again {
            return Ok(None);
        }
        self.sync()?;
        let wallet = self.session.wallet(&self.node, &self.facts)?;
        let mut pending = wallet.pending().iter();
        let same = pending.find(|p| p.intent == *intent && wallet.status(p) == Status::Pending);
        same.map(Outgoing::earlier).transpose()
    }

    fn sync(&mut self) -> anyhow::Result<()> {
        let no_memos = self.order.node.no_memos;
        sync_with(&mut self.session, &self.node, &self.facts, no_memos)?;
        Ok(())
    }

    /// Which notes pay and what it costs. Waits for notes that are too young, if that is all that is
    /// missing.
    fn plan(&mut self, intent: &Intent) -> anyhow::Result<Plan> {
        let mut waiting = None;
        loop {
            self.sync()?;
            let account = match intent.source() {
                Source::Pool => None,
                Source::Account => Some(self.node.account(&self.session.keys().alpha)?),
            };
            let conditions = Conditions {
                fees: self.facts.fees,
                expiry_window_blocks: self.facts.expiry_window_blocks,
                account,
            };
            let wallet = self.session.wallet(&self.node, &self.facts)?;
            let tip = wallet.tip().height;
            let planned = wallet.plan(intent, &conditions);
            let error = match planned {
                Ok(plan) => return self.affordable(plan),
                Err(error) => error,
            };
            let is_young = wallet.pool_balance().confirming_units > 0;
            let may_help = may_help(&error, is_young);
            if self.order.send.no_wait || Instant::now() >= self.deadline || !may_help {
                return Err(explained(error, intent));
            }
            waiting.get_or_insert_with(|| {
                Spinner::new("Waiting until the notes are old enough to be spent")
            });
            while self.node.tip()? <= tip && Instant::now() < self.deadline {
                thread::sleep(POLL_INTERVAL);
            }
        }
    }

    fn affordable(&self, plan: Plan) -> anyhow::Result<Plan> {
        let Units(max_units) = self.order.send.max_fee;
        if plan.fee_units > max_units {
            bail!(
                "the fee would be {} AX, more than --max-fee {}; nothing was sent",
                in_ax(plan.fee_units),
                in_ax(max_units)
            );
        }
        Ok(plan)
    }

    /// Proves, signs, and writes it to the disk.
    fn build(&mut self, plan: &Plan) -> anyhow::Result<Built> {
        let spinner = Spinner::new("Preparing");
        let mut progress = |phase| {
            spinner.set(match phase {
                Phase::Key => "Building the key that proofs are made with, about 3 s of work",
                Phase::Prove => "Proving, about 4 s of work",
                Phase::Sign => "Signing",
            });
        };
        let wallet = self.session.wallet(&self.node, &self.facts)?;
        let built = wallet.build(plan, &self.keys, &mut progress)?;
        wallet.add(&built);
        self.session.save()?;
        Ok(built)
    }

    fn send(&mut self, outgoing: &Outgoing) -> anyhow::Result<Sent> {
        let id = outgoing.id;
        let answer = self.node.broadcast(&outgoing.raw).map_err(|error| {
            error.context(format!(
                "{id} is signed and kept; the next command hands it over again"
            ))
        })?;
        if let Answer::Refused(refused) = answer {
            let code = refused.code.as_str();
            if TOO_LATE.contains(&code) {
                return Ok(Sent::TooLate(refused.message));
            }
            if NEVER.contains(&code) {
                let wallet = self.session.wallet(&self.node, &self.facts)?;
                wallet.drop_pending(&id);
                self.session.save()?;
                return Err(refused.into());
            }
            // A node that is busy, lags or fails may take it later, or has taken it.
            let context = format!(
                "{} does not take it now; {id} is kept, and the next command hands it over again",
                self.node.url()
            );
            return Err(anyhow::Error::from(refused).context(context));
        }
        if self.order.send.no_wait {
            return Ok(Sent::Accepted);
        }
        self.wait(outgoing)
    }

    /// Waits until it is in a block. A node that does not answer for a while may be restarting.
    fn wait(&mut self, outgoing: &Outgoing) -> anyhow::Result<Sent> {
        let id = outgoing.id;
        let _spinner = Spinner::new(format!("Waiting for the block with {id}"));
        loop {
            let is_late = Instant::now() >= self.deadline;
            match self.look(outgoing) {
                Ok(Some(sent)) => return Ok(sent),
                Err(error) if is_late || error.is::<Interrupted>() => return Err(error),
                Ok(None) | Err(_) => {}
            }
            if is_late {
                bail!(
                    "{id} is not in a block after {} s; it may still come, up to block {}: `adnet \
                     wallet history` tells",
                    self.order.send.timeout().as_secs(),
                    outgoing.expiry_height
                );
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// What has become of it; nothing while it waits. Hands it over again if the node has forgotten it.
    fn look(&mut self, outgoing: &Outgoing) -> anyhow::Result<Option<Sent>> {
        let id = outgoing.id;
        // The height first: the transaction may be in the very block that comes in between.
        let tip = self.node.tip()?;
        if let Some(known) = self.node.transaction(&id)? {
            return Ok(known.height.map(Sent::Final));
        }
        if tip < outgoing.expiry_height {
            match self.node.broadcast(&outgoing.raw)? {
                Answer::Refused(refused) if USED_UP.contains(&refused.code.as_str()) => {}
                _ => return Ok(None),
            }
        }
        self.sync()?;
        if let Some(height) = self.final_height(&id)? {
            return Ok(Some(Sent::Final(height)));
        }
        let wallet = self.session.wallet(&self.node, &self.facts)?;
        let mut pending = wallet.pending().iter();
        let has_expired = pending.any(|p| p.id == id && wallet.status(p) == Status::Expired);
        Ok(has_expired.then(|| Sent::TooLate(format!("no block up to {tip} took it"))))
    }

    fn report(&self, outgoing: &Outgoing, height: Option<u64>) -> anyhow::Result<ExitCode> {
        let status = match height {
            Some(_) => "final",
            None => "pending",
        };
        if self.order.wallet.json {
            let json = Fields::new()
                .with("id", outgoing.id)
                .with("function", outgoing.function)
                .with("status", status)
                .with("height", height)
                .with_amount("amount", outgoing.amount_units)
                .with_amount("fee", outgoing.fee_units)
                .with("expiry_height", outgoing.expiry_height)
                .into();
            return Report {
                json,
                text: String::new(),
            }
            .print(true);
        }
        writeln!(io::stdout(), "{}", outgoing.id)?;
        eprintln!(
            "{}: {} AX, fee {} AX, accepted by {}",
            self.order.verb,
            in_ax(outgoing.amount_units),
            in_ax(outgoing.fee_units),
            self.node.url()
        );
        if let Some(height) = height {
            eprintln!("final in block {height}");
        }
        if outgoing.is_lock {
            eprintln!("as much sAX appears on Delta with one of its next blocks");
        }
        Ok(ExitCode::SUCCESS)
    }
}
