//! What a set holds at start: a file of nodes, or of commits, a line each.

use bytes::Bytes;
use liveset::{CommitError, Liveset};
use liveset_engine::Op;

use crate::changes::{Changes, looks_like_commit};
use crate::config::SetConfig;
use crate::ndjson::{FileError, Lines};

/// So many nodes are put in with one commit.
const NODES_PER_COMMIT: usize = 1_000;

/// What was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Lines that were a node.
    pub nodes: u64,
    /// Lines that were a commit.
    pub commits: u64,
}

/// Fills a set from its file, if it names one. A line is a node of this set, or a commit of any set (an
/// object of `ops` and perhaps `at`, and nothing else). Blocks while it reads.
///
/// # Errors
///
/// The file or a line of it is wrong. Of what stands before that line some may have been put in, in whole commits.
pub fn load(liveset: &Liveset, set: &SetConfig) -> Result<Loaded, FileError> {
    let Some(file) = &set.load else { return Ok(Loaded::default()) };
    load_lines(liveset, &set.name, &mut Lines::open(file)?, NODES_PER_COMMIT)
}

/// Fills a set from lines, so many nodes in each commit.
///
/// # Errors
///
/// Like [`load`].
pub fn load_lines(
    liveset: &Liveset,
    set: &str,
    lines: &mut Lines,
    nodes_per_commit: usize,
) -> Result<Loaded, FileError> {
    let mut loaded = Loaded::default();
    let mut nodes = Nodes { set, ops: Vec::new(), lines: Vec::new() };
    while let Some((number, text)) = lines.next_line()? {
        let text = Bytes::copy_from_slice(text);
        if looks_like_commit(&text) {
            let changes = Changes::parse(&text).map_err(|error| lines.wrong_at(number, error.to_string()))?;
            nodes.commit(liveset, lines)?;
            commit(liveset, changes).map_err(|error| lines.wrong(error.to_string()))?;
            loaded.commits += 1;
        } else {
            nodes.push(number, text);
            loaded.nodes += 1;
            if nodes.ops.len() >= nodes_per_commit {
                nodes.commit(liveset, lines)?;
            }
        }
    }
    nodes.commit(liveset, lines)?;
    Ok(loaded)
}

fn commit(liveset: &Liveset, mut changes: Changes) -> Result<liveset::Committed, CommitError> {
    liveset.at(changes.at).commit(|tx| tx.extend(std::mem::take(&mut changes.ops)))
}

/// Nodes that wait for their commit, and the lines where they stand.
struct Nodes<'s> {
    set: &'s str,
    ops: Vec<Op>,
    lines: Vec<u64>,
}

impl Nodes<'_> {
    fn push(&mut self, line: u64, node: Bytes) {
        self.ops.push(Op::Upsert { set: self.set.into(), node });
        self.lines.push(line);
    }

    fn commit(&mut self, liveset: &Liveset, file: &Lines) -> Result<(), FileError> {
        if self.ops.is_empty() {
            return Ok(());
        }
        let lines = std::mem::take(&mut self.lines);
        let changes = Changes { at: None, ops: std::mem::take(&mut self.ops) };
        match commit(liveset, changes) {
            Ok(_) => Ok(()),
            // The operation is the line: say only what is wrong with it.
            Err(CommitError::Refused(error)) => {
                let line = lines.get(error.index).copied().unwrap_or_default();
                Err(file.wrong_at(line, error.problem.to_string()))
            }
            Err(error) => Err(file.wrong_at(lines.first().copied().unwrap_or_default(), error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says_cannot_steer_the_terminal_that_shows_its_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.ndjson");
        let liveset = Liveset::builder().set(liveset::SetDef::new("s")).build().unwrap();
        for line in [
            r#"{"ops":[{"op":"upsert","set":"s","\u001b[2J\nx":{}}]}"#,
            r#"{"ops":[{"op":"remove","set":"\u001b[2J\nx","id":1}]}"#,
            r#"{"ops":[],"at":"\u001b[2J\nx"}"#,
            r#"{"id":"1","\u001b[2J\nx":1e400}"#,
        ] {
            std::fs::write(&file, line).unwrap();
            let error = load_lines(&liveset, "s", &mut Lines::open(&file).unwrap(), 1).unwrap_err();
            let text = error.to_string();
            assert!(!text.contains(char::is_control) && text.contains("[2J"), "{text:?}");
        }
    }
}
