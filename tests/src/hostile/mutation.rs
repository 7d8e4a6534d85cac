//! Bytes that are nearly right: a valid encoding with a few changes of the kinds that break
//! decoders. The same seed gives the same bytes.

/// SplitMix64 with the changes that it chooses.
pub struct Mutator(u64);

/// Values that sit at the edges of lengths, counts and tags.
const EDGES: [u32; 12] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x100,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    u32::MAX,
];

impl Mutator {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, or 0 where there is none.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % (end.max(1) as u64)) as usize
    }

    /// Any bytes, mostly few.
    pub fn bytes(&mut self) -> Vec<u8> {
        let longest = [8, 64, 512, 4096][self.below(4)];
        let len = self.below(longest);
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// One of `samples` with one to four changes.
    pub fn mutate(&mut self, samples: &[Vec<u8>]) -> Vec<u8> {
        let chosen = self.below(samples.len());
        let mut bytes = samples.get(chosen).cloned().unwrap_or_default();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes, samples);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, samples: &[Vec<u8>]) {
        let at = self.below(bytes.len());
        match self.below(9) {
            0 | 1 => {
                let bit = self.below(8);
                bytes
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|b| *b ^= 1 << bit);
            }
            2 => {
                let edge = EDGES[self.below(EDGES.len())] as u8;
                bytes.iter_mut().skip(at).take(1).for_each(|b| *b = edge);
            }
            3 => self.put(bytes, at, &EDGES[..], u32::to_be_bytes),
            4 => self.put(bytes, at, &EDGES[..], u32::to_le_bytes),
            5 => bytes.truncate(at),
            6 => {
                let more = self.bytes();
                bytes.splice(at..at, more);
            }
            7 => {
                let end = at + self.below(bytes.len() - at);
                let cut: Vec<u8> = bytes.drain(at..end).collect();
                if self.below(2) == 0 {
                    // Twice instead of not at all.
                    let twice = [cut.as_slice(), cut.as_slice()].concat();
                    bytes.splice(at..at, twice);
                }
            }
            _ => {
                let chosen = self.below(samples.len());
                let other = samples.get(chosen).map_or(&[][..], Vec::as_slice);
                let from = self.below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }

    fn put(&mut self, bytes: &mut [u8], at: usize, edges: &[u32], as_bytes: fn(u32) -> [u8; 4]) {
        let edge = as_bytes(edges[self.below(edges.len())]);
        let room = bytes.iter_mut().skip(at);
        room.zip(edge).for_each(|(byte, new)| *byte = new);
    }
}
