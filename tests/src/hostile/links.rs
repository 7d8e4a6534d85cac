//! The messages of the rings. An archive has no one encoding, so the rule is that what reads is
//! written as something that reads as the same.

use super::network::aligned;
use super::{Decoder, Group, History};
use adnet_common::messages::{
    AppendMsg, AttestationMsg, CommitMsg, DoneMsg, Failure, FamilyMsg, FinalityMsg, GetMsg,
    GossipInMsg, GossipOutMsg, GotMsg, LinkedPeer, MemberMsg, Message, MetricsMsg, NetworkInMsg,
    NetworkOutMsg, PageMsg, PeerMsg, PeersMsg, ProgressMsg, QueryMsg, ReadyMsg, ReplyMsg,
    ResumeMsg, ScanMsg, SignMsg, SignedMsg, StopMsg, SyncMsg, ValidatorsMsg, VerdictMsg, WalMsg,
};
use adnet_common::store::{Family, Write};

fn check<M: Message + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let accessed = M::access(&aligned(bytes)).is_ok();
    match M::read(&aligned(bytes)) {
        Ok(message) => {
            assert!(accessed, "what reads validates in place");
            let again = M::read(&message.to_bytes());
            assert_eq!(again.as_ref(), Ok(&message));
        }
        Err(error) => assert_eq!(error.kind, M::KIND),
    }
}

macro_rules! message {
    ($name:literal, $type:ty, $value:expr) => {
        Decoder {
            name: $name,
            group: Group::Link,
            samples: |_: &History| vec![<$type as Message>::to_bytes(&$value).to_vec()],
            check: check::<$type>,
        }
    };
}

fn failure() -> Option<Failure> {
    Some(Failure {
        kind: 1,
        text: "the key is not the writer's".to_owned(),
    })
}

fn writes() -> Vec<Write> {
    let (from, to) = (vec![1; 8], vec![2; 9]);
    let family = Family::DeltaState;
    vec![
        Write::put(Family::AlphaState, vec![1; 40], vec![2; 60]),
        Write::Delete {
            family,
            key: vec![3; 20],
        },
        Write::DeleteRange { family, from, to },
    ]
}

pub fn decoders() -> Vec<Decoder> {
    let mut all = store();
    all.extend(control_and_network());
    all.extend(attest());
    all
}

fn store() -> Vec<Decoder> {
    vec![
        message!(
            "GetMsg",
            GetMsg,
            GetMsg {
                id: 1,
                family: 2,
                keys: vec![vec![1; 30], vec![], vec![2; 5]],
            }
        ),
        message!(
            "GotMsg",
            GotMsg,
            GotMsg {
                id: 1,
                values: vec![Some(vec![4; 50]), None, Some(vec![])],
                failure: failure(),
            }
        ),
        message!(
            "ScanMsg",
            ScanMsg,
            ScanMsg {
                id: 1,
                family: 2,
                from: vec![1; 9],
                to: vec![2; 9],
                limit: 100,
                reverse: true,
            }
        ),
        message!(
            "PageMsg",
            PageMsg,
            PageMsg {
                id: 1,
                entries: vec![(vec![1; 9], vec![2; 70]), (vec![3], vec![])],
                next: Some(vec![4; 9]),
                failure: failure(),
            }
        ),
        message!(
            "CommitMsg",
            CommitMsg,
            CommitMsg {
                id: 1,
                height: 9,
                is_synced: true,
                writes: writes(),
            }
        ),
        message!(
            "AppendMsg",
            AppendMsg,
            AppendMsg {
                id: 1,
                writes: writes(),
            }
        ),
        message!("SyncMsg", SyncMsg, SyncMsg { id: 1 }),
        message!(
            "DoneMsg",
            DoneMsg,
            DoneMsg {
                id: 1,
                failure: failure(),
            }
        ),
        message!(
            "SignMsg",
            SignMsg,
            SignMsg {
                id: 1,
                wal: vec![WalMsg {
                    height: 1,
                    index: 2,
                    bytes: vec![3; 90],
                }],
                height: 1,
                round: 2,
                step: 0,
                value: Some([4; 32]),
                pol_round: Some(1),
            }
        ),
        message!(
            "SignedMsg",
            SignedMsg,
            SignedMsg {
                id: 1,
                signature: Some([5; 64]),
                failure: failure(),
            }
        ),
    ]
}

fn control_and_network() -> Vec<Decoder> {
    vec![
        message!(
            "ReadyMsg",
            ReadyMsg,
            ReadyMsg {
                pid: 1,
                incarnation: 2,
                height: 3,
            }
        ),
        message!(
            "ProgressMsg",
            ProgressMsg,
            ProgressMsg {
                height: 1,
                block_time_ms: 2,
                block_hash: [3; 32],
                sibling_height: 4,
                inbox_waiting: 5,
                mempool_txs: 6,
            }
        ),
        message!(
            "MetricsMsg",
            MetricsMsg,
            MetricsMsg {
                families: vec![FamilyMsg {
                    name: "adnet_chain_height".to_owned(),
                    help: "Height of the last committed block.".to_owned(),
                    kind: 1,
                    lines: vec!["adnet_chain_height 3".to_owned()],
                }],
            }
        ),
        message!(
            "PeersMsg",
            PeersMsg,
            PeersMsg {
                peers: vec![LinkedPeer {
                    peer: [1; 32],
                    address: "10.0.0.1:4130".into(),
                    is_inbound: true,
                    is_validator: false,
                    height: 9,
                    connected_unix_ms: 1,
                    round_trip_us: 2,
                    bytes_in: 3,
                    bytes_out: 4,
                    score: -20,
                }],
            }
        ),
        message!("StopMsg", StopMsg, StopMsg { deadline_ms: 7 }),
        message!(
            "ValidatorsMsg",
            ValidatorsMsg,
            ValidatorsMsg {
                from_height: 9,
                members: vec![MemberMsg {
                    key: [4; 32],
                    power: 2,
                }],
            }
        ),
        message!(
            "NetworkOutMsg",
            NetworkOutMsg,
            NetworkOutMsg {
                peer: Some([1; 32]),
                except: vec![[2; 32]],
                class: 2,
                bytes: vec![3; 100],
            }
        ),
        message!(
            "NetworkInMsg",
            NetworkInMsg,
            NetworkInMsg {
                peer: [1; 32],
                class: 2,
                bytes: vec![3; 100],
            }
        ),
        message!(
            "PeerMsg",
            PeerMsg,
            PeerMsg {
                peer: [1; 32],
                offence: 1,
            }
        ),
        message!(
            "GossipOutMsg",
            GossipOutMsg,
            GossipOutMsg {
                topic: 1,
                bytes: vec![3; 100],
            }
        ),
        message!(
            "GossipInMsg",
            GossipInMsg,
            GossipInMsg {
                peer: [1; 32],
                topic: 1,
                id: [2; 20],
                bytes: vec![3; 100],
            }
        ),
        message!(
            "VerdictMsg",
            VerdictMsg,
            VerdictMsg {
                peer: [1; 32],
                topic: 1,
                id: [2; 20],
                verdict: 3,
            }
        ),
    ]
}

fn attest() -> Vec<Decoder> {
    vec![
        message!(
            "FinalityMsg",
            FinalityMsg,
            FinalityMsg {
                height: 1,
                proof: vec![2; 300],
            }
        ),
        message!(
            "AttestationMsg",
            AttestationMsg,
            AttestationMsg {
                sequence: 1,
                height: 2,
                durable_ns: 3,
                attestation: vec![4; 120],
            }
        ),
        message!(
            "QueryMsg",
            QueryMsg,
            QueryMsg {
                id: 1,
                key: vec![2; 20],
            }
        ),
        message!(
            "ReplyMsg",
            ReplyMsg,
            ReplyMsg {
                id: 1,
                height: 2,
                value: Some(vec![3; 32]),
                proof: vec![4; 500],
            }
        ),
        message!("ResumeMsg", ResumeMsg, ResumeMsg { next_sequence: 1 }),
    ]
}
