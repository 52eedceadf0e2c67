//! The generator behind every choice: xoshiro256** seeded through splitmix64 (Blackman and Vigna,
//! public domain). Our own, because a dependency's update must not change what a seed means.

/// A stream of numbers that follows from its seed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Random([u64; 4]);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        let mut state = [0; 4];
        let mut z = seed;
        let mut i = 0;
        while i < 4 {
            z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut word = z;
            word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            state[i] = word ^ (word >> 31);
            i += 1;
        }
        Self(state)
    }

    /// The next 64 bits.
    pub(super) const fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let c2 = c ^ a;
        let d2 = d ^ b;
        self.0 = [a ^ d2, b ^ c2, c2 ^ (b << 17), d2.rotate_left(45)];
        result
    }

    /// A number below `bound`, which is at least 1. The bias is below `bound` / 2^64.
    pub(super) const fn below(&mut self, bound: u64) -> u64 {
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut random = Random::new(7);
        let first: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(first, EXPECTED);
        assert!((0..1000).all(|_| random.below(3) < 3));
    }

    /// From the authors' C code, with the state that splitmix64 makes of 7.
    const EXPECTED: [u64; 3] = [
        0xB358_FAF7_4EF9_765A,
        0x475C_3D96_4F48_2CD2,
        0xD6F1_D349_952C_7996,
    ];
}
