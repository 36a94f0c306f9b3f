//! The one grammar of numbers.

use super::Number;

/// The powers of ten that are exact in `f64`.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// A number as it is written: `-`, digits, a point with digits, `e` with a sign and digits; all but the digits may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numeral {
    /// Bytes.
    pub length: usize,
    /// Whether there is neither a point nor an exponent.
    pub is_integer: bool,
    /// Whether there are zeros in front, which JSON does not allow.
    pub has_leading_zeros: bool,
    /// The value, where it has so few digits that it is exact.
    short: Option<Number>,
}

impl Numeral {
    /// The longest number at the beginning; `None` where there is none.
    #[inline(always)]
    pub fn read(text: &[u8]) -> Option<Numeral> {
        let is_negative = text.first() == Some(&b'-');
        let start = usize::from(is_negative);
        let (digits, length) = take_digits(text, start, 0);
        let whole = length - start;
        if whole == 0 {
            return None;
        }
        let has_leading_zeros = whole > 1 && text[start] == b'0';
        // Of more digits it may have wrapped.
        let short =
            (whole <= 18).then(|| Number::Int(if is_negative { -(digits as i64) } else { digits as i64 }));
        let integer = Numeral { length, is_integer: true, has_leading_zeros, short };
        match text.get(length) {
            Some(b'.') => {}
            Some(b'e' | b'E') => return Some(integer.with_exponent(text)),
            _ => return Some(integer),
        }
        let (digits, end) = take_digits(text, length + 1, digits);
        let fraction = end - length - 1;
        if fraction == 0 {
            return Some(integer);
        }
        let short = (whole + fraction <= 15).then(|| {
            // Both are exact in f64, so that the quotient is rounded once, and rightly.
            let value = digits as f64 / POWERS[fraction];
            Number::Float(if is_negative { -value } else { value })
        });
        let number = Numeral { length: end, is_integer: false, has_leading_zeros, short };
        Some(if let Some(b'e' | b'E') = text.get(end) { number.with_exponent(text) } else { number })
    }

    /// The number with its exponent, if what stands behind it is one.
    #[cold]
    fn with_exponent(self, text: &[u8]) -> Numeral {
        let sign = usize::from(matches!(text.get(self.length + 1), Some(b'+' | b'-')));
        let start = self.length + 1 + sign;
        match take_digits(text, start, 0) {
            (_, length) if length > start => Numeral { length, is_integer: false, short: None, ..self },
            _ => self,
        }
    }

    /// The value: exact where it is written as an integer, otherwise the nearest `f64`; `None` where that is beyond 64 bits, or
    /// infinite. `text` begins with the number.
    #[inline]
    pub fn value(&self, text: &str) -> Option<Number> {
        self.short.or_else(|| self.long(text))
    }

    #[cold]
    fn long(&self, text: &str) -> Option<Number> {
        let text = text.get(..self.length)?;
        // Integers of up to 39 digits fit i128; what does not is beyond 64 bits all the more.
        if self.is_integer {
            Number::from_i128(text.parse().ok()?)
        } else {
            Number::from_f64(text.parse().ok()?)
        }
    }
}

/// Appends digits to a value, and finds their end.
#[inline(always)]
fn take_digits(text: &[u8], from: usize, mut value: u64) -> (u64, usize) {
    let mut place = from;
    while let Some(digit) = text.get(place).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        place += 1;
    }
    (value, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_number_is_taken() {
        for (text, number) in [
            ("0", "0"),
            ("-0.50,", "-0.50"),
            ("1.", "1"),
            ("1.e5", "1"),
            ("1e", "1"),
            ("1e+", "1"),
            ("2.5E-3x", "2.5E-3"),
            ("007 ", "007"),
            ("1.2.3", "1.2"),
        ] {
            assert_eq!(Numeral::read(text.as_bytes()).unwrap().length, number.len(), "{text}");
        }
        for text in ["", "-", "-.5", ".5", "+1", "e5", "--1"] {
            assert_eq!(Numeral::read(text.as_bytes()), None, "{text}");
        }
    }
}
