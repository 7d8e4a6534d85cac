//! An attestation's way from one process to another: over a ring as the workers have it, or over a
//! socket, everything else being the same.
//!
//! The clock starts where a worker's block has become durable, with the proof and the message still
//! in the sender's memory. It stops when the receiver, which slept, has verified certificate and
//! path and keeps the message. Both processes are pinned to a core of their own.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use adnet_common::attestation::{
    Attestation, FinalityProof, OutboundMessage, Payload, outbox_root,
};
use adnet_common::block::Header;
use adnet_common::chain_id::ChainId;
use adnet_common::consensus::{
    CommitCertificate, CommitSignature, Domain, SignRequest, Step, ValidatorSet,
};
use adnet_common::hash::Hash;
use adnet_common::ipc::{Receiver, Sender};
use adnet_common::keys::PublicKey;
use adnet_common::light_client::LightClient;
use adnet_common::messages::{AttestationMsg, FinalityMsg, Message, SCHEMA_HASH};
use adnet_common::node::Exchange;
use adnet_common::validators::SetFrom;
use adnet_common::worker::clock::monotonic_ns;
use adnet_shm::{BACKSTOP, Consumer, Producer, RingExpect, RingSpec, Segment};
use ed25519_consensus::SigningKey;
use nix::sys::signal::Signal;
use rkyv::util::AlignedVec;

use crate::link::{fresh_address, pin};

/// What carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    Ring,
    UnixSocket,
    Tcp,
}

impl Carrier {
    pub const ALL: [Carrier; 3] = [Carrier::Ring, Carrier::UnixSocket, Carrier::Tcp];

    pub fn name(self) -> &'static str {
        match self {
            Carrier::Ring => "ring",
            Carrier::UnixSocket => "Unix socket",
            Carrier::Tcp => "loopback TCP",
        }
    }
}

/// The first argument of another process of this benchmark.
const PEER: &str = "--peer-of-attestation";
const BUSY: &str = "busy";

const NETWORK_ID: u32 = 1;
const GENESIS: Hash = Hash([2; 32]);
const RING_BYTES: usize = 1 << 20;
const EXPECT: RingExpect = RingExpect {
    ring_id: 1,
    schema_hash: SCHEMA_HASH,
};

fn validator() -> SigningKey {
    SigningKey::from([7; 32])
}

fn validators() -> ValidatorSet {
    let key = PublicKey(validator().verification_key().to_bytes());
    ValidatorSet::new([(key, 1)]).expect("one key with power")
}

/// A decided block of Alpha with one message, as its node has it after the commit.
fn block(height: u64) -> (FinalityProof, Attestation) {
    let message = OutboundMessage {
        sequence: height,
        payload: Payload::Lock {
            recipient: [9; 20],
            amount_units: 1,
        },
    };
    let outbox = [message];
    let header = Header {
        chain: ChainId::Alpha,
        genesis: GENESIS,
        height,
        time_ms: height * 1_000,
        parent: Hash::ZERO,
        proposer: [0; 32],
        body_root: Hash::ZERO,
        state_root: Hash::ZERO,
        outbox_root: outbox_root(&outbox),
        next_validators: validators().validators_hash(),
    };
    let request = SignRequest {
        height,
        round: 0,
        step: Step::Precommit,
        value: Some(header.hash().0),
        pol_round: None,
    };
    let domain = Domain {
        network_id: NETWORK_ID,
        chain: ChainId::Alpha,
        genesis: GENESIS,
    };
    let key = validator();
    let certificate = CommitCertificate {
        height,
        round: 0,
        value: header.hash(),
        signatures: vec![CommitSignature {
            validator: PublicKey(key.verification_key().to_bytes()),
            signature: key.sign(&domain.sign_bytes(&request)).to_bytes(),
        }],
    };
    let attestation = Attestation::of_block(ChainId::Alpha, height, &outbox).remove(0);
    let proof = FinalityProof {
        header,
        certificate: certificate.encode(),
        next_set: None,
    };
    (proof, attestation)
}

enum Outward {
    /// The segment is owned here, and goes with the path.
    Ring(Box<(Sender, Segment)>),
    Stream(Box<dyn Write>),
}

/// The sender's end. The receiver is another process, which ends with it.
pub struct Path {
    outward: Outward,
    delays: ChildStdout,
    height: u64,
    receiver: Child,
}

impl Path {
    pub fn start(carrier: Carrier) -> Path {
        let mut command = peer_command(carrier.name());
        command.stdout(Stdio::piped());
        let spawn = |mut command: Command| {
            pin(1);
            let child = command.spawn().expect("this binary");
            pin(0);
            child
        };
        let (outward, mut receiver) = match carrier {
            Carrier::Ring => {
                let segment = Segment::create(&RingSpec {
                    name: format!("{}-attest", fresh_address()),
                    ring_id: EXPECT.ring_id,
                    capacity: RING_BYTES,
                    schema_hash: EXPECT.schema_hash,
                    build_id: [0; 16],
                })
                .expect("room in /dev/shm");
                let ring = Producer::attach(segment.name(), &EXPECT, 1).expect("attach");
                command.arg(segment.name());
                let outward = Outward::Ring(Box::new((Sender::new(ring), segment)));
                (outward, spawn(command))
            }
            Carrier::UnixSocket => {
                let (ours, theirs) = UnixStream::pair().expect("sockets");
                command.stdin(Stdio::from(OwnedFd::from(theirs)));
                (Outward::Stream(Box::new(ours)), spawn(command))
            }
            Carrier::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
                let address = listener.local_addr().expect("bound").to_string();
                command.arg(address);
                let child = spawn(command);
                let (stream, _) = listener.accept().expect("the child connects");
                stream.set_nodelay(true).expect("a TCP socket");
                (Outward::Stream(Box::new(stream)), child)
            }
        };
        let delays = receiver.stdout.take().expect("piped above");
        Path {
            outward,
            delays,
            height: 0,
            receiver,
        }
    }

    /// One block with one message; nanoseconds until the receiver keeps it.
    pub fn deliver(&mut self) -> u64 {
        self.height += 1;
        let (proof, attestation) = block(self.height);
        let durable_ns = monotonic_ns();
        let finality = FinalityMsg::new(&proof);
        let message = AttestationMsg::new(&attestation, durable_ns);
        match &mut self.outward {
            Outward::Ring(ends) => {
                let (sender, _) = &mut **ends;
                let now = Duration::ZERO;
                sender.push(&finality, now).expect("the ring has room");
                sender.push(&message, now).expect("the ring has room");
                sender.flush();
            }
            Outward::Stream(stream) => {
                let mut bytes = Vec::with_capacity(1024);
                frame(&mut bytes, &finality);
                frame(&mut bytes, &message);
                stream.write_all(&bytes).expect("the receiver lives");
            }
        }
        let mut delay_ns = [0; 8];
        self.delays
            .read_exact(&mut delay_ns)
            .expect("the receiver lives");
        u64::from_le_bytes(delay_ns)
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = self.receiver.kill();
        let _ = self.receiver.wait();
    }
}

/// Processes that keep both cores busy.
pub struct BusyCores(Vec<Child>);

impl BusyCores {
    pub fn start() -> BusyCores {
        let spinner = |core: usize| {
            let mut command = peer_command(BUSY);
            command.arg(core.to_string());
            command.spawn().expect("this binary")
        };
        BusyCores([0, 1].map(spinner).into())
    }
}

impl Drop for BusyCores {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn peer_command(name: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args([PEER, name]);
    command
}

fn frame<M: Message>(out: &mut Vec<u8>, message: &M) {
    let payload = message.to_bytes();
    out.extend_from_slice(&M::KIND.to_le_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&payload);
}

/// What the receiving worker keeps.
struct Inbox {
    light: LightClient,
    proofs: BTreeMap<u64, FinalityProof>,
    waiting: BTreeMap<u64, Attestation>,
}

impl Inbox {
    fn new() -> Inbox {
        Inbox {
            light: LightClient::new(
                ChainId::Alpha,
                NETWORK_ID,
                GENESIS,
                &SetFrom::new(1, validators()),
            ),
            proofs: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Validates and verifies a message and keeps it; its delay, if it was an attestation.
    fn take(&mut self, kind: u16, payload: &[u8]) -> Option<u64> {
        if kind == FinalityMsg::KIND {
            let read = FinalityMsg::read(payload).expect("it was sent whole");
            let Ok(Exchange::Finality(proof)) = read.into_exchange() else {
                panic!("a finality message holds a finality proof");
            };
            self.light.learn(&proof).expect("the validator signed it");
            self.proofs.insert(proof.header.height, proof);
            return None;
        }
        let message = AttestationMsg::access(payload).expect("it was sent whole");
        let attestation = Attestation::decode(&message.attestation).expect("it was encoded");
        let proof = self.proofs.remove(&attestation.height);
        let proofs = [proof.expect("the proof goes ahead")];
        self.light
            .verify_attestation(&attestation, &proofs)
            .expect("it is in the outbox");
        self.waiting
            .insert(attestation.message.sequence, attestation);
        Some(monotonic_ns() - message.durable_ns.to_native())
    }
}

/// If this process was started for this benchmark's sake, serves and never returns.
pub fn serve_if_peer() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().map(String::as_str) != Some(PEER) {
        return;
    }
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).expect("prctl");
    if arguments[1] == BUSY {
        pin(arguments[2].parse().expect("a core"));
        loop {
            std::hint::spin_loop();
        }
    }
    pin(1);
    let carrier = Carrier::ALL.into_iter().find(|c| c.name() == arguments[1]);
    match carrier.expect("the parent names a carrier") {
        Carrier::Ring => serve_ring(&arguments[2]),
        Carrier::UnixSocket => {
            let stdin = rustix::io::dup(std::io::stdin()).expect("given by the parent");
            serve_stream(UnixStream::from(stdin));
        }
        Carrier::Tcp => {
            serve_stream(TcpStream::connect(&arguments[2]).expect("the parent listens"))
        }
    }
}

fn answer(delay_ns: u64) {
    rustix::io::write(std::io::stdout(), &delay_ns.to_le_bytes()).expect("the parent lives");
}

/// Waits as the worker's listener does: looks for a moment, then sleeps on the futex.
fn serve_ring(name: &str) {
    let ring = Consumer::attach(name, &EXPECT, 1).expect("attach");
    let mut receiver = Receiver::new(ring);
    let mut inbox = Inbox::new();
    loop {
        let taken = receiver.receive(|r| inbox.take(r.kind, r.payload));
        match taken.expect("the ring is sound") {
            Some(Some(delay_ns)) => answer(delay_ns),
            Some(None) => {}
            None => {
                receiver.wait(BACKSTOP);
            }
        }
    }
}

fn serve_stream(mut stream: impl Read) {
    let mut inbox = Inbox::new();
    let mut reader = std::io::BufReader::with_capacity(64 << 10, &mut stream);
    let mut payload = AlignedVec::<16>::new();
    loop {
        let mut head = [0; 6];
        reader.read_exact(&mut head).expect("the parent lives");
        let [a, b, c, d, e, f] = head;
        payload.resize(u32::from_le_bytes([c, d, e, f]) as usize, 0);
        reader.read_exact(&mut payload).expect("the parent lives");
        if let Some(delay_ns) = inbox.take(u16::from_le_bytes([a, b]), &payload) {
            answer(delay_ns);
        }
    }
}
