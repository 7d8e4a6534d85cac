//! What the simulation has to know of each chain besides the chain core's own trait.

use adnet_alpha::AlphaApp;
use adnet_common::application::Application;
use adnet_common::node::Node;
use adnet_common::supply::{AlphaSupply, DeltaSupply};
use adnet_delta::DeltaApp;

/// The nodes of a machine; what is not there has died.
#[derive(Default)]
pub(super) struct Nodes {
    pub alpha: Option<Node<AlphaApp>>,
    pub delta: Option<Node<DeltaApp>>,
}

/// The supply leaf of either chain.
#[derive(Copy, Clone, Debug)]
pub(super) enum Leaf {
    Alpha(AlphaSupply),
    Delta(DeltaSupply),
}

pub(super) trait Chain: Application {
    fn slot(nodes: &mut Nodes) -> &mut Option<Node<Self>>;

    fn leaf(view: &Self::View) -> Leaf;
}

impl Chain for AlphaApp {
    fn slot(nodes: &mut Nodes) -> &mut Option<Node<Self>> {
        &mut nodes.alpha
    }

    fn leaf(view: &Self::View) -> Leaf {
        Leaf::Alpha(view.supply)
    }
}

impl Chain for DeltaApp {
    fn slot(nodes: &mut Nodes) -> &mut Option<Node<Self>> {
        &mut nodes.delta
    }

    fn leaf(view: &Self::View) -> Leaf {
        Leaf::Delta(view.supply())
    }
}
