//! One direction of a link: a ring that carries messages, in pieces where they are too large.
//!
//! A message that fits is serialised straight into the ring's slot and read in place at the other
//! end. A larger one is cut into fragments and put together again, up to [`MAX_MESSAGE_BYTES`].
//! A first fragment always begins anew, so what a dead sender left half-sent is forgotten.

use crate::messages::Message;
use adnet_shm::{Consumer, LoanError, Producer, RingError, WaitOutcome};
use rkyv::util::AlignedVec;
use std::time::{Duration, Instant};

/// A message is at most this long, in one piece or in fragments (a block with the writes that it leads
/// to, of which a genesis may allow 1.6·10⁹ gas).
pub const MAX_MESSAGE_BYTES: usize = 256 << 20;

const FRAGMENT: u16 = 1;
const FIRST: u16 = 2;
const LAST: u16 = 4;
/// What is tried in place before a message is serialised on the heap.
const IN_PLACE_BYTES: usize = 1024;

/// A message could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the ring stayed full for {0:?}")]
    Full(Duration),
    #[error("this end of the ring has been replaced")]
    Fenced,
    #[error("a message of {0} bytes is over the bound")]
    TooLarge(usize),
    #[error("the ring is broken: {0}")]
    Broken(String),
}

pub struct Sender {
    ring: Producer,
}

impl Sender {
    pub fn new(ring: Producer) -> Self {
        Self { ring }
    }

    /// Sends a message and wakes the receiver. Waits up to `timeout` for room.
    pub fn send<M: Message>(&mut self, message: &M, timeout: Duration) -> Result<(), LinkError> {
        self.push(message, timeout)?;
        self.ring.flush();
        Ok(())
    }

    /// Sends without waking the receiver: for batches that end with [`Sender::flush`].
    pub fn push<M: Message>(&mut self, message: &M, timeout: Duration) -> Result<(), LinkError> {
        let in_place = IN_PLACE_BYTES.min(self.ring.max_message());
        match self.ring.try_loan(in_place) {
            Ok(mut slot) => {
                if let Some(len) = message.write_into(&mut slot) {
                    return committed(slot.commit(M::KIND, 0, len));
                }
            }
            Err(LoanError::Full) => {}
            Err(error) => return Err(broken(error)),
        }
        let bytes = message.to_bytes();
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(LinkError::TooLarge(bytes.len()));
        }
        let piece = self.ring.max_message();
        if bytes.len() <= piece {
            return self.put(M::KIND, 0, &bytes, Instant::now() + timeout, timeout);
        }
        let count = bytes.len().div_ceil(piece);
        for (i, chunk) in bytes.chunks(piece).enumerate() {
            let first = if i == 0 { FIRST } else { 0 };
            let last = if i + 1 == count { LAST } else { 0 };
            // Each piece that goes through shows that the receiver lives, so each has its time.
            let deadline = Instant::now() + timeout;
            self.put(M::KIND, FRAGMENT | first | last, chunk, deadline, timeout)?;
        }
        Ok(())
    }

    pub fn flush(&mut self) {
        self.ring.flush();
    }

    /// The ring itself, for its doorbell.
    pub fn ring(&mut self) -> &mut Producer {
        &mut self.ring
    }

    fn put(
        &mut self,
        kind: u16,
        flags: u16,
        bytes: &[u8],
        deadline: Instant,
        timeout: Duration,
    ) -> Result<(), LinkError> {
        loop {
            match self.ring.try_loan(bytes.len()) {
                Ok(mut slot) => {
                    slot[..bytes.len()].copy_from_slice(bytes);
                    return committed(slot.commit(kind, flags, bytes.len()));
                }
                Err(LoanError::Full) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() || !self.ring.wait_for_space(bytes.len(), left) {
                        return Err(if self.ring.is_fenced() {
                            LinkError::Fenced
                        } else {
                            LinkError::Full(timeout)
                        });
                    }
                }
                Err(error) => return Err(broken(error)),
            }
        }
    }
}

fn committed(result: Result<u64, LoanError>) -> Result<(), LinkError> {
    result.map(|_| ()).map_err(broken)
}

fn broken(error: LoanError) -> LinkError {
    match error {
        LoanError::Fenced => LinkError::Fenced,
        LoanError::TooLarge { max } => LinkError::TooLarge(max),
        other => LinkError::Broken(other.to_string()),
    }
}

/// A whole message, in the ring or put together. Valid until the receiver is used again.
pub struct Received<'a> {
    pub kind: u16,
    /// 16-byte aligned.
    pub payload: &'a [u8],
}

pub struct Receiver {
    ring: Consumer,
    /// Pieces of the message that is being put together.
    partial: AlignedVec,
    partial_kind: Option<u16>,
}

impl Receiver {
    pub fn new(ring: Consumer) -> Self {
        Self {
            ring,
            partial: AlignedVec::new(),
            partial_kind: None,
        }
    }

    /// Hands the next whole message to `handle`, then releases it. `None` if there is none.
    ///
    /// The message is released after `handle` returns: a death within it delivers it again.
    pub fn receive<T>(
        &mut self,
        handle: impl FnOnce(Received<'_>) -> T,
    ) -> Result<Option<T>, LinkError> {
        loop {
            let record = match self.ring.try_recv() {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(None),
                Err(RingError::Fenced) => return Err(LinkError::Fenced),
                Err(error) => return Err(LinkError::Broken(error.to_string())),
            };
            let (kind, flags) = (record.kind, record.flags);
            if flags & FRAGMENT == 0 {
                self.partial_kind = None;
                let payload = record.payload();
                let result = handle(Received { kind, payload });
                record.release();
                return Ok(Some(result));
            }
            if flags & FIRST != 0 {
                self.partial.clear();
                self.partial_kind = Some(kind);
            }
            let fits = self.partial.len() + record.payload().len() <= MAX_MESSAGE_BYTES;
            if self.partial_kind != Some(kind) || !fits {
                // The rest of a message whose beginning is gone, or one that never ends.
                self.partial_kind = None;
                record.release();
                continue;
            }
            self.partial.extend_from_slice(record.payload());
            record.release();
            if flags & LAST != 0 {
                self.partial_kind = None;
                let payload = &self.partial;
                let result = handle(Received { kind, payload });
                self.partial = AlignedVec::new(); // large messages are rare: give the memory back
                return Ok(Some(result));
            }
        }
    }

    /// Waits for a message: spins for a bounded time, then sleeps.
    pub fn wait(&mut self, timeout: Duration) -> WaitOutcome {
        self.ring.wait(timeout)
    }

    /// The ring itself, for its doorbell.
    pub fn ring(&mut self) -> &mut Consumer {
        &mut self.ring
    }
}
