//! What came of the rows, as a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::ROWS;

/// The name of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row(pub &'static str);

/// A line of the table: a row that came out as it should.
#[derive(Debug)]
pub struct Line {
    pub row: Row,
    pub done: String,
    pub came_back: String,
    pub metric: String,
    pub log: String,
    pub bystander: String,
    pub memory: String,
}

impl Line {
    /// One row may take several servers.
    pub fn and(mut self, other: Line) -> Line {
        assert_eq!(self.row, other.row);
        for (text, more) in [
            (&mut self.done, other.done),
            (&mut self.came_back, other.came_back),
            (&mut self.metric, other.metric),
            (&mut self.log, other.log),
            (&mut self.bystander, other.bystander),
            (&mut self.memory, other.memory),
        ] {
            let _ = write!(text, "<br>{more}");
        }
        self
    }

    fn print(&self) -> String {
        let Line { row, done, came_back, metric, log, bystander, memory } = self;
        let cells: [&str; 7] = [row.0, done, came_back, metric, log, bystander, memory];
        format!("| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
    }
}

/// What came of the rows that have ended, by their place.
static ENDED: Mutex<BTreeMap<usize, String>> = Mutex::new(BTreeMap::new());

const HEAD: &str = "| input or fault | what was done | what came back | metric | log | bystander | memory |\n\
                    | --- | --- | --- | --- | --- | --- | --- |\n";

/// Runs a row, and writes the table to `hardening.md`, in which the others stand with what is known of them by then. Once all have ended
/// it is printed too.
pub async fn run(name: &'static str, row: impl Future<Output = Line>) {
    let place = ROWS.iter().position(|row| *row == name).expect("a row of the table");
    let failing = Failing(place);
    write(&ENDED.lock().unwrap_or_else(PoisonError::into_inner));
    let line = row.await;
    assert_eq!(line.row.0, name);
    std::mem::forget(failing);
    end(place, line.print());
}

/// A row that is being run: it has failed, unless it comes to its end.
struct Failing(usize);

impl Drop for Failing {
    fn drop(&mut self) {
        end(self.0, unknown(self.0, "FAILED"));
    }
}

fn unknown(place: usize, what: &str) -> String {
    format!("| {} | {what} | | | | | |", ROWS[place].replace('|', "\\|"))
}

fn end(place: usize, line: String) {
    let mut ended = ENDED.lock().unwrap_or_else(PoisonError::into_inner);
    ended.insert(place, line);
    let (file, table) = write(&ended);
    if ended.len() == ROWS.len() {
        println!("\n{table}\nThis table is in {}.", file.display());
    }
}

fn write(ended: &BTreeMap<usize, String>) -> (PathBuf, String) {
    let line = |place| ended.get(&place).cloned().unwrap_or_else(|| unknown(place, "not run"));
    let table = (0..ROWS.len()).fold(HEAD.to_owned(), |table, place| table + &line(place) + "\n");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hardening.md");
    std::fs::write(&file, &table).expect("the table is written");
    (file, table)
}
