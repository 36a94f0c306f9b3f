//! What is shown: messages a line each, or a table.

use std::io::Write;
use std::time::{Duration, Instant};

use console::Term;
use liveset_core::{ClientEvent, LiveResult, NodeChange, Query, ServerMessage};
use liveset_engine::{Filter, Order, QueryLimits};
use liveset_server::terminal;

use super::WatchArgs;
use super::table::{self, Column, Columns, Mark, Marks, Size, Status};

/// The table is drawn at most this often.
const REDRAW: Duration = Duration::from_millis(100);
/// How often it is looked whether marks have become old.
const FADE: Duration = Duration::from_millis(500);
/// What a table has that goes into no terminal.
const NO_TERMINAL: Size = Size { width: 200, height: usize::MAX, color: false };

/// Where a watch shows what it sees.
pub(super) enum Output {
    Json(Lines),
    Table(Box<Screen>),
}

impl Output {
    pub(super) fn new(args: &WatchArgs) -> Output {
        match args.json {
            true => Output::Json(Lines::default()),
            false => Output::Table(Box::new(Screen::new(args))),
        }
    }

    /// A connection is being made.
    pub(super) fn connecting(&mut self, url: &str, held: Option<&LiveResult>) {
        if let Output::Table(screen) = self {
            screen.status.connection = Some(format!("connecting to {url}"));
            screen.redraw(held);
        }
    }

    /// The connection was lost.
    pub(super) fn lost(&mut self, reason: &str, pause: Duration, held: Option<&LiveResult>) {
        let text = terminal::message(&format!("{reason}; trying again in {pause:.1?}"));
        match self {
            Output::Json(_) => warn(&text),
            Output::Table(screen) if screen.terminal.is_some() => {
                screen.status.connection = Some(text);
                screen.redraw(held);
            }
            Output::Table(_) => warn(&text),
        }
    }

    /// A message came, as it is.
    pub(super) fn message(&mut self, text: &[u8]) {
        if let Output::Json(lines) = self {
            lines.print(text);
        }
    }

    /// What it meant.
    pub(super) fn event(&mut self, event: &ClientEvent, result: Option<&LiveResult>) {
        if let Output::Table(screen) = self {
            screen.event(event, result);
        }
    }

    /// When to redraw; nothing where there is no need.
    pub(super) fn redraw_in(&self) -> Option<Duration> {
        match self {
            Output::Json(_) => None,
            Output::Table(screen) => screen.redraw_in(),
        }
    }

    pub(super) fn redraw(&mut self, result: Option<&LiveResult>) {
        if let Output::Table(screen) = self {
            screen.redraw(result);
        }
    }

    /// Whether nobody reads any more.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Output::Json(lines) => lines.is_closed,
            Output::Table(screen) => screen.is_closed,
        }
    }

    /// Leaves the terminal as it was, with the last table on it.
    pub(super) fn end(&mut self) {
        if let Output::Table(screen) = self {
            screen.end();
        }
    }
}

fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The messages of the server, a line each.
#[derive(Default)]
pub(super) struct Lines {
    is_closed: bool,
}

impl Lines {
    fn print(&mut self, text: &[u8]) {
        let is_housekeeping = matches!(
            ServerMessage::parse(text),
            Ok(ServerMessage::Authenticated { .. } | ServerMessage::Ping | ServerMessage::Pong { .. })
        );
        if is_housekeeping {
            return;
        }
        // A line break in JSON is white space between two tokens: texts have theirs escaped.
        let mut line: Vec<u8> =
            text.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect();
        line.push(b'\n');
        let mut stdout = std::io::stdout().lock();
        self.is_closed |= stdout.write_all(&line).and_then(|()| stdout.flush()).is_err();
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

    fn event(&mut self, event: &ClientEvent, result: Option<&LiveResult>) {
        let now = Instant::now();
        match event {
            ClientEvent::LiveQueryCreated { .. } => {
                self.marks.clear();
                if let Some(result) = result {
                    self.columns = columns(&self.args, result.key());
                }
            }
            ClientEvent::LiveQueryChanged { node_id, change, .. } => match change {
                NodeChange::Added { .. } => self.marks.changed(node_id, Mark::Added, now),
                NodeChange::Updated { .. } => self.marks.changed(node_id, Mark::Updated, now),
                NodeChange::Removed { .. } => self.marks.removed(node_id, now),
            },
            ClientEvent::LiveQueryResumed { .. }
            | ClientEvent::LiveQueryRows { .. }
            | ClientEvent::LiveQueryCount { .. } => {}
            _ => return,
        }
        self.status.connection = None;
        self.status.total = result.map(LiveResult::total_count);
        // Half of the initial rows are no result.
        self.is_dirty |= result.is_some_and(LiveResult::is_loaded);
    }

    fn redraw_in(&self) -> Option<Duration> {
        let since = self.drawn.map_or(REDRAW, |drawn| drawn.elapsed());
        match self.is_dirty {
            true => Some(REDRAW.saturating_sub(since)),
            false if self.terminal.is_some() && !self.marks.is_empty() => Some(FADE.saturating_sub(since)),
            false => None,
        }
    }

    fn redraw(&mut self, result: Option<&LiveResult>) {
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
        self.last = table::draw(&rows(result), &self.columns, &self.marks, &self.status, size);
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
pub(super) fn rows(result: Option<&LiveResult>) -> Vec<(&str, &[u8])> {
    let Some(ordered) = result.and_then(LiveResult::ordered) else { return Vec::new() };
    ordered.map(|(id, data)| (&**id, &**data)).collect()
}
