//! What is shown: messages a line each, or a table.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use console::Term;
use liveset_client::{Batch, Change, Rows};
use liveset_core::{Query, ServerMessage};
use liveset_engine::{Filter, Order, QueryLimits};
use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::table::{self, Column, Columns, Mark, Marks, Size, Status};
use super::{Live, WatchArgs};

/// The table is drawn at most this often.
const REDRAW: Duration = Duration::from_millis(100);
/// How often it is looked whether marks have become old.
const FADE: Duration = Duration::from_millis(500);
/// What a table has that goes into no terminal.
const NO_TERMINAL: Size = Size { width: 200, height: usize::MAX, color: false };

/// Where a watch shows what it sees.
pub(super) enum Output {
    Json(Arc<Lines>),
    Table(Box<Screen>),
}

impl Output {
    /// Messages go to the lines as they come; without lines there is a table.
    pub(super) fn new(args: &WatchArgs, lines: Option<Arc<Lines>>) -> Output {
        match lines {
            Some(lines) => Output::Json(lines),
            None => Output::Table(Box::new(Screen::new(args))),
        }
    }

    /// What is shown is not to be relied on now, for this reason.
    pub(super) fn doubt(&mut self, reason: &str, live: &Live) {
        if let Output::Table(screen) = self {
            screen.doubt(reason, live);
        }
    }

    /// The connection was lost.
    pub(super) fn lost(&mut self, text: &str, live: &Live) {
        match self {
            Output::Table(screen) if screen.terminal.is_some() => screen.doubt(text, live),
            _ => drop(writeln!(std::io::stderr(), "{text}")),
        }
    }

    /// What is shown is the result.
    pub(super) fn trust(&mut self) {
        if let Output::Table(screen) = self {
            screen.is_dirty |= screen.status.connection.take().is_some() && screen.terminal.is_some();
        }
    }

    /// A commit has changed this.
    pub(super) fn batch(&mut self, batch: &Batch<Box<RawValue>>, live: &Live) {
        if let Output::Table(screen) = self {
            screen.batch(batch, live);
        }
    }

    /// When to redraw; nothing where there is no need.
    pub(super) fn redraw_in(&self) -> Option<Duration> {
        match self {
            Output::Json(_) => None,
            Output::Table(screen) => screen.redraw_in(),
        }
    }

    pub(super) fn redraw(&mut self, live: &Live) {
        if let Output::Table(screen) = self {
            screen.redraw(live);
        }
    }

    /// Whether nobody reads any more.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Output::Json(lines) => lines.is_closed.load(Ordering::Relaxed),
            Output::Table(screen) => screen.is_closed,
        }
    }

    /// Waits until nobody reads any more, where that is noticed elsewhere.
    pub(super) async fn closed(&self) {
        match self {
            Output::Json(lines) => lines.closed.notified().await,
            Output::Table(_) => std::future::pending().await,
        }
    }

    /// Leaves the terminal as it was, with the last table on it.
    pub(super) fn end(&mut self) {
        if let Output::Table(screen) = self {
            screen.end();
        }
    }
}

/// The messages of the server, a line each.
#[derive(Default)]
pub(super) struct Lines {
    is_closed: AtomicBool,
    closed: Notify,
}

impl Lines {
    /// Prints a message, as it is.
    pub(super) fn print(&self, text: &[u8]) {
        let is_housekeeping = matches!(
            ServerMessage::parse(text),
            Ok(ServerMessage::Authenticated { .. }
                | ServerMessage::Ping
                | ServerMessage::Pong { .. }
                | ServerMessage::Commit)
        );
        if is_housekeeping {
            return;
        }
        // A line break in JSON is white space between two tokens: texts have theirs escaped.
        let mut line: Vec<u8> =
            text.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect();
        line.push(b'\n');
        let mut stdout = std::io::stdout().lock();
        if stdout.write_all(&line).and_then(|()| stdout.flush()).is_err() {
            self.is_closed.store(true, Ordering::Relaxed);
            self.closed.notify_one();
        }
    }
}

/// A table that is redrawn.
pub(super) struct Screen {
    args: WatchArgs,
    /// Nothing where the output is no terminal; then each table is appended.
    terminal: Option<Term>,
    color: bool,
    columns: Columns,
    marks: Marks,
    status: Status,
    is_entered: bool,
    is_dirty: bool,
    is_closed: bool,
    drawn: Option<Instant>,
    last: Vec<String>,
}

impl Screen {
    fn new(args: &WatchArgs) -> Screen {
        let terminal = Some(Term::stdout()).filter(Term::is_term);
        Screen {
            color: terminal.is_some() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            terminal,
            columns: columns(args, "id"),
            args: args.clone(),
            marks: Marks::default(),
            status: Status { title: title(args), ..Status::default() },
            is_entered: false,
            is_dirty: false,
            is_closed: false,
            drawn: None,
            last: Vec::new(),
        }
    }

    fn doubt(&mut self, reason: &str, live: &Live) {
        self.status.connection = Some(reason.to_owned());
        self.redraw(live);
    }

    fn batch(&mut self, batch: &Batch<Box<RawValue>>, live: &Live) {
        let now = Instant::now();
        // The first has the rows that are there: nothing has changed yet.
        let is_first = self.status.total.is_none();
        if let Some(key) = live.key().filter(|_| is_first) {
            self.columns = columns(&self.args, &key);
        }
        for change in batch.changes.iter().filter(|_| !is_first) {
            match change {
                Change::Added { id, .. } => self.marks.changed(id, Mark::Added, now),
                Change::Updated { id, .. } => self.marks.changed(id, Mark::Updated, now),
                Change::Removed { id, .. } => self.marks.removed(id, now),
                _ => {}
            }
        }
        self.status.total = Some(batch.total_count);
        self.is_dirty = true;
    }

    fn redraw_in(&self) -> Option<Duration> {
        let since = self.drawn.map_or(REDRAW, |drawn| drawn.elapsed());
        match self.is_dirty {
            true => Some(REDRAW.saturating_sub(since)),
            false if self.terminal.is_some() && !self.marks.is_empty() => Some(FADE.saturating_sub(since)),
            false => None,
        }
    }

    fn redraw(&mut self, live: &Live) {
        let now = Instant::now();
        self.marks.fade(now);
        self.is_dirty = false;
        self.drawn = Some(now);
        if self.terminal.is_none() && self.status.connection.is_some() {
            return;
        }
        let size = match &self.terminal {
            Some(terminal) => {
                let (height, width) = terminal.size();
                Size { width: width.into(), height: height.into(), color: self.color }
            }
            None => NO_TERMINAL,
        };
        self.last = table::draw(&rows(&live.rows()), &self.columns, &self.marks, &self.status, size);
        let mut text = String::new();
        if self.terminal.is_some() {
            // The other screen, without a cursor and without wrapped lines; then every line over the old one, and nothing below.
            if !std::mem::replace(&mut self.is_entered, true) {
                text.push_str("\x1b[?1049h\x1b[?25l\x1b[?7l");
            }
            text.push_str("\x1b[H");
            text.push_str(&self.last.join("\x1b[K\r\n"));
            text.push_str("\x1b[K\x1b[J");
        } else {
            text.push_str(&self.last.join("\n"));
            text.push_str("\n\n");
        }
        self.write(&text);
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.is_entered) {
            let text = format!("\x1b[?7h\x1b[?25h\x1b[?1049l{}\n", self.last.join("\n"));
            self.write(&text);
        }
    }

    fn write(&mut self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        self.is_closed |= stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.end();
    }
}

/// What was asked for by name, and the key. Or else the key, the fields of the order and of the filter, and then all others.
fn columns(args: &WatchArgs, key: &str) -> Columns {
    let key = Column::field(key.to_owned());
    if let Some(fields) = &args.fields {
        let mut first: Vec<_> = fields.iter().map(|field| Column::named(field.trim())).collect();
        if !first.iter().any(|column| column.path == key.path) {
            first.insert(0, key);
        }
        return Columns { first, has_others: false };
    }
    // What cannot be read is the server's to refuse.
    let limits = QueryLimits::default();
    let order = args.order_by.as_deref().and_then(|text| Order::parse(text, &limits).ok());
    let Query { filter, params, .. } = args.query();
    let filter = filter.and_then(|text| Filter::bound(&text, &params, &limits).ok());
    let mut first = vec![key];
    let of_order = order.iter().flat_map(Order::paths);
    for path in of_order.chain(filter.iter().flat_map(Filter::paths)) {
        let column = Column::at(path);
        if !first.iter().any(|other| other.path == column.path) {
            first.push(column);
        }
    }
    Columns { first, has_others: true }
}

fn title(args: &WatchArgs) -> String {
    let mut title = args.set.clone();
    if let Some(filter) = &args.filter {
        title.push_str(&format!(" where {filter}"));
    }
    if let Some(order_by) = &args.order_by {
        title.push_str(&format!(" by {order_by}"));
    }
    if let Some(limit) = args.limit {
        title.push_str(&format!(", first {limit}"));
    }
    title
}

/// Rows as the table takes them.
fn rows(rows: &Rows<Box<RawValue>>) -> Vec<(&str, &[u8])> {
    rows.with_ids().map(|(id, row)| (id, row.get().as_bytes())).collect()
}
