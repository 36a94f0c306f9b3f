//! The first 16 bytes of an encoding, in a register.

use crate::time::Timestamp;
use crate::value::{Number, ValueRef};

/// Ends a list: less than every kind, so that a list comes before the longer ones that begin with it.
pub(super) const END_OF_LIST: u8 = 0;
const NOTHING: u8 = 1;
pub(super) const FALSE: u8 = 2;
pub(super) const TRUE: u8 = 3;
pub(super) const NEGATIVE: u8 = 4;
pub(super) const ZERO: u8 = 5;
pub(super) const POSITIVE: u8 = 6;
pub(super) const INSTANT: u8 = 7;
pub(super) const TEXT: u8 = 8;
pub(super) const LIST: u8 = 9;
const OBJECT: u8 = 10;

/// The first bytes of an encoding, at most 16.
#[derive(Clone, Copy)]
pub(super) struct Head {
    /// The bytes from the left, behind them zeros.
    pub(super) bits: u128,
    /// How many bytes there are.
    pub(super) length: u32,
}

/// What stands behind a text.
pub(super) const END_OF_TEXT: Head = Head { bits: 0, length: 2 };

impl Head {
    pub(super) const CAPACITY: u32 = 16;
    pub(super) const EMPTY: Head = Head { bits: 0, length: 0 };

    pub(super) fn of_kind(kind: u8) -> Head {
        Head { bits: u128::from(kind) << 120, length: 1 }
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Head {
        let length = bytes.len().min(16);
        let mut padded = [0; 16];
        padded[..length].copy_from_slice(&bytes[..length]);
        Head { bits: u128::from_be_bytes(padded), length: length as u32 }
    }

    pub(super) fn is_full(self) -> bool {
        self.length == Head::CAPACITY
    }

    /// This one and behind it as much of the other as fits.
    pub(super) fn then(self, behind: Head) -> Head {
        Head {
            bits: self.bits | behind.bits.checked_shr(self.length * 8).unwrap_or(0),
            length: (self.length + behind.length).min(Head::CAPACITY),
        }
    }

    /// Turns the order of the bytes around; the padding stays zero.
    pub(super) fn inverted(self) -> Head {
        Head { bits: !self.highest(), length: self.length }
    }

    /// The highest that begins with this one.
    pub(super) fn highest(self) -> u128 {
        self.bits | u128::MAX.checked_shr(self.length * 8).unwrap_or(0)
    }
}

/// The beginning of the encoding of a value.
pub(super) fn head_of(value: ValueRef<'_>) -> Head {
    match value {
        ValueRef::Nothing => Head::of_kind(NOTHING),
        ValueRef::Bool(false) => Head::of_kind(FALSE),
        ValueRef::Bool(true) => Head::of_kind(TRUE),
        ValueRef::Number(number) => head_of_number(number),
        ValueRef::Instant(at, _) => head_of_instant(at),
        ValueRef::Text(text) => head_of_text(text),
        ValueRef::List(items) => {
            let mut head = Head::of_kind(LIST);
            for item in items {
                if head.is_full() {
                    break;
                }
                head = head.then(head_of(item.into()));
            }
            head.then(Head::of_kind(END_OF_LIST))
        }
        ValueRef::Object(_) => Head::of_kind(OBJECT),
    }
}

pub(super) fn head_of_text(text: &[u8]) -> Head {
    beginning_of_text(text).then(END_OF_TEXT)
}

/// A text without its end.
pub(super) fn beginning_of_text(bytes: &[u8]) -> Head {
    let mut head = Head::of_kind(TEXT);
    let plain = head.then(Head::of_bytes(bytes));
    if !has_zero(plain) {
        return plain;
    }
    for byte in bytes.iter().take(Head::CAPACITY as usize) {
        let escaped = [*byte, 255];
        head = head.then(Head::of_bytes(if *byte == 0 { &escaped } else { &escaped[..1] }));
    }
    head
}

/// Whether one of the bytes is zero.
fn has_zero(head: Head) -> bool {
    // Taking one from every byte borrows from the highest bit only where the byte is zero, or above one that is.
    const ONES: u128 = u128::from_be_bytes([0x01; 16]);
    let bits = head.highest();
    bits.wrapping_sub(ONES) & !bits & (ONES << 7) != 0
}

/// The sign, the power of two of the leading bit, and the bits behind that one: exact for every integer of 64 bits and every
/// float, and the same bytes for the same number, at most 12. The magnitude of negative numbers is inverted.
pub(super) fn head_of_number(number: Number) -> Head {
    let (negative, power, mantissa) = parts(number);
    if mantissa == 0 {
        return Head::of_kind(ZERO);
    }
    // From 2^-1074 to 2^1023.
    let power = Head { bits: u128::from((power + 2_000) as u16) << 112, length: 2 };
    // The leading bit is always set and need not be written.
    let magnitude = power.then(sevens(mantissa << 1));
    match negative {
        true => Head::of_kind(NEGATIVE).then(magnitude.inverted()),
        false => Head::of_kind(POSITIVE).then(magnitude),
    }
}

/// Seconds since the year 0 in 5 bytes, the milliseconds and the nanoseconds behind them only where there are some: 7 bytes
/// for whole seconds, at most 11.
pub(super) fn head_of_instant(at: Timestamp) -> Head {
    let nanos = (at.unix_nanos() - Timestamp::MIN.unix_nanos()) as u128;
    // 10^9 is 2^9 times 5^9, and without 9 bits the nanoseconds of 10 000 years fit a word, which is faster to divide.
    let seconds = (nanos >> 9) as u64 / 1_953_125;
    let rest = (nanos as u64).wrapping_sub(seconds.wrapping_mul(1_000_000_000));
    // Ten bits of milliseconds and twenty of what is finer.
    let fraction = (rest / 1_000_000) << 54 | (rest % 1_000_000) << 34;
    let seconds = Head { bits: u128::from(seconds) << 88, length: 5 };
    Head::of_kind(INSTANT).then(seconds).then(sevens(fraction))
}

/// The upper 63 bits, seven to a byte, up to the last that is set; the lowest bit of a byte says that another one follows.
fn sevens(bits: u64) -> Head {
    let used = 64 - bits.trailing_zeros();
    let length = used.div_ceil(7).max(1);
    // Eight sevens spread over eight bytes by halves, and the ninth.
    let x = bits >> 8;
    let x = (x & 0x0000_0000_0fff_ffff) | (x & 0x00ff_ffff_f000_0000) << 4;
    let x = (x & 0x0000_3fff_0000_3fff) | (x & 0x0fff_c000_0fff_c000) << 2;
    let x = (x & 0x007f_007f_007f_007f) | (x & 0x3f80_3f80_3f80_3f80) << 1;
    let groups = u128::from(x << 1) << 64 | u128::from(bits & 0xfe) << 56;
    const MORE: u128 = u128::from_be_bytes([1; 16]);
    Head { bits: groups | MORE & !(u128::MAX >> ((length - 1) * 8)), length }
}

/// Whether the number is negative, the power of two of its leading bit, and its bits from there on; 0 for the bits of zero.
fn parts(number: Number) -> (bool, i32, u64) {
    let (negative, bits, power) = match number {
        Number::Int(value) => (value < 0, value.unsigned_abs(), 0),
        Number::UInt(value) => (false, value, 0),
        Number::Float(value) => {
            let bits = value.to_bits();
            let fraction = bits & ((1 << 52) - 1);
            match (bits >> 52) & 0x7ff {
                // Below the normal floats there is no hidden leading bit.
                0 => (value < 0.0, fraction, -1_074),
                exponent => (value < 0.0, fraction | (1 << 52), exponent as i32 - 1_075),
            }
        }
    };
    let shift = bits.leading_zeros();
    match bits {
        0 => (false, 0, 0),
        _ => (negative, power + 63 - shift as i32, bits << shift),
    }
}
