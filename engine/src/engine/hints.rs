//! What is probably a mistake in a query that is right as far as can be told.
//!
//! A field that nobody declares may be in any node, so a misspelt name is no error: its tests are false. Here the names of a query are
//! held against nodes of its set, those that whoever asks may see, and the signs of its filter against what people mean by them.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use liveset_core::model::{Hint, Query};

use crate::{
    filter::Filter,
    json,
    limits::JsonLimits,
    path::Path,
    projection::Projection,
    schema::{FieldKind, Schema},
    suggest,
    syntax::{ExprError, KEYWORDS, Lexer, Literal, Symbol, Token, excerpt},
    time::Timestamp,
    value::Value,
};

/// Hints about one query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// At most eight, those of the filter first.
    pub hints: Vec<Hint>,
    /// The steps that it took to find them.
    pub steps: u64,
}

/// At most so many hints are given.
const MOST: usize = 8;
/// A name is missed where none of so many nodes has it.
const ENOUGH: usize = 100;
/// So many nodes are looked at, and so many steps taken.
const NODES: usize = 1_000;
const STEPS: u64 = 50_000;
/// The different names of a query that are looked for, and those of nodes that are known to suggest one.
const NAMES: usize = 64;
const KNOWN: usize = 128;
/// No name is suggested for a longer one, as that is dear, and the steps that it takes to find one.
const LONG: usize = 32;
const SUGGESTING: u64 = 1_000;
/// How deep names of nodes are known.
const DEPTH: usize = 4;

/// A part of a query.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Filter,
    Order,
    Fields,
}

/// Something in an expression that is looked at.
struct Place<'a> {
    part: Part,
    text: &'a str,
    start: usize,
    end: usize,
}

impl<'a> Place<'a> {
    fn hint(&self, said: impl std::fmt::Display) -> Hint {
        let part = match self.part {
            Part::Filter => "filter",
            Part::Order => "orderBy",
            Part::Fields => "node.fields",
        };
        let at = ExprError::at(self.text, self.start, "", "");
        Hint { text: format!("{part}: {said}"), line: at.line as u64, column: at.column as u64 }
    }

    fn shown(&self) -> String {
        excerpt(&self.text[self.start..self.end])
    }
}

/// The names of a query, and what is odd about its signs.
#[derive(Default)]
struct Found<'a> {
    names: Vec<(Place<'a>, Path)>,
    /// Comparisons of two names.
    compared: Vec<(usize, usize)>,
    /// Sums that look like dates.
    dates: Vec<Place<'a>>,
}

/// What stands in a filter, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Item {
    Name(usize),
    Comparison,
    Sign,
    Other,
}

impl<'a> Found<'a> {
    fn of(query: &'a Query) -> Self {
        let mut found = Self::default();
        if let Some(filter) = &query.filter {
            found.read(Part::Filter, filter);
        }
        if let Some(order) = &query.order_by {
            found.read(Part::Order, order);
        }
        for field in query.fields.iter().flatten() {
            found.read(Part::Fields, field);
        }
        found
    }

    /// Reads an expression that was parsed before.
    fn read(&mut self, part: Part, text: &'a str) {
        let mut lexer = Lexer::new(text);
        let mut tokens = Vec::new();
        while let Ok((token, start, end)) = lexer.token() {
            if token == Token::End {
                break;
            }
            tokens.push((token, start, end));
        }
        let mut items = Vec::new();
        let mut place = 0;
        // Whether a name may stand here: in an order only one for each key.
        let mut is_wanted = true;
        while let Some((token, start, end)) = tokens.get(place) {
            let is_keyword = |text: &str, quoted: bool| !quoted && KEYWORDS.contains(&text);
            match token {
                Token::Word { text: name, quoted } if part != Part::Filter || !is_keyword(name, *quoted) => {
                    let mut names = vec![Box::from(&**name)];
                    let mut end = *end;
                    while let [(Token::Symbol(Symbol::Dot), ..), (Token::Word { text, .. }, _, after), ..] =
                        &tokens[place + 1..]
                    {
                        names.push(Box::from(&**text));
                        (place, end) = (place + 2, *after);
                    }
                    if is_wanted {
                        items.push(Item::Name(self.names.len()));
                        let at = Place { part, text, start: *start, end };
                        self.names.push((at, Path::from_names(names)));
                    }
                    is_wanted = part == Part::Filter;
                }
                Token::Symbol(Symbol::Dollar) => {
                    // The name of a parameter is no field's.
                    place += 1;
                    items.push(Item::Other);
                }
                Token::Symbol(
                    Symbol::Equal
                    | Symbol::NotEqual
                    | Symbol::Less
                    | Symbol::LessOrEqual
                    | Symbol::Greater
                    | Symbol::GreaterOrEqual,
                ) => items.push(Item::Comparison),
                Token::Symbol(Symbol::Plus | Symbol::Minus) => items.push(Item::Sign),
                Token::Symbol(Symbol::Comma) => {
                    is_wanted = true;
                    items.push(Item::Other);
                }
                Token::Literal(Literal::Number(_)) => {
                    if let Some(end) = date(text, *start) {
                        self.dates.push(Place { part, text, start: *start, end });
                        while tokens.get(place + 1).is_some_and(|(_, _, after)| *after <= end) {
                            place += 1;
                        }
                    }
                    items.push(Item::Other);
                }
                _ => items.push(Item::Other),
            }
            place += 1;
        }
        for (place, three) in items.windows(3).enumerate() {
            let [Item::Name(left), Item::Comparison, Item::Name(right)] = three else { continue };
            let before = place.checked_sub(1).and_then(|before| items.get(before));
            if before != Some(&Item::Sign) && items.get(place + 3) != Some(&Item::Sign) {
                self.compared.push((*left, *right));
            }
        }
    }
}

/// Where a date without its day, or with a day of one digit, ends that begins here: four digits, and one or two more behind a minus.
fn date(text: &str, start: usize) -> Option<usize> {
    let rest = &text[start..];
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let month = rest.get(4..)?.strip_prefix('-').filter(|_| digits(rest) == 4)?;
    let length = digits(month);
    if !(1..=2).contains(&length) || !(1..=12).contains(&month[..length].parse::<u8>().ok()?) {
        return None;
    }
    let mut end = 5 + length;
    if let Some(day) = rest[end..].strip_prefix('-').map(digits).filter(|day| (1..=2).contains(day)) {
        end += 1 + day;
    }
    Some(start + end)
}

/// What nodes were seen to have.
struct Seen {
    nodes: usize,
    /// Of the names that are looked for, those that some node has.
    names: BTreeSet<Path>,
    /// What else nodes have, and the asker may see.
    known: BTreeSet<String>,
    steps: u64,
}

impl Engine {
    /// What is probably a mistake in a query that was [prepared](Engine::prepare) before, as far as nodes that pass `rows` and their
    /// `visible` fields tell it: names that none of at least 100 nodes has, comparisons of two names of which none has one, sums that look
    /// like dates. Looks at 1 000 nodes at most, and stops where every name was found.
    pub fn hints(&self, now: Timestamp, query: &Query, rows: &Filter, visible: &Projection) -> Hints {
        let Some((_, _, set)) = self.sets.get_full(&*query.set) else { return Hints::default() };
        let found = Found::of(query);
        let schema = &*set.schema;
        // What is declared is known, also where no node has it.
        let is_known = |path: &Path| schema.kind_of(path).is_some() || path.names().eq([&*schema.key]);
        let wanted: BTreeSet<&Path> =
            found.names.iter().map(|(_, path)| path).filter(|path| !is_known(path)).take(NAMES).collect();
        let mut seen = Seen { nodes: 0, names: BTreeSet::new(), known: BTreeSet::new(), steps: 0 };
        if !wanted.is_empty() {
            // Spread over the set; a row filter may leave few of those that are tried.
            let most = if rows.is_all() { NODES } else { 4 * NODES };
            let stride = (set.end() as usize / most).max(1);
            let handles = (0..set.end()).step_by(stride);
            for row in handles.filter_map(|handle| set.row(handle)) {
                if seen.nodes == NODES || seen.steps >= STEPS || seen.names.len() == wanted.len() {
                    break;
                }
                seen.look_at(row.json(), now, schema, rows, visible, &wanted);
            }
        }
        let is_seen = |path: &Path| is_known(path) || seen.names.contains(path);
        let is_missing = |path: &Path| wanted.contains(path) && !seen.names.contains(path);
        let mut steps = seen.steps;
        let nearest = |name: &str| {
            steps += SUGGESTING;
            let known = seen.known.iter().map(String::as_str);
            (name.len() <= LONG).then(|| suggest::nearest(name, known)).flatten().map(str::to_owned)
        };
        let hints = hints(&found, seen.nodes, is_seen, is_missing, nearest);
        Hints { hints, steps }
    }
}

impl Seen {
    fn look_at(
        &mut self,
        raw: &[u8],
        now: Timestamp,
        schema: &Schema,
        rows: &Filter,
        visible: &Projection,
        wanted: &BTreeSet<&Path>,
    ) {
        self.steps += raw.len() as u64 / 8 + 1;
        let Ok(mut node) = json::parse(raw, &JsonLimits::default()) else { return };
        for (path, _) in schema.fields().filter(|(_, kind)| *kind == FieldKind::Instant) {
            if let Some(place) = node.at_mut(path) {
                *place = std::mem::take(place).into_instant().unwrap_or_else(|other| other);
            }
        }
        if !rows.is_all() && !rows.test(&node, now, &mut self.steps) {
            return;
        }
        self.nodes += 1;
        self.steps += wanted.len() as u64;
        for path in wanted {
            if !self.names.contains(*path) && node.find(path).is_some() {
                self.names.insert((*path).clone());
            }
        }
        self.know(&node, visible, &mut Vec::new());
    }

    /// Learns the names that a node has. Recursion is a few names deep.
    fn know(&mut self, value: &Value, visible: &Projection, way: &mut Vec<Box<str>>) {
        let Value::Object(object) = value else { return };
        for (name, value) in object.iter() {
            if self.known.len() == KNOWN || way.len() == DEPTH {
                return;
            }
            way.push(name.into());
            let path = Path::from_names(way.clone());
            if visible.covers(&path) {
                self.known.insert(path.to_string());
            }
            self.know(value, visible, way);
            way.pop();
        }
    }
}

/// Of each kind no more than are told at most, in the order in which they stand.
fn hints(
    found: &Found<'_>,
    nodes: usize,
    is_seen: impl Fn(&Path) -> bool,
    is_missing: impl Fn(&Path) -> bool,
    mut nearest: impl FnMut(&str) -> Option<String>,
) -> Vec<Hint> {
    // By where they stand, so that of one place there is one: the parts in their order, as they were read.
    let mut hints: BTreeMap<(u8, usize, usize), Hint> = BTreeMap::new();
    let order = |place: &Place<'_>, number: usize| match place.part {
        Part::Filter => (0, place.start, 0),
        Part::Order => (1, place.start, 0),
        Part::Fields => (2, number, 0),
    };
    for place in found.dates.iter().take(MOST) {
        let said = format!(
            "{} is a subtraction of numbers; a date has a year, a month and a day, as in 2024-01-31",
            place.shown()
        );
        hints.insert(order(place, 0), place.hint(said));
    }
    let sides = found.compared.iter().flat_map(|(left, right)| [(*left, *right), (*right, *left)]);
    let odd = sides.filter(|(name, other)| {
        nodes > 0 && is_missing(&found.names[*name].1) && is_seen(&found.names[*other].1)
    });
    for (name, _) in odd.take(MOST) {
        let (place, path) = &found.names[name];
        let said = format!(
            "{} is compared as a field, and none of {nodes} nodes has it; text stands in quotes: {}",
            place.shown(),
            Literal::Text(path.to_string().into())
        );
        hints.insert(order(place, 0), place.hint(said));
    }
    let missing = found.names.iter().enumerate().filter(|(_, (_, path))| nodes >= ENOUGH && is_missing(path));
    let compared: BTreeSet<(u8, usize, usize)> = hints.keys().copied().collect();
    let missing = missing.filter(|(number, (place, _))| !compared.contains(&order(place, *number)));
    for (number, (place, path)) in missing.take(MOST) {
        let near = nearest(&path.to_string());
        let near = near.map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
        let said = format!("none of {nodes} nodes has the field {}{near}", place.shown());
        hints.insert(order(place, number), place.hint(said));
    }
    hints.into_values().take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EngineLimits, HashSeed, Op, QueryLimits, SetDef};

    fn engine(nodes: usize) -> Engine {
        let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
        let set = SetDef::new("orders").field("at", FieldKind::Instant);
        engine.define_set(set.field("note", FieldKind::Text)).unwrap();
        let node = |n: usize| {
            let more = if n.is_multiple_of(2) { ",\"odd\":null" } else { "" };
            let node = format!(
                r#"{{"id":{n},"status":"new","tenant":{},"customer":{{"name":"x"}},"secret":1{more}}}"#,
                n % 3
            );
            Op::Upsert { set: "orders".into(), node: node.into() }
        };
        engine.commit(Timestamp::UNIX_EPOCH, (0..nodes).map(node).collect()).unwrap();
        engine
    }

    fn shown(engine: &Engine, query: &Query, rows: &str, visible: Option<&[&str]>) -> Vec<String> {
        engine.prepare(query).unwrap();
        let limits = QueryLimits::default();
        let rows = Filter::parse(rows, &limits).unwrap();
        let visible = visible.map_or(Projection::whole(), |fields| {
            let fields: Vec<String> = fields.iter().map(|field| field.to_string()).collect();
            Projection::parse(&fields, "id", &limits).unwrap()
        });
        let hints = engine.hints(Timestamp::UNIX_EPOCH, query, &rows, &visible).hints;
        hints.iter().map(|hint| format!("{}:{} {}", hint.line, hint.column, hint.text)).collect()
    }

    fn of_filter(engine: &Engine, filter: &str) -> Vec<String> {
        shown(engine, &Query::new("orders").filter(filter), "", None)
    }

    #[test]
    fn names_that_no_node_has_are_told_of_a_hundred_nodes() {
        let query = Query::new("orders")
            .filter("statu == 'x' and\n customer.nme == 'y' and status == 'z' and note == 'declared'")
            .order_by("at, tenan desc, id")
            .fields(["odd", "customer.name", "elephant"]);
        assert_eq!(shown(&engine(99), &query, "", None), [""; 0]);
        assert_eq!(
            shown(&engine(100), &query, "", None),
            [
                "1:1 filter: none of 100 nodes has the field 'statu'; did you mean 'status'?",
                "2:2 filter: none of 100 nodes has the field 'customer.nme'; did you mean 'customer.name'?",
                "1:5 orderBy: none of 100 nodes has the field 'tenan'; did you mean 'tenant'?",
                "1:1 node.fields: none of 100 nodes has the field 'elephant'",
            ]
        );
    }

    #[test]
    fn only_what_the_asker_may_see_is_looked_at() {
        let engine = engine(300);
        let query = Query::new("orders").filter("secre == 1");
        assert!(shown(&engine, &query, "", None)[0].ends_with("did you mean 'secret'?"));
        let seen = shown(&engine, &query, "", Some(&["status", "tenant"]));
        assert_eq!(seen, ["1:1 filter: none of 300 nodes has the field 'secre'"]);
        // A third of the nodes is just enough, and those of others do not count.
        assert!(shown(&engine, &query, "tenant == 1", None)[0].contains("none of 100 nodes"));
        assert_eq!(shown(&engine, &query, "tenant == 1 and id > 5", None), [""; 0]);
        let query = Query::new("orders").filter("odd == nothing");
        assert_eq!(shown(&engine, &query, "", None), [""; 0]);
    }

    #[test]
    fn words_without_quotes_are_told_of_any_node() {
        let engine = engine(1);
        assert_eq!(
            of_filter(&engine, "status == pending and id > 5"),
            [
                "1:11 filter: 'pending' is compared as a field, and none of 1 nodes has it; text stands in quotes: 'pending'"
            ]
        );
        assert_eq!(of_filter(&engine, "pending != note").len(), 1);
        for fine in [
            "status == tenant",
            "neither == known",
            "status == 'pending'",
            "tenant == other + 1",
            "status in ['a']",
        ] {
            assert_eq!(of_filter(&engine, fine), [""; 0], "{fine}");
        }
    }

    #[test]
    fn sums_that_look_like_dates_are_told() {
        let engine = engine(0);
        let said = "is a subtraction of numbers; a date has a year, a month and a day, as in 2024-01-31";
        assert_eq!(of_filter(&engine, "x >= 2024-01"), [format!("1:6 filter: '2024-01' {said}")]);
        assert_eq!(of_filter(&engine, "x >= 2024-1-31 and y"), [format!("1:6 filter: '2024-1-31' {said}")]);
        for fine in ["x >= 2024 - 01", "x >= 2024-13", "x >= 2024-001", "x >= 12024-01", "x > 2024-01-01"] {
            assert_eq!(of_filter(&engine, fine), [""; 0], "{fine}");
        }
    }

    #[test]
    fn there_are_eight_at_most_and_the_work_is_bounded() {
        let engine = engine(5_000);
        let names: Vec<String> = (0..100).map(|n| format!("elephant{n} == 1")).collect();
        let query = Query::new("orders").filter(names.join(" and "));
        let found = engine.hints(Timestamp::UNIX_EPOCH, &query, &Filter::all(), &Projection::whole());
        assert_eq!(found.hints.len(), 8);
        // Of a name that was not looked for nothing is said.
        let names = (0..70).map(|n| format!("(status != 'x' or elephant{n} == 1)")).collect::<Vec<_>>();
        let query = Query::new("orders").filter(format!("{} and tenant == 1", names.join(" and ")));
        let few = engine.hints(Timestamp::UNIX_EPOCH, &query, &Filter::all(), &Projection::whole());
        assert!(few.hints.iter().all(|hint| hint.text.contains("elephant")), "{few:?}");
        assert!(found.steps < STEPS + 10_000, "{}", found.steps);
        let known = Query::new("orders").filter("status == 'x'");
        let found = engine.hints(Timestamp::UNIX_EPOCH, &known, &Filter::all(), &Projection::whole());
        assert!(found.hints.is_empty() && found.steps < 50, "{}", found.steps);
        let nowhere = Query::new("nowhere").filter("statu == 1");
        assert_eq!(
            engine.hints(Timestamp::UNIX_EPOCH, &nowhere, &Filter::all(), &Projection::whole()),
            Hints::default()
        );
    }
}
