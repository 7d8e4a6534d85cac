//! The 24 words (BIP-39) from which every key of a wallet comes.

use std::fmt;

use bip39::Language;
use rand::Rng;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

/// Words of every mnemonic: 256 bits of entropy.
pub const WORDS: usize = 24;

/// 24 words, wiped when dropped and never printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Mnemonic(bip39::Mnemonic);

/// What the words stand for (BIP-39, without a passphrase): the root of all keys.
#[derive(Clone)]
pub struct Seed(Zeroizing<[u8; 64]>);

/// Why a text is no mnemonic. Names at most one wrong word, never a right one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MnemonicError {
    #[error("a mnemonic has 24 words, these are {0}")]
    WordCount(usize),
    #[error("word {number}, `{word}`, is not in the word list{}", .meant.map_or_else(String::new, |m| format!(" (did you mean `{m}`?)")))]
    UnknownWord {
        /// Counted from 1.
        number: usize,
        word: String,
        /// The only word of the list that begins with the same four letters.
        meant: Option<&'static str>,
    },
    #[error(
        "the words are all in the list, but their checksum is wrong: a word is misspelt into another one, or two are swapped"
    )]
    Checksum,
}

impl Mnemonic {
    /// 24 new words from the kernel's random source.
    pub fn generate() -> Self {
        let mut entropy = Zeroizing::new([0; 32]);
        UnwrapErr(SysRng).fill_bytes(&mut entropy[..]);
        let words = bip39::Mnemonic::from_entropy(&entropy[..]);
        Self(words.expect("256 bits of entropy are 24 words"))
    }

    /// Reads 24 words with whatever white space between them, in either case.
    pub fn parse(text: &str) -> Result<Self, MnemonicError> {
        let text = Zeroizing::new(text.to_lowercase());
        let words: Vec<&str> = text.split_whitespace().collect();
        if words.len() != WORDS {
            return Err(MnemonicError::WordCount(words.len()));
        }
        for (index, word) in words.iter().enumerate() {
            if Language::English.find_word(word).is_none() {
                return Err(unknown(index + 1, word));
            }
        }
        let joined = Zeroizing::new(words.join(" "));
        match bip39::Mnemonic::parse_in_normalized(Language::English, &joined) {
            Ok(mnemonic) => Ok(Self(mnemonic)),
            Err(_) => Err(MnemonicError::Checksum),
        }
    }

    pub fn words(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.words()
    }

    /// The words with a space between them.
    pub fn phrase(&self) -> Zeroizing<String> {
        Zeroizing::new(self.words().collect::<Vec<_>>().join(" "))
    }

    pub fn seed(&self) -> Seed {
        Seed(Zeroizing::new(self.0.to_seed_normalized("")))
    }
}

impl Seed {
    pub(super) fn expose(&self) -> &[u8; 64] {
        &self.0
    }
}

fn unknown(number: usize, word: &str) -> MnemonicError {
    // The first four letters tell any two words of the list apart.
    let stem: String = word.chars().take(4).collect();
    let mut like = (Language::English.word_list().iter())
        .filter(|known| stem.len() >= 3 && known.starts_with(&stem));
    let meant = like.next().copied().filter(|_| like.next().is_none());
    // A word of a mnemonic is short; what is long is something else, and is not repeated.
    let word = word.chars().take(16).collect();
    MnemonicError::UnknownWord {
        number,
        word,
        meant,
    }
}

impl fmt::Debug for Mnemonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mnemonic(hidden)")
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ART: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
        abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
        abandon abandon abandon art";

    #[test]
    fn new_words_differ_and_are_read_back() {
        let (one, other) = (Mnemonic::generate(), Mnemonic::generate());
        assert_ne!(one, other);
        assert_eq!(one.words().count(), WORDS);
        assert_eq!(Mnemonic::parse(&one.phrase()), Ok(one.clone()));
        let loud = format!("  {}\n", one.phrase().to_uppercase().replace(' ', "\n \t"));
        assert_eq!(Mnemonic::parse(&loud), Ok(one));
    }

    /// From the published vectors of BIP-39 (trezor/python-mnemonic), there with a passphrase; the
    /// seed without one is Ian Coleman's.
    #[test]
    fn the_seed_is_bip_39s() {
        let seed = Mnemonic::parse(ART).expect("a published vector").seed();
        let expected = "408b285c123836004f4b8842c89324c1f01382450c0d439af345ba7fc49acf70\
            5489c6fc77dbd4e3dc1dd8cc6bc9f043db8ada1e243c4a0eafb290d399480840";
        assert_eq!(hex::encode(seed.expose()), expected);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |at: usize, word: &str| {
            let mut words: Vec<&str> = ART.split(' ').filter(|w| !w.is_empty()).collect();
            words[at] = word;
            Mnemonic::parse(&words.join(" ")).expect_err("a wrong word")
        };
        let unknown = |number, word: &str, meant| MnemonicError::UnknownWord {
            number,
            word: word.into(),
            meant,
        };
        assert_eq!(with(4, "zooo"), unknown(5, "zooo", None));
        assert_eq!(
            with(0, "abandun"),
            unknown(1, "abandun", Some("abandon")),
            "four letters are enough"
        );
        assert_eq!(with(23, "abandon"), MnemonicError::Checksum);
        assert_eq!(Mnemonic::parse(""), Err(MnemonicError::WordCount(0)));
        let many = "zoo ".repeat(1000);
        assert_eq!(Mnemonic::parse(&many), Err(MnemonicError::WordCount(1000)));
        let text = with(4, "zooo").to_string();
        assert_eq!(text, "word 5, `zooo`, is not in the word list");
    }

    #[test]
    fn nothing_secret_is_printed() {
        let mnemonic = Mnemonic::parse(ART).expect("a published vector");
        assert_eq!(format!("{mnemonic:?}"), "Mnemonic(hidden)");
        assert_eq!(format!("{:?}", mnemonic.seed()), "Seed(hidden)");
    }
}
