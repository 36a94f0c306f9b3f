//! A live query as a table: the rows in their order, and what changed in the last moments marked.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::row;
use crate::terminal::cell;

/// How long a change stays marked.
pub(super) const MARKED_FOR: Duration = Duration::from_secs(3);
/// The widest column, in characters.
const MAX_COLUMN: usize = 40;
/// The narrowest that a column is made to fit.
const MIN_COLUMN: usize = 4;

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

    pub(super) fn clear(&mut self) {
        *self = Marks::default();
    }
}

/// Which columns there are.
#[derive(Debug, Clone)]
pub(super) enum Columns {
    /// These, as the user asked.
    Named(Vec<String>),
    /// Every field of the rows that are shown, in the order of first appearance.
    Found,
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
    let names = match columns {
        Columns::Named(names) => names.clone(),
        Columns::Found => found(shown),
    };
    let paths: Vec<_> = match columns {
        Columns::Named(names) => names.iter().map(|name| row::path(name)).collect(),
        Columns::Found => names.iter().map(|name| vec![name.clone()]).collect(),
    };
    let cells: Vec<Vec<String>> = shown
        .iter()
        .map(|(_, data)| paths.iter().map(|path| cell(&row::text_at(data, path), MAX_COLUMN)).collect())
        .collect();
    let widths = widths(&names, &cells, size.width);

    let mut lines = vec![title(status, size)];
    if !names.is_empty() {
        lines.push(paint(size, "1", &format!("  {}", line(&names, &widths))));
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
        text.push_str(&format!(", {removed} left"));
    }
    paint(size, "2", &cell(&text, size.width))
}

fn found(rows: &[(&str, &[u8])]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (_, data) in rows {
        for name in row::names(data) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// The widths of the columns that fit, each as wide as it needs to be if there is room. A column that does
/// not fit even narrowly is left out.
fn widths(names: &[String], cells: &[Vec<String>], width: usize) -> Vec<usize> {
    let wanted = names.iter().enumerate().map(|(column, name)| {
        let widest = cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        widest.max(name.chars().count()).clamp(1, MAX_COLUMN)
    });
    let mut left = width.saturating_sub(2);
    let mut widths = Vec::new();
    for wanted in wanted {
        let room = left.saturating_sub(if widths.is_empty() { 0 } else { 2 });
        if room < wanted.min(MIN_COLUMN) || room == 0 {
            break;
        }
        let taken = wanted.min(room);
        left = room - taken;
        widths.push(taken);
    }
    widths
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (index, (text, width)) in cells.iter().zip(widths).enumerate() {
        if index > 0 {
            line.push_str("  ");
        }
        line.push_str(&format!("{:<width$}", cell(text, *width)));
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
3 of 7 rows, 1 left";
        assert_eq!(drawn(&ROWS, &Columns::Found, &marks, SIZE), expected);

        assert!(!marks.fade(now), "marks stay a while");
        assert!(marks.fade(now + MARKED_FOR));
        assert!(marks.is_empty());
    }

    #[test]
    fn named_columns_may_be_paths() {
        let columns = Columns::Named(vec!["customer.name".into(), "id".into()]);
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
    fn what_does_not_fit_is_left_out_and_said() {
        let small = Size { width: 16, height: 4, color: false };
        let expected = "\
orders
  id  status
  1   open
3 of 7 rows, 2 …";
        assert_eq!(drawn(&ROWS, &Columns::Found, &Marks::default(), small), expected);
        for width in 0..20 {
            for height in 0..8 {
                drawn(&ROWS, &Columns::Found, &Marks::default(), Size { width, height, color: true });
            }
        }
        assert_eq!(drawn(&[], &Columns::Found, &Marks::default(), SIZE), "orders\n0 of 7 rows");
    }
}
