//! Numbers from a seed.

/// A small generator (splitmix64): the same numbers for the same seed, on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that begins at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next number below `limit`; 0 for a limit of 0.
    pub fn below(&mut self, limit: u32) -> u32 {
        // Scaled: no division, and no bias that matters here.
        self.below_many(u64::from(limit)) as u32
    }

    fn below_many(&mut self, limit: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }
}

/// The law of Zipf: of `count` things the first comes up twice as often as the second, three times as often as the third.
#[derive(Clone, Debug)]
pub struct Zipf {
    /// The weights of the things up to here, in whole numbers: no rounding that differs between machines.
    sums: Vec<u64>,
}

impl Zipf {
    /// Over the numbers below `count`.
    pub fn new(count: u32) -> Self {
        let weights = (1..=u64::from(count.max(1))).map(|place| (1 << 32) / place);
        let sums = weights.scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self { sums: sums.collect() }
    }

    /// The next number.
    pub fn draw(&self, random: &mut Random) -> u32 {
        let all = self.sums.last().copied().unwrap_or(0);
        let at = random.below_many(all);
        self.sums.partition_point(|sum| *sum <= at) as u32
    }
}
