//! The versioned wire codec: big-endian fields, lengths in front of variable ones, all bounded.
//!
//! Invariant: a [`Reader`] never allocates more than the bytes that it was given, whatever lengths
//! they claim, and never panics. What is left over after a value is an error, so an encoding is
//! canonical wherever its fields are.

use crate::hash::Hash;

/// Why some bytes are not what they should be, and at which offset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}: {why}")]
pub struct DecodeError {
    /// The field that was being read.
    pub what: &'static str,
    /// Bytes consumed before the field.
    pub offset: usize,
    pub why: DecodeReason,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeReason {
    #[error("the input ends here")]
    Truncated,
    #[error("{0} bytes are left over")]
    Trailing(usize),
    #[error("length {len} is over the bound {max}")]
    TooLong { len: u64, max: u64 },
    #[error("{0}")]
    Invalid(&'static str),
}

/// Appends fields to a buffer.
#[derive(Default, Clone, Debug)]
pub struct Writer(Vec<u8>);

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Bytes as they are, without a length: for fields of fixed width.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn u8(&mut self, n: u8) -> &mut Self {
        self.raw(&[n])
    }

    pub fn u16(&mut self, n: u16) -> &mut Self {
        self.raw(&n.to_be_bytes())
    }

    pub fn u32(&mut self, n: u32) -> &mut Self {
        self.raw(&n.to_be_bytes())
    }

    pub fn u64(&mut self, n: u64) -> &mut Self {
        self.raw(&n.to_be_bytes())
    }

    pub fn u128(&mut self, n: u128) -> &mut Self {
        self.raw(&n.to_be_bytes())
    }

    pub fn hash(&mut self, hash: &Hash) -> &mut Self {
        self.raw(&hash.0)
    }

    /// A count or length, as u32.
    pub fn len(&mut self, len: usize) -> &mut Self {
        self.u32(u32::try_from(len).expect("values in memory that we encode stay below 4 GiB"))
    }

    /// Bytes with their length in front.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.len(bytes.len()).raw(bytes)
    }

    /// A list: its count, then each item by `item`.
    pub fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) -> &mut Self {
        self.len(items.len());
        for each in items {
            item(self, each);
        }
        self
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads what a [`Writer`] wrote. Each method names the field for the error message.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { all: bytes, at: 0 }
    }

    pub fn remaining(&self) -> usize {
        self.all.len() - self.at
    }

    /// An error at the present offset.
    pub fn error(&self, what: &'static str, why: DecodeReason) -> DecodeError {
        DecodeError {
            what,
            offset: self.at,
            why,
        }
    }

    pub fn invalid(&self, what: &'static str, why: &'static str) -> DecodeError {
        self.error(what, DecodeReason::Invalid(why))
    }

    /// The next `len` bytes, borrowed.
    pub fn take(&mut self, what: &'static str, len: usize) -> Result<&'a [u8], DecodeError> {
        if len > self.remaining() {
            return Err(self.error(what, DecodeReason::Truncated));
        }
        let slice = &self.all[self.at..self.at + len];
        self.at += len;
        Ok(slice)
    }

    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let slice = self.take(what, N)?;
        Ok(slice.try_into().expect("take returns exactly N bytes"))
    }

    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(what).map(|[b]| b)
    }

    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.array(what).map(u64::from_be_bytes)
    }

    pub fn u128(&mut self, what: &'static str) -> Result<u128, DecodeError> {
        self.array(what).map(u128::from_be_bytes)
    }

    pub fn hash(&mut self, what: &'static str) -> Result<Hash, DecodeError> {
        self.array(what).map(Hash)
    }

    /// A length of at most `max`.
    pub fn len(&mut self, what: &'static str, max: usize) -> Result<usize, DecodeError> {
        let start = self.clone();
        let len = self.u32(what)?;
        if u64::from(len) > max as u64 {
            let (len, max) = (u64::from(len), max as u64);
            return Err(start.error(what, DecodeReason::TooLong { len, max }));
        }
        Ok(len as usize)
    }

    /// Bytes with their length in front, at most `max`, borrowed.
    pub fn bytes(&mut self, what: &'static str, max: usize) -> Result<&'a [u8], DecodeError> {
        let len = self.len(what, max)?;
        self.take(what, len)
    }

    /// A list of at most `max` items of at least one byte each.
    pub fn list<T>(
        &mut self,
        what: &'static str,
        max: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.len(what, max)?;
        // Each item takes at least a byte, so the bytes at hand bound what is reserved.
        let mut items = Vec::with_capacity(count.min(self.remaining()));
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// All bytes must have been used.
    pub fn end(self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(self.error("end", DecodeReason::Trailing(left))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_huge_claimed_length_is_refused_before_it_allocates() {
        let mut w = Writer::new();
        w.u32(u32::MAX);
        let bytes = w.finish();
        let error = Reader::new(&bytes).bytes("memo", 512).unwrap_err();
        assert_eq!(
            error.to_string(),
            "memo at byte 0: length 4294967295 is over the bound 512"
        );
        let error = Reader::new(&bytes).list("txs", usize::MAX, |r| r.u8("tx"));
        assert_eq!(error.unwrap_err().why, DecodeReason::Truncated);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(a: u64, b: Vec<u8>, c: Vec<u32>) {
            let mut w = Writer::new();
            w.u64(a).bytes(&b).list(&c, |w, n| { w.u32(*n); });
            let bytes = w.finish();
            let mut r = Reader::new(&bytes);
            prop_assert_eq!(r.u64("a").unwrap(), a);
            prop_assert_eq!(r.bytes("b", 1 << 20).unwrap(), &b[..]);
            prop_assert_eq!(r.list("c", 1 << 20, |r| r.u32("n")).unwrap(), c);
            r.end().unwrap();
        }
    }
}
