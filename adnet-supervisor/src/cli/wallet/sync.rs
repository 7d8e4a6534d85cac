//! Bringing a wallet up to the node's last block: blocks, memos, and transactions that wait.
//!
//! What is scanned is written every few seconds, at the end, and when somebody interrupts, so a scan
//! goes on where the last one ended, however that was.

use std::time::{Duration, Instant};

use adnet_alpha::{
    compact::CompactBlock,
    pool::tree::NoteTree,
    wallet::{ScanError, Status, Wallet},
};
use adnet_common::hash::Hash;
use anyhow::{Context, bail};

use super::{
    interrupt::Interrupt,
    node::{Answer, NetworkFacts, NodeClient},
    options::NodeArgs,
    progress::ScanBar,
    session::{Session, birthday},
};

const SAVE_EVERY: Duration = Duration::from_secs(2);
/// Blocks and actions that are tried at once: few enough that Ctrl-C is heard soon.
const BATCH_BLOCKS: usize = 250;
const BATCH_ACTIONS: usize = 2_000;

/// What bringing it up to date has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Synced {
    /// The node's last block, which the wallet has read too.
    pub tip: u64,
    pub blocks: u64,
    pub actions: u64,
    pub notes_found: u64,
    pub notes_spent: u64,
    /// Own transactions that became final, and those whose time is over.
    pub finalised: Vec<Hash>,
    pub expired: Vec<Hash>,
}

/// Reads everything that is new on the node.
pub(super) fn sync(session: &mut Session, args: &NodeArgs) -> anyhow::Result<Synced> {
    let node = args.client()?;
    let facts = node.network()?;
    sync_with(session, &node, &facts, args.no_memos)
}

/// As [`sync`], with a node whose network is known already.
pub(super) fn sync_with(
    session: &mut Session,
    node: &NodeClient,
    facts: &NetworkFacts,
    no_memos: bool,
) -> anyhow::Result<Synced> {
    let interrupt = Interrupt::watch()?;
    let mut synced = Synced::default();
    let read =
        read_blocks(session, node, facts, &interrupt, &mut synced).and_then(|()| match no_memos {
            true => Ok(()),
            false => read_memos(session, node, facts, &interrupt),
        });
    // Also after an error: what is read is read.
    session.save()?;
    read?;
    if synced.actions > 0 {
        check_notes(session.wallet(node, facts)?, node)?;
    }
    send_again(session.wallet(node, facts)?, node);
    Ok(synced)
}

fn read_blocks(
    session: &mut Session,
    node: &NodeClient,
    facts: &NetworkFacts,
    interrupt: &Interrupt,
    synced: &mut Synced,
) -> anyhow::Result<()> {
    let tip = node.tip()?;
    let known = session.wallet(node, facts)?.tip().height;
    if tip < known {
        bail!(
            "{} is at block {tip}, and this wallet has read up to {known}: the node is behind (wait \
             until it has caught up), or its network was reset (`adnet wallet scan --anew`)",
            node.url()
        );
    }
    synced.tip = tip;
    let mut bar = ScanBar::new(tip - known);
    let mut saved = Instant::now();
    let mut has_gone_back = false;
    while session.wallet(node, facts)?.tip().height < synced.tip {
        interrupt.check()?;
        let from = session.wallet(node, facts)?.next_height();
        let blocks = node.blocks(from)?;
        synced.tip = synced.tip.max(blocks.tip);
        bar.set_blocks(synced.tip.saturating_sub(known));
        let mut batches = Batches::new(blocks);
        let mut has_blocks = false;
        while let Some(batch) = batches.next_batch()? {
            has_blocks = true;
            let wallet = session.wallet(node, facts)?;
            match wallet.scan(&batch) {
                Ok(scanned) => {
                    synced.blocks += scanned.blocks as u64;
                    synced.actions += scanned.actions as u64;
                    synced.notes_found += scanned.notes_found as u64;
                    synced.notes_spent += scanned.notes_spent as u64;
                    synced.finalised.extend(scanned.finalised);
                    synced.expired.extend(scanned.expired);
                }
                Err(ScanError::OtherChain { height, .. }) if !has_gone_back => {
                    has_gone_back = true;
                    go_back(wallet, node, height)?;
                    break;
                }
                Err(error) => return Err(error).with_context(|| node.url().to_owned()),
            }
            bar.add(&batch);
            if saved.elapsed() >= SAVE_EVERY {
                session.save()?;
                saved = Instant::now();
            }
            interrupt.check()?;
        }
        if !has_blocks {
            bail!(
                "{} is at block {}, and gives none from {from} on",
                node.url(),
                synced.tip
            );
        }
    }
    Ok(())
}

/// Compares the notes that were read with the node's tree, if it still has that one: a payment with
/// another root would be proved for nothing.
fn check_notes(wallet: &Wallet, node: &NodeClient) -> anyhow::Result<()> {
    let tip = wallet.tip();
    let Some(tree) = node.tree(tip.height)? else {
        return Ok(());
    };
    let notes = NoteTree::decode(&tree.frontier)
        .with_context(|| format!("{} gave a broken tree of note commitments", node.url()))?;
    if tree.block_hash != tip.hash {
        return Ok(()); // another chain, which the next blocks tell
    }
    wallet.check_notes(&notes).with_context(|| {
        format!(
            "{} contradicts itself; `adnet wallet scan --anew` reads the chain again, and --node names \
             another node",
            node.url()
        )
    })
}

/// Goes back to the last block that the node has too.
fn go_back(wallet: &mut Wallet, node: &NodeClient, height: u64) -> anyhow::Result<()> {
    let recent: Vec<_> = wallet.recent_blocks().collect();
    let oldest = recent.last().map_or(height, |block| block.height);
    let mut theirs = Vec::new();
    for block in node.blocks(oldest.max(1))? {
        let block = block?;
        if block.height >= height {
            break;
        }
        theirs.push((block.height, block.hash));
    }
    let common = recent
        .iter()
        .find(|block| theirs.contains(&(block.height, block.hash)));
    match common {
        Some(block) => {
            eprintln!(
                "adnet: the node has another chain after block {}; the wallet goes back to it",
                block.height
            );
            wallet.rewind(block.height)?;
        }
        None => {
            eprintln!(
                "adnet: the node has another chain; the wallet is read anew from its birthday"
            );
            let begin = birthday(node, wallet.birthday().height)?;
            wallet.restart(begin)?;
        }
    }
    Ok(())
}

/// Fetches the whole transactions of which history wants memos and recipients.
fn read_memos(
    session: &mut Session,
    node: &NodeClient,
    facts: &NetworkFacts,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let wallet = session.wallet(node, facts)?;
    for id in wallet.wanted() {
        interrupt.check()?;
        let read = node
            .final_transaction(&id)
            .and_then(|tx| Ok(wallet.enrich(&tx)?));
        if let Err(error) = read {
            eprintln!("adnet: the memo of {id} is missing until the next scan: {error:#}");
            break;
        }
    }
    Ok(())
}

/// Hands transactions over again that the node does not know: it, or this program, may have ended
/// between signing and sending. The same bytes twice are one transaction.
fn send_again(wallet: &Wallet, node: &NodeClient) {
    for pending in wallet.pending() {
        if wallet.status(pending) != Status::Pending {
            continue;
        }
        let id = pending.id;
        let sent = match node.transaction(&id) {
            Ok(Some(_)) => continue,
            Ok(None) => hex::decode(pending.raw())
                .map_err(anyhow::Error::from)
                .and_then(|raw| node.broadcast(&raw)),
            Err(error) => Err(error),
        };
        match sent {
            Ok(Answer::Accepted) => {
                eprintln!("adnet: {id} was not with the node and is sent again")
            }
            Ok(Answer::Refused(refused)) => eprintln!(
                "adnet: {id} is pending and the node does not take it: {}; unless it comes into a \
                 block before, it is given up after block {}",
                refused.message, pending.expiry_height
            ),
            Err(error) => {
                eprintln!("adnet: {id} is pending and could not be sent again: {error:#}")
            }
        }
    }
}

/// Groups blocks as they arrive.
struct Batches<I: Iterator> {
    blocks: I,
}

impl<I: Iterator<Item = anyhow::Result<CompactBlock>>> Batches<I> {
    fn new(blocks: I) -> Self {
        Batches { blocks }
    }

    /// The next group; `None` at the end. An error is given after the blocks before it were.
    fn next_batch(&mut self) -> anyhow::Result<Option<Vec<CompactBlock>>> {
        let (mut batch, mut actions) = (Vec::new(), 0);
        while batch.len() < BATCH_BLOCKS && actions < BATCH_ACTIONS {
            match self.blocks.next() {
                Some(Ok(block)) => {
                    actions += usize::try_from(block.commitments()).unwrap_or(usize::MAX);
                    batch.push(block);
                }
                Some(Err(error)) if batch.is_empty() => return Err(error),
                // The connection broke: the next request asks from here on.
                Some(Err(_)) | None => break,
            }
        }
        Ok((!batch.is_empty()).then_some(batch))
    }
}
