//! Numbers by a law.

use liveset_cli::load::random::Random;

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
        let at = random.below(all);
        self.sums.partition_point(|sum| *sum <= at) as u32
    }
}
