//! UTF-8 that arrives in pieces, and may be cut inside a character.

/// Checks a stream of bytes for UTF-8, piece by piece, keeping at most three bytes between two pieces.
#[derive(Debug, Default)]
pub(crate) struct Utf8Check {
    tail: [u8; 4],
    tail_len: usize,
}

/// The bytes are not UTF-8, whatever may follow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotUtf8;

impl Utf8Check {
    /// Takes the next piece. Fails as soon as no continuation could make the text valid.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> Result<(), NotUtf8> {
        // First finish the character that the last piece was cut in.
        while self.tail_len > 0 {
            let Some((first, rest)) = piece.split_first() else {
                return Ok(());
            };
            // A character has at most four bytes, and four are judged before a fifth could come.
            let Some(slot) = self.tail.get_mut(self.tail_len) else {
                return Err(NotUtf8);
            };
            *slot = *first;
            self.tail_len += 1;
            piece = rest;
            match std::str::from_utf8(&self.tail[..self.tail_len]) {
                Ok(_) => self.tail_len = 0,
                Err(error) if error.error_len().is_some() => return Err(NotUtf8),
                Err(_) => {}
            }
        }
        match std::str::from_utf8(piece) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(NotUtf8),
            Err(error) => {
                let cut = &piece[error.valid_up_to()..];
                self.tail[..cut.len()].copy_from_slice(cut);
                self.tail_len = cut.len();
                Ok(())
            }
        }
    }

    /// Ends the text: it must not end inside a character.
    pub(crate) fn finish(&mut self) -> Result<(), NotUtf8> {
        let cut = std::mem::take(&mut self.tail_len) > 0;
        if cut { Err(NotUtf8) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]]) -> Result<(), NotUtf8> {
        let mut check = Utf8Check::default();
        for piece in pieces {
            check.push(piece)?;
        }
        check.finish()
    }

    #[test]
    fn agrees_with_std_however_the_text_is_cut() {
        let samples: &[&[u8]] = &[
            b"",
            b"plain",
            "åäö € 𝄞 \u{10FFFF}".as_bytes(),
            b"\xff",
            b"\xc0\x80",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"a\xe2\x82",
            b"\xf0\x9d\x84",
            b"\xe2\x28\xa1",
            b"\x80",
        ];
        for sample in samples {
            let expected = std::str::from_utf8(sample).is_ok();
            for first in 0..=sample.len() {
                for second in first..=sample.len() {
                    let pieces = [&sample[..first], &sample[first..second], &sample[second..]];
                    assert_eq!(check(&pieces).is_ok(), expected, "{sample:x?} cut at {first}, {second}");
                }
            }
            let bytes: Vec<&[u8]> = sample.chunks(1).collect();
            assert_eq!(check(&bytes).is_ok(), expected, "{sample:x?} byte by byte");
        }
    }

    #[test]
    fn fails_before_the_end_where_nothing_can_help() {
        let mut check = Utf8Check::default();
        assert_eq!(check.push(b"\xf4"), Ok(()));
        assert_eq!(check.push(b"\x90"), Err(NotUtf8));
    }
}
