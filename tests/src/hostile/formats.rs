//! The wire codec's formats. Each encoding is canonical: what decodes encodes to the same bytes.

use super::{Decoder, Group, History, history};
use crate::shielded;
use adnet_alpha::AlphaApp;
use adnet_alpha::compact::{BlockStream, CompactBlock};
use adnet_alpha::pool::tree::{Anchors, NoteTree};
use adnet_alpha::pool::{Bundle, BundleProof};
use adnet_alpha::tx::Transaction;
use adnet_common::application::Application;
use adnet_common::attestation::{Attestation, FinalityProof, OutboundMessage, Payload};
use adnet_common::block::{Block, Header};
use adnet_common::chain_id::ChainId;
use adnet_common::consensus::{
    CommitCertificate, EncodedSet, Equivocation, Message, SignRequest, Step, ValidatorSet,
};
use adnet_common::hash::Hash;
use adnet_common::keys::PublicKey;
use adnet_common::ledger::CommittedBlock;
use adnet_common::node::{Class, Exchange};
use adnet_common::state_proof;
use adnet_common::supply::{ALPHA_SUPPLY_KEY, AlphaSupply, DELTA_SUPPLY_KEY};
use adnet_common::validators::SetFrom;
use adnet_delta::DeltaApp;
use adnet_delta::attest::abi;
use adnet_delta::transaction;
use alloy_eips::Encodable2718;

/// Asserts that a value which was read from `bytes` is written as these bytes.
macro_rules! canonical {
    ($type:ident) => {
        |bytes| {
            if let Ok(value) = $type::decode(bytes) {
                assert_eq!(value.encode(), bytes, "another encoding of {value:?}");
            }
        }
    };
}

pub fn decoders() -> Vec<Decoder> {
    let decoder = |name, group, samples, check| Decoder {
        name,
        group,
        samples,
        check,
    };
    vec![
        decoder(
            "header",
            Group::Block,
            |history| history.blocks().map(|b| b.block.header.encode()).collect(),
            canonical!(Header),
        ),
        decoder(
            "block",
            Group::Block,
            |history| history.blocks().map(|b| b.block.encode()).collect(),
            canonical!(Block),
        ),
        decoder(
            "committed block",
            Group::Block,
            |history| history.blocks().map(CommittedBlock::encode).collect(),
            canonical!(CommittedBlock),
        ),
        decoder(
            "compact block",
            Group::Block,
            |history| {
                let blocks = history.alpha.blocks.iter();
                blocks.map(|b| CompactBlock::of(b, 7).encode()).collect()
            },
            |bytes| {
                if let Ok(block) = CompactBlock::decode(bytes) {
                    assert_eq!(block.encode(), bytes, "another encoding of {block:?}");
                }
                let mut stream = BlockStream::new();
                stream.push(bytes);
                while let Ok(Some(block)) = stream.next_block() {
                    assert!(bytes.len() >= block.encode_framed().len());
                }
            },
        ),
        decoder(
            "attestation",
            Group::Proof,
            |history| {
                let sent = attestations(history).map(Attestation::encode);
                sent.chain(about_validators()).collect()
            },
            canonical!(Attestation),
        ),
        decoder(
            "finality proof",
            Group::Proof,
            |history| {
                let mut proofs: Vec<FinalityProof> = finality(history).cloned().collect();
                let set = Some(EncodedSet::of(&validator_set()));
                proofs.extend(proofs.first().cloned().map(|proof| FinalityProof {
                    next_set: set,
                    ..proof
                }));
                proofs.iter().map(FinalityProof::encode).collect()
            },
            canonical!(FinalityProof),
        ),
        decoder(
            "commit certificate",
            Group::Proof,
            |history| history.blocks().map(|b| b.certificate.clone()).collect(),
            canonical!(CommitCertificate),
        ),
        decoder(
            "state proof of Alpha",
            Group::Proof,
            state_proofs,
            |bytes| {
                verify_state_proof(ChainId::Alpha, ALPHA_SUPPLY_KEY, bytes);
            },
        ),
        decoder(
            "state proof of Delta",
            Group::Proof,
            state_proofs,
            |bytes| {
                verify_state_proof(ChainId::Delta, &DELTA_SUPPLY_KEY, bytes);
            },
        ),
        decoder(
            "supply leaf",
            Group::Proof,
            |_| vec![AlphaSupply::default().encode()],
            canonical!(AlphaSupply),
        ),
        decoder(
            "consensus message",
            Group::Consensus,
            |history| history.of_class(Class::Consensus),
            canonical!(Message),
        ),
        decoder(
            "evidence",
            Group::Consensus,
            evidence,
            canonical!(Equivocation),
        ),
        decoder(
            "validator set",
            Group::Consensus,
            |_| vec![validator_set().encode()],
            canonical!(ValidatorSet),
        ),
        decoder(
            "validator set with its first height",
            Group::Consensus,
            |_| vec![SetFrom::new(7, validator_set()).encode()],
            canonical!(SetFrom),
        ),
        decoder(
            "transaction of Alpha",
            Group::Transaction,
            |history| history.alpha_txs.clone(),
            |bytes| {
                if let Ok(tx) = Transaction::decode(bytes) {
                    assert_eq!(tx.encode(), bytes, "another encoding of {tx:?}");
                }
                let rules = AlphaApp::rules(&history().genesis);
                if let Ok(tx) = AlphaApp::verify(&rules, bytes) {
                    assert_eq!(tx.raw, bytes);
                }
            },
        ),
        decoder(
            "shielded transaction of Alpha",
            Group::Transaction,
            |_| shielded::transactions(),
            |bytes| {
                let Ok(tx) = Transaction::decode(bytes) else {
                    return;
                };
                assert_eq!(tx.encode(), bytes, "another encoding of {tx:?}");
                // Up to the proof, whose verification takes too long to be done for each.
                if let (Some(bundle), Some(proof)) =
                    (tx.payload.function.bundle(), tx.witness.proof())
                    && let Ok(decoded) = bundle.authorize(proof)
                {
                    assert_eq!(&Bundle::of(&decoded), bundle);
                    assert_eq!(&BundleProof::of(&decoded), proof);
                }
            },
        ),
        decoder(
            "note commitments of Alpha",
            Group::Proof,
            note_trees,
            canonical!(NoteTree),
        ),
        decoder(
            "anchors of Alpha",
            Group::Proof,
            |_| vec![Anchors::genesis([7; 32]).encode()],
            canonical!(Anchors),
        ),
        decoder(
            "transaction of Delta",
            Group::Transaction,
            |history| history.delta_txs.clone(),
            |bytes| {
                if let Ok(tx) = transaction::decode(bytes) {
                    assert_eq!(tx.encoded_2718(), bytes, "another encoding of {tx:?}");
                }
                let rules = DeltaApp::rules(&history().genesis);
                if let Ok(tx) = DeltaApp::verify(&rules, bytes) {
                    assert_eq!(tx.raw, bytes);
                }
            },
        ),
        decoder(
            "call of the attest account",
            Group::Transaction,
            |_| vec![[&[0u8; 4][..], &[7; 32]].concat()],
            |bytes| {
                let _ = abi::decode_unlock(bytes);
                let _ = adnet_delta::abi::decode_reason(bytes);
            },
        ),
    ]
}

fn attestations(history: &History) -> impl Iterator<Item = &Attestation> {
    history.exchanges().filter_map(|exchange| match exchange {
        Exchange::Attestation(attestation) => Some(attestation),
        _ => None,
    })
}

fn finality(history: &History) -> impl Iterator<Item = &FinalityProof> {
    history.exchanges().filter_map(|exchange| match exchange {
        Exchange::Finality(proof) => Some(proof),
        _ => None,
    })
}

/// The sample's proofs verify, so the bytes that are changed are those of real ones.
fn state_proofs(history: &History) -> Vec<Vec<u8>> {
    let all = history.exchanges().filter_map(|exchange| match exchange {
        Exchange::Reply { proof, .. } => Some(proof.proof.clone()),
        _ => None,
    });
    all.collect()
}

/// A proof of `key` for the value that it has: right for the tip, wrong for anything else.
fn verify_state_proof(chain: ChainId, key: &[u8], proof: &[u8]) {
    let history = history();
    let of_chain = match chain {
        ChainId::Alpha => &history.alpha,
        ChainId::Delta => &history.delta,
    };
    let reply = of_chain
        .exchanges
        .iter()
        .find_map(|exchange| match exchange {
            Exchange::Reply { proof, .. } => Some(proof),
            _ => None,
        });
    let reply = reply.expect("every node has answered a query");
    let at_height = |b: &&CommittedBlock| b.block.header.height == reply.height;
    let block = of_chain.blocks.iter().find(at_height);
    let root = block
        .expect("the reply is of a stored block")
        .block
        .header
        .state_root;
    let value = reply.value.as_deref();
    let verdict = state_proof::verify(chain, &root, key, value, proof);
    if proof == reply.proof {
        assert_eq!(verdict, Ok(()));
    }
    // No proof shows another value, nor that the key is absent.
    let forged = state_proof::verify(chain, &root, key, Some(&[1; 32]), proof);
    assert!(forged.is_err(), "a forged value is proved");
    let absent = state_proof::verify(chain, &root, key, None, proof);
    assert!(
        value.is_none() || absent.is_err(),
        "a present key is absent"
    );
}

fn evidence(_: &History) -> Vec<Vec<u8>> {
    let request = |value| SignRequest {
        height: 3,
        round: 1,
        step: Step::Prevote,
        value,
        pol_round: None,
    };
    let (first, second) = (request(None), request(Some(Hash([4; 32]).0)));
    let found = Equivocation::of(PublicKey([6; 32]), (&first, [1; 64]), (&second, [2; 64]));
    vec![found.expect("the two conflict").encode()]
}

/// Messages of each kind that is about validators.
fn about_validators() -> Vec<Vec<u8>> {
    let key = history().genesis.validators[0].public_key;
    let set = EncodedSet::of(&validator_set());
    let payloads = [
        Payload::ValidatorSet {
            set: set.clone(),
            tombstoned: vec![key, PublicKey([6; 32])],
        },
        Payload::Misbehaviour { validator: key },
        Payload::Adopted { set },
    ];
    let sent = payloads.map(|payload| {
        let from = payload.from();
        let message = OutboundMessage {
            sequence: 3,
            payload,
        };
        Attestation::of_block(from, 9, &[message])[0].encode()
    });
    sent.into()
}

fn validator_set() -> ValidatorSet {
    let key = history().genesis.validators[0].public_key;
    ValidatorSet::new([(key, 1)]).expect("one key with power")
}

/// Trees of several sizes, with the note commitments of real transactions.
fn note_trees(_: &History) -> Vec<Vec<u8>> {
    let mut tree = NoteTree::default();
    let mut trees = vec![tree.encode()];
    for raw in shielded::transactions() {
        let tx = Transaction::decode(&raw).expect("a sound transaction");
        let bundle = tx.payload.function.bundle().expect("shielded");
        for action in &bundle.actions {
            tree.extend(&[action.cmx]);
            trees.push(tree.encode());
        }
    }
    trees
}
