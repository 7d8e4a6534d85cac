//! Starting a node: the genesis block on an empty store, else the last committed block.

use super::bodies::Bodies;
use super::evidence::EvidencePool;
use super::gossip::REMIND_EVERY_MS;
use super::sibling::Sibling;
use super::sync::{SnapshotSync, Sync};
use super::timers::{Timer, Timers};
use super::verified::Verified;
use super::{BlockLimits, Host, Node, NodeConfig, NodeFault, Queries};
use crate::application::{Application, OpenError};
use crate::attestation::outbox_root;
use crate::block::{Block, Body, Header, MAX_BODY_BYTES, MAX_INBOX, MAX_TXS};
use crate::cadence::Cadence;
use crate::chain_id::ChainId;
use crate::consensus::{Domain, Engine, ValidatorSet};
use crate::genesis::Genesis;
use crate::hash::Hash;
use crate::ledger::{self, CommittedBlock};
use crate::light_client::LightClient;
use crate::mempool::{Arrivals, Mempool};
use crate::store::{CommitBatch, restore_wipe};
use crate::trusted_block::TrustedBlock;
use crate::validators::Validators;
use std::collections::VecDeque;
use std::sync::Arc;

/// A moved schedule may be this far ahead of our clock.
const CLOCK_TOLERANCE_MS: u64 = 500;

impl<A: Application> Node<A> {
    /// Opens the chain on what `host` has stored. First start and restart are the same code: an
    /// empty store gets the genesis block, and the node goes on after the last committed one.
    ///
    /// # Errors
    /// See [`NodeFault`]; among them that the chain is not the one that the configuration trusts.
    pub fn open(config: NodeConfig, now_ms: u64, host: &mut dyn Host) -> Result<Self, NodeFault> {
        Self::open_with(config, now_ms, host, None)
    }

    /// As [`Node::open`]. What others hold of the other chain's state goes on to be used, if given.
    pub(super) fn open_with(
        config: NodeConfig,
        now_ms: u64,
        host: &mut dyn Host,
        sibling: Option<Arc<Sibling>>,
    ) -> Result<Self, NodeFault> {
        let genesis = Arc::clone(&config.genesis);
        let genesis_hash = genesis.hash();
        let validators = genesis.validator_set();
        let validators = validators.map_err(|e| NodeFault::Genesis(e.to_string()))?;
        let tip = match stored_tip::<A>(host)? {
            Some(tip) => tip,
            None => write_genesis::<A>(&genesis, genesis_hash, validators, host)?,
        };
        let header = tip.header;
        let mut app = A::open(&genesis, host, header.height, header.state_root)?;
        // What was kept for peers was in memory: they may begin here until there is more.
        let mut snapshots = VecDeque::new();
        if header.height > 0 {
            app.keep_snapshot();
            snapshots.push_back(header.height);
        }
        let validators = app.validators();
        if validators.own.set.validators_hash() != header.next_validators {
            let why = "the validators in the state are not those that the last header names";
            return Err(OpenError::Corrupt(why.into()).into());
        }
        let domain = Domain {
            network_id: genesis.network_id,
            chain: A::CHAIN,
            genesis: genesis_hash,
        };
        // Nobody has decided the genesis block.
        let tip_set = ledger::validators_at(host, A::CHAIN, header.height)?;
        let tip_set = tip_set.map_or_else(|| Arc::clone(&validators.own.set), Arc::new);
        if let Some(TrustedBlock { height, hash }) = config.trusted {
            let ours = ledger::header_at(host, A::CHAIN, height)?;
            if ours.is_some_and(|ours| ours.hash() != hash) {
                return Err(NodeFault::NotTrusted { height, hash });
            }
        }
        let sibling = match sibling {
            Some(sibling) => {
                sibling.restart(&validators.sibling, app.last_consumed());
                sibling
            }
            None => {
                let (chain, network) = (A::CHAIN.sibling(), genesis.network_id);
                let light = LightClient::new(chain, network, genesis_hash, &validators.sibling);
                Arc::new(Sibling::new(light, app.last_consumed()))
            }
        };
        let (cadence, limits) = parameters(A::CHAIN, &genesis);
        let engine = Engine::new(config.validator, domain, config.timeouts);
        let mut timers = Timers::default();
        let next = header.height + 1;
        timers.set(cadence.due(header.time_ms).max(now_ms), Timer::Open(next));
        timers.set(now_ms, Timer::Resume);
        timers.set(now_ms.saturating_add(REMIND_EVERY_MS), Timer::Remind);
        timers.set(now_ms, Timer::Status);
        let is_alone =
            matches!(validators.own.set.members(), [only] if Some(only.key()) == config.validator);
        let price = app.price();
        Ok(Self {
            snapshot_sync: SnapshotSync::at_start(&config, header.height, now_ms),
            snapshots,
            genesis_hash,
            domain,
            evidence: EvidencePool::load(A::CHAIN, host)?,
            validator: config.validator,
            cadence,
            limits,
            app,
            engine,
            mempool: Mempool::new(config.mempool, price),
            arrivals: Arrivals::default(),
            verified: Arc::new(Verified::new(genesis_hash, &config.mempool)),
            verifying: Default::default(),
            tip_hash: header.hash(),
            announced: header.height,
            tip_proof: ledger::finality_proof(host, A::CHAIN, header.height)?,
            tip_set,
            tip: header,
            open: None,
            bodies: Bodies::default(),
            needed: Default::default(),
            sibling,
            asked_sibling_ms: 0,
            queries: Queries::default(),
            sync: Sync::new(now_ms, is_alone),
            flood: Default::default(),
            untold: Default::default(),
            timers,
            config,
        })
    }
}

/// The last committed block, if there is one: durable from then on, so it may be shown.
pub fn stored_tip<A: Application>(host: &mut dyn Host) -> Result<Option<Block>, NodeFault> {
    let Some(height) = ledger::tip_height(host, A::CHAIN)? else {
        return Ok(None);
    };
    // The last run may have ended before it synced what it had fetched.
    host.sync()?;
    let block = ledger::block_at(host, A::CHAIN, height)?;
    let block = block.expect("the tip is written in the batch of its block");
    Ok(Some(block.block))
}

/// The first block: nobody proposed it, no certificate decided it, everybody computes it.
pub fn genesis_block<A: Application>(
    genesis: &Genesis,
    genesis_hash: Hash,
    validators: &ValidatorSet,
) -> (Block, Vec<crate::store::Write>) {
    let (state_root, writes) = A::genesis_state(genesis);
    let body = Body::default();
    let header = Header {
        chain: A::CHAIN,
        genesis: genesis_hash,
        height: 0,
        time_ms: genesis.genesis_time_ms,
        parent: Hash::ZERO,
        proposer: [0; 32],
        body_root: body.root(),
        state_root,
        outbox_root: outbox_root(&[]),
        next_validators: validators.validators_hash(),
    };
    (Block { header, body }, writes)
}

fn write_genesis<A: Application>(
    genesis: &Genesis,
    genesis_hash: Hash,
    validators: ValidatorSet,
    host: &mut dyn Host,
) -> Result<Block, NodeFault> {
    let (block, mut writes) = genesis_block::<A>(genesis, genesis_hash, &validators);
    let certificate = Vec::new();
    let committed = CommittedBlock { block, certificate };
    writes.extend(ledger::block_writes(A::CHAIN, &committed));
    let from = Validators::genesis(validators).own;
    writes.push(ledger::validators_write(A::CHAIN, &from));
    // A snapshot may have been begun with and given up.
    writes.splice(0..0, restore_wipe(A::CHAIN));
    host.commit(CommitBatch { height: 0, writes })?;
    Ok(committed.block)
}

fn parameters(chain: ChainId, genesis: &Genesis) -> (Cadence, BlockLimits) {
    let (interval_ms, max_lag_ms, max_bytes, max_txs) = match chain {
        ChainId::Alpha => {
            let a = &genesis.alpha;
            (
                a.block_interval_ms,
                a.max_lag_ms,
                a.max_block_bytes,
                a.max_block_txs as usize,
            )
        }
        ChainId::Delta => {
            let d = &genesis.delta;
            (
                d.block_interval_ms,
                d.max_lag_ms,
                d.max_block_bytes,
                MAX_TXS,
            )
        }
    };
    let cadence = Cadence {
        interval_ms,
        max_lag_ms,
        tolerance_ms: CLOCK_TOLERANCE_MS,
    };
    let bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let limits = BlockLimits {
        max_bytes: bytes.min(MAX_BODY_BYTES),
        max_txs: max_txs.min(MAX_TXS),
        max_attestations: (genesis.attestation.max_per_block as usize).min(MAX_INBOX),
    };
    (cadence, limits)
}
