//! Where the nodes of a test network live and which ports they have.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Between the ports of two nodes.
const STEP: u32 = 10;
/// With more nodes the usual ports would meet: Delta's API of node 10 is Alpha's peers of node 0.
const USUAL_NODES_MAX: usize = 10;
/// Alpha's API, Delta's API, metrics, Alpha's peers, Delta's peers, discovery of node 0.
const USUAL_PORTS: [u32; 6] = [3030, 4030, 9090, 4130, 4131, 4132];

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    nodes: Vec<NodePlan>,
}

/// One node of the network. It listens on loopback only.
#[derive(Clone, Debug)]
pub(super) struct NodePlan {
    pub data_dir: PathBuf,
    ports: [u16; 6],
}

#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    #[error("{0} nodes do not fit into the usual ports: give a --base-port (10 nodes would)")]
    TooMany(usize),
    #[error("the ports of {nodes} nodes from {base} on do not end before 65536: give a lower one")]
    PortsEnd { nodes: usize, base: u32 },
}

impl Plan {
    pub fn new(dir: PathBuf, nodes: usize, base_port: Option<u16>) -> Result<Self, PlanError> {
        let first: [u32; 6] = match base_port {
            None if nodes > USUAL_NODES_MAX => return Err(PlanError::TooMany(nodes)),
            None => USUAL_PORTS,
            Some(base) => std::array::from_fn(|i| u32::from(base) + i as u32),
        };
        let base = first[0];
        let mut plan = Vec::with_capacity(nodes);
        for i in 0..nodes {
            let mut ports = [0; 6];
            for (port, first) in ports.iter_mut().zip(first) {
                let wanted = u16::try_from(first + STEP * i as u32);
                *port = wanted.map_err(|_| PlanError::PortsEnd { nodes, base })?;
            }
            let data_dir = dir.join(node_name(i));
            plan.push(NodePlan { data_dir, ports });
        }
        Ok(Self { nodes: plan })
    }

    pub fn nodes(&self) -> &[NodePlan] {
        &self.nodes
    }
}

impl NodePlan {
    pub fn alpha_api(&self) -> SocketAddr {
        self.address(0)
    }

    pub fn delta_api(&self) -> SocketAddr {
        self.address(1)
    }

    pub fn metrics(&self) -> SocketAddr {
        self.address(2)
    }

    pub fn alpha_p2p(&self) -> SocketAddr {
        self.address(3)
    }

    pub fn delta_p2p(&self) -> SocketAddr {
        self.address(4)
    }

    pub fn discovery(&self) -> SocketAddr {
        self.address(5)
    }

    fn address(&self, which: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports[which]))
    }
}

fn node_name(index: usize) -> String {
    format!("node-{index}")
}

/// The data directories of the network in `dir`, by number, as far as there is one after the other.
pub(super) fn existing(dir: &Path) -> Vec<(String, PathBuf)> {
    let named = (0..).map(|i| (node_name(i), dir.join(node_name(i))));
    named.take_while(|(_, dir)| dir.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn ports(nodes: usize, base: Option<u16>) -> Vec<u16> {
        let plan = Plan::new("d".into(), nodes, base).expect("it fits");
        plan.nodes().iter().flat_map(|node| node.ports).collect()
    }

    #[test]
    fn no_two_ports_of_a_network_meet() {
        for (nodes, base) in [(1, None), (10, None), (100, Some(20_000)), (7, Some(1024))] {
            let all = ports(nodes, base);
            let distinct: BTreeSet<u16> = all.iter().copied().collect();
            assert_eq!(distinct.len(), 6 * nodes, "{all:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Plan::new("d".into(), 11, None).is_err());
        assert!(Plan::new("d".into(), 2, Some(65_521)).is_err());
        assert_eq!(ports(2, Some(65_520)).last(), Some(&65_535));
    }
}
