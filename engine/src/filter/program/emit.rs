//! The parts of a filter, laid out in tables.

use std::collections::BTreeMap;

use super::build::{Const, Parts, Ref, Test as Part, Value as Thing};
use super::sets::{Collected, Texts, small};
use super::{Group, Kept, OfList, Program, Signed, Sum, Test, Value, cost};
use crate::steps::Cost;

/// Sums of so many terms are kept while moments are tried.
const LONG: usize = 4;

/// Lays out what the root needs of the parts.
pub(super) fn emit<C: Clone + Ord>(parts: Parts<C>, root: Ref) -> Program<C> {
    let uses = Uses::of(&parts, root);
    let mut emitter = Emitter::new(&parts, &uses);
    emitter.tests();
    emitter.program(root)
}

/// A test of a list: its number, whether it asks for all of the constants, and these.
type ListTest<'a> = (usize, bool, &'a [usize]);

/// How the parts are used.
struct Uses {
    /// How many operands, or the root, are each test.
    tests: Vec<u32>,
    timed_tests: Vec<bool>,
    /// Tests that are answered once and kept.
    kept_tests: Vec<bool>,
    /// How many tests and sums need each value.
    values: Vec<u32>,
    timed_values: Vec<bool>,
    /// Sums that stand by themselves, rather than being the first terms of one other sum.
    sums: Vec<bool>,
}

impl Uses {
    fn of<C>(parts: &Parts<C>, root: Ref) -> Uses {
        let (tests, values) = (&parts.tests.all, &parts.values.all);
        // Parts come before what is made of them.
        let mut timed_values = vec![false; values.len()];
        for (number, value) in values.iter().enumerate() {
            timed_values[number] = match value {
                Thing::Now => true,
                Thing::Plus { left, .. } => timed_values[*left],
                Thing::Const(_) | Thing::Column(_) => false,
            };
        }
        let mut timed_tests = vec![false; tests.len()];
        for (number, test) in tests.iter().enumerate() {
            timed_tests[number] = match test {
                Part::All(operands) | Part::Any(operands) => {
                    operands.iter().any(|operand| timed_tests[operand.test()])
                }
                Part::Compare { left, right, .. } => timed_values[*left] || timed_values[*right],
                Part::In { value, .. } => timed_values[*value],
                Part::Always | Part::List { .. } | Part::Text { .. } => false,
            };
        }
        let (mut test_uses, mut kept_tests) = (vec![0; tests.len()], vec![false; tests.len()]);
        let (mut value_uses, mut sums) = (vec![0; values.len()], vec![false; values.len()]);
        test_uses[root.test()] = 1;
        for number in (0..tests.len()).rev() {
            if test_uses[number] == 0 {
                continue;
            }
            kept_tests[number] |= test_uses[number] > 1;
            let mut value = |value: usize| {
                value_uses[value] += 1;
                sums[value] = true;
            };
            match &tests[number] {
                Part::All(operands) | Part::Any(operands) => {
                    for operand in operands {
                        test_uses[operand.test()] += 1;
                        // Asked again at every moment, it has the same answer.
                        kept_tests[operand.test()] |= timed_tests[number] && !timed_tests[operand.test()];
                    }
                }
                Part::Compare { left, right, .. } | Part::Text { left, right, .. } => {
                    value(*left);
                    value(*right);
                }
                Part::In { value: of, .. } => value(*of),
                Part::Always | Part::List { .. } => {}
            }
        }
        for number in (0..values.len()).rev() {
            if let (Thing::Plus { left, right, .. }, true) = (&values[number], value_uses[number] > 0) {
                sums[number] |= value_uses[number] > 1;
                value_uses[*left] += 1;
                value_uses[*right] += 1;
                sums[*right] = true;
            }
        }
        Uses { tests: test_uses, timed_tests, kept_tests, values: value_uses, timed_values, sums }
    }
}

struct Emitter<'a, C> {
    parts: &'a Parts<C>,
    uses: &'a Uses,
    texts: Texts,
    text_numbers: BTreeMap<&'a str, u32>,
    columns: Vec<C>,
    column_numbers: BTreeMap<usize, u32>,
    parsed: u32,
    values: Vec<Value>,
    value_numbers: BTreeMap<usize, u32>,
    sums: Vec<Sum>,
    sum_numbers: BTreeMap<usize, u32>,
    kept_sums: Kept,
    terms: Vec<Signed>,
    tests: Vec<Test>,
    test_numbers: BTreeMap<usize, u32>,
    kept_tests: Kept,
    timed_from: u32,
    operands: Vec<Ref>,
    numbers: Vec<crate::value::Number>,
    instants: Vec<crate::time::Timestamp>,
    spans: Vec<crate::time::Span>,
    sets: Collected,
    groups: Vec<Group>,
    group_numbers: BTreeMap<usize, (u32, u32)>,
    asked: Vec<OfList>,
    spread: Vec<u32>,
}

impl<'a, C: Clone + Ord> Emitter<'a, C> {
    fn new(parts: &'a Parts<C>, uses: &'a Uses) -> Self {
        let mut emitter = Emitter {
            parts,
            uses,
            texts: Texts::default(),
            text_numbers: BTreeMap::new(),
            columns: Vec::new(),
            column_numbers: BTreeMap::new(),
            parsed: 0,
            values: Vec::new(),
            value_numbers: BTreeMap::new(),
            sums: Vec::new(),
            sum_numbers: BTreeMap::new(),
            kept_sums: Kept::default(),
            terms: Vec::new(),
            tests: Vec::new(),
            test_numbers: BTreeMap::new(),
            kept_tests: Kept::default(),
            timed_from: 0,
            operands: Vec::new(),
            numbers: Vec::new(),
            instants: Vec::new(),
            spans: Vec::new(),
            sets: Collected::default(),
            groups: Vec::new(),
            group_numbers: BTreeMap::new(),
            asked: Vec::new(),
            spread: Vec::new(),
        };
        emitter.number_texts();
        emitter.number_columns();
        emitter.number_sums();
        emitter
    }

    fn live_tests(&self) -> impl Iterator<Item = (usize, &'a Part)> + use<'a, C> {
        let uses = self.uses;
        self.parts.tests.all.iter().enumerate().filter(|(number, _)| uses.tests[*number] > 0)
    }

    fn constant(&self, value: usize) -> Option<&'a Const> {
        match &self.parts.values.all[value] {
            Thing::Const(constant) => Some(constant),
            _ => None,
        }
    }

    /// The texts of all tests and their sets, in order.
    fn number_texts(&mut self) {
        let mut texts: Vec<&'a str> = Vec::new();
        let text = |value: &usize| match &self.parts.values.all[*value] {
            Thing::Const(Const::Text(text)) => Some(&**text),
            _ => None,
        };
        for (_, test) in self.live_tests() {
            match test {
                Part::Compare { left, right, .. } | Part::Text { left, right, .. } => {
                    texts.extend([left, right].into_iter().filter_map(text));
                }
                Part::In { set, .. } | Part::List { set, .. } => texts.extend(set.iter().filter_map(text)),
                Part::Always | Part::All(_) | Part::Any(_) => {}
            }
        }
        texts.sort_unstable();
        texts.dedup();
        self.texts = Texts::new(texts.iter().copied());
        self.text_numbers = texts.into_iter().zip(0..).collect();
    }

    /// The columns, those first whose text may be read as an instant.
    fn number_columns(&mut self) {
        let mut columns: BTreeMap<usize, bool> = BTreeMap::new();
        let things = &self.parts.values.all;
        let mut see = |value: usize, parsed: bool| {
            if let Thing::Column(column) = things[value] {
                *columns.entry(column).or_default() |= parsed;
            }
        };
        // Beside these a text is a text.
        let plain = |value: usize| {
            matches!(things[value], Thing::Const(Const::Number(_) | Const::Bool(_) | Const::Text(_)))
        };
        let instant = |value: &usize| matches!(things[*value], Thing::Const(Const::Instant(_)));
        for (_, test) in self.live_tests() {
            match test {
                Part::Compare { left, right, .. } => {
                    see(*left, !plain(*right));
                    see(*right, !plain(*left));
                }
                Part::In { value, set } => see(*value, set.iter().any(instant)),
                Part::Text { left, right, .. } => {
                    see(*left, false);
                    see(*right, false);
                }
                Part::List { .. } | Part::Always | Part::All(_) | Part::Any(_) => {}
            }
        }
        for (thing, uses) in things.iter().zip(&self.uses.values) {
            if let (Thing::Plus { left, right, .. }, 1..) = (thing, uses) {
                see(*left, matches!(things[*right], Thing::Const(Const::Span(_))));
                see(*right, false);
            }
        }
        for (_, test) in self.live_tests() {
            if let Part::List { column, .. } = test {
                columns.entry(*column).or_default();
            }
        }
        let parsed = columns.iter().filter(|(_, parsed)| **parsed);
        let others = columns.iter().filter(|(_, parsed)| !**parsed);
        self.parsed = parsed.clone().count() as u32;
        for (column, _) in parsed.chain(others) {
            self.column_numbers.insert(*column, self.columns.len() as u32);
            self.columns.push(self.parts.columns.all[*column].clone());
        }
    }

    /// The sums that stand by themselves, those first that are kept.
    fn number_sums(&mut self) {
        let things = &self.parts.values.all;
        let uses = self.uses;
        let any_timed = self.live_tests().any(|(number, _)| uses.timed_tests[number]);
        let stands = |number: &usize| {
            uses.values[*number] > 0 && uses.sums[*number] && matches!(things[*number], Thing::Plus { .. })
        };
        let is_kept = |number: usize| {
            let long = any_timed && !uses.timed_values[number] && self.chain(number).1.len() >= LONG;
            uses.values[number] > 1 || long
        };
        let class = |number: &usize| match (is_kept(*number), uses.timed_values[*number]) {
            (true, false) => 0,
            (true, true) => 1,
            (false, _) => 2,
        };
        let mut sums: Vec<usize> = (0..things.len()).filter(stands).collect();
        sums.sort_by_key(class);
        self.kept_sums = Kept {
            free: sums.iter().filter(|sum| class(sum) == 0).count() as u32,
            timed: sums.iter().filter(|sum| class(sum) == 1).count() as u32,
        };
        self.sum_numbers = sums.iter().copied().zip(0..).collect();
        for sum in sums {
            let (first, terms) = self.chain(sum);
            let first = self.value(first);
            let start = self.terms.len() as u32;
            for (minus, term) in terms {
                let term = self.value(term) as usize;
                self.terms.push(Signed::new(minus, term));
            }
            self.sums.push(Sum { first, start, end: self.terms.len() as u32 });
        }
    }

    /// The first value of a sum, a sum only where that stands by itself, and the terms behind it.
    fn chain(&self, sum: usize) -> (usize, Vec<(bool, usize)>) {
        let (mut value, mut terms) = (sum, Vec::new());
        while let Thing::Plus { left, minus, right } = &self.parts.values.all[value] {
            if value != sum && self.uses.sums[value] {
                break;
            }
            terms.push((*minus, *right));
            value = *left;
        }
        terms.reverse();
        (value, terms)
    }

    fn value(&mut self, thing: usize) -> u32 {
        if let Some(number) = self.value_numbers.get(&thing) {
            return *number;
        }
        let value = match &self.parts.values.all[thing] {
            Thing::Column(column) => Value::Column(self.column_numbers[column]),
            Thing::Now => Value::Now,
            Thing::Plus { .. } => Value::Sum(self.sum_numbers[&thing]),
            Thing::Const(constant) => match constant {
                Const::Bool(value) => Value::Bool(*value),
                Const::Number(number) => match (small(*number), number) {
                    (Some(int), crate::value::Number::Int(_)) => Value::Int(int),
                    _ => {
                        self.numbers.push(*number);
                        Value::Number(self.numbers.len() as u32 - 1)
                    }
                },
                Const::Text(text) => Value::Text(self.text_numbers[&**text]),
                Const::Instant(at) => {
                    self.instants.push(*at);
                    Value::Instant(self.instants.len() as u32 - 1)
                }
                Const::Span(span) => {
                    self.spans.push(*span);
                    Value::Span(self.spans.len() as u32 - 1)
                }
                // What is invalid is part of no test.
                Const::Nothing | Const::Invalid => Value::Nothing,
            },
        };
        self.values.push(value);
        let number = self.values.len() as u32 - 1;
        self.value_numbers.insert(thing, number);
        number
    }

    fn set(&mut self, set: &[usize]) -> u32 {
        let Emitter { parts, text_numbers, texts, sets, .. } = self;
        let constants = set.iter().filter_map(|value| match &parts.values.all[*value] {
            Thing::Const(constant) => Some(constant),
            _ => None,
        });
        sets.add(constants, |text| text_numbers[text], texts)
    }

    fn tests(&mut self) {
        self.groups();
        let uses = self.uses;
        let class = |number: &usize| match (uses.kept_tests[*number], uses.timed_tests[*number]) {
            (true, false) => 0,
            (true, true) => 1,
            (false, false) => 2,
            (false, true) => 3,
        };
        let mut order: Vec<usize> = self.live_tests().map(|(number, _)| number).collect();
        order.sort_by_key(class);
        let count = |of: u8| order.iter().filter(|number| class(number) == of).count() as u32;
        self.kept_tests = Kept { free: count(0), timed: count(1) };
        self.timed_from = order.len() as u32 - count(3);
        self.test_numbers = order.iter().copied().zip(0..).collect();
        for number in order {
            let test = match &self.parts.tests.all[number] {
                Part::Always => Test::Always,
                Part::All(operands) => {
                    let (start, end) = self.operands(operands);
                    Test::All { start, end }
                }
                Part::Any(operands) => {
                    let (start, end) = self.operands(operands);
                    Test::Any { start, end }
                }
                Part::Compare { asked, left, right } => {
                    Test::Compare { asked: *asked, left: self.value(*left), right: self.value(*right) }
                }
                Part::In { value, set } => match set[..] {
                    [only] => {
                        let (left, right) = (self.value(*value), self.value(only));
                        Test::Compare { asked: super::Asked::Equal, left, right }
                    }
                    _ => Test::In { value: self.value(*value), set: self.set(set) },
                },
                Part::List { .. } => {
                    let (group, test) = self.group_numbers[&number];
                    Test::List { group, test }
                }
                Part::Text { piece, left, right } => {
                    Test::Text { piece: *piece, left: self.value(*left), right: self.value(*right) }
                }
            };
            self.tests.push(test);
        }
    }

    fn operands(&mut self, operands: &[Ref]) -> (u32, u32) {
        let start = self.operands.len() as u32;
        for operand in operands {
            let number = self.test_numbers[&operand.test()] as usize;
            self.operands.push(Ref::of(number).negated_if(operand.is_negated()));
        }
        (start, self.operands.len() as u32)
    }

    /// The tests of lists by column.
    fn groups(&mut self) {
        let mut by_column: BTreeMap<usize, Vec<ListTest<'a>>> = BTreeMap::new();
        for (number, test) in self.live_tests() {
            if let Part::List { column, all, set } = test {
                by_column.entry(*column).or_default().push((number, *all, set));
            }
        }
        for (column, tests) in by_column {
            let mut joined: Vec<usize> = tests.iter().flat_map(|(_, _, set)| set.iter().copied()).collect();
            joined.sort_unstable();
            joined.dedup();
            let set = self.set(&joined);
            let group = self.groups.len() as u32;
            let asked = self.asked.len() as u32;
            for ((number, all, set), place) in tests.iter().zip(0..) {
                self.asked.push(OfList { all: *all, items: set.len() as u32 });
                self.group_numbers.insert(*number, (group, place));
            }
            let mut start = 0;
            if tests.len() > 1 {
                start = self.spread.len() as u32;
                self.spread(&joined, &tests);
            }
            let (column, asked_end) = (self.column_numbers[&column], self.asked.len() as u32);
            self.groups.push(Group { column, set, asked, asked_end, spread: start });
        }
    }

    /// For each place of the last set where the numbers of the tests stand that ask for it, and these.
    fn spread(&mut self, joined: &[usize], tests: &[ListTest<'a>]) {
        let mut asking: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for ((_, _, set), test) in tests.iter().zip(0..) {
            for value in set.iter() {
                asking.entry(*value).or_default().push(test);
            }
        }
        // The place of each member, in their order.
        let mut places: Vec<(u32, usize)> = Vec::with_capacity(joined.len());
        for value in joined {
            let Some(constant) = self.constant(*value) else { continue };
            let place = self.sets.place(constant, |text| self.text_numbers[text]);
            places.extend(place.map(|place| (place, *value)));
        }
        places.sort_unstable();
        let base = self.spread.len();
        let end = self.sets.places();
        let mut next = (base + end as usize + 1) as u32;
        let mut members = places.iter().peekable();
        let mut numbers = Vec::new();
        for place in 0..end {
            self.spread.push(next);
            if let Some((_, value)) = members.next_if(|(other, _)| *other == place) {
                numbers.extend_from_slice(&asking[value]);
                next = (base + end as usize + 1 + numbers.len()) as u32;
            }
        }
        self.spread.push(next);
        self.spread.extend(numbers);
    }

    fn program(self, root: Ref) -> Program<C> {
        let root = Ref::of(self.test_numbers[&root.test()] as usize).negated_if(root.is_negated());
        // In the order of the parts, so that operands come first.
        let order: Vec<usize> = self.test_numbers.values().map(|number| *number as usize).collect();
        let single = |test: usize| !matches!(self.tests[test], Test::All { .. } | Test::Any { .. });
        let kept = self.kept_tests.free as usize..self.kept_tests.all() as usize;
        let timed = |test: usize| test >= self.timed_from as usize || kept.contains(&test);
        let now_tests = order.iter().filter(|test| single(**test) && timed(**test));
        let now_tests = now_tests.map(|test| *test as u32);
        let now_tests = now_tests.collect();
        let mut program = Program {
            root,
            columns: self.columns.into(),
            parsed: self.parsed,
            values: self.values.into(),
            sums: self.sums.into(),
            kept_sums: self.kept_sums,
            terms: self.terms.into(),
            tests: self.tests.into(),
            kept_tests: self.kept_tests,
            timed_from: self.timed_from,
            operands: self.operands.into(),
            now_tests,
            numbers: self.numbers.into(),
            instants: self.instants.into(),
            spans: self.spans.into(),
            texts: self.texts,
            sets: self.sets.done(),
            groups: self.groups.into(),
            asked: self.asked.into(),
            spread: self.spread.into(),
            cost: Cost::NONE,
            timed_cost: Cost::NONE,
        };
        (program.cost, program.timed_cost) = cost::of(&program);
        sort_operands(&mut program, &order);
        program
    }
}

/// Puts the operands of each test in the order of what they cost, which no result depends on.
fn sort_operands<C>(program: &mut Program<C>, operands_first: &[usize]) {
    /// A row that costs are compared for.
    const BYTES: usize = 512;
    let sum_costs: Vec<Cost> = program.sums.iter().map(|sum| cost::of_sum(program, sum)).collect();
    let of_value = |value: u32| match program.values[value as usize] {
        Value::Sum(sum) => sum_costs[sum as usize],
        _ => Cost::NONE,
    };
    let mut costs = vec![0_u64; program.tests.len()];
    for test in operands_first {
        let own = cost::of_test(program, *test);
        let own = match program.tests[*test] {
            Test::Compare { left, right, .. } => own.plus(of_value(left)).plus(of_value(right)),
            Test::In { value, .. } => own.plus(of_value(value)),
            Test::List { group, .. } => own.plus(cost::of_group(program, &program.groups[group as usize])),
            _ => own,
        };
        let operands = match program.tests[*test] {
            Test::All { start, end } | Test::Any { start, end } => start as usize..end as usize,
            _ => 0..0,
        };
        let operands = program.operands[operands].iter();
        let of_operands = operands.fold(0_u64, |sum, operand| sum.saturating_add(costs[operand.test()]));
        costs[*test] = own.of(BYTES).saturating_add(of_operands);
    }
    for test in &program.tests {
        if let Test::All { start, end } | Test::Any { start, end } = *test {
            let operands = &mut program.operands[start as usize..end as usize];
            operands.sort_by_key(|operand| (costs[operand.test()], *operand));
        }
    }
}
