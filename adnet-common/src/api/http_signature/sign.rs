//! Making a signature.

use ed25519_consensus::SigningKey;

use super::message::Message;
use super::structured::{BareItem, InnerList, Item, Member, write_dictionary};
use super::{ALGORITHM, HttpSignatureError, signature_base};

/// What a signature says of itself; what is `None` it does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignatureParams {
    /// Seconds since the UNIX epoch.
    pub created: Option<i64>,
    pub expires: Option<i64>,
    pub nonce: Option<String>,
    pub keyid: Option<String>,
    pub names_algorithm: bool,
    pub tag: Option<String>,
}

impl SignatureParams {
    /// A signature's input that covers these components.
    pub fn covering(&self, components: &[&str]) -> InnerList {
        let item = |name: &&str| Item {
            bare: BareItem::String((*name).to_owned()),
            parameters: Vec::new(),
        };
        let text = |value: &Option<String>| value.clone().map(BareItem::String);
        let algorithm = self.names_algorithm.then(|| ALGORITHM.to_owned());
        let all = [
            ("created", self.created.map(BareItem::Integer)),
            ("expires", self.expires.map(BareItem::Integer)),
            ("nonce", text(&self.nonce)),
            ("keyid", text(&self.keyid)),
            ("alg", text(&algorithm)),
            ("tag", text(&self.tag)),
        ];
        let present = all.into_iter();
        let present = present.filter_map(|(key, value)| Some((key.to_owned(), value?)));
        InnerList {
            items: components.iter().map(item).collect(),
            parameters: present.collect(),
        }
    }
}

/// Signs a message. Gives the values of the fields `Signature-Input` and `Signature`.
///
/// # Errors
/// If the message does not have what is to be covered.
pub fn sign(
    message: &Message<'_>,
    key: &SigningKey,
    label: &str,
    input: InnerList,
) -> Result<(String, String), HttpSignatureError> {
    let base = signature_base(message, &input)?;
    let item = Item {
        bare: BareItem::Bytes(key.sign(base.as_bytes()).to_bytes().to_vec()),
        parameters: Vec::new(),
    };
    let label = || label.to_owned();
    Ok((
        write_dictionary(&vec![(label(), Member::List(input))]),
        write_dictionary(&vec![(label(), Member::Item(item))]),
    ))
}
