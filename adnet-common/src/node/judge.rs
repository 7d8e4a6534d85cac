//! Building blocks and judging those of others: both end in an executed candidate.

use super::bodies::{Candidate, Sound, Verdict};
use super::verifying::{BlockTxs, Urgency};
use super::{Host, Node, NodeFault, Output, evidence};
use crate::application::{Application, BlockContext, Executed, InvalidBlock, VerifiedTx};
use crate::attestation::outbox_root;
use crate::block::{Block, Body, Header, Inbox as BlockInbox};
use crate::consensus::Equivocation;
use crate::consensus_keys::{body_key, built_key};
use crate::hash::Hash;
use crate::store::{Family, Part, Write};
use std::sync::Arc;

/// Room that a block keeps for its header and the framing of its body.
const BLOCK_OVERHEAD_BYTES: usize = 4096;

impl<A: Application> Node<A> {
    /// The block that we propose in this round: the one built for it before a crash, else a new
    /// one, stored before anybody hears of it. That of an earlier life has to be verified in this
    /// one: it is built again, so to say, when that is done.
    pub(super) fn build(
        &mut self,
        now_ms: u64,
        round: u32,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<Option<Hash>, NodeFault> {
        let height = self.tip.height + 1;
        if let Some(hash) = self.bodies.built.get(&round).copied() {
            let proposer = self.validator.expect("only a validator proposes");
            let judged = self.judge(now_ms, &hash, Some(proposer.0), host, outputs)?;
            if judged.is_none() {
                self.verifying.building = Some((height, round));
            }
            return Ok(judged.unwrap_or(false).then_some(hash));
        }
        let evidence = {
            let is_guilty = |validator: &_| self.app.is_proved_guilty(validator);
            self.evidence.for_block(height, is_guilty)
        };
        let context = BlockContext {
            height,
            time_ms: self.cadence.stamp(self.tip.time_ms, now_ms),
            parent: self.tip_hash,
            proposer: self.validator.expect("only a validator proposes").0,
            equivocators: evidence::equivocators(&evidence),
        };
        let evidence: Vec<Vec<u8>> = evidence.iter().map(Equivocation::encode).collect();
        let mut waiting = self.sibling.inbox().next(self.limits.max_attestations);
        let inbox_bytes = self.inbox_bytes(&waiting);
        let evidence_bytes: usize = evidence.iter().map(Vec::len).sum();
        let room = self
            .limits
            .max_bytes
            .saturating_sub(BLOCK_OVERHEAD_BYTES + inbox_bytes + evidence_bytes);
        let candidates = self.mempool.candidates(self.limits.max_txs, room);
        let proposed = self.app.propose(host, &context, &candidates, &waiting)?;
        let rejected: Vec<Hash> = proposed
            .rejected
            .iter()
            .map(|(i, _)| candidates[*i].id)
            .collect();
        self.mempool.reject(&rejected);
        waiting.truncate(proposed.attestations);
        let body = Body {
            txs: proposed
                .included
                .iter()
                .map(|i| candidates[*i].raw.clone())
                .collect(),
            inbox: BlockInbox {
                proofs: self.sibling.inbox().proofs_of(&waiting),
                attestations: waiting,
            },
            evidence,
        };
        let header = self.header(&context, &body, &proposed.executed);
        let block = Block { header, body };
        let hash = block.hash();
        let family = Family::of(A::CHAIN, Part::Consensus);
        host.append(vec![
            Write::put(family, body_key(height, &hash), block.encode()),
            Write::put(family, built_key(height, round), hash.0),
        ])?;
        let included = proposed.included.iter();
        let verdict = Verdict::Valid(Box::new(Sound {
            executed: proposed.executed,
            ids: included.map(|i| candidates[*i].id).collect(),
        }));
        self.bodies.known.insert(hash, Candidate { block, verdict });
        self.bodies.built.insert(round, hash);
        Ok(Some(hash))
    }

    fn inbox_bytes(&self, attestations: &[crate::attestation::Attestation]) -> usize {
        let proofs = self.sibling.inbox().proofs_of(attestations);
        let proofs: usize = proofs.iter().map(|p| p.encode().len()).sum();
        let attestations: usize = attestations.iter().map(|a| a.encode().len()).sum();
        proofs + attestations
    }

    fn header(&self, at: &BlockContext, body: &Body, executed: &Executed<A::Pending>) -> Header {
        Header {
            chain: A::CHAIN,
            genesis: self.genesis_hash,
            height: at.height,
            time_ms: at.time_ms,
            parent: at.parent,
            proposer: at.proposer,
            body_root: body.root(),
            state_root: executed.state_root,
            outbox_root: outbox_root(&executed.outbox),
            next_validators: executed.next_validators.validators_hash(),
        }
    }

    /// Whether the block `hash`, which must be known, may follow the tip. Executes it the first time,
    /// which has to wait (`None`) until all its transactions are verified.
    ///
    /// `new_from` proposes it for the first time, and then the block must name this validator and be
    /// on our clock's schedule. One that is proposed again, after a quorum has prevoted it, was held
    /// against both then, and is valid whoever proposes it and whenever: a validator that was away
    /// in that round must come to the same verdict as the others, or a network that needs its vote
    /// stands still.
    pub(super) fn judge(
        &mut self,
        now_ms: u64,
        hash: &Hash,
        new_from: Option<[u8; 32]>,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<Option<bool>, NodeFault> {
        let candidate = self
            .bodies
            .known
            .get(hash)
            .expect("a judged block is known");
        let header = &candidate.block.header;
        let height = header.height;
        let offered = match new_from {
            Some(proposer) => self.check_offer(now_ms, header, proposer),
            None => Ok(()),
        };
        if let Err(error) = offered {
            let chain = A::CHAIN;
            tracing::warn!(%chain, height, %hash, %error, "a block is not proposed as it should be");
            return Ok(Some(false));
        }
        match &candidate.verdict {
            Verdict::Valid(_) => return Ok(Some(true)),
            Verdict::Invalid => return Ok(Some(false)),
            Verdict::Unknown => {}
        }
        let urgency = Urgency::Consensus;
        let Some(tried) = self.try_known(hash, urgency, host, outputs)? else {
            return Ok(None);
        };
        if let Err(error) = &tried {
            let chain = A::CHAIN;
            tracing::warn!(%chain, height, %hash, %error, "a proposed block is not valid");
        }
        Ok(Some(tried.is_ok()))
    }

    /// Everything that makes the known block `hash` valid but its time: first what costs nothing, then
    /// its transactions, which may have to be waited for (`None`), then its execution on the tip's state.
    pub(super) fn try_known(
        &mut self,
        hash: &Hash,
        urgency: Urgency,
        host: &mut dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<Option<Result<(), InvalidBlock>>, NodeFault> {
        let candidate = self.bodies.known.get(hash);
        let candidate = candidate.expect("a block that is tried is known");
        if matches!(candidate.verdict, Verdict::Valid(_)) {
            return Ok(Some(Ok(())));
        }
        let block = &candidate.block;
        let tried = match self.check_frame(block) {
            Err(error) => Err(error),
            Ok(()) => {
                let (verifying, verified) = (&mut self.verifying, &self.verified);
                match verifying.of_block(verified, *hash, block, urgency, outputs) {
                    BlockTxs::Waiting => return Ok(None),
                    BlockTxs::Invalid(error) => {
                        let why = error.to_string();
                        Err(InvalidBlock::new("BAD_TRANSACTION", why))
                    }
                    BlockTxs::Verified(txs) => {
                        let ids = txs.iter().map(|tx| tx.id).collect();
                        let executed = self.execute(block, &txs, host)?;
                        executed.map(|executed| Sound { executed, ids })
                    }
                }
            }
        };
        let (verdict, tried) = match tried {
            Ok(sound) => (Verdict::Valid(Box::new(sound)), Ok(())),
            Err(error) => (Verdict::Invalid, Err(error)),
        };
        let candidate = self.bodies.known.get_mut(hash).expect("known above");
        candidate.verdict = verdict;
        Ok(Some(tried))
    }

    /// What a block that is proposed for the first time owes to the moment and to its proposer.
    fn check_offer(
        &self,
        now_ms: u64,
        header: &Header,
        proposer: [u8; 32],
    ) -> Result<(), InvalidBlock> {
        if header.proposer != proposer {
            let why = "another validator proposes here";
            return Err(InvalidBlock::new("WRONG_PROPOSER", why));
        }
        let tip_ms = self.tip.time_ms;
        if !self.cadence.accepts(tip_ms, header.time_ms, now_ms) {
            let why = "the time is not on the schedule";
            return Err(InvalidBlock::new("WRONG_TIME", why));
        }
        Ok(())
    }

    /// Executes a block with its transactions, which are verified, on the tip's state and checks every
    /// commitment of its header but the time.
    pub(super) fn execute(
        &self,
        block: &Block,
        txs: &[Arc<VerifiedTx<A::Tx>>],
        host: &dyn Host,
    ) -> Result<Result<Executed<A::Pending>, InvalidBlock>, NodeFault> {
        if let Err(error) = self.check_inbox(block) {
            return Ok(Err(error));
        }
        let equivocators = match self.check_evidence(block, host)? {
            Ok(equivocators) => equivocators,
            Err(error) => return Ok(Err(error)),
        };
        let header = &block.header;
        let context = BlockContext {
            height: header.height,
            time_ms: header.time_ms,
            parent: header.parent,
            proposer: header.proposer,
            equivocators,
        };
        let attestations = &block.body.inbox.attestations;
        let executed = match self.app.execute(host, &context, txs, attestations)? {
            Ok(executed) => executed,
            Err(error) => return Ok(Err(error)),
        };
        let check = if executed.state_root != header.state_root {
            Err(InvalidBlock::new(
                "WRONG_STATE_ROOT",
                "execution leads to another state root",
            ))
        } else if outbox_root(&executed.outbox) != header.outbox_root {
            Err(InvalidBlock::new(
                "WRONG_OUTBOX_ROOT",
                "execution sends other messages",
            ))
        } else if executed.next_validators.validators_hash() != header.next_validators {
            Err(InvalidBlock::new(
                "WRONG_VALIDATORS",
                "execution leads to another validator set",
            ))
        } else {
            Ok(executed)
        };
        Ok(check)
    }

    /// Where the block stands, and the bounds of its parts: what is known before anything is verified.
    fn check_frame(&self, block: &Block) -> Result<(), InvalidBlock> {
        let Header {
            chain,
            genesis,
            height,
            parent,
            ..
        } = &block.header;
        let body = &block.body;
        let require = |holds: bool, code, why: &str| {
            holds
                .then_some(())
                .ok_or_else(|| InvalidBlock::new(code, why))
        };
        require(
            *chain == A::CHAIN,
            "WRONG_CHAIN",
            "a block of the other chain",
        )?;
        require(
            *genesis == self.genesis_hash,
            "WRONG_NETWORK",
            "a block of another network",
        )?;
        require(
            *height == self.tip.height + 1,
            "WRONG_HEIGHT",
            "not the next height",
        )?;
        require(
            *parent == self.tip_hash,
            "WRONG_PARENT",
            "it does not follow our tip",
        )?;
        let fits = block.encode().len() <= self.limits.max_bytes
            && body.txs.len() <= self.limits.max_txs
            && body.inbox.attestations.len() <= self.limits.max_attestations;
        require(fits, "BLOCK_TOO_LARGE", "over the bounds of the genesis")?;
        let heights: Vec<u64> = body.inbox.attestations.iter().map(|a| a.height).collect();
        let proved: Vec<u64> = body.inbox.proofs.iter().map(|p| p.header.height).collect();
        let ordered = proved.windows(2).all(|w| w[0] < w[1]);
        let all_used = proved.iter().all(|h| heights.contains(h));
        require(
            ordered && all_used,
            "WRONG_PROOFS",
            "finality proofs are not one per height",
        )
    }

    /// The messages of the other chain, with the proofs that they come with.
    fn check_inbox(&self, block: &Block) -> Result<(), InvalidBlock> {
        let inbox = &block.body.inbox;
        let set = &self.app.validators().sibling;
        let light = &self.sibling.light;
        light
            .verify_inbox(set, &inbox.proofs, &inbox.attestations)
            .map_err(|e| InvalidBlock::new("BAD_ATTESTATION", e.to_string()))
    }
}
