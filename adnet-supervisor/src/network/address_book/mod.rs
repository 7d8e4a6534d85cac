//! Known peers, kept over restarts in the family `shared_peers`: where they are, how dials went, who
//! is a validator, whom to dial first, and who is banned.
//!
//! The judgement is in [`Book`] and knows neither clock nor disk; this file gives it both. Changes
//! are written together every few seconds and at the end. Losing the last ones costs a dial.

mod book;
mod buckets;
mod choose;
mod entry;
mod keys;

#[cfg(test)]
pub(in crate::network) mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use adnet_common::store::{Family, ReadStore, StoreError, Write, scan_all};

use tokio::{task::spawn_blocking, time::sleep};

pub use book::Book;
pub use choose::fits;
pub use entry::Entry;

use super::{
    identity::PeerId,
    reputation::{Ban, Reputation},
    unix_ms,
};
use crate::store::Store;
use buckets::Placing;
use keys::Key;

/// Between two writings.
const SAVE_PAUSE: Duration = Duration::from_secs(10);
/// Bans that are kept at most; the ones that end first go first.
const BANS_MAX: usize = 4096;

/// The book of a running node, for both chains.
pub struct AddressBook {
    book: Mutex<Book>,
    /// Until when whom, for the next writing; `None` where it is written.
    bans: Mutex<BTreeMap<PeerId, (Ban, bool)>>,
    /// Where it is kept. Without, it lasts as long as the process.
    store: Option<Store>,
}

impl AddressBook {
    /// Reads what earlier runs have left, and gives the bans that stand to `reputation`.
    ///
    /// # Errors
    /// The store failed. What cannot be decoded is forgotten.
    pub fn open(
        store: Option<Store>,
        is_private: bool,
        reputation: &Reputation,
        now_ms: u64,
    ) -> Result<Self, StoreError> {
        let secret = match &store {
            Some(store) => secret_of(store)?,
            None => fresh_secret(),
        };
        let mut book = Book::new(Placing { secret, is_private });
        let mut bans = BTreeMap::new();
        let mut forgotten = Vec::new();
        if let Some(store) = &store {
            let (from, to) = Key::range();
            scan_all(store, Family::SharedPeers, from, to, |key, value| {
                match Key::decode(&key) {
                    Some(Key::Secret) => {}
                    Some(Key::Peer(peer)) => match Entry::decode(&value) {
                        Ok(entry) if entry.node.peer == peer => book.restore(entry),
                        _ => forgotten.push(key),
                    },
                    Some(Key::Ban(peer)) => match keys::decode_ban(peer, &value) {
                        Ok(ban) if ban.until_ms > now_ms && bans.len() < BANS_MAX => {
                            reputation.restore(ban, now_ms);
                            bans.insert(peer, (ban, true));
                        }
                        _ => forgotten.push(key),
                    },
                    None => forgotten.push(key),
                }
                Ok::<_, StoreError>(())
            })?;
            store.write_shared(&forgotten.into_iter().map(delete).collect::<Vec<_>>())?;
        }
        Ok(Self {
            book: Mutex::new(book),
            bans: Mutex::new(bans),
            store,
        })
    }

    /// The book, for a short look or change.
    pub fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no code panics under this lock")
    }

    /// Keeps a ban over a restart.
    pub fn keep_ban(&self, ban: Ban) {
        let mut bans = self.bans.lock().expect("no code panics under this lock");
        bans.insert(ban.peer, (ban, false));
    }

    /// Writes down what has changed since the last time. Waits for the disk.
    ///
    /// # Errors
    /// The store failed.
    pub fn save(&self, now_ms: u64) -> Result<(), StoreError> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let mut writes = Vec::new();
        for (peer, entry) in self.lock().take_changes() {
            writes.push(match entry {
                Some(entry) => put(Key::Peer(peer), entry.encode()),
                None => delete(Key::Peer(peer).encode()),
            });
        }
        self.write_bans(now_ms, &mut writes);
        match writes.is_empty() {
            true => Ok(()),
            false => store.write_shared(&writes),
        }
    }

    fn write_bans(&self, now_ms: u64, writes: &mut Vec<Write>) {
        let mut bans = self.bans.lock().expect("no code panics under this lock");
        let mut over: Vec<PeerId> = bans
            .iter()
            .filter(|(_, (ban, _))| ban.until_ms <= now_ms)
            .map(|(peer, _)| *peer)
            .collect();
        if let Some(excess) = (bans.len() - over.len()).checked_sub(BANS_MAX) {
            let mut ends: Vec<(u64, PeerId)> = bans
                .iter()
                .filter(|(peer, _)| !over.contains(peer))
                .map(|(peer, (ban, _))| (ban.until_ms, *peer))
                .collect();
            ends.sort_unstable();
            over.extend(ends.into_iter().take(excess).map(|(_, peer)| peer));
        }
        for peer in over {
            bans.remove(&peer);
            writes.push(delete(Key::Ban(peer).encode()));
        }
        for (peer, (ban, is_written)) in bans.iter_mut().filter(|(_, (_, written))| !written) {
            writes.push(put(Key::Ban(*peer), keys::encode_ban(ban)));
            *is_written = true;
        }
    }
}

/// Writes changes down now and then, for as long as the network runs.
pub async fn keep(book: Arc<AddressBook>) {
    loop {
        sleep(SAVE_PAUSE).await;
        let book = book.clone();
        let saved = spawn_blocking(move || book.save(unix_ms())).await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(%error, "the address book could not be written");
        }
    }
}

fn put(key: Key, value: Vec<u8>) -> Write {
    Write::put(Family::SharedPeers, key.encode(), value)
}

fn delete(key: Vec<u8>) -> Write {
    let family = Family::SharedPeers;
    Write::Delete { family, key }
}

/// The secret by which addresses are placed, made at the first time.
fn secret_of(store: &Store) -> Result<[u8; 32], StoreError> {
    let key = Key::Secret.encode();
    let kept = store.get(Family::SharedPeers, &key)?;
    if let Some(secret) = kept.and_then(|bytes| bytes.try_into().ok()) {
        return Ok(secret);
    }
    let secret = fresh_secret();
    store.write_shared(&[put(Key::Secret, secret.to_vec())])?;
    Ok(secret)
}

fn fresh_secret() -> [u8; 32] {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).expect("the kernel gives random bytes once it has booted");
    secret
}
