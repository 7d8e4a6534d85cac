//! The libp2p transport that dials nothing: it hands sessions of our links to the router.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use futures::future::{Ready, ready as now};
use libp2p_core::{
    Multiaddr,
    multiaddr::Protocol,
    muxing::StreamMuxerBox,
    transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent},
};
use libp2p_identity::PeerId;
use tokio::sync::mpsc;

use super::muxer::Muxer;

/// Sessions of links that we dialled, until the router "dials" them; one per peer.
pub type Dialled = Arc<Mutex<BTreeMap<PeerId, Muxer>>>;
/// A session of a link that the peer dialled.
pub type Accepted = (PeerId, Multiaddr, Muxer);

pub struct Handover {
    pub dialled: Dialled,
    /// Unbounded, as one task is at both ends of it; it holds one entry per link at most.
    pub accepted: mpsc::UnboundedReceiver<Accepted>,
    pub local: Multiaddr,
    pub listener: ListenerId,
}

#[derive(Debug, thiserror::Error)]
#[error("no link of this peer is at hand")]
pub struct NotHandedOver;

type Upgraded = Ready<Result<(PeerId, StreamMuxerBox), NotHandedOver>>;

impl Transport for Handover {
    type Output = (PeerId, StreamMuxerBox);
    type Error = NotHandedOver;
    type ListenerUpgrade = Upgraded;
    type Dial = Upgraded;

    fn listen_on(
        &mut self,
        id: ListenerId,
        _: Multiaddr,
    ) -> Result<(), TransportError<NotHandedOver>> {
        self.listener = id;
        Ok(())
    }

    fn remove_listener(&mut self, _: ListenerId) -> bool {
        false
    }

    /// The router appends `/p2p/<peer>` to the address that it was told to dial.
    fn dial(
        &mut self,
        address: Multiaddr,
        _: DialOpts,
    ) -> Result<Upgraded, TransportError<NotHandedOver>> {
        let Some(Protocol::P2p(peer)) = address.iter().last() else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let mut dialled = self.dialled.lock().expect("no panic under this lock");
        let muxer = dialled.remove(&peer);
        Ok(now(muxer
            .map(|muxer| (peer, StreamMuxerBox::new(muxer)))
            .ok_or(NotHandedOver)))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Upgraded, NotHandedOver>> {
        let Some((peer, from, muxer)) = ready!(self.accepted.poll_recv(cx)) else {
            return Poll::Pending;
        };
        Poll::Ready(TransportEvent::Incoming {
            listener_id: self.listener,
            upgrade: now(Ok((peer, StreamMuxerBox::new(muxer)))),
            local_addr: self.local.clone(),
            send_back_addr: from,
        })
    }
}
