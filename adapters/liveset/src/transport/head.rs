//! The head of a frame, as a client sends it.

use super::Fault;

/// The longest body of a control frame (RFC 6455, 5.5).
const MAX_CONTROL_BYTES: u64 = 125;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    pub(crate) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The head of a frame; its payload follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) fin: bool,
    /// None where it is a reserved one.
    pub(crate) opcode: Option<Opcode>,
    pub(crate) mask: [u8; 4],
    pub(crate) payload_bytes: u64,
    /// How many bytes the head itself has.
    pub(crate) bytes: usize,
    /// The rule that it breaks.
    pub(crate) fault: Option<Fault>,
}

impl Head {
    /// Reads the head that `bytes` begin with; `None` where it is not whole yet. Where a rule is broken the length is
    /// read all the same: the frames behind it can be found.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (&[first, second], rest) = bytes.split_first_chunk()?;
        let (payload_bytes, rest, smallest) = match second & 0x7f {
            126 => {
                let (len, rest) = rest.split_first_chunk()?;
                (u64::from(u16::from_be_bytes(*len)), rest, 126)
            }
            127 => {
                let (len, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*len), rest, 1 << 16)
            }
            len => (u64::from(len), rest, 0),
        };
        let is_masked = second & 0x80 != 0;
        let (mask, rest) = if is_masked {
            let (mask, rest) = rest.split_first_chunk()?;
            (*mask, rest)
        } else {
            ([0; 4], rest)
        };
        let fin = first & 0x80 != 0;
        let opcode = match first & 0x0f {
            0 => Some(Opcode::Continuation),
            1 => Some(Opcode::Text),
            2 => Some(Opcode::Binary),
            8 => Some(Opcode::Close),
            9 => Some(Opcode::Ping),
            10 => Some(Opcode::Pong),
            _ => None,
        };
        let is_sound = is_masked
            && first & 0x70 == 0
            // "The minimal number of bytes MUST be used", and the most significant bit is 0.
            && (smallest..1 << 63).contains(&payload_bytes)
            && opcode.is_some_and(|opcode| {
                !opcode.is_control() || (fin && payload_bytes <= MAX_CONTROL_BYTES)
            });
        let fault = (!is_sound).then_some(Fault::Protocol);
        Some(Self { fin, opcode, mask, payload_bytes, bytes: bytes.len() - rest.len(), fault })
    }
}

/// Takes the mask off the bytes of a payload from `at` on.
pub(crate) fn unmask(bytes: &mut [u8], mut mask: [u8; 4], at: usize) {
    mask.rotate_left(at % 4);
    fastwebsockets::unmask(bytes, mask);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(fin: bool, opcode: Opcode, mask: [u8; 4], payload_bytes: u64, bytes: usize) -> Option<Head> {
        Some(Head { fin, opcode: Some(opcode), mask, payload_bytes, bytes, fault: None })
    }

    #[test]
    fn lengths_in_all_three_forms() {
        let mask = [1, 2, 3, 4];
        let head = |bytes: &[u8]| Head::read(bytes);
        assert_eq!(head(&[0x81, 0x85, 1, 2, 3, 4, 9]), sound(true, Opcode::Text, mask, 5, 6));
        assert_eq!(head(&[0x02, 0xfe, 0, 126, 1, 2, 3, 4]), sound(false, Opcode::Binary, mask, 126, 8));
        let long = [0x80, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4];
        assert_eq!(head(&long), sound(true, Opcode::Continuation, mask, 65_536, 14));
        for end in 0..long.len() {
            assert_eq!(head(&long[..end]), None, "{end}");
        }
        assert_eq!(head(&[0x8a, 0xfd, 1, 2, 3, 4]), sound(true, Opcode::Pong, mask, 125, 6));
    }

    #[test]
    fn what_breaks_a_rule_can_still_be_skipped() {
        for (bytes, payload_bytes) in [
            (&[0x81, 0x05][..], 5),                                            // no mask
            (&[0xc1, 0x80, 0, 0, 0, 0], 0),                                    // reserved bits
            (&[0x91, 0x80, 0, 0, 0, 0], 0),                                    //
            (&[0x83, 0x81, 0, 0, 0, 0], 1),                                    // reserved opcodes
            (&[0x8b, 0x81, 0, 0, 0, 0], 1),                                    //
            (&[0x09, 0x80, 0, 0, 0, 0], 0),                                    // a control frame in fragments
            (&[0x89, 0xfe, 0, 126, 0, 0, 0, 0], 126),                          // one that is too long
            (&[0x81, 0xfe, 0, 125, 0, 0, 0, 0], 125),                          // a length with bytes to spare
            (&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0], 0xffff), //
            (&[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1 << 63),   // more than may be
        ] {
            let head = Head::read(bytes).unwrap();
            assert_eq!(head.fault, Some(Fault::Protocol), "{bytes:x?}");
            assert_eq!((head.payload_bytes, head.bytes), (payload_bytes, bytes.len()), "{bytes:x?}");
        }
    }

    #[test]
    fn a_mask_comes_off_in_pieces() {
        let mask = [0x12, 0x34, 0x56, 0x78];
        let text = b"a payload of some length";
        let masked: Vec<u8> = text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        for cut in 0..text.len() {
            let mut bytes = masked.clone();
            let (first, second) = bytes.split_at_mut(cut);
            unmask(first, mask, 0);
            unmask(second, mask, cut);
            assert_eq!(bytes, text, "cut at {cut}");
        }
    }
}
