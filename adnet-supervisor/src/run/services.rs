//! The supervisor's threads that serve the rings of its workers: store, signer, control, network.
//!
//! Each ring has one thread for the life of the node, over all incarnations of its worker. What a
//! dead worker has left in a ring is served before what its successor says, because it came first.

use super::events::{Event, Events};
use super::validators::CurrentValidators;
use crate::metrics::WorkerMetrics;
use crate::network::{self, Network};
use crate::node_state::{ChainProgress, NodeState};
use crate::signer::LocalSigner;
use crate::store::Store;
use adnet_common::chain_id::ChainId;
use adnet_common::consensus::{SignError, SignRequest, Step, VALIDATORS_MAX, WalEntry};
use adnet_common::hash::Hash;
use adnet_common::ipc::{LinkError, Received, Receiver, Sender};
use adnet_common::keys::PublicKey;
use adnet_common::messages::{
    AppendMsg, CommitMsg, DoneMsg, Failure, GetMsg, GossipOutMsg, GotMsg, Message, MessageError,
    MetricsMsg, NetworkOutMsg, PageMsg, PeerMsg, ProgressMsg, ReadyMsg, RestoreMsg, ScanMsg,
    SignMsg, SignedMsg, SyncMsg, ValidatorsMsg, VerdictMsg,
};
use adnet_common::metrics::{MetricFamilyText, MetricKind};
use adnet_common::node::{Class, Offence, Topic, Verdict};
use adnet_common::store::{CommitBatch, Family, ReadStore, RestoreBatch, Scan, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a thread sleeps before it looks whether the node stops.
const TURN: Duration = Duration::from_millis(100);
/// How long an answer waits for room. A living worker takes its answers at once.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

const DATABASE: u8 = 0;
const FORBIDDEN: u8 = 1;
const REFUSED: u8 = 2;
const NO_KEY: u8 = 3;

/// Serves one ring until `stop`: hands each message to `handle`.
fn serve(
    ring: &str,
    chain: ChainId,
    mut receiver: Receiver,
    stop: &AtomicBool,
    mut handle: impl FnMut(Received<'_>) -> Result<(), MessageError>,
) {
    loop {
        match receiver.receive(&mut handle) {
            Ok(Some(Ok(()))) => {}
            Ok(Some(Err(error))) => {
                tracing::error!(%chain, ring, %error, "a worker sent what does not validate");
            }
            Ok(None) => {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                receiver.wait(TURN);
            }
            Err(error) => {
                tracing::error!(%chain, ring, %error, "a ring cannot be read");
                if matches!(error, LinkError::Fenced) || stop.load(Ordering::Acquire) {
                    return;
                }
                std::thread::sleep(TURN);
            }
        }
    }
}

/// Serves reads, and on the data ring commits, appends and signatures.
pub struct StoreService {
    pub chain: ChainId,
    pub store: Store,
    /// `None` on a node that does not vote, and on the query ring.
    pub signer: Option<Arc<LocalSigner>>,
    pub events: Events,
    pub state: Arc<NodeState>,
    /// The data ring takes commits, appends and requests to sign; the query ring only reads.
    pub is_data: bool,
}

impl StoreService {
    pub fn run(self, receiver: Receiver, mut answers: Sender, stop: &AtomicBool) {
        let ring = if self.is_data { "data" } else { "query" };
        serve(ring, self.chain, receiver, stop, |r| {
            self.answer(&r, &mut answers)
        });
    }

    fn answer(&self, r: &Received<'_>, answers: &mut Sender) -> Result<(), MessageError> {
        match r.kind {
            GetMsg::KIND => self.reply(answers, &self.get(GetMsg::read(r.payload)?)),
            ScanMsg::KIND => self.reply(answers, &self.scan(ScanMsg::read(r.payload)?)),
            CommitMsg::KIND if self.is_data => {
                let CommitMsg {
                    id,
                    height,
                    is_synced,
                    writes,
                } = CommitMsg::read(r.payload)?;
                let batch = CommitBatch { height, writes };
                let done = match is_synced {
                    true => self.store.commit(self.chain, &batch),
                    false => self.store.commit_deferred(self.chain, &batch),
                };
                self.reply(answers, &self.done(id, done));
            }
            RestoreMsg::KIND if self.is_data => {
                let RestoreMsg {
                    id,
                    starts,
                    writes,
                    ends,
                } = RestoreMsg::read(r.payload)?;
                let batch = RestoreBatch {
                    starts,
                    writes,
                    ends,
                };
                let done = self.store.restore(self.chain, &batch);
                self.reply(answers, &self.done(id, done));
            }
            SyncMsg::KIND if self.is_data => {
                let SyncMsg { id } = SyncMsg::read(r.payload)?;
                self.reply(answers, &self.done(id, self.store.sync()));
            }
            AppendMsg::KIND if self.is_data => {
                let AppendMsg { id, writes } = AppendMsg::read(r.payload)?;
                let done = self.store.append_wal(self.chain, &[], None, &writes);
                self.reply(answers, &self.done(id, done));
            }
            SignMsg::KIND if self.is_data => {
                self.reply(answers, &self.sign(SignMsg::read(r.payload)?));
            }
            kind => {
                let why = "not a request of this ring".into();
                return Err(MessageError { kind, why });
            }
        }
        Ok(())
    }

    fn reply<M: Message>(&self, answers: &mut Sender, message: &M) {
        if let Err(error) = answers.send(message, ANSWER_PATIENCE) {
            // Its worker is dead or dying; the successor asks anew.
            tracing::warn!(chain = %self.chain, %error, "an answer was dropped");
        }
    }

    /// A worker reads its own families and the shared attestations.
    fn readable(&self, family: u8) -> Result<Family, Failure> {
        let known = Family::from_byte(family);
        let own = |f: &Family| f.owner() == Some(self.chain) || *f == Family::SharedAttestations;
        known.filter(own).ok_or_else(|| Failure {
            kind: FORBIDDEN,
            text: format!("{} may not read family {family}", self.chain),
        })
    }

    fn get(&self, request: GetMsg) -> GotMsg {
        let values = self.readable(request.family).and_then(|family| {
            self.store
                .multi_get(family, &request.keys)
                .map_err(|e| self.failure(&e))
        });
        let (values, failure) = split(values);
        GotMsg {
            id: request.id,
            values,
            failure,
        }
    }

    fn scan(&self, request: ScanMsg) -> PageMsg {
        let page = self.readable(request.family).and_then(|family| {
            let scan = Scan {
                family,
                from: request.from,
                to: request.to,
                limit: request.limit,
                reverse: request.reverse,
            };
            self.store.scan(&scan).map_err(|e| self.failure(&e))
        });
        let (page, failure) = split(page);
        let (entries, next) = (page.entries, page.next);
        PageMsg {
            id: request.id,
            entries,
            next,
            failure,
        }
    }

    fn done(&self, id: u64, done: Result<(), StoreError>) -> DoneMsg {
        let failure = done.err().map(|error| self.failure(&error));
        DoneMsg { id, failure }
    }

    /// Words for the worker; a database that failed also stops the node.
    fn failure(&self, error: &StoreError) -> Failure {
        let kind = match error {
            StoreError::Forbidden { .. } => FORBIDDEN,
            StoreError::Failed(_) | StoreError::Unreachable(_) => DATABASE,
        };
        if self.store.is_failed() {
            self.state.store_failed(error.to_string());
            self.events.send(Event::StoreFailed);
        }
        Failure {
            kind,
            text: error.to_string(),
        }
    }

    fn sign(&self, message: SignMsg) -> SignedMsg {
        let id = message.id;
        let signed = self.signature(message);
        let (signature, failure) = match signed {
            Ok(signature) => (Some(signature), None),
            Err(failure) => (None, Some(failure)),
        };
        SignedMsg {
            id,
            signature,
            failure,
        }
    }

    fn signature(&self, message: SignMsg) -> Result<[u8; 64], Failure> {
        let fail = |kind, text: String| Failure { kind, text };
        let signer = self.signer.as_ref();
        let signer = signer.ok_or_else(|| fail(NO_KEY, "this node has no validator key".into()))?;
        let step = Step::from_byte(message.step);
        let step = step.ok_or_else(|| fail(REFUSED, "an unknown consensus step".into()))?;
        let entry = |w: adnet_common::messages::WalMsg| WalEntry {
            height: w.height,
            index: w.index,
            bytes: w.bytes,
        };
        let wal: Vec<WalEntry> = message.wal.into_iter().map(entry).collect();
        let request = SignRequest {
            height: message.height,
            round: message.round,
            step,
            value: message.value,
            pol_round: message.pol_round,
        };
        signer.sign(self.chain, &wal, &request).map_err(|error| {
            if self.store.is_failed() {
                self.state.store_failed(error.to_string());
                self.events.send(Event::StoreFailed);
            }
            match error {
                SignError::Refused { why } => fail(REFUSED, why),
                SignError::Unavailable { why } => fail(DATABASE, why),
            }
        })
    }
}

fn split<T: Default>(result: Result<T, Failure>) -> (T, Option<Failure>) {
    match result {
        Ok(value) => (value, None),
        Err(failure) => (T::default(), Some(failure)),
    }
}

/// Listens to a worker's readiness, progress, validators and metrics.
pub struct ControlService {
    pub chain: ChainId,
    pub state: Arc<NodeState>,
    pub events: Events,
    pub network: Arc<Network>,
    pub validators: Arc<CurrentValidators>,
    pub metrics: Arc<WorkerMetrics>,
}

impl ControlService {
    pub fn run(self, receiver: Receiver, stop: &AtomicBool) {
        serve("control", self.chain, receiver, stop, |r| self.hear(&r));
    }

    fn hear(&self, r: &Received<'_>) -> Result<(), MessageError> {
        let chain = self.chain;
        match r.kind {
            ReadyMsg::KIND => {
                let ready = ReadyMsg::read(r.payload)?;
                self.state.found_height(chain, Some(ready.height));
                self.events.send(Event::Ready(chain, ready.incarnation));
            }
            ProgressMsg::KIND => self.progressed(ProgressMsg::read(r.payload)?),
            ValidatorsMsg::KIND => {
                let message = ValidatorsMsg::read(r.payload)?;
                let (from_height, count) = (message.from_height, message.members.len());
                if count > VALIDATORS_MAX {
                    let why = "more validators than a set can have".into();
                    return Err(MessageError { kind: r.kind, why });
                }
                tracing::info!(%chain, from_height, count, "the validators of the chain");
                let members = message.members.into_iter();
                let members = members.map(|m| (PublicKey(m.key), m.power));
                self.validators.set(chain, members);
            }
            MetricsMsg::KIND => match families(MetricsMsg::read(r.payload)?) {
                Some(families) => self.metrics.set(chain, families),
                None => tracing::warn!(%chain, "a metrics report was refused"),
            },
            kind => {
                let why = "not a message of this ring".into();
                return Err(MessageError { kind, why });
            }
        }
        Ok(())
    }

    fn progressed(&self, progress: ProgressMsg) {
        let (chain, height) = (self.chain, progress.height);
        self.state.block_committed(chain, height);
        let progress = ChainProgress {
            block_hash: Hash(progress.block_hash),
            block_time_ms: progress.block_time_ms,
            sibling_height: progress.sibling_height,
            inbox_waiting: progress.inbox_waiting,
            mempool_txs: progress.mempool_txs,
        };
        self.state.progressed(chain, progress);
        self.network.set_tip(chain, height);
    }
}

/// The report of a worker, if its kinds are known.
fn families(report: MetricsMsg) -> Option<Vec<MetricFamilyText>> {
    let family = |f: adnet_common::messages::FamilyMsg| {
        Some(MetricFamilyText {
            name: f.name,
            help: f.help,
            kind: MetricKind::from_byte(f.kind)?,
            lines: f.lines,
        })
    };
    report.families.into_iter().map(family).collect()
}

/// Passes a worker's messages on to its peers.
pub fn outbound(chain: ChainId, receiver: Receiver, network: &Network, stop: &AtomicBool) {
    serve("network", chain, receiver, stop, |r| {
        match r.kind {
            NetworkOutMsg::KIND => {
                let NetworkOutMsg {
                    peer,
                    except,
                    class,
                    bytes,
                } = NetworkOutMsg::read(r.payload)?;
                let class = carried(known(Class::from_byte(class), r.kind, "class")?);
                match peer {
                    Some(peer) => {
                        network.send(chain, &peer, class, bytes);
                    }
                    None => {
                        network.broadcast_except(chain, class, bytes, &except);
                    }
                }
            }
            GossipOutMsg::KIND => {
                let GossipOutMsg { topic, bytes } = GossipOutMsg::read(r.payload)?;
                let topic = known(Topic::from_byte(topic), r.kind, "topic")?;
                if !network.publish(chain, topic, bytes) {
                    tracing::debug!(%chain, topic = topic.name(), "a message was not published");
                }
            }
            VerdictMsg::KIND => {
                let message = VerdictMsg::read(r.payload)?;
                let topic = known(Topic::from_byte(message.topic), r.kind, "topic")?;
                let verdict = known(Verdict::from_byte(message.verdict), r.kind, "verdict")?;
                network.verdict(chain, &message.peer, topic, message.id, verdict);
            }
            PeerMsg::KIND => {
                let PeerMsg { peer, offence } = PeerMsg::read(r.payload)?;
                let Some(offence) = Offence::from_byte(offence).map(blamed) else {
                    let why = "an unknown offence".into();
                    return Err(MessageError { kind: r.kind, why });
                };
                let what = offence.name();
                tracing::warn!(%chain, peer = hex::encode(peer), what, "a peer is blamed");
                network.blame(&peer, offence);
            }
            kind => {
                let why = "not a message of this ring".into();
                return Err(MessageError { kind, why });
            }
        }
        Ok(())
    });
}

/// A number that this version has a name for.
fn known<T>(named: Option<T>, kind: u16, what: &str) -> Result<T, MessageError> {
    named.ok_or_else(|| MessageError {
        kind,
        why: format!("an unknown {what}"),
    })
}

/// What the network holds against a peer that the chain blames.
fn blamed(offence: Offence) -> network::Offence {
    match offence {
        Offence::BadBlock => network::Offence::BadBlock,
        Offence::Garbage => network::Offence::Garbage,
        Offence::Silence => network::Offence::Silence,
        Offence::Flood => network::Offence::Flood,
    }
}

/// The stream class that carries a chain message.
fn carried(class: Class) -> network::Class {
    match class {
        Class::Consensus => network::Class::Consensus,
        Class::Body => network::Class::Body,
        Class::SyncRequest => network::Class::SyncRequest,
        Class::SyncResponse => network::Class::SyncResponse,
    }
}

/// The chain class of what came by a stream class.
pub fn arrived(class: network::Class) -> Class {
    match class {
        network::Class::Consensus => Class::Consensus,
        network::Class::Body => Class::Body,
        network::Class::SyncRequest => Class::SyncRequest,
        network::Class::SyncResponse => Class::SyncResponse,
    }
}
