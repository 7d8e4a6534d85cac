//! What nodes gossip, and what a worker says of it: only what it accepts goes on to other peers.
//!
//! A verdict is about who passed the message on. *Reject* is for what no honest node passes on,
//! whatever block it is at, and costs that peer its standing; whatever depends on the state, or is
//! known already, is *ignored*.
//!
//! Gossip may lose a message: routers drop what does not fit, and who was cut off hears nothing of what
//! was said meanwhile. So transactions that have waited for long are told again.

use super::event::Peer;
use super::timers::Timer;
use super::verifying::{Checked, Sender};
use super::{Host, Node, NodeFault, Output};
use crate::application::{Application, VerifiedTx};
use crate::block::MAX_TX_BYTES;
use crate::mempool::Accepted;
use std::sync::Arc;

/// What a message is about. The number is its name on the rings.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Topic {
    /// A signed transaction.
    Transaction = 1,
    /// The header of a decided block with its commit certificate.
    Block = 2,
}

impl Topic {
    pub const ALL: [Topic; 2] = [Topic::Transaction, Topic::Block];

    pub fn from_byte(byte: u8) -> Option<Self> {
        Topic::ALL.into_iter().find(|topic| *topic as u8 == byte)
    }

    /// The last part of its name among peers, and its label in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Topic::Transaction => "tx",
            Topic::Block => "block",
        }
    }
}

/// Names a gossiped message: a hash of its topic and content, so that the same content is one
/// message, whoever passes it on.
pub type GossipId = [u8; 20];

/// What becomes of a gossiped message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on to other peers.
    Accept,
    /// It ends here, and nobody is to blame.
    Ignore,
    /// It ends here, and counts against who passed it on.
    Reject(Fault),
}

/// What is wrong with a rejected message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not decode.
    Garbage,
    BadTransaction,
    /// A header without a certificate of our validators.
    BadBlock,
}

impl Verdict {
    pub const ALL: [Verdict; 5] = [
        Verdict::Accept,
        Verdict::Ignore,
        Verdict::Reject(Fault::Garbage),
        Verdict::Reject(Fault::BadTransaction),
        Verdict::Reject(Fault::BadBlock),
    ];

    /// Its name on the rings.
    pub const fn as_byte(self) -> u8 {
        match self {
            Verdict::Accept => 1,
            Verdict::Ignore => 2,
            Verdict::Reject(Fault::Garbage) => 3,
            Verdict::Reject(Fault::BadTransaction) => 4,
            Verdict::Reject(Fault::BadBlock) => 5,
        }
    }

    /// What the next sender of the same bytes hears: they are known by then.
    pub(super) fn of_the_same_again(self) -> Self {
        match self {
            Verdict::Accept => Verdict::Ignore,
            other => other,
        }
    }

    pub fn from_byte(byte: u8) -> Option<Self> {
        Verdict::ALL.into_iter().find(|v| v.as_byte() == byte)
    }
}

/// How often transactions that wait are told again. Longer than routers remember messages, or they
/// would take it for a duplicate.
pub(super) const REMIND_EVERY_MS: u64 = 90_000;
/// Told again at a time: those that pay best.
const REMINDED_TXS_MAX: usize = 64;

impl<A: Application> Node<A> {
    /// Tells again of transactions that a block should have had long ago.
    pub(super) fn remind(&mut self, now_ms: u64, outputs: &mut Vec<Output<A>>) {
        let waiting = self.mempool.candidates(REMINDED_TXS_MAX, usize::MAX);
        let is_old = |tx: &&Arc<VerifiedTx<A::Tx>>| {
            let waited_ms = self.mempool.waited_ms(now_ms, tx);
            waited_ms.is_some_and(|waited_ms| waited_ms >= REMIND_EVERY_MS)
        };
        outputs.extend(waiting.iter().filter(is_old).map(|tx| Output::Publish {
            topic: Topic::Transaction,
            bytes: tx.raw.clone(),
        }));
        let next_ms = now_ms.saturating_add(REMIND_EVERY_MS);
        self.timers.set(next_ms, Timer::Remind);
    }

    /// Judges what a peer passed on. Each message gets one verdict: now, as the last output, or when a
    /// transaction that is not known here has been verified.
    #[expect(clippy::too_many_arguments, reason = "a step's, and what came")]
    pub(super) fn on_gossip(
        &mut self,
        now_ms: u64,
        peer: Peer,
        topic: Topic,
        id: GossipId,
        bytes: &[u8],
        host: &dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<(), NodeFault> {
        let verdict = match topic {
            Topic::Transaction => {
                let sender = Sender { peer, id };
                self.judge_transaction(now_ms, sender, bytes, host, outputs)?
            }
            Topic::Block => Some(self.judge_announcement(now_ms, peer, bytes, outputs)),
        };
        outputs.extend(verdict.map(|verdict| Output::Verdict {
            peer,
            topic,
            id,
            verdict,
        }));
        Ok(())
    }

    /// The verdict, or `None` if the transaction was handed out to be verified first.
    fn judge_transaction(
        &mut self,
        now_ms: u64,
        sender: Sender,
        bytes: &[u8],
        host: &dyn Host,
        outputs: &mut Vec<Output<A>>,
    ) -> Result<Option<Verdict>, NodeFault> {
        if bytes.len() > MAX_TX_BYTES {
            return Ok(Some(Verdict::Reject(Fault::Garbage)));
        }
        let key = self.verified.key(bytes);
        if let Some(known) = self.verified.get(&key) {
            return self.judge_checked(now_ms, Ok(known), host).map(Some);
        }
        // What comes faster than it can be verified ends here; it is told again, and blocks bring it.
        let is_waiting = self.verifying.gossiped(key, sender, bytes, outputs);
        Ok((!is_waiting).then_some(Verdict::Ignore))
    }

    /// The verdict on a transaction that was verified.
    pub(super) fn judge_checked(
        &mut self,
        now_ms: u64,
        checked: Checked<A::Tx>,
        host: &dyn Host,
    ) -> Result<Verdict, NodeFault> {
        let Ok(tx) = checked else {
            return Ok(Verdict::Reject(Fault::BadTransaction));
        };
        Ok(match self.admit(now_ms, tx, host)? {
            Ok(Accepted::New | Accepted::Replaced(_)) => Verdict::Accept,
            // What the state or the pool refuses here, an honest node elsewhere may have taken.
            Ok(Accepted::Known) | Err(_) => Verdict::Ignore,
        })
    }
}

/// The verdict on a gossiped transaction, for one of those who have passed it on.
pub(super) fn transaction_verdict<A: Application>(
    Sender { peer, id }: Sender,
    verdict: Verdict,
) -> Output<A> {
    Output::Verdict {
        peer,
        topic: Topic::Transaction,
        id,
        verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_verdicts_have_names_of_their_own_on_the_rings() {
        for topic in Topic::ALL {
            assert_eq!(Topic::from_byte(topic as u8), Some(topic));
        }
        for verdict in Verdict::ALL {
            assert_eq!(Verdict::from_byte(verdict.as_byte()), Some(verdict));
        }
        assert_eq!(
            Topic::from_byte(0).is_none(),
            Verdict::from_byte(0).is_none()
        );
        assert_eq!(Verdict::from_byte(6), None);
    }
}
