//! How much work lies between a commit and the handing of its diffs.

use std::collections::VecDeque;

/// What was done between a commit, or a moment of time that changed something, and the handing of its diffs to those who watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delay {
    /// Inputs taken after that of the commit, that at whose end the diffs were handed out included: 0 where they left with it.
    pub holds: u64,
    /// Steps of work, those of the commit itself included, and of reading and storing its rows.
    pub steps: u64,
}

/// The inputs that made versions.
#[derive(Debug, Default)]
pub(crate) struct Makers(VecDeque<Maker>);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Maker {
    /// The last version that it made.
    pub(crate) version: u64,
    /// Its number, and the steps done before it.
    pub(crate) hold: u64,
    pub(crate) steps: u64,
    /// Steps that it took besides: the rows of a commit are read before it.
    pub(crate) uncounted: u64,
}

impl Makers {
    /// So many are remembered. What was made before those counts as made by the first of them.
    const MOST: usize = 1_024;

    /// An input has made versions.
    pub(crate) fn note(&mut self, maker: Maker) {
        if self.0.len() == Self::MOST {
            self.0.pop_front();
        }
        self.0.push_back(maker);
    }

    /// All that was made was handed. Costs nothing where that is so already.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What lies between the making of a version and a later moment, which is given as [`note`](Self::note) has it.
    pub(crate) fn delay(&self, version: u64, hold: u64, steps: u64) -> Delay {
        let place = self.0.partition_point(|maker| maker.version < version);
        self.0.get(place).map_or(Delay::default(), |maker| Delay {
            holds: hold.saturating_sub(maker.hold),
            steps: steps.saturating_sub(maker.steps) + maker.uncounted,
        })
    }
}

/// How many results were handed out, by the inputs that lay between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// How many had at most as many inputs between as [`Delays::BOUNDS`] says at that place; in the last place all.
    pub up_to: [u64; Delays::BOUNDS.len() + 1],
    /// The most.
    pub longest: Delay,
}

impl Delays {
    /// The bounds by which they are sorted.
    pub const BOUNDS: [u64; 4] = [0, 10, 100, 1_000];

    pub(crate) fn note(&mut self, delay: Delay) {
        for (count, bound) in self.up_to.iter_mut().zip(Self::BOUNDS.into_iter().chain([u64::MAX])) {
            *count += u64::from(delay.holds <= bound);
        }
        self.longest = self.longest.max(delay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_counts_from_the_input_that_made_the_version() {
        let mut makers = Makers::default();
        assert_eq!(makers.delay(1, 5, 100), Delay::default(), "nobody knows");
        makers.note(Maker { version: 10, hold: 3, steps: 40, uncounted: 0 });
        makers.note(Maker { version: 12, hold: 7, steps: 90, uncounted: 500 });
        assert_eq!(makers.delay(10, 3, 45), Delay { holds: 0, steps: 5 });
        assert_eq!(makers.delay(9, 8, 100), Delay { holds: 5, steps: 60 }, "the same input made both");
        assert_eq!(makers.delay(11, 8, 100), Delay { holds: 1, steps: 510 }, "its rows were read before");
        for version in 13..13 + Makers::MOST as u64 {
            makers.note(Maker { version, hold: version, steps: 1_000, uncounted: 0 });
        }
        assert_eq!(makers.0.len(), Makers::MOST);
    }

    #[test]
    fn delays_are_sorted_by_the_inputs_between() {
        let mut delays = Delays::default();
        for holds in [0, 0, 10, 11, 5_000] {
            delays.note(Delay { holds, steps: 1 });
        }
        assert_eq!((delays.up_to, delays.longest.holds), ([2, 3, 4, 4, 5], 5_000));
    }
}
