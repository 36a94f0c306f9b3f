//! Evaluating a program.
//!
//! What several parts need is computed when the first of them asks, and kept until the row is done. Nothing is allocated unless very
//! much is kept. Recursion is as deep as the filter; sums are worked from the left without any.

use std::cmp::Ordering;

use memchr::memmem;
use smallvec::{SmallVec, smallvec};

use super::cost::{self, PARSE, SEARCH, TRIES};
use super::{Asked, Group, Piece, Program, Ref, Rest, Test, Value};
use crate::filter::ast::{Comparison, Sign};
use crate::filter::eval::{self, Operand};
use crate::filter::fields::Fields;
use crate::filter::flips;
use crate::steps::blocks;
use crate::time::Timestamp;
use crate::value::{Number, Object, Value as Json, ValueRef};

pub(super) fn test<C, R: Fields<C> + ?Sized>(
    program: &Program<C>,
    row: &R,
    now: Timestamp,
    steps: &mut u64,
) -> bool {
    let mut run = Run::new(program, row, [now, now], 1);
    let holds = run.test(program.root);
    *steps += run.steps;
    holds
}

pub(super) fn test_rest<C, R: Fields<C> + ?Sized>(
    program: &Program<C>,
    rest: &Rest,
    row: &R,
    now: Timestamp,
    steps: &mut u64,
) -> bool {
    let mut run = Run::new(program, row, [now, now], 1);
    let holds = match program.tests[program.root.test()] {
        Test::All { start, end } if !program.root.is_negated() => {
            let mut operands = program.operands[start as usize..end as usize].iter();
            operands.all(|operand| {
                run.steps += 1;
                rest.proves(*operand) || run.test(*operand)
            })
        }
        _ => rest.proves(program.root) || run.test(program.root),
    };
    *steps += run.steps;
    holds
}

pub(super) fn test_operand<C, R: Fields<C> + ?Sized>(
    program: &Program<C>,
    or: Ref,
    operand: Ref,
    row: &R,
    now: Timestamp,
    steps: &mut u64,
) -> bool {
    let mut run = Run::new(program, row, [now, now], 1);
    let holds = match program.tests[program.root.test()] {
        Test::All { start, end } if !program.root.is_negated() => {
            let mut conjuncts = program.operands[start as usize..end as usize].iter();
            conjuncts.all(|test| run.test(if *test == or { operand } else { *test }))
        }
        _ => run.test(operand),
    };
    *steps += run.steps;
    holds
}

#[cfg(test)]
pub(super) fn test_both<C, R: Fields<C> + ?Sized>(
    program: &Program<C>,
    row: &R,
    then: Timestamp,
    now: Timestamp,
    steps: &mut u64,
) -> (bool, bool) {
    let mut run = Run::new(program, row, [then, now], 2);
    let both = run.both(program.root);
    *steps += run.steps;
    both
}

pub(super) fn turn<C, R: Fields<C> + ?Sized>(
    program: &Program<C>,
    row: &R,
    then: Timestamp,
    now: Timestamp,
    steps: &mut u64,
) -> Option<bool> {
    let mut run = Run::new(program, row, [then, now], 2);
    let turned = program.now_tests.iter().any(|test| {
        let (was, is) = run.both(Ref::of(*test as usize));
        was != is
    });
    let both = turned.then(|| run.both(program.root));
    *steps += run.steps;
    both.filter(|(was, is)| was != is).map(|(_, is)| is)
}

/// A test with `now`, by its place, and the moment at which it changes next.
type Change = (Timestamp, u32);

pub(super) fn next_flip<C, R: Fields<C> + ?Sized>(
    program: &Program<C>,
    row: &R,
    now: Timestamp,
    steps: &mut u64,
) -> Option<Timestamp> {
    let mut run = Run::new(program, row, [now, now], 1);
    let flip = run.next_flip(now);
    *steps += run.steps;
    flip
}

/// A sum that is kept.
#[derive(Clone, Copy)]
enum Known {
    Unknown,
    Number(Number),
    Instant(Timestamp),
    Invalid,
}

/// What the tests of a list say: a bit each, in [`Run::heard`] from here on.
type Heard = Option<u32>;

/// One row under evaluation.
struct Run<'a, C, R: ?Sized> {
    program: &'a Program<C>,
    row: &'a R,
    steps: u64,
    /// The moments that are asked about, and the one of them that is asked about just now.
    moments: [Timestamp; 2],
    moment: usize,
    /// Of each test that is kept two bits: whether its answer is known, and which it is. Those with `now` have two for each moment.
    tests: SmallVec<[u64; 4]>,
    sums: SmallVec<[Known; 2]>,
    /// What the text in a column reads as, where that is known.
    parsed: SmallVec<[Option<Option<Timestamp>>; 2]>,
    groups: SmallVec<[Heard; 2]>,
    heard: SmallVec<[u64; 2]>,
}

impl<'a, C, R: Fields<C> + ?Sized> Run<'a, C, R> {
    fn new(program: &'a Program<C>, row: &'a R, moments: [Timestamp; 2], count: u32) -> Self {
        let tests = (program.kept_tests.free + count * program.kept_tests.timed).div_ceil(32);
        let sums = program.kept_sums.free + count * program.kept_sums.timed;
        Run {
            program,
            row,
            steps: cost::words(program),
            moments,
            moment: 0,
            tests: smallvec![0; tests as usize],
            sums: smallvec![Known::Unknown; sums as usize],
            parsed: smallvec![None; program.parsed as usize],
            groups: smallvec![None; program.groups.len()],
            heard: SmallVec::new(),
        }
    }

    // --- tests ---

    fn test(&mut self, of: Ref) -> bool {
        self.steps += 1;
        let test = of.test() as u32;
        let kept = self.program.kept_tests;
        let holds = if test >= kept.all() {
            self.answer(of.test())
        } else {
            let again = if test < kept.free { 0 } else { self.moment as u32 * kept.timed };
            let place = (test + again) as usize;
            let (word, bit) = (place / 32, place % 32 * 2);
            match self.tests[word] >> bit & 3 {
                0 => {
                    let holds = self.answer(of.test());
                    self.tests[word] |= (1 | u64::from(holds) << 1) << bit;
                    holds
                }
                known => known & 2 == 2,
            }
        };
        holds != of.is_negated()
    }

    fn answer(&mut self, test: usize) -> bool {
        let program = self.program;
        match program.tests[test] {
            Test::Always => true,
            Test::All { start, end } => {
                program.operands[start as usize..end as usize].iter().all(|operand| self.test(*operand))
            }
            Test::Any { start, end } => {
                program.operands[start as usize..end as usize].iter().any(|operand| self.test(*operand))
            }
            Test::Compare { asked, left, right } => self.compare(asked, left, right),
            Test::In { value, set } => self.is_in(value, set),
            Test::List { group, test } => self.list(group, test),
            Test::Text { piece, left, right } => self.text(piece, left, right),
        }
    }

    /// Whether a test holds at each of the two moments.
    fn both(&mut self, of: Ref) -> (bool, bool) {
        let program = self.program;
        if !program.is_timed_test(of.test()) {
            let holds = self.test(of);
            return (holds, holds);
        }
        let (start, end, all) = match program.tests[of.test()] {
            Test::All { start, end } => (start, end, true),
            Test::Any { start, end } => (start, end, false),
            _ => {
                self.moment = 0;
                let then = self.test(of);
                self.moment = 1;
                return (then, self.test(of));
            }
        };
        self.steps += 1;
        // One operand decides where it is not what all are then.
        let operands = &program.operands[start as usize..end as usize];
        let (mut then, mut now) = (all, all);
        for timed in [true, false] {
            let operands = operands.iter().filter(|it| program.is_timed_test(it.test()) == timed);
            for operand in operands {
                if then != all && now != all {
                    break;
                }
                let (a, b) = self.both(*operand);
                (then, now) = if all { (then && a, now && b) } else { (then || a, now || b) };
            }
        }
        (then != of.is_negated(), now != of.is_negated())
    }

    fn compare(&mut self, asked: Asked, left: u32, right: u32) -> bool {
        self.steps += 1;
        let sides = (self.operand(left), self.operand(right));
        match (asked, sides) {
            (Asked::Different, (Operand::Invalid, _) | (_, Operand::Invalid)) => false,
            (Asked::Different, _) => !self.holds(Asked::Equal, (left, right), sides),
            _ => self.holds(asked, (left, right), sides),
        }
    }

    /// Whether two values compare as is asked, which are those of these numbers.
    fn holds(&mut self, asked: Asked, (left, right): (u32, u32), (a, b): (Operand<'a>, Operand<'a>)) -> bool {
        let ordering = match (a, b) {
            (Operand::Number(a), Operand::Number(b)) => a.cmp(&b),
            (Operand::Text(a), Operand::Text(b)) => {
                self.steps += blocks(a.len().min(b.len()));
                if asked == Asked::Equal {
                    return a == b;
                }
                a.cmp(b)
            }
            (Operand::Instant(a, _), Operand::Instant(b, _)) => a.cmp(&b),
            (Operand::Instant(a, _), Operand::Text(text)) => match self.read(right, text) {
                Some(b) => a.cmp(&b),
                None => return false,
            },
            (Operand::Text(text), Operand::Instant(b, _)) => match self.read(left, text) {
                Some(a) => a.cmp(&b),
                None => return false,
            },
            (Operand::Bool(a), Operand::Bool(b)) => a.cmp(&b),
            (Operand::Nothing, Operand::Nothing) => return asked == Asked::Equal,
            (Operand::List(a), Operand::List(b)) => {
                return asked == Asked::Equal && equal_lists(a, b, &mut self.steps);
            }
            (Operand::Object(a), Operand::Object(b)) => {
                return asked == Asked::Equal && equal_objects(a, b, &mut self.steps);
            }
            _ => return false,
        };
        match asked {
            Asked::Equal => ordering == Ordering::Equal,
            Asked::Different => ordering != Ordering::Equal,
            Asked::Less => ordering == Ordering::Less,
            Asked::LessOrEqual => ordering != Ordering::Greater,
        }
    }

    fn is_in(&mut self, value: u32, set: u32) -> bool {
        let program = self.program;
        let operand = self.operand(value);
        let read = match operand {
            Operand::Text(text) if !program.sets.get(set).instants.is_empty() => Some(self.read(value, text)),
            _ => None,
        };
        let mut found = false;
        program.sets.find(set, operand, read, &program.texts, &mut self.steps, &mut |_| {
            found = true;
            true
        });
        found
    }

    fn text(&mut self, piece: Piece, left: u32, right: u32) -> bool {
        self.steps += 1;
        let (Some(left), Some(right)) = (self.text_of(left), self.text_of(right)) else { return false };
        if left.len() < right.len() {
            return false;
        }
        match piece {
            Piece::Start => {
                self.steps += blocks(right.len());
                left.starts_with(right)
            }
            Piece::End => {
                self.steps += blocks(right.len());
                left.ends_with(right)
            }
            Piece::Anywhere => {
                self.steps += SEARCH * (blocks(left.len()) + blocks(right.len()));
                memmem::find(left, right).is_some()
            }
        }
    }

    /// What a test of a list says; answers all tests of the list.
    fn list(&mut self, group: u32, test: u32) -> bool {
        let start = match self.groups[group as usize] {
            Some(start) => start,
            None => {
                let start = self.heard.len() as u32;
                self.walk(&self.program.groups[group as usize]);
                self.groups[group as usize] = Some(start);
                start
            }
        };
        self.heard[(start + test / 64) as usize] >> (test % 64) & 1 == 1
    }

    /// Walks the list of a group once and appends what its tests say.
    fn walk(&mut self, group: &Group) {
        let (program, row) = (self.program, self.row);
        let asked = &program.asked[group.asked as usize..group.asked_end as usize];
        let start = self.heard.len();
        self.heard.resize(start + asked.len().div_ceil(64), 0);
        self.steps += 1;
        let ValueRef::List(items) = row.at(&program.columns[group.column as usize]) else { return };
        // What is asked of all of no items is true.
        let mut missing: SmallVec<[u32; 8]> =
            asked.iter().map(|test| if test.all { test.items } else { 1 }).collect();
        let mut open = 0;
        for (test, missing) in missing.iter().enumerate() {
            self.steps += 1;
            match missing {
                0 => self.heard[start + test / 64] |= 1 << (test % 64),
                _ => open += 1,
            }
        }
        let members = program.sets.len(group.set);
        self.steps += members as u64 / 16;
        let mut seen: SmallVec<[u64; 16]> = smallvec![0; (members + 3).div_ceil(64)];
        let (heard, mut told) = (&mut self.heard, 0);
        for item in items {
            if open == 0 {
                break;
            }
            self.steps += 1;
            program.sets.find(group.set, item.into(), None, &program.texts, &mut self.steps, &mut |place| {
                let (word, bit) = (place as usize / 64, 1 << (place % 64));
                if seen[word] & bit != 0 {
                    return false;
                }
                seen[word] |= bit;
                for test in group.tests_of(program, place) {
                    told += 1;
                    let missing = &mut missing[*test as usize];
                    if *missing > 0 {
                        *missing -= 1;
                        if *missing == 0 {
                            heard[start + *test as usize / 64] |= 1 << (test % 64);
                            open -= 1;
                        }
                    }
                }
                false
            });
        }
        self.steps += told;
    }

    // --- values ---

    fn operand(&mut self, value: u32) -> Operand<'a> {
        let program = self.program;
        match program.values[value as usize] {
            Value::Column(column) => {
                self.steps += 1;
                Operand::from(self.row.at(&program.columns[column as usize]))
            }
            Value::Now => Operand::Instant(self.moments[self.moment], None),
            Value::Nothing => Operand::Nothing,
            Value::Bool(value) => Operand::Bool(value),
            Value::Int(value) => Operand::Number(Number::Int(value.into())),
            Value::Number(number) => Operand::Number(program.numbers[number as usize]),
            Value::Text(text) => Operand::Text(program.texts.get(text).as_bytes()),
            Value::Instant(at) => Operand::Instant(program.instants[at as usize], None),
            Value::Span(span) => Operand::Duration(program.spans[span as usize]),
            Value::Sum(sum) => {
                self.steps += 1;
                self.sum(sum)
            }
        }
    }

    /// The instant that text reads as: the value's own, if it is not known.
    fn read(&mut self, value: u32, text: &[u8]) -> Option<Timestamp> {
        let program = self.program;
        let column = match program.values[value as usize] {
            Value::Column(column) if column < program.parsed => column as usize,
            Value::Text(text) => return program.texts.instant(text),
            _ => {
                self.steps += PARSE + blocks(text.len());
                return Timestamp::parse_text(text);
            }
        };
        if self.parsed[column].is_none() {
            self.steps += PARSE + blocks(text.len());
        }
        *self.parsed[column].get_or_insert_with(|| Timestamp::parse_text(text))
    }

    /// A sum, from the left: from the first value, or from a sum on the way that is known.
    fn sum(&mut self, sum: u32) -> Operand<'a> {
        let program = self.program;
        let mut open: SmallVec<[u32; 8]> = smallvec![sum];
        let mut left = loop {
            let last = open[open.len() - 1];
            if let Some(known) = self.known(last) {
                open.pop();
                break known;
            }
            match program.values[program.sums[last as usize].first as usize] {
                Value::Sum(first) => open.push(first),
                _ => break self.first(program.sums[last as usize].first, last),
            }
        };
        while let Some(sum) = open.pop() {
            for term in program.terms(&program.sums[sum as usize]) {
                let right = match program.values[term.value() as usize] {
                    Value::Span(span) => {
                        let span = program.spans[span as usize];
                        self.steps += cost::of_span(span.unit);
                        Operand::Duration(span)
                    }
                    _ => {
                        self.steps += 1;
                        self.operand(term.value())
                    }
                };
                left = eval::plus(left, if term.minus() { Sign::Minus } else { Sign::Plus }, right);
            }
            self.keep(sum, left);
        }
        left
    }

    /// The first value of a sum: text is read as an instant where a duration follows.
    fn first(&mut self, value: u32, sum: u32) -> Operand<'a> {
        let first = self.operand(value);
        let program = self.program;
        let terms = program.terms(&program.sums[sum as usize]);
        let moves =
            terms.first().is_some_and(|term| matches!(program.values[term.value() as usize], Value::Span(_)));
        match first {
            Operand::Text(text) if moves => match self.read(value, text) {
                Some(at) => Operand::Instant(at, None),
                None => Operand::Invalid,
            },
            first => first,
        }
    }

    /// Where a sum is kept.
    fn place(&self, sum: u32) -> Option<usize> {
        let kept = self.program.kept_sums;
        let again = if sum < kept.free { 0 } else { self.moment as u32 * kept.timed };
        (sum < kept.all()).then_some((sum + again) as usize)
    }

    fn known(&self, sum: u32) -> Option<Operand<'a>> {
        match self.sums[self.place(sum)?] {
            Known::Unknown => None,
            Known::Number(number) => Some(Operand::Number(number)),
            Known::Instant(at) => Some(Operand::Instant(at, None)),
            Known::Invalid => Some(Operand::Invalid),
        }
    }

    fn keep(&mut self, sum: u32, value: Operand<'_>) {
        if let Some(place) = self.place(sum) {
            self.sums[place] = match value {
                Operand::Number(number) => Known::Number(number),
                Operand::Instant(at, _) => Known::Instant(at),
                _ => Known::Invalid,
            };
        }
    }

    fn text_of(&mut self, value: u32) -> Option<&'a [u8]> {
        match self.operand(value) {
            Operand::Text(text) => Some(text),
            Operand::Instant(_, text) => text,
            _ => None,
        }
    }

    // --- time ---

    /// Forgets what depends on `now`, and goes to another moment.
    fn go_to(&mut self, now: Timestamp) {
        self.moments = [now, now];
        let Program { kept_tests, kept_sums, .. } = self.program;
        for test in kept_tests.free..kept_tests.all() {
            self.tests[test as usize / 32] &= !(3 << (test % 32 * 2));
        }
        let (free, all) = (kept_sums.free as usize, kept_sums.all() as usize);
        self.sums[free..all].fill(Known::Unknown);
    }

    fn next_flip(&mut self, now: Timestamp) -> Option<Timestamp> {
        let program = self.program;
        let passes = self.test(program.root);
        // Each test is asked once, and again only when its moment has come: a filter may have a thousand of them.
        let mut changes: SmallVec<[Change; 4]> = SmallVec::new();
        for test in &program.now_tests {
            changes.extend(self.next_change(*test, now).map(|at| (at, *test)));
        }
        let mut tries = 0;
        loop {
            self.steps += changes.len() as u64;
            let (at, _) = *changes.iter().min()?;
            tries += 1;
            if tries == TRIES {
                return Some(at);
            }
            self.go_to(at);
            if self.test(program.root) != passes {
                return Some(at);
            }
            changes.retain(|change| {
                if change.0 > at {
                    return true;
                }
                let next = self.next_change(change.1, at);
                next.inspect(|next| change.0 = *next).is_some()
            });
        }
    }

    /// The earliest moment after `at` at which a test itself may change.
    fn next_change(&mut self, test: u32, at: Timestamp) -> Option<Timestamp> {
        let program = self.program;
        self.steps += cost::of_moments(program, test as usize);
        match program.tests[test as usize] {
            Test::Compare { asked, left, right } => match (program.is_timed(left), program.is_timed(right)) {
                (true, true) => flips::next_change_of_race(&program.steps(left), &program.steps(right), at),
                (true, false) => self.next_change_of(left, asked.operator(), right, at),
                (false, _) => self.next_change_of(right, asked.operator().mirrored(), left, at),
            },
            Test::In { value, set } => {
                let set = program.sets.get(set);
                let (steps, equal) = (program.steps(value), Comparison::Equal);
                let spelled = set.texts.iter().filter_map(|text| program.texts.instant(*text));
                let instants = set.instants.iter().copied().chain(spelled);
                instants.filter_map(|other| flips::next_change_at(&steps, equal, other, at)).min()
            }
            _ => None,
        }
    }

    /// When the comparison of a moved `now` with another value may change next.
    fn next_change_of(
        &mut self,
        now: u32,
        operator: Comparison,
        other: u32,
        at: Timestamp,
    ) -> Option<Timestamp> {
        let steps = self.program.steps(now);
        match self.instant(other) {
            Some(other) => flips::next_change_at(&steps, operator, other, at),
            // What is no instant differs from every instant, as long as there is one.
            None if operator == Comparison::NotEqual => flips::next_edge(&steps, at),
            None => None,
        }
    }

    /// The instant that a value is beside an instant.
    fn instant(&mut self, value: u32) -> Option<Timestamp> {
        match self.operand(value) {
            Operand::Instant(at, _) => Some(at),
            Operand::Text(text) => self.read(value, text),
            _ => None,
        }
    }
}

/// Whether two values of rows are equal; a step for each of their parts, and one for each block of texts that is read.
fn equal(a: &Json, b: &Json, steps: &mut u64) -> bool {
    *steps += 1;
    match (a, b) {
        (Json::List(a), Json::List(b)) => equal_lists(a, b, steps),
        (Json::Object(a), Json::Object(b)) => equal_objects(a, b, steps),
        _ => {
            if let (Some(a), Some(b)) = (a.as_text(), b.as_text()) {
                *steps += blocks(a.len().min(b.len()));
            }
            a == b
        }
    }
}

fn equal_lists(a: &[Json], b: &[Json], steps: &mut u64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b, steps))
}

fn equal_objects(a: &Object, b: &Object, steps: &mut u64) -> bool {
    a.len() == b.len()
        && a.iter().zip(b.iter()).all(|((name, a), (other, b))| {
            *steps += 1 + blocks(name.len().min(other.len()));
            name == other && equal(a, b, steps)
        })
}
