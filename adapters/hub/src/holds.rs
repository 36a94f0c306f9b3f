//! What one input takes while the owner's lock is held, in steps of the engine's work.

use crate::{Hub, Now, delays::Maker};

impl Hub {
    /// Steps of work done so far: the engine's, and those of planning and handing out.
    pub(crate) fn steps(&self) -> u64 {
        self.engine.steps() + self.counts.own_steps
    }

    /// An input is about to be taken. What a commit has left comes first.
    pub(crate) fn begin_hold(&mut self, now: Now) {
        self.enter_hold();
        self.finish_commit(now, LITTLE);
        // Results that have waited for it.
        self.settle_all(now);
    }

    /// The same for an input that has nothing to do with live queries, or finishes the commit itself.
    pub(crate) fn enter_hold(&mut self) {
        self.inputs += 1;
        self.hold_from = self.steps();
    }

    /// Brings a commit to the live queries that no index finds, as far as `steps` steps allow; the others fall behind.
    pub(crate) fn finish_commit(&mut self, now: Now, steps: u64) {
        if self.engine.is_unfinished() {
            self.engine.finish_commit(steps);
            self.take_updates(now);
        }
    }

    /// How many steps the input that is being taken may still do.
    pub(crate) fn left_of_hold(&self) -> u64 {
        self.engine.hold_steps().saturating_sub(self.steps() - self.hold_from)
    }

    /// The input was taken.
    pub(crate) fn note_hold(&mut self, input: Input) {
        self.counts.holds.note(input, self.steps() - self.hold_from);
    }

    /// Answers the host, or an owner on behalf of somebody, as an input of its own.
    pub(crate) fn as_query<T>(&mut self, now: Now, work: impl FnOnce(&mut Self) -> T) -> T {
        self.begin_hold(now);
        let answer = work(self);
        self.note_hold(Input::Query);
        answer
    }

    /// Makes every result true as of now.
    pub(crate) fn pass_time(&mut self, now: Now) {
        let before = self.engine.version();
        self.engine.pass_time(now.wall);
        self.note_versions(before, 0);
    }

    /// The input that is being taken has made the versions of the engine behind `before`, if there are any, after so many steps that
    /// nothing else counts.
    pub(crate) fn note_versions(&mut self, before: u64, uncounted: u64) {
        if self.engine.version() != before {
            self.makers.note(Maker {
                version: self.engine.version(),
                hold: self.inputs,
                steps: self.hold_from,
                uncounted,
            });
        }
    }
}

/// Steps that an input spends on what a commit has left before it.
const LITTLE: u64 = 2_000;

/// A kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// A message of a client.
    Message,
    /// A verdict on a token.
    Verdict,
    /// A commit of the host.
    Commit,
    /// The passing of time.
    Timeout,
    /// A slice of work that was put off.
    Work,
    /// A query that is asked once, explained, or watched by the host.
    Query,
    /// An event of the host.
    Event,
    /// The end of a connection.
    Disconnect,
}

/// The inputs of one kind, by the steps that they took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// How many took at most as many steps as [`Holds::BOUNDS`] says at that place; in the last place all.
    pub up_to: [u64; Holds::BOUNDS.len() + 1],
    /// The steps of all.
    pub steps: u64,
    /// The most steps of one.
    pub longest: u64,
}

/// The steps that inputs took, by their kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holds([Hold; 8]);

impl Holds {
    /// The bounds by which inputs are sorted.
    pub const BOUNDS: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
    const NAMES: [(&'static str, Input); 8] = [
        ("message", Input::Message),
        ("verdict", Input::Verdict),
        ("commit", Input::Commit),
        ("timeout", Input::Timeout),
        ("work", Input::Work),
        ("query", Input::Query),
        ("event", Input::Event),
        ("disconnect", Input::Disconnect),
    ];

    pub(crate) fn note(&mut self, input: Input, steps: u64) {
        let hold = &mut self.0[input as usize];
        for (count, bound) in hold.up_to.iter_mut().zip(Self::BOUNDS.into_iter().chain([u64::MAX])) {
            *count += u64::from(steps <= bound);
        }
        hold.steps += steps;
        hold.longest = hold.longest.max(steps);
    }

    /// The inputs of one kind.
    pub fn of(&self, input: Input) -> Hold {
        self.0[input as usize]
    }

    /// All kinds, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Hold)> + '_ {
        Self::NAMES.into_iter().map(|(name, input)| (name, self.of(input)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_counted_by_their_steps() {
        let mut holds = Holds::default();
        for steps in [0, 1_000, 1_001, 2_000_000] {
            holds.note(Input::Commit, steps);
        }
        let commit = holds.of(Input::Commit);
        assert_eq!((commit.up_to, commit.steps, commit.longest), ([2, 3, 3, 3, 4], 2_002_001, 2_000_000));
        assert_eq!(holds.iter().find(|(name, _)| *name == "commit"), Some(("commit", commit)));
        assert_eq!(holds.of(Input::Work), Hold::default());
    }
}
