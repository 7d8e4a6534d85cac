//! One known peer: where it is, and how it went.

use adnet_common::{
    chain_id::ChainId,
    codec::{DecodeError, Reader, Writer},
    keys::PublicKey,
};

use crate::network::discovery::Candidate;

/// The pause after an attempt: this, doubled with each failure since the last success.
const PAUSE_MIN_MS: u64 = 2_000;
const PAUSE_MAX_MS: u64 = 3_600_000;
/// Without one success, an address is given up after so many failures.
const FAILURES_OF_NEW: u32 = 3;
/// And one that was right before after so many, if the last success is long ago.
const FAILURES_OF_TRIED: u32 = 10;
const DAY_MS: u64 = 24 * 3_600_000;
const VERSION: u8 = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who it is, and where.
    pub node: Candidate,
    /// Proved at some time; whether the key votes is another question.
    pub validator: Option<PublicKey>,
    /// A bit per chain on which this peer is dialled first after a restart.
    pub anchor: u8,
    /// Whether a handshake at this address has proved the key.
    pub is_tried: bool,
    pub added_ms: u64,
    /// For Alpha and for Delta: a dial of one chain's endpoint holds up no dial of the other's.
    pub last_attempt_ms: [u64; 2],
    pub last_success_ms: u64,
    /// Since the last success.
    pub failures: u32,
}

impl Entry {
    pub fn new(candidate: &Candidate, now_ms: u64) -> Self {
        Self {
            node: candidate.clone(),
            validator: None,
            anchor: 0,
            is_tried: false,
            added_ms: now_ms,
            last_attempt_ms: [0; 2],
            last_success_ms: 0,
            failures: 0,
        }
    }

    /// A dial of this chain's endpoint begins.
    pub fn attempted(&mut self, chain: ChainId, now_ms: u64) {
        self.last_attempt_ms[index(chain)] = now_ms.max(1);
    }

    /// Whether the pause after the last attempt is over. `pause_max_ms` shortens it for peers that
    /// are wanted more than others.
    pub fn is_due(&self, chain: ChainId, now_ms: u64, pause_max_ms: Option<u64>) -> bool {
        let last_ms = self.last_attempt_ms[index(chain)];
        if last_ms == 0 {
            return true;
        }
        let pause_ms = PAUSE_MIN_MS << self.failures.min(20);
        let pause_ms = pause_ms.min(pause_max_ms.unwrap_or(PAUSE_MAX_MS));
        // A clock that was set back must not keep us from dialling.
        now_ms < last_ms || now_ms - last_ms >= pause_ms
    }

    /// Whether anything that is new is worth more than this.
    pub fn is_hopeless(&self, now_ms: u64) -> bool {
        let since = |then_ms: u64| now_ms.saturating_sub(then_ms);
        match self.last_success_ms {
            0 => self.failures >= FAILURES_OF_NEW || since(self.added_ms) > 30 * DAY_MS,
            then_ms => self.failures >= FAILURES_OF_TRIED && since(then_ms) > 7 * DAY_MS,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(VERSION);
        self.node.encode(&mut w);
        match &self.validator {
            None => w.u8(0),
            Some(key) => w.u8(1).raw(&key.0),
        };
        w.u8(self.anchor).u8(u8::from(self.is_tried));
        w.u64(self.added_ms);
        w.u64(self.last_attempt_ms[0]).u64(self.last_attempt_ms[1]);
        w.u64(self.last_success_ms).u32(self.failures);
        w.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        if r.u8("peer version")? != VERSION {
            return Err(r.invalid("peer version", "unknown"));
        }
        let node = Candidate::decode(&mut r)?;
        let flag = |r: &mut Reader<'_>, what| match r.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(r.invalid(what, "neither 0 nor 1")),
        };
        let validator = match flag(&mut r, "peer validator")? {
            true => Some(PublicKey(r.array("peer validator")?)),
            false => None,
        };
        let entry = Self {
            node,
            validator,
            anchor: r.u8("peer anchor")?,
            is_tried: flag(&mut r, "peer tried")?,
            added_ms: r.u64("peer added")?,
            last_attempt_ms: [r.u64("Alpha attempt")?, r.u64("Delta attempt")?],
            last_success_ms: r.u64("peer success")?,
            failures: r.u32("peer failures")?,
        };
        r.end()?;
        Ok(entry)
    }
}

fn index(chain: ChainId) -> usize {
    match chain {
        ChainId::Alpha => 0,
        ChainId::Delta => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::network::address_book::tests::candidate;

    fn entry() -> Entry {
        Entry {
            node: Candidate {
                delta_port: None,
                ..candidate(7, [10, 0, 0, 1])
            },
            validator: Some(PublicKey([2; 32])),
            anchor: 2,
            is_tried: true,
            added_ms: 1,
            last_attempt_ms: [1_000_000, 0],
            last_success_ms: 3,
            failures: 2,
        }
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let v6 = Entry {
            node: candidate(8, "2001:db8::1".parse::<IpAddr>().unwrap()),
            validator: None,
            ..entry()
        };
        for entry in [entry(), v6] {
            assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
        }
    }

    #[test]
    fn each_failure_doubles_the_pause() {
        let entry = entry();
        let last_ms = entry.last_attempt_ms[0];
        let due = |entry: &Entry, at_ms, max| entry.is_due(ChainId::Alpha, at_ms, max);
        let at = |ms| due(&entry, last_ms + ms, None);
        assert!(!at(7_999) && at(8_000));
        assert!(due(&entry, last_ms + 5_000, Some(5_000)));
        assert!(due(&entry, 0, None), "a clock that was set back");
        assert!(entry.is_due(ChainId::Delta, last_ms, None));
        let failures = 1_000;
        let worst = Entry { failures, ..entry };
        assert!(due(&worst, last_ms + PAUSE_MAX_MS, None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_entry_or_an_error(bytes: Vec<u8>) {
            if let Ok(entry) = Entry::decode(&bytes) {
                prop_assert_eq!(entry.encode(), bytes);
            }
        }
    }
}
