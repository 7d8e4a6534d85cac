//! Which key signs: a key file of the data directory, or a development account by name.
//!
//! `dev-0` to `dev-2` (and `dev-governor-0` to `dev-governor-2`) name the accounts of every
//! development network, whose secrets are public, so that a newcomer can try everything without
//! making a key. A key file of the same name wins.

use std::path::Path;

use adnet_common::{
    genesis::{DEV_ACCOUNTS, dev_alpha_seed, dev_delta_secret, dev_governor_seed},
    keys::{AlphaAddress, KeyDir, KeyFileError, KeyKind, SecretKey},
};
use adnet_delta::tx as delta_tx;

/// The key called `name` for the chain that `kind` belongs to.
pub(super) fn find(data_dir: &Path, name: &str, kind: KeyKind) -> Result<SecretKey, KeyFileError> {
    match KeyDir::of(data_dir).load_kind(name, kind) {
        Err(KeyFileError::Missing { name, path }) => {
            development_key(&name, kind).ok_or(KeyFileError::Missing { name, path })
        }
        found => found,
    }
}

/// The development account `name`, whose secret everybody knows.
fn development_key(name: &str, kind: KeyKind) -> Option<SecretKey> {
    let index = |digits: &str| digits.parse().ok().filter(|index| *index < DEV_ACCOUNTS);
    if let Some(digits) = name.strip_prefix("dev-governor-") {
        return index(digits)
            .filter(|_| kind == KeyKind::Alpha)
            .map(dev_governor_seed);
    }
    let index = index(name.strip_prefix("dev-")?)?;
    match kind {
        KeyKind::Alpha => Some(dev_alpha_seed(index)),
        KeyKind::Delta => dev_delta_secret(index),
        KeyKind::Validator | KeyKind::Node => None,
    }
}

/// How the public half of a key is called on its chain.
pub(super) fn public_name(key: &SecretKey) -> String {
    match (key.kind(), key.ed25519_public()) {
        (KeyKind::Alpha, Some(public)) => AlphaAddress::from(public).to_string(),
        (_, Some(public)) => public.to_string(),
        (_, None) => delta_tx::address(key)
            .expect("a key that is no ed25519 key is a Delta key")
            .to_string(),
    }
}

#[cfg(test)]
mod tests {
    use adnet_common::genesis::Genesis;

    use super::*;

    #[test]
    fn development_accounts_are_those_of_the_development_genesis() {
        let data_dir = tempfile::tempdir().expect("a temporary folder");
        let genesis = Genesis::dev(adnet_common::keys::PublicKey([9; 32]), 1_800_000_000_000);
        for index in 0..DEV_ACCOUNTS {
            let name = format!("dev-{index}");
            let alpha = find(data_dir.path(), &name, KeyKind::Alpha).expect("known");
            assert_eq!(
                public_name(&alpha),
                genesis.alpha.accounts[index].address.to_string()
            );
            let delta = find(data_dir.path(), &name, KeyKind::Delta).expect("known");
            let address = genesis.delta.accounts[index].address.to_string();
            assert_eq!(public_name(&delta).to_lowercase(), address);
            let name = format!("dev-governor-{index}");
            let governor = find(data_dir.path(), &name, KeyKind::Alpha).expect("known");
            assert_eq!(
                governor.ed25519_public(),
                Some(genesis.alpha.governors.keys[index])
            );
        }
        let first = find(data_dir.path(), "dev-0", KeyKind::Delta).expect("known");
        assert_eq!(
            public_name(&first),
            "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
        );
        for unknown in ["dev-3", "dev--1", "dev-x", "nobody", "dev-governor-3"] {
            assert!(
                find(data_dir.path(), unknown, KeyKind::Alpha).is_err(),
                "{unknown}"
            );
        }
    }

    #[test]
    fn a_key_file_wins_over_a_development_account() {
        let data_dir = tempfile::tempdir().expect("a temporary folder");
        let own = SecretKey::random(KeyKind::Alpha);
        KeyDir::of(data_dir.path())
            .create("dev-0", &own)
            .expect("created");
        let found = find(data_dir.path(), "dev-0", KeyKind::Alpha).expect("found");
        assert_eq!(found.expose(), own.expose());
    }
}
