//! Who votes on each chain at present, as its worker says, for everybody in the supervisor who asks.

use crate::network::ValidatorKeys;
use adnet_common::chain_id::ChainId;
use adnet_common::keys::PublicKey;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Keys and powers.
type Members = BTreeMap<PublicKey, u64>;

/// The sets of the chains that run here.
pub struct CurrentValidators {
    chains: Mutex<BTreeMap<ChainId, Members>>,
    /// Whoever votes on one of the chains, for the network.
    keys: ValidatorKeys,
}

impl CurrentValidators {
    /// `members` are those of the genesis, until a worker says otherwise.
    pub fn new(chains: &[ChainId], members: impl IntoIterator<Item = (PublicKey, u64)>) -> Self {
        let members: Members = members.into_iter().collect();
        let keys = ValidatorKeys::new(members.keys().copied());
        let chains = chains.iter().map(|chain| (*chain, members.clone()));
        Self {
            chains: Mutex::new(chains.collect()),
            keys,
        }
    }

    /// The keys on all chains together: a handle that follows every change.
    pub fn keys(&self) -> ValidatorKeys {
        self.keys.clone()
    }

    /// A chain has another set.
    pub fn set(&self, chain: ChainId, members: impl IntoIterator<Item = (PublicKey, u64)>) {
        let mut chains = self.chains.lock().expect("no panic under this lock");
        chains.insert(chain, members.into_iter().collect());
        let keys = chains.values().flat_map(BTreeMap::keys).copied();
        self.keys.replace(keys);
    }

    /// Whether this validator's vote alone makes a quorum everywhere, so that blocks wait for nobody
    /// else.
    pub fn decides_alone(&self, validator: &PublicKey) -> bool {
        let chains = self.chains.lock().expect("no panic under this lock");
        chains.values().all(|members| {
            let total: u128 = members.values().map(|power| u128::from(*power)).sum();
            let own = members.get(validator);
            own.is_some_and(|own| u128::from(*own) * 3 > total * 2)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_knows_whoever_votes_on_either_chain() {
        let [a, b, c] = [1, 2, 3].map(|n| PublicKey([n; 32]));
        let current = CurrentValidators::new(&ChainId::ALL, [(a, 1), (b, 1)]);
        let keys = current.keys();
        assert!(keys.contains(&a) && keys.contains(&b) && !current.decides_alone(&a));
        current.set(ChainId::Delta, [(a, 1), (c, u64::MAX)]);
        assert!(keys.contains(&b) && keys.contains(&c));
        current.set(ChainId::Alpha, [(a, 5)]);
        assert!(!keys.contains(&b) && !current.decides_alone(&a));
        current.set(ChainId::Delta, [(a, 5), (c, 2)]);
        assert!(current.decides_alone(&a) && !current.decides_alone(&c));
    }
}
