//! Digests of JSON values: equal for equal values, and for different ones only by an accident of 64 bits.
//!
//! No defence against who wants two values to share one: what matters is compared behind them.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

use crate::value::Number;
#[cfg(test)]
use crate::value::Value;

pub(super) const NOTHING: u64 = 0x9e37_79b9_7f4a_7c15;
pub(super) const FALSE: u64 = 0xc2b2_ae3d_27d4_eb4f;
pub(super) const TRUE: u64 = 0x1656_67b1_9e37_79f9;
const INTEGER: u64 = 0x2545_f491_4f6c_dd1d;
const LARGE_INTEGER: u64 = 0x9fb2_1c65_1e98_df25;
const FLOAT: u64 = 0xd6e8_feb8_6659_fd93;
const TEXT: u64 = 0xa076_1d64_78bd_642f;
const LIST: u64 = 0xe703_7ed1_a0b4_28db;
const OBJECT: u64 = 0x8ebc_6af0_9c88_c6e3;
const MIX: u64 = 0x5899_65cc_7537_4cc3;

/// The digest of a value.
#[cfg(test)]
pub(super) fn of(value: &Value) -> u64 {
    match value {
        Value::Nothing => NOTHING,
        Value::Bool(false) => FALSE,
        Value::Bool(true) => TRUE,
        Value::Number(number) => of_number(*number),
        Value::Text(text) => of_text(hash(text)),
        Value::Instant(timed) => of_text(hash(timed.text())),
        Value::List(items) => {
            let mut list = List::default();
            items.iter().for_each(|item| list.push(of(item)));
            list.finish()
        }
        Value::Object(members) => {
            let mut object = Object::default();
            members.iter().for_each(|(key, value)| object.insert(hash(key), of(value)));
            object.finish()
        }
    }
}

/// The hash of a text or of a key.
#[inline]
pub(super) fn hash(text: &str) -> u64 {
    let mut hasher = FixedState::with_seed(TEXT).build_hasher();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// The digest of the text that has this hash.
#[inline]
pub(super) fn of_text(hash: u64) -> u64 {
    hash ^ TEXT
}

/// The digest of a number. A float that is an integer of 64 bits has that of the integer.
#[inline]
pub(super) fn of_number(number: Number) -> u64 {
    const LARGE: f64 = 9_223_372_036_854_775_808.0; // 2^63
    let (bits, kind) = match number {
        Number::Int(value) => (value as u64, INTEGER),
        Number::UInt(value) if value < 1 << 63 => (value, INTEGER),
        Number::UInt(value) => (value, LARGE_INTEGER),
        // In this range the cast cuts off the fraction and nothing else.
        Number::Float(value) if (-LARGE..LARGE).contains(&value) && value as i64 as f64 == value => {
            (value as i64 as u64, INTEGER)
        }
        // From 2^63 on there are no fractions.
        Number::Float(value) if (LARGE..2.0 * LARGE).contains(&value) => (value as u64, LARGE_INTEGER),
        Number::Float(value) => (value.to_bits(), FLOAT),
    };
    mixed(bits ^ kind, MIX)
}

/// The digest of a list, item by item.
pub(super) struct List(u64);

impl Default for List {
    fn default() -> List {
        List(LIST)
    }
}

impl List {
    #[inline]
    pub(super) fn push(&mut self, item: u64) {
        self.0 = mixed(self.0 ^ item, MIX).wrapping_add(LIST);
    }

    #[inline]
    pub(super) fn finish(self) -> u64 {
        self.0
    }
}

/// The digest of an object, whose members come in any order.
#[derive(Default)]
pub(super) struct Object(u64);

impl Object {
    /// Takes the hash of a key and the digest of its value.
    #[inline]
    pub(super) fn insert(&mut self, key: u64, value: u64) {
        self.0 = self.0.wrapping_add(mixed(key ^ OBJECT, value ^ MIX));
    }

    #[inline]
    pub(super) fn finish(self) -> u64 {
        mixed(self.0 ^ OBJECT, MIX)
    }
}

/// Both in one, by the two halves of their product.
#[inline]
fn mixed(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}
