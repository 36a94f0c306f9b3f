//! From a tree to the different parts that it is made of.
//!
//! Every value and every test is held once, however often it is written, and known by a number; parts come before what is made of
//! them. What can be known without a row is computed here. None of it changes a result:
//!
//! - a test of constants is true or false, and `and`, `or` and `not` with such an operand are what is left of them; a field equals
//!   itself, and `now` does;
//! - `not` is a bit of the reference ([`Ref`]), so `not not x` is `x` and `!=` is the opposite of `==`, but for sums, of which both may
//!   be false; `not (a or b)` is `not a and not b`;
//! - `a > b` is `b < a`;
//! - of `a < 1 or a < 2` the second is left, of `a < 1 and a < 2` the first;
//! - `a == 1 or a in [2, 3]` is `a in [1, 2, 3]`, and `a != 1 and a != 2` is `not (a in [1, 2])`;
//! - two fixed durations of one unit that follow each other in one direction are one: moving an instant by them is monotone, so it
//!   leaves the calendar with the one where it does with the two. Months and years are not: January 31 + 1 months + 1 months ends
//!   in March 28, + 2 months on March 31.
//!
//! Numbers that others chose are no keys of hash tables here: all tables are ordered.

use std::cmp::Ordering;
use std::collections::{BTreeMap, btree_map::Entry};

use crate::filter::ast::{Comparison, Expr, Membership, Sign, Sum, Term, TextTest};
use crate::filter::eval::{self, Operand};
use crate::syntax::Literal;
use crate::time::{Span, Timestamp, Unit};
use crate::value::Number;

/// A test by its number, or the opposite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ref(u32);

impl Ref {
    /// Of every row; the first test is the one that always holds.
    pub(crate) const TRUE: Ref = Ref(0);
    /// Of no row.
    pub(crate) const FALSE: Ref = Ref(1);

    pub(super) fn of(test: usize) -> Ref {
        Ref((test as u32) << 1)
    }

    pub(super) fn test(self) -> usize {
        (self.0 >> 1) as usize
    }

    /// Whether it is the opposite of the test.
    pub(super) fn is_negated(self) -> bool {
        self.0 & 1 == 1
    }

    pub(super) fn not(self) -> Ref {
        Ref(self.0 ^ 1)
    }

    pub(super) fn negated_if(self, negated: bool) -> Ref {
        Ref(self.0 ^ u32::from(negated))
    }
}

/// A value that no row changes.
#[derive(Clone, Debug)]
pub(super) enum Const {
    Nothing,
    Bool(bool),
    Number(Number),
    Text(Box<str>),
    Instant(Timestamp),
    Span(Span),
    /// A sum that overflows or does not add up.
    Invalid,
}

impl Const {
    pub(super) fn operand(&self) -> Operand<'_> {
        match self {
            Const::Nothing => Operand::Nothing,
            Const::Bool(value) => Operand::Bool(*value),
            Const::Number(number) => Operand::Number(*number),
            Const::Text(text) => Operand::Text(text.as_bytes()),
            Const::Instant(at) => Operand::Instant(*at, None),
            Const::Span(span) => Operand::Duration(*span),
            Const::Invalid => Operand::Invalid,
        }
    }

    fn of_literal(literal: &Literal) -> Const {
        match literal {
            Literal::Nothing => Const::Nothing,
            Literal::Bool(value) => Const::Bool(*value),
            Literal::Number(number) => Const::Number(*number),
            Literal::Text(text) => Const::Text(text.clone()),
            Literal::Instant(at) => Const::Instant(*at),
            Literal::Duration(span) => Const::Span(*span),
        }
    }

    /// Of a sum of constants, which is no text.
    fn of_sum(sum: Operand<'_>) -> Const {
        match sum {
            Operand::Number(number) => Const::Number(number),
            Operand::Instant(at, _) => Const::Instant(at),
            Operand::Duration(span) => Const::Span(span),
            _ => Const::Invalid,
        }
    }

    /// The same value as a member of a set, where equal numbers are one.
    fn as_member(&self) -> Const {
        match self {
            Const::Number(number) => Const::Number(number.exact()),
            other => other.clone(),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Const::Nothing => 0,
            Const::Bool(_) => 1,
            Const::Number(Number::Float(_)) => 2,
            Const::Number(_) => 3,
            Const::Text(_) => 4,
            Const::Instant(_) => 5,
            Const::Span(_) => 6,
            Const::Invalid => 7,
        }
    }
}

/// Of the same spelling: an integer is not the float that equals it, as sums of the two differ.
impl Ord for Const {
    fn cmp(&self, other: &Const) -> Ordering {
        let unit = |span: &Span| Unit::WORDS.iter().position(|(_, unit)| *unit == span.unit);
        match (self, other) {
            (Const::Bool(a), Const::Bool(b)) => a.cmp(b),
            (Const::Number(a), Const::Number(b)) if self.kind() == other.kind() => a.cmp(b),
            (Const::Text(a), Const::Text(b)) => a.cmp(b),
            (Const::Instant(a), Const::Instant(b)) => a.cmp(b),
            (Const::Span(a), Const::Span(b)) => unit(a).cmp(&unit(b)).then(a.count.cmp(&b.count)),
            _ => self.kind().cmp(&other.kind()),
        }
    }
}

impl PartialOrd for Const {
    fn partial_cmp(&self, other: &Const) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Const {
    fn eq(&self, other: &Const) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Const {}

/// A value by its parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    Const(Const),
    Column(usize),
    Now,
    /// A sum, of which at least one side is no constant.
    Plus {
        left: usize,
        minus: bool,
        right: usize,
    },
}

/// What is asked of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    Equal,
    /// Whether both can be had, and are not equal: what `!=` asks where one is a sum.
    Different,
    Less,
    LessOrEqual,
}

impl Asked {
    pub(crate) fn operator(self) -> Comparison {
        match self {
            Asked::Equal => Comparison::Equal,
            Asked::Different => Comparison::NotEqual,
            Asked::Less => Comparison::Less,
            Asked::LessOrEqual => Comparison::LessOrEqual,
        }
    }
}

/// What is asked of two texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Piece {
    Start,
    End,
    Anywhere,
}

/// A test by its parts. `Any` stands in no `Any`, `All` in no `All`, neither has fewer than two operands, and no operand is always
/// or never true.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Test {
    Always,
    All(Vec<Ref>),
    Any(Vec<Ref>),
    Compare {
        asked: Asked,
        left: usize,
        right: usize,
    },
    /// Whether a value that is no constant equals one of some constants: their numbers, ascending, at least one.
    In {
        value: usize,
        set: Vec<usize>,
    },
    /// Whether the list in a column has any or all of some constants.
    List {
        column: usize,
        all: bool,
        set: Vec<usize>,
    },
    Text {
        piece: Piece,
        left: usize,
        right: usize,
    },
}

/// Things by number, and their numbers.
#[derive(Debug)]
pub(super) struct Table<T> {
    pub(super) all: Vec<T>,
    numbers: BTreeMap<T, usize>,
}

impl<T: Ord + Clone> Table<T> {
    fn new() -> Self {
        Table { all: Vec::new(), numbers: BTreeMap::new() }
    }

    fn number(&mut self, thing: T) -> usize {
        if let Some(number) = self.numbers.get(&thing) {
            return *number;
        }
        let number = self.all.len();
        self.all.push(thing.clone());
        self.numbers.insert(thing, number);
        number
    }
}

/// The parts of a filter.
#[derive(Debug)]
pub(super) struct Parts<C> {
    pub(super) columns: Table<C>,
    pub(super) values: Table<Value>,
    pub(super) tests: Table<Test>,
}

impl<C: Ord + Clone> Parts<C> {
    /// The parts of a filter, and the filter as one of them. Recursion is as deep as the filter.
    pub(super) fn of(expr: &Expr<C>) -> (Parts<C>, Ref) {
        let mut parts = Parts { columns: Table::new(), values: Table::new(), tests: Table::new() };
        parts.tests.number(Test::Always);
        let root = parts.add(expr);
        (parts, root)
    }

    fn add(&mut self, expr: &Expr<C>) -> Ref {
        match expr {
            Expr::Constant(value) => Ref::TRUE.negated_if(!value),
            Expr::Field(column) => {
                let (left, right) = (self.column(column), self.constant(Const::Bool(true)));
                self.compare(Comparison::Equal, left, right)
            }
            Expr::Not(inner) => self.add(inner).not(),
            Expr::And(operands) => {
                let operands = operands.iter().map(|operand| self.add(operand)).collect();
                self.joined(operands, true)
            }
            Expr::Or(operands) => {
                let operands = operands.iter().map(|operand| self.add(operand)).collect();
                self.joined(operands, false)
            }
            Expr::Compare { left, operator, right } => {
                let (left, right) = (self.sum(left), self.sum(right));
                self.compare(*operator, left, right)
            }
            Expr::Member { left, operator, list } => {
                let left = self.sum(left);
                self.member(left, *operator, list)
            }
            Expr::Text { left, operator, right } => {
                let (left, right) = (self.sum(left), self.sum(right));
                self.text(*operator, left, right)
            }
        }
    }

    fn test(&mut self, test: Test) -> Ref {
        Ref::of(self.tests.number(test))
    }

    fn column(&mut self, column: &C) -> usize {
        let column = self.columns.number(column.clone());
        self.values.number(Value::Column(column))
    }

    fn constant(&mut self, constant: Const) -> usize {
        self.values.number(Value::Const(constant))
    }

    fn as_constant(&self, value: usize) -> Option<&Const> {
        match &self.values.all[value] {
            Value::Const(constant) => Some(constant),
            _ => None,
        }
    }

    // --- values ---

    fn sum(&mut self, sum: &Sum<C>) -> usize {
        let first = self.term(&sum.first);
        sum.rest.iter().fold(first, |left, (sign, term)| {
            let right = self.term(term);
            self.plus(left, *sign, right)
        })
    }

    fn term(&mut self, term: &Term<C>) -> usize {
        match term {
            Term::Literal(literal) => self.constant(Const::of_literal(literal)),
            Term::Now => self.values.number(Value::Now),
            Term::Path(column) => self.column(column),
            Term::Sum(sum) => self.sum(sum),
        }
    }

    fn plus(&mut self, left: usize, sign: Sign, right: usize) -> usize {
        let minus = sign == Sign::Minus;
        match (&self.values.all[left], &self.values.all[right]) {
            (Value::Const(a), Value::Const(b)) => {
                let sum = Const::of_sum(eval::plus(a.operand(), sign, b.operand()));
                self.constant(sum)
            }
            // What never adds up, whatever the row.
            (Value::Const(constant), _) if !matches!(constant, Const::Number(_)) => {
                self.constant(Const::Invalid)
            }
            (_, Value::Const(constant)) if !matches!(constant, Const::Number(_) | Const::Span(_)) => {
                self.constant(Const::Invalid)
            }
            // An instant comes first, or no sum comes of it.
            _ if self.has_now(right) => self.constant(Const::Invalid),
            (Value::Plus { left: first, minus: before, right: span }, Value::Const(Const::Span(next)))
                if *before == minus =>
            {
                let (first, span) = (*first, *span);
                let folded = match self.as_constant(span) {
                    Some(Const::Span(span)) if !matches!(span.unit, Unit::Years | Unit::Months) => {
                        span.checked_add(*next)
                    }
                    _ => None,
                };
                match folded {
                    Some(span) => {
                        let right = self.constant(Const::Span(span));
                        self.values.number(Value::Plus { left: first, minus, right })
                    }
                    None => self.values.number(Value::Plus { left, minus, right }),
                }
            }
            _ => self.values.number(Value::Plus { left, minus, right }),
        }
    }

    /// Whether a value depends on `now`, which stands first then.
    fn has_now(&self, mut value: usize) -> bool {
        while let Value::Plus { left, .. } = self.values.all[value] {
            value = left;
        }
        self.values.all[value] == Value::Now
    }

    // --- tests ---

    fn compare(&mut self, operator: Comparison, left: usize, right: usize) -> Ref {
        let (asked, left, right) = match operator {
            Comparison::NotEqual if self.may_fail(left) || self.may_fail(right) => {
                return self.different(left, right);
            }
            Comparison::NotEqual => return self.compare(Comparison::Equal, left, right).not(),
            Comparison::Greater => (Asked::Less, right, left),
            Comparison::GreaterOrEqual => (Asked::LessOrEqual, right, left),
            Comparison::Equal => (Asked::Equal, left, right),
            Comparison::Less => (Asked::Less, left, right),
            Comparison::LessOrEqual => (Asked::LessOrEqual, left, right),
        };
        match (self.as_constant(left), self.as_constant(right)) {
            (Some(a), Some(b)) => {
                let holds = eval::compare(a.operand(), asked.operator(), b.operand());
                Ref::TRUE.negated_if(!holds)
            }
            // Nothing has no order, and what is invalid passes no test.
            (Some(Const::Nothing), _) | (_, Some(Const::Nothing)) if asked != Asked::Equal => Ref::FALSE,
            (Some(Const::Invalid), _) | (_, Some(Const::Invalid)) => Ref::FALSE,
            (Some(constant), None) if asked == Asked::Equal => {
                let set = vec![constant.as_member()];
                self.is_in(right, set)
            }
            (None, Some(constant)) if asked == Asked::Equal => {
                let set = vec![constant.as_member()];
                self.is_in(left, set)
            }
            // Sums may be invalid, and then equal nothing.
            (None, None)
                if asked == Asked::Equal
                    && left == right
                    && !matches!(self.values.all[left], Value::Plus { .. }) =>
            {
                Ref::TRUE
            }
            (None, None) if asked == Asked::Less && left == right => Ref::FALSE,
            (None, None) if asked == Asked::Equal => {
                self.test(Test::Compare { asked, left: left.min(right), right: left.max(right) })
            }
            _ => self.test(Test::Compare { asked, left, right }),
        }
    }

    /// Whether a row may make a value invalid.
    fn may_fail(&self, value: usize) -> bool {
        matches!(self.values.all[value], Value::Plus { .. } | Value::Const(Const::Invalid))
    }

    /// `!=` where one side is a sum.
    fn different(&mut self, left: usize, right: usize) -> Ref {
        let is_invalid = |value| self.as_constant(value) == Some(&Const::Invalid);
        if is_invalid(left) || is_invalid(right) || left == right {
            return Ref::FALSE;
        }
        self.test(Test::Compare { asked: Asked::Different, left: left.min(right), right: left.max(right) })
    }

    fn is_in(&mut self, value: usize, set: Vec<Const>) -> Ref {
        let set = self.set(set);
        if set.is_empty() { Ref::FALSE } else { self.test(Test::In { value, set }) }
    }

    /// The numbers of what a value of a row may equal.
    fn set(&mut self, set: Vec<Const>) -> Vec<usize> {
        let mut set: Vec<usize> = set.into_iter().map(|constant| self.constant(constant)).collect();
        set.sort_unstable();
        set.dedup();
        set
    }

    fn member(&mut self, left: usize, operator: Membership, list: &[Literal]) -> Ref {
        let members = list.iter().map(|literal| Const::of_literal(literal).as_member()).collect();
        if operator == Membership::In {
            return self.is_in(left, members);
        }
        // Nothing else stands before a membership.
        let Value::Column(column) = self.values.all[left] else { return Ref::FALSE };
        let all = operator == Membership::AllOf;
        let set = self.set(members);
        if set.is_empty() && !all {
            return Ref::FALSE;
        }
        // To have all of one is to have any of it.
        let all = all && set.len() != 1;
        self.test(Test::List { column, all, set })
    }

    fn text(&mut self, operator: TextTest, left: usize, right: usize) -> Ref {
        let piece = match operator {
            TextTest::StartsWith => Piece::Start,
            TextTest::EndsWith => Piece::End,
            TextTest::Contains => Piece::Anywhere,
        };
        match (self.as_constant(left), self.as_constant(right)) {
            (Some(Const::Text(left)), Some(Const::Text(right))) => {
                Ref::TRUE.negated_if(!eval::has_piece(operator, left.as_bytes(), right.as_bytes()))
            }
            (Some(other), _) | (_, Some(other)) if !matches!(other, Const::Text(_)) => Ref::FALSE,
            _ => {
                // Sums and `now` have no text.
                let has_text = |value: &Value| matches!(value, Value::Column(_) | Value::Const(_));
                match has_text(&self.values.all[left]) && has_text(&self.values.all[right]) {
                    true => self.test(Test::Text { piece, left, right }),
                    false => Ref::FALSE,
                }
            }
        }
    }

    /// `and` of some tests, or `or`.
    fn joined(&mut self, operands: Vec<Ref>, and: bool) -> Ref {
        // For `or` everything is the other way round: it is the opposite of `and` of the opposites.
        let (neutral, absorbing) = if and { (Ref::TRUE, Ref::FALSE) } else { (Ref::FALSE, Ref::TRUE) };
        let mut flat = Vec::with_capacity(operands.len());
        for operand in operands {
            match (&self.tests.all[operand.test()], operand.is_negated()) {
                (Test::All(inner), false) if and => flat.extend_from_slice(inner),
                (Test::Any(inner), false) if !and => flat.extend_from_slice(inner),
                (Test::All(inner), true) if !and => flat.extend(inner.iter().map(|inner| inner.not())),
                (Test::Any(inner), true) if and => flat.extend(inner.iter().map(|inner| inner.not())),
                _ => flat.push(operand),
            }
        }
        flat.sort_unstable();
        flat.dedup();
        flat.retain(|operand| *operand != neutral);
        // A test and its opposite are neighbours.
        if flat.contains(&absorbing) || flat.windows(2).any(|pair| pair[0].not() == pair[1]) {
            return absorbing;
        }
        self.join_sets(&mut flat, and);
        self.join_bounds(&mut flat, and);
        if flat.windows(2).any(|pair| pair[0].not() == pair[1]) {
            return absorbing;
        }
        match (flat.len(), and) {
            (0, _) => neutral,
            (1, _) => flat[0],
            (_, true) => self.test(Test::All(flat)),
            (_, false) => self.test(Test::Any(flat)),
        }
    }

    /// Of the operands of an `or`, those that ask one value for members of sets become one; of an `and`, those that ask it not to
    /// be a member.
    fn join_sets(&mut self, operands: &mut Vec<Ref>, and: bool) {
        let mut by_value: BTreeMap<usize, Vec<Ref>> = BTreeMap::new();
        for operand in operands.iter() {
            if let (Test::In { value, .. }, true) =
                (&self.tests.all[operand.test()], operand.is_negated() == and)
            {
                by_value.entry(*value).or_default().push(*operand);
            }
        }
        by_value.retain(|_, asking| asking.len() > 1);
        let mut gone: Vec<Ref> = by_value.values().flatten().copied().collect();
        gone.sort_unstable();
        operands.retain(|operand| gone.binary_search(operand).is_err());
        for (value, asking) in by_value {
            let mut set: Vec<usize> = Vec::new();
            for operand in asking {
                if let Test::In { set: some, .. } = &self.tests.all[operand.test()] {
                    set.extend_from_slice(some);
                }
            }
            set.sort_unstable();
            set.dedup();
            operands.push(self.test(Test::In { value, set }).negated_if(and));
        }
        operands.sort_unstable();
        operands.dedup();
    }

    /// Of the operands that hold one value against numbers, in one direction, one says what all of them say.
    fn join_bounds(&mut self, operands: &mut Vec<Ref>, and: bool) {
        let mut kept: BTreeMap<(usize, bool, bool), Ref> = BTreeMap::new();
        let mut gone: Vec<Ref> = Vec::new();
        for operand in operands.iter() {
            let Some((value, is_upper, _)) = self.bound(*operand) else { continue };
            match kept.entry((value, is_upper, operand.is_negated())) {
                Entry::Vacant(entry) => {
                    entry.insert(*operand);
                }
                Entry::Occupied(mut entry) => {
                    // `and` takes the narrower of two tests, and the opposite of the wider one.
                    let wants_narrow = and != operand.is_negated();
                    let is_better = self.is_narrower(*operand, *entry.get()) == wants_narrow;
                    gone.push(if is_better { entry.insert(*operand) } else { *operand });
                }
            }
        }
        gone.sort_unstable();
        operands.retain(|operand| gone.binary_search(operand).is_err());
    }

    /// For a test that holds a value that is no constant against a number: the value, whether the number is its upper end, and the
    /// number.
    fn bound(&self, operand: Ref) -> Option<(usize, bool, Number)> {
        let Test::Compare { asked: Asked::Less | Asked::LessOrEqual, left, right } =
            self.tests.all[operand.test()]
        else {
            return None;
        };
        match (self.as_constant(left), self.as_constant(right)) {
            (None, Some(Const::Number(end))) => Some((left, true, *end)),
            (Some(Const::Number(end)), None) => Some((right, false, *end)),
            _ => None,
        }
    }

    /// Of two tests in one direction, whether what passes the one passes the other as well.
    fn is_narrower(&self, one: Ref, other: Ref) -> bool {
        let (Some((_, is_upper, a)), Some((_, _, b))) = (self.bound(one), self.bound(other)) else {
            return false;
        };
        let (low, high) = if is_upper { (a, b) } else { (b, a) };
        let is = |operator, a, b| eval::compare(Operand::Number(a), operator, Operand::Number(b));
        let is_strict = matches!(self.tests.all[one.test()], Test::Compare { asked: Asked::Less, .. });
        is(Comparison::Less, low, high) || (is(Comparison::Equal, low, high) && is_strict)
    }
}
