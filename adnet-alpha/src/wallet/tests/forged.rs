//! Blocks that no honest node sends: each is an error with a name, and leaves the wallet as it was.

use adnet_common::hash::Hash;

use super::super::*;
use super::world::{LOT, World, keys};
use crate::compact::CompactBlock;

/// A world with a wallet that has read half of it, and the blocks it has not read.
fn half_read() -> (World, Wallet, Vec<CompactBlock>) {
    let mut world = World::new(1);
    for _ in 0..3 {
        let intent = Intent::Shield {
            recipient: world.address(0, 0),
            amount_units: LOT,
            memo: Memo::none(),
        };
        world.pay(0, 0, &intent).expect("the account has it");
        world.blocks(2);
    }
    let mut wallet = world.fresh(&keys(1), 0);
    wallet.scan(&world.blocks[..3]).expect("honest");
    let rest = world.blocks[3..].to_vec();
    (world, wallet, rest)
}

#[track_caller]
fn refused(forge: impl FnOnce(&mut Vec<CompactBlock>)) -> ScanError {
    let (_, mut wallet, mut blocks) = half_read();
    let before = wallet.to_json();
    forge(&mut blocks);
    let error = wallet.scan(&blocks).expect_err("forged");
    assert_eq!(wallet.to_json(), before, "nothing of it is taken");
    error
}

#[test]
fn order_gaps_and_other_chains() {
    let (expected, given) = (4, 5);
    let gap = refused(|blocks| drop(blocks.remove(0)));
    assert_eq!(gap, ScanError::Gap { expected, given });
    let swapped = refused(|blocks| blocks.swap(0, 1));
    assert_eq!(swapped, ScanError::Gap { expected, given });
    let again = refused(|blocks| blocks[1] = blocks[0].clone());
    assert_eq!(
        again,
        ScanError::Gap {
            expected: 5,
            given: 4
        }
    );
    let other = refused(|blocks| blocks[0].parent = Hash([1; 32]));
    assert!(
        matches!(other, ScanError::OtherChain { height: 4, .. }),
        "{other}"
    );
    let inside = refused(|blocks| blocks[2].parent = Hash([1; 32]));
    assert!(
        matches!(inside, ScanError::OtherChain { height: 6, .. }),
        "{inside}"
    );
}

#[test]
fn notes_that_are_left_out_or_put_in() {
    let left_out = refused(|blocks| blocks.iter_mut().for_each(|block| block.txs.clear()));
    let position = |error| matches!(error, ScanError::Position { .. });
    assert!(position(left_out));
    assert!(position(
        refused(|blocks| blocks[0].commitments_before += 1)
    ));
    let twice = refused(|blocks| {
        let block = blocks.iter().position(|block| !block.txs.is_empty());
        let block = block.expect("one shields");
        let tx = blocks[block].txs[0].clone();
        let added = tx.actions.len() as u64;
        blocks[block].txs.push(tx);
        blocks[block + 1..]
            .iter_mut()
            .for_each(|block| block.commitments_before += added);
    });
    assert!(matches!(twice, ScanError::NoteTwice { .. }), "{twice}");
}

#[test]
fn actions_that_none_can_have() {
    let bad = |forge: fn(&mut crate::compact::CompactAction)| {
        refused(|blocks| {
            let mut txs = blocks.iter_mut().flat_map(|block| &mut block.txs);
            forge(&mut txs.next().expect("one shields").actions[1]);
        })
    };
    let what = |error| match error {
        ScanError::BadAction { what, .. } => what,
        other => panic!("{other}"),
    };
    assert_eq!(
        what(bad(|action| action.nullifier = [0xff; 32])),
        "nullifier"
    );
    assert_eq!(
        what(bad(|action| action.cmx = [0xff; 32])),
        "note commitment"
    );
}

/// A scan takes a changed commitment for the note of somebody else; the root of the tree tells.
#[test]
fn a_commitment_that_was_changed_is_found_out_by_the_root() {
    let (world, mut wallet, mut blocks) = half_read();
    let tree = |height: u64| &world.trees[height as usize];
    let first = wallet.tip().height;
    assert_eq!(wallet.check_notes(tree(first)), Ok(()));
    let mut honest = world.fresh(&keys(1), 0);
    world.read(&mut honest);
    assert_eq!(honest.check_notes(tree(world.height())), Ok(()));
    let other = honest.check_notes(tree(first));
    assert!(matches!(other, Err(CheckError::WrongNotes { .. })));

    let mut txs = blocks.iter_mut().flat_map(|block| &mut block.txs);
    let actions = &mut txs.next().expect("one shields").actions;
    let (one, two) = actions.split_at_mut(1);
    std::mem::swap(&mut one[0].cmx, &mut two[0].cmx);
    wallet.scan(&blocks).expect("nothing in it is out of order");
    let Err(CheckError::WrongNotes { height, .. }) = wallet.check_notes(tree(world.height()))
    else {
        panic!("it was not found out")
    };
    assert_eq!(height, world.height());
}

/// These are no errors: nobody but the recipient can tell that a ciphertext is none.
#[test]
fn ciphertexts_of_nothing_are_nobodys_notes() {
    let (_, mut wallet, mut blocks) = half_read();
    for action in blocks
        .iter_mut()
        .flat_map(|b| &mut b.txs)
        .flat_map(|tx| &mut tx.actions)
    {
        action.enc[20] ^= 1;
        action.epk[0] ^= 1;
    }
    let found = wallet.scan(&blocks).expect("well formed").notes_found;
    assert_eq!(found, 0);
}

#[test]
fn a_transaction_that_is_not_the_one_that_was_wanted() {
    let (world, mut wallet, blocks) = half_read();
    wallet.scan(&blocks).expect("honest");
    let wanted = wallet.wanted();
    assert_eq!(wanted.len(), 3);
    let mut other = world.transactions[&wanted[0]].clone();
    other.payload.expiry_height += 1;
    assert_eq!(wallet.enrich(&other), Err(EnrichError::Unknown(other.id())));
    let right = &world.transactions[&wanted[0]];
    assert_eq!(wallet.enrich(right), Ok(()));
    assert_eq!(wallet.wanted().len(), 2);
}

#[test]
fn a_chain_that_was_reset_is_noticed_and_read_anew() {
    let (world, mut wallet, _) = half_read();
    let other = Hash([3; 32]);
    assert_eq!(wallet.check_network(&world.genesis), Ok(()));
    assert!(wallet.check_network(&other).is_err());
    let tip = wallet.tip().height;
    assert_eq!(wallet.recent_blocks().next(), Some(world.reference(tip)));
    let ahead = wallet.rewind(tip + 1);
    assert_eq!(
        ahead,
        Err(RewindError::Ahead {
            tip,
            given: tip + 1
        })
    );
    wallet.rewind(1).expect("is recent");
    assert_eq!(wallet.tip(), world.reference(1));
    assert_eq!(wallet.pool_balance(), PoolBalance::default());
    world.read(&mut wallet);
    assert_eq!(wallet.pool_balance().total_units, 3 * LOT);
    let birthday = Birthday {
        block: world.reference(4),
        tree: world.trees[4].clone(),
    };
    wallet.restart(birthday).expect("begins");
    assert_eq!(wallet.tip(), world.reference(4));
    world.read(&mut wallet);
    assert_eq!(wallet.pool_balance().total_units, LOT);
    let far = wallet.rewind(3);
    assert_eq!(
        far,
        Err(RewindError::TooFar {
            oldest: 4,
            given: 3
        })
    );
}
