//! The table of limits names every limit there is, with its default, and nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use liveset_core::model::{Floor, LimitParts as _, LimitSet, LimitValue};
use liveset_server::config::{LimitsConfig, duration};

use crate::support::run;

const GUIDE: &str = include_str!("../../../server/guide/limits.md");
const TABLE: &str = include_str!("../../../liveset/src/limits.md");

/// The rows of the table of one part, as its limits are declared.
fn rows(part: &dyn LimitSet) -> String {
    let mut rows = String::new();
    for limit in part.declared() {
        let default = match part.value(limit.name).expect("a value") {
            LimitValue::Number(number) => shown(number, limit.name.contains("bytes")),
            LimitValue::Time(time) => duration::print(time),
            LimitValue::Flag(flag) => flag.to_string(),
        };
        let least = if limit.floor == Floor::One { "; at least 1" } else { "" };
        let (name, what, beyond) = (limit.name, limit.what, limit.beyond);
        writeln!(rows, "| `{}.{name}` | {default} | {what}{least} | {beyond} |", part.part())
            .expect("a string");
    }
    rows
}

/// A number with its thousands apart, and a size in KiB, MiB or GiB too.
fn shown(number: u64, is_size: bool) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| is_size && number >= *unit && number.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{shown} ({} {name})", number / unit),
        None => shown,
    }
}

/// The table comes from the declarations. `LIVESET_WRITE_LIMITS=1` writes it again.
#[test]
fn the_table_of_limits_is_that_of_the_declarations() {
    let limits = LimitsConfig::default();
    let mut written = TABLE.to_owned();
    for part in limits.parts() {
        let begin = format!("| `{}.", part.part());
        let old: String =
            TABLE.lines().filter(|line| line.starts_with(&begin)).map(|line| format!("{line}\n")).collect();
        assert!(!old.is_empty(), "{} has a table", part.part());
        written = written.replace(&old, &rows(part));
    }
    if std::env::var_os("LIVESET_WRITE_LIMITS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../liveset/src/limits.md"), &written)
            .expect("written");
    }
    let declared: usize = limits.parts().iter().map(|part| part.declared().len()).sum();
    assert_eq!(
        TABLE.lines().filter(|line| line.starts_with("| `")).count(),
        declared,
        "each limit is there once"
    );
    for (line, declared) in TABLE.lines().zip(written.lines()) {
        assert_eq!(line, declared, "run this test with LIVESET_WRITE_LIMITS=1, and commit limits.md");
    }
}

/// Name and default of each row of the table; the latter without separators of thousands, and without what it means in other units.
fn documented() -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    for row in TABLE.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (name, rest) = row.split_once("` | ").expect("a name");
        let cells: Vec<&str> = rest.split(" | ").collect();
        assert_eq!(cells.len(), 3, "name, default, of what, beyond it: {row}");
        let default = cells[0].split(" (").next().expect("a default").replace(',', "");
        assert!(!cells[1].is_empty(), "{name} is said to be of something");
        assert_eq!(rows.insert(name.to_owned(), default), None, "{name} stands there twice");
    }
    rows
}

/// The program prints what it does without a configuration.
#[test]
fn every_limit_is_in_the_table_with_its_default() {
    let (ok, printed, stderr) = run(&["serve", "--print-config"]);
    assert!(ok, "{stderr}");
    let printed: toml::Table = toml::from_str(&printed).expect("TOML");
    let mut printed_limits = BTreeMap::new();
    for (part, limits) in printed["limits"].as_table().expect("[limits]") {
        for (name, value) in limits.as_table().expect("a part") {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            printed_limits.insert(format!("{part}.{name}"), value);
        }
    }
    assert!(printed_limits.len() > 70, "{printed_limits:?}");
    assert_eq!(printed_limits, documented());
}

/// A row is one message: common clients refuse one of the size that a row may have.
#[test]
fn the_size_of_a_row_comes_with_the_settings_of_clients() {
    let bytes = LimitsConfig::default().liveset.engine.max_node_bytes;
    for setting in ["max_size=2**21", "SetReadLimit(2 << 20)", "setDefaultMaxTextMessageBufferSize(2 << 20)"]
    {
        assert!(GUIDE.contains(setting), "{setting}");
    }
    let row = TABLE.lines().find(|line| line.starts_with("| `engine.max_node_bytes`")).expect("a row");
    assert!(row.contains("one message"), "{row}");
    assert!(bytes < 2 << 20, "what the clients are told to take is enough");
}
