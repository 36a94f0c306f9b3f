//! What was aimed at, and what came of it.

use std::io::{self, Write};

use super::{cases::Outcome, ratio, table};
use crate::Class;

/// Whether a target asks for no more or no less.
enum Aim {
    AtMost(f64),
    AtLeast(f64),
}

/// One line for each target and class that was measured; of several sizes the worst.
pub(super) fn write(outcomes: &[Outcome], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "## Targets\n")?;
    table(out, &["class", "what", "target", "worst", "at", "met"])?;
    for class in Class::ALL {
        let of_class: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.case.class == class).collect();
        let decoded = |outcome: &&Outcome| {
            let per_change = outcome.engine.nodes[0].per_change / outcome.hand.nodes[0].per_change;
            Some((per_change, at(outcome)))
        };
        line(out, class, "engine ÷ hand", Aim::AtMost(2.0), of_class.iter().filter_map(decoded))?;
        let json = |outcome: &&Outcome| {
            let per_change = outcome.engine.json[0].per_change / outcome.hand.json[0].per_change;
            Some((per_change, at(outcome)))
        };
        let what = "from JSON: engine ÷ (typed parse + hand)";
        line(out, class, what, Aim::AtMost(1.5), of_class.iter().filter_map(json))?;
        let ahead = match class {
            Class::B | Class::C => Some(50.0),
            Class::D => Some(10.0),
            _ => None,
        };
        if let Some(ahead) = ahead {
            let scan = |outcome: &&Outcome| {
                let per_change = outcome.scan.per_change / outcome.engine.nodes[0].per_change;
                (outcome.case.queries == 10_000).then(|| (per_change, at(outcome)))
            };
            let what = "scan ÷ engine, 10,000 queries";
            line(out, class, what, Aim::AtLeast(ahead), of_class.iter().filter_map(scan))?;
        }
        if let Class::B | Class::C = class {
            let growth = |outcome: &&Outcome| {
                let fewer = of_class.iter().find(|other| {
                    other.case.nodes == outcome.case.nodes && other.case.queries * 100 == outcome.case.queries
                })?;
                let growth = outcome.engine.nodes[0].per_change / fewer.engine.nodes[0].per_change;
                let by_hand = ratio(outcome.hand.nodes[0].per_change, fewer.hand.nodes[0].per_change);
                (outcome.case.queries == 100_000)
                    .then(|| (growth, format!("{}; hand {by_hand}", at(outcome))))
            };
            let what = "growth from 1,000 to 100,000 queries";
            line(out, class, what, Aim::AtMost(3.0), of_class.iter().filter_map(growth))?;
        }
    }
    writeln!(out)
}

fn at(outcome: &Outcome) -> String {
    format!("{} nodes, {} queries", outcome.case.nodes, outcome.case.queries)
}

fn line(
    out: &mut impl Write,
    class: Class,
    what: &str,
    aim: Aim,
    measured: impl Iterator<Item = (f64, String)>,
) -> io::Result<()> {
    let measured = measured.filter(|(value, _)| value.is_finite());
    let (target, worst) = match aim {
        Aim::AtMost(most) => (format!("≤ {most}×"), measured.max_by(|(a, _), (b, _)| a.total_cmp(b))),
        Aim::AtLeast(least) => (format!("≥ {least}×"), measured.min_by(|(a, _), (b, _)| a.total_cmp(b))),
    };
    let Some((value, at)) = worst else { return Ok(()) };
    let met = match aim {
        Aim::AtMost(most) => value <= most,
        Aim::AtLeast(least) => value >= least,
    };
    writeln!(out, "| {class} | {what} | {target} | {value:.2}× | {at} | {} |", if met { "yes" } else { "no" })
}
