//! Who may vote at the end of a run, on all machines and both chains.

use super::simulation::Simulation;
use adnet_common::application::Application;
use adnet_common::keys::PublicKey;
use adnet_common::validators::Validators;
use std::collections::BTreeSet;

impl Simulation {
    /// What each chain of each machine holds for true; `None` while one of them is away.
    fn validators(&self) -> Option<Vec<&Validators>> {
        let both = self.remaining().flat_map(|machine| {
            let machine = &self.machines[machine];
            let alpha = machine.nodes.alpha.as_ref();
            let delta = machine.nodes.delta.as_ref();
            [
                alpha.map(|node| &**node.application().validators()),
                delta.map(|node| &**node.application().validators()),
            ]
        });
        both.collect()
    }

    /// Whoever is proved guilty is tombstoned everywhere, nobody else is, and all agree on the rest.
    pub(super) fn validators_are_settled(&self) -> bool {
        let proved: BTreeSet<PublicKey> = self.oracle.proved.keys().map(|k| k.1).collect();
        let Some(all) = self.validators() else {
            return false;
        };
        let genesis = self.genesis.validator_set().expect("a sound genesis");
        let innocent = genesis
            .members()
            .iter()
            .filter(|v| !proved.contains(&v.key()));
        let innocent: Vec<_> = innocent.map(|v| (v.key(), v.power())).collect();
        all.into_iter().all(|validators| {
            let members = |set: &adnet_common::consensus::ValidatorSet| {
                let members = set.members().iter();
                members.map(|v| (v.key(), v.power())).collect::<Vec<_>>()
            };
            validators.tombstones.keys().eq(&proved)
                && members(&validators.own.set) == innocent
                && members(&validators.sibling.set) == innocent
        })
    }

    /// What differs, in words.
    pub(super) fn validators_in_words(&self) -> String {
        let proved = self.oracle.proved.len();
        let words = |validators: &Validators| {
            let (own, sibling) = (&validators.own, &validators.sibling);
            format!(
                "{} from {}, sibling {} from {}, {} tombstones",
                own.set.members().len(),
                own.height,
                sibling.set.members().len(),
                sibling.height,
                validators.tombstones.len()
            )
        };
        let all = self.validators();
        let all: Option<Vec<String>> = all.map(|all| all.into_iter().map(words).collect());
        format!("{proved} equivocations proved, validators {all:?}")
    }
}
