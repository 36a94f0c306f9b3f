//! A live query as a table: the rows in their order, and what changed in the last moments marked.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use liveset_engine::Path;
use liveset_server::terminal::{cell, padded, width};

use super::row;

/// How long a change stays marked.
pub(super) const MARKED_FOR: Duration = Duration::from_secs(3);
/// The widest column.
const MAX_COLUMN: usize = 40;
/// The narrowest that a column is made to fit.
const MIN_COLUMN: usize = 4;
/// Between two columns.
const GAP: usize = 2;

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Added,
    Updated,
}

/// What the table shows besides the rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Status {
    /// The query, for the first line.
    pub(super) title: String,
    /// How many nodes match; nothing while that is unknown.
    pub(super) total: Option<u64>,
    /// What the connection does, where it is not simply there.
    pub(super) connection: Option<String>,
}

/// How large the table may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Whether colours are understood.
    pub(super) color: bool,
}

/// Which rows changed, and when.
#[derive(Debug, Default)]
pub(super) struct Marks {
    rows: BTreeMap<String, (Mark, Instant)>,
    removed: Option<(u64, Instant)>,
}

impl Marks {
    pub(super) fn changed(&mut self, node: &str, mark: Mark, now: Instant) {
        self.rows.insert(node.to_owned(), (mark, now));
    }

    pub(super) fn removed(&mut self, node: &str, now: Instant) {
        self.rows.remove(node);
        let before = self.removed.map_or(0, |(count, _)| count);
        self.removed = Some((before + 1, now));
    }

    /// Forgets what is old. Returns whether anything was.
    pub(super) fn fade(&mut self, now: Instant) -> bool {
        let count = self.rows.len();
        let is_old = |since: Instant| now.saturating_duration_since(since) >= MARKED_FOR;
        self.rows.retain(|_, (_, since)| !is_old(*since));
        let had_removed = self.removed.is_some();
        self.removed = self.removed.filter(|(_, since)| !is_old(*since));
        count != self.rows.len() || had_removed != self.removed.is_some()
    }

    /// Whether anything is marked.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.removed.is_none()
    }
}

/// A column: its heading, and what of a row it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) title: String,
    pub(super) path: Vec<String>,
}

impl Column {
    /// A column as the user names it, with dots.
    pub(super) fn named(text: &str) -> Column {
        Column { title: text.to_owned(), path: row::path(text) }
    }

    /// A column of a field of the query.
    pub(super) fn at(path: &Path) -> Column {
        Column { title: path.to_string(), path: path.names().map(str::to_owned).collect() }
    }

    /// A field of the node itself, whatever its name.
    pub(super) fn field(name: String) -> Column {
        Column { title: name.clone(), path: vec![name] }
    }
}

/// Which columns there are.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    /// Those that come first, and have a place in every table.
    pub(super) first: Vec<Column>,
    /// Whether the other fields of the rows that are shown follow, in the order of first appearance.
    pub(super) has_others: bool,
}

/// Draws the table as lines. Cost: the rows that fit, times the columns.
pub(super) fn draw(
    rows: &[(&str, &[u8])],
    columns: &Columns,
    marks: &Marks,
    status: &Status,
    size: Size,
) -> Vec<String> {
    let shown = &rows[..rows.len().min(size.height.saturating_sub(3).max(1))];
    let names = match (columns.has_others, shown.is_empty()) {
        (true, true) => Vec::new(),
        (true, false) => with_others(&columns.first, shown),
        (false, _) => columns.first.clone(),
    };
    let cells: Vec<Vec<String>> = shown
        .iter()
        .map(|(_, data)| {
            names.iter().map(|column| cell(&row::text_at(data, &column.path), MAX_COLUMN)).collect()
        })
        .collect();
    let titles: Vec<String> = names.into_iter().map(|column| column.title).collect();
    let widths = widths(&titles, &cells, columns.first.len(), size.width);

    let mut lines = vec![title(status, size)];
    if !titles.is_empty() {
        lines.push(paint(size, "1", &format!("  {}", line(&titles, &widths))));
    }
    for ((id, _), cells) in shown.iter().zip(&cells) {
        let (sign, color) = match marks.rows.get(*id) {
            Some((Mark::Added, _)) => ("+", "32"),
            Some((Mark::Updated, _)) => ("~", "33"),
            None => (" ", ""),
        };
        lines.push(paint(size, color, &format!("{sign} {}", line(cells, &widths))));
    }
    lines.push(footer(rows.len(), shown.len(), marks, status, size));
    lines
}

fn title(status: &Status, size: Size) -> String {
    let connection = status.connection.as_deref().map(|text| format!("[{text}] ")).unwrap_or_default();
    paint(size, "36", &cell(&format!("{connection}{}", status.title), size.width))
}

fn footer(held: usize, shown: usize, marks: &Marks, status: &Status, size: Size) -> String {
    let mut text = format!("{held} rows");
    if let Some(total) = status.total {
        text = format!("{held} of {total} rows");
    }
    if shown < held {
        text.push_str(&format!(", {} more below", held - shown));
    }
    if let Some((removed, _)) = marks.removed {
        text.push_str(&format!(", {removed} removed"));
    }
    paint(size, "2", &cell(&text, size.width))
}

/// These columns, and behind them one for each other field that a row has.
fn with_others(first: &[Column], rows: &[(&str, &[u8])]) -> Vec<Column> {
    let mut columns = first.to_vec();
    for (_, data) in rows {
        for name in row::names(data) {
            if !columns.iter().any(|column| column.path == [name.as_str()]) {
                columns.push(Column::field(name));
            }
        }
    }
    columns
}

/// The widths of the columns that fit, each as wide as it needs to be if there is room. The first ones share the room if they
/// need more; of the others, one that does not fit even narrowly is left out.
fn widths(titles: &[String], cells: &[Vec<String>], first: usize, room: usize) -> Vec<usize> {
    let wanted = |(column, title): (usize, &String)| {
        let widest = cells.iter().map(|row| width(&row[column])).max().unwrap_or(0);
        widest.max(width(title)).clamp(1, MAX_COLUMN)
    };
    let mut wanted: Vec<usize> = titles.iter().enumerate().map(wanted).collect();
    let mut left = room.saturating_sub(2);
    let first = first.min(wanted.len());
    share(&mut wanted[..first], left);
    let mut widths = Vec::new();
    for wanted in wanted {
        let room = left.saturating_sub(if widths.is_empty() { 0 } else { GAP });
        if room < wanted.min(MIN_COLUMN) || room == 0 {
            break;
        }
        let taken = wanted.min(room);
        left = room - taken;
        widths.push(taken);
    }
    widths
}

/// Makes the widest of these columns narrower until all of them fit, or none can give more.
fn share(widths: &mut [usize], room: usize) {
    let gaps = widths.len().saturating_sub(1) * GAP;
    while widths.iter().sum::<usize>() + gaps > room {
        match widths.iter_mut().max() {
            Some(widest) if *widest > MIN_COLUMN => *widest -= 1,
            _ => return,
        }
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (index, (text, width)) in cells.iter().zip(widths).enumerate() {
        if index > 0 {
            line.push_str("  ");
        }
        line.push_str(&padded(text, *width));
    }
    line.truncate(line.trim_end().len());
    line
}

fn paint(size: Size, color: &str, text: &str) -> String {
    match size.color && !color.is_empty() {
        true => format!("\x1b[{color}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { width: 60, height: 24, color: false };

    fn status() -> Status {
        Status { title: "orders".into(), total: Some(7), connection: None }
    }

    fn drawn(rows: &[(&str, &str)], columns: &Columns, marks: &Marks, size: Size) -> String {
        let rows: Vec<_> = rows.iter().map(|(id, data)| (*id, data.as_bytes())).collect();
        draw(&rows, columns, marks, &status(), size).join("\n")
    }

    fn all_fields(first: &[&str]) -> Columns {
        Columns { first: first.iter().map(|name| Column::named(name)).collect(), has_others: true }
    }

    const ROWS: [(&str, &str); 3] = [
        ("1", r#"{"id":"1","status":"open","total":9.50}"#),
        ("2", r#"{"id":"2","status":"processing","customer":{"name":"Ada"}}"#),
        ("3", r#"{"id":"3","note":"\u001b[2J"}"#),
    ];

    #[test]
    fn columns_are_those_of_the_rows() {
        let now = Instant::now();
        let mut marks = Marks::default();
        marks.changed("1", Mark::Added, now);
        marks.changed("2", Mark::Updated, now);
        marks.removed("9", now);
        let expected = "\
orders
  id  status      total  customer        note
+ 1   open        9.50
~ 2   processing         {\"name\":\"Ada\"}
  3                                      ·[2J
3 of 7 rows, 1 removed";
        assert_eq!(drawn(&ROWS, &all_fields(&["id"]), &marks, SIZE), expected);

        assert!(!marks.fade(now), "marks stay a while");
        assert!(marks.fade(now + MARKED_FOR));
        assert!(marks.is_empty());
    }

    #[test]
    fn named_columns_may_be_paths() {
        let first = vec![Column::named("customer.name"), Column::named("id")];
        let columns = Columns { first, has_others: false };
        let expected = "\
orders
  customer.name  id
                 1
  Ada            2
                 3
3 of 7 rows";
        assert_eq!(drawn(&ROWS, &columns, &Marks::default(), SIZE), expected);
    }

    #[test]
    fn what_the_query_is_about_comes_first() {
        let expected = "\
orders
  id  total  customer.name  status      customer        note
  1   9.50                  open
  2          Ada            processing  {\"name\":\"Ada\"}
  3                                                     ·[2J
3 of 7 rows";
        let columns = all_fields(&["id", "total", "customer.name"]);
        assert_eq!(drawn(&ROWS, &columns, &Marks::default(), Size { width: 80, ..SIZE }), expected);
        // Whatever is wide, the fields of the query are there.
        let wide = format!(r#"{{"text":"{0}","id":"{0}","other":"{0}","delay":7}}"#, "x".repeat(100));
        for width in 24..110 {
            let size = Size { width, ..SIZE };
            let table =
                drawn(&[("1", &wide)], &all_fields(&["id", "other", "delay"]), &Marks::default(), size);
            let (head, row) = (table.lines().nth(1).unwrap(), table.lines().nth(2).unwrap());
            let at = head.find("delay").unwrap_or_else(|| panic!("{width}: {table}"));
            assert_eq!(row.chars().nth(at), Some('7'), "{width}: {table}");
        }
        assert_eq!(drawn(&[], &columns, &Marks::default(), SIZE), "orders\n0 of 7 rows");
    }

    #[test]
    fn wide_characters_keep_columns_in_line() {
        let rows = [
            ("1", r#"{"id":"東京","n":1}"#),
            ("2", r#"{"id":"ab","n":2}"#),
            ("3", r#"{"id":"e\u0301","n":3}"#),
        ];
        let expected = "\
orders
  id    n
  東京  1
  ab    2
  e\u{301}     3
3 of 7 rows";
        assert_eq!(drawn(&rows, &all_fields(&["id"]), &Marks::default(), SIZE), expected);
    }

    #[test]
    fn emoji_and_long_wide_text_keep_columns_in_line() {
        let names = ["😀", "👨‍👩‍👧", "🇩🇪", "❤️", "東京都", "e\u{301}", "ｆｕｌｌ", "한국어", "\u{202e}right"];
        let mut rows: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(at, name)| (at.to_string(), format!(r#"{{"id":"{name}","n":{at}}}"#)))
            .collect();
        rows.push(("9".into(), format!(r#"{{"id":"{}","n":9}}"#, "長い😀".repeat(30))));
        let rows: Vec<_> = rows.iter().map(|(id, data)| (id.as_str(), data.as_str())).collect();
        let table = drawn(&rows, &all_fields(&["id"]), &Marks::default(), SIZE);
        let at = |line: &str, what: &str| line.rfind(what).map(|at| width(&line[..at]));
        let column = at(table.lines().nth(1).unwrap(), "n");
        assert!(column > Some(MAX_COLUMN), "{table}");
        for (number, line) in table.lines().skip(2).take(rows.len()).enumerate() {
            assert_eq!(at(line, &number.to_string()), column, "{table}");
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_said() {
        let small = Size { width: 16, height: 4, color: false };
        let expected = "\
orders
  id  status
  1   open
3 of 7 rows, 2 …";
        assert_eq!(drawn(&ROWS, &all_fields(&["id"]), &Marks::default(), small), expected);
        for width in 0..20 {
            for height in 0..8 {
                drawn(&ROWS, &all_fields(&["id"]), &Marks::default(), Size { width, height, color: true });
            }
        }
        assert_eq!(drawn(&[], &all_fields(&["id"]), &Marks::default(), SIZE), "orders\n0 of 7 rows");
    }
}
