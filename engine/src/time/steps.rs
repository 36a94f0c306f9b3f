//! An instant moved by durations, and the question asked backwards: when does it get there?
//!
//! A step moves an instant by a span. Years and months step the calendar; a day that the target month lacks becomes the last
//! instant of that month, so that a step never runs backwards: a later instant moves to a later instant or the same one. A chain
//! of steps is then a monotone function of time, with "before the calendar" below and "after the calendar" above all instants,
//! and the first moment at which it reaches a given instant can be had in closed form, step by step from the last to the first.

use smallvec::SmallVec;

use super::calendar::{self, Civil, END};
use super::span::Length;
use super::{Span, Timestamp, Unit};

/// One `+ span` or `- span`. 16 bytes: queries over time hold many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Step {
    count: u64,
    unit: Unit,
    pub(crate) forward: bool,
}

impl Step {
    pub(crate) fn new(forward: bool, span: Span) -> Step {
        Step { count: span.count, unit: span.unit, forward }
    }

    /// By how much, in either direction.
    pub(crate) fn span(self) -> Span {
        Span { count: self.count, unit: self.unit }
    }

    /// The instant moved, or `None` where that leaves the calendar.
    pub(crate) fn apply(self, at: Timestamp) -> Option<Timestamp> {
        match self.span().length() {
            Length::Nanos(nanos) => {
                Timestamp::from_unix_nanos(if self.forward { at.0 + nanos } else { at.0 - nanos })
            }
            Length::Months(months) => {
                let civil = Civil::of(at.0);
                let month = if self.forward { civil.month + months } else { civil.month - months };
                if !(calendar::FIRST_MONTH..=calendar::LAST_MONTH).contains(&month) {
                    return None;
                }
                if civil.day <= calendar::days_in_month(month) {
                    Some(Timestamp(calendar::start_of_day(month, civil.day) + civil.nanos))
                } else {
                    Some(Timestamp(calendar::start_of_day(month + 1, 1) - 1))
                }
            }
        }
    }

    /// The first instant that this step moves to `target` or behind it, both in nanoseconds from the first instant to
    /// [`END`]. `END` as a target asks for the first instant that leaves the calendar, the first instant as a target for the
    /// first that is moved to no place before the calendar; `END` as an answer says that no instant is.
    fn first_reaching(self, target: i128) -> i128 {
        match self.span().length() {
            Length::Nanos(nanos) => {
                let start = if self.forward { target - nanos } else { target + nanos };
                start.clamp(Timestamp::MIN.0, END)
            }
            Length::Months(months) => {
                let civil = Civil::of(target);
                let month = if self.forward { civil.month - months } else { civil.month + months };
                if month < calendar::FIRST_MONTH {
                    Timestamp::MIN.0
                } else if month > calendar::LAST_MONTH {
                    END
                } else if civil.day <= calendar::days_in_month(month) {
                    calendar::start_of_day(month, civil.day) + civil.nanos
                } else {
                    // No day of this month gets as far: its last instant stops short of the target.
                    calendar::start_of_day(month + 1, 1)
                }
            }
        }
    }

    /// How the step moves the instants from `at` on: by a constant or all to one instant, and until when.
    fn piece(self, at: Timestamp) -> Piece {
        let Length::Months(months) = self.span().length() else {
            return Piece { moves: true, until: END };
        };
        let civil = Civil::of(at.0);
        let month = if self.forward { civil.month + months } else { civil.month - months };
        let last = calendar::days_in_month(month);
        if civil.day > last {
            Piece { moves: false, until: calendar::start_of_day(civil.month + 1, 1) }
        } else if last < calendar::days_in_month(civil.month) {
            Piece { moves: true, until: calendar::start_of_day(civil.month, last + 1) }
        } else {
            Piece { moves: true, until: calendar::start_of_day(civil.month + 1, 1) }
        }
    }
}

/// A stretch of time over which a chain of steps either moves every instant by the same amount or moves all to one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Whether the result advances with time, rather than standing still.
    pub(crate) moves: bool,
    /// The first nanosecond that may behave otherwise, at most [`END`].
    pub(crate) until: i128,
}

/// Steps applied one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Steps(pub(crate) SmallVec<[Step; 1]>);

impl Steps {
    /// The instant moved by all steps, or `None` where one of them leaves the calendar.
    pub(crate) fn apply(&self, at: Timestamp) -> Option<Timestamp> {
        self.0.iter().try_fold(at, |at, step| step.apply(at))
    }

    /// The first moment that is moved to `target` or behind it; `None` where there is none.
    pub(crate) fn first_reaching(&self, target: Timestamp) -> Option<Timestamp> {
        self.first_reaching_nanos(target.0)
    }

    /// The first moment that is moved behind `target`, be it out of the calendar; `None` where there is none.
    pub(crate) fn first_passing(&self, target: Timestamp) -> Option<Timestamp> {
        self.first_reaching_nanos(target.0 + 1)
    }

    /// The first moment that no step moves before the calendar; `None` where there is none.
    pub(crate) fn first_inside(&self) -> Option<Timestamp> {
        self.first_reaching_nanos(Timestamp::MIN.0)
    }

    /// The first moment that a step moves behind the calendar; `None` where there is none.
    pub(crate) fn first_beyond(&self) -> Option<Timestamp> {
        self.first_reaching_nanos(END)
    }

    fn first_reaching_nanos(&self, target: i128) -> Option<Timestamp> {
        Timestamp::from_unix_nanos(pull_back(&self.0, target))
    }

    /// The stretch of time from `at` on over which the chain behaves alike; `None` where it leaves the calendar at `at`.
    pub(crate) fn piece(&self, at: Timestamp) -> Option<Piece> {
        let mut whole = Piece { moves: true, until: END };
        let mut moved = at;
        for (place, step) in self.0.iter().enumerate() {
            let piece = step.piece(moved);
            whole.moves &= piece.moves;
            whole.until = whole.until.min(pull_back(&self.0[..place], piece.until));
            moved = step.apply(moved)?;
        }
        Some(whole)
    }
}

/// The first instant, in nanoseconds, that the steps move to `target` or behind it.
fn pull_back(steps: &[Step], target: i128) -> i128 {
    steps.iter().rev().fold(target, |target, step| step.first_reaching(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn step(forward: bool, count: u64, unit: Unit) -> Step {
        Step::new(forward, Span { count, unit })
    }

    #[test]
    fn a_day_that_the_month_lacks_is_its_last_instant() {
        let month = step(false, 1, Unit::Months);
        let cases = [
            ("2023-03-28T10:00:00Z", "2023-02-28T10:00:00Z"),
            ("2023-03-29T10:00:00Z", "2023-02-28T23:59:59.999999999Z"),
            ("2023-03-31T00:00:00Z", "2023-02-28T23:59:59.999999999Z"),
            ("2023-04-01T00:00:00Z", "2023-03-01T00:00:00Z"),
            ("2024-03-29T10:00:00Z", "2024-02-29T10:00:00Z"),
            ("2023-01-31T10:00:00Z", "2022-12-31T10:00:00Z"),
        ];
        for (from, to) in cases {
            assert_eq!(month.apply(at(from)), Some(at(to)), "{from}");
        }
        let year = step(true, 1, Unit::Years);
        assert_eq!(year.apply(at("2024-02-29T12:00:00Z")), Some(at("2025-02-28T23:59:59.999999999Z")));
    }

    #[test]
    fn leaving_the_calendar_is_none() {
        assert_eq!(step(true, 1, Unit::Ticks).apply(Timestamp::MAX), None);
        assert_eq!(step(false, 1, Unit::Months).apply(Timestamp::MIN), None);
        assert_eq!(step(true, u64::MAX, Unit::Years).apply(Timestamp::UNIX_EPOCH), None);
        assert_eq!(step(false, u64::MAX, Unit::Weeks).apply(Timestamp::UNIX_EPOCH), None);
        assert_eq!(step(true, 0, Unit::Months).apply(Timestamp::MAX), Some(Timestamp::MAX));
    }

    /// The closed form against its definition: at the answer the step has got there, and a nanosecond before it has not.
    #[test]
    fn the_first_moment_is_the_first() {
        let targets = [
            Timestamp::MIN,
            Timestamp::MAX,
            at("2023-02-28"),
            at("2023-02-28T23:59:59.999999999Z"),
            at("2023-03-01"),
            at("2023-03-30T05:00:00Z"),
            at("2024-02-29T23:59:59.999999999Z"),
            at("2023-12-31T11:11:11Z"),
        ];
        let steps = [
            step(true, 1, Unit::Months),
            step(false, 1, Unit::Months),
            step(true, 13, Unit::Months),
            step(false, 4, Unit::Years),
            step(true, 1, Unit::Years),
            step(true, 30, Unit::Days),
            step(false, 9, Unit::Weeks),
            step(true, 8_000, Unit::Years),
            step(false, 12_000, Unit::Years),
        ];
        for first in steps {
            for second in steps {
                let chain = Steps(SmallVec::from_slice(&[first, second]));
                for target in targets {
                    // Below the calendar sorts first, behind it last.
                    let reached = |from: Timestamp| match chain.apply(from) {
                        Some(to) => to >= target,
                        None => leaves_behind(&chain, from),
                    };
                    match chain.first_reaching(target) {
                        Some(from) => {
                            assert!(reached(from), "{chain:?} {target} {from}");
                            if from > Timestamp::MIN {
                                assert!(!reached(Timestamp(from.0 - 1)), "{chain:?} {target} {from}");
                            }
                        }
                        None => assert!(!reached(Timestamp::MAX), "{chain:?} {target}"),
                    }
                }
            }
        }
    }

    fn leaves_behind(chain: &Steps, from: Timestamp) -> bool {
        let mut moved = from;
        for step in &chain.0 {
            match step.apply(moved) {
                Some(to) => moved = to,
                None => return step.forward,
            }
        }
        false
    }

    #[test]
    fn pieces_behave_alike_throughout() {
        let chains = [
            vec![step(false, 1, Unit::Months)],
            vec![step(true, 1, Unit::Months), step(false, 30, Unit::Days)],
            vec![step(true, 5, Unit::Days), step(false, 1, Unit::Years), step(true, 1, Unit::Months)],
        ];
        for chain in chains {
            let chain = Steps(SmallVec::from_vec(chain));
            let mut now = at("2023-01-15T06:07:08Z");
            for _ in 0..200 {
                let piece = chain.piece(now).unwrap();
                assert!(piece.until > now.0);
                let base = chain.apply(now).unwrap();
                for inside in [now.0 + 1, (now.0 + piece.until) / 2, piece.until - 1] {
                    let moved = chain.apply(Timestamp(inside)).unwrap();
                    let expected = if piece.moves { base.0 + (inside - now.0) } else { base.0 };
                    assert_eq!(moved.0, expected);
                }
                now = Timestamp(piece.until);
            }
        }
    }
}
