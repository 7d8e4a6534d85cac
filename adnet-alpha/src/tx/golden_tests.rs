//! One real transaction of each function of the pool, as it was once made: whoever changes the format
//! sees it here. The hashes were computed apart from this code, with Python's hashlib.

use adnet_common::application::Until;
use adnet_common::codec::Reader;
use adnet_common::hash::Hash;

use super::{Function, Transaction};
use crate::pool::proofs::{self, Proved};

const FILE: &[u8] = include_bytes!("golden/shielded.bin");

/// Function, id and sighash of each.
const KNOWN: [(&str, &str, &str); 6] = [
    (
        "mint_private",
        "b33ad4e21c6535571b6eeef3810103cd6ecd5b81f7a5e514dcd84a7939e5bb5a",
        "7e3535fa8fab753c1c6a9f87e4ade9bdbc85f378c18bf537ca6ae511fdd71d9c",
    ),
    (
        "transfer_private",
        "61d293bd1dd4edcac6e6fc6057841b72b2f020faadb75c531ada75b5135c5e7f",
        "41cb55a5f24a9ade15f43b733ebbc25b5028fe4fa135e17992edeaaefd8029a5",
    ),
    (
        "lock_private",
        "d2c31f7566c4e77db7c6f8276da4c1b237a4a6e1612f4c4568791df87c6d97a3",
        "394114a8efac6c9cbc42f66a7f86b547ee68ebc05dcc392c39fad373e2aff75e",
    ),
    (
        "transfer_private_to_public",
        "b73ac41e7db7465c3577ea7545c97da606b16d7be6e05ae8513c47479468f446",
        "c388b9878e1c51579a1448c0894c4b83f40bb9f867968e032fd21ab48a3002b1",
    ),
    (
        "transfer_public_to_private",
        "9b925756f7f82c1e73acacde7306873ee45e436d62d7831e8b092600446268a2",
        "1d8c5b76fd42e91be049e529b709c5487ad9424da7cff2bf36e11dc4e9839bf7",
    ),
    (
        "burn_private",
        "c6d768d361bbf9164098f01d3ae41ead7e49cdfdbf8638ca41da4749127bc743",
        "a1cdd3f524511a62296538b2e12f3c26a1b2bcd6b23d3cbe9b59f7d75eb422de",
    ),
];

pub(crate) fn golden() -> Vec<Vec<u8>> {
    let mut r = Reader::new(FILE);
    let raws = r.list("transactions", 16, |r| {
        Ok(r.bytes("transaction", 1 << 16)?.to_vec())
    });
    let raws = raws.expect("the golden file is a list");
    r.end().expect("of transactions and nothing else");
    raws
}

#[test]
fn the_format_of_shielded_transactions_is_frozen() {
    let raws = golden();
    assert_eq!(raws.len(), KNOWN.len());
    for (raw, (name, id, sighash)) in raws.iter().zip(KNOWN) {
        let tx = Transaction::decode(raw).expect("a transaction of version 1");
        assert_eq!(&tx.encode(), raw, "{name}");
        assert_eq!(tx.payload.function.name(), name);
        assert_eq!(tx.id().to_string(), id, "{name}");
        assert_eq!(tx.payload.sighash().to_string(), sighash, "{name}");
        assert_eq!(tx.payload.function.signed_bytes(2), raw.len(), "{name}");
    }
}

#[test]
fn their_proofs_are_good_for_their_own_payload_alone() {
    let proved = |raw: &Vec<u8>| {
        let tx = Transaction::decode(raw).expect("a transaction of version 1");
        let bundle = tx.payload.function.bundle().expect("shielded");
        let proof = tx.witness.proof().expect("shielded");
        Proved {
            bundle: bundle.authorize(proof).expect("points and keys"),
            sighash: tx.payload.sighash().0,
        }
    };
    let mut all: Vec<Proved> = golden().iter().map(proved).collect();
    assert_eq!(proofs::verify(&all, Until::End), [true; 6]);
    assert_eq!(proofs::verify(&all, Until::FirstInvalid), [true; 6]);
    // A signature of something else in the midst of them.
    all[2].sighash = Hash::ZERO.0;
    let verdicts = [true, true, false, true, true, true];
    assert_eq!(proofs::verify(&all, Until::End), verdicts);
    assert_eq!(proofs::verify(&all, Until::FirstInvalid), verdicts[..3]);
}

#[test]
fn a_private_transfer_says_its_fee_and_nothing_else() {
    let raws = golden();
    let tx = Transaction::decode(&raws[1]).expect("a transaction of version 1");
    let Function::TransferPrivate(f) = &tx.payload.function else {
        unreachable!("the second is a private transfer")
    };
    assert_eq!(f.bundle.value_balance as u64, tx.payload.fee_units);
    assert_eq!(
        tx.payload.function.amount_units(tx.payload.fee_units),
        Some(0)
    );
}
