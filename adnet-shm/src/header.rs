//! The immutable first page of a segment: written once by its creator, checked by everyone else.
//!
//! Decoding works on plain bytes and never trusts a length before the checksum over it is right.

use crate::error::{Hex32, ShmError};
use crate::layout::{ABI_VERSION, CAPACITY_MAX, CAPACITY_MIN, DATA, MAGIC, PAGE};

/// Bytes of the header that have a meaning.
pub(crate) const HEADER_BYTES: usize = 104;
const CRC_FROM: usize = 8;
const CRC_AT: usize = 96;

/// What a segment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A ring with its data.
    Ring,
    /// The heartbeat line of a worker.
    Heartbeat,
}

/// The decoded header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which ring (or worker, for a heartbeat) this is.
    pub ring_id: u32,
    /// Bytes of the data area: a power of two for a ring, one page for a heartbeat.
    pub capacity: usize,
    /// Hash of the definitions of all messages on the ring.
    pub schema_hash: [u8; 32],
    /// Build of the creator, for the log.
    pub build_id: [u8; 16],
    /// Process that made the segment.
    pub owner_pid: u32,
    /// What the segment is for.
    pub form: Form,
    /// Start time of that process in clock ticks since boot, as in `/proc/PID/stat`.
    pub owner_start_ticks: u64,
}

/// What a side requires of the segment that it attaches to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingExpect {
    /// Which ring it must be.
    pub ring_id: u32,
    /// Hash of the definitions of all messages on the ring.
    pub schema_hash: [u8; 32],
}

impl Header {
    /// Bytes of the whole segment.
    pub fn total_bytes(&self) -> u64 {
        DATA as u64 + self.capacity as u64
    }

    /// The header as bytes, magic included.
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let form: u32 = match self.form {
            Form::Ring => 1,
            Form::Heartbeat => 2,
        };
        let mut bytes = [0u8; HEADER_BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &MAGIC.to_le_bytes());
        put(8, &ABI_VERSION.to_le_bytes());
        put(12, &self.ring_id.to_le_bytes());
        put(16, &(self.capacity as u64).to_le_bytes());
        put(24, &self.total_bytes().to_le_bytes());
        put(32, &self.schema_hash);
        put(64, &self.build_id);
        put(80, &self.owner_pid.to_le_bytes());
        put(84, &form.to_le_bytes());
        put(88, &self.owner_start_ticks.to_le_bytes());
        let crc = crc32fast::hash(&bytes[CRC_FROM..CRC_AT]);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Refuses a ring that is not the expected one.
    pub(crate) fn require(&self, expect: &RingExpect) -> Result<(), ShmError> {
        if self.form != Form::Ring {
            return Err(ShmError::HeaderField("form"));
        }
        if self.schema_hash != expect.schema_hash {
            return Err(ShmError::SchemaMismatch {
                ours: Hex32(expect.schema_hash),
                theirs: Hex32(self.schema_hash),
            });
        }
        if self.ring_id != expect.ring_id {
            return Err(ShmError::RingMismatch {
                ours: expect.ring_id,
                theirs: self.ring_id,
            });
        }
        Ok(())
    }
}

/// Decodes the first bytes of a segment that is `file_bytes` long in all.
///
/// # Errors
/// Names the first thing that is wrong: length, magic, layout version, checksum, then each field.
pub fn decode_header(bytes: &[u8], file_bytes: u64) -> Result<Header, ShmError> {
    let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(ShmError::Length {
        expected: HEADER_BYTES as u64,
        found: bytes.len() as u64,
    })?;
    let u32_at = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("in the array"));
    let u64_at = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("in the array"));

    if u64_at(0) != MAGIC {
        return Err(ShmError::Magic);
    }
    // The version comes before the checksum: another layout may have its checksum elsewhere.
    if u32_at(8) != ABI_VERSION {
        return Err(ShmError::AbiMismatch {
            ours: ABI_VERSION,
            theirs: u32_at(8),
        });
    }
    if crc32fast::hash(&bytes[CRC_FROM..CRC_AT]) != u32_at(CRC_AT) {
        return Err(ShmError::HeaderCrc);
    }
    // Four bytes up to the next multiple of eight, which nothing uses.
    if u32_at(CRC_AT + 4) != 0 {
        return Err(ShmError::HeaderField("reserved"));
    }
    let form = match u32_at(84) {
        1 => Form::Ring,
        2 => Form::Heartbeat,
        _ => return Err(ShmError::HeaderField("form")),
    };
    let capacity = usize::try_from(u64_at(16)).map_err(|_| ShmError::HeaderField("capacity"))?;
    check_capacity(form, capacity).map_err(|_| ShmError::HeaderField("capacity"))?;
    let header = Header {
        ring_id: u32_at(12),
        capacity,
        schema_hash: *bytes[32..].first_chunk().expect("in the array"),
        build_id: *bytes[64..].first_chunk().expect("in the array"),
        owner_pid: u32_at(80),
        form,
        owner_start_ticks: u64_at(88),
    };
    if u64_at(24) != header.total_bytes() {
        return Err(ShmError::HeaderField("total"));
    }
    if header.total_bytes() != file_bytes {
        return Err(ShmError::Length {
            expected: header.total_bytes(),
            found: file_bytes,
        });
    }
    Ok(header)
}

/// Whether a data area of this size is allowed.
pub(crate) fn check_capacity(form: Form, capacity: usize) -> Result<(), ShmError> {
    let allowed = match form {
        Form::Ring => {
            capacity.is_power_of_two() && (CAPACITY_MIN..=CAPACITY_MAX).contains(&capacity)
        }
        Form::Heartbeat => capacity == PAGE,
    };
    if allowed {
        Ok(())
    } else {
        Err(ShmError::Capacity(capacity))
    }
}
