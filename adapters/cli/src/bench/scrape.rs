//! The server's own counters, from `/metrics`.

use std::collections::{BTreeMap, BTreeSet};

use hyper::StatusCode;

use super::receiver::Shared;
use crate::client::{Client, Outcome};

/// Counters by name, those with different labels added up.
pub(super) type Counters = BTreeMap<String, f64>;

/// The counters as they are now; nothing where the server has none to show.
pub(super) async fn counters(shared: &Shared) -> Option<Counters> {
    let client = Client::new(shared.url.clone(), None, shared.token.expose()).ok()?;
    match client.get("/metrics").await {
        Outcome::Answered(StatusCode::OK, text) => Some(read(std::str::from_utf8(&text).ok()?)),
        _ => None,
    }
}

fn read(text: &str) -> Counters {
    let mut names = BTreeSet::new();
    let mut counters = Counters::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("# TYPE ").and_then(|rest| rest.strip_suffix(" counter")) {
            names.insert(name);
            continue;
        }
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let name = series.split('{').next().unwrap_or_default();
        if let (true, Ok(value)) = (names.contains(name), value.parse::<f64>()) {
            *counters.entry(name.to_owned()).or_default() += value;
        }
    }
    counters
}

/// What was counted between the two, without what was not.
pub(super) fn between(before: &Counters, after: &Counters) -> BTreeMap<String, u64> {
    let grown = |(name, after): (&String, &f64)| {
        let grown = after - before.get(name).copied().unwrap_or(0.0);
        (grown > 0.0).then(|| (name.clone(), grown as u64))
    };
    after.iter().filter_map(grown).collect()
}

/// The sum of the counters whose names have all these words.
pub(super) fn named(counters: &BTreeMap<String, u64>, words: &[&str]) -> u64 {
    let has_all = |name: &str| words.iter().all(|word| name.contains(word));
    counters.iter().filter(|(name, _)| has_all(name)).map(|(_, count)| count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_added_up_and_compared() {
        let text = |sent: u64| {
            format!(
                "# HELP a_total x\n# TYPE a_total counter\na_total{{by=\"x y\"}} {sent}\na_total{{by=\"z\"}} 2\n\n\
                 # TYPE g gauge\ng 7\n# TYPE liveset_diffs_folded_total counter\nliveset_diffs_folded_total 3\n"
            )
        };
        let (before, after) = (read(&text(1)), read(&text(11)));
        assert_eq!(after["a_total"], 13.0);
        assert_eq!(between(&before, &after), BTreeMap::from([("a_total".to_owned(), 10)]));
        let all = between(&Counters::new(), &after);
        assert_eq!((named(&all, &["folded"]), named(&all, &["events", "dropped"])), (3, 0));
        assert!(read("<html>\n# TYPE x counter\nx y\n").is_empty());
    }
}
