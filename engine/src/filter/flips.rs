//! When time alone changes whether a node passes.
//!
//! Only tests with `now` change with time. A side with `now` is `now` moved by constant durations (nothing else adds up), which is
//! a monotone function of time, so each such test has few moments at which it can change, and they are had in closed form: where
//! the moved `now` reaches and where it passes what the other side is in this node, and where it enters and leaves the calendar.
//! With `now` on both sides the two run in parallel or, at the ends of months, one waits for the other; then the moments are
//! where they meet and where either begins or ceases to wait.

use smallvec::SmallVec;

use super::ast::{Comparison, Expr, Membership, Sign, Sum, Term};
use super::eval::{self, Operand};
use super::fields::{Fields, NoFields};
use crate::path::Path;
use crate::syntax::Literal;
use crate::time::{Instant, Step, Steps};

/// So many candidates are tried before one is returned at which nothing may change, which is legal: asking again from there
/// goes on. It bounds the cost of a filter whose tests flip often without changing the whole.
const TRIES: usize = 64;

/// A test, by its place, and the moment at which it changes next.
type Change = (Instant, usize);

/// A test that changes with time.
#[derive(Debug, Clone)]
pub(crate) enum NowTest<P = Path> {
    /// A comparison with `now` on one side, turned so that it is the left one.
    Compare { now: Steps, operator: Comparison, other: Sum<P> },
    /// A comparison with `now` on both sides.
    Race { left: Steps, right: Steps },
    /// `now in […]`
    Member { now: Steps, list: Vec<Literal> },
}

/// The tests of a filter that change with time.
pub(super) fn now_tests<P: Clone>(expr: &Expr<P>) -> Vec<NowTest<P>> {
    let mut tests = Vec::new();
    collect(expr, &mut tests);
    tests
}

fn collect<P: Clone>(expr: &Expr<P>, tests: &mut Vec<NowTest<P>>) {
    match expr {
        Expr::Not(inner) => collect(inner, tests),
        Expr::And(operands) | Expr::Or(operands) => {
            operands.iter().for_each(|operand| collect(operand, tests))
        }
        Expr::Compare { left, operator, right } => match (left.steps(), right.steps()) {
            (Some(now), None) => {
                tests.push(NowTest::Compare { now, operator: *operator, other: right.clone() });
            }
            (None, Some(now)) => {
                tests.push(NowTest::Compare { now, operator: operator.mirrored(), other: left.clone() });
            }
            (Some(left), Some(right)) => tests.push(NowTest::Race { left, right }),
            (None, None) => {}
        },
        Expr::Member { left, operator: Membership::In, list } => {
            if let Some(now) = left.steps() {
                tests.push(NowTest::Member { now, list: list.clone() });
            }
        }
        // An instant is no list and `now` has no text: the checker refuses `now` there.
        Expr::Member { .. } | Expr::Text { .. } | Expr::Constant(_) | Expr::Field(_) => {}
    }
}

impl<P> Sum<P> {
    /// How this sum moves `now`, if it is one over `now`. That can only be the first term, and all others are durations.
    pub(crate) fn steps(&self) -> Option<Steps> {
        if !matches!(self.first, Term::Now) {
            return None;
        }
        let mut steps = Steps::default();
        for (sign, term) in &self.rest {
            let span = match term {
                Term::Literal(literal) => Operand::from(literal),
                // A sum of durations depends on neither node nor time.
                Term::Sum(sum) => eval::evaluate(sum, &NoFields, Instant::UNIX_EPOCH),
                Term::Now | Term::Path(_) => Operand::Invalid,
            };
            if let Operand::Duration(span) = span {
                steps.0.push(Step { forward: *sign == Sign::Plus, span });
            }
        }
        Some(steps)
    }
}

/// The earliest moment after `now` at which `node` may pass where it did not, or not where it did; see
/// [`Filter::next_flip`](super::Filter::next_flip).
pub(super) fn next_flip<P, N: Fields<P> + ?Sized>(
    expr: &Expr<P>,
    tests: &[NowTest<P>],
    node: &N,
    now: Instant,
) -> Option<Instant> {
    let passes = eval::matches(expr, node, now);
    // Each test is asked once, and again only when its moment has come: a filter may have a thousand of them.
    let ask = |place: usize, at| tests[place].next_change(node, at).map(|moment| (moment, place));
    let mut changes: SmallVec<[Change; 4]> = (0..tests.len()).filter_map(|place| ask(place, now)).collect();
    let mut tries = 0;
    loop {
        let (at, _) = *changes.iter().min()?;
        tries += 1;
        if tries == TRIES || eval::matches(expr, node, at) != passes {
            return Some(at);
        }
        changes.retain(|change| {
            if change.0 > at {
                return true;
            }
            let next = ask(change.1, at);
            next.inspect(|next| *change = *next).is_some()
        });
    }
}

impl<P> NowTest<P> {
    /// The earliest moment after `at` at which the test itself may change.
    fn next_change<N: Fields<P> + ?Sized>(&self, node: &N, at: Instant) -> Option<Instant> {
        match self {
            NowTest::Compare { now, operator, other } => {
                next_change_against(now, *operator, eval::evaluate(other, node, at), at)
            }
            NowTest::Member { now, list } => {
                let items = list.iter().map(Operand::from);
                items.filter_map(|item| next_change_against(now, Comparison::Equal, item, at)).min()
            }
            NowTest::Race { left, right } => next_change_of_race(left, right, at),
        }
    }
}

/// The instant that an operand is beside an instant.
fn instant(operand: Operand<'_>) -> Option<Instant> {
    match operand {
        Operand::Instant(at, _) => Some(at),
        Operand::Text(text) => Instant::parse_rfc3339(text),
        _ => None,
    }
}

/// Where the comparison of the moved `now` with `other` changes: never where the other side is no instant.
fn next_change_against(
    now: &Steps,
    operator: Comparison,
    other: Operand<'_>,
    at: Instant,
) -> Option<Instant> {
    next_change_at(now, operator, instant(other)?, at)
}

/// The first moment after `at` at which the comparison of the moved `now` with `target` changes. It can only where the moved `now`
/// reaches or passes the target, or enters or leaves the calendar.
pub(crate) fn next_change_at(
    now: &Steps,
    operator: Comparison,
    target: Instant,
    at: Instant,
) -> Option<Instant> {
    let holds = |at| {
        let left = now.apply(at).map_or(Operand::Invalid, |at| Operand::Instant(at, None));
        eval::compare(left, operator, Operand::Instant(target, None))
    };
    let mut moments =
        [now.first_reaching(target), now.first_passing(target), now.first_inside(), now.first_beyond()];
    moments.sort_unstable();
    let holds_now = holds(at);
    moments.into_iter().flatten().find(|moment| *moment > at && holds(*moment) != holds_now)
}

fn next_change_of_race(left: &Steps, right: &Steps, at: Instant) -> Option<Instant> {
    let edges = [left.first_inside(), left.first_beyond(), right.first_inside(), right.first_beyond()];
    let edge = edges.into_iter().flatten().filter(|edge| *edge > at).min();
    let (Some(left_piece), Some(right_piece)) = (left.piece(at), right.piece(at)) else {
        // Outside of the calendar the test is false until the calendar is entered.
        return edge;
    };
    let until = Instant::from_unix_nanos(left_piece.until.min(right_piece.until));
    let meeting = match (left.apply(at)?, right.apply(at)?) {
        (l, r) if left_piece.moves && !right_piece.moves => meeting(at, l, r),
        (l, r) if right_piece.moves && !left_piece.moves => meeting(at, r, l),
        // Both move or both wait: neither gains on the other.
        _ => None,
    };
    [edge, until, meeting].into_iter().flatten().min()
}

/// When `moving`, which advances with time, meets `waiting`; or, where they are one already, leaves it.
fn meeting(at: Instant, moving: Instant, waiting: Instant) -> Option<Instant> {
    let gap = waiting.unix_nanos() - moving.unix_nanos();
    match gap {
        1.. => Instant::from_unix_nanos(at.unix_nanos() + gap),
        0 => Instant::from_unix_nanos(at.unix_nanos() + 1),
        _ => None,
    }
}
