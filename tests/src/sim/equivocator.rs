//! A validator that signs twice: beside each vote of its node, another one for the same slot.

use adnet_common::codec::Writer;
use adnet_common::consensus::{Domain, Message, SignRequest, Step};
use adnet_common::hash::Hash;
use ed25519_consensus::SigningKey;

/// For a vote of `key`'s own: a second one in its slot, for a block that nobody has proposed.
pub(super) fn second_vote(vote: &[u8], key: &SigningKey, domain: &Domain) -> Option<Vec<u8>> {
    let message = Message::decode(vote).ok()?;
    let author = message.author()?;
    let request = message.request()?;
    let kind = match request.step {
        Step::Proposal => return None,
        Step::Prevote => 0,
        Step::Precommit => 1,
    };
    if author.0 != key.verification_key().to_bytes() {
        return None;
    }
    let value = Hash::of("adnet/simulation/second-vote", &[vote]);
    let second = SignRequest {
        value: Some(value.0),
        ..request
    };
    let signature = key.sign(&domain.sign_bytes(&second)).to_bytes();
    let mut w = Writer::new();
    w.u8(1).u8(kind).u64(second.height).u32(second.round);
    w.u8(1).hash(&value).raw(&author.0).raw(&signature);
    let bytes = w.finish();
    let decoded = Message::decode(&bytes).expect("the format of votes");
    assert_eq!(decoded.request(), Some(second), "the format of votes");
    Some(bytes)
}
