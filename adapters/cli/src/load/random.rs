//! Numbers from a seed: what is simulated needs chance that repeats, not secrets.

use fastrand::Rng;

/// The same numbers for the same seed, on every machine.
#[derive(Debug, Clone)]
pub struct Random(Rng);

impl Random {
    /// A generator that begins at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// A number below `bound`; 0 where `bound` is 0.
    pub fn below<N: TryInto<u64> + TryFrom<u64> + Default>(&mut self, bound: N) -> N {
        let bound = bound.try_into().unwrap_or_default();
        if bound == 0 { N::default() } else { N::try_from(self.0.u64(..bound)).unwrap_or_default() }
    }

    /// A number in `[0, 1)`.
    pub fn fraction(&mut self) -> f64 {
        self.0.f64()
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// One of `items`, which are not empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// A gap of a Poisson process with that mean, at most eight times the mean.
    pub fn gap(&mut self, mean: f64) -> f64 {
        mean * (-(1.0 - self.fraction()).ln()).min(8.0)
    }

    /// Text with the form of a random uuid.
    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.0.u64(..), self.0.u64(..));
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | (low >> 50),
            low & 0xffff_ffff_ffff,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_for_the_same_seed_and_only_for_it() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..8).map(|_| random.below(1_000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn uuids_have_the_form_of_version_4() {
        let mut random = Random::new(1);
        for _ in 0..100 {
            let id = random.uuid();
            assert_eq!(id.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{id}");
            assert_eq!(&id[14..15], "4", "{id}");
            assert!("89ab".contains(&id[19..20]), "{id}");
        }
    }

    #[test]
    fn stays_within_its_bounds() {
        let mut random = Random::new(3);
        for _ in 0..1_000 {
            assert!(random.below(3) < 3);
            assert!((0.0..80.0).contains(&random.gap(10.0)) || random.gap(10.0) <= 80.0);
        }
        assert_eq!(random.below(0), 0);
    }
}
