//! Programs against filters evaluated as they are written, and what evaluating them costs.

use super::*;
use crate::filter::Filter;
use crate::filter::columns::Reading;
use crate::filter::oracle;
use crate::filter::random::{self, Column, Random, Row};
use crate::json;
use crate::limits::{JsonLimits, QueryLimits};
use crate::path::Path;
use crate::value::Value as Json;

fn filter(text: &str) -> Filter {
    Filter::parse(text, &QueryLimits { expression_bytes: 1 << 20, ..QueryLimits::default() })
        .expect("a filter")
}

fn compiled(text: &str) -> (Compiled<Column>, Vec<Column>) {
    random::over_columns(&filter(text))
}

fn node(text: &str) -> Json {
    json::parse(text.as_bytes(), &JsonLimits::default()).expect("JSON")
}

/// The bytes of a value as JSON.
fn length(value: &Json) -> u64 {
    let of_text =
        |text: &str| text.chars().map(|c| if c < ' ' { 6 } else { c.len_utf8() as u64 }).sum::<u64>() + 2;
    match value {
        Json::Nothing => 4,
        Json::Bool(value) => 5 - u64::from(*value),
        Json::Number(number) => number.to_string().len().min(20) as u64,
        Json::Text(_) | Json::Instant(_) => of_text(value.as_text().unwrap_or_default()),
        Json::List(items) => 2 + items.iter().map(length).sum::<u64>() + items.len().saturating_sub(1) as u64,
        Json::Object(object) => {
            let members = object.iter().map(|(name, value)| of_text(name) + 1 + length(value)).sum::<u64>();
            2 + members + object.len().saturating_sub(1) as u64
        }
    }
}

/// Steps never exceed the bounds, results are those of the filter as it is written.
#[test]
fn programs_mean_what_is_written_and_cost_what_they_say() {
    let (mut passed, mut turned, mut tightest) = (0, 0, 0.0_f64);
    for seed in 0..16_000 {
        let random = &mut Random::new(seed);
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
