//! Peers that break the rules, built from the module's own parts: what a node does to them.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use adnet_common::{consensus::Domain, hash::Hash, keys::PublicKey};
use ed25519_consensus::SigningKey;
use prometheus::Registry;
use quinn::{Connection, ConnectionError, SendStream};
use tokio::time::{sleep, timeout};

use super::{
    endpoint::QuicEndpoint,
    frame::{self, HELLO_TAG},
    hello::{Hello, PROTOCOL_VERSION},
    identity::Identity,
    tls::Presented,
    *,
};

const CHAIN: ChainId = ChainId::Alpha;
const GENESIS: [u8; 32] = [7; 32];
const NETWORK_ID: u32 = 77;
const PATIENCE: Duration = Duration::from_secs(20);

const GOOD: Hello = Hello {
    version: PROTOCOL_VERSION,
    chain: CHAIN,
    genesis: GENESIS,
    tip_height: 3,
    proof: None,
};

/// An honest node, and what it has received.
pub(super) struct Honest {
    network: Network,
    address: SocketAddr,
    pub(super) registry: Registry,
    pub(super) inbox: Arc<Mutex<Vec<Inbound>>>,
    validators: ValidatorKeys,
}

/// The one validator of the network.
fn validator_key() -> SigningKey {
    SigningKey::from([90; 32])
}

/// Its word that the peer of this seed is its node.
fn proof_for(chain: ChainId, seed: u8) -> Option<ValidatorProof> {
    let domain = Domain {
        network_id: NETWORK_ID,
        chain,
        genesis: Hash(GENESIS),
    };
    let peer = Identity::from_seed([seed; 32]).id();
    Some(ValidatorProof::make(&validator_key(), &domain, &peer))
}

pub(super) fn honest(peers_max: usize) -> Honest {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let key = PublicKey(validator_key().verification_key().to_bytes());
    let validators = ValidatorKeys::new([key]);
    let config = NetworkConfig {
        node_seed: [1; 32],
        network_name: "hostile".into(),
        network_id: NETWORK_ID,
        genesis: GENESIS,
        validators: validators.clone(),
        chains: vec![ChainNet {
            chain: CHAIN,
            socket,
            persistent_peers: Vec::new(),
            proof: None,
        }],
        limits: Limits {
            peers_max,
            outbound_peers: 0,
            ..Limits::default()
        },
        discovery: None,
        store: None,
    };
    let inbox = Arc::new(Mutex::new(Vec::new()));
    let log = inbox.clone();
    let receiver = Box::new(move |arrival| {
        if let Arrival::Message(message) = arrival {
            log.lock().unwrap().push(message);
        }
    });
    let registry = Registry::new();
    let network = Network::start(config, &registry, receiver).unwrap();
    Honest {
        network,
        address,
        registry,
        inbox,
        validators,
    }
}

/// A peer under the control of a test.
pub(super) struct Hostile {
    pub(super) connection: Connection,
    hello: Option<SendStream>,
    _quic: QuicEndpoint,
}

impl Hostile {
    async fn connect(to: &Honest, seed: u8) -> Self {
        Self::try_connect(to, seed).await.unwrap()
    }

    async fn try_connect(to: &Honest, seed: u8) -> Result<Self, ConnectionError> {
        let identity = Identity::from_seed([seed; 32]);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let alpn = b"adnet/hostile/alpha/2".to_vec();
        let quic = QuicEndpoint::new(&identity, CHAIN, alpn, socket).unwrap();
        let presented = Presented::default();
        let connecting = quic.connect(to.address, to.network.peer_id(), presented);
        let connection = connecting.unwrap().await?;
        Ok(Self {
            connection,
            hello: None,
            _quic: quic,
        })
    }

    async fn say(&mut self, hello: &[u8]) {
        let mut stream = frame::open(&self.connection, HELLO_TAG, 0).await.unwrap();
        let hello = Bytes::copy_from_slice(hello);
        frame::write(&mut stream, hello).await.unwrap();
        self.hello = Some(stream);
    }

    /// Connects, and is linked.
    pub(super) async fn linked(to: &Honest, seed: u8) -> Self {
        Self::linked_by(to, seed, GOOD).await
    }

    async fn linked_by(to: &Honest, seed: u8, hello: Hello) -> Self {
        let mut peer = Self::connect(to, seed).await;
        peer.say(&hello.encode()).await;
        let id = Identity::from_seed([seed; 32]).id();
        let deadline = Instant::now() + PATIENCE;
        while !to.network.peers().iter().any(|info| info.peer == id) {
            assert!(Instant::now() < deadline, "never linked");
            sleep(Duration::from_millis(5)).await;
        }
        peer
    }

    /// The reason for which the honest node ends the connection.
    pub(super) async fn verdict(&self) -> Refusal {
        let end = timeout(PATIENCE, self.connection.closed()).await;
        let end: ConnectionError = end.expect("the connection is ended");
        let (_, reason) = Refusal::of_connection_error(&end).expect("a named reason");
        reason
    }
}

/// Runs the test's side on a runtime of its own. The network must be dropped outside of it.
pub(super) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}

#[test]
fn hellos_are_refused_by_name() {
    let node = honest(8);
    run(async {
        let other_genesis = Hello {
            genesis: [0; 32],
            ..GOOD
        };
        let other_chain = Hello {
            chain: ChainId::Delta,
            ..GOOD
        };
        let other_version = Hello { version: 9, ..GOOD };
        let with = |proof| Hello { proof, ..GOOD };
        let stolen_proof = with(proof_for(CHAIN, 3));
        let other_chains_proof = with(proof_for(ChainId::Delta, 2));
        let cases = [
            (other_genesis.encode(), Refusal::WrongGenesis),
            (other_chain.encode(), Refusal::WrongChain),
            (other_version.encode(), Refusal::UnknownVersion),
            (vec![0; 5], Refusal::UnknownVersion),
            (vec![0, 2, 1], Refusal::BadHello),
            (stolen_proof.encode(), Refusal::WrongProof),
            (other_chains_proof.encode(), Refusal::WrongProof),
            (vec![0; 1000], Refusal::BadHello),
        ];
        for (hello, reason) in cases {
            let mut peer = Hostile::connect(&node, 2).await;
            peer.say(&hello).await;
            assert_eq!(peer.verdict().await, reason);
        }
        assert!(node.network.peers().is_empty());
    });
}

#[test]
fn a_peer_that_says_no_hello_is_let_go() {
    let node = honest(8);
    run(async {
        let peer = Hostile::connect(&node, 2).await;
        let begun = Instant::now();
        assert_eq!(peer.verdict().await, Refusal::HelloTimeout);
        assert!(begun.elapsed() < Duration::from_secs(8));
    });
}

#[test]
fn our_own_key_is_not_a_peer() {
    let node = honest(8);
    run(async {
        let peer = Hostile::connect(&node, 1).await;
        assert_eq!(peer.verdict().await, Refusal::OwnKey);
    });
}

#[test]
fn a_claimed_length_over_the_bound_ends_the_connection() {
    let node = honest(8);
    run(async {
        // Each time another key: two violations are a ban.
        for (seed, class) in (2..).zip(Class::ALL) {
            let peer = Hostile::linked(&node, seed).await;
            let mut stream = frame::open(&peer.connection, class.tag(), 0).await.unwrap();
            let len = u32::try_from(class.message_bytes_max() + 1).unwrap();
            stream.write_all(&len.to_be_bytes()).await.unwrap();
            assert_eq!(peer.verdict().await, Refusal::Oversize);
        }
        assert!(node.inbox.lock().unwrap().is_empty());
    });
}

#[test]
fn streams_that_break_the_rules_end_the_connection() {
    let node = honest(8);
    run(async {
        // A tag that means nothing, and a second hello.
        for (seed, tag) in (2..).zip([0, 5, 0xff, HELLO_TAG]) {
            let peer = Hostile::linked(&node, seed).await;
            let _stream = frame::open(&peer.connection, tag, 0).await.unwrap();
            assert_eq!(peer.verdict().await, Refusal::Protocol);
        }
        // A second stream of a framed class.
        let peer = Hostile::linked(&node, 11).await;
        let tag = Class::Consensus.tag();
        let _first = frame::open(&peer.connection, tag, 0).await.unwrap();
        let _second = frame::open(&peer.connection, tag, 0).await.unwrap();
        assert_eq!(peer.verdict().await, Refusal::Protocol);
        // A message that ends before its length, and one that goes on after it.
        for (seed, bytes) in (20..).zip([&b"\0\0\0\x09short"[..], &b"\0\0\0\x01long"[..]]) {
            let peer = Hostile::linked(&node, seed).await;
            let tag = Class::Body.tag();
            let mut stream = frame::open(&peer.connection, tag, 0).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            stream.finish().unwrap();
            assert_eq!(peer.verdict().await, Refusal::Protocol);
        }
        // A tip that is no height.
        let mut peer = Hostile::linked(&node, 13).await;
        let tips = peer.hello.as_mut().unwrap();
        frame::write(tips, Bytes::from_static(b"high"))
            .await
            .unwrap();
        assert_eq!(peer.verdict().await, Refusal::Protocol);
        assert!(node.inbox.lock().unwrap().is_empty());
    });
}

#[test]
fn a_message_that_is_reset_harms_nobody() {
    let node = honest(8);
    run(async {
        let peer = Hostile::linked(&node, 2).await;
        let tag = Class::Body.tag();
        let mut given_up = frame::open(&peer.connection, tag, 0).await.unwrap();
        given_up.write_all(&[0, 0, 1, 0, 42]).await.unwrap();
        given_up.reset(quinn::VarInt::from_u32(1)).unwrap();
        let mut whole = frame::open(&peer.connection, tag, 0).await.unwrap();
        frame::write(&mut whole, Bytes::from_static(b"body"))
            .await
            .unwrap();
        whole.finish().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while node.inbox.lock().unwrap().is_empty() {
            assert!(Instant::now() < deadline, "the second never came");
            sleep(Duration::from_millis(5)).await;
        }
        let got = node.inbox.lock().unwrap().remove(0);
        assert_eq!(
            (got.class, got.bytes.as_slice()),
            (Class::Body, &b"body"[..])
        );
        assert!(peer.connection.close_reason().is_none());
    });
}

/// The newest connection of the same dialler takes the place of the one before.
#[test]
fn a_second_connection_of_a_peer_replaces_the_first() {
    let node = honest(1);
    run(async {
        let first = Hostile::linked(&node, 2).await;
        let second = Hostile::linked(&node, 2).await;
        assert_eq!(first.verdict().await, Refusal::Duplicate);
        assert!(second.connection.close_reason().is_none());
        assert_eq!(node.network.peers().len(), 1);
    });
}

#[test]
fn places_for_peers_and_for_an_address_are_bounded() {
    let node = honest(2);
    let roomy = honest(100);
    run(async {
        let _linked = (
            Hostile::linked(&node, 2).await,
            Hostile::linked(&node, 3).await,
        );
        let mut third = Hostile::connect(&node, 4).await;
        third.say(&GOOD.encode()).await;
        assert_eq!(third.verdict().await, Refusal::TooManyPeers);
        // Silent connections hold their address's places until the hello's time is over.
        let mut silent = Vec::new();
        let refused = loop {
            assert!(silent.len() < 100, "an address has no bound");
            let seed = 10 + silent.len() as u8;
            match Hostile::try_connect(&roomy, seed).await {
                Ok(peer) => silent.push(peer),
                Err(error) => break error,
            }
        };
        let (_, reason) = Refusal::of_connection_error(&refused).expect("a named reason");
        assert_eq!(reason, Refusal::Busy);
        assert!(silent.len() <= 16);
    });
}

#[test]
fn a_validator_has_its_place_among_any_number_of_strangers() {
    let node = honest(2);
    run(async {
        let _strangers = (
            Hostile::linked(&node, 2).await,
            Hostile::linked(&node, 3).await,
        );
        let stranger = Hostile::connect(&node, 4).await;
        // It may yet prove to be the validator.
        let proof = proof_for(CHAIN, 5);
        let _validator = Hostile::linked_by(&node, 5, Hello { proof, ..GOOD }).await;
        let of = |role| {
            node.network
                .peers()
                .iter()
                .filter(|p| p.role == role)
                .count()
        };
        assert_eq!((of(Role::Full), of(Role::Validator)), (2, 1));
        drop(stranger);
        // Now it cannot, whatever it would say.
        let stranger = Hostile::connect(&node, 6).await;
        assert_eq!(stranger.verdict().await, Refusal::TooManyPeers);
        // A validator that votes no more is a peer like any other.
        node.validators.replace([]);
        assert_eq!((of(Role::Full), of(Role::Validator)), (3, 0));
    });
}

/// A peer that died without a goodbye and came back answers the packets of its former life with a
/// reset: its death is noticed with the next keep-alive, long before the idle timeout.
#[test]
fn a_silent_restart_is_noticed_by_reset() {
    let node = honest(8);
    let peers = || node.network.peers();
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let former = runtime();
    let peer = former.block_on(Hostile::linked(&node, 2));
    let address = peers()[0].address;
    // The tasks are gone at once, so that nothing can be said any more.
    former.shutdown_background();
    drop(peer);

    let begun = Instant::now();
    let deadline = begun + PATIENCE;
    let socket = loop {
        match UdpSocket::bind(address) {
            Ok(socket) => break socket,
            Err(_) => assert!(Instant::now() < deadline, "the socket is never free"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let next = runtime();
    let _quic = {
        let _context = next.enter();
        let identity = Identity::from_seed([2; 32]);
        QuicEndpoint::new(&identity, CHAIN, b"adnet/hostile/alpha/2".to_vec(), socket).unwrap()
    };
    while !peers().is_empty() {
        assert!(Instant::now() < deadline, "never noticed");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(7),
        "{:?}",
        begun.elapsed()
    );
}
