//! Numbers that look random and are the same in every run: SplitMix64, of which every value can be had by its index.

/// A sequence. Its values depend on its seed only.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed and this index; neighbours have nothing to do with each other.
    pub fn new(seed: u64, index: u64) -> Random {
        Random(mix(seed ^ mix(index.wrapping_add(GAMMA))))
    }

    /// The next value below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        // The high half of a product: unbiased enough for bounds far below 2^64.
        ((u128::from(mix(self.0)) * u128::from(bound)) >> 64) as u64
    }

    /// The next index into something of this length, which is not empty.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
