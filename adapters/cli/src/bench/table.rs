//! The results for people.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ColumnConstraint, LineStyle, Table, Width};
use indicatif::{DecimalBytes, HumanCount};
use liveset_server::terminal;

use super::report::{Latency, Measured, Received, Report};

/// The first column of every part, so that all of them are in line.
const NAMES: u16 = 24;

/// Lines of a name and a text.
type Lines = Vec<(&'static str, String)>;

/// The whole report as text.
pub(super) fn render(report: &Report) -> String {
    let setup = &report.setup;
    let server = if setup.own_server { "a server of its own" } else { &setup.url };
    let title = format!("liveset bench · {} · {} s", terminal::cell(server, 60), setup.duration_seconds);
    let [asked, flow, rest] = [asked(report), flow(report), rest(report)].map(lines);
    let compared = compared(report).map(|text| format!("\n  {text}")).unwrap_or_default();
    format!("\n{title}\n\n{asked}\n\n{flow}\n\n{}{compared}\n\n{rest}\n\n", latencies(report))
}

fn asked(report: &Report) -> Lines {
    let setup = &report.setup;
    let mut connections =
        format!("{} × {} queries ({})", count(setup.connections.into()), setup.queries, setup.shape);
    if setup.stalled > 0 {
        connections += &format!(", {} of them stalled", count(setup.stalled.into()));
    }
    let mut writes = format!("{} commits/s × {} changes", setup.commits_per_second, setup.changes);
    if setup.events_per_second > 0.0 {
        writes += &format!(", {} events/s", setup.events_per_second);
    }
    writes += &format!(", {} nodes in {} groups", count(setup.nodes.into()), count(setup.groups.into()));
    vec![("connections", connections), ("writes", writes)]
}

fn flow(report: &Report) -> Lines {
    let connect = &report.connect;
    let (ready, rate) = (count(connect.connections), count(connect.per_second as u64));
    let writes = &report.writes;
    let mut written = format!("{} commits, {:.1}/s", count(writes.counts.commits), writes.commits_per_second);
    if writes.counts.failed > 0 {
        written += &format!(", {} failed", count(writes.counts.failed));
    }
    let mut lines =
        vec![("connected", format!("{ready} in {:.2} s, {rate}/s", connect.seconds)), ("written", written)];
    for window in &report.windows {
        let name = by_window(report, window, ["received", "received, all read", "received, some stall"]);
        let text = format!(
            "{} messages/s, {}/s, {} diffs/s",
            count(window.messages_per_second as u64),
            DecimalBytes(window.bytes_per_second as u64),
            count(window.diffs_per_second as u64)
        );
        lines.push((name, text));
    }
    lines.push(("in all", side(&report.received.live)));
    lines.extend(report.received.stalled.iter().map(|stalled| ("in all, stalled", side(stalled))));
    lines
}

fn side(received: &Received) -> String {
    let Received { counts, diffs, diffs_due } = received;
    let mut text = format!("{} diffs", count(*diffs));
    if let Some(due) = diffs_due {
        text += &format!(" of {} due", count(*due));
    }
    if counts.events + counts.dropped > 0 {
        text += &format!(", {} events ({} dropped)", count(counts.events), count(counts.dropped));
    }
    for (code, errors) in &counts.errors {
        text += &format!(", {} × {}", count(*errors), terminal::cell(code, 40));
    }
    for (code, closes) in &counts.closes {
        let how = if code == "lost" { "without a code".into() } else { format!("with {code}") };
        text += &format!(", {} closed {how}", count(*closes));
    }
    text
}

/// The name of a line about a window: where there is one alone, while all read, while some stall.
fn by_window(report: &Report, window: &Measured, [alone, read, stall]: [&'static str; 3]) -> &'static str {
    match (report.windows.len(), window.stalling) {
        (1, _) => alone,
        (_, false) => read,
        (_, true) => stall,
    }
}

fn latencies(report: &Report) -> String {
    let rule = LineStyle::none().fill('─').junction('─');
    let mut table = Table::new();
    table.load_style(NOTHING.header_separator(rule).bottom_border(rule));
    table.set_header(["", "p50", "p90", "p99", "p99.9", "max", "samples"]);
    let mut row = |name: &str, latency: &Latency| {
        let times = [latency.p50, latency.p90, latency.p99, latency.p999, latency.max];
        let times = times.map(|millis| if latency.count == 0 { "–".into() } else { time(millis) });
        table.add_row([name.to_owned()].into_iter().chain(times).chain([count(latency.count)]));
    };
    row("authenticated", &report.connect.authenticated);
    row("first results", &report.connect.first_results);
    row("commit answered", &report.writes.answered);
    for window in &report.windows {
        row(by_window(report, window, ["diff", "diff, all read", "diff, some stall"]), &window.diffs);
        if let Some(latency) = window.diffs_stalled.as_ref().filter(|_| window.stalling) {
            row("diff, once read again", latency);
        }
        if let Some(latency) = &window.events {
            row(by_window(report, window, ["event", "event, all read", "event, some stall"]), latency);
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(11)));
    }
    aligned(table)
}

fn compared(report: &Report) -> Option<String> {
    let (compare, stalled) = (report.compare.as_ref()?, count(report.setup.stalled.into()));
    let (p99, p50) = (compare.p99, compare.p50);
    Some(format!(
        "with {stalled} stalled connections, the others' p99 is {p99:.2} times, their p50 {p50:.2} times what it was without"
    ))
}

fn rest(report: &Report) -> Lines {
    let mut lines = Vec::new();
    if let Some(server) = &report.server {
        let each = server.rss_connected.saturating_sub(server.rss_idle) / report.connect.connections.max(1);
        let text = format!(
            "{:.2} cores, {} before the connections, {} with them ({} each), {} at most",
            server.cores,
            DecimalBytes(server.rss_idle),
            DecimalBytes(server.rss_connected),
            DecimalBytes(each),
            DecimalBytes(server.rss_peak)
        );
        lines.push(("server", text));
    }
    if let Some(counted) = &report.counted {
        let folded = counted.diffs_folded.map(|diffs| format!("{} diffs folded", count(diffs)));
        let dropped = counted.events_dropped.map(|events| format!("{} events dropped", count(events)));
        let parts: Vec<_> = folded.into_iter().chain(dropped).collect();
        if !parts.is_empty() {
            lines.push(("server counted", parts.join(", ")));
        }
    }
    if let Some(meter) = &report.meter {
        let text = format!(
            "{:.2} cores, {}, woke up {} late at p99; the machine was {:.0} % busy",
            meter.cores,
            DecimalBytes(meter.rss),
            time(meter.lag.p99),
            meter.machine_busy * 100.0
        );
        lines.push(("meter", text));
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
        lines.push(("verified", text));
    }
    lines.extend(report.warnings.iter().map(|warning| ("note", terminal::message(warning))));
    lines
}

fn lines(lines: Lines) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.add_rows(lines.into_iter().map(|(name, text)| [Cell::new(name), Cell::new(text)]));
    aligned(table)
}

/// The text of a table, whose first column is as wide as in all others.
fn aligned(mut table: Table) -> String {
    if let Some(names) = table.column_mut(0) {
        names.set_padding((2, 0));
        names.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(NAMES)));
    }
    table.trim_fmt()
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

fn count(number: u64) -> String {
    HumanCount(number).to_string()
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
            [(12, "12 B"), (4_100, "4.10 kB"), (63_000_000, "63.00 MB"), (2_500_000_000, "2.50 GB")]
        {
            assert_eq!(DecimalBytes(number).to_string(), text);
        }
    }

    #[test]
    fn all_parts_are_in_line_whatever_is_in_them() {
        let text = lines(vec![("connections", "10".into()), ("note", "東京 😀 is away".into())]);
        assert_eq!(text, "  connections            10\n  note                   東京 😀 is away");
    }
}
