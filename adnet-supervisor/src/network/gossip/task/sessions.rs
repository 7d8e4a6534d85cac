//! Which sessions the router has: lent by links, one per peer, and given back.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{MutexGuard, atomic::Ordering},
    time::Instant,
};

use libp2p_core::{Multiaddr, multiaddr::Protocol};
use libp2p_identity::PeerId as RouterPeer;
use libp2p_swarm::dial_opts::{DialOpts, PeerCondition};

use super::{
    super::{
        super::{
            Direction,
            identity::{PeerId, Short},
        },
        allowance::Allowance,
        muxer::Muxer,
        peer::to_libp2p,
        session::Attachment,
    },
    Session, Task,
};

pub(super) fn multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip())
        .with(Protocol::Udp(address.port()))
        .with(Protocol::QuicV1)
}

impl Task {
    /// Never two sessions with one peer: the router tells its topics in the first one only, and
    /// what it queued for the peer may leave through the one that is about to end.
    pub(super) fn attach(&mut self, attachment: Attachment) {
        let Some(peer) = to_libp2p(&attachment.peer) else {
            return;
        };
        if self.sessions.contains_key(&peer) {
            self.waiting.insert(peer, attachment);
            let _ = self.swarm.disconnect_peer_id(peer);
            return;
        }
        let remote = multiaddr(attachment.remote);
        let dial = match attachment.direction {
            Direction::Inbound => {
                // The other end is in the swarm, which lives as long as this task.
                let _ = self.accepted.send((peer, remote, attachment.muxer));
                None
            }
            Direction::Outbound => {
                self.lock_dialled().insert(peer, attachment.muxer);
                let options = DialOpts::peer_id(peer)
                    .condition(PeerCondition::Always)
                    .addresses(vec![remote])
                    .build();
                let dial = options.connection_id();
                if let Err(error) = self.swarm.dial(options) {
                    let (chain, peer_id) = (self.node.chain, Short(attachment.peer));
                    tracing::warn!(%chain, peer = %peer_id, %error, "the router refused a link");
                    self.lock_dialled().remove(&peer);
                    return;
                }
                Some(dial)
            }
        };
        let allowance = Allowance::new(self.topic, Instant::now());
        self.sessions.insert(peer, Session { dial, allowance });
        if attachment.configured_us.load(Ordering::Relaxed) {
            self.make_explicit(&attachment.peer);
        }
    }

    pub(super) fn lock_dialled(&self) -> MutexGuard<'_, BTreeMap<RouterPeer, Muxer>> {
        self.dialled.lock().expect("no panic under this lock")
    }

    /// Both have configured each other: no score and no mesh stands between them. One side alone
    /// would only refuse the other's invitations into the mesh.
    pub(super) fn make_explicit(&mut self, peer: &PeerId) {
        let Some(named) = to_libp2p(peer) else {
            return;
        };
        if self.node.links.is_configured(peer)
            && self.sessions.contains_key(&named)
            && self.explicit.insert(named)
        {
            self.swarm.behaviour_mut().add_explicit_peer(&named);
        }
    }

    pub(super) fn detached(&mut self, peer: &RouterPeer) {
        self.sessions.remove(peer);
        if self.explicit.remove(peer) {
            // Or the router would dial it again and again.
            self.swarm.behaviour_mut().remove_explicit_peer(peer);
        }
        if let Some(next) = self.waiting.remove(peer) {
            self.attach(next);
        }
    }
}
