//! What SQLite's write-ahead log ends with, looked at before SQLite does: it takes the whole commits of a log, and says nothing of what
//! follows them. The form of a log is part of SQLite's [file format](https://www.sqlite.org/fileformat2.html#walformat).

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// What follows the last whole commit of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rest {
    /// Nothing: the log was left between two commits, or there is none.
    Nothing,
    /// A part of a commit: its process was stopped, or the log was cut.
    Part,
    /// The ends of commits that cannot be read any more: they were altered, or their pages came to the disk in another order.
    Commits,
}

/// Reads a log. Costs a pass over it; [`Store`](crate::Store) keeps it to some megabytes.
pub(crate) fn rest(path: &Path) -> io::Result<Rest> {
    let mut log = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Rest::Nothing),
        Err(error) => return Err(error),
    };
    let mut header = [0; 32];
    match fill(&mut log, &mut header)? {
        0 => return Ok(Rest::Nothing),
        32 => {}
        _ => return Ok(Rest::Part),
    }
    let word = |bytes: &[u8], at: usize| {
        u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    };
    let is_big_endian = header[3] & 1 == 1;
    let mut sum = Sum { words: [0, 0], is_big_endian };
    sum.add(&header[..24]);
    let page_bytes = word(&header, 8) as usize;
    let is_whole = word(&header, 0) & !1 == MAGIC && sum.words == [word(&header, 24), word(&header, 28)];
    if !is_whole || !(512..=65_536).contains(&page_bytes) {
        // SQLite takes nothing of such a log.
        let follows = log.read(&mut [0])? > 0;
        return Ok(if follows { Rest::Commits } else { Rest::Part });
    }

    let mut rest = Rest::Nothing;
    let mut is_chained = true;
    let mut frame = vec![0; FRAME_HEADER + page_bytes];
    loop {
        let filled = fill(&mut log, &mut frame)?;
        if filled < frame.len() {
            // Frames of an earlier round, over which the log was begun again, have other salts.
            let is_of_this_round = filled > 0 && (filled < 16 || frame[8..16] == header[16..24]);
            return Ok(if is_of_this_round { rest.max(Rest::Part) } else { rest });
        }
        if frame[8..16] != header[16..24] {
            is_chained = false;
            continue;
        }
        if is_chained {
            sum.add(&frame[..8]);
            sum.add(&frame[FRAME_HEADER..]);
            is_chained = sum.words == [word(&frame, 16), word(&frame, 20)];
        }
        let is_end_of_commit = word(&frame, 4) != 0;
        rest = match (is_chained, is_end_of_commit) {
            (true, true) => Rest::Nothing,
            (false, true) => Rest::Commits,
            (_, false) => rest.max(Rest::Part),
        };
    }
}

/// Reads as much as there is.
fn fill(log: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match log.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The checksum of a log up to here.
struct Sum {
    words: [u32; 2],
    is_big_endian: bool,
}

impl Sum {
    /// Adds some bytes, eight at a time.
    fn add(&mut self, bytes: &[u8]) {
        let word = if self.is_big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
        let [mut first, mut second] = self.words;
        for pair in bytes.as_chunks::<8>().0 {
            let [a, b, c, d, e, f, g, h] = *pair;
            first = first.wrapping_add(word([a, b, c, d])).wrapping_add(second);
            second = second.wrapping_add(word([e, f, g, h])).wrapping_add(first);
        }
        self.words = [first, second];
    }
}

const MAGIC: u32 = 0x377f_0682;
const FRAME_HEADER: usize = 24;
