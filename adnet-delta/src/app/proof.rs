//! Proofs of Delta's state for the other chain: the counterpart of `adnet_common::state_proof`.

use super::DeltaView;
use adnet_common::application::StateProof;
use adnet_common::codec::Writer;
use alloy_primitives::{Address, Bytes, U256};

/// Proves an account (20 bytes: its RLP) or a storage slot (address and slot, 52 bytes: its 32
/// bytes, absent if zero). A key of any other length gets an empty proof, which proves nothing.
pub fn prove(view: &DeltaView, key: &[u8]) -> StateProof {
    let height = view.height;
    let (Some(address), true) = (key.get(..20), key.len() == 20 || key.len() == 52) else {
        return StateProof {
            height,
            value: None,
            proof: Vec::new(),
        };
    };
    let address = Address::from_slice(address);
    let account = view.state.account(&address);
    let (value, storage_nodes) = match (key.get(20..52), account) {
        (None, account) => (
            account.map(|account| alloy_rlp::encode(account.leaf())),
            Vec::new(),
        ),
        (Some(_), None) => (None, Vec::new()),
        (Some(slot), Some(account)) => {
            let slot = U256::from_be_slice(slot);
            let value = account.slot(&slot);
            let value = (!value.is_zero()).then(|| value.to_be_bytes::<32>().to_vec());
            (value, account.storage_proof(&slot))
        }
    };
    let mut w = Writer::with_capacity(2048);
    let node = |w: &mut Writer, node: &Bytes| {
        w.bytes(node);
    };
    w.list(&view.state.account_proof(&address), node);
    w.list(&storage_nodes, node);
    StateProof {
        height,
        value,
        proof: w.finish(),
    }
}
