//! The witness: what authorises a payload, in typed sections behind their lengths.
//!
//! On the wire a witness is a list of sections, each one kind byte and a body, in strictly rising
//! order of kind. A function takes exactly the kinds it names, so nothing can be smuggled in beside
//! them. Kinds 3 and up are for the proof and the signatures of a shielded bundle.

use adnet_common::codec::{DecodeError, Reader, Writer};
use adnet_common::keys::PublicKey;

use super::function::Function;
use crate::refusal::Refusal;

const ACCOUNT: u8 = 1;
const GOVERNORS: u8 = 2;

const SECTIONS_MAX: usize = 8;
const SECTION_BYTES_MAX: usize = 128 << 10;
/// More governors than any genesis has.
const APPROVALS_MAX: usize = 100;

/// A governor's signature over a payload that orders a mint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    pub governor: PublicKey,
    pub signature: [u8; 64],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Witness {
    /// The signature of the account that the public part names.
    Account([u8; 64]),
    /// In strictly rising order of key, so that nobody counts twice.
    Governors(Vec<Approval>),
}

impl Witness {
    pub(super) fn encode_into(&self, w: &mut Writer) {
        let (kind, body) = match self {
            Witness::Account(signature) => (ACCOUNT, signature.to_vec()),
            Witness::Governors(approvals) => {
                let mut body = Writer::new();
                body.list(approvals, |w, approval| {
                    w.raw(&approval.governor.0).raw(&approval.signature);
                });
                (GOVERNORS, body.finish())
            }
        };
        w.len(1).u8(kind).bytes(&body);
    }

    pub(super) fn decode(r: &mut Reader<'_>, function: &Function) -> Result<Self, Refusal> {
        let sections = r.list("witness", SECTIONS_MAX, |r| {
            Ok((
                r.u8("witness kind")?,
                r.bytes("witness section", SECTION_BYTES_MAX)?,
            ))
        })?;
        if sections.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            return Err(r.invalid("witness", "its kinds do not rise").into());
        }
        let (expected_kind, expected) = match function {
            Function::Mint(_) => (GOVERNORS, "the governors' signatures"),
            _ => (ACCOUNT, "the account's signature"),
        };
        let function = function.name();
        let &[(kind, body)] = sections.as_slice() else {
            return Err(Refusal::WrongWitness { function, expected });
        };
        if kind != expected_kind {
            return Err(Refusal::WrongWitness { function, expected });
        }
        let mut body = Reader::new(body);
        let witness = match kind {
            GOVERNORS => Witness::Governors(approvals(&mut body)?),
            _ => Witness::Account(body.array("signature")?),
        };
        body.end()?;
        Ok(witness)
    }
}

fn approvals(r: &mut Reader<'_>) -> Result<Vec<Approval>, DecodeError> {
    let approvals = r.list("governors' signatures", APPROVALS_MAX, |r| {
        Ok(Approval {
            governor: PublicKey(r.array("governor")?),
            signature: r.array("governor's signature")?,
        })
    })?;
    if approvals
        .windows(2)
        .any(|pair| pair[0].governor >= pair[1].governor)
    {
        return Err(r.invalid("governors' signatures", "the keys do not rise"));
    }
    Ok(approvals)
}
