//! Files of one JSON value a line, plain or gzipped by name (`.gz`), in UTF-8 without a byte order mark. What JSON is taken is said
//! by [`liveset_engine::json`].

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use crate::terminal::cell;

/// The longest line that is read, in bytes without its line end. A longer one is an error rather than a full memory.
pub const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// Something is wrong with a file, at a line.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {message}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct FileError {
    /// The file, as it was opened.
    pub file: PathBuf,
    /// The line, from 1; nothing where the file as a whole is meant.
    pub line: Option<u64>,
    /// What is wrong.
    pub message: String,
}

/// Reads lines, skipping blank ones. The reader blocks: run it where that is allowed.
pub struct Lines {
    file: PathBuf,
    input: BufReader<Box<dyn Read + Send>>,
    buffer: Vec<u8>,
    line: u64,
    max_line_bytes: usize,
    progress: Progress,
}

/// How far a file was read, shared with whoever shows it.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    read: Arc<AtomicU64>,
    /// The size of the file in bytes, compressed as it is; nothing where it has none (standard input).
    pub size: Option<u64>,
}

impl Progress {
    /// Bytes of the file that were read, compressed as they are.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("file", &self.file).field("line", &self.line).finish_non_exhaustive()
    }
}

impl Lines {
    /// Opens a file; `-` is standard input, plain.
    ///
    /// # Errors
    ///
    /// The file cannot be opened.
    pub fn open(file: &Path) -> Result<Lines, FileError> {
        let mut progress = Progress::default();
        if file == Path::new("-") {
            return Ok(Lines::over(file, Box::new(std::io::stdin()), progress));
        }
        let opened = File::open(file).map_err(|error| FileError {
            file: file.into(),
            line: None,
            message: error.to_string(),
        })?;
        progress.size = opened.metadata().ok().filter(|data| data.is_file()).map(|data| data.len());
        let opened = Counted { inner: opened, read: Arc::clone(&progress.read) };
        Ok(Lines::named(file, opened, progress))
    }

    /// Reads what a file of this name would hold: its extension says whether it is gzip.
    pub fn read(file: &Path, input: impl Read + Send + 'static) -> Lines {
        Lines::named(file, input, Progress::default())
    }

    /// Sets how long a line may be, in bytes without its line end; [`MAX_LINE_BYTES`] is the default.
    pub fn max_line_bytes(self, max_line_bytes: usize) -> Lines {
        Lines { max_line_bytes, ..self }
    }

    fn named(file: &Path, opened: impl Read + Send + 'static, progress: Progress) -> Lines {
        match file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz")) {
            true => Lines::over(file, Box::new(MultiGzDecoder::new(opened)), progress),
            false => Lines::over(file, Box::new(opened), progress),
        }
    }

    fn over(file: &Path, input: Box<dyn Read + Send>, progress: Progress) -> Lines {
        let input = BufReader::with_capacity(128 * 1024, input);
        let max_line_bytes = MAX_LINE_BYTES;
        Lines { file: file.into(), input, buffer: Vec::new(), line: 0, max_line_bytes, progress }
    }

    /// The room that is taken for a line.
    pub fn held_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// How far the file was read; a clone keeps telling.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// The next line that is not blank, with its number from 1 and without its line end; nothing at the end
    /// of the file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is not gzip where its name says so, or a line is too long.
    pub fn next_line(&mut self) -> Result<Option<(u64, &[u8])>, FileError> {
        loop {
            self.buffer.clear();
            // With its line end, which is up to two bytes.
            let limit = self.max_line_bytes as u64 + 2;
            let read = (&mut self.input).take(limit).read_until(b'\n', &mut self.buffer);
            match read {
                Ok(0) => return Ok(None),
                Ok(_) => self.line += 1,
                Err(error) => {
                    self.line += 1;
                    return Err(self.wrong(format!("cannot be read: {error}")));
                }
            }
            let line = match self.buffer.strip_suffix(b"\n") {
                Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
                None => &self.buffer,
            };
            if line.len() > self.max_line_bytes {
                return Err(self.wrong(format!("the line is longer than {} bytes", self.max_line_bytes)));
            }
            if self.line == 1 && self.buffer.starts_with(b"\xef\xbb\xbf") {
                return Err(self.wrong("the file begins with a byte order mark, which JSON does not have"));
            }
            if !trimmed(&self.buffer).is_empty() {
                break;
            }
        }
        Ok(Some((self.line, trimmed(&self.buffer))))
    }

    /// An error of the line that was read last.
    pub fn wrong(&self, message: impl AsRef<str>) -> FileError {
        self.wrong_at(self.line, message)
    }

    /// An error of an earlier line. The message may quote the line: what would steer a terminal, or begin another line of a
    /// log, is taken out.
    pub fn wrong_at(&self, line: u64, message: impl AsRef<str>) -> FileError {
        let message = cell(message.as_ref(), usize::MAX);
        FileError { file: self.file.clone(), line: Some(line), message }
    }
}

/// Without the white space of JSON at both ends; other white space is no part of JSON.
fn trimmed(mut line: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] | [rest @ .., b' ' | b'\t' | b'\n' | b'\r'] = line {
        line = rest;
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_are_numbered_and_blank_ones_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ndjson");
        std::fs::write(&path, b"{}\r\n\n  \n[1]\n2\x0c").unwrap();
        let mut lines = Lines::open(&path).unwrap();
        assert_eq!(lines.next_line().unwrap(), Some((1, &b"{}"[..])));
        assert_eq!(lines.next_line().unwrap(), Some((4, &b"[1]"[..])));
        assert_eq!(lines.next_line().unwrap(), Some((5, &b"2\x0c"[..])));
        assert_eq!(lines.next_line().unwrap(), None);

        std::fs::write(&path, b"\xef\xbb\xbf{}").unwrap();
        let error = Lines::open(&path).unwrap().next_line().unwrap_err().to_string();
        assert!(
            error.ends_with("a.ndjson:1: the file begins with a byte order mark, which JSON does not have"),
            "{error}"
        );
    }

    #[test]
    fn the_limit_of_a_line_is_without_its_end() {
        for end in ["", "\n", "\r\n"] {
            let read = |bytes: usize| {
                let line = format!("{}{end}", "1".repeat(bytes)).into_bytes();
                let lines = Lines::read(Path::new("a"), std::io::Cursor::new(line));
                Lines { max_line_bytes: 5, ..lines }.next_line().map(|line| line.map(|(_, text)| text.len()))
            };
            assert_eq!(read(5).unwrap(), Some(5), "{end:?}");
            assert!(read(6).is_err() && read(7).is_err() && read(70).is_err(), "{end:?}");
        }
    }

    #[test]
    fn gzip_is_read_by_name_and_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ndjson.gz");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"1\n2\n").unwrap();
        std::fs::write(&path, gzip.finish().unwrap()).unwrap();
        let mut lines = Lines::open(&path).unwrap();
        assert_eq!(lines.next_line().unwrap(), Some((1, &b"1"[..])));
        assert_eq!(lines.next_line().unwrap(), Some((2, &b"2"[..])));
        assert_eq!(lines.next_line().unwrap(), None);

        std::fs::write(&path, b"1\n2\n").unwrap();
        let error = Lines::open(&path).unwrap().next_line().unwrap_err().to_string();
        assert!(error.contains("a.ndjson.gz:1: cannot be read"), "{error}");
    }
}
