//! Filters against the ways in which they are found.

use fastrand::Rng;

use super::*;
use crate::filter::random::{self, Column, Row};
use crate::filter::{Comparison, Compiled, Filter, Rest};
use crate::limits::QueryLimits;
use crate::order::rank;
use crate::path::Path;
use crate::time::Timestamp;
use crate::value::{Timed, Value, ValueRef};

impl ColumnInfo for Column {
    fn is_declared_instant(&self) -> bool {
        self.path == Path::field("d")
    }

    fn reading(&self) -> Reading {
        self.reading
    }
}

fn compiled(filter: &str) -> Compiled<Column> {
    random::over_columns(&Filter::parse(filter, &QueryLimits::default()).expect("a filter")).0
}

/// How much of a filter is left to check.
fn left(residue: &Option<Rest>) -> &'static str {
    match residue {
        None => "-",
        Some(residue) if *residue == Rest::whole() => "all",
        Some(_) => "rest",
    }
}

/// The class, how many probes, and what is left to check, of every way but the scan.
#[test]
fn filters_are_found_by_their_parts() {
    use Class::*;
    type Ways = &'static [(Class, usize, &'static str)];
    let cases: &[(&str, Ways)] = &[
        ("true", &[]),
        ("false", &[(Never, 0, "-")]),
        ("a == 1", &[(Equality, 1, "-")]),
        ("1 == a", &[(Equality, 1, "-")]),
        ("a == 5 + 3", &[(Equality, 1, "-")]),
        ("a == nothing", &[(Equality, 1, "-")]),
        ("a", &[(Equality, 1, "-")]),
        ("not a", &[]),
        ("a != 1", &[]),
        ("a == b", &[]),
        ("a + 1 == 2", &[]),
        ("a == 2023-01-01", &[(Equality, 1, "-")]),
        ("d == 2023-01-01", &[(Equality, 1, "-")]),
        ("d == '2023-01-01'", &[(Equality, 1, "-")]),
        ("d == 'soon'", &[(Never, 0, "-")]),
        ("d > 'soon'", &[(Never, 0, "-")]),
        ("d > '2023-01-01'", &[(Range, 1, "-")]),
        ("a in [1, 2, 3, 1.0]", &[(In, 3, "-")]),
        ("a in []", &[(Never, 0, "-")]),
        ("a in ['x', 2023-01-01]", &[(In, 2, "-")]),
        ("a in ['2023-01-01', 2023-01-01]", &[]),
        ("d in ['2023-01-01', 2023-01-01, 'x']", &[(In, 1, "-")]),
        ("a anyof ['x', 'y']", &[(Items, 2, "-")]),
        ("a anyof ['x', 2023-01-01]", &[]),
        ("a anyof []", &[(Never, 0, "-")]),
        ("a allof ['x']", &[(Items, 1, "-")]),
        ("a allof ['x', 'y']", &[(Items, 1, "all")]),
        ("a allof [2023-01-01, 'y']", &[(Items, 1, "all")]),
        ("a allof []", &[]),
        ("a startswith 'x'", &[(Prefix, 1, "-")]),
        ("a startswith 'a long beginning'", &[(Prefix, 1, "-")]),
        ("d startswith '2023'", &[]),
        ("a startswith nothing", &[(Never, 0, "-")]),
        ("a contains 'x'", &[]),
        ("a < 5", &[(Range, 1, "-")]),
        ("5 >= a", &[(Range, 1, "-")]),
        ("a < 'm'", &[(Range, 1, "-")]),
        ("a < 'a long text to compare'", &[(Range, 1, "all")]),
        ("a < ''", &[(Never, 0, "-")]),
        ("a < false", &[(Never, 0, "-")]),
        ("a >= true", &[(Range, 1, "-")]),
        ("a < nothing", &[(Never, 0, "-")]),
        ("a > 2023-01-01 - 7 days", &[(Range, 1, "-")]),
        ("a >= 5 and a < 15", &[(Range, 1, "-")]),
        ("a >= 5 and (a < 15 and b)", &[(Equality, 1, "rest"), (Range, 1, "rest")]),
        ("a >= 5 and a < 5", &[(Never, 0, "-")]),
        ("a > 5 and a > 'x'", &[(Never, 0, "-")]),
        ("a > 2023-01-01 and a > 'x'", &[(Range, 1, "rest"), (Range, 1, "rest")]),
        ("a > 'x' and a < 'a long text to compare'", &[(Never, 0, "-")]),
        ("a > 'a' and a < 'b long text to compare'", &[(Range, 1, "rest")]),
        ("a startswith 'b' and a < 'bx'", &[(Range, 1, "-")]),
        ("a > now - 7 days", &[(Time, 1, "-")]),
        ("now - 7 days == a", &[(Time, 1, "-")]),
        ("a != now", &[]),
        ("a + 7 days > now", &[]),
        ("now > 2023-01-01", &[]),
        ("a != now - 7 days", &[]),
        ("a > now - 7 days and a < 2023-01-01", &[(Range, 1, "rest"), (Time, 1, "rest")]),
        ("a in [1, 2] and b == 3", &[(Equality, 1, "rest"), (In, 2, "rest")]),
        ("a == 1 and true", &[(Equality, 1, "-")]),
        ("a == 1 and false", &[(Never, 0, "-")]),
        ("a == 1 and not b", &[(Equality, 1, "rest")]),
        ("a == 1 or b == 2", &[(Union, 2, "-")]),
        ("a == 1 or a == 1.0", &[(Equality, 1, "-")]),
        ("a == 1 or a == 2", &[(In, 2, "-")]),
        ("a > 1 and a < 3 or a > 2 and a < 9", &[(Union, 1, "-")]),
        ("a == 1 or b > 2", &[(Union, 2, "-")]),
        ("a == 1 or false", &[(Equality, 1, "-")]),
        ("a == 1 or a + 1 > 2", &[]),
        ("a in [] or false", &[(Never, 0, "-")]),
        ("a == 1 or (b == 2 and c.e != 1)", &[(Union, 2, "all")]),
        ("a == 1 or (b > 2 and (c.e in [1, 2] or d))", &[(Union, 4, "all")]),
        ("(a == 1 or b == 2) and c.e > 3", &[(Union, 2, "rest"), (Range, 1, "rest")]),
        ("(a == 1 or b > 2) and c.e == 3", &[(Equality, 1, "rest"), (Union, 2, "rest")]),
    ];
    for (filter, expected) in cases {
        let mut alternatives = alternatives(&compiled(filter));
        let scan = alternatives.pop().expect("a scan");
        assert_eq!((scan.class, scan.probes().len()), (Scan, 0), "{filter}");
        assert_eq!(scan.residue, (*filter != "true").then(Rest::whole), "{filter}");
        for way in &alternatives {
            let moves = way.probes().iter().any(|probe| matches!(probe, Probe::Time { .. }));
            assert_eq!((way.count, way.moves), (way.probes().len(), moves), "{filter}");
        }
        let shown = alternatives.iter().map(|way| (way.class, way.count, left(&way.residue)));
        assert_eq!(shown.collect::<Vec<_>>(), *expected, "{filter}");
    }
}

#[test]
fn a_long_filter_costs_in_proportion() {
    let filter = vec!["a == 1"; 1_400].join(" and ");
    assert_eq!(alternatives(&compiled(&filter)).len(), 2);
    let filter = vec!["a > 1"; 1_500].join(" and ");
    assert_eq!(alternatives(&compiled(&filter))[0].residue, None);
}

/// Whatever a filter holds of, every way finds; and what a way leaves to check makes up for the rest.
#[test]
fn every_way_finds_what_passes_and_only_that() {
    let (mut passed, mut proven) = (0, 0);
    let mut classes = BTreeMap::<Class, u32>::new();
    for seed in 0..10_000 {
        let random = &mut Rng::with_seed(seed);
        let filter = random::filter(random);
        let (compiled, columns) = random::over_columns(&filter);
        let alternatives = alternatives(&compiled);
        for _ in 0..12 {
            let (node, now) = (random::node(random), random::moment(random));
            let row = Row::of(&node, &columns);
            let passes = filter.matches(&node, now);
            passed += u32::from(passes);
            for way in &alternatives {
                let hits = way.class == Class::Scan || Sieve::new(&way.probes()).hits(&row, now, &mut 0);
                assert!(hits || !passes, "{filter} misses {node:?} at {now}: {way:?}");
                let passes_rest = |rest| compiled.test_rest(rest, &row, now, &mut 0);
                let found = hits && way.residue.as_ref().is_none_or(passes_rest);
                assert_eq!(found, passes, "{filter} of {node:?} at {now}: {way:?}");
                if hits && way.residue.is_none() {
                    proven += 1;
                    *classes.entry(way.class).or_default() += 1;
                }
            }
        }
    }
    assert!(passed > 15_000 && proven > 3_000, "{passed} passed, {proven} proven");
    for class in
        [Class::Equality, Class::In, Class::Items, Class::Prefix, Class::Range, Class::Time, Class::Union]
    {
        assert!(classes.get(&class).is_some_and(|times| *times > 20), "{class}: {classes:?}");
    }
}

/// What a guard says of a row; what marks leave open, as if no two items shared one.
fn answer(guard: &Guard<Column>, row: &Row, now: Timestamp) -> Option<bool> {
    let value = row.at(&guard.column);
    let is_within = |(lo, hi): (u128, u128)| (lo..=hi).contains(&rank::key(value));
    let is = match &guard.asks {
        Asks::Key { lo, hi, is_whole } => Some(is_within((*lo, *hi))).filter(|is| *is_whole || !is),
        Asks::Time(test) => Some(is_within(test.range(now))),
        Asks::Any { keys, items } => {
            let values = match value {
                ValueRef::List(list) if *items => list.iter().map(ValueRef::from).collect(),
                value if !*items => vec![value],
                _ => Vec::new(),
            };
            let is_asked = |value: ValueRef<'_>| {
                KeyRef::of(value).is_some_and(|value| keys.iter().any(|key| key.as_ref() == value))
            };
            (!values.into_iter().any(is_asked)).then_some(false)
        }
    };
    is.map(|is| is != guard.negated)
}

/// Whatever a filter holds of leads to a branch whose guards let it pass; what they prove holds, and what they leave open is made up for
/// by the operand of that branch alone.
#[test]
fn guards_say_only_what_is_true_and_a_branch_is_enough() {
    let (mut proven, mut excluded, mut tried) = (0, 0, 0);
    for seed in 0..8_000 {
        let random = &mut Rng::with_seed(seed);
        let filter = random::filter(random);
        let (compiled, columns) = random::over_columns(&filter);
        let mut alternatives = alternatives(&compiled);
        alternatives.pop();
        for _ in 0..12 {
            let (node, now) = (random::node(random), random::moment(random));
            let row = Row::of(&node, &columns);
            let passes = filter.matches(&node, now);
            for way in &alternatives {
                let mut found = false;
                for branch in way.branches() {
                    if !Sieve::new(&branch.probes).hits(&row, now, &mut 0) {
                        continue;
                    }
                    let answers: Vec<_> =
                        branch.guards.iter().map(|guard| answer(guard, &row, now)).collect();
                    if answers.contains(&Some(false)) {
                        excluded += 1;
                    } else if branch.is_proof && !answers.contains(&None) {
                        (found, proven) = (true, proven + usize::from(!answers.is_empty()));
                    } else {
                        tried += 1;
                        found |= way.holds(branch.operand, &row, now, &mut 0);
                    }
                }
                assert_eq!(found, passes, "{filter} of {node:?} at {now}: {way:?}");
            }
        }
    }
    assert!(proven > 500 && excluded > 500 && tried > 500, "{proven} {excluded} {tried}");
}

fn key(at: Timestamp) -> u128 {
    rank::key(&Value::Instant(Box::new(Timed { text: "".into(), at })))
}

fn within(range: (u128, u128), at: Timestamp) -> bool {
    (range.0..=range.1).contains(&key(at))
}

/// A time test alone, and the filter that it is, over the column `a`.
fn time_test(random: &mut Rng) -> Option<(Filter, TimeTest)> {
    let filter = random::filter_of(random::now_test(random))?;
    let alternatives = alternatives(&random::over_columns(&filter).0);
    match alternatives.first()?.probes().first()? {
        Probe::Time { test, .. } => Some((filter, test.clone())),
        _ => None,
    }
}

#[test]
fn time_tests_hold_and_turn_where_they_say() {
    let (mut turned, mut edges, mut passed_over) = (0, 0, 0);
    for seed in 0..8_000 {
        let random = &mut Rng::with_seed(seed);
        let Some((filter, test)) = time_test(random) else { continue };
        let (now, later) = (random::moment(random), random::moment(random));
        let (now, later) = (now.min(later), now.max(later));
        let mut values: Vec<Timestamp> = (0..8).map(|_| random::moment(random)).collect();
        // Those near to the ends matter most.
        let near = [now, later].into_iter().filter_map(|at| test.threshold(at));
        let nanosecond = std::time::Duration::from_nanos(1);
        values.extend(near.flat_map(|at| [at.saturating_sub(nanosecond), at, at.saturating_add(nanosecond)]));
        values.sort_unstable();

        let holds = |value: Timestamp, at| {
            let entries = vec![("a".into(), Value::Instant(Box::new(Timed { text: "".into(), at: value })))];
            filter
                .matches(&Value::Object(crate::value::Object::from_entries(entries).expect("an object")), at)
        };
        let (edge, upcoming) = (test.next_edge(now), test.upcoming(now));
        edges += u32::from(edge.is_some());
        let first = values.iter().filter(|value| within(upcoming, **value));
        let first = first.inspect(|value| passed_over += u32::from(test.next_flip(**value, now).is_none()));
        let soonest = first.filter_map(|value| test.next_flip(*value, now)).next();
        for &value in &values {
            let (before, after) = (holds(value, now), holds(value, later));
            let context = format!("{filter} of {value} at {now} and {later}");
            assert_eq!(within(test.range(now), value), before, "{context}");
            assert_eq!(within(test.range(later), value), after, "{context}");
            assert!(within(test.lasting_range(now), value) || !(before || after), "{context}");
            let flip = test.next_flip(value, now);
            let turns = within(test.turned(now, later), value);
            assert_eq!(test.turned(later, now), test.turned(now, later));
            assert!(turns || before == after, "{context}");
            if turns && test.operator() != Comparison::Equal {
                assert_ne!(before, after, "{context}");
            }
            turned += u32::from(before != after);
            match flip {
                Some(flip) => {
                    assert!(flip > now, "{context}");
                    assert_eq!(holds(value, flip.saturating_sub(nanosecond)), before, "{context}");
                    assert_ne!(holds(value, flip), before, "{context}");
                    // None flips before the first of those to come, or the edge.
                    let next = [edge, soonest].into_iter().flatten().min();
                    assert!(next.is_some_and(|next| next <= flip), "{context}: {flip} before {next:?}");
                }
                None => assert_eq!(before, after, "{context}"),
            }
        }
    }
    assert!(turned > 5_000 && edges > 500 && passed_over > 20, "{turned} {edges} {passed_over}");
}

#[test]
fn only_columns_against_now_are_time_tests() {
    let count = |filter: &str| time_tests(&compiled(filter)).map(|tests| tests.len());
    assert_eq!(count("a == 1"), Some(0));
    assert_eq!(count("a > now - 7 days and now < d"), Some(2));
    assert_eq!(count("a > now or (a > now and a != now)"), Some(2));
    assert_eq!(count("not (a > now - 7 days) or b == 1"), Some(1));
    assert_eq!(count("a > now and now > 2023-01-01"), None);
    assert_eq!(count("a + 1 days > now"), None);
    assert_eq!(count("a != now"), Some(1));
    // What is no instant differs from `now` only while that is in the calendar.
    assert_eq!(count("a != now - 7 days"), None);
    assert_eq!(count("now - 1 months < now - 30 days"), None);
}

/// A filter changes between two moments only for rows that one of its time tests turns.
#[test]
fn filters_change_where_their_time_tests_turn() {
    let mut changed = 0;
    for seed in 0..12_000 {
        let random = &mut Rng::with_seed(seed);
        let filter = random::filter(random);
        let (compiled, columns) = random::over_columns(&filter);
        let Some(tests) = time_tests(&compiled) else { continue };
        for _ in 0..8 {
            let row = Row::of(&random::node(random), &columns);
            let (one, other) = (random::moment(random), random::moment(random));
            let turned = |(column, test): &(Column, TimeTest)| {
                let (lo, hi) = test.turned(one, other);
                (lo..=hi).contains(&rank::key(row.at(column)))
            };
            if compiled.matches(&row, one) != compiled.matches(&row, other) {
                changed += 1;
                assert!(tests.iter().any(turned), "{filter} from {one} to {other}");
            }
        }
    }
    assert!(changed > 300, "{changed}");
}
