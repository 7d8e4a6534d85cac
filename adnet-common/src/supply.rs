//! The supply equation over both chains.
//!
//! `issued − burned = public + pool + fees + locked` on Alpha, and
//! `locked = sAX total + locks in flight − unlocks in flight` across the chains. Each chain keeps
//! its part as one leaf of its state, so that the other can ask for it with a proof. All totals
//! only grow; amounts are units (1 AX = 1 sAX = 10,000 units).

use crate::codec::{DecodeError, Reader, Writer};
use serde::Serialize;

/// State key of [`AlphaSupply`] on Alpha.
pub const ALPHA_SUPPLY_KEY: &[u8] = b"supply";
/// System account of Delta that burns sAX for AX; its code is never run.
pub const DELTA_ATTEST_ADDRESS: [u8; 20] = {
    let mut address = [0; 20];
    address[18] = 0x0a;
    address[19] = 0x01;
    address
};
/// State key of [`DeltaSupply`] on Delta: that account, then its storage slot 0.
pub const DELTA_SUPPLY_KEY: [u8; 52] = {
    let mut key = [0; 52];
    key[18] = 0x0a;
    key[19] = 0x01;
    key
};

/// Alpha's leaf.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AlphaSupply {
    pub issued_units: u64,
    pub burned_units: u64,
    /// Sum of all public accounts.
    pub public_units: u64,
    /// Inside the shielded pool.
    pub pool_units: u64,
    pub fees_units: u64,
    /// Ever locked, what the genesis backs included.
    pub locked_total_units: u64,
    /// Ever released by unlocks.
    pub released_total_units: u64,
    /// Sequence of the last lock sent, and of the last unlock consumed.
    pub last_sent: u64,
    pub last_consumed: u64,
}

impl AlphaSupply {
    /// In the lock pool now.
    pub fn locked_units(&self) -> Option<u64> {
        self.locked_total_units
            .checked_sub(self.released_total_units)
    }

    /// Whether Alpha's own equation holds.
    pub fn holds(&self) -> bool {
        let parts = [
            Some(self.public_units),
            Some(self.pool_units),
            Some(self.fees_units),
            self.locked_units(),
        ];
        let sum = parts
            .into_iter()
            .try_fold(0u64, |sum, part| sum.checked_add(part?));
        sum.is_some() && sum == self.issued_units.checked_sub(self.burned_units)
    }

    fn fields(&self) -> [u64; 9] {
        [
            self.issued_units,
            self.burned_units,
            self.public_units,
            self.pool_units,
            self.fees_units,
            self.locked_total_units,
            self.released_total_units,
            self.last_sent,
            self.last_consumed,
        ]
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(72);
        self.fields().iter().for_each(|n| {
            w.u64(*n);
        });
        w.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let mut next = || r.u64("alpha supply");
        let value = Self {
            issued_units: next()?,
            burned_units: next()?,
            public_units: next()?,
            pool_units: next()?,
            fees_units: next()?,
            locked_total_units: next()?,
            released_total_units: next()?,
            last_sent: next()?,
            last_consumed: next()?,
        };
        r.end()?;
        Ok(value)
    }
}

/// Delta's leaf: exactly one 32-byte storage slot.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeltaSupply {
    /// Ever minted from locks, what the genesis gave out included.
    pub minted_total_units: u64,
    /// Ever burned for unlocks.
    pub burned_total_units: u64,
    /// Sequence of the last unlock sent, and of the last lock consumed.
    pub last_sent: u64,
    pub last_consumed: u64,
}

impl DeltaSupply {
    /// sAX that exists now.
    pub fn total_units(&self) -> Option<u64> {
        self.minted_total_units.checked_sub(self.burned_total_units)
    }

    pub fn encode(&self) -> [u8; 32] {
        let mut slot = [0; 32];
        let fields = [
            self.minted_total_units,
            self.burned_total_units,
            self.last_sent,
            self.last_consumed,
        ];
        for (place, field) in slot.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        slot
    }

    pub fn decode(slot: &[u8; 32]) -> Self {
        let field = |i: usize| {
            let bytes = slot[i * 8..i * 8 + 8].try_into();
            u64::from_be_bytes(bytes.expect("8 bytes are sliced"))
        };
        Self {
            minted_total_units: field(0),
            burned_total_units: field(1),
            last_sent: field(2),
            last_consumed: field(3),
        }
    }
}

/// Both leaves together.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SupplyReport {
    pub alpha: AlphaSupply,
    pub delta: DeltaSupply,
    pub locked_units: u64,
    pub sax_total_units: u64,
    pub locks_in_flight_units: u64,
    pub unlocks_in_flight_units: u64,
    /// Both equations hold.
    pub holds: bool,
}

impl SupplyReport {
    /// `None` if the two leaves were read so far apart that one chain already has what the other
    /// had not sent yet: read again.
    pub fn new(alpha: AlphaSupply, delta: DeltaSupply) -> Option<Self> {
        let locked = alpha.locked_units()?;
        let sax = delta.total_units()?;
        let locks = alpha
            .locked_total_units
            .checked_sub(delta.minted_total_units)?;
        let unlocks = delta
            .burned_total_units
            .checked_sub(alpha.released_total_units)?;
        let across = sax.checked_add(locks)?.checked_add(unlocks)?;
        Some(Self {
            alpha,
            delta,
            locked_units: locked,
            sax_total_units: sax,
            locks_in_flight_units: locks,
            unlocks_in_flight_units: unlocks,
            holds: alpha.holds() && locked == across,
        })
    }
}
