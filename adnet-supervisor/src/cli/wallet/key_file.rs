//! The key file: the mnemonic and where the wallet began, encrypted with a passphrase.
//!
//! The format is [age](https://age-encryption.org) with its scrypt recipient: `age -d keys.age` reads
//! it too. scrypt makes each guess at the passphrase cost about a second.

use age::{
    DecryptError,
    scrypt::{Identity, Recipient},
    secrecy::SecretString,
};
use anyhow::{Context, anyhow, bail};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::folder::Folder;

pub(super) const KEY_FILE: &str = "keys.age";
const KEY_FILE_BYTES_MAX: u64 = 64 << 10;
const VERSION: u32 = 1;
/// The most scrypt work that a file may ask for, as a power of two: 4 GiB of memory.
const WORK_FACTOR_MAX: u8 = 22;

/// What the key file holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyFile {
    version: u32,
    /// 24 words of BIP-39.
    pub mnemonic: String,
    /// No block before it concerns this wallet.
    pub birthday_height: u64,
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        self.mnemonic.zeroize();
    }
}

/// The passphrase is not the one that the file was encrypted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("wrong passphrase")]
pub(super) struct WrongPassphrase;

impl KeyFile {
    pub fn new(mnemonic: &str, birthday_height: u64) -> Self {
        KeyFile {
            version: VERSION,
            mnemonic: mnemonic.to_owned(),
            birthday_height,
        }
    }

    /// Stores it where no key file is yet.
    pub fn create(&self, folder: &Folder, passphrase: SecretString) -> anyhow::Result<()> {
        folder.create(KEY_FILE, &self.encrypt(passphrase)?)?;
        Ok(())
    }

    /// Stores it under another passphrase.
    pub fn replace(&self, folder: &Folder, passphrase: SecretString) -> anyhow::Result<()> {
        let encrypted = self.encrypt(passphrase.clone())?;
        // The old file is gone after this, so the new one must be readable.
        let reread = Self::decrypt(&encrypted, passphrase).context("the new key file")?;
        if reread.mnemonic != self.mnemonic {
            bail!("the new key file does not hold what was put in; the old one is kept");
        }
        folder.replace(KEY_FILE, &encrypted)?;
        Ok(())
    }

    pub fn load(folder: &Folder, passphrase: SecretString) -> anyhow::Result<Self> {
        let path = folder.path_of(KEY_FILE);
        let bytes = folder.read(KEY_FILE, KEY_FILE_BYTES_MAX)?.ok_or_else(|| {
            anyhow!(
                "{} does not exist: this wallet sees and cannot spend",
                path.display()
            )
        })?;
        Self::decrypt(&bytes, passphrase).with_context(|| path.display().to_string())
    }

    fn encrypt(&self, passphrase: SecretString) -> anyhow::Result<Vec<u8>> {
        let json = serde_json::to_vec(self).expect("a struct of plain fields serialises");
        let json = Zeroizing::new(json);
        Ok(age::encrypt(&Recipient::new(passphrase), &json)?)
    }

    fn decrypt(bytes: &[u8], passphrase: SecretString) -> anyhow::Result<Self> {
        let mut identity = Identity::new(passphrase);
        identity.set_max_work_factor(WORK_FACTOR_MAX);
        let json = age::decrypt(&identity, bytes).map_err(|error| match error {
            DecryptError::DecryptionFailed
            | DecryptError::NoMatchingKeys
            | DecryptError::KeyDecryptionFailed => anyhow::Error::from(WrongPassphrase),
            other => anyhow!("it is damaged: {other}"),
        })?;
        let json = Zeroizing::new(json);
        // A message of serde_json may quote what it read.
        let file: KeyFile = serde_json::from_slice(&json)
            .map_err(|_| anyhow!("it holds something else than a wallet's keys"))?;
        match file.version {
            VERSION => Ok(file),
            other => bail!("it has version {other}, this release reads version {VERSION}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str = "legal winner thank year wave sausage worth useful";

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[test]
    fn a_key_file_opens_with_its_passphrase_only() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = Folder::make(dir.path()).expect("made");
        let keys = KeyFile::new(WORDS, 7);
        keys.create(&folder, secret("first passphrase"))
            .expect("created");
        let again = keys.create(&folder, secret("first passphrase"));
        assert!(again.is_err(), "a key file is never overwritten");
        let bytes = folder.read(KEY_FILE, 10_000).expect("read").expect("there");
        assert!(bytes.starts_with(b"age-encryption.org/v1\n-> scrypt "));
        assert!(!bytes.windows(6).any(|part| part == b"winner"));

        let wrong = KeyFile::load(&folder, secret("another"))
            .err()
            .expect("wrong");
        assert!(
            wrong.downcast_ref::<WrongPassphrase>().is_some(),
            "{wrong:#}"
        );
        keys.replace(&folder, secret("second passphrase"))
            .expect("replaced");
        assert!(KeyFile::load(&folder, secret("first passphrase")).is_err());
        let loaded = KeyFile::load(&folder, secret("second passphrase")).expect("loaded");
        assert_eq!(
            (loaded.mnemonic.as_str(), loaded.birthday_height),
            (WORDS, 7)
        );
    }

    #[test]
    fn damage_is_told_from_a_wrong_passphrase() {
        let keys = KeyFile::new(WORDS, 0);
        let whole = keys.encrypt(secret("a passphrase")).expect("encrypted");
        for wrong in [
            &b""[..],
            b"age-encryption.org/v1\n",
            &whole[..whole.len() - 1],
        ] {
            let error = KeyFile::decrypt(wrong, secret("a passphrase")).err();
            let error = error.expect("it is damaged");
            assert!(
                error.downcast_ref::<WrongPassphrase>().is_none(),
                "{error:#}"
            );
        }
    }
}
