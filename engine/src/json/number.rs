//! Numbers of JSON, exactly.

use super::Problem;
use crate::value::Number;

/// The length of the number at the beginning of `text`, and whether it is written as an integer; `None` where RFC 8259 sees no
/// number.
pub(super) fn scan(text: &[u8]) -> Option<(usize, bool)> {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let start = usize::from(text.first() == Some(&b'-'));
    let whole = digits(start);
    if whole == 0 || (whole > 1 && text[start] == b'0') {
        return None;
    }
    let mut length = start + whole;
    let mut integer = true;
    if text.get(length) == Some(&b'.') {
        let fraction = digits(length + 1);
        if fraction == 0 {
            return None;
        }
        length += 1 + fraction;
        integer = false;
    }
    if matches!(text.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(length + 1), Some(b'+' | b'-')));
        let exponent = digits((length + 1 + sign).min(text.len()));
        if exponent == 0 {
            return None;
        }
        length += 1 + sign + exponent;
        integer = false;
    }
    Some((length, integer))
}

/// The value of a number that [`scan`] has found.
pub(super) fn value(text: &str, integer: bool) -> Result<Number, Problem> {
    let shown = || {
        let mut shown: String = text.chars().take(40).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        shown
    };
    if integer {
        // Integers of up to 39 digits fit i128; what does not is beyond 64 bits all the more.
        text.parse().ok().and_then(Number::from_i128).ok_or_else(|| Problem::IntegerTooLarge(shown()))
    } else {
        text.parse().ok().and_then(Number::from_f64).ok_or_else(|| Problem::NumberTooLarge(shown()))
    }
}
