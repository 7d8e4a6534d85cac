//! A network in which one validator stands behind sentries, and the others find each other.

use super::{Options, TestNode, eventually};

pub struct Sentried {
    /// They find each other, and the sentries, by discovery.
    pub validators: Vec<TestNode>,
    /// Full nodes; the hidden validator is a persistent peer of each.
    pub sentries: Vec<TestNode>,
    /// A validator that links its sentries and nobody else.
    pub hidden: TestNode,
}

impl Sentried {
    /// Starts `open` validators, `sentries` sentries and one validator behind them; back when each is
    /// ready and the links are there.
    pub fn start(open: usize, sentries: usize, options: &Options) -> Sentried {
        let mut validators = TestNode::validators(open + 1, options);
        let mut hidden = validators.pop().expect("one more than are open");
        let boot = validators[0].record();
        let sentry = |_| {
            let mut sentry = TestNode::made(Options {
                keeps_addresses: true,
                ..options.clone()
            });
            sentry.adopt(&validators[0].genesis);
            sentry.dial(&[&hidden]);
            // No place for any stranger that dials in.
            sentry.set("network.max_peers", "1");
            sentry.set("network.outbound_peers", "1");
            sentry.set("network.boot_nodes", &boot);
            sentry
        };
        let sentries: Vec<TestNode> = (0..sentries).map(sentry).collect();
        hidden.dial(&sentries.iter().collect::<Vec<_>>());
        hidden.set("network.persistent_peers_only", "true");
        for validator in &mut validators[1..] {
            validator.set("network.boot_nodes", &boot);
        }
        let mut network = Sentried {
            validators,
            sentries,
            hidden,
        };
        for node in network.all_mut() {
            node.launch();
        }
        for node in network.all_mut() {
            node.await_ready();
        }
        eventually("the hidden validator is linked to its sentries", || {
            let count = network.sentries.len();
            network.hidden.is_linked_to(count).then_some(())
        });
        network
    }

    /// All but the hidden one.
    pub fn open(&self) -> Vec<&TestNode> {
        self.validators.iter().chain(&self.sentries).collect()
    }

    pub fn all(&self) -> Vec<&TestNode> {
        let mut all = self.open();
        all.push(&self.hidden);
        all
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut TestNode> {
        let open = self.validators.iter_mut().chain(&mut self.sentries);
        open.chain([&mut self.hidden])
    }
}
