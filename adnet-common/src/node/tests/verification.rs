//! Transactions that are handed out to be verified: verdicts, blocks that wait for them, claims.

use super::bare::{Bare, GENESIS_MS, Machine, NoPlan, bad_tx, genesis, good_tx};
use super::host::TestHost;
use crate::application::{Application, TxError, VerifiedTx};
use crate::block::{Block, Body, Header};
use crate::chain_id::ChainId;
use crate::consensus::{CommitCertificate, Step};
use crate::genesis::Genesis;
use crate::ledger;
use crate::mempool::Admitted;
use crate::node::verifying::{BlockTxs, GOSSIPED_MAX};
use crate::node::{Fault, Input, Output, Peer, Topic, Urgency, Verdict, VerifyJob};
use crate::worker::Request;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::oneshot;

type App = Bare<NoPlan>;
type Tested = Machine<NoPlan>;

fn peer(name: u8) -> Peer {
    [name; 32]
}

/// A machine that is alone, past height 1.
fn machine() -> Tested {
    let genesis = genesis(&[(0, 1)]);
    let mut machine = Machine::open(&genesis, TestHost::new(&genesis, 0), GENESIS_MS);
    machine.run_to(1).expect("it goes on");
    machine
}

fn step(machine: &mut Tested, input: Input<App>) -> Vec<Output<App>> {
    let Machine { node, host, now_ms } = machine;
    let mut outputs = Vec::new();
    node.step(*now_ms, input, host, &mut outputs)
        .expect("it goes on");
    outputs
}

fn gossip(machine: &mut Tested, from: u8, raw: &[u8]) -> Vec<Output<App>> {
    let (topic, id) = (Topic::Transaction, [from; 20]);
    step(
        machine,
        Input::Gossip {
            peer: peer(from),
            topic,
            id,
            bytes: raw.to_vec(),
        },
    )
}

fn submit(machine: &mut Tested, tx: VerifiedTx<()>) -> Result<Admitted, TxError> {
    let (reply, mut answer) = oneshot::channel();
    let tx = Arc::new(tx);
    step(machine, Input::Request(Request::Submit { tx, reply }));
    answer.try_recv().expect("it is answered at once")
}

fn verified(raw: &[u8]) -> VerifiedTx<()> {
    App::verify(&Default::default(), raw).expect("a good one")
}

/// What the verifier makes of a job.
fn answer(job: &VerifyJob) -> Input<App> {
    let mut checked = Vec::new();
    for raw in &job.txs {
        let result = App::verify(&Default::default(), raw).map(Arc::new);
        let is_bad = result.is_err();
        checked.push(result);
        if is_bad {
            break;
        }
    }
    Input::Verified {
        job: job.id,
        checked,
    }
}

fn job(outputs: &[Output<App>]) -> VerifyJob {
    match outputs {
        [Output::Verify(job)] => job.clone(),
        _ => panic!("one job and nothing else"),
    }
}

fn verdicts(outputs: &[Output<App>]) -> Vec<(u8, Verdict)> {
    let verdicts = outputs.iter().filter_map(|output| match output {
        Output::Verdict {
            peer, id, verdict, ..
        } => {
            assert_eq!(peer[0], id[0]);
            Some((peer[0], *verdict))
        }
        _ => None,
    });
    verdicts.collect()
}

#[test]
fn a_gossiped_transaction_has_one_verdict_when_it_is_verified() {
    let mut machine = machine();
    let handed_out = job(&gossip(&mut machine, 1, &good_tx(1, 0, &[])));
    assert_eq!(handed_out.urgency, Urgency::Gossip);
    assert_eq!(handed_out.txs, [good_tx(1, 0, &[])]);
    let said = step(&mut machine, answer(&handed_out));
    assert_eq!(verdicts(&said), [(1, Verdict::Accept)]);
    assert_eq!((said.len(), machine.node.mempool.len()), (1, 1));
    // Its bytes are known now: nothing is handed out any more.
    let again = gossip(&mut machine, 2, &good_tx(1, 0, &[]));
    assert_eq!(verdicts(&again), [(2, Verdict::Ignore)]);
    assert_eq!(again.len(), 1);
    // An answer that comes twice, or that nobody waits for, says nothing.
    assert!(step(&mut machine, answer(&handed_out)).is_empty());

    let handed_out = job(&gossip(&mut machine, 3, &bad_tx()));
    let said = step(&mut machine, answer(&handed_out));
    let blamed = Verdict::Reject(Fault::BadTransaction);
    assert_eq!(verdicts(&said), [(3, blamed)]);
    // It is not remembered: who sends it again has it verified again, and is blamed.
    job(&gossip(&mut machine, 3, &bad_tx()));
}

#[test]
fn the_same_bytes_of_several_peers_are_one_job() {
    let mut machine = machine();
    for (raw, first, others) in [
        (good_tx(1, 0, &[]), Verdict::Accept, Verdict::Ignore),
        (
            bad_tx(),
            Verdict::Reject(Fault::BadTransaction),
            Verdict::Reject(Fault::BadTransaction),
        ),
    ] {
        let handed_out = job(&gossip(&mut machine, 1, &raw));
        assert!(gossip(&mut machine, 2, &raw).is_empty());
        assert!(gossip(&mut machine, 3, &raw).is_empty());
        let said = verdicts(&step(&mut machine, answer(&handed_out)));
        assert_eq!(said, [(1, first), (2, others), (3, others)]);
    }
}

#[test]
fn what_comes_faster_than_it_is_verified_ends_here() {
    let mut machine = machine();
    let raw = |n: usize| [good_tx(7, 0, &[]), n.to_be_bytes().to_vec()].concat();
    let first = job(&gossip(&mut machine, 1, &raw(0)));
    for n in 1..GOSSIPED_MAX {
        job(&gossip(&mut machine, 1, &raw(n)));
    }
    let more = gossip(&mut machine, 1, &raw(GOSSIPED_MAX));
    assert_eq!(verdicts(&more), [(1, Verdict::Ignore)]);
    assert_eq!(more.len(), 1);
    step(&mut machine, answer(&first));
    job(&gossip(&mut machine, 1, &raw(GOSSIPED_MAX)));
    // As many senders of the same as there is room for.
    let ignored = (2..40).filter(|peer| {
        let said = verdicts(&gossip(&mut machine, *peer, &raw(5)));
        said == [(*peer, Verdict::Ignore)]
    });
    assert!(ignored.count() > 30);
}

#[test]
fn two_that_claim_the_same_exclude_each_other() {
    let mut machine = machine();
    submit(&mut machine, verified(&good_tx(1, 0, &[5, 6]))).expect("the first");
    let refused = submit(&mut machine, verified(&good_tx(2, 0, &[6, 7])));
    assert_eq!(refused.expect_err("the second").code, "CLAIMED");
    let height = machine.node.tip().height;
    machine.run_to(height + 1).expect("it goes on");
    assert_eq!(machine.node.mempool.len(), 0);
    let refused = submit(&mut machine, verified(&good_tx(3, 0, &[5])));
    assert_eq!(refused.expect_err("the third").code, "USED");
    submit(&mut machine, verified(&good_tx(4, 0, &[7]))).expect("nobody has used it up");
}

/// Two validators that need each other, on one clock. Jobs wait for the test.
struct Pair {
    machines: [Tested; 2],
    wires: VecDeque<(usize, Input<App>)>,
    jobs: [Vec<VerifyJob>; 2],
}

impl Pair {
    fn new() -> (Self, Arc<Genesis>) {
        Self::with([1, 1])
    }

    fn with(powers: [u64; 2]) -> (Self, Arc<Genesis>) {
        let genesis = genesis(&[(0, powers[0]), (1, powers[1])]);
        let machines =
            [0, 1].map(|key| Machine::open(&genesis, TestHost::new(&genesis, key), GENESIS_MS));
        let pair = Self {
            machines,
            wires: VecDeque::new(),
            jobs: Default::default(),
        };
        (pair, genesis)
    }

    fn step(&mut self, at: usize, input: Input<App>) {
        let outputs = step(&mut self.machines[at], input);
        for output in outputs {
            match output {
                Output::Broadcast { class, bytes } | Output::Send { class, bytes, .. } => {
                    let peer = peer(at as u8);
                    self.wires
                        .push_back((1 - at, Input::Network { peer, class, bytes }));
                }
                Output::Verify(job) => self.jobs[at].push(job),
                Output::Distrust { .. } => panic!("both are honest"),
                _ => {}
            }
        }
    }

    /// Delivers everything that is on its way, without letting time pass.
    fn settle(&mut self) {
        while let Some((to, input)) = self.wires.pop_front() {
            self.step(to, input);
        }
    }

    fn run_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..5_000 {
            self.settle();
            if is_so(self) {
                return;
            }
            let due = self.machines.iter().map(|m| m.node.next_deadline_ms());
            let next_ms = due.flatten().min().expect("there is always a timer");
            let now_ms = next_ms.max(self.machines[0].now_ms);
            for at in 0..2 {
                self.machines[at].now_ms = now_ms;
                self.step(at, Input::Tick);
            }
        }
        let stand = |m: &Tested| (m.node.tip().height, m.node.position());
        let stands = self.machines.each_ref().map(stand);
        panic!("not in time: {what}; at {stands:?}");
    }

    /// Answers what this machine has handed out.
    fn verify(&mut self, at: usize) {
        for job in std::mem::take(&mut self.jobs[at]) {
            self.step(at, answer(&job));
        }
    }

    /// What this machine has voted for in a first step, on and after this height.
    fn prevotes(&self, at: usize, from: u64) -> Vec<Option<[u8; 32]>> {
        let signed = self.machines[at].host.signed.iter();
        let prevotes = signed.filter(|r| r.step == Step::Prevote && r.height >= from);
        prevotes.map(|r| r.value).collect()
    }

    /// All transactions of this machine's blocks.
    fn committed(&self, at: usize) -> Vec<Vec<u8>> {
        let machine = &self.machines[at];
        let block = |height| {
            let block = ledger::block_at(&machine.host, ChainId::Delta, height);
            let block = block.expect("memory").expect("it is committed");
            block.block.body.txs
        };
        (1..=machine.node.tip().height).flat_map(block).collect()
    }
}

#[test]
fn a_block_with_unknown_transactions_is_judged_when_they_are_verified() {
    let (mut pair, _) = Pair::new();
    let (known, unknown) = (good_tx(1, 0, &[3]), good_tx(2, 0, &[4]));
    for tx in [&known, &unknown] {
        submit(&mut pair.machines[0], verified(tx)).expect("a good one");
    }
    submit(&mut pair.machines[1], verified(&known)).expect("a good one");
    pair.run_until("a job", |pair| !pair.jobs[1].is_empty());
    let handed_out = pair.jobs[1].clone();
    assert_eq!(handed_out.len(), 1);
    assert_eq!(handed_out[0].urgency, Urgency::Consensus);
    assert_eq!(
        handed_out[0].txs,
        std::slice::from_ref(&unknown),
        "the other is known"
    );
    let height = pair.machines[1].node.tip().height + 1;
    assert!(pair.prevotes(1, height).is_empty(), "it is not judged yet");
    pair.verify(1);
    assert!(
        matches!(pair.prevotes(1, height)[..], [Some(_)]),
        "it is voted for at once"
    );
    pair.run_until("a block", |pair| pair.committed(1).len() == 2);
    // What claims the same as a block has used up has left, and what was verified is remembered.
    assert_eq!(pair.machines[1].node.mempool.len(), 0);
    let again = gossip(&mut pair.machines[1], 9, &unknown);
    assert_eq!(verdicts(&again), [(9, Verdict::Ignore)]);
}

#[test]
fn a_block_with_a_bad_transaction_is_not_voted_for() {
    let (mut pair, _) = Pair::new();
    // The first machine holds it for good.
    let forged = VerifiedTx {
        raw: bad_tx(),
        ..verified(&good_tx(1, 0, &[]))
    };
    submit(&mut pair.machines[0], forged).expect("it was verified, it says");
    pair.run_until("a job", |pair| !pair.jobs[1].is_empty());
    let height = pair.machines[1].node.tip().height + 1;
    pair.verify(1);
    assert_eq!(pair.prevotes(1, height), [None]);
    // The chain goes on with the blocks of the other one.
    let target = height + 1;
    for _ in 0..50 {
        pair.run_until("the next height, or a job", |pair| {
            !pair.jobs[1].is_empty() || pair.machines[1].node.tip().height >= target
        });
        pair.verify(1);
    }
    assert!(pair.machines[1].node.tip().height >= target);
    assert!(pair.committed(1).is_empty());
}

#[test]
fn a_death_between_job_and_answer_loses_nothing() {
    let (mut pair, genesis) = Pair::new();
    let tx = good_tx(1, 0, &[]);
    submit(&mut pair.machines[0], verified(&tx)).expect("a good one");
    pair.run_until("a job", |pair| !pair.jobs[1].is_empty());
    let of_the_dead = std::mem::take(&mut pair.jobs[1]);
    let Machine { host, now_ms, .. } = &pair.machines[1];
    pair.machines[1] = Machine::open(&genesis, host.clone(), *now_ms);
    pair.run_until("another job", |pair| !pair.jobs[1].is_empty());
    assert_eq!(pair.jobs[1][0].txs, of_the_dead[0].txs);
    let mut rounds = 0;
    while pair.committed(1) != [tx.clone()] {
        pair.verify(1);
        pair.run_until("a block, or a job", |pair| {
            !pair.jobs[1].is_empty() || !pair.committed(1).is_empty()
        });
        rounds += 1;
        assert!(rounds < 10, "it comes into a block");
    }
}

/// Others decide while this machine still verifies.
#[test]
fn a_decision_waits_for_the_transactions_of_its_block() {
    let (mut pair, _) = Pair::with([10, 1]);
    let tx = good_tx(1, 0, &[]);
    submit(&mut pair.machines[0], verified(&tx)).expect("a good one");
    pair.run_until("a job", |pair| !pair.jobs[1].is_empty());
    // By now the other one has decided alone.
    assert_eq!(pair.committed(0), std::slice::from_ref(&tx));
    let height = pair.machines[0].node.tip().height;
    let decided = ledger::block_at(&pair.machines[0].host, ChainId::Delta, height);
    let decided = decided.expect("memory").expect("it is committed");
    let certificate = CommitCertificate::decode(&decided.certificate).expect("its own");
    let Machine { node, host, now_ms } = &mut pair.machines[1];
    let mut outputs = Vec::new();
    node.decide(*now_ms, certificate, Vec::new(), host, &mut outputs)
        .expect("it waits");
    assert!(
        outputs.is_empty(),
        "its transactions are handed out already"
    );
    // Time passes and others talk; it stays where it is.
    for _ in 0..100 {
        let machine = &mut pair.machines[1];
        machine.tick().expect("it goes on");
        assert!(machine.node.verifying.is_deciding() && machine.node.tip().height < height);
    }
    let job = pair.jobs[1].remove(0);
    let committed = step(&mut pair.machines[1], answer(&job));
    let is_commit = |output: &Output<App>| matches!(output, Output::Committed { .. });
    assert_eq!(committed.iter().filter(|o| is_commit(o)).count(), 1);
    assert_eq!(pair.committed(1), [tx]);
}

/// What is fetched is verified ahead, several blocks at once, and only with a certificate.
#[test]
fn fetched_blocks_are_verified_ahead() {
    let (mut pair, genesis) = Pair::with([10, 1]);
    for height in 1..=6 {
        let tx = verified(&good_tx(height as u8, 0, &[]));
        submit(&mut pair.machines[0], tx).expect("a good one");
        pair.machines[0].run_to(height).expect("it decides alone");
    }
    assert_eq!(pair.committed(0).len(), 6);
    // The other one comes late.
    let now_ms = pair.machines[0].now_ms;
    pair.machines[1] = Machine::open(&genesis, TestHost::new(&genesis, 1), now_ms);
    pair.wires.clear();
    pair.jobs = Default::default();
    pair.run_until("jobs", |pair| pair.jobs[1].len() >= 5);
    assert_eq!(pair.committed(1).len(), 0);
    // The answers come in the wrong order.
    pair.jobs[1].reverse();
    pair.verify(1);
    while pair.committed(1).len() < 6 {
        pair.run_until("blocks, or jobs", |pair| {
            !pair.jobs[1].is_empty() || pair.committed(1).len() >= 6
        });
        pair.verify(1);
    }
    assert_eq!(pair.committed(1), pair.committed(0));
}

#[test]
fn a_blocks_job_hurries_with_it_and_ends_with_it() {
    let mut machine = machine();
    let body = Body {
        txs: vec![good_tx(1, 0, &[])],
        ..Body::default()
    };
    let header = Header {
        height: machine.node.tip().height + 1,
        body_root: body.root(),
        ..machine.node.tip().clone()
    };
    let (height, block) = (header.height, Block { header, body });
    let (verifying, verified) = (&mut machine.node.verifying, &machine.node.verified);
    let mut of_block = |urgency| {
        let mut outputs: Vec<Output<App>> = Vec::new();
        let txs = verifying.of_block(verified, block.hash(), &block, urgency, &mut outputs);
        assert!(matches!(txs, BlockTxs::Waiting));
        outputs
    };
    let slow = job(&of_block(Urgency::Sync));
    assert!(of_block(Urgency::Sync).is_empty());
    let outputs = of_block(Urgency::Consensus);
    let [Output::Verify(fast), Output::Abandon(abandoned)] = &outputs[..] else {
        panic!("another job for the old one")
    };
    assert_eq!((fast.urgency, *abandoned), (Urgency::Consensus, slow.id));
    assert!(of_block(Urgency::Sync).is_empty());
    // The answer to the old one comes too late, and the block ends before the new one is answered.
    assert!(step(&mut machine, answer(&slow)).is_empty());
    let mut outputs: Vec<Output<App>> = Vec::new();
    machine.node.verifying.end_height(height, &mut outputs);
    assert!(matches!(outputs[..], [Output::Abandon(id)] if id == fast.id));
    assert!(step(&mut machine, answer(fast)).is_empty());
}
