//! A wallet that is open: its directory is ours, its state is in memory.
//!
//! ```text
//! keys.age       the mnemonic, encrypted: needed to spend, and for nothing else
//! viewing.json   the viewing keys: to scan without a passphrase
//! state.json     what was scanned, and what is pending
//! ```
//!
//! Each file can be made again from the one above it (and the chain), so the first is all that a
//! backup needs.

use adnet_alpha::{
    pool::tree::NoteTree,
    wallet::{
        Birthday, BlockRef, Network, Wallet,
        keys::{SpendingKeys, ViewingKeys},
        mnemonic::Mnemonic,
    },
};
use age::secrecy::SecretString;
use anyhow::{Context, anyhow, bail};

use super::{
    folder::{Folder, FolderError},
    key_file::{KEY_FILE, KeyFile},
    node::{NetworkFacts, NodeClient},
    options::WalletArgs,
    viewing_file::{VIEWING_FILE, ViewingFile},
};

pub(super) const STATE_FILE: &str = "state.json";
const STATE_FILE_BYTES_MAX: u64 = 1 << 30;
/// All keys are those of the mnemonic's first account.
const ACCOUNT: u32 = 0;
/// Nodes keep the tree of note commitments of every height that is divisible by this.
const TREE_EVERY_BLOCKS: u64 = 64;

/// A wallet of which only the directory and the viewing keys are known yet.
pub(super) struct Session {
    pub folder: Folder,
    pub viewing: ViewingFile,
    /// Nothing until it has met a node.
    wallet: Option<Wallet>,
}

impl Session {
    /// Opens the wallet that `args` name. Asks for the passphrase only if nothing but the key file is
    /// left of it.
    pub fn open(args: &WalletArgs) -> anyhow::Result<Self> {
        let folder = Folder::open(&args.path()?)?;
        let viewing = match ViewingFile::load(&folder)? {
            Some(viewing) => viewing,
            None if folder.has(KEY_FILE) => {
                let passphrase = args.passphrase.existing()?;
                let keys = KeyFile::load(&folder, passphrase)?;
                let viewing = spending_keys(&keys)?.viewing().clone();
                let viewing = ViewingFile::new(viewing, keys.birthday_height, None);
                viewing.store(&folder)?;
                viewing
            }
            None => return Err(FolderError::NoWallet(folder.path().to_path_buf()).into()),
        };
        let state = folder.read(STATE_FILE, STATE_FILE_BYTES_MAX)?;
        let wallet = state.map(|bytes| Wallet::from_json(&bytes)).transpose();
        let wallet = wallet.with_context(|| {
            let path = folder.path_of(STATE_FILE);
            format!(
                "{} is damaged; move it away, and `adnet wallet scan` makes it anew",
                path.display()
            )
        })?;
        let of_other_keys = |wallet: &Wallet| *wallet.viewing() != viewing.keys;
        if wallet.as_ref().is_some_and(of_other_keys) {
            bail!(
                "{STATE_FILE} and {VIEWING_FILE} in {} are of different wallets; move {STATE_FILE} \
                 away, and `adnet wallet scan` makes it anew",
                folder.path().display()
            );
        }
        Ok(Session {
            folder,
            viewing,
            wallet,
        })
    }

    /// Makes a wallet in a directory that has none.
    pub fn create(
        folder: Folder,
        mnemonic: &Mnemonic,
        passphrase: SecretString,
        birthday_height: u64,
        network: Option<Network>,
    ) -> anyhow::Result<Self> {
        let keys = KeyFile::new(&mnemonic.phrase(), birthday_height);
        let viewing = spending_keys(&keys)?.viewing().clone();
        let viewing = ViewingFile::new(viewing, birthday_height, network);
        // The keys first: all else can be made from them.
        keys.create(&folder, passphrase)?;
        viewing.store(&folder)?;
        Ok(Session {
            folder,
            viewing,
            wallet: None,
        })
    }

    /// Makes a wallet that only watches.
    pub fn create_watching(folder: Folder, viewing: ViewingFile) -> anyhow::Result<Self> {
        viewing.store(&folder)?;
        Ok(Session {
            folder,
            viewing,
            wallet: None,
        })
    }

    pub fn keys(&self) -> &ViewingKeys {
        &self.viewing.keys
    }

    pub fn is_watching_only(&self) -> bool {
        !self.folder.has(KEY_FILE)
    }

    /// What can spend, for the passphrase.
    pub fn unlock(&self, passphrase: SecretString) -> anyhow::Result<SpendingKeys> {
        let keys = spending_keys(&KeyFile::load(&self.folder, passphrase)?)?;
        if keys.viewing() != self.keys() {
            bail!(
                "{KEY_FILE} and {VIEWING_FILE} in {} are of different wallets",
                self.folder.path().display()
            );
        }
        Ok(keys)
    }

    /// What was scanned so far.
    pub fn known(&self) -> Option<&Wallet> {
        self.wallet.as_ref()
    }

    /// The state, for the network that the node is part of. The first time, it begins at the birthday.
    pub fn wallet(
        &mut self,
        node: &NodeClient,
        facts: &NetworkFacts,
    ) -> anyhow::Result<&mut Wallet> {
        if let Some(known) = self
            .viewing
            .network
            .as_ref()
            .filter(|n| n.genesis != facts.genesis)
        {
            bail!(
                "this wallet is for the network `{}` (genesis {}), and {} is a node of `{}` (genesis \
                 {}): name another node by --node, or another wallet by --wallet",
                known.name,
                known.genesis,
                node.url(),
                facts.name,
                facts.genesis
            );
        }
        if self.wallet.is_none() {
            let network = Network {
                name: facts.name.clone(),
                genesis: facts.genesis,
            };
            let birthday = birthday(node, self.viewing.birthday_height)?;
            let wallet = Wallet::new(network.clone(), self.viewing.keys.clone(), birthday)?;
            self.viewing.network = Some(network);
            self.viewing.store(&self.folder)?;
            self.wallet = Some(wallet);
            self.save()?;
        }
        let wallet = self.wallet.as_mut().expect("it was made above");
        wallet.check_network(&facts.genesis)?;
        Ok(wallet)
    }

    /// Forgets what was scanned, and begins again at the birthday. What is pending is kept: it may
    /// still come.
    pub fn begin_again(&mut self, node: &NodeClient, facts: &NetworkFacts) -> anyhow::Result<()> {
        let birthday = birthday(node, self.viewing.birthday_height)?;
        self.wallet(node, facts)?.restart(birthday)?;
        self.save()
    }

    /// Writes the state durably.
    pub fn save(&self) -> anyhow::Result<()> {
        if let Some(wallet) = &self.wallet {
            self.folder
                .replace(STATE_FILE, wallet.to_json().as_bytes())?;
        }
        Ok(())
    }
}

/// Where to begin so that nothing from `height` on is missed: the nearest tree before it that nodes
/// keep.
pub(super) fn birthday(node: &NodeClient, height: u64) -> anyhow::Result<Birthday> {
    // The tree after a block is where the next one begins.
    let height = height.saturating_sub(1);
    let kept = height - height % TREE_EVERY_BLOCKS;
    let tree = match node.tree(kept)? {
        Some(tree) => tree,
        // A node that began with a recent state has the trees of recent heights only.
        None => node.tree(height)?.ok_or_else(|| missing(node, height))?,
    };
    let notes = NoteTree::decode(&tree.frontier)
        .with_context(|| format!("{} gave a broken tree of note commitments", node.url()))?;
    Ok(Birthday {
        block: BlockRef {
            height: tree.height,
            hash: tree.block_hash,
        },
        tree: notes,
    })
}

fn missing(node: &NodeClient, height: u64) -> anyhow::Error {
    match node.tip() {
        Ok(tip) if tip < height => anyhow!(
            "{} is at block {tip} and this wallet begins at {height}: wait until the node has caught \
             up, or name another by --node",
            node.url()
        ),
        Ok(_) => anyhow!(
            "{} does not have the blocks from {height} on, where this wallet begins: name a node with \
             the whole history by --node, or restore the wallet with a later --birthday",
            node.url()
        ),
        Err(error) => error,
    }
}

fn spending_keys(file: &KeyFile) -> anyhow::Result<SpendingKeys> {
    let mnemonic = Mnemonic::parse(&file.mnemonic).context("the words in the key file")?;
    Ok(SpendingKeys::derive(&mnemonic.seed(), ACCOUNT)?)
}
