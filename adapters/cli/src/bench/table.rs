//! The results for people.

use std::fmt::Write as _;

use super::report::{Latency, Received, Report};
use liveset_server::terminal;

const NAME_WIDTH: usize = 22;
const CELL_WIDTH: usize = 11;

/// The whole report as text.
pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a `String` cannot fail.
    let _ =
        (head(report, &mut out), flow(report, &mut out), latencies(report, &mut out), rest(report, &mut out));
    out
}

fn head(report: &Report, out: &mut String) -> std::fmt::Result {
    let setup = &report.setup;
    let server = if setup.own_server { "a server of its own" } else { &setup.url };
    writeln!(out, "\nliveset bench · {} · {} s\n", terminal::cell(server, 60), setup.duration_seconds)?;
    let stalled = match setup.stalled {
        0 => String::new(),
        stalled => format!(", {} of them stalled", count(stalled.into())),
    };
    line(
        out,
        "connections",
        &format!(
            "{} × {} queries ({}){stalled}",
            count(setup.connections.into()),
            setup.queries,
            setup.shape
        ),
    )?;
    let events = match setup.events_per_second {
        0.0 => String::new(),
        events => format!(", {events} events/s"),
    };
    let writes = format!(
        "{} commits/s × {} changes{events}, {} nodes in {} groups",
        setup.commits_per_second,
        setup.changes,
        count(setup.nodes.into()),
        count(setup.groups.into())
    );
    line(out, "writes", &writes)
}

fn flow(report: &Report, out: &mut String) -> std::fmt::Result {
    writeln!(out)?;
    let connect = &report.connect;
    let text = format!(
        "{} in {:.2} s, {}/s",
        count(connect.connections),
        connect.seconds,
        count(connect.per_second as u64)
    );
    line(out, "connected", &text)?;
    let writes = &report.writes;
    let failed = if writes.failed > 0 { format!(", {} failed", count(writes.failed)) } else { String::new() };
    let text = format!("{} commits, {:.1}/s{failed}", count(writes.commits), writes.commits_per_second);
    line(out, "written", &text)?;
    for window in &report.windows {
        let name = match (report.windows.len(), window.stalling) {
            (1, _) => "received",
            (_, false) => "received, all read",
            (_, true) => "received, some stall",
        };
        let text = format!(
            "{} messages/s, {}/s, {} diffs/s",
            count(window.messages_per_second as u64),
            bytes(window.bytes_per_second as u64),
            count(window.diffs_per_second as u64)
        );
        line(out, name, &text)?;
    }
    let received = &report.received;
    side(out, "in all", &received.live)?;
    received.stalled.as_ref().map_or(Ok(()), |stalled| side(out, "in all, stalled", stalled))
}

fn side(out: &mut String, name: &str, received: &Received) -> std::fmt::Result {
    let mut text = format!("{} diffs", count(received.diffs));
    if let Some(due) = received.diffs_due {
        write!(text, " of {} due", count(due))?;
    }
    if received.events + received.events_dropped > 0 {
        write!(text, ", {} events ({} dropped)", count(received.events), count(received.events_dropped))?;
    }
    for (code, errors) in &received.errors {
        write!(text, ", {} × {}", count(*errors), terminal::cell(code, 40))?;
    }
    for (code, closes) in &received.closes {
        let how = if code == "lost" { "without a code".into() } else { format!("with {code}") };
        write!(text, ", {} closed {how}", count(*closes))?;
    }
    line(out, name, &text)
}

fn latencies(report: &Report, out: &mut String) -> std::fmt::Result {
    write!(out, "\n  {:NAME_WIDTH$}", "")?;
    for name in ["p50", "p90", "p99", "p99.9", "max", "samples"] {
        write!(out, "{name:>CELL_WIDTH$}")?;
    }
    let width = NAME_WIDTH + 6 * CELL_WIDTH;
    writeln!(out, "\n  {}", "─".repeat(width))?;
    row(out, "authenticated", &report.connect.authenticated)?;
    row(out, "first results", &report.connect.first_results)?;
    row(out, "commit answered", &report.writes.answered)?;
    for window in &report.windows {
        let suffix = match (report.windows.len(), window.stalling) {
            (1, _) => "",
            (_, false) => ", all read",
            (_, true) => ", some stall",
        };
        row(out, &format!("diff{suffix}"), &window.diffs)?;
        if let Some(latency) = window.diffs_stalled.as_ref().filter(|_| window.stalling) {
            row(out, "diff, once read again", latency)?;
        }
        if let Some(latency) = &window.events {
            row(out, &format!("event{suffix}"), latency)?;
        }
    }
    writeln!(out, "  {}", "─".repeat(width))?;
    if let Some(compare) = &report.compare {
        writeln!(
            out,
            "  with {} stalled connections, the others' p99 is {:.2} times, their p50 {:.2} times what it was without",
            count(report.setup.stalled.into()),
            compare.p99,
            compare.p50
        )?;
    }
    writeln!(out)
}

fn rest(report: &Report, out: &mut String) -> std::fmt::Result {
    if let Some(server) = &report.server {
        let each = server.rss_connected.saturating_sub(server.rss_idle) / report.connect.connections.max(1);
        let text = format!(
            "{:.2} cores, {} before the connections, {} with them ({} each), {} at most",
            server.cores,
            bytes(server.rss_idle),
            bytes(server.rss_connected),
            bytes(each),
            bytes(server.rss_peak)
        );
        line(out, "server", &text)?;
    }
    if let Some(counted) = &report.counted {
        let of =
            |count_of: Option<u64>, what: &str| count_of.map(|number| format!("{} {what}", count(number)));
        let parts = [of(counted.diffs_folded, "diffs folded"), of(counted.events_dropped, "events dropped")];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        if !parts.is_empty() {
            line(out, "server counted", &parts.join(", "))?;
        }
    }
    if let Some(meter) = &report.meter {
        let text = format!(
            "{:.2} cores, {}, woke up {} late at p99; the machine was {:.0} % busy",
            meter.cores,
            bytes(meter.rss),
            time(meter.lag.p99),
            meter.machine_busy * 100.0
        );
        line(out, "meter", &text)?;
    }
    if let Some(verified) = &report.verify {
        let text = format!(
            "{} connections, {} queries, {} nodes compared with the server's answer: {}",
            count(verified.connections as u64),
            count(verified.queries as u64),
            count(verified.nodes as u64),
            match verified.mismatches.len() {
                0 => "all agree".to_owned(),
                wrong => format!("{wrong} DIFFER"),
            }
        );
        line(out, "verified", &text)?;
    }
    for warning in &report.warnings {
        line(out, "note", &terminal::message(warning))?;
    }
    writeln!(out)
}

fn line(out: &mut String, name: &str, text: &str) -> std::fmt::Result {
    writeln!(out, "  {name:NAME_WIDTH$}{text}")
}

fn row(out: &mut String, name: &str, latency: &Latency) -> std::fmt::Result {
    write!(out, "  {name:NAME_WIDTH$}")?;
    for millis in [latency.p50, latency.p90, latency.p99, latency.p999, latency.max] {
        let text = if latency.count == 0 { "–".into() } else { time(millis) };
        write!(out, "{text:>CELL_WIDTH$}")?;
    }
    writeln!(out, "{:>CELL_WIDTH$}", count(latency.count))
}

/// Milliseconds with three digits that count.
fn time(millis: f64) -> String {
    match millis {
        _ if millis >= 9_999.5 => format!("{:.1} s", millis / 1e3),
        _ if millis >= 999.5 => format!("{:.2} s", millis / 1e3),
        _ if millis >= 99.95 => format!("{millis:.0} ms"),
        _ if millis >= 9.995 => format!("{millis:.1} ms"),
        _ => format!("{millis:.2} ms"),
    }
}

/// With a comma after every three digits.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn bytes(number: u64) -> String {
    let number = number as f64;
    match number {
        _ if number >= 1e9 => format!("{:.2} GB", number / 1e9),
        _ if number >= 1e6 => format!("{:.1} MB", number / 1e6),
        _ if number >= 1e3 => format!("{:.1} kB", number / 1e3),
        _ => format!("{number:.0} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_readable() {
        for (millis, text) in [
            (0.0, "0.00 ms"),
            (0.312, "0.31 ms"),
            (12.34, "12.3 ms"),
            (999.4, "999 ms"),
            (1_500.0, "1.50 s"),
            (61_000.0, "61.0 s"),
        ] {
            assert_eq!(time(millis), text);
        }
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        for (number, text) in
            [(12, "12 B"), (4_100, "4.1 kB"), (63_000_000, "63.0 MB"), (2_500_000_000, "2.50 GB")]
        {
            assert_eq!(bytes(number), text);
        }
    }
}
