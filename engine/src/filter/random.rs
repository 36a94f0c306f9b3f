//! Random filters, nodes and rows for tests. Seeded: a failure repeats.

use fastrand::Rng;

use super::columns::Reading;
use super::fields::Fields;
use super::{Compiled, Filter};
use crate::json;
use crate::limits::{JsonLimits, QueryLimits};
use crate::path::Path;
use crate::time::Timestamp;
use crate::value::{Value, ValueRef};

pub(crate) fn pick<'a>(random: &mut Rng, of: &[&'a str]) -> &'a str {
    of[random.usize(..of.len())]
}

/// `d` is declared as an instant, so what it holds is one or nothing.
const NAMES: &[&str] = &["a", "a", "b", "c.e", "d", "d"];

const INSTANTS: &[&str] = &[
    "2024-02-28",
    "2024-02-29",
    "2024-02-29T00:00:00Z",
    "2024-02-29T01:00:00+01:00",
    "2024-02-29T23:59:59.999999999Z",
    "2024-03-01",
    "2024-03-31T12:00:00Z",
    "0000-01-01",
    "9999-12-31T23:59:59.999999999Z",
];

/// Some of them share the first 16 bytes of their encoding.
const TEXTS: &[&str] = &[
    "",
    "a",
    "ab",
    "abcdefghijklm",
    "abcdefghijklmn",
    "abcdefghijklmno",
    "abcdefghijklmnop",
    "abcdefghijklmnoq",
    "abcdefghijklmnoq",
    "2024",
    "\\u0000",
    "a\\u0000",
];

const NUMBERS: &[&str] = &[
    "-9223372036854775808",
    "-1",
    "0",
    "0.5",
    "1",
    "1.0",
    "2",
    "9007199254740993",
    "18446744073709551615",
    "1e300",
];

const OPERATORS: &[&str] = &["==", "==", "!=", "<", "<=", ">", ">="];

fn scalar(random: &mut Rng) -> String {
    match random.usize(..8) {
        0 => pick(random, &["null", "true", "false"]).to_owned(),
        1 | 2 => pick(random, NUMBERS).to_owned(),
        3 | 4 => format!("\"{}\"", pick(random, TEXTS)),
        _ => format!("\"{}\"", pick(random, INSTANTS)),
    }
}

/// A node; what it holds at `d` is read as declared.
pub(crate) fn node(random: &mut Rng) -> Value {
    let mut members = Vec::new();
    for name in ["a", "b", "e"] {
        members.push(match random.usize(..10) {
            0 => continue,
            1 => format!("\"{name}\":{{\"e\":{}}}", scalar(random)),
            2 | 3 => {
                let items: Vec<String> = (0..random.usize(..4)).map(|_| scalar(random)).collect();
                format!("\"{name}\":[{}]", items.join(","))
            }
            _ => format!("\"{name}\":{}", scalar(random)),
        });
    }
    members.push(format!("\"c\":{{\"e\":{}}}", scalar(random)));
    members.push(match random.usize(..5) {
        0 => "\"d\":null".to_owned(),
        _ => format!("\"d\":\"{}\"", pick(random, INSTANTS)),
    });
    let mut node =
        json::parse(format!("{{{}}}", members.join(",")).as_bytes(), &JsonLimits::default()).expect("a node");
    if let Some(declared) = node.at_mut(&Path::field("d")) {
        *declared = std::mem::take(declared).into_instant().unwrap_or_default();
    }
    node
}

fn literal(random: &mut Rng) -> String {
    match random.usize(..10) {
        0 => pick(random, &["nothing", "true", "false"]).to_owned(),
        1..=3 => pick(random, NUMBERS).to_owned(),
        4 | 5 => format!("'{}'", pick(random, TEXTS).replace("\\u0000", "\0")),
        6 | 7 => format!("'{}'", pick(random, INSTANTS)),
        _ => pick(random, INSTANTS).to_owned(),
    }
}

fn duration(random: &mut Rng) -> String {
    let count = if random.usize(..20) == 0 { 2_024 } else { random.usize(..14) };
    format!("{count} {}", pick(random, &["years", "months", "months", "weeks", "days", "hours", "ticks"]))
}

fn moved(random: &mut Rng, base: &str) -> String {
    let mut sum = base.to_owned();
    for _ in 0..random.usize(..3) {
        let sign = pick(random, &["+", "-"]);
        sum = match random.usize(..5) {
            0 => format!("({sum}) {sign} {}", duration(random)),
            1 => format!("{sum} {sign} (1 days + 3 days)"),
            _ => format!("{sum} {sign} {}", duration(random)),
        };
    }
    sum
}

fn test(random: &mut Rng) -> String {
    let (name, operator) = (pick(random, NAMES), pick(random, OPERATORS));
    match random.usize(..14) {
        0 => name.to_owned(),
        1 => pick(random, &["true", "false"]).to_owned(),
        2..=4 => {
            let items: Vec<String> = (0..random.usize(..4)).map(|_| literal(random)).collect();
            format!("{name} {} [{}]", pick(random, &["in", "anyof", "allof"]), items.join(","))
        }
        5 => {
            let begin = pick(random, &["", "a", "ab", "abcdefghijklmnop", "2024-0", "abcdefghijklmno", "\0"]);
            format!(
                "{name} {} '{begin}'",
                pick(random, &["startswith", "startswith", "endswith", "contains"])
            )
        }
        6 => format!("{} {operator} {}", literal(random), name),
        7 => format!("{name} {operator} {}", pick(random, NAMES)),
        8 => format!(
            "{name} {operator} {} + {} ",
            pick(random, NAMES),
            pick(random, &["a", "0.5", "1", "3 days"])
        ),
        9 => format!("{} {operator} {}", moved(random, name), moved(random, "2024-02-29")),
        10 => format!("{} {operator} {}", moved(random, "now"), moved(random, name)),
        11 => now_test(random),
        _ => format!("{name} {operator} {}", literal(random)),
    }
}

/// A test of `a` against `now`.
pub(crate) fn now_test(random: &mut Rng) -> String {
    let (operator, now) = (pick(random, OPERATORS), moved(random, "now"));
    if random.usize(..2) == 0 { format!("a {operator} {now}") } else { format!("{now} {operator} a") }
}

fn text(random: &mut Rng, depth: usize) -> String {
    let some = |random: &mut Rng, word: &str| {
        let operands: Vec<String> =
            (0..2 + random.usize(..3)).map(|_| format!("({})", text(random, depth - 1))).collect();
        operands.join(word)
    };
    match if depth == 0 { 9 } else { random.usize(..10) } {
        0..=2 => some(random, " and "),
        3 | 4 => some(random, " or "),
        5 => format!("not ({})", text(random, depth - 1)),
        _ => test(random),
    }
}

/// A legal filter over the fields that [`node`] makes.
pub(crate) fn filter(random: &mut Rng) -> Filter {
    loop {
        let depth = random.usize(..3);
        let text = text(random, depth);
        // Some of what is written here is refused: constants that overflow, an order between different kinds.
        if let Some(filter) = filter_of(text) {
            return filter;
        }
    }
}

/// The filter that a text is, if it is legal.
pub(crate) fn filter_of(text: String) -> Option<Filter> {
    Filter::parse(&text, &QueryLimits::default()).ok()
}

/// A moment near to those in nodes and filters.
pub(crate) fn moment(random: &mut Rng) -> Timestamp {
    let at = Timestamp::parse_rfc3339(pick(random, INSTANTS)).expect("an instant");
    let step = std::time::Duration::from_nanos(random.u64(..) % 200_000_000_000_000);
    match random.usize(..5) {
        0 => at,
        1 => at.saturating_sub(std::time::Duration::from_nanos(1)),
        2 => at.saturating_sub(step * 20),
        _ => at.saturating_add(step * 20),
    }
}

/// A column by what it reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Column {
    pub(crate) path: Path,
    pub(crate) reading: Reading,
}

/// The columns of a node that filters were found to use.
pub(crate) struct Row(Vec<(Column, Value)>);

impl Row {
    pub(crate) fn of(node: &Value, columns: &[Column]) -> Row {
        let read = |column: &Column| match (node.at(&column.path).clone(), column.reading) {
            (value, Reading::Plain) => value,
            (value, Reading::Instant) => value.into_instant().unwrap_or_else(|other| other),
        };
        Row(columns.iter().map(|column| (column.clone(), read(column))).collect())
    }
}

impl Fields<Column> for Row {
    fn at(&self, path: &Column) -> ValueRef<'_> {
        self.0.iter().find(|(column, _)| column == path).map_or(ValueRef::Nothing, |(_, value)| value.into())
    }
}

/// The filter over columns, and the columns that it uses.
pub(crate) fn over_columns(filter: &Filter) -> (Compiled<Column>, Vec<Column>) {
    let mut columns = Vec::new();
    let compiled = filter.over_columns(&mut |path, reading| {
        let column = Column { path: path.clone(), reading };
        columns.push(column.clone());
        column
    });
    (compiled, columns)
}
