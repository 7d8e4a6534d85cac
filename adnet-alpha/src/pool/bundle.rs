//! A bundle of shielded actions: its bytes, their codec, and the step to the proof system's types.
//!
//! What a bundle *does* ([`Bundle`], the effects) is part of the payload that is signed; what
//! *authorises* it ([`BundleProof`]) is part of the witness. Fields stand in the order of Zcash's v6
//! transactions (ZIP 225 with the flags of NU 6.3), so the layout can be checked against it.
//!
//! ```text
//! effects  number of actions u8 · per action: cv_net 32 · nullifier 32 · rk 32 · cmx 32 · epk 32 ·
//!          enc_ciphertext 580 · out_ciphertext 80 · then flags u8 · value balance i64 · anchor 32
//! proof    proof (2720 + 2272 × actions) · per action: spend signature 64 · binding signature 64
//! ```
//!
//! Integers are big-endian as in all our formats. Lengths follow from the number of actions alone, so
//! a proof cannot be padded and nothing is allocated on a peer's word.

use adnet_common::codec::{DecodeError, Reader, Writer};
use nonempty::NonEmpty;
use orchard::bundle::{Authorization, Authorized, BundleVersion, Flags};
use orchard::note::{ExtractedNoteCommitment, Nullifier, TransmittedNoteCiphertext};
use orchard::note_encryption::NoteCiphertextBytes;
use orchard::primitives::redpallas::{Signature, SpendAuth, VerificationKey};
use orchard::tree::{Anchor, MerkleHashOrchard};
use orchard::value::ValueCommitment;
use orchard::{Action, Proof};

use super::BadBundle;
use super::tree::DEPTH;

/// The only protocol of the pool: Orchard's Ironwood notes and the circuit after NU 6.3. Every
/// circuit before was unsound.
pub const BUNDLE_VERSION: BundleVersion = BundleVersion::ironwood_v3();
/// Actions of one bundle, at most.
pub const ACTIONS_MAX: usize = 32;
/// Bytes of an action's effects.
pub const ACTION_BYTES: usize = 5 * 32 + ENC_BYTES + OUT_BYTES;
const ENC_BYTES: usize = 580;
const OUT_BYTES: usize = 80;

/// What one action does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionBytes {
    /// Commitment to the value that the action takes out of the pool, less what it puts in.
    pub cv_net: [u8; 32],
    /// Of the note that is spent.
    pub nullifier: [u8; 32],
    /// Randomised key that signs for the spent note.
    pub rk: [u8; 32],
    /// Commitment to the note that is made.
    pub cmx: [u8; 32],
    /// Ephemeral key of the ciphertexts.
    pub epk: [u8; 32],
    /// The note and its memo, for the recipient.
    pub enc_ciphertext: [u8; ENC_BYTES],
    /// What lets the sender read the above.
    pub out_ciphertext: [u8; OUT_BYTES],
}

/// What a bundle does: part of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// 1 to [`ACTIONS_MAX`].
    pub actions: Vec<ActionBytes>,
    pub flags: u8,
    /// Units that leave the pool (positive) or enter it (negative).
    pub value_balance: i64,
    /// A root of the note commitment tree, of which the spent notes are a part.
    pub anchor: [u8; 32],
}

/// What authorises a bundle: part of the witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleProof {
    pub proof: Vec<u8>,
    pub spend_signatures: Vec<[u8; 64]>,
    pub binding_signature: [u8; 64],
}

/// The tree root that a bundle without spends names.
pub fn empty_anchor() -> Anchor {
    use incrementalmerkletree::Hashable;
    MerkleHashOrchard::empty_root(DEPTH.into()).into()
}

/// The flag byte of a bundle that only makes notes, and of one that may also spend some.
pub fn flag_byte(may_spend: bool) -> u8 {
    let flags = match may_spend {
        true => Flags::ENABLED,
        false => Flags::SPENDS_DISABLED,
    };
    let byte = flags.to_byte(BUNDLE_VERSION);
    byte.expect("this bundle version has a byte for its own flags")
}

impl Bundle {
    /// The effects of a bundle in whatever state of being built.
    ///
    /// # Panics
    /// If it has more actions than are allowed.
    pub fn of<A: Authorization>(bundle: &orchard::Bundle<A, i64>) -> Self {
        let action = |a: &Action<A::SpendAuth>| {
            let note = a.encrypted_note();
            ActionBytes {
                cv_net: a.cv_net().to_bytes(),
                nullifier: a.nullifier().to_bytes(),
                rk: a.rk().into(),
                cmx: a.cmx().to_bytes(),
                epk: note.epk_bytes,
                enc_ciphertext: note.enc_ciphertext.0,
                out_ciphertext: note.out_ciphertext,
            }
        };
        let actions: Vec<ActionBytes> = bundle.actions().iter().map(action).collect();
        assert!(
            actions.len() <= ACTIONS_MAX,
            "a bundle has too many actions"
        );
        Self {
            actions,
            flags: bundle.flag_byte(),
            value_balance: *bundle.value_balance(),
            anchor: bundle.anchor().to_bytes(),
        }
    }

    /// A bundle of zeros, as long as a real one of so many actions.
    pub fn blank(actions: usize) -> Self {
        let action = ActionBytes {
            cv_net: [0; 32],
            nullifier: [0; 32],
            rk: [0; 32],
            cmx: [0; 32],
            epk: [0; 32],
            enc_ciphertext: [0; ENC_BYTES],
            out_ciphertext: [0; OUT_BYTES],
        };
        Self {
            actions: vec![action; actions],
            flags: 0,
            value_balance: 0,
            anchor: [0; 32],
        }
    }

    pub fn encode_into(&self, w: &mut Writer) {
        let count = u8::try_from(self.actions.len()).expect("a bundle has at most 32 actions");
        w.u8(count);
        for action in &self.actions {
            w.raw(&action.cv_net)
                .raw(&action.nullifier)
                .raw(&action.rk)
                .raw(&action.cmx)
                .raw(&action.epk)
                .raw(&action.enc_ciphertext)
                .raw(&action.out_ciphertext);
        }
        w.u8(self.flags)
            .raw(&self.value_balance.to_be_bytes())
            .raw(&self.anchor);
    }

    /// Reads the fields. Whether they are points and keys says [`Bundle::authorize`].
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = usize::from(r.u8("number of actions")?);
        if count == 0 || count > ACTIONS_MAX {
            return Err(r.invalid("number of actions", "a bundle has 1 to 32"));
        }
        let mut actions = Vec::with_capacity(count);
        for _ in 0..count {
            actions.push(ActionBytes {
                cv_net: r.array("value commitment")?,
                nullifier: r.array("nullifier")?,
                rk: r.array("randomised key")?,
                cmx: r.array("note commitment")?,
                epk: r.array("ephemeral key")?,
                enc_ciphertext: r.array("note ciphertext")?,
                out_ciphertext: r.array("outgoing ciphertext")?,
            });
        }
        Ok(Self {
            actions,
            flags: r.u8("bundle flags")?,
            value_balance: i64::from_be_bytes(r.array("value balance")?),
            anchor: r.array("anchor")?,
        })
    }

    /// The bundle as the proof system takes it. Refuses what is no point, key or field element:
    /// identity keys and non-canonical encodings among them.
    pub fn authorize(
        &self,
        proof: &BundleProof,
    ) -> Result<orchard::Bundle<Authorized, i64>, BadBundle> {
        if proof.proof.len() != Proof::expected_proof_size(self.actions.len()) {
            return Err(BadBundle(
                "the proof's length is not that of its actions".into(),
            ));
        }
        if proof.spend_signatures.len() != self.actions.len() {
            return Err(BadBundle(
                "there is not one spend signature per action".into(),
            ));
        }
        let mut actions = Vec::with_capacity(self.actions.len());
        for (index, (action, signature)) in
            self.actions.iter().zip(&proof.spend_signatures).enumerate()
        {
            let action = action.with_signature(*signature);
            actions.push(action.map_err(|why| BadBundle(format!("action {index}: {why}")))?);
        }
        let actions = NonEmpty::from_vec(actions);
        let actions = actions.ok_or_else(|| BadBundle("it has no action".into()))?;
        let flags = Flags::from_byte(self.flags, BUNDLE_VERSION);
        let flags = flags.ok_or_else(|| BadBundle("its flags are unknown".into()))?;
        let anchor = Option::from(Anchor::from_bytes(self.anchor));
        let anchor = anchor.ok_or_else(|| BadBundle("its anchor is no field element".into()))?;
        let authorized = Authorized::from_parts(
            Proof::new(proof.proof.clone()),
            Signature::from(proof.binding_signature),
        );
        orchard::Bundle::try_from_parts(
            actions,
            flags,
            self.value_balance,
            anchor,
            authorized,
            BUNDLE_VERSION,
        )
        .map_err(|error| BadBundle(error.to_string()))
    }
}

impl ActionBytes {
    fn with_signature(&self, signature: [u8; 64]) -> Result<Action<Signature<SpendAuth>>, String> {
        let no = |what: &str| format!("its {what} is not canonical");
        let nullifier = Option::from(Nullifier::from_bytes(&self.nullifier));
        let cmx = Option::from(ExtractedNoteCommitment::from_bytes(&self.cmx));
        let cv_net = Option::from(ValueCommitment::from_bytes(&self.cv_net));
        let rk = VerificationKey::try_from(self.rk).map_err(|_| no("randomised key"))?;
        let note = TransmittedNoteCiphertext {
            epk_bytes: self.epk,
            enc_ciphertext: note_bytes(self.enc_ciphertext),
            out_ciphertext: self.out_ciphertext,
        };
        Action::from_parts(
            nullifier.ok_or_else(|| no("nullifier"))?,
            rk,
            cmx.ok_or_else(|| no("note commitment"))?,
            note,
            cv_net.ok_or_else(|| no("value commitment"))?,
            Signature::from(signature),
        )
        .map_err(|error| error.to_string())
    }
}

fn note_bytes(bytes: [u8; ENC_BYTES]) -> NoteCiphertextBytes {
    zcash_note_encryption::note_bytes::NoteBytesData(bytes)
}

impl BundleProof {
    pub fn of(bundle: &orchard::Bundle<Authorized, i64>) -> Self {
        let authorized = bundle.authorization();
        Self {
            proof: authorized.proof().as_ref().to_vec(),
            spend_signatures: bundle
                .actions()
                .iter()
                .map(|action| action.authorization().into())
                .collect(),
            binding_signature: authorized.binding_signature().into(),
        }
    }

    /// Zeros of the right lengths.
    pub fn blank(actions: usize) -> Self {
        Self {
            proof: vec![0; Proof::expected_proof_size(actions)],
            spend_signatures: vec![[0; 64]; actions],
            binding_signature: [0; 64],
        }
    }

    pub fn encode_into(&self, w: &mut Writer) {
        w.raw(&self.proof);
        for signature in &self.spend_signatures {
            w.raw(signature);
        }
        w.raw(&self.binding_signature);
    }

    /// Reads what belongs to a bundle of so many actions, 1 to [`ACTIONS_MAX`].
    pub fn decode(r: &mut Reader<'_>, actions: usize) -> Result<Self, DecodeError> {
        let proof = r
            .take("proof", Proof::expected_proof_size(actions))?
            .to_vec();
        let mut spend_signatures = Vec::with_capacity(actions);
        for _ in 0..actions {
            spend_signatures.push(r.array("spend signature")?);
        }
        Ok(Self {
            proof,
            spend_signatures,
            binding_signature: r.array("binding signature")?,
        })
    }
}
