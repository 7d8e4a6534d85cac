//! States of past blocks: as they were, and again where the node has been started anew.

use super::*;
use crate::evm::simulate::{self, Call, Outcome, Scene};
use alloy_primitives::{Bytes, keccak256};
use alloy_trie::Nibbles;
use alloy_trie::proof::verify_proof;

/// Deploys what returns the balance of the address in its calldata.
const BALANCE_OF: &[u8] = &[
    0x68, 0x5f, 0x35, 0x31, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3, 0x5f, 0x52, 0x60, 0x09, 0x60, 0x17,
    0xf3,
];

#[test]
fn states_of_past_blocks_stay_as_they_were() {
    let mut chain = Chain::new(dev_genesis());
    let known = Address::repeat_byte(5);
    let mut roots = vec![chain.root];
    for nonce in 0..6 {
        let transfer = chain.transfer(0, nonce, known, wei(nonce + 1));
        chain.block(&[transfer], &[]);
        roots.push(chain.root);
    }
    let view = chain.app.view();
    for (height, root) in (0u64..).zip(&roots) {
        let past = view.at(height).expect("the state is kept");
        assert_eq!(past.height, height);
        assert_eq!(Hash(past.state.root().0), *root);
        let sum: u64 = (1..=height).sum();
        let account = past.state.account(&known);
        assert_eq!(account.map_or(U256::ZERO, |a| a.balance), wei(sum));
        let leaf = account.map(|account| alloy_rlp::encode(account.leaf()));
        let proof = past.state.account_proof(&known);
        let path = Nibbles::unpack(keccak256(known));
        verify_proof(past.state.root(), path, leaf, &proof).expect("the proof leads to that root");
        let older = past.at(0).expect("a past view knows the same states");
        assert_eq!(Hash(older.state.root().0), roots[0]);
    }
    assert!(view.at(7).is_none(), "there is no such block yet");
    let reopened = chain.reopen().view();
    assert_eq!(reopened.first_kept(), 0);
    for (height, root) in (0u64..).zip(&roots) {
        let past = reopened
            .at(height)
            .expect("what blocks have changed is stored");
        assert_eq!(Hash(past.state.root().0), *root);
        let before = view.at(height).expect("the state is kept");
        assert_eq!(past.validators, before.validators);
        for number in 0..=height {
            assert_eq!(past.hashes.get(number), before.hashes.get(number));
        }
    }
}

#[test]
fn calls_at_past_blocks_see_their_state() {
    let mut chain = Chain::new(dev_genesis());
    let known = Address::repeat_byte(5);
    let (envelope, code) = (chain.envelope(0, 200_000), Bytes::from_static(BALANCE_OF));
    let deploy = tx::sign_deploy(&secret(1), envelope, U256::ZERO, code);
    let deploy = chain.verified(&deploy.expect("signed"));
    let made = chain.block(&[deploy], &[]);
    let contract = made.receipts[0].contract.expect("it was deployed");
    for nonce in 0..3 {
        let transfer = chain.transfer(0, nonce, known, wei(10));
        chain.block(&[transfer], &[]);
    }
    let (running, reopened) = (chain.app.view(), chain.reopen().view());
    let views = [&running, &reopened];
    let each = views.map(|view| (1..=chain.height).map(move |height| (view, height)));
    for (view, height) in each.into_iter().flatten() {
        let past = view.at(height).expect("the state is kept");
        let place = simulate::next_place(&past, Hash::ZERO, 0);
        let call = Call {
            to: Some(contract),
            data: Bytes::copy_from_slice(known.into_word().as_slice()),
            ..Call::default()
        };
        let scene = Scene {
            view: past,
            place,
            block: Default::default(),
        };
        let outcome = simulate::call(&scene, &call).expect("the call is valid");
        let Outcome::Success { output, .. } = outcome else {
            panic!("the call succeeds: {outcome:?}");
        };
        assert_eq!(U256::from_be_slice(&output), wei(10 * (height - 1)));
    }
    for view in views {
        let before = view.at(0).expect("the state is kept");
        assert!(before.state.account(&contract).is_none());
    }
}
