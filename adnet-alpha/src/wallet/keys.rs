//! All keys of an account, from one seed.
//!
//! ```text
//! pool    ZIP-32      m/32'/8888'/account'        notes of the shielded pool
//! alpha   SLIP-0010   m/44'/8888'/account'        ed25519, the public account on Alpha
//! delta   BIP-44      m/44'/60'/0'/0/account      secp256k1, the account on Delta
//! ```
//!
//! [`SpendingKeys`] sign; [`ViewingKeys`] see everything and can spend nothing, and scanning needs
//! only them.

use std::fmt;

use adnet_common::keys::{AlphaAddress, EvmAddress, KeyKind, SecretKey};
use alloy_primitives::keccak256;
use bip32::{ChildNumber, XPrv};
use hmac::{Hmac, Mac};
use orchard::keys::{FullViewingKey, Scope, SpendAuthorizingKey, SpendingKey};
use serde::{Deserialize, Serialize};
use sha2::Sha512;
use zeroize::Zeroizing;
use zip32::AccountId;

use super::mnemonic::Seed;
use super::viewing_key::PoolViewingKey;
use crate::pool::address::ShieldedAddress;

/// The coin type in every derivation path of Alpha.
pub const COIN_TYPE: u32 = 8888;
const HARDENED: u32 = 1 << 31;

/// Why there are no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("account {0} does not exist: accounts are numbered from 0 to 2147483647")]
    Account(u32),
    /// Has a chance of 2^-127 per account.
    #[error("the seed has no valid key for account {0}: use the next account")]
    Unlucky(u32),
}

/// Everything that can spend of one account.
pub struct SpendingKeys {
    account: u32,
    pool: SpendingKey,
    alpha: SecretKey,
    delta: SecretKey,
    viewing: ViewingKeys,
}

/// What sees everything of one account and spends nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewingKeys {
    pub pool: PoolViewingKey,
    /// The account's public address on Alpha.
    pub alpha: AlphaAddress,
    /// Its address on Delta.
    pub delta: EvmAddress,
}

impl SpendingKeys {
    pub fn derive(seed: &Seed, account: u32) -> Result<Self, KeyError> {
        let zip32 = AccountId::try_from(account).map_err(|_| KeyError::Account(account))?;
        let unlucky = KeyError::Unlucky(account);
        let pool = SpendingKey::from_zip32_seed(seed.expose(), COIN_TYPE, zip32);
        let pool = pool.map_err(|_| unlucky)?;
        let path = [44, COIN_TYPE, account].map(|index| index | HARDENED);
        let (alpha, _) = slip10_ed25519(seed.expose(), &path);
        let alpha = SecretKey::from_bytes(KeyKind::Alpha, &alpha);
        let alpha = alpha.expect("any 32 bytes are an ed25519 seed");
        let (delta, delta_address) = delta_key(seed.expose(), account).map_err(|_| unlucky)?;
        let public = alpha
            .ed25519_public()
            .expect("an Alpha key is an ed25519 key");
        let viewing = ViewingKeys {
            pool: PoolViewingKey::from(FullViewingKey::from(&pool)),
            alpha: public.into(),
            delta: delta_address,
        };
        Ok(Self {
            account,
            pool,
            alpha,
            delta,
            viewing,
        })
    }

    pub fn account(&self) -> u32 {
        self.account
    }

    /// Signs for the public account on Alpha.
    pub fn alpha(&self) -> &SecretKey {
        &self.alpha
    }

    /// Signs for the account on Delta.
    pub fn delta(&self) -> &SecretKey {
        &self.delta
    }

    pub fn viewing(&self) -> &ViewingKeys {
        &self.viewing
    }

    pub(super) fn spend_authority(&self) -> SpendAuthorizingKey {
        SpendAuthorizingKey::from(&self.pool)
    }
}

impl fmt::Debug for SpendingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpendingKeys(account {}, hidden)", self.account)
    }
}

impl ViewingKeys {
    /// The shielded address with this number. All numbers belong to one account, and nobody else
    /// can tell that two of them do.
    pub fn shielded_address(&self, index: u32) -> ShieldedAddress {
        self.pool.key().address_at(index, Scope::External).into()
    }

    /// The number of one of the account's own shielded addresses that was given to others.
    pub fn address_index(&self, address: &ShieldedAddress) -> Option<u128> {
        let ivk = self.pool.key().to_ivk(Scope::External);
        ivk.diversifier_index(&address.orchard()).map(u128::from)
    }
}

/// Keys and chain codes down a path of hardened children (SLIP-0010 has no others for ed25519).
fn slip10_ed25519(seed: &[u8], path: &[u32]) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
    let digest = |key: &[u8], parts: &[&[u8]]| {
        let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(part);
        }
        let mut out = mac.finalize().into_bytes();
        let mut key = Zeroizing::new([0; 32]);
        let mut chain_code = Zeroizing::new([0; 32]);
        key.copy_from_slice(&out[..32]);
        chain_code.copy_from_slice(&out[32..]);
        zeroize::Zeroize::zeroize(&mut out[..]);
        (key, chain_code)
    };
    let mut node = digest(b"ed25519 seed", &[seed]);
    for index in path {
        let (key, chain_code) = &node;
        node = digest(&chain_code[..], &[&[0], &key[..], &index.to_be_bytes()]);
    }
    node
}

fn delta_key(seed: &[u8], account: u32) -> Result<(SecretKey, EvmAddress), bip32::Error> {
    let mut node = XPrv::new(seed)?;
    for (index, hardened) in [
        (44, true),
        (60, true),
        (0, true),
        (0, false),
        (account, false),
    ] {
        node = node.derive_child(ChildNumber::new(index, hardened)?)?;
    }
    let secret = Zeroizing::new(node.to_bytes());
    let secret = SecretKey::from_bytes(KeyKind::Delta, &secret);
    let secret = secret.expect("BIP-32 gives scalars of the group");
    let point = node.private_key().verifying_key().to_sec1_point(false);
    // The address is the end of the hash of both coordinates, without the byte that says so.
    let hash = keccak256(&point.as_bytes()[1..]);
    let address = hash[12..].try_into().expect("20 of 32 bytes");
    Ok((secret, EvmAddress(address)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wallet::mnemonic::Mnemonic;

    const ART: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
        abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
        abandon abandon abandon art";

    fn keys(account: u32) -> SpendingKeys {
        let seed = Mnemonic::parse(ART).expect("a published mnemonic").seed();
        SpendingKeys::derive(&seed, account).expect("has keys")
    }

    fn hardened(path: &[u32]) -> Vec<u32> {
        path.iter().map(|index| index | HARDENED).collect()
    }

    /// SLIP-0010, test vectors 1 and 2 for ed25519: path, chain code, key.
    #[test]
    fn alphas_path_is_slip_0010() {
        let one = "000102030405060708090a0b0c0d0e0f";
        let two = "fffcf9f6f3f0edeae7e4e1dedbd8d5d2cfccc9c6c3c0bdbab7b4b1aeaba8a5a2\
            9f9c999693908d8a8784817e7b7875726f6c696663605d5a5754514e4b484542";
        let vectors: [(&str, &[u32], &str, &str); 8] = [
            (
                one,
                &[],
                "90046a93de5380a72b5e45010748567d5ea02bbf6522f979e05c0d8d8ca9fffb",
                "2b4be7f19ee27bbf30c667b642d5f4aa69fd169872f8fc3059c08ebae2eb19e7",
            ),
            (
                one,
                &[0],
                "8b59aa11380b624e81507a27fedda59fea6d0b779a778918a2fd3590e16e9c69",
                "68e0fe46dfb67e368c75379acec591dad19df3cde26e63b93a8e704f1dade7a3",
            ),
            (
                one,
                &[0, 1],
                "a320425f77d1b5c2505a6b1b27382b37368ee640e3557c315416801243552f14",
                "b1d0bad404bf35da785a64ca1ac54b2617211d2777696fbffaf208f746ae84f2",
            ),
            (
                one,
                &[0, 1, 2],
                "2e69929e00b5ab250f49c3fb1c12f252de4fed2c1db88387094a0f8c4c9ccd6c",
                "92a5b23c0b8a99e37d07df3fb9966917f5d06e02ddbd909c7e184371463e9fc9",
            ),
            (
                one,
                &[0, 1, 2, 2],
                "8f6d87f93d750e0efccda017d662a1b31a266e4a6f5993b15f5c1f07f74dd5cc",
                "30d1dc7e5fc04c31219ab25a27ae00b50f6fd66622f6e9c913253d6511d1e662",
            ),
            (
                one,
                &[0, 1, 2, 2, 1_000_000_000],
                "68789923a0cac2cd5a29172a475fe9e0fb14cd6adb5ad98a3fa70333e7afa230",
                "8f94d394a8e8fd6b1bc2f3f49f5c47e385281d5c17e65324b0f62483e37e8793",
            ),
            (
                two,
                &[],
                "ef70a74db9c3a5af931b5fe73ed8e1a53464133654fd55e7a66f8570b8e33c3b",
                "171cb88b1b3c1db25add599712e36245d75bc65a1a5c9e18d76f9f2b1eab4012",
            ),
            (
                two,
                &[0],
                "0b78a3226f915c082bf118f83618a618ab6dec793752624cbeb622acb562862d",
                "1559eb2bbec5790b0c65d8693e4d0875b1747f4970ae8b650486ed7470845635",
            ),
        ];
        for (seed, path, chain_code, key) in vectors {
            let seed = hex::decode(seed).expect("hex");
            let (got_key, got_code) = slip10_ed25519(&seed, &hardened(path));
            assert_eq!(hex::encode(got_code.as_slice()), chain_code, "{path:?}");
            assert_eq!(hex::encode(got_key.as_slice()), key, "{path:?}");
        }
    }

    /// The accounts of the mnemonic that every tool for Ethereum begins with.
    #[test]
    fn deltas_path_is_bip_44() {
        let junk = "test test test test test test test test test test test junk";
        let junk = bip39::Mnemonic::parse(junk).expect("a known mnemonic");
        let expected = [
            (
                "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
                "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
            ),
            (
                "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
                "0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
            ),
        ];
        for (account, (secret, address)) in (0..).zip(expected) {
            let (key, got) = delta_key(&junk.to_seed(""), account).expect("has keys");
            assert_eq!(key.to_hex().as_str(), secret);
            assert_eq!(got.to_string(), address);
        }
    }

    #[test]
    fn accounts_are_apart_and_come_again() {
        let (zero, one) = (keys(0), keys(1));
        assert_eq!(zero.viewing(), keys(0).viewing());
        assert_ne!(zero.viewing().pool, one.viewing().pool);
        assert_ne!(zero.viewing().alpha, one.viewing().alpha);
        assert_ne!(zero.viewing().delta, one.viewing().delta);
        let seed = Mnemonic::generate().seed();
        let none = SpendingKeys::derive(&seed, 1 << 31).expect_err("not a ZIP-32 account");
        assert_eq!(none, KeyError::Account(1 << 31));
    }

    #[test]
    fn own_addresses_are_known_by_number() {
        let (zero, one) = (keys(0), keys(1));
        for index in [0, 1, 77, u32::MAX] {
            let address = zero.viewing().shielded_address(index);
            assert_eq!(zero.viewing().address_index(&address), Some(index.into()));
            assert_eq!(one.viewing().address_index(&address), None);
        }
    }

    #[test]
    fn viewing_keys_survive_json_and_nothing_secret_is_printed() {
        let keys = keys(0);
        let json = serde_json::to_string(keys.viewing()).expect("serialises");
        let back: ViewingKeys = serde_json::from_str(&json).expect("reads");
        assert_eq!(&back, keys.viewing());
        assert_eq!(format!("{keys:?}"), "SpendingKeys(account 0, hidden)");
        let seen = format!("{json} {:?}", keys.viewing());
        for secret in [keys.alpha(), keys.delta()] {
            assert!(!seen.contains(secret.to_hex().as_str()));
        }
        assert!(!seen.contains(&hex::encode(keys.pool.to_bytes())));
    }
}
