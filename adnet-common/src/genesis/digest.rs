//! The identity of a network: SHA-256 over a canonical binary form of its genesis.
//!
//! Canonical: fixed-width big-endian numbers, lengths before texts and lists, lists in the order of
//! their keys. So two files that mean the same have one hash, whatever their white space or order.
//! The form is frozen by a golden test: a change of it would be another network.

use crate::{codec::Writer, hash::Hash};

use super::{AlphaGenesis, DeltaGenesis, DeltaGenesisAccount, Genesis};

const DOMAIN: &str = "adnet/genesis/v1";

impl Genesis {
    /// The hash that every header and every handshake names.
    ///
    /// # Panics
    /// If a text or list is longer than u32, which `validate` excludes by far.
    pub fn hash(&self) -> Hash {
        Hash::of(DOMAIN, &[&self.canonical_bytes()])
    }

    fn canonical_bytes(&self) -> Vec<u8> {
        let mut validators: Vec<_> = self.validators.iter().collect();
        validators.sort_by_key(|validator| validator.public_key);
        let mut out = Writer::new();
        out.u32(self.version);
        out.bytes(self.network_name.as_bytes());
        out.u32(self.network_id);
        out.u64(self.genesis_time_ms);
        out.list(&validators, |out, validator| {
            out.bytes(validator.name.as_bytes())
                .raw(&validator.public_key.0)
                .u64(validator.power);
        });
        alpha(&mut out, &self.alpha);
        delta(&mut out, &self.delta);
        out.u32(self.attestation.max_per_block);
        out.finish()
    }
}

// The patterns name every field, so a field added to the genesis does not compile until its place
// in the canonical form is decided.

fn alpha(out: &mut Writer, genesis: &AlphaGenesis) {
    let AlphaGenesis {
        block_interval_ms,
        max_lag_ms,
        max_block_bytes,
        max_block_txs,
        fee_base_units,
        fee_per_byte_units,
        fee_per_action_units,
        expiry_window_blocks,
        governors,
        accounts,
    } = genesis;
    let mut keys = governors.keys.clone();
    keys.sort();
    let mut accounts: Vec<_> = accounts.iter().collect();
    accounts.sort_by_key(|account| account.address);
    out.u64(*block_interval_ms)
        .u64(*max_lag_ms)
        .u64(*max_block_bytes)
        .u32(*max_block_txs);
    out.u64(*fee_base_units)
        .u64(*fee_per_byte_units)
        .u64(*fee_per_action_units)
        .u64(*expiry_window_blocks);
    out.u32(governors.threshold);
    out.list(&keys, |out, key| {
        out.raw(&key.0);
    });
    out.list(&accounts, |out, account| {
        out.raw(&account.address.0).u64(account.balance_units);
    });
}

fn delta(out: &mut Writer, genesis: &DeltaGenesis) {
    let DeltaGenesis {
        block_interval_ms,
        max_lag_ms,
        max_block_bytes,
        chain_id,
        block_gas_limit,
        tx_gas_limit,
        base_fee_initial_wei,
        base_fee_change_denominator,
        min_base_fee_wei,
        accounts,
        dx_transferable,
        dx_accounts,
    } = genesis;
    out.u64(*block_interval_ms)
        .u64(*max_lag_ms)
        .u64(*max_block_bytes);
    out.u64(*chain_id).u64(*block_gas_limit).u64(*tx_gas_limit);
    out.u64(*base_fee_initial_wei)
        .u64(*base_fee_change_denominator)
        .u64(*min_base_fee_wei);
    delta_accounts(out, accounts);
    out.u8(u8::from(*dx_transferable));
    delta_accounts(out, dx_accounts);
}

fn delta_accounts(out: &mut Writer, accounts: &[DeltaGenesisAccount]) {
    let mut accounts: Vec<_> = accounts.iter().collect();
    accounts.sort_by_key(|account| account.address);
    out.list(&accounts, |out, account| {
        out.raw(&account.address.0).u64(account.balance_units);
    });
}
