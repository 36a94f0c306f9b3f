//! The log: lines on standard error, chosen by a filter like that of `RUST_LOG`. Tokens are never logged.
//!
//! Whoever logs never waits for standard error, and never fails with it: lines go into a queue, and a thread of its own writes them.
//! Where nobody reads them, or the disk is full, lines are lost, and counted.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use liveset::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt, registry, reload};

#[cfg(feature = "otel")]
use crate::traces;

/// How much may wait to be written, in bytes.
const MAX_WAITING: usize = 256 * 1024;
/// How long the end of the process waits for lines to be written.
const FLUSH: Duration = Duration::from_secs(1);

/// What this process writes to standard error.
static ERRORS: OnceLock<Arc<Lines>> = OnceLock::new();
/// What it writes to standard output besides the output of a command.
static NOTICES: OnceLock<Arc<Lines>> = OnceLock::new();

/// Replaces the filter of the log that was started.
static FILTER: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

fn errors() -> &'static Arc<Lines> {
    ERRORS.get_or_init(|| Lines::written_to(io::stderr()))
}

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// Starts the log of this process, once. A filter that is wrong was refused when the configuration was read;
/// should one come here, `info` takes its place.
pub fn start(filter: &str, format: Format) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // Of the log alone: what else is told of spans has a filter of its own.
    let (filter, handle) = reload::Layer::new(filter);
    let lines = errors();
    let log = fmt::layer()
        .with_writer(Line::maker(lines))
        .with_ansi(io::stderr().is_terminal() && format == Format::Text)
        // Its own faults would be printed to standard error, which may be the fault.
        .log_internal_errors(false);
    let log = match format {
        Format::Text => log.boxed(),
        Format::Json => log.json().with_span_list(false).boxed(),
    };
    let all = registry().with(log.with_filter(filter));
    #[cfg(feature = "otel")]
    let (all, traces) = {
        let (layer, outcome) = traces::layer();
        (all.with(layer), outcome)
    };
    match all.try_init() {
        Ok(()) => {
            let _ = FILTER.set(Box::new(move |filter| drop(handle.reload(filter))));
            lines.is_json.store(format == Format::Json, Ordering::Relaxed);
            panic::set_hook(Box::new(|panic| log_panic(lines, panic)));
            #[cfg(feature = "otel")]
            if let Err(error) = traces {
                tracing::error!("no traces are sent: {error}");
            }
        }
        Err(error) => tracing::warn!(%error, "a log was started already"),
    }
}

/// Chooses anew what is logged. A filter that is wrong changes nothing.
pub fn set_filter(filter: &str) {
    if let (Some(set), Ok(filter)) = (FILTER.get(), EnvFilter::try_new(filter)) {
        set(filter);
    }
}

/// Waits for a second at most until everything is written. Dropped at the end of `main`, where a panic passes too.
#[derive(Debug)]
pub struct Flush;

impl Drop for Flush {
    fn drop(&mut self) {
        flush();
    }
}

/// Waits for a second at most until everything is written.
pub fn flush() {
    for lines in [&ERRORS, &NOTICES].into_iter().filter_map(OnceLock::get) {
        lines.flush(FLUSH);
    }
}

/// Prints to standard output, without waiting for whoever reads it.
pub fn print(text: &str) {
    NOTICES.get_or_init(|| Lines::written_to(io::stdout())).push(text.as_bytes());
}

/// Prints to standard error, without waiting for whoever reads it.
pub fn print_error(text: &str) {
    errors().push(text.as_bytes());
}

/// As the standard library prints a panic, which it would wait for.
fn log_panic(lines: &Lines, panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let name = thread.name().unwrap_or("<unnamed>");
    let backtrace = Backtrace::capture();
    let trace = match backtrace.status() {
        BacktraceStatus::Captured => format!("{backtrace}"),
        _ => String::new(),
    };
    let text = format!("thread '{name}' {panic}\n{trace}");
    lines.push(lines.line("ERROR", &text).as_bytes());
}

/// Lines that wait to be written.
#[derive(Debug, Default)]
struct Lines {
    state: Mutex<State>,
    changed: Condvar,
    is_json: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    /// A line is being written.
    is_writing: bool,
    /// Lines that were lost, and not told of yet.
    lost: u64,
}

impl Lines {
    /// Starts a thread that writes to `sink`. Without one to be had every line is lost.
    fn written_to(mut sink: impl Write + Send + 'static) -> Arc<Lines> {
        let lines = Arc::new(Lines::default());
        let written = Arc::clone(&lines);
        let started = thread::Builder::new().name("log".into()).spawn(move || {
            loop {
                written.write_next(&mut sink);
            }
        });
        drop(started);
        lines
    }

    /// A line that comes from no place that logs.
    fn line(&self, level: &str, text: &str) -> String {
        match self.is_json.load(Ordering::Relaxed) {
            true => {
                let timestamp = Timestamp::from(SystemTime::now()).to_string();
                let fields = json!({ "message": text.trim_end() });
                format!("{}\n", json!({ "timestamp": timestamp, "level": level, "fields": fields }))
            }
            false => text.to_owned(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line; where too many wait it is lost.
    fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.bytes + line.len() > MAX_WAITING {
            state.lost += 1;
            drop(state);
            return count_lost(1);
        }
        state.bytes += line.len();
        state.waiting.push_back(line.to_vec());
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for a line, and writes it.
    fn write_next(&self, sink: &mut impl Write) {
        let mut state = self.lock();
        let line = loop {
            if let Some(line) = state.waiting.pop_front() {
                break line;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        state.bytes -= line.len();
        state.is_writing = true;
        let lost = std::mem::take(&mut state.lost);
        drop(state);
        // May take for ever, or fail; that is why nobody waits for it.
        let told = match lost {
            0 => Ok(()),
            lost => sink.write_all(self.line("WARN", &lost_text(lost)).as_bytes()),
        };
        let written = told.and_then(|()| sink.write_all(&line)).and_then(|()| sink.flush());
        let mut state = self.lock();
        state.is_writing = false;
        if written.is_err() {
            state.lost += lost + 1;
        }
        drop(state);
        if written.is_err() {
            count_lost(1);
        }
        self.changed.notify_all();
    }

    fn flush(&self, patience: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        let waited = self.changed.wait_timeout_while(self.lock(), patience, is_busy);
        drop(waited);
    }
}

fn lost_text(lines: u64) -> String {
    format!("{lines} lines of the log were lost: standard error could not be written to\n")
}

fn count_lost(lines: u64) {
    metrics::counter!("liveset_log_lines_lost_total").increment(lines);
}

/// One line while it is being put together.
struct Line {
    lines: Arc<Lines>,
    text: Vec<u8>,
}

impl Line {
    fn maker(lines: &Arc<Lines>) -> impl for<'a> MakeWriter<'a, Writer = Line> + 'static {
        let lines = Arc::clone(lines);
        move || Line { lines: Arc::clone(&lines), text: Vec::new() }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.lines.push(&self.text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Takes a line for each permit, and says what it took.
    struct Sink {
        permits: Receiver<io::Result<()>>,
        taken: Sender<String>,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.permits.recv().unwrap_or(Ok(()))?;
            self.taken.send(String::from_utf8_lossy(bytes).into_owned()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines() -> (Arc<Lines>, Sender<io::Result<()>>, Receiver<String>) {
        let (permit, permits) = channel();
        let (taken, received) = channel();
        (Lines::written_to(Sink { permits, taken }), permit, received)
    }

    #[test]
    fn what_comes_from_no_place_that_logs_has_the_same_form() {
        let lines = Lines::default();
        assert_eq!(lines.line("WARN", "two\nlines\n"), "two\nlines\n");
        lines.is_json.store(true, Ordering::Relaxed);
        let line = lines.line("WARN", "two\nlines\n");
        assert_eq!(line.find('\n'), Some(line.len() - 1), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&read["level"], &read["fields"]["message"]), (&json!("WARN"), &json!("two\nlines")));
        assert!(read["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
    }

    #[test]
    fn nobody_waits_for_a_reader_that_does_not_read() {
        let (lines, permit, taken) = lines();
        let line = vec![b'x'; 1000];
        lines.push(&line);
        // The thread has the first line in its hands, and waits for the reader.
        while !lines.lock().is_writing {
            thread::yield_now();
        }
        for _ in 0..4999 {
            lines.push(&line);
        }
        let lost = lines.lock().lost;
        assert_eq!(lost, 4999 - (MAX_WAITING / line.len()) as u64);
        lines.flush(Duration::from_millis(1));
        assert!(lines.lock().bytes <= MAX_WAITING);
        // Read again: what was kept comes, and how many are lost is told.
        for _ in 0..6000 {
            permit.send(Ok(())).unwrap();
        }
        lines.flush(Duration::from_secs(60));
        let all: Vec<_> = taken.try_iter().collect();
        let told: u64 =
            all.iter().filter_map(|line| line.split(" lines of").next()?.parse::<u64>().ok()).sum();
        assert_eq!(told, lost);
        assert_eq!(all.iter().filter(|line| line.starts_with('x')).count() as u64, 5000 - lost);
    }

    #[test]
    fn a_line_that_cannot_be_written_is_lost_and_the_next_is_tried() {
        let (lines, permit, taken) = lines();
        for _ in 0..3 {
            permit.send(Err(io::Error::from(io::ErrorKind::StorageFull))).unwrap();
        }
        for line in ["one\n", "two\n", "three\n"] {
            lines.push(line.as_bytes());
        }
        lines.flush(Duration::from_secs(60));
        assert_eq!(lines.lock().lost, 3);
        permit.send(Ok(())).unwrap();
        permit.send(Ok(())).unwrap();
        lines.push(b"four\n");
        lines.flush(Duration::from_secs(60));
        let all: Vec<_> = taken.try_iter().collect();
        assert!(all[0].starts_with("3 lines of the log were lost"), "{all:?}");
        assert_eq!(all[1..], ["four\n"]);
    }
}
