//! `liveset replay`: feeds a change stream into a server, in its own time or faster.
//!
//! A line of the file is a commit `{"at": instant, "ops": […]}`. Commits that are due are sent together, as a
//! stream of lines, and the next ones when those were answered, so that they are applied in order. Where a
//! connection is lost before the answer came, they are sent again, and that is said: a commit says what is, not
//! what to add, so applying it twice leaves the same data. A commit with an `if` may be refused the second time.

mod pace;
mod stream;

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant as Clock};

use clap::Args;
use hyper::StatusCode;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use liveset_core::Token;
use liveset_engine::{Number, Timestamp, Value};
use liveset_server::config;
use liveset_server::ndjson::{FileError, Progress};
use liveset_server::signals::{Kind, Signal};
use liveset_server::terminal;

use self::pace::Pace;
use self::stream::Commit;
use crate::backoff::Backoff;
use crate::client::{self, Client, ClientError, Outcome};
use crate::url::ServerUrl;

/// Arguments of `liveset replay`.
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// The change stream: .ndjson or .ndjson.gz; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The server
    #[arg(long, env = "LIVESET_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: ServerUrl,

    /// With https://: who vouches for the server's certificate, PEM [default: whom the system trusts]
    #[arg(long, env = "LIVESET_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// A token that may write
    #[arg(long, env = "LIVESET_TOKEN", value_name = "TOKEN", value_parser = config::token, hide_env_values = true)]
    pub token: Token,

    /// How many times faster than it happened; 0 or `max` is as fast as it goes
    #[arg(long, default_value = "1", value_name = "X|max")]
    pub speed: Speed,

    /// Begin with this line of the file (a number), or with the first commit at or after a moment
    #[arg(long, value_name = "LINE|INSTANT")]
    pub from: Option<From>,

    /// End after so many commits
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
}

/// How fast a stream is replayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// As fast as it goes.
    Max,
    /// So many times faster than it happened; positive.
    Times(f64),
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Speed, String> {
        match text.trim_end_matches(['x', '×']).parse::<f64>() {
            _ if text == "max" => Ok(Speed::Max),
            Ok(0.0) => Ok(Speed::Max),
            Ok(times) if times > 0.0 && times.is_finite() => Ok(Speed::Times(times)),
            _ => Err("write a number, as 1, 60 or 0.5, or max".into()),
        }
    }
}

/// Where a replay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// This line of the file, from 1.
    Line(u64),
    /// The first commit at or after this moment.
    At(Timestamp),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<From, String> {
        if let Ok(line) = text.parse() {
            return Ok(From::Line(line));
        }
        let at = Timestamp::parse_rfc3339(text);
        at.map(From::At).ok_or_else(|| "write a line number, or a moment as 2013-01-01T05:15:00Z".into())
    }
}

/// Why a replay ended before the file did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The file is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// The token cannot be sent, or the authorities that are to be trusted cannot be read.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server refused a commit.
    #[error("{}:{line}: the server refused it with {status}: {message}", file.display())]
    Refused {
        /// The file.
        file: PathBuf,
        /// The line.
        line: u64,
        /// The status.
        status: StatusCode,
        /// What the server said.
        message: String,
    },
    /// No such server is there; trying again would not help.
    #[error("no connection to {url}: {problem}")]
    NoServer {
        /// The server.
        url: String,
        /// What is there.
        problem: String,
    },
    /// Signals cannot be listened to.
    #[error("cannot listen to signals: {0}")]
    Signals(std::io::Error),
}

/// How a replay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything that was asked for was sent.
    Whole,
    /// Whoever watches has stopped it.
    Interrupted,
}

/// Replays a file into a server, and prints what was done. Returns when the file ends, or after ctrl-c.
///
/// # Errors
///
/// The file is wrong, or the server refuses a commit. A server that is away is waited for.
pub async fn run(args: ReplayArgs) -> Result<End, ReplayError> {
    let client = Client::new(args.url.clone(), args.ca.as_deref(), args.token.expose())?;
    let (progress, mut commits) = stream::read(&args.file)?;
    let mut replay = Replay {
        client,
        pace: Pace::new(args.speed),
        bar: Bar::new(progress),
        was_limited: false,
        sent: Sent::default(),
        interrupts: Signal::listen(Kind::Interrupt).map_err(ReplayError::Signals)?,
        from: args.from,
        skipped: Skipped::default(),
        put_back: None,
        args,
    };
    let outcome = replay.all(&mut commits).await;
    replay.bar.end();
    let summary = match outcome {
        Ok(End::Whole) if replay.sent.commits == 0 => replay.nothing(),
        _ => replay.sent.to_string(),
    };
    // Whoever closed our output does not want it.
    let _ = writeln!(std::io::stdout(), "{summary}");
    outcome
}

/// So many commits are sent together, and about so many bytes of them.
const TOGETHER: usize = 256;
const TOGETHER_BYTES: usize = 1 << 20;

/// How long is waited where there were too many requests: by then there is room for as many as a second allows.
const LIMITED: Duration = Duration::from_secs(1);

struct Replay {
    args: ReplayArgs,
    client: Client,
    pace: Pace,
    bar: Bar,
    sent: Sent,
    interrupts: Signal,
    /// Where to begin, until that was found.
    from: Option<From>,
    skipped: Skipped,
    /// Read, and not due yet.
    put_back: Option<Result<Commit, FileError>>,
    /// Whether the server has said that there are too many requests.
    was_limited: bool,
}

/// The commits before the one to begin with.
#[derive(Debug, Default)]
struct Skipped {
    commits: u64,
    last_line: u64,
    last_at: Option<Timestamp>,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    Quit,
}

type Commits = tokio::sync::mpsc::Receiver<Result<Commit, FileError>>;

impl Replay {
    async fn all(&mut self, commits: &mut Commits) -> Result<End, ReplayError> {
        loop {
            if self.args.limit.is_some_and(|limit| self.sent.commits >= limit) {
                return Ok(End::Whole);
            }
            let commit = match self.put_back.take() {
                Some(commit) => Some(commit),
                None => tokio::select! {
                    commit = commits.recv() => commit,
                    () = self.interrupts.next() => return Ok(self.stop()),
                },
            };
            let Some(commit) = commit.transpose()? else { return Ok(End::Whole) };
            if self.is_before_start(&commit) {
                self.skipped.commits += 1;
                self.skipped.last_line = commit.line;
                self.skipped.last_at = commit.at.or(self.skipped.last_at);
                continue;
            }
            self.from = None;
            if self.wait_for(&commit).await == Next::Quit {
                return Ok(self.stop());
            }
            let due = self.all_due(commit, commits);
            if self.send(due).await? == Next::Quit {
                return Ok(self.stop());
            }
        }
    }

    /// A commit that is due, and those behind it that are there and due as well.
    fn all_due(&mut self, first: Commit, commits: &mut Commits) -> VecDeque<Commit> {
        let mut bytes = first.text.len();
        let mut due = VecDeque::from([first]);
        let left = self.args.limit.map_or(u64::MAX, |limit| limit - self.sent.commits);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(TOGETHER);
        while due.len() < most && bytes < TOGETHER_BYTES {
            match commits.try_recv() {
                Ok(Ok(commit)) if commit.at.is_none_or(|at| self.pace.left(at).is_none()) => {
                    bytes += commit.text.len();
                    due.push_back(commit);
                }
                Ok(later) => {
                    self.put_back = Some(later);
                    break;
                }
                Err(_) => break,
            }
        }
        due
    }

    fn stop(&mut self) -> End {
        self.sent.is_partial = true;
        End::Interrupted
    }

    fn is_before_start(&self, commit: &Commit) -> bool {
        match self.from {
            None => false,
            Some(From::Line(line)) => commit.line < line,
            Some(From::At(moment)) => commit.at.is_none_or(|at| at < moment),
        }
    }

    /// Why there was nothing to replay.
    fn nothing(&self) -> String {
        let Skipped { commits, last_line, last_at } = &self.skipped;
        let file = self.args.file.display();
        let (from, last) = match (self.args.from, last_at) {
            _ if *commits == 0 => return format!("nothing to replay: there are no commits in {file}"),
            (Some(From::At(moment)), Some(at)) => (format!("at or after {moment}"), format!("at {at}")),
            (Some(From::At(moment)), None) => (format!("at or after {moment}"), "without a time".into()),
            (Some(From::Line(line)), _) => (format!("from line {line} on"), format!("in line {last_line}")),
            (None, _) => ("left".into(), format!("in line {last_line}")),
        };
        let commits = counted(*commits, "commit");
        format!("nothing to replay: {file} has {commits}, none of them {from}; the last is {last}")
    }

    /// Waits until the commit is due.
    async fn wait_for(&mut self, commit: &Commit) -> Next {
        while let Some(left) = commit.at.and_then(|at| self.pace.left(at)) {
            // A long wait is shown.
            self.bar.show(&self.sent, &self.pace);
            if self.sleep(left.min(Duration::from_secs(1))).await == Next::Quit {
                return Next::Quit;
            }
        }
        Next::GoOn
    }

    /// Sleeps, unless ctrl-c is pressed.
    async fn sleep(&mut self, time: Duration) -> Next {
        tokio::select! {
            () = tokio::time::sleep(time) => Next::GoOn,
            () = self.interrupts.next() => Next::Quit,
        }
    }

    /// Sends commits once. What was begun is finished, even if ctrl-c is pressed meanwhile; whether it
    /// was is returned too. The second ctrl-c waits no longer.
    async fn attempt(&mut self, commits: &VecDeque<Commit>) -> (Outcome, bool) {
        let mut lines = Vec::with_capacity(commits.iter().map(|commit| commit.text.len() + 1).sum());
        for commit in commits {
            lines.extend_from_slice(&commit.text);
            lines.push(b'\n');
        }
        let mut sending = std::pin::pin!(self.client.post_lines("/batch", lines.into()));
        tokio::select! {
            outcome = &mut sending => return (outcome, false),
            () = self.interrupts.next() => {}
        }
        self.bar.say("finishing what was begun; ctrl-c again stops at once");
        tokio::select! {
            outcome = &mut sending => (outcome, true),
            () = self.interrupts.next() => (Outcome::Unanswered("stopped".into()), true),
        }
    }

    /// Sends commits until all are answered.
    async fn send(&mut self, mut commits: VecDeque<Commit>) -> Result<Next, ReplayError> {
        let mut backoff = Backoff::default();
        loop {
            let (outcome, is_interrupted) = self.attempt(&commits).await;
            if let Outcome::Answered(_, answer) = &outcome {
                self.sent.count(&mut commits, answer);
                self.bar.show(&self.sent, &self.pace);
            }
            let Some(first) = commits.front() else {
                return Ok(if is_interrupted { Next::Quit } else { Next::GoOn });
            };
            let pause = match outcome {
                Outcome::Answered(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, _)
                | Outcome::NotSent(_)
                    if is_interrupted =>
                {
                    return Ok(Next::Quit);
                }
                Outcome::Answered(StatusCode::TOO_MANY_REQUESTS, _) => {
                    if !std::mem::replace(&mut self.was_limited, true) {
                        self.bar.say(&format!(
                            "{} takes only so many requests a second: it goes on more slowly",
                            self.args.url
                        ));
                    }
                    LIMITED
                }
                Outcome::Answered(StatusCode::SERVICE_UNAVAILABLE, _) => {
                    let pause = backoff.next();
                    self.bar.say(&format!("{} is overloaded; again in {pause:.1?}", self.args.url));
                    pause
                }
                Outcome::Answered(status, answer) => {
                    return Err(ReplayError::Refused {
                        file: self.args.file.clone(),
                        line: first.line,
                        status,
                        message: refusal(&answer),
                    });
                }
                Outcome::Impossible(problem) => {
                    let (url, problem) = (self.args.url.to_string(), terminal::message(&problem));
                    return Err(ReplayError::NoServer { url, problem });
                }
                Outcome::Unanswered(error) if is_interrupted => {
                    let lines = lines(&commits);
                    self.bar
                        .say(&format!("{lines} sent and not answered ({error}): it may have been applied"));
                    return Ok(Next::Quit);
                }
                Outcome::NotSent(error) => {
                    let pause = backoff.next();
                    self.bar
                        .say(&format!("no connection to {}: {error}; again in {pause:.1?}", self.args.url));
                    pause
                }
                Outcome::Unanswered(error) => {
                    let pause = backoff.next();
                    self.sent.repeated += commits.len() as u64;
                    let lines = lines(&commits);
                    self.bar.say(&format!(
                        "{lines} sent and not answered ({error}): it may have been applied. It is sent again in \
                         {pause:.1?}; applying it twice leaves the same data"
                    ));
                    pause
                }
            };
            self.pace.pause();
            let next = self.sleep(pause).await;
            self.pace.go_on();
            if next == Next::Quit {
                return Ok(Next::Quit);
            }
        }
    }
}

fn refusal(answer: &[u8]) -> String {
    match client::refusal(answer) {
        Some(refusal) => terminal::message(&refusal),
        None => terminal::cell(&String::from_utf8_lossy(answer), 200),
    }
}

/// `line 3 was`, `lines 3 to 7 were`.
fn lines(commits: &VecDeque<Commit>) -> String {
    let (first, last) = (commits.front().map_or(0, |it| it.line), commits.back().map_or(0, |it| it.line));
    match first == last {
        true => format!("line {first} was"),
        false => format!("lines {first} to {last} were"),
    }
}

/// `1 commit`, `2 commits`.
fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What was sent so far. Shown as the summary.
#[derive(Debug, Default)]
struct Sent {
    commits: u64,
    ops: u64,
    changed: u64,
    repeated: u64,
    last_line: u64,
    last: Option<Timestamp>,
    started: Option<Clock>,
    is_partial: bool,
}

impl Sent {
    /// Takes those out that were applied, as the answer says.
    fn count(&mut self, commits: &mut VecDeque<Commit>, answer: &[u8]) {
        let answer = client::object(answer);
        let number = |field| match answer.as_ref().and_then(|answer| answer.field(field)) {
            Some(Value::Number(Number::Int(number))) => number.unsigned_abs(),
            _ => 0,
        };
        let applied = usize::try_from(number("applied")).unwrap_or(usize::MAX).min(commits.len());
        if applied > 0 {
            self.started.get_or_insert_with(Clock::now);
            self.changed += number("changed");
        }
        for commit in commits.drain(..applied) {
            self.commits += 1;
            self.ops += commit.ops;
            self.last_line = commit.line;
            self.last = commit.at.or(self.last);
        }
    }

    fn elapsed(&self) -> Duration {
        self.started.map(|started| started.elapsed()).unwrap_or_default()
    }

    fn rate(&self) -> f64 {
        self.commits as f64 / self.elapsed().as_secs_f64().max(0.001)
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_partial { "stopped after" } else { "replayed" };
        let [commits, operations, nodes] =
            [(self.commits, "commit"), (self.ops, "operation"), (self.changed, "node")]
                .map(|(count, what)| counted(count, what));
        write!(f, "{what} {commits}, {operations}, {nodes} changed in {:.1?}", self.elapsed())?;
        if self.commits > 0 {
            write!(f, " ({:.0} commits/s)", self.rate())?;
        }
        if self.repeated > 0 {
            write!(f, "; sent again because no answer came: {}", self.repeated)?;
        }
        if self.is_partial && self.commits > 0 {
            write!(f, "; --from {} goes on", self.last_line + 1)?;
        }
        Ok(())
    }
}

/// The progress bar; nothing where standard error is no terminal.
struct Bar {
    bar: ProgressBar,
    progress: Progress,
}

impl Bar {
    fn new(progress: Progress) -> Bar {
        let bar = match progress.size {
            Some(size) => {
                ProgressBar::new(size).with_style(style("{elapsed_precise} [{bar:30}] {percent:>3}% {msg}"))
            }
            None => ProgressBar::new_spinner().with_style(style("{elapsed_precise} {spinner} {msg}")),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        Bar { bar, progress }
    }

    fn show(&self, sent: &Sent, pace: &Pace) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_position(self.progress.read());
        let at = sent.last.map(|at| format!(" · {at}")).unwrap_or_default();
        let pace = pace.times().map(|times| format!(" · {times}×")).unwrap_or_default();
        self.bar.set_message(format!("{} commits · {:.0}/s{at}{pace}", sent.commits, sent.rate()));
    }

    /// A line that stays.
    fn say(&self, text: &str) {
        let text = terminal::message(text);
        match self.bar.is_hidden() {
            true => {
                let _ = writeln!(std::io::stderr(), "{text}");
            }
            false => self.bar.println(text),
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are written above.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_and_starts_are_read() {
        for (text, speed) in [
            ("max", Speed::Max),
            ("0", Speed::Max),
            ("60", Speed::Times(60.0)),
            ("0.5", Speed::Times(0.5)),
            ("10x", Speed::Times(10.0)),
        ] {
            assert_eq!(text.parse(), Ok(speed));
        }
        for wrong in ["", "-1", "fast", "inf", "NaN"] {
            assert!(wrong.parse::<Speed>().is_err(), "{wrong}");
        }
        assert_eq!("7".parse(), Ok(From::Line(7)));
        assert!(matches!("2013-01-01".parse(), Ok(From::At(_))));
        assert!("soon".parse::<From>().is_err());
    }
}
