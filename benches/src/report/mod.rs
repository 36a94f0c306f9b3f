//! The tables: what a change costs beside the baselines, and how that grows.

mod cases;
mod single;
mod targets;

use std::io::{self, Write};

use self::{
    cases::{Case, Fan, Outcome, SIZES},
    single::Single,
};
use crate::{
    Class,
    measure::{Meter, Timing},
};

/// What is measured, and how long.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Class, orders, queries (connections in class F).
    pub cases: Vec<(Class, u32, usize)>,
    /// Each number is the median of so many rounds,
    pub rounds: usize,
    /// or of fewer, where no more were done in this many seconds of CPU time.
    pub seconds: f64,
    /// Changes of a round, in commits of 1, of 100, and of 1,000 changes. Each is measured twice: decoded and from JSON.
    pub changes: [usize; SIZES.len()],
    /// Filters that the scan tries in a round; it makes at least 20 changes.
    pub tries: usize,
    /// How large the moments, commits and sets are that are measured once at a time.
    pub sizes: Vec<usize>,
}

impl Scale {
    /// The sizes of the printed tables.
    pub fn full() -> Self {
        let mut cases = Vec::new();
        for class in [Class::A1, Class::A2] {
            cases.extend([10_000, 100_000, 1_000_000].map(|nodes| (class, nodes, 1)));
        }
        cases.extend([1, 10, 100, 1_000].map(|queries| (Class::B, 10_000, queries)));
        cases.push((Class::C, 10_000, 1_000));
        for class in [Class::B, Class::C] {
            cases.extend([1_000, 10_000].map(|queries| (class, 100_000, queries)));
            cases.extend([1_000, 10_000, 100_000].map(|queries| (class, 1_000_000, queries)));
        }
        for nodes in [10_000, 100_000] {
            cases.extend([1_000, 10_000].map(|queries| (Class::D, nodes, queries)));
        }
        cases.extend([10_000, 100_000, 1_000_000].map(|nodes| (Class::E, nodes, 250)));
        cases.extend([100, 1_000, 10_000].map(|sessions| (Class::F, 10_000, sessions)));
        cases.extend([(10_000, 10_000), (100_000, 1_000), (100_000, 10_000)].map(|(n, q)| (Class::G, n, q)));
        cases.extend([1_000, 10_000].map(|queries| (Class::P, 100_000, queries)));
        cases.extend([100, 1_000].map(|queries| (Class::W, 100_000, queries)));
        // By class, then by size, so that a table reads from top to bottom.
        cases.sort_by_key(|(class, nodes, queries)| (*class as u8, *nodes, *queries));
        let sizes = vec![10_000, 100_000];
        Self { cases, rounds: 5, seconds: 10.0, changes: [1_000, 1_000, 2_000], tries: 2_000_000, sizes }
    }

    /// Small sizes, to try all of it.
    pub fn small() -> Self {
        let mut cases: Vec<_> = Class::ALL
            .into_iter()
            .filter(|class| *class != Class::F)
            .flat_map(|class| [(class, 300, 20), (class, 3_000, 20)])
            .collect();
        cases.extend([(Class::B, 3_000, 200), (Class::F, 300, 3), (Class::F, 300, 30)]);
        let sizes = vec![100, 1_000];
        Self { cases, rounds: 1, seconds: 1.0, changes: [20, 100, 1_000], tries: 1_000, sizes }
    }

    /// Only one class.
    #[must_use]
    pub fn only(mut self, class: Class) -> Self {
        self.cases.retain(|(of, ..)| *of == class);
        self.sizes.clear();
        self
    }

    /// Only one number of orders.
    #[must_use]
    pub fn only_nodes(mut self, only: u32) -> Self {
        self.cases.retain(|(_, nodes, _)| *nodes == only);
        self
    }

    /// Nothing of more queries.
    #[must_use]
    pub fn at_most_queries(mut self, most: usize) -> Self {
        self.cases.retain(|(.., queries)| *queries <= most);
        self
    }
}

/// Measures everything, and writes all tables as Markdown, the rows of what takes long as they are measured.
///
/// # Errors
///
/// `out` cannot be written to.
pub fn write(scale: &Scale, out: &mut impl Write) -> io::Result<()> {
    let meter = Meter::new();
    let case = |(class, nodes, queries): &(Class, u32, usize)| Case {
        class: *class,
        nodes: *nodes,
        queries: *queries,
    };
    let (fans, cases): (Vec<Case>, Vec<Case>) =
        scale.cases.iter().map(case).partition(|case| case.class == Class::F);
    writeln!(
        out,
        "Microseconds of CPU time, medians of up to {} rounds, one thread; p99 of single commits by the wall clock. Microseconds are this \
         machine's; ratios and growth carry over.\n",
        scale.rounds
    )?;
    let mut outcomes = Vec::new();
    if !cases.is_empty() {
        changes(out)?;
        for case in cases {
            let outcome = cases::measure(scale, &meter, case);
            change(&outcome, out)?;
            outcomes.push(outcome);
        }
        growth(&outcomes, out)?;
        queries(&outcomes, out)?;
    }
    if !fans.is_empty() {
        let measured = fans.into_iter().map(|case| cases::fan_out(scale, &meter, case));
        fan_out(measured, out)?;
    }
    if !scale.sizes.is_empty() {
        singles(&meter, &scale.sizes, out)?;
    }
    if !outcomes.is_empty() {
        targets::write(&outcomes, out)?;
    }
    Ok(())
}

fn changes(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "## A change, in commits of 1, 100 and 1,000\n")?;
    writeln!(
        out,
        "From JSON, as users commit it, next to `serde_json` into a struct and the work by hand; then each from decoded rows. The scan tries \
         every filter.\n"
    )?;
    table(
        out,
        &[
            "class",
            "nodes",
            "queries",
            "commit",
            "diffs/change",
            "engine, JSON",
            "parse + hand",
            "engine ÷ (parse + hand)",
            "engine",
            "p99",
            "hand",
            "p99",
            "scan",
            "engine ÷ hand",
            "scan ÷ engine",
        ],
    )
}

/// The rows of one case.
fn change(outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    let Outcome { case, engine, hand, scan, diffs, .. } = outcome;
    for (place, size) in SIZES.into_iter().enumerate() {
        let (json, parsed) = (engine.json[place].per_change, hand.json[place].per_change);
        let (Timing { per_change: engine, p99, .. }, hand) = (engine.nodes[place], hand.nodes[place]);
        // Only commits of one are scanned.
        let (scanned, ahead) = match place {
            0 => (micros(scan.per_change), ratio(scan.per_change, engine)),
            _ => Default::default(),
        };
        writeln!(
            out,
            "| {} | {} | {} | {size} | {diffs:.2} | {} | {} | {} | {} | {} | {} | {} | {scanned} | {} | {ahead} |",
            case.class,
            case.nodes,
            case.queries,
            micros(json),
            micros(parsed),
            ratio(json, parsed),
            micros(engine),
            micros(p99),
            micros(hand.per_change),
            micros(hand.p99),
            ratio(engine, hand.per_change),
        )?;
    }
    out.flush()
}

/// Of the engine, and of the work by hand in brackets, in commits of one from decoded rows.
fn growth(outcomes: &[Outcome], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\n## Growth: engine, and `hand` in brackets\n")?;
    table(out, &["class", "nodes", "queries", "queries ×10", "nodes ×10"])?;
    for Outcome { case, engine, hand, .. } in outcomes {
        let grown = |nodes: u32, queries: usize| {
            let before = Case { class: case.class, nodes, queries };
            let before = outcomes.iter().find(|other| other.case == before && before != *case)?;
            let engine = ratio(engine.nodes[0].per_change, before.engine.nodes[0].per_change);
            Some(format!("{engine} ({})", ratio(hand.nodes[0].per_change, before.hand.nodes[0].per_change)))
        };
        let (queries, nodes) = (grown(case.nodes, case.queries / 10), grown(case.nodes / 10, case.queries));
        if queries.is_some() || nodes.is_some() {
            let [queries, nodes] = [queries, nodes].map(Option::unwrap_or_default);
            writeln!(out, "| {} | {} | {} | {queries} | {nodes} |", case.class, case.nodes, case.queries)?;
        }
    }
    writeln!(out)
}

/// Large pieces of work, each row as it is measured.
fn singles(meter: &Meter, sizes: &[usize], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "## Once: milliseconds of all of it\n")?;
    table(out, &["what", "size", "engine", "hand", "scan", "engine ÷ hand", "×10"])?;
    for measure in [single::flips, single::commit, single::first_result] {
        let mut before: Option<Single> = None;
        for size in sizes {
            let measured = measure(meter, *size);
            let Single { what, engine, hand, scan, .. } = measured;
            let grown = before.filter(|before| before.size * 10 == *size);
            let grown = grown.map_or(String::new(), |before| ratio(engine, before.engine));
            let [shown, by_hand, scanned] = [engine, hand, scan].map(|nanos| format!("{:.3}", nanos / 1e6));
            writeln!(
                out,
                "| {what} | {size} | {shown} | {by_hand} | {scanned} | {} | {grown} |",
                ratio(engine, hand)
            )?;
            out.flush()?;
            before = Some(measured);
        }
    }
    writeln!(out)
}

/// What it takes to have queries.
fn queries(outcomes: &[Outcome], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "## Queries: to create, and to hold\n")?;
    writeln!(
        out,
        "The engine creates one after the other; `hand` all in one pass over the orders. Bytes of the engine are what it says, or for many \
         queries the growth of the process, which is coarse; those of `hand` are its windows alone.\n"
    )?;
    table(
        out,
        &[
            "class",
            "nodes",
            "queries",
            "engine, µs each",
            "p99",
            "hand, µs each",
            "engine, bytes each",
            "hand, bytes each",
        ],
    )?;
    for Outcome { case, create, .. } in outcomes {
        let bytes = |bytes: Option<f64>| bytes.map_or("–".into(), |bytes| format!("{bytes:.0}"));
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            case.class,
            case.nodes,
            case.queries,
            micros(create.engine.per_change),
            micros(create.engine.p99),
            micros(create.hand),
            bytes(create.engine_bytes),
            bytes(Some(create.hand_bytes))
        )?;
    }
    writeln!(out)
}

/// One diff to many.
fn fan_out(fans: impl Iterator<Item = Fan>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "## F: a change that all connections are told\n")?;
    writeln!(
        out,
        "Through the hub, from JSON to the bytes of each message; beside copying the bytes that are alike for all behind each \
         connection's head.\n"
    )?;
    table(
        out,
        &[
            "nodes",
            "connections",
            "messages to each",
            "bytes each",
            "hub, per change",
            "p50",
            "p99",
            "hub, per message",
            "copies, per message",
            "hub ÷ copies",
            "connections ×10",
        ],
    )?;
    let mut before: Option<Fan> = None;
    for fan in fans {
        let per_message = fan.messages * fan.sessions as f64 * 1e3;
        let grown = before.filter(|before| (before.nodes, before.sessions * 10) == (fan.nodes, fan.sessions));
        writeln!(
            out,
            "| {} | {} | {:.2} | {:.0} | {} | {} | {} | {:.3} | {:.3} | {} | {} |",
            fan.nodes,
            fan.sessions,
            fan.messages,
            fan.bytes,
            micros(fan.hub.per_change),
            micros(fan.hub.p50),
            micros(fan.hub.p99),
            fan.hub.per_change / per_message,
            fan.copies / per_message,
            ratio(fan.hub.per_change, fan.copies),
            grown.map_or(String::new(), |before| ratio(fan.hub.per_change, before.hub.per_change))
        )?;
        out.flush()?;
        before = Some(fan);
    }
    writeln!(out)
}

fn table(out: &mut impl Write, heads: &[&str]) -> io::Result<()> {
    writeln!(out, "| {} |", heads.join(" | "))?;
    writeln!(out, "|{}", " ---: |".repeat(heads.len()))
}

/// Of nanoseconds, with about three digits.
fn micros(nanos: f64) -> String {
    let micros = nanos / 1e3;
    match micros {
        ..10.0 => format!("{micros:.2}"),
        ..100.0 => format!("{micros:.1}"),
        _ => format!("{micros:.0}"),
    }
}

/// `–` where the clocks see nothing of the one that is divided by.
fn ratio(of: f64, by: f64) -> String {
    if by < 1.0 {
        return "–".into();
    }
    let ratio = of / by;
    if ratio < 100.0 { format!("{ratio:.2}×") } else { format!("{ratio:.0}×") }
}
