//! Random contracts on Delta in simulated networks: every machine comes to the same root, whatever the
//! programs do and whenever machines die, and the supply stays what it is.

use super::held;
use adnet_tests::sim::{Crashes, Scenario};

fn with_contracts(seed: u64) -> Scenario {
    Scenario {
        validators: 4,
        has_contracts: true,
        delay_max_ms: 40,
        ..Scenario::alone(seed, 120_000)
    }
}

#[test]
fn machines_agree_on_what_random_contracts_do() {
    for seed in 0..4 {
        let report = held(&with_contracts(seed));
        assert!(report.contracts_settled > 20, "{report:?}");
    }
}

#[test]
fn machines_that_die_come_back_to_the_same_state_with_contracts() {
    let scenario = Scenario {
        crashes: Crashes::Often { within_ops: 200 },
        ..with_contracts(11)
    };
    let report = held(&scenario);
    assert!(report.deaths > 0, "nobody died");
    assert!(report.contracts_settled > 10, "{report:?}");
    assert_eq!(report.digest, held(&scenario).digest);
}
