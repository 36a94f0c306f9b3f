//! A filter as a program: what it is made of in a few flat tables, each part once.
//!
//! | part | is held as |
//! | --- | --- |
//! | a test ([`Test`]) | 12 bytes; an operand of `and` or `or` 4 more |
//! | a value ([`Value`]) | 8 bytes; a sum 12 more, and 4 for each of its terms |
//! | a constant | its bytes: an integer of 32 bits none, a text its own and 4, others 16 |
//! | a set of constants ([`sets`]) | 24 bytes, and 4 to 16 for each constant |
//!
//! [`build`] finds the parts, [`emit`] lays them out, [`run`] evaluates them, [`cost`] bounds the steps that this takes.

use std::sync::Arc;

use crate::filter::fields::Fields;
use crate::steps::Cost;
use crate::time::{Span, Step, Steps, Timestamp};
use crate::value::Number;

mod build;
mod cost;
mod emit;
mod run;
mod sets;
#[cfg(test)]
mod tests;

pub(crate) use build::{Asked, Piece, Ref};
pub(crate) use sets::Member;

/// A filter ready to be asked, over nodes or over the columns of rows. Clones share it.
#[derive(Debug)]
pub(crate) struct Compiled<C>(Arc<Program<C>>);

impl<C> Clone for Compiled<C> {
    fn clone(&self) -> Self {
        Compiled(self.0.clone())
    }
}

/// The tables. Numbers of one table in another are `u32`: no filter has 2^31 parts.
#[derive(Debug)]
struct Program<C> {
    root: Ref,
    /// Those that may be read as instants first.
    columns: Box<[C]>,
    /// How many of the columns may be text that is read as an instant.
    parsed: u32,
    values: Box<[Value]>,
    sums: Box<[Sum]>,
    /// How many of the sums are computed once and kept: the first of them without `now`, then those with it.
    kept_sums: Kept,
    /// The terms of sums.
    terms: Box<[Signed]>,
    tests: Box<[Test]>,
    /// The tests that are answered once and kept: the first of them without `now`, then those with it.
    kept_tests: Kept,
    /// All tests with `now` are among these: those that are kept and those from here on.
    timed_from: u32,
    /// The operands of `and` and `or`.
    operands: Box<[Ref]>,
    /// Single tests with `now`.
    now_tests: Box<[u32]>,
    numbers: Box<[Number]>,
    instants: Box<[Timestamp]>,
    spans: Box<[Span]>,
    texts: sets::Texts,
    sets: sets::Sets,
    groups: Box<[Group]>,
    /// What the groups' tests ask.
    asked: Box<[OfList]>,
    /// Which tests of a group ask for each item of its set.
    spread: Box<[u32]>,
    cost: Cost,
    /// The part of the cost that tests with `now` have.
    timed_cost: Cost,
}

/// How many of a table's first entries are kept, by whether they depend on `now`.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    free: u32,
    timed: u32,
}

impl Kept {
    fn all(self) -> u32 {
        self.free + self.timed
    }
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Column(u32),
    Now,
    Nothing,
    Bool(bool),
    Int(i32),
    Number(u32),
    Text(u32),
    Instant(u32),
    /// Stands behind a sign only.
    Span(u32),
    Sum(u32),
}

/// A value that others are added to and subtracted from, in order.
#[derive(Clone, Copy, Debug)]
struct Sum {
    first: u32,
    /// Its terms, from here to where those of the next sum begin.
    start: u32,
    end: u32,
}

/// A value, and whether it is subtracted.
#[derive(Clone, Copy, Debug)]
struct Signed(u32);

impl Signed {
    fn new(minus: bool, value: usize) -> Signed {
        Signed((value as u32) << 1 | u32::from(minus))
    }

    fn minus(self) -> bool {
        self.0 & 1 == 1
    }

    fn value(self) -> u32 {
        self.0 >> 1
    }
}

/// A test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Always,
    /// All of these operands.
    All {
        start: u32,
        end: u32,
    },
    /// Any of these operands.
    Any {
        start: u32,
        end: u32,
    },
    Compare {
        asked: Asked,
        left: u32,
        right: u32,
    },
    /// Whether a value is a member of a set.
    In {
        value: u32,
        set: u32,
    },
    /// What a group's test says.
    List {
        group: u32,
        test: u32,
    },
    Text {
        piece: Piece,
        left: u32,
        right: u32,
    },
}

/// The tests of the list in one column. They are answered together, in one walk.
#[derive(Clone, Copy, Debug)]
struct Group {
    column: u32,
    /// All items that they ask for.
    set: u32,
    /// The tests, among those of all groups.
    asked: u32,
    asked_end: u32,
    /// Where the places of the set's items begin: one for each item, and one for the end. No places where there is one test.
    spread: u32,
}

/// What is asked of a list.
#[derive(Clone, Copy, Debug)]
struct OfList {
    all: bool,
    /// How many items there are to be had.
    items: u32,
}

/// What is left to check of a row that an index found: the whole filter but for the operands of its `and` that the finding proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    /// The tests that are proven, ascending.
    proven: Box<[Ref]>,
}

impl Rest {
    /// The whole filter.
    pub(crate) fn whole() -> Rest {
        Rest { proven: Box::default() }
    }

    /// The filter but for these conjuncts of it.
    pub(crate) fn without(mut proven: Vec<Ref>) -> Rest {
        proven.sort_unstable();
        Rest { proven: proven.into() }
    }

    /// Whether a conjunct needs no check.
    pub(crate) fn proves(&self, test: Ref) -> bool {
        self.proven.binary_search(&test).is_ok()
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.proven)
    }
}

impl<C: Clone + Ord> Compiled<C> {
    /// O(filter · log filter).
    pub(crate) fn of(expr: &crate::filter::ast::Expr<C>) -> Compiled<C> {
        let (parts, root) = build::Parts::of(expr);
        Compiled(Arc::new(emit::emit(parts, root)))
    }
}

impl<C> Compiled<C> {
    /// What it reads, each once.
    pub(crate) fn columns(&self) -> &[C] {
        &self.0.columns
    }

    /// Whether a row passes at the moment `now`; see [`Filter::matches`](crate::Filter::matches).
    pub(crate) fn matches<R: Fields<C> + ?Sized>(&self, row: &R, now: Timestamp) -> bool {
        self.test(row, now, &mut 0)
    }

    /// Whether a row passes at the moment `now`. Adds the steps that it took, at most those of [`cost`](Self::cost).
    pub(crate) fn test<R: Fields<C> + ?Sized>(&self, row: &R, now: Timestamp, steps: &mut u64) -> bool {
        run::test(&self.0, row, now, steps)
    }

    /// Whether a row that an index found passes, given what is left to check.
    pub(crate) fn test_rest<R: Fields<C> + ?Sized>(
        &self,
        rest: &Rest,
        row: &R,
        now: Timestamp,
        steps: &mut u64,
    ) -> bool {
        run::test_rest(&self.0, rest, row, now, steps)
    }

    /// Whether a row passes, where of an `or` that must hold only one operand is to be tried.
    pub(crate) fn test_operand<R: Fields<C> + ?Sized>(
        &self,
        or: Ref,
        operand: Ref,
        row: &R,
        now: Timestamp,
        steps: &mut u64,
    ) -> bool {
        run::test_operand(&self.0, or, operand, row, now, steps)
    }

    /// Whether a row passes at each of two moments. What does not depend on `now` is evaluated at most once, and not at all where
    /// the tests that do decide. Adds the steps that it took, at most twice those of [`cost`](Self::cost).
    #[cfg(test)]
    pub(crate) fn test_both<R: Fields<C> + ?Sized>(
        &self,
        row: &R,
        then: Timestamp,
        now: Timestamp,
        steps: &mut u64,
    ) -> (bool, bool) {
        run::test_both(&self.0, row, then, now, steps)
    }

    /// What a row does at `now` if that is another than at `then`: whether it passes. Where every test with `now` comes out alike at
    /// both moments nothing else is evaluated. Adds the steps that it took, at most four times those of [`cost`](Self::cost).
    pub(crate) fn turn<R: Fields<C> + ?Sized>(
        &self,
        row: &R,
        then: Timestamp,
        now: Timestamp,
        steps: &mut u64,
    ) -> Option<bool> {
        run::turn(&self.0, row, then, now, steps)
    }

    /// The next moment at which time alone may change whether a row passes; see [`Filter::next_flip`](crate::Filter::next_flip).
    /// Adds the steps that it took, at most those of [`flip_cost`](Self::flip_cost).
    pub(crate) fn next_flip<R: Fields<C> + ?Sized>(
        &self,
        row: &R,
        now: Timestamp,
        steps: &mut u64,
    ) -> Option<Timestamp> {
        if !self.uses_now() {
            return None;
        }
        run::next_flip(&self.0, row, now, steps)
    }

    /// Whether the result depends on the time.
    pub(crate) fn uses_now(&self) -> bool {
        !self.0.now_tests.is_empty()
    }

    /// What one evaluation of a row costs at most.
    pub(crate) fn cost(&self) -> Cost {
        self.0.cost
    }

    /// What asking for the next flip of a row costs at most; nothing where the result does not depend on the time.
    pub(crate) fn flip_cost(&self) -> Cost {
        if self.uses_now() { cost::of_flip(&self.0) } else { Cost::NONE }
    }

    /// The bytes of the program. Clones count them each.
    pub(crate) fn heap_bytes(&self) -> usize {
        let Program { columns, values, sums, terms, tests, operands, now_tests, numbers, .. } = &*self.0;
        let Program { instants, spans, texts, sets, groups, asked, spread, .. } = &*self.0;
        let tables = size_of_val(&**columns)
            + size_of_val(&**values)
            + size_of_val(&**sums)
            + size_of_val(&**terms)
            + size_of_val(&**tests)
            + size_of_val(&**operands)
            + size_of_val(&**now_tests)
            + size_of_val(&**numbers)
            + size_of_val(&**instants)
            + size_of_val(&**spans)
            + size_of_val(&**groups)
            + size_of_val(&**asked)
            + size_of_val(&**spread);
        size_of::<Program<C>>() + 2 * size_of::<usize>() + tables + texts.heap_bytes() + sets.heap_bytes()
    }
}

// --- what a filter looks like to those who want to find it ---

/// A value of a test, as far as finding needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen<'a, C> {
    Column(&'a C),
    Constant(Member<'a>),
    /// `now`, moved by some steps.
    Now(Chain),
    Other,
}

/// `now`, moved: a value of the program, to be had as [`Compiled::steps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain(u32);

/// A set of constants that a test asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetOf {
    /// A set alone.
    One(u32),
    /// What one test of a group asks for.
    Group { group: u32, test: u32 },
}

/// A test as those see it who want to find a filter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View<'a, C> {
    Always,
    Any(&'a [Ref]),
    Compare { asked: Asked, left: Seen<'a, C>, right: Seen<'a, C> },
    In { column: &'a C, set: SetOf },
    List { column: &'a C, all: bool, set: SetOf },
    Text { piece: Piece, left: Seen<'a, C>, right: Seen<'a, C> },
    Other,
}

impl<C> Compiled<C> {
    /// Whether two are one program.
    pub(crate) fn is(&self, other: &Compiled<C>) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What must hold all together, each once and none of them an `and`; nothing where every row passes.
    pub(crate) fn conjuncts(&self) -> &[Ref] {
        self.conjuncts_of(&self.0.root)
    }

    pub(crate) fn conjuncts_of<'a>(&'a self, of: &'a Ref) -> &'a [Ref] {
        match &self.0.tests[of.test()] {
            Test::All { start, end } if !of.is_negated() => &self.0.operands[*start as usize..*end as usize],
            Test::Always if !of.is_negated() => &[],
            _ => std::slice::from_ref(of),
        }
    }

    /// The test of a reference, and whether its opposite is meant.
    pub(crate) fn view(&self, of: Ref) -> (View<'_, C>, bool) {
        let program = &*self.0;
        let operands = |start: u32, end: u32| &program.operands[start as usize..end as usize];
        let view = match program.tests[of.test()] {
            Test::Always => View::Always,
            Test::All { .. } => View::Other,
            Test::Any { start, end } => View::Any(operands(start, end)),
            Test::Compare { asked, left, right } => {
                View::Compare { asked, left: self.seen(left), right: self.seen(right) }
            }
            Test::In { value, set } => match self.seen(value) {
                Seen::Column(column) => View::In { column, set: SetOf::One(set) },
                _ => View::Other,
            },
            Test::List { group, test } => {
                let of = &program.groups[group as usize];
                let all = program.asked[(of.asked + test) as usize].all;
                let column = &program.columns[of.column as usize];
                View::List { column, all, set: SetOf::Group { group, test } }
            }
            Test::Text { piece, left, right } => {
                View::Text { piece, left: self.seen(left), right: self.seen(right) }
            }
        };
        (view, of.is_negated())
    }

    fn seen(&self, value: u32) -> Seen<'_, C> {
        let program = &*self.0;
        match program.values[value as usize] {
            Value::Column(column) => Seen::Column(&program.columns[column as usize]),
            Value::Now => Seen::Now(Chain(value)),
            Value::Sum(_) if program.is_timed(value) => Seen::Now(Chain(value)),
            Value::Sum(_) | Value::Span(_) => Seen::Other,
            Value::Nothing => Seen::Constant(Member::Nothing),
            Value::Bool(value) => Seen::Constant(Member::Bool(value)),
            Value::Int(value) => Seen::Constant(Member::Number(Number::Int(value.into()))),
            Value::Number(number) => Seen::Constant(Member::Number(program.numbers[number as usize])),
            Value::Text(text) => Seen::Constant(Member::Text(program.texts.get(text))),
            Value::Instant(at) => Seen::Constant(Member::Instant(program.instants[at as usize])),
        }
    }

    /// How a chain moves `now`.
    pub(crate) fn steps(&self, chain: Chain) -> Steps {
        self.0.steps(chain.0)
    }

    /// The tests with `now` and no operands.
    pub(crate) fn now_tests(&self) -> impl Iterator<Item = View<'_, C>> {
        self.0.now_tests.iter().map(|test| self.view(Ref::of(*test as usize)).0)
    }

    /// The members of a set, each once, always in the same order.
    pub(crate) fn members(&self, set: SetOf) -> impl Iterator<Item = Member<'_>> {
        let program = &*self.0;
        let (set, test) = match set {
            SetOf::One(set) => (set, None),
            SetOf::Group { group, test } => (program.groups[group as usize].set, Some((group, test))),
        };
        let asks = move |item: &(u32, Member<'_>)| match test {
            Some((group, test)) => program.groups[group as usize].tests_of(program, item.0).contains(&test),
            None => true,
        };
        program.sets.members(set, &program.texts).filter(asks).map(|(_, member)| member)
    }

    /// How many those are.
    pub(crate) fn count(&self, set: SetOf) -> usize {
        match set {
            SetOf::One(set) => self.0.sets.len(set),
            SetOf::Group { group, test } => {
                self.0.asked[(self.0.groups[group as usize].asked + test) as usize].items as usize
            }
        }
    }
}

impl Group {
    /// The tests of the group that ask for an item.
    fn tests_of<'a, C>(&self, program: &'a Program<C>, item: u32) -> &'a [u32] {
        if self.asked_end - self.asked == 1 {
            return &[0];
        }
        let places = &program.spread[(self.spread + item) as usize..];
        &program.spread[places[0] as usize..places[1] as usize]
    }
}

impl<C> Program<C> {
    /// Whether a value depends on `now`.
    fn is_timed(&self, value: u32) -> bool {
        let mut value = value;
        loop {
            match self.values[value as usize] {
                Value::Now => return true,
                // `now` can only be the first term.
                Value::Sum(sum) => value = self.sums[sum as usize].first,
                _ => return false,
            }
        }
    }

    /// Whether a test depends on `now`.
    fn is_timed_test(&self, test: usize) -> bool {
        let test = test as u32;
        test >= self.timed_from || (self.kept_tests.free..self.kept_tests.all()).contains(&test)
    }

    fn terms(&self, sum: &Sum) -> &[Signed] {
        &self.terms[sum.start as usize..sum.end as usize]
    }

    /// How a value moves `now`.
    fn steps(&self, value: u32) -> Steps {
        let mut chain = Vec::new();
        let mut value = value;
        while let Value::Sum(sum) = self.values[value as usize] {
            let sum = &self.sums[sum as usize];
            chain.extend(self.terms(sum).iter().rev());
            value = sum.first;
        }
        let step = |term: Signed| match self.values[term.value() as usize] {
            Value::Span(span) => Some(Step::new(!term.minus(), self.spans[span as usize])),
            _ => None,
        };
        Steps(chain.into_iter().rev().filter_map(|term: Signed| step(term)).collect())
    }
}
