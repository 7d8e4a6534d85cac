//! How signing requests ended, per chain. A refusal in these figures is a bug or an attack.

use adnet_common::chain_id::ChainId;
use prometheus::{IntCounterVec, Opts, Registry};

/// How a request ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Fresh,
    /// Signed before; the stored signature was given.
    Repeated,
    Refused,
    Unavailable,
}

impl Outcome {
    const ALL: [Outcome; 4] = [
        Outcome::Fresh,
        Outcome::Repeated,
        Outcome::Refused,
        Outcome::Unavailable,
    ];

    fn label(self) -> &'static str {
        match self {
            Outcome::Fresh => "fresh",
            Outcome::Repeated => "repeated",
            Outcome::Refused => "refused",
            Outcome::Unavailable => "unavailable",
        }
    }
}

pub(super) struct SignerCounters(IntCounterVec);

impl SignerCounters {
    pub(super) fn new() -> Self {
        let options = Opts::new(
            "adnet_signer_requests_total",
            "Signing requests by outcome. Refused ones would have been equivocations.",
        );
        let counters = IntCounterVec::new(options, &["chain", "outcome"]);
        let counters = counters.expect("name and labels are valid");
        // All series exist from the start, so that the first refusal shows as an increase.
        for chain in ChainId::ALL {
            for outcome in Outcome::ALL {
                counters.with_label_values(&[chain.name(), outcome.label()]);
            }
        }
        Self(counters)
    }

    pub(super) fn count(&self, chain: ChainId, outcome: Outcome) {
        self.0
            .with_label_values(&[chain.name(), outcome.label()])
            .inc();
    }

    #[cfg(test)]
    pub(super) fn get(&self, chain: ChainId, outcome: Outcome) -> u64 {
        self.0
            .with_label_values(&[chain.name(), outcome.label()])
            .get()
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.0.clone()))
    }
}
