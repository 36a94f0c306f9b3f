//! Checksums of what the file holds.
//!
//! SipHash-1-3 under a fixed key: 64 bits, a published algorithm that any program can repeat, and a crate that the engine has already.
//! The file keeps the checksum of each row, and, with each commit, the sum of those of all rows. So a row that was altered is found,
//! and so is one that went missing or came back.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// The checksum of one row.
pub(crate) fn of_row(set: &str, id: &str, json: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    for part in [set, id] {
        hasher.write(&(part.len() as u64).to_le_bytes());
        hasher.write(part.as_bytes());
    }
    hasher.write(json.as_bytes());
    hasher.finish()
}

/// The checksum of some texts and numbers.
pub(crate) fn of_parts(texts: &[&str], numbers: &[u64]) -> u64 {
    let mut hasher = SipHasher13::new();
    for text in texts {
        hasher.write(&(text.len() as u64).to_le_bytes());
        hasher.write(text.as_bytes());
    }
    for number in numbers {
        hasher.write(&number.to_le_bytes());
    }
    hasher.finish()
}

/// How many rows there are, and the sum of their checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) rows: u64,
    pub(crate) sum: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, checksum: u64) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(checksum);
    }

    pub(crate) fn take(&mut self, checksum: u64) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(checksum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_moves_from_one_part_of_a_row_to_the_next() {
        assert_ne!(of_row("ab", "c", "{}"), of_row("a", "bc", "{}"));
        assert_ne!(of_row("a", "b{", "}"), of_row("a", "b", "{}"));
    }

    /// What other programs, and other versions of this one, have to arrive at.
    #[test]
    fn checksums_stay_what_they_are() {
        assert_eq!(of_row("orders", "7", r#"{"id":7}"#), 12_101_257_000_602_474_738);
        assert_eq!(of_parts(&["identity"], &[1, 2]), 418_842_363_077_564_600);
    }
}
