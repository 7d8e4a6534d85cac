//! What the supervisor's threads tell its main loop.

use crate::process::death::Waker;
use adnet_common::chain_id::ChainId;
use std::sync::Arc;
use std::sync::mpsc;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This incarnation of a worker has opened its chain and answers its API.
    Ready(ChainId, u32),
    /// The kernel says that this incarnation is dying; its pidfd will follow.
    Dying(ChainId, u32),
    /// The database writes no more.
    StoreFailed,
    /// Somebody asked by the control socket to stop.
    StopAsked,
}

/// The sending end, for any thread.
#[derive(Clone)]
pub struct Events {
    sender: mpsc::Sender<Event>,
    waker: Arc<Waker>,
}

impl Events {
    pub fn new(waker: Arc<Waker>) -> (Events, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel();
        (Events { sender, waker }, receiver)
    }

    pub fn send(&self, event: Event) {
        // The main loop is gone only when everything ends.
        if self.sender.send(event).is_ok() {
            let _ = self.waker.wake();
        }
    }
}
