//! An account: nonce, balance, code, and a storage trie of its own.

use super::trie::{Leaf, Trie};
use alloy_primitives::{B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_rlp::Encodable;
use alloy_trie::TrieAccount;
use revm::bytecode::Bytecode;

/// Code that is not empty, with its hash. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct Code {
    hash: B256,
    bytecode: Bytecode,
}

impl Code {
    /// `None` for the empty code.
    pub fn new(hash: B256, bytecode: Bytecode) -> Option<Self> {
        (hash != KECCAK256_EMPTY).then_some(Self { hash, bytecode })
    }

    pub fn hash(&self) -> B256 {
        self.hash
    }

    pub fn bytecode(&self) -> &Bytecode {
        &self.bytecode
    }

    /// The code as it was deployed.
    pub fn bytes(&self) -> Bytes {
        self.bytecode.original_bytes()
    }
}

/// See the module. The default is the account that does not exist.
#[derive(Clone, Debug, Default)]
pub struct Account {
    pub nonce: u64,
    /// In wei.
    pub balance: U256,
    pub code: Option<Code>,
    storage: Trie<U256>,
}

impl Account {
    /// An account with the storage that it already has.
    pub fn new(nonce: u64, balance: U256, code: Option<Code>, storage: Trie<U256>) -> Self {
        Self {
            nonce,
            balance,
            code,
            storage,
        }
    }

    /// Whether the account is as good as absent (EIP-161).
    pub fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && self.code.is_none()
    }

    pub fn code_hash(&self) -> B256 {
        self.code.as_ref().map_or(KECCAK256_EMPTY, Code::hash)
    }

    pub fn slot(&self, slot: &U256) -> U256 {
        self.slot_at(&slot_path(slot))
    }

    /// The slot with this path.
    pub fn slot_at(&self, path: &B256) -> U256 {
        self.storage.get(path).copied().unwrap_or_default()
    }

    /// Sets the slot with this path; zero removes it.
    pub fn set_slot(&mut self, path: &B256, value: U256) {
        if value.is_zero() {
            self.storage.remove(path);
        } else {
            self.storage.insert(path, value);
        }
    }

    pub fn has_storage(&self) -> bool {
        !self.storage.is_empty()
    }

    pub fn clear_storage(&mut self) {
        self.storage = Trie::default();
    }

    pub fn storage(&self) -> &Trie<U256> {
        &self.storage
    }

    pub fn storage_root(&self) -> B256 {
        self.storage.root()
    }

    /// Trie nodes that prove the slot, or that it is zero.
    pub fn storage_proof(&self, slot: &U256) -> Vec<Bytes> {
        self.storage.proof(&slot_path(slot))
    }

    /// The account as its leaf holds it (yellow paper, section 4.1).
    pub fn leaf(&self) -> TrieAccount {
        TrieAccount::new(
            self.nonce,
            self.balance,
            self.storage_root(),
            self.code_hash(),
        )
    }
}

/// Where a slot stands in the storage trie of its account.
pub fn slot_path(slot: &U256) -> B256 {
    keccak256(slot.to_be_bytes::<32>())
}

impl Leaf for Account {
    fn encode_leaf(&self, out: &mut Vec<u8>) {
        self.leaf().encode(out);
    }
}

impl Leaf for TrieAccount {
    fn encode_leaf(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }
}

impl Leaf for U256 {
    fn encode_leaf(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }
}
