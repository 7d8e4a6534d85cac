//! How many links and connections there may be, and with whom.

/// The limits of one chain's endpoint. Every count is at least one.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All nodes belong to one operator: nothing is limited by address.
    pub is_private: bool,
    /// Configured peers and nobody else: no others are dialled, and none that dial in are linked.
    pub configured_only: bool,
    /// Links to peers that are neither configured nor proven validators.
    pub peers_max: usize,
    /// How many of them are chosen and dialled by us. Who dials in takes none of these places.
    pub outbound_peers: usize,
    /// Of the chosen ones, those of one /24 (IPv6: /48).
    pub outbound_per_subnet: usize,
    /// Of the chosen ones, those of one /16 (IPv6: /32).
    pub outbound_per_region: usize,
    /// Connections from one address.
    pub per_address_max: usize,
    /// Connections from one /24 (IPv6: /48).
    pub per_subnet_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            is_private: false,
            configured_only: false,
            peers_max: 64,
            outbound_peers: 8,
            outbound_per_subnet: 1,
            outbound_per_region: 2,
            per_address_max: 8,
            per_subnet_max: 16,
        }
    }
}

impl Limits {
    /// The limit, or none where all nodes are of one operator.
    pub(super) fn unless_private(&self, limit: usize) -> usize {
        match self.is_private {
            true => usize::MAX,
            false => limit,
        }
    }

    /// Links to strangers that have dialled in.
    pub(super) fn inbound_max(&self) -> usize {
        self.peers_max.saturating_sub(self.outbound_peers)
    }
}
