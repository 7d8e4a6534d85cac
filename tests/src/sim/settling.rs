//! The end of a run: everything has arrived, and the sums are right.

use super::simulation::Simulation;
use adnet_common::chain_id::ChainId;

impl Simulation {
    /// Everything that was accepted is in a block, all machines have all blocks, and nothing is
    /// between the chains.
    pub fn is_settled(&self) -> bool {
        let is_exchanged = match (self.scenario.only, self.oracle.supplies()) {
            (Some(_), _) => true,
            (None, None) => false,
            (None, Some((alpha, delta))) => {
                alpha.last_sent == delta.last_consumed && delta.last_sent == alpha.last_consumed
            }
        };
        let is_level = |chain| {
            let height = Some(self.oracle.height(chain));
            (0..self.machines.len()).all(|m| self.oracle.shown(m, chain) == height)
        };
        self.clients
            .iter()
            .all(|client| client.outstanding.is_none())
            && is_exchanged
            && self.scenario.chains().all(is_level)
            && self.validators_are_settled()
    }

    pub fn unsettled(&self) -> String {
        let waiting = self
            .clients
            .iter()
            .filter(|c| c.outstanding.is_some())
            .count();
        let shown: Vec<_> = (0..self.machines.len())
            .map(|m| ChainId::ALL.map(|chain| self.oracle.shown(m, chain)))
            .collect();
        let supplies = self.oracle.supplies();
        let validators = self.validators_in_words();
        format!(
            "not settled in time: {waiting} transactions wait, heights {shown:?}, {supplies:?}, {validators}"
        )
    }

    /// Every lock was minted once and every unlock released once, to the unit.
    pub fn check_totals(&mut self) {
        let all = self.at_genesis.zip(self.oracle.supplies());
        let ((alpha_0, delta_0), (alpha, delta)) = all.expect("settled means that both opened");
        let crossed = |chain| self.crossed_units.get(&chain).copied().unwrap_or(0);
        let (locked, unlocked) = (crossed(ChainId::Alpha), crossed(ChainId::Delta));
        let as_sent = alpha.locked_total_units - alpha_0.locked_total_units == locked
            && delta.minted_total_units - delta_0.minted_total_units == locked
            && delta.burned_total_units - delta_0.burned_total_units == unlocked
            && alpha.released_total_units - alpha_0.released_total_units == unlocked;
        if !as_sent {
            self.oracle.violated(format!(
                "{locked} units were locked and {unlocked} unlocked, but {alpha:?}, {delta:?}"
            ));
        }
    }
}
