//! The next moment at which time alone changes a filter's result: never late, and exact where nothing races.

use fastrand::Rng;
use liveset_engine::{Filter, Timestamp, Value};

use crate::support::{INSTANTS, Shape, at, node, now_test, pick, printed_limits, random_filter, random_node};

fn parse(text: &str) -> Filter {
    Filter::parse(text, &printed_limits()).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn plus(at: Timestamp, nanos: i128) -> Option<Timestamp> {
    Timestamp::from_unix_nanos(at.unix_nanos() + nanos)
}

/// Moments at which something may happen that `next_flip` missed: around every instant that occurs, moved by all kinds of
/// durations, the ends of months, and random ones.
fn suspects(random: &mut Rng, from: Timestamp, until: Option<Timestamp>) -> Vec<Timestamp> {
    const HOUR: i128 = 3_600_000_000_000;
    let mut moments = Vec::new();
    for text in INSTANTS {
        let base = at(text).unix_nanos();
        for days in [
            -400, -366, -365, -335, -62, -31, -30, -29, -28, -7, -1, 0, 1, 7, 28, 29, 30, 31, 62, 335, 365,
            366, 400,
        ] {
            for nanos in [-1, 0, 1] {
                moments.push(base + days * 24 * HOUR + nanos);
            }
        }
    }
    for _ in 0..300 {
        let spread = 1_i128 << random.u64(..66);
        moments.push(from.unix_nanos() + (i128::from(random.u64(..)) % spread).abs());
    }
    if let Some(until) = until {
        moments.push(until.unix_nanos() - 1);
        moments.push((from.unix_nanos() + until.unix_nanos()) / 2);
    }
    // Every day for two years, its first and last nanosecond.
    for day in 0..730 {
        let start = from.unix_nanos() - from.unix_nanos().rem_euclid(24 * HOUR) + day * 24 * HOUR;
        moments.extend([start, start - 1]);
    }
    let after = |moment: &Timestamp| *moment > from && until.is_none_or(|until| *moment < until);
    moments.into_iter().filter_map(Timestamp::from_unix_nanos).filter(after).collect()
}

fn check(random: &mut Rng, text: &str, raw: &str, now: Timestamp) {
    let filter = parse(text);
    let value = node(raw);
    let mut from = now;
    for _ in 0..4 {
        let passes = filter.matches(&value, from);
        let flip = filter.next_flip(&value, from);
        if let Some(flip) = flip {
            assert!(flip > from, "{text}\n{raw}\n{from}: {flip} is not after it");
        }
        for moment in suspects(random, from, flip) {
            assert_eq!(
                filter.matches(&value, moment),
                passes,
                "{text}\n{raw}\nfrom {from}: changes at {moment}, said {flip:?}"
            );
        }
        match flip {
            Some(flip) => from = flip,
            None => return,
        }
    }
}

#[test]
fn nothing_changes_before_the_next_flip() {
    let mut random = Rng::with_seed(11);
    for _ in 0..400 {
        let text = now_test(&mut random, true);
        let raw = random_node(&mut random);
        let now = plus(at(pick(&mut random, INSTANTS)), i128::from(random.u64(..) % 7) - 3).unwrap();
        check(&mut random, &text, &raw, now);
    }
    for _ in 0..300 {
        let text = random_filter(&mut random, Shape { depth: 3, now: 60, races: true });
        let raw = random_node(&mut random);
        let now = plus(at(pick(&mut random, INSTANTS)), i128::from(random.u64(..) % 7) - 3).unwrap();
        check(&mut random, &text, &raw, now);
    }
}

#[test]
fn flips_of_one_moment_are_exact() {
    // Without a race the moment returned is one at which the result does change.
    let mut random = Rng::with_seed(12);
    let mut flips = 0;
    for _ in 0..3_000 {
        let text = random_filter(&mut random, Shape { depth: 2, now: 60, races: false });
        let filter = parse(&text);
        let value = node(&random_node(&mut random));
        let now = at(pick(&mut random, INSTANTS));
        if let Some(flip) = filter.next_flip(&value, now) {
            assert_ne!(filter.matches(&value, flip), filter.matches(&value, now), "{text} at {flip}");
            flips += 1;
        }
    }
    assert!(flips > 300, "only {flips} flips");
}

#[test]
fn nodes_leave_at_the_exact_moment() {
    let cases = [
        // The filter, the field, now, the flip.
        ("t > now - 7 days", "2024-03-01T10:00:00Z", "2024-03-02", Some("2024-03-08T10:00:00Z")),
        ("t >= now - 7 days", "2024-03-01T10:00:00Z", "2024-03-02", Some("2024-03-08T10:00:00.000000001Z")),
        ("t < now", "2024-03-01T10:00:00Z", "2024-02-02", Some("2024-03-01T10:00:00.000000001Z")),
        ("t <= now", "2024-03-01T10:00:00+02:00", "2024-02-02", Some("2024-03-01T08:00:00Z")),
        ("t == now", "2024-03-01T10:00:00Z", "2024-02-02", Some("2024-03-01T10:00:00Z")),
        ("t == now", "2024-03-01T10:00:00Z", "2024-03-01T10:00:00Z", Some("2024-03-01T10:00:00.000000001Z")),
        ("t != now", "2024-03-01T10:00:00Z", "2024-03-01T10:00:00.000000001Z", None),
        ("t > now - 7 days", "2024-03-01T10:00:00Z", "2024-03-09", None),
        ("t > now", "soon", "2024-03-09", None),
        ("not t > now", "soon", "2024-03-09", None),
        // The 29th to the 31st of March are all "the last instant of February" a month before.
        ("t >= now - 1 months", "2023-02-28T23:59:59.999999999Z", "2023-03-28", Some("2023-04-01")),
        (
            "t > now - 1 months",
            "2023-02-28T23:59:59.999999999Z",
            "2023-03-28",
            Some("2023-03-28T23:59:59.999999999Z"),
        ),
        ("t > now - 1 months", "2023-02-28T12:00:00Z", "2023-03-28", Some("2023-03-28T12:00:00Z")),
        ("t > now - 1 years", "2024-02-29T12:00:00Z", "2024-03-28", Some("2025-03-01")),
        (
            "t - 2 hours < now and now < t",
            "2024-03-01T10:00:00Z",
            "2024-02-02",
            Some("2024-03-01T08:00:00.000000001Z"),
        ),
        (
            "t - 2 hours < now and now < t",
            "2024-03-01T10:00:00Z",
            "2024-03-01T09:00:00Z",
            Some("2024-03-01T10:00:00Z"),
        ),
        ("now == 2024-01-01 or now == 2025-01-01", "", "2024-03-01", Some("2025-01-01")),
        ("now - 1 days != 2025-01-01", "", "2025-01-01", Some("2025-01-02")),
        // What is no instant differs from every instant, once there is one.
        ("now - 2001 years != t", "soon", "2000-06-01", Some("2001-01-01")),
        ("now + 7977 years != t", "soon", "2022-06-01", Some("2023-01-01")),
        ("now - 1 days != t", "soon", "2022-06-01", None),
        ("t > now and false", "2024-03-01T10:00:00Z", "2024-02-02", None),
        ("t > now or true", "2024-03-01T10:00:00Z", "2024-02-02", None),
        ("now - 1 months < now", "", "2024-02-02", None),
        ("now + 7977 years > t", "2024-03-01", "2022-06-01", Some("2023-01-01")),
        ("now - 2001 years < t", "2024-03-01", "2000-06-01", Some("2001-01-01")),
        ("t > now - 1 days", "9999-12-31T23:59:59.999999999Z", "2024-01-01", None),
    ];
    for (text, field, now, flip) in cases {
        let filter = parse(text);
        let value = node(&format!("{{\"t\":\"{field}\"}}"));
        let mut found = filter.next_flip(&value, at(now));
        if text == "now - 1 months < now" {
            // A race that nobody wins may be looked at again, but never changes.
            while let Some(moment) = found.filter(|moment| *moment < at("2100-01-01")) {
                assert!(filter.matches(&value, moment));
                found = filter.next_flip(&value, moment);
            }
            continue;
        }
        assert_eq!(found, flip.map(at), "{text} of {field} at {now}");
    }
}

/// `now` on both sides: the flips of the next months, one after the other, passing by moments at which nothing changes.
#[test]
fn now_races_itself_at_the_ends_of_months() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "now - 1 months == now - 31 days",
            "2024-03-28",
            // All of March waits for the end of February, and April is as far from March as 31 days.
            &[
                "2024-03-31T23:59:59.999999999Z",
                "2024-05-01",
                "2024-05-31T23:59:59.999999999Z",
                "2024-07-01",
                "2024-07-31T23:59:59.999999999Z",
            ],
        ),
        (
            "now - 1 months == now - 30 days - 12 hours",
            "2024-03-30T01:00:00Z",
            &["2024-03-31T11:59:59.999999999Z", "2024-03-31T12:00:00Z", "2024-05-31T11:59:59.999999999Z"],
        ),
        (
            "now - 30 days - 12 hours > now - 1 months",
            "2024-03-30T01:00:00Z",
            &["2024-03-31T12:00:00Z", "2024-05-01", "2024-05-31T12:00:00Z", "2024-07-01"],
        ),
        (
            "now - 1 months < now - 30 days",
            "2024-04-15",
            &["2024-05-01", "2024-05-31", "2024-07-01", "2024-07-31"],
        ),
        ("now - 2001 years < now", "2000-06-01", &["2001-01-01"]),
        ("now + 1 months > now", "9999-11-05", &["9999-12-01"]),
    ];
    for (text, now, flips) in cases {
        let filter = parse(text);
        let mut from = at(now);
        for flip in *flips {
            let passes = filter.matches(&Value::Nothing, from);
            let mut found = filter.next_flip(&Value::Nothing, from);
            while let Some(moment) = found.filter(|moment| filter.matches(&Value::Nothing, *moment) == passes)
            {
                found = filter.next_flip(&Value::Nothing, moment);
            }
            assert_eq!(found, Some(at(flip)), "{text} from {from}");
            from = at(flip);
        }
    }
}

#[test]
fn the_opposite_flips_at_the_same_moment() {
    let mut random = Rng::with_seed(13);
    for _ in 0..2_000 {
        let text = random_filter(&mut random, Shape { depth: 2, now: 60, races: true });
        let value = node(&random_node(&mut random));
        let now = at(pick(&mut random, INSTANTS));
        let opposite = parse(&format!("not ({text})"));
        assert_eq!(parse(&text).next_flip(&value, now), opposite.next_flip(&value, now), "{text}");
    }
}

#[test]
fn what_does_not_read_the_clock_never_flips() {
    let filter = parse("a == 1 and t > 2024-01-01 - 1 months");
    assert!(!filter.uses_now());
    assert_eq!(filter.next_flip(&Value::Nothing, Timestamp::MIN), None);
    assert!(parse("`now` == 1 or a.now").paths().len() == 2);
    assert!(!parse("`now` == 1 or a.now").uses_now());
}

#[test]
fn the_ends_of_the_calendar_are_no_trap() {
    for text in [
        "t > now",
        "t > now - 9000 years",
        "t > now + 9000 years",
        "now + 1 months > now + 30 days",
        "now == now",
    ] {
        for now in [Timestamp::MIN, Timestamp::MAX, at("9999-12-31T23:59:59Z")] {
            let filter = parse(text);
            let value = node("{\"t\":\"9999-12-31T23:59:59.999999999Z\"}");
            let mut from = now;
            for _ in 0..10 {
                match filter.next_flip(&value, from) {
                    Some(flip) => {
                        assert!(flip > from);
                        from = flip;
                    }
                    None => break,
                }
            }
        }
    }
}

/// Each of them was once asked anew for every moment at which any of them changes.
#[test]
#[expect(clippy::disallowed_methods, reason = "the time that the search takes is what is tested")]
fn a_thousand_tests_over_now_do_not_multiply() {
    let tests: Vec<String> = (0..1_000).map(|i| format!("t < now - {i} ms")).collect();
    let filter = parse(&format!("{} and false", tests.join(" and ")));
    let value = node(r#"{"t":"2024-01-01T00:00:00Z"}"#);
    let watch = std::time::Instant::now();
    for _ in 0..20 {
        filter.next_flip(&value, at("2024-01-01"));
    }
    // Less than a second in a debug build; half a minute where they multiply.
    assert!(watch.elapsed().as_secs() < 8, "{:?}", watch.elapsed());
}
