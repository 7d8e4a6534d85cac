//! What strangers say before they are linked: keys of TLS, hellos, node records, and what the address
//! book keeps of them. A list like the one in `hostile`, and apart from it, because the readers are the
//! supervisor's, whose database takes longest to compile: one fuzz target needs it, not all.

use super::hostile::{Decoder, Group, history};
use adnet_common::chain_id::ChainId;
use adnet_common::consensus::Domain;
use adnet_common::hash::Hash;
use adnet_common::keys::PublicKey;
use adnet_supervisor::network::formats::{Candidate, Entry, HELLO_BYTES_MAX, Hello, peer_of_spki};
use adnet_supervisor::network::{
    PROTOCOL_VERSION, PeerAddr, PeerId, Refusal, ValidatorProof, check_boot_node, record_of,
};
use ed25519_consensus::{Signature, SigningKey, VerificationKey};
use enr::{CombinedKey, Enr, EnrKey, NodeId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::OnceLock;

pub fn decoders() -> Vec<Decoder> {
    let decoder = |name, samples, check| Decoder {
        name,
        group: Group::Peer,
        samples,
        check,
    };
    vec![
        decoder("key of TLS", |_| vec![spki()], check_spki),
        decoder("hello", |_| hellos().to_vec(), check_hello),
        decoder("node record", |_| records().to_vec(), check_record),
        decoder(
            "node record, signed anew",
            |_| vec![contents(signed_record())],
            check_contents,
        ),
        decoder("entry of the address book", |_| entries(), check_entry),
        decoder(
            "address of a peer",
            |_| vec![address()],
            |bytes| {
                if let Ok(text) = std::str::from_utf8(bytes)
                    && let Ok(address) = text.parse::<PeerAddr>()
                {
                    assert_eq!(address.to_string().parse(), Ok(address));
                }
            },
        ),
    ]
}

/// The node key of the peer whose bytes are read.
fn node_key() -> SigningKey {
    SigningKey::from([8; 32])
}

fn peer() -> PeerId {
    node_key().verification_key().to_bytes()
}

fn genesis() -> [u8; 32] {
    static GENESIS: OnceLock<[u8; 32]> = OnceLock::new();
    *GENESIS.get_or_init(|| history().genesis.hash().0)
}

/// RFC 8410: what stands before an ed25519 key in a `SubjectPublicKeyInfo`.
const SPKI_HEAD: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

fn spki() -> Vec<u8> {
    [&SPKI_HEAD[..], &peer()].concat()
}

fn check_spki(bytes: &[u8]) {
    match peer_of_spki(bytes) {
        Some(found) => assert_eq!(bytes, [&SPKI_HEAD[..], &found].concat()),
        None => assert_ne!(bytes, spki(), "a key is refused"),
    }
}

fn domain(chain: ChainId) -> Domain {
    Domain {
        network_id: history().genesis.network_id,
        chain,
        genesis: Hash(genesis()),
    }
}

fn ours() -> Hello {
    Hello {
        version: PROTOCOL_VERSION,
        chain: ChainId::Alpha,
        genesis: genesis(),
        tip_height: 4,
        proof: None,
    }
}

/// Of a follower, of a validator, and of one whose proof is for another peer or chain.
fn hellos() -> &'static [Vec<u8>] {
    static HELLOS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    HELLOS.get_or_init(|| {
        let key = SigningKey::from([5; 32]);
        let proof = |chain, peer| Some(ValidatorProof::make(&key, &domain(chain), &peer));
        let of = |proof| Hello { proof, ..ours() }.encode();
        vec![
            of(None),
            of(proof(ChainId::Alpha, peer())),
            of(proof(ChainId::Delta, peer())),
            of(proof(ChainId::Alpha, [9; 32])),
        ]
    })
}

fn check_hello(bytes: &[u8]) {
    // What is longer is refused by its length, before it is read.
    if bytes.len() > HELLO_BYTES_MAX {
        return;
    }
    let network_id = history().genesis.network_id;
    match Hello::receive(bytes, &ours(), network_id, &peer()) {
        Ok(hello) => {
            assert_eq!(hello.encode(), bytes, "another encoding of {hello:?}");
            let is_proved = |proof: &ValidatorProof| proof.verifies(&domain(hello.chain), &peer());
            assert!(hello.proof.as_ref().is_none_or(is_proved));
        }
        Err(reason) => {
            let named = [
                Refusal::UnknownVersion,
                Refusal::BadHello,
                Refusal::WrongChain,
                Refusal::WrongGenesis,
                Refusal::WrongProof,
            ];
            assert!(named.contains(&reason), "{reason:?}");
            assert!(!hellos()[..2].iter().any(|good| good == bytes), "{reason}");
        }
    }
}

/// As nodes give them out: with IPv4 or IPv6, for both chains or one.
fn records() -> &'static [Vec<u8>] {
    static RECORDS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    RECORDS.get_or_init(|| {
        let both = BTreeMap::from([(ChainId::Alpha, 4130), (ChainId::Delta, 4131)]);
        let one = BTreeMap::from([(ChainId::Delta, 4131)]);
        let record = |at: &str, ports| {
            let at: SocketAddr = at.parse().expect("an address");
            let record = record_of([8; 32], &genesis(), at, ports);
            record.expect("it fits").into_bytes()
        };
        vec![
            record("192.0.2.7:4132", &both),
            record("[2001:db8::7]:4132", &both),
            record("192.0.2.7:4132", &one),
            signed_record().to_base64().into_bytes(),
        ]
    })
}

fn check_record(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let read = Candidate::read_text(text, &genesis());
    assert_eq!(check_boot_node(text, &genesis()).is_ok(), read.is_ok());
    match read {
        Ok((candidate, _)) => {
            let again = Candidate::read_text(&candidate.record, &genesis());
            assert_eq!(again.map(|(again, _)| again), Ok(candidate));
        }
        Err(error) => {
            let is_sample = records().iter().any(|record| record == bytes);
            assert!(!is_sample, "a good record is refused: {error}");
        }
    }
}

/// The key of discovery of a node whose record a test signs.
fn record_key() -> CombinedKey {
    CombinedKey::secp256k1_from_bytes(&mut [3; 32]).expect("a secret key")
}

/// A record written by hand, as the supervisor's `record.rs` describes it.
fn signed_record() -> &'static Enr<CombinedKey> {
    static RECORD: OnceLock<Enr<CombinedKey>> = OnceLock::new();
    RECORD.get_or_init(write_record)
}

fn write_record() -> Enr<CombinedKey> {
    let string = |bytes: &[u8]| {
        let mut rlp = match bytes.len() {
            1 if bytes[0] < 0x80 => return vec![bytes[0]],
            len => vec![0x80 + u8::try_from(len).expect("short")],
        };
        if bytes.len() > 55 {
            rlp = vec![0xb8, u8::try_from(bytes.len()).expect("short")];
        }
        rlp.extend(bytes);
        rlp
    };
    let record_id = NodeId::from(record_key().public()).raw();
    let preimage = [&b"adnet/node-record/v1\0"[..], &genesis(), &record_id].concat();
    let signature = node_key().sign(&preimage).to_bytes();
    let mut builder = Enr::builder();
    builder.seq(7);
    for (key, value) in [
        ("idk", &peer()[..]),
        ("ids", &signature),
        ("gen", &genesis()[..8]),
        ("ch", &[3]),
        ("quic", &4130u16.to_be_bytes()),
        ("quicd", &4131u16.to_be_bytes()),
        ("ip", &[192, 0, 2, 7]),
        ("udp", &4132u16.to_be_bytes()),
    ] {
        builder.add_value_rlp(key, string(value).into());
    }
    builder.build(&record_key()).expect("it fits")
}

/// What a record says, without its signature: its number, then each key and value with its length.
fn contents(record: &Enr<CombinedKey>) -> Vec<u8> {
    let mut bytes = record.seq().to_be_bytes().to_vec();
    for (key, value) in record.iter() {
        for part in [key.as_slice(), value] {
            bytes.push(u8::try_from(part.len()).expect("a record has 300 bytes"));
            bytes.extend(part);
        }
    }
    bytes
}

/// Signs what a liar might say with the key of discovery, so that it is read beyond that signature.
fn check_contents(bytes: &[u8]) {
    let Some((seq, mut rest)) = bytes.split_first_chunk() else {
        return;
    };
    let mut part = || {
        let (len, behind) = rest.split_first()?;
        let (part, behind) = behind.split_at_checked(usize::from(*len))?;
        rest = behind;
        Some(part.to_vec())
    };
    let mut builder = Enr::builder();
    builder.seq(u64::from_be_bytes(*seq));
    while let Some((key, value)) = part().and_then(|key| Some((key, part()?))) {
        builder.add_value_rlp(key, value.into());
    }
    let Ok(record) = builder.build(&record_key()) else {
        return; // no RLP, or too long
    };
    let text = record.to_base64();
    check_record(text.as_bytes());
    match Candidate::read_text(&text, &genesis()) {
        Ok((candidate, _)) => says_what_it_says(&candidate, &record),
        Err(error) => assert_ne!(record, *signed_record(), "{error}"),
    }
}

/// Whatever was read stands in the record, and its node key has signed the record's.
fn says_what_it_says(candidate: &Candidate, record: &Enr<CombinedKey>) {
    let raw = |key: &str| record.get_raw_rlp(key).unwrap_or_default().to_vec();
    assert_eq!(raw("idk"), [&[0xa0][..], &candidate.peer].concat());
    assert_eq!(raw("gen"), [&[0x88][..], &genesis()[..8]].concat());
    assert_eq!(candidate.seq, record.seq());
    for (key, port) in [
        ("quic", candidate.alpha_port),
        ("quicd", candidate.delta_port),
    ] {
        let Some(port) = port else {
            continue;
        };
        assert_ne!(port, 0);
        let said = record.get_decodable::<u16>(key).and_then(Result::ok);
        assert_eq!(said, Some(port), "{key}");
    }
    let ip = candidate.ip;
    assert!(record.ip4().is_some_and(|v4| ip == v4) || record.ip6().is_some_and(|v6| ip == v6));
    let preimage = [
        &b"adnet/node-record/v1\0"[..],
        &genesis(),
        &candidate.record_id,
    ];
    let signature: [u8; 64] = raw("ids")[2..].try_into().expect("64 bytes");
    let key = VerificationKey::try_from(candidate.peer).expect("a key that has signed");
    let verified = key.verify(&Signature::from(signature), &preimage.concat());
    assert!(verified.is_ok(), "a record in another's name");
}

fn entries() -> Vec<Vec<u8>> {
    let candidates = records().iter().map(|text| {
        let text = std::str::from_utf8(text).expect("a record in its text form");
        let read = Candidate::read_text(text, &genesis());
        read.expect("a good record").0
    });
    let fresh = candidates.map(|candidate| Entry::new(&candidate, 1_700_000_000_000));
    let mut all: Vec<Entry> = fresh.collect();
    all.push(Entry {
        validator: Some(PublicKey([5; 32])),
        anchor: 3,
        is_tried: true,
        last_attempt_ms: [1_700_000_000_001, 1_700_000_000_002],
        last_success_ms: 1_700_000_000_003,
        failures: u32::MAX,
        ..all[0].clone()
    });
    all.iter().map(Entry::encode).collect()
}

/// Nothing in an entry, whatever it holds, is too much for those who judge it.
fn check_entry(bytes: &[u8]) {
    let Ok(entry) = Entry::decode(bytes) else {
        return;
    };
    assert_eq!(entry.encode(), bytes, "another encoding of {entry:?}");
    for chain in ChainId::ALL {
        for now_ms in [0, 1_700_000_000_000, u64::MAX] {
            let _ = entry.is_due(chain, now_ms, None);
            let _ = entry.is_hopeless(now_ms);
        }
        assert!(entry.node.address(chain).is_none_or(|at| at.port() != 0));
    }
}

fn address() -> Vec<u8> {
    let id: String = peer().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{id}@[2001:db8::7]:4130").into_bytes()
}
