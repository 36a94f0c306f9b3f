//! When time alone changes a test.
//!
//! Only tests with `now` change with time. A side with `now` is `now` moved by constant durations (nothing else adds up), which is
//! a monotone function of time, so each such test has few moments at which it can change, and they are had in closed form: where
//! the moved `now` reaches and where it passes what the other side is in this node, and where it enters and leaves the calendar.
//! With `now` on both sides the two run in parallel or, at the ends of months, one waits for the other; then the moments are
//! where they meet and where either begins or ceases to wait.

use super::ast::Comparison;
use super::eval::{self, Operand};
use crate::time::{Steps, Timestamp};

/// The first moment after `at` at which the comparison of the moved `now` with `target` changes. It can only where the moved `now`
/// reaches or passes the target, or enters or leaves the calendar.
pub(crate) fn next_change_at(
    now: &Steps,
    operator: Comparison,
    target: Timestamp,
    at: Timestamp,
) -> Option<Timestamp> {
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

/// The first moment after `at` at which the moved `now` enters or leaves the calendar.
pub(super) fn next_edge(now: &Steps, at: Timestamp) -> Option<Timestamp> {
    [now.first_inside(), now.first_beyond()].into_iter().flatten().filter(|edge| *edge > at).min()
}

/// The same of a comparison of `now` with `now`, each moved by its own steps.
pub(super) fn next_change_of_race(left: &Steps, right: &Steps, at: Timestamp) -> Option<Timestamp> {
    let edges = [left.first_inside(), left.first_beyond(), right.first_inside(), right.first_beyond()];
    let edge = edges.into_iter().flatten().filter(|edge| *edge > at).min();
    let (Some(left_piece), Some(right_piece)) = (left.piece(at), right.piece(at)) else {
        // Outside of the calendar the test is false until the calendar is entered.
        return edge;
    };
    let until = Timestamp::from_unix_nanos(left_piece.until.min(right_piece.until));
    let meeting = match (left.apply(at)?, right.apply(at)?) {
        (l, r) if left_piece.moves && !right_piece.moves => meeting(at, l, r),
        (l, r) if right_piece.moves && !left_piece.moves => meeting(at, r, l),
        // Both move or both wait: neither gains on the other.
        _ => None,
    };
    [edge, until, meeting].into_iter().flatten().min()
}

/// When `moving`, which advances with time, meets `waiting`; or, where they are one already, leaves it.
fn meeting(at: Timestamp, moving: Timestamp, waiting: Timestamp) -> Option<Timestamp> {
    let gap = waiting.unix_nanos() - moving.unix_nanos();
    match gap {
        1.. => Timestamp::from_unix_nanos(at.unix_nanos() + gap),
        0 => Timestamp::from_unix_nanos(at.unix_nanos() + 1),
        _ => None,
    }
}
