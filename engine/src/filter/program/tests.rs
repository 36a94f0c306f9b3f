//! Programs against filters evaluated as they are written, and what evaluating them costs.

use fastrand::Rng;

use super::*;
use crate::filter::Filter;
use crate::filter::oracle;
use crate::filter::random::{self, Column, Row};
use crate::json;
use crate::limits::{JsonLimits, QueryLimits};
use crate::path::Path;
use crate::value::Value as Json;

fn filter(text: &str) -> Filter {
    Filter::parse(text, &QueryLimits::default().expression_bytes(1 << 20)).expect("a filter")
}

fn compiled(text: &str) -> (Compiled<Column>, Vec<Column>) {
    random::over_columns(&filter(text))
}

fn node(text: &str) -> Json {
    json::parse(text.as_bytes(), &JsonLimits::default()).expect("JSON")
}

/// The bytes of a value as JSON.
fn length(value: &Json) -> usize {
    let of_text =
        |text: &str| text.chars().map(|c| if c < ' ' { 6 } else { c.len_utf8() }).sum::<usize>() + 2;
    match value {
        Json::Nothing => 4,
        Json::Bool(value) => 5 - usize::from(*value),
        Json::Number(number) => number.to_string().len().min(20),
        Json::Text(_) | Json::Instant(_) => of_text(value.as_text().unwrap_or_default()),
        Json::List(items) => 2 + items.iter().map(length).sum::<usize>() + items.len().saturating_sub(1),
        Json::Object(object) => {
            let members = object.iter().map(|(name, value)| of_text(name) + 1 + length(value)).sum::<usize>();
            2 + members + object.len().saturating_sub(1)
        }
    }
}

/// Of bounds of one value in one direction one is evaluated: results stay those of the filter as it is written.
#[test]
fn bounds_that_others_imply_are_not_evaluated() {
    let operators = ["<", "<=", ">", ">=", "=="];
    let numbers = ["-1", "0", "0.0", "0.5", "1", "1.0", "9007199254740993", "9007199254740993.0"];
    let values = [
        "-2",
        "-1",
        "0",
        "0.5",
        "1",
        "2",
        "9007199254740992",
        "9007199254740993",
        "null",
        "true",
        "\"0\"",
        "[0]",
    ];
    let random = &mut Rng::with_seed(1);
    let mut held = 0;
    for _ in 0..4_000 {
        let mut bound = |random: &mut Rng| {
            let mut pick = |from: &[&'static str]| from[random.usize(..from.len())];
            let test = format!("{} {} {}", pick(&["a", "b", "a + 1"]), pick(&operators), pick(&numbers));
            if pick(&["", "not"]).is_empty() { test } else { format!("not ({test})") }
        };
        let group = |word: &str, random: &mut Rng, bound: &mut dyn FnMut(&mut Rng) -> String| {
            (0..3).map(|_| bound(random)).collect::<Vec<_>>().join(word)
        };
        let text = match random.usize(..2) {
            0 => format!(
                "({}) and ({})",
                group(" or ", random, &mut bound),
                group(" and ", random, &mut bound)
            ),
            _ => {
                format!("({}) or ({})", group(" or ", random, &mut bound), group(" and ", random, &mut bound))
            }
        };
        let filter = filter(&text);
        let (compiled, columns) = random::over_columns(&filter);
        for a in values {
            let node = node(&format!("{{\"a\":{a},\"b\":{}}}", values[random.usize(..values.len())]));
            let passes = compiled.test(&Row::of(&node, &columns), Timestamp::UNIX_EPOCH, &mut 0);
            assert_eq!(
                passes,
                oracle::matches(filter.expr(), &node, Timestamp::UNIX_EPOCH),
                "{text} of {node:?}"
            );
            held += u32::from(passes);
        }
    }
    assert!((4_000..44_000).contains(&held), "{held} of 48,000 held");
    let bounds = |count: i32, word: &str, test: &dyn Fn(i32) -> String| {
        (0..count).map(test).collect::<Vec<_>>().join(word)
    };
    for (word, test) in [
        (" and ", (|n| format!("not (a < {n})")) as fn(i32) -> String),
        (" or ", |n| format!("a < {n}")),
        (" and ", |n| format!("a >= {n}")),
    ] {
        let cost = |count| compiled(&bounds(count, word, &test)).0.cost();
        assert_eq!(cost(200), cost(2), "{}", bounds(2, word, &test));
    }
}

/// Steps never exceed the bounds, results are those of the filter as it is written.
#[test]
fn programs_mean_what_is_written_and_cost_what_they_say() {
    let (mut passed, mut turned, mut tightest) = (0, 0, 0.0_f64);
    for seed in 0..16_000 {
        let random = &mut Rng::with_seed(seed);
        let filter = random::filter(random);
        let (compiled, columns) = random::over_columns(&filter);
        for _ in 0..12 {
            let (node, now) = (random::node(random), random::moment(random));
            let row = Row::of(&node, &columns);
            let bound = compiled.cost().of(length(&node));
            let mut steps = 0;
            let passes = compiled.test(&row, now, &mut steps);
            assert_eq!(passes, oracle::matches(filter.expr(), &node, now), "{filter} of {node:?} at {now}");
            assert!(steps <= bound, "{filter} of {node:?}: {steps} of {bound}");
            tightest = tightest.max(steps as f64 / bound as f64);
            passed += u32::from(passes);

            let then = random::moment(random);
            let before = oracle::matches(filter.expr(), &node, then);
            let mut steps = 0;
            let both = compiled.test_both(&row, then, now, &mut steps);
            assert_eq!(both, (before, passes), "{filter} of {node:?} at {then} and {now}");
            assert!(steps <= 2 * bound, "{filter} of {node:?}: {steps} of {bound}");
            let mut steps = 0;
            let turn = compiled.turn(&row, then, now, &mut steps);
            assert_eq!(
                turn,
                (before != passes).then_some(passes),
                "{filter} of {node:?} at {then} and {now}"
            );
            assert!(steps <= 4 * bound, "{filter} of {node:?}: {steps} of {bound}");
            turned += u32::from(turn.is_some());

            let mut steps = 0;
            let flip = compiled.next_flip(&row, now, &mut steps);
            let flip_bound = compiled.flip_cost().of(length(&node));
            assert!(steps <= flip_bound, "{filter} of {node:?}: {steps} of {flip_bound}");
            if let Some(flip) = flip {
                assert!(flip > now);
                let last = flip.saturating_sub(std::time::Duration::from_nanos(1));
                assert_eq!(
                    oracle::matches(filter.expr(), &node, last),
                    passes,
                    "{filter} of {node:?} at {last}"
                );
            }
        }
    }
    assert!(
        (20_000..150_000).contains(&passed) && turned > 500 && tightest > 0.5,
        "{passed} {turned} {tightest}"
    );
}

/// Filters of many parts that repeat, over few columns.
#[test]
fn parts_that_repeat_are_evaluated_once() {
    const NUMBERS: &[&str] =
        &["0", "1", "1.0", "2", "9007199254740993", "0.5", "1e300", "'1'", "true", "nothing"];
    const ITEMS: &[&str] = &[
        "0",
        "1",
        "1.0",
        "2",
        "0.5",
        "1e300",
        "'a'",
        "'ab'",
        "''",
        "true",
        "false",
        "nothing",
        "2024-02-29",
        "'2024-02-29'",
        "'2024-02-29T00:00:00Z'",
        "2024-03-01",
    ];
    const VALUES: &[&str] =
        &["a", "b", "d", "c.e", "a + 1", "b + 1 days", "d - 1 months - 1 months", "d + 2 days + 3 days"];
    let (mut passed, mut groups) = (0, 0);
    for seed in 0..6_000 {
        let random = &mut Rng::with_seed(seed);
        let tests: Vec<String> = (0..8)
            .map(|_| match random.usize(..8) {
                0..=3 => {
                    let items: Vec<&str> =
                        (0..random.usize(..6)).map(|_| random::pick(random, ITEMS)).collect();
                    format!(
                        "{} {} [{}]",
                        random::pick(random, &["a", "b", "a"]),
                        random::pick(random, &["anyof", "allof", "in"]),
                        items.join(",")
                    )
                }
                4 => format!(
                    "{} {} {}",
                    random::pick(random, &["a", "b", "d"]),
                    random::pick(random, &["==", "!="]),
                    random::pick(random, NUMBERS)
                ),
                5 => format!(
                    "{} {} {}",
                    random::pick(random, VALUES),
                    random::pick(random, &["==", "!=", "<", "<="]),
                    random::pick(random, VALUES)
                ),
                6 => format!(
                    "{} < now - {} days - 1 days",
                    random::pick(random, VALUES),
                    1 + random.usize(..3)
                ),
                _ => format!("a {} 'a'", random::pick(random, &["startswith", "endswith", "contains"])),
            })
            .collect();
        let mut texts = tests.clone();
        for _ in 0..12 {
            let word = random::pick(random, &[" and ", " or "]);
            let some: Vec<String> = (0..2 + random.usize(..4))
                .map(|_| {
                    let not = if random.usize(..3) == 0 { "not " } else { "" };
                    format!("{not}({})", texts[random.usize(..texts.len())])
                })
                .collect();
            texts.push(some.join(word));
        }
        let Some(text) = texts.pop().filter(|text| text.len() < 16_000) else { continue };
        let Some(filter) = random::filter_of(text) else { continue };
        let (compiled, columns) = random::over_columns(&filter);
        groups += compiled.0.groups.iter().filter(|group| group.asked_end - group.asked > 1).count();
        for _ in 0..8 {
            let (node, now, then) = (random::node(random), random::moment(random), random::moment(random));
            let row = Row::of(&node, &columns);
            let passes = oracle::matches(filter.expr(), &node, now);
            let before = oracle::matches(filter.expr(), &node, then);
            let (bound, mut steps) = (compiled.cost().of(length(&node)), 0);
            assert_eq!(compiled.test(&row, now, &mut steps), passes, "{filter} of {node:?} at {now}");
            assert!(steps <= bound, "{filter} of {node:?}: {steps} of {bound}");
            assert_eq!(compiled.test_both(&row, then, now, &mut 0), (before, passes), "{filter} of {node:?}");
            assert_eq!(
                compiled.turn(&row, then, now, &mut 0),
                (before != passes).then_some(passes),
                "{filter}"
            );
            let mut steps = 0;
            if let Some(flip) = compiled.next_flip(&row, now, &mut steps) {
                let last = flip.saturating_sub(std::time::Duration::from_nanos(1));
                assert_eq!(
                    oracle::matches(filter.expr(), &node, last),
                    passes,
                    "{filter} of {node:?} at {last}"
                );
            }
            assert!(steps <= compiled.flip_cost().of(length(&node)), "{filter} of {node:?}: {steps}");
            passed += u32::from(passes);
        }
    }
    assert!((5_000..40_000).contains(&passed) && groups > 500, "{passed} {groups}");
}

/// The steps of one evaluation of a filter, which must be within its bound. `d` is declared as an instant.
fn steps(text: &str, json: &str) -> u64 {
    let (filter, mut node) = (filter(text), node(json));
    if let Some(declared) = node.at_mut(&Path::field("d")) {
        *declared = std::mem::take(declared).into_instant().expect("an instant");
    }
    let now = Timestamp::parse_rfc3339("2024-06-01").expect("an instant");
    let mut steps = 0;
    let passes = filter.compiled().test(&node, now, &mut steps);
    assert_eq!(passes, oracle::matches(filter.expr(), &node, now), "{text}");
    let bound = filter.compiled().cost().of(json.len());
    assert!(steps <= bound, "{steps} of {bound}");
    steps
}

fn repeated(what: &str, word: &str, times: usize) -> String {
    vec![what; times].join(word)
}

#[test]
fn a_comparison_of_objects_costs_once_however_often_it_is_written() {
    let members: Vec<String> = (0..1_000).map(|n| format!("\"k{n:04}\":{n}")).collect();
    let object = format!("{{{}}}", members.join(","));
    let json = format!("{{\"o\":{object},\"p\":{object}}}");
    let once = steps("o == p", &json);
    assert!((2_000..2_100).contains(&once), "{once}");
    for word in [" and ", " or "] {
        assert_eq!(steps(&repeated("o == p", word, 1_000), &json), once);
        assert_eq!(steps(&repeated("p == o", word, 1_000), &json), once);
    }
    // With itself a field need not be compared.
    assert_eq!(steps(&repeated("o == o", " and ", 1_000), &json), steps("true", &json));
    // Among other tests it is kept.
    let many: Vec<String> = (0..500).map(|n| format!("(o == p and a != {n})")).collect();
    assert!(steps(&many.join(" and "), &json) < once + 2_100);
    let both = format!("({}) and ({})", repeated("o == p", " or ", 2), "q == 1 or not (o == p and q == 2)");
    assert!(steps(&both, &json) < once + 30);
}

#[test]
fn tests_of_one_list_share_a_walk() {
    let items: Vec<String> = (0..20).map(|n| (1_000_000 + n).to_string()).collect();
    let json = format!("{{\"nums\":[{}]}}", items.join(","));
    let list = |of: usize| (0..1_000).map(|n| (of * 1_000 + n).to_string()).collect::<Vec<_>>().join(",");
    let filter = format!("not (nums anyof [{}]) and not (nums anyof [{}])", list(0), list(1));
    // Twenty items, each looked up once among two thousand: eleven comparisons and two steps more.
    let walk = steps(&filter, &json);
    assert!((20 * 11..20 * 14 + 200).contains(&walk), "{walk}");

    // A thousand tests of a list of many items.
    let items: Vec<String> = (0..50_000).map(|n| (10 * n).to_string()).collect();
    let json = format!("{{\"nums\":[{}]}}", items.join(","));
    let tests: Vec<String> =
        (0..1_000).map(|n| format!("nums anyof [{},{}]", 10 * n + 1, 10 * n + 5)).collect();
    let walk = steps(&tests.join(" or "), &json);
    assert!(walk < 50_000 * 14 + 10_000, "{walk}");
    let all: Vec<String> = (0..1_000).map(|n| format!("nums allof [{},{}]", 10 * n, 10 * n + 5)).collect();
    assert!(steps(&all.join(" or "), &json) < 50_000 * 14 + 10_000);
}

#[test]
fn a_list_of_literals_costs_a_search() {
    let list: Vec<String> = (0..1_000).map(|n| format!("'{n:04}'")).collect();
    let filter = format!("c in [{}]", list.join(","));
    assert!(steps(&filter, r#"{"c":"0500x"}"#) < 20);
    let one_by_one: Vec<String> = (0..1_000).map(|n| format!("c == '{n:04}'")).collect();
    assert!(steps(&one_by_one.join(" or "), r#"{"c":"0500x"}"#) < 20);
    let none: Vec<String> = (0..1_000).map(|n| format!("c != '{n:04}'")).collect();
    assert!(steps(&none.join(" and "), r#"{"c":"0500x"}"#) < 20);
}

#[test]
fn a_text_is_read_as_an_instant_once() {
    // A fraction of a second that is as long as one likes.
    let json = format!("{{\"at\":\"2024-01-01T00:00:00.{}\"}}", "0".repeat(16_000));
    let once = steps("at < now", &json);
    assert!((1_000..1_020).contains(&once), "{once}");
    let many: Vec<String> = (1..500).map(|n| format!("at < now - {n} days")).collect();
    let all = steps(&many.join(" or "), &json.replace("2024-01", "2028-01"));
    assert!(all < once + 500 * 12, "{all}");
    let list: Vec<String> = (1..700).map(|n| format!("2023-01-01T00:{:02}:{:02}", n / 60, n % 60)).collect();
    let in_list = steps(&format!("at in [{}]", list.join(",")), &json);
    assert!(in_list < once + 20, "{in_list}");
    // The texts of the filter are read when it is compiled.
    let texts: Vec<String> =
        (1..700).map(|n| format!("d < '2023-01-01T00:{:02}:{:02}'", n / 60, n % 60)).collect();
    let compared = steps(&texts.join(" or "), r#"{"d":"2024-01-01"}"#);
    assert!(compared < 700 * 6, "{compared}");
    // Each item of a list is read once.
    let items: Vec<String> =
        (1..700).map(|n| format!("\"2024-01-01T00:{:02}:{:02}\"", n / 60, n % 60)).collect();
    let json = format!("{{\"times\":[{}]}}", items.join(","));
    let walk = steps(&format!("times anyof [{}]", list.join(",")), &json);
    assert!(walk < 700 * 18, "{walk}");
}

#[test]
fn sums_over_the_calendar_cost_once() {
    let json = r#"{"createdAt":"2024-01-31","total":5}"#;
    let months = repeated(" + 1 months", "", 1_400);
    let once = steps(&format!("createdAt{months} > now"), json);
    assert!((cost::CALENDAR * 1_400..cost::CALENDAR * 1_400 + 20).contains(&once), "{once}");
    // Both sides, and often.
    let sum = format!("createdAt{}", repeated(" + 1 months", "", 20));
    let twice =
        steps(&repeated(&format!("({sum} > now and not ({sum} > now - 1 months))"), " or ", 20), json);
    assert!(twice < cost::CALENDAR * 22 + 20, "{twice}");
    // Sums that begin alike are worked once as far as they do.
    let begin_alike: Vec<String> =
        (1..50).map(|n| format!("createdAt{} < 2000-01-01", repeated(" + 1 months", "", n))).collect();
    let all = steps(&begin_alike.join(" or "), json);
    assert!(all < 50 * 12, "{all}");
    // Fixed durations are one where that cannot be told.
    let days = repeated(" + 1 days", "", 1_400);
    assert!(steps(&format!("createdAt{days} > now"), json) < 12);
    assert!(steps(&format!("createdAt > now{}", repeated(" - 1 hours", "", 1_400)), json) < 12);
    let mixed = repeated(" + 1 days - 1 days", "", 700);
    assert!((1_400..1_420).contains(&steps(&format!("createdAt{mixed} > now"), json)));
    assert!(steps(&format!("total{} > 0", repeated(" + 1", "", 1_400)), json) < 2 * 1_400 + 20);
}

#[test]
fn a_flip_asks_nothing_that_time_does_not_change_twice() {
    let numbers: Vec<String> = (0..900).map(|n| n.to_string()).collect();
    let items: Vec<String> = (0..300).map(|n| (5_000 + n).to_string()).collect();
    let json = format!("{{\"born\":\"2024-05-31T23:59:59Z\",\"nums\":[{}]}}", items.join(","));
    let soon: Vec<String> = (0..60).map(|n| format!("born + {} ms <= now", 1_000 * (n + 1))).collect();
    let filter = format!("nums anyof [{}] or {}", numbers.join(","), soon.join(" or "));
    let (compiled, columns) = compiled(&filter);
    let node = node(&json);
    let row = Row::of(&node, &columns);
    let at = |text: &str| Timestamp::parse_rfc3339(text).expect("an instant");
    let walk = 300 * 12;
    let (mut flip, mut both, mut turn, mut still) = (0, 0, 0, 0);
    let (then, now) = (at("2024-05-31T23:59:59.5Z"), at("2024-06-01T00:00:00Z"));
    assert_eq!(compiled.next_flip(&row, then, &mut flip), Some(now));
    assert_eq!(compiled.test_both(&row, then, now, &mut both), (false, true));
    assert_eq!(compiled.turn(&row, then, now, &mut turn), Some(true));
    assert!(flip < walk + 7_000 && both < walk + 900 && turn < walk + 1_500, "{flip} {both} {turn}");
    // Where no test over time turns, or both moments are decided by them, the list is not walked.
    assert_eq!(compiled.turn(&row, now, at("2024-06-01T00:00:00.5Z"), &mut still), None);
    let mut decided = 0;
    assert_eq!(compiled.test_both(&row, now, at("2024-06-01T00:00:30Z"), &mut decided), (true, true));
    assert!(still < 1_000 && decided < 1_000, "{still} {decided}");
}

#[test]
fn what_needs_no_row_is_known() {
    for (text, same) in [
        ("a == a", "true"),
        ("a != a or now != now", "false"),
        ("1 < 2 and a", "a"),
        ("a or not a", "true"),
        ("a and not (a or b)", "false"),
        ("not not a and (true or b)", "a"),
        ("a == 5 or 'abc' startswith 'a'", "true"),
        ("a startswith nothing", "false"),
        ("a == 1 or a == 1.0", "a == 1"),
        ("a in [1, 1.0]", "a == 1"),
        ("a + 1 != a + 1", "false"),
        ("a anyof []", "false"),
        ("a allof ['x', 'x']", "a anyof ['x']"),
        ("a != 1 and a != 2", "not (a in [2, 1])"),
        ("a > b", "b < a"),
        ("a + 1 days + 2 days > now", "now < a + 3 days"),
    ] {
        let (one, other) = (compiled(text).0.0, compiled(same).0.0);
        assert_eq!(
            format!("{:?} {:?}", one.tests, one.root),
            format!("{:?} {:?}", other.tests, other.root),
            "{text}"
        );
        assert_eq!(one.cost, other.cost, "{text}");
    }
    // The first of the month that a day lacks is not forgotten.
    for text in ["a + 1 months + 1 months > now", "a + 1 days - 1 days > now", "a + 1 days + 24 hours > now"]
    {
        assert_eq!(compiled(text).0.0.terms.len(), 2, "{text}");
    }
}
