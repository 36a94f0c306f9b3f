//! The tables: what a change costs beside the baselines, and how that grows.

mod cases;
mod targets;

use std::io::{self, Write};

use self::cases::{Case, Fan, Outcome, SIZES};
use crate::{Class, measure::Timing};

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
        // By class, then by size, so that a table reads from top to bottom.
        cases.sort_by_key(|(class, nodes, queries)| (*class as u8, *nodes, *queries));
        Self { cases, rounds: 5, seconds: 10.0, changes: [1_000, 1_000, 2_000], tries: 2_000_000 }
    }

    /// Small sizes, to try all of it.
    pub fn small() -> Self {
        let mut cases: Vec<_> = Class::ALL
            .into_iter()
            .filter(|class| *class != Class::F)
            .flat_map(|class| [(class, 300, 20), (class, 3_000, 20)])
            .collect();
        cases.extend([(Class::B, 3_000, 200), (Class::F, 300, 3), (Class::F, 300, 30)]);
        Self { cases, rounds: 1, seconds: 1.0, changes: [20, 100, 1_000], tries: 1_000 }
    }

    /// Only one class.
    #[must_use]
    pub fn only(mut self, class: Class) -> Self {
        self.cases.retain(|(of, ..)| *of == class);
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

/// Measures everything, and writes all tables as Markdown. Tells on standard error where it is.
///
/// # Errors
///
/// `out` cannot be written to.
pub fn write(scale: &Scale, out: &mut impl Write) -> io::Result<()> {
    let (outcomes, fans) = cases::run(scale);
    writeln!(
        out,
        "Microseconds of CPU time per change, medians of up to {} rounds, one thread; p50 and p99 of single commits by the wall clock. \
         Microseconds are this machine's; ratios and growth carry over.\n",
        scale.rounds
    )?;
    if !outcomes.is_empty() {
        changes(&outcomes, out)?;
        commits(&outcomes, out)?;
        queries(&outcomes, out)?;
    }
    if !fans.is_empty() {
        fan_out(&fans, out)?;
    }
    if !outcomes.is_empty() {
        targets::write(&outcomes, out)?;
    }
    Ok(())
}

/// Commits of one change, from nodes that were read before.
fn changes(outcomes: &[Outcome], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "## A change: commits of one, from decoded nodes\n")?;
    writeln!(out, "Growth is that of the engine, and of `hand` in brackets.\n")?;
    table(
        out,
        &[
            "class",
            "nodes",
            "queries",
            "diffs/change",
            "engine",
            "p50",
            "p99",
            "hand",
            "p50",
            "p99",
            "scan",
            "p99",
            "engine ÷ hand",
            "scan ÷ engine",
            "queries ×10",
            "nodes ×10",
        ],
    )?;
    for outcome in outcomes {
        let Outcome { case, engine, hand, scan, .. } = outcome;
        let growth = |of: Option<&Outcome>| match of {
            Some(before) => format!(
                "{} ({})",
                ratio(engine.nodes[0].per_change, before.engine.nodes[0].per_change),
                ratio(hand.nodes[0].per_change, before.hand.nodes[0].per_change)
            ),
            None => String::new(),
        };
        let find = |nodes: u32, queries: usize| {
            outcomes.iter().find(|other| other.case == Case { class: case.class, nodes, queries })
        };
        let (by_queries, by_nodes) =
            (find(case.nodes, case.queries / 10), find(case.nodes / 10, case.queries));
        write!(out, "| {} | {} | {} | {:.2} ", case.class, case.nodes, case.queries, outcome.diffs)?;
        for timing in [engine.nodes[0], hand.nodes[0]] {
            let Timing { per_change, p50, p99 } = timing;
            write!(out, "| {} | {} | {} ", micros(per_change), micros(p50), micros(p99))?;
        }
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            micros(scan.per_change),
            micros(scan.p99),
            ratio(engine.nodes[0].per_change, hand.nodes[0].per_change),
            ratio(scan.per_change, engine.nodes[0].per_change),
            growth(by_queries),
            growth(by_nodes)
        )?;
    }
    writeln!(out)
}

/// All sizes of commits, decoded and from JSON.
fn commits(outcomes: &[Outcome], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "## Per change, in commits of 1, 100 and 1,000, from decoded nodes and from JSON\n")?;
    table(
        out,
        &[
            "class",
            "nodes",
            "queries",
            "changes",
            "engine",
            "hand",
            "engine ÷ hand",
            "engine, JSON",
            "typed parse",
            "parse + hand",
            "engine ÷ (parse + hand)",
        ],
    )?;
    for Outcome { case, engine, hand, parse, .. } in outcomes {
        for (place, size) in SIZES.into_iter().enumerate() {
            writeln!(
                out,
                "| {} | {} | {} | {size} | {} | {} | {} | {} | {} | {} | {} |",
                case.class,
                case.nodes,
                case.queries,
                micros(engine.nodes[place].per_change),
                micros(hand.nodes[place].per_change),
                ratio(engine.nodes[place].per_change, hand.nodes[place].per_change),
                micros(engine.json[place].per_change),
                micros(parse[place].per_change),
                micros(hand.json[place].per_change),
                ratio(engine.json[place].per_change, hand.json[place].per_change)
            )?;
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
fn fan_out(fans: &[Fan], out: &mut impl Write) -> io::Result<()> {
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
    for fan in fans {
        let per_message = fan.messages * fan.sessions as f64 * 1e3;
        let before =
            fans.iter().find(|other| (other.nodes, other.sessions * 10) == (fan.nodes, fan.sessions));
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
            before.map_or(String::new(), |before| ratio(fan.hub.per_change, before.hub.per_change))
        )?;
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
