//! Numbers that never round behind the user's back.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// A number of JSON: an integer of 64 bits, or else a finite `f64`.
///
/// Comparison, equality and hashing are by exact value across the kinds: `1 == 1.0`, `-0.0 == 0`, and
/// 9007199254740993 is greater than 9007199254740992.0.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    /// An integer.
    Int(i64),
    /// An integer above `i64::MAX`.
    UInt(u64),
    /// A finite number that was not written as an integer.
    Float(f64),
}

impl Number {
    /// The number of a float, or `None` for infinities and NaN, which JSON does not have.
    pub fn from_f64(value: f64) -> Option<Number> {
        value.is_finite().then_some(Number::Float(value))
    }

    /// The integer `value`, or `None` where it is beyond both `i64` and `u64`.
    pub fn from_i128(value: i128) -> Option<Number> {
        match i64::try_from(value) {
            Ok(value) => Some(Number::Int(value)),
            Err(_) => u64::try_from(value).ok().map(Number::UInt),
        }
    }

    /// The sum: exact between integers, in `f64` where a float takes part; `None` where it overflows.
    pub fn checked_add(self, other: Number) -> Option<Number> {
        match (self.integer(), other.integer()) {
            (Some(a), Some(b)) => Number::from_i128(a + b),
            _ => Number::from_f64(self.to_f64() + other.to_f64()),
        }
    }

    /// The difference: exact between integers, in `f64` where a float takes part; `None` where it overflows.
    pub fn checked_sub(self, other: Number) -> Option<Number> {
        match (self.integer(), other.integer()) {
            (Some(a), Some(b)) => Number::from_i128(a - b),
            _ => Number::from_f64(self.to_f64() - other.to_f64()),
        }
    }

    /// The nearest `f64`.
    pub fn to_f64(self) -> f64 {
        match self {
            Number::Int(value) => value as f64,
            Number::UInt(value) => value as f64,
            Number::Float(value) => value,
        }
    }

    /// The value of the two integer kinds.
    pub fn integer(self) -> Option<i128> {
        match self {
            Number::Int(value) => Some(i128::from(value)),
            Number::UInt(value) => Some(i128::from(value)),
            Number::Float(_) => None,
        }
    }

    /// The same value as an integer, where it is one of 64 bits: equal numbers are alike then.
    pub fn exact(self) -> Number {
        self.whole().and_then(Number::from_i128).unwrap_or(self)
    }

    /// The exact value as an integer, where it is one and fits 64 bits.
    fn whole(self) -> Option<i128> {
        match self {
            // Beyond 2^64 the cast cannot be an integer of 64 bits; below it is exact.
            Number::Float(value) if value.fract() == 0.0 && value.abs() < 18_446_744_073_709_551_616.0 => {
                Some(value as i128)
            }
            Number::Float(_) => None,
            _ => self.integer(),
        }
    }
}

/// Compares an integer of at most 65 bits with a finite float, exactly.
fn compare_with_float(integer: i128, float: f64) -> Ordering {
    if let Ok(small) = i32::try_from(integer) {
        // Exact as a float. No finite float is without order.
        return f64::from(small).partial_cmp(&float).unwrap_or(Ordering::Equal);
    }
    const BEYOND: f64 = 36_893_488_147_419_103_232.0; // 2^65
    if float >= BEYOND {
        return Ordering::Less;
    }
    if float <= -BEYOND {
        return Ordering::Greater;
    }
    // The integer part is exact in i128; the fraction decides where the integer parts agree.
    let whole = float.trunc();
    integer.cmp(&(whole as i128)).then_with(|| {
        let fraction = float - whole;
        if fraction > 0.0 {
            Ordering::Less
        } else if fraction < 0.0 {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    })
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        match (self, other) {
            // Adding zero makes the two zeros one, so that the total order of floats is the order of numbers.
            (Number::Float(a), Number::Float(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
            // Most numbers are integers.
            (Number::Int(a), Number::Int(b)) => a.cmp(b),
            (Number::Float(a), b) => match b.integer() {
                Some(b) => compare_with_float(b, *a).reverse(),
                None => Ordering::Equal,
            },
            (a, Number::Float(b)) => match a.integer() {
                Some(a) => compare_with_float(a, *b),
                None => Ordering::Equal,
            },
            (a, b) => a.integer().cmp(&b.integer()),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.whole() {
            Some(whole) => whole.hash(state),
            None => self.to_f64().to_bits().hash(state),
        }
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Number {
        Number::Int(value)
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Number {
        match i64::try_from(value) {
            Ok(value) => Number::Int(value),
            Err(_) => Number::UInt(value),
        }
    }
}

/// Integers in decimal; floats with the fewest digits that read back as the same float, always with a point or an exponent,
/// so that what was a float stays one.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Int(value) => write!(f, "{value}"),
            Number::UInt(value) => write!(f, "{value}"),
            Number::Float(value) => write!(f, "{:?}", value + 0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: Number) -> u64 {
        let mut hasher = siphasher::sip::SipHasher13::new();
        number.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn numbers_compare_exactly_across_kinds() {
        let ascending = [
            Number::Float(-1e300),
            Number::Float(-18_446_744_073_709_551_616.0),
            Number::Int(i64::MIN),
            Number::Int(i64::from(i32::MIN) - 1),
            Number::Float(-2_147_483_648.5),
            Number::Int(i64::from(i32::MIN)),
            Number::Float(-1.5),
            Number::Int(-1),
            Number::Float(-0.5),
            Number::Int(0),
            Number::Float(f64::from_bits(1)),
            Number::Int(1),
            Number::Float(1.5),
            Number::Int(i64::from(i32::MAX)),
            Number::Float(2_147_483_647.5),
            Number::Float(9_007_199_254_740_992.0),
            Number::Int(9_007_199_254_740_993),
            Number::Int(i64::MAX),
            Number::UInt(1 << 63),
            Number::UInt(u64::MAX),
            Number::Float(18_446_744_073_709_551_616.0),
            Number::Float(1e300),
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(a.cmp(b), i.cmp(&j), "{a} against {b}");
            }
        }
    }

    #[test]
    fn equal_numbers_hash_alike() {
        let equal = [
            (Number::Int(0), Number::Float(-0.0)),
            (Number::Int(1), Number::Float(1.0)),
            (Number::UInt(1 << 63), Number::Float(9_223_372_036_854_775_808.0)),
            (Number::Float(0.0), Number::Float(-0.0)),
        ];
        for (a, b) in equal {
            assert_eq!(a, b);
            assert_eq!(hash(a), hash(b), "{a} and {b}");
        }
    }

    #[test]
    fn arithmetic_is_exact_or_refused() {
        let big = Number::Int(9_007_199_254_740_993);
        assert_eq!(big.checked_add(Number::Int(1)), Some(Number::Int(9_007_199_254_740_994)));
        assert_eq!(Number::Int(i64::MAX).checked_add(Number::Int(1)), Some(Number::UInt(1 << 63)));
        assert_eq!(Number::UInt(u64::MAX).checked_add(Number::Int(1)), None);
        assert_eq!(Number::Int(i64::MIN).checked_sub(Number::Int(1)), None);
        assert_eq!(Number::Float(f64::MAX).checked_add(Number::Float(f64::MAX)), None);
        assert_eq!(Number::Int(1).checked_sub(Number::Float(0.5)), Some(Number::Float(0.5)));
    }

    #[test]
    fn floats_print_as_floats() {
        for (value, text) in [(5.0, "5.0"), (-0.0, "0.0"), (1e21, "1e21"), (1.5e-9, "1.5e-9"), (0.1, "0.1")] {
            assert_eq!(Number::Float(value).to_string(), text);
        }
    }
}
