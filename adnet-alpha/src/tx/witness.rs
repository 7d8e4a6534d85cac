//! The witness: what authorises a payload, in typed sections behind their lengths.
//!
//! On the wire a witness is a list of sections, each one kind byte and a body, in strictly rising
//! order of kind. A function takes exactly the kinds it names, so nothing can be smuggled in beside
//! them.

use adnet_common::codec::{DecodeError, Reader, Writer};
use adnet_common::keys::PublicKey;

use super::function::Function;
use crate::pool::BundleProof;
use crate::refusal::Refusal;

const ACCOUNT: u8 = 1;
const GOVERNORS: u8 = 2;
const BUNDLE: u8 = 3;

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
    /// Proof and signatures of the bundle: its notes pay.
    Bundle(BundleProof),
    /// An account that shields.
    AccountAndBundle([u8; 64], BundleProof),
    /// A mint to a note.
    GovernorsAndBundle(Vec<Approval>, BundleProof),
}

impl Witness {
    /// Of the bundle, if there is one.
    pub fn proof(&self) -> Option<&BundleProof> {
        match self {
            Witness::Account(_) | Witness::Governors(_) => None,
            Witness::Bundle(proof)
            | Witness::AccountAndBundle(_, proof)
            | Witness::GovernorsAndBundle(_, proof) => Some(proof),
        }
    }

    /// Zeros of the right lengths.
    pub(crate) fn blank(function: &Function, approvals: usize) -> Self {
        let approval = Approval {
            governor: PublicKey([0; 32]),
            signature: [0; 64],
        };
        let proof = function
            .bundle()
            .map(|b| BundleProof::blank(b.actions.len()));
        match (function.account(), function.order(), proof) {
            (Some(_), _, None) => Witness::Account([0; 64]),
            (Some(_), _, Some(proof)) => Witness::AccountAndBundle([0; 64], proof),
            (_, Some(_), None) => Witness::Governors(vec![approval; approvals]),
            (_, Some(_), Some(proof)) => {
                Witness::GovernorsAndBundle(vec![approval; approvals], proof)
            }
            (None, None, Some(proof)) => Witness::Bundle(proof),
            (None, None, None) => unreachable!("every function has somebody who authorises it"),
        }
    }

    pub(super) fn encode_into(&self, w: &mut Writer) {
        let account = |signature: &[u8; 64]| (ACCOUNT, signature.to_vec());
        let governors = |approvals: &[Approval]| {
            let mut body = Writer::new();
            body.list(approvals, |w, approval| {
                w.raw(&approval.governor.0).raw(&approval.signature);
            });
            (GOVERNORS, body.finish())
        };
        let bundle = |proof: &BundleProof| {
            let mut body = Writer::new();
            proof.encode_into(&mut body);
            (BUNDLE, body.finish())
        };
        let sections = match self {
            Witness::Account(signature) => vec![account(signature)],
            Witness::Governors(approvals) => vec![governors(approvals)],
            Witness::Bundle(proof) => vec![bundle(proof)],
            Witness::AccountAndBundle(signature, proof) => vec![account(signature), bundle(proof)],
            Witness::GovernorsAndBundle(approvals, proof) => {
                vec![governors(approvals), bundle(proof)]
            }
        };
        w.list(&sections, |w, (kind, body)| {
            w.u8(*kind).bytes(body);
        });
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
        let expected = match (function.account(), function.order(), function.bundle()) {
            (Some(_), _, None) => "the account's signature",
            (Some(_), _, Some(_)) => "the account's signature and the bundle's proof",
            (_, Some(_), None) => "the governors' signatures",
            (_, Some(_), Some(_)) => "the governors' signatures and the bundle's proof",
            _ => "the bundle's proof",
        };
        let kinds: Vec<u8> = sections.iter().map(|(kind, _)| *kind).collect();
        let bodies: Vec<&[u8]> = sections.iter().map(|(_, body)| *body).collect();
        let actions = function.bundle().map_or(0, |bundle| bundle.actions.len());
        let is_account = function.account().is_some();
        let is_order = function.order().is_some();
        Ok(match (kinds.as_slice(), bodies.as_slice()) {
            ([ACCOUNT], [body]) if is_account && actions == 0 => Witness::Account(signature(body)?),
            ([GOVERNORS], [body]) if is_order && actions == 0 => {
                Witness::Governors(approvals(body)?)
            }
            ([BUNDLE], [body]) if actions > 0 && !is_account && !is_order => {
                Witness::Bundle(proof(body, actions)?)
            }
            ([ACCOUNT, BUNDLE], [account, bundle]) if is_account && actions > 0 => {
                Witness::AccountAndBundle(signature(account)?, proof(bundle, actions)?)
            }
            ([GOVERNORS, BUNDLE], [governors, bundle]) if is_order && actions > 0 => {
                Witness::GovernorsAndBundle(approvals(governors)?, proof(bundle, actions)?)
            }
            _ => {
                let function = function.name();
                return Err(Refusal::WrongWitness { function, expected });
            }
        })
    }
}

fn signature(body: &[u8]) -> Result<[u8; 64], DecodeError> {
    let mut r = Reader::new(body);
    let signature = r.array("signature")?;
    r.end()?;
    Ok(signature)
}

fn proof(body: &[u8], actions: usize) -> Result<BundleProof, DecodeError> {
    let mut r = Reader::new(body);
    let proof = BundleProof::decode(&mut r, actions)?;
    r.end()?;
    Ok(proof)
}

fn approvals(body: &[u8]) -> Result<Vec<Approval>, DecodeError> {
    let mut r = Reader::new(body);
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
    r.end()?;
    Ok(approvals)
}
