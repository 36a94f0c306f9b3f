//! What evaluating a program costs at most, and what its parts do.
//!
//! Each test, sum and group is evaluated at most once for a row and a moment: one that several others need is kept. So the cost
//! of a program is the sum of the costs of its parts, each without the parts that it is made of.

use super::{Group, Program, Sum, Test, Value};
use crate::steps::{Cost, blocks, halves};
use crate::time::Unit;

/// Reading an instant from a text, besides its blocks.
pub(super) const PARSE: u64 = 2;
/// Moving an instant by months or years.
pub(super) const CALENDAR: u64 = 2;
/// Looking for a text within another costs so many steps for each block of the two.
pub(super) const SEARCH: u64 = 3;

/// Values in a block of JSON: each takes a byte at least, and another before the next.
const VALUES: u64 = 8;
/// Texts in a block: their quotes too.
const TEXTS: u64 = 6;
/// What comparing two values takes for a block of the smaller: a step for each value or name of a member, and one to read them.
const EQUALITY: u64 = VALUES + 1;

/// How many candidates a flip is looked for at.
pub(super) const TRIES: u64 = 64;

/// The cost of a program whose tables are complete but for it, and the part of it that depends on `now`.
pub(super) fn of<C>(program: &Program<C>) -> (Cost, Cost) {
    let (mut free, mut timed) = (Cost::new(1 + words(program), 0), Cost::NONE);
    let mut add = |cost: Cost, is_timed: bool| {
        let sum = if is_timed { &mut timed } else { &mut free };
        *sum = sum.plus(cost);
    };
    for test in 0..program.tests.len() {
        add(of_test(program, test), program.is_timed_test(test));
    }
    for sum in program.sums.iter() {
        add(of_sum(program, sum), program.is_timed(sum.first));
    }
    for group in program.groups.iter() {
        add(of_group(program, group), false);
    }
    // Each column's text is read as an instant at most once.
    add(Cost::new(PARSE + 1, 1).times(program.parsed.into()), false);
    (free.plus(timed), timed)
}

/// Making room for what is kept.
pub(super) fn words<C>(program: &Program<C>) -> u64 {
    let kept = u64::from(program.kept_tests.all()) / 32 + u64::from(program.kept_sums.all());
    kept + program.groups.len() as u64 + u64::from(program.parsed)
}

/// A test without the sums and groups that it asks.
pub(super) fn of_test<C>(program: &Program<C>, test: usize) -> Cost {
    match program.tests[test] {
        Test::Always => Cost::new(1, 0),
        Test::All { start, end } | Test::Any { start, end } => Cost::new(2 * u64::from(end - start), 0),
        Test::Compare { asked, left, right } => {
            let values = of_value(program, left).plus(of_value(program, right));
            let lengths = (text_of(program, left), text_of(program, right));
            values.plus(match lengths {
                (Some(text), None) | (None, Some(text)) => Cost::new(1 + blocks(text), 0),
                _ if asked != super::Asked::Less
                    && asked != super::Asked::LessOrEqual
                    && is_column(program, left)
                    && is_column(program, right) =>
                {
                    Cost::new(1, EQUALITY)
                }
                _ if is_column(program, left) && is_column(program, right) => Cost::new(1, 1),
                _ => Cost::new(1, 0),
            })
        }
        Test::In { value, set } => {
            of_value(program, value).plus(Cost::new(of_look_up(program, set, true), 0))
        }
        Test::List { .. } => Cost::new(1, 0),
        Test::Text { piece, left, right } => {
            let values = of_value(program, left).plus(of_value(program, right));
            let per_block = if piece == super::Piece::Anywhere { SEARCH } else { 1 };
            values.plus(match (text_of(program, left), text_of(program, right)) {
                // What is looked for at one end takes its own length.
                (None, Some(text)) if piece != super::Piece::Anywhere => Cost::new(1 + blocks(text), 0),
                (None, Some(text)) => Cost::new(1 + SEARCH * (1 + blocks(text)), per_block),
                // What is longer than the text is not looked for.
                (Some(text), None) => Cost::new(1 + 2 * per_block * (1 + blocks(text)), 0),
                _ => Cost::new(1 + 2 * per_block, 2 * per_block),
            })
        }
    }
}

/// Looking a value up in a set, at most; `whole` where it is no longer than what the set has of texts.
fn of_look_up<C>(program: &Program<C>, set: u32, one: bool) -> u64 {
    let members = program.sets.get(set);
    let longest = members.texts.iter().map(|text| program.texts.get(*text).len()).max().unwrap_or(0);
    let reading = if one { blocks(longest) } else { 0 };
    let numbers = halves(members.small.len()).max(halves(members.numbers.len()));
    let texts = halves(members.texts.len()) * (1 + reading);
    let instants = halves(members.instants.len());
    // Of the spellings of an instant one is enough.
    let spelled = match members.spelled.len() {
        0 => 0,
        spelled => halves(spelled) + 1 + halves(members.texts.len()),
    };
    1 + numbers.max(texts + instants).max(instants + spelled)
}

/// One walk of a list, and what is made of it.
pub(super) fn of_group<C>(program: &Program<C>, group: &Group) -> Cost {
    let members = program.sets.get(group.set);
    let numbers = 1 + halves(members.small.len()).max(halves(members.numbers.len()));
    let mut texts = 1 + halves(members.texts.len());
    let mut reading = halves(members.texts.len());
    if !members.instants.is_empty() {
        texts += PARSE + halves(members.instants.len());
        reading += 1;
    }
    let per_block = (VALUES * (1 + numbers)).max(TEXTS * (1 + texts) + reading);
    let tests = &program.asked[group.asked as usize..group.asked_end as usize];
    // Each test hears once of each item that it asks for.
    let heard: u64 = tests.iter().map(|test| u64::from(test.items) + 1).sum();
    Cost::new(3 + heard + program.sets.len(group.set) as u64 / 16, per_block)
}

pub(super) fn of_sum<C>(program: &Program<C>, sum: &Sum) -> Cost {
    let terms = program.terms(sum).iter().map(|term| match program.values[term.value() as usize] {
        Value::Span(span) => Cost::new(of_span(program.spans[span as usize].unit), 0),
        _ => of_value(program, term.value()).plus(Cost::new(1, 0)),
    });
    of_value(program, sum.first).plus(Cost::new(1, 0)).plus(terms.sum())
}

pub(super) fn of_span(unit: Unit) -> u64 {
    if matches!(unit, Unit::Months | Unit::Years) { CALENDAR } else { 1 }
}

/// Getting at a value; a sum costs extra, once.
fn of_value<C>(program: &Program<C>, value: u32) -> Cost {
    match program.values[value as usize] {
        Value::Column(_) | Value::Sum(_) => Cost::new(1, 0),
        _ => Cost::NONE,
    }
}

fn is_column<C>(program: &Program<C>, value: u32) -> bool {
    matches!(program.values[value as usize], Value::Column(_))
}

/// The length of a constant that is text.
fn text_of<C>(program: &Program<C>, value: u32) -> Option<usize> {
    match program.values[value as usize] {
        Value::Text(text) => Some(program.texts.get(text).len()),
        _ => None,
    }
}

/// Looking for the next flip: the filter once, what depends on `now` for each candidate, and the moments of the tests.
pub(super) fn of_flip<C>(program: &Program<C>) -> Cost {
    let tests = program.now_tests.len() as u64;
    let chains: u64 = program.now_tests.iter().map(|test| of_moments(program, *test as usize)).sum();
    // A test is asked once, and again for each candidate that is one of its moments; between them all candidates are compared.
    let moments = chains.saturating_mul(TRIES + 1).saturating_add(tests * (TRIES + 1));
    program.cost.plus(program.timed_cost.times(TRIES)).plus(Cost::new(moments, 0))
}

/// Finding the next moment of one test, at most.
pub(super) fn of_moments<C>(program: &Program<C>, test: usize) -> u64 {
    match program.tests[test] {
        Test::Compare { left, right, .. } => 8 + 12 * (of_chain(program, left) + of_chain(program, right)),
        Test::In { value, set } => program.sets.len(set) as u64 * (8 + 12 * of_chain(program, value)),
        _ => 1,
    }
}

/// The steps of the durations that a value moves `now` by.
pub(super) fn of_chain<C>(program: &Program<C>, value: u32) -> u64 {
    if !program.is_timed(value) {
        return 1;
    }
    let steps = program.steps(value);
    steps.0.iter().map(|step| of_span(step.span().unit)).sum::<u64>() + 1
}
