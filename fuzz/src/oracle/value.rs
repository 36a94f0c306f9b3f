//! Values, exact numbers, equality and the total order.

use std::{cmp::Ordering, collections::BTreeMap};

use super::calendar::{Nanos, instant};

/// A number as JSON wrote it: whole numbers exactly, everything else as the nearest f64.
#[derive(Clone, Copy, Debug)]
pub enum Num {
    Whole(i128),
    Float(f64),
}

impl Num {
    pub fn from_json(number: &serde_json::Number) -> Self {
        match (number.as_i64(), number.as_u64()) {
            (Some(n), _) => Self::Whole(n.into()),
            (_, Some(n)) => Self::Whole(n.into()),
            _ => Self::Float(number.as_f64().expect("a JSON number is a number")),
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(n) = text.parse::<i128>() {
            let fits = i128::from(i64::MIN) <= n && n <= i128::from(u64::MAX);
            return fits.then_some(Self::Whole(n));
        }
        text.parse::<f64>().ok().filter(|f| f.is_finite()).map(Self::Float)
    }

    pub fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a.cmp(&b),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b).expect("finite"),
            (Self::Whole(a), Self::Float(b)) => whole_against_float(a, b),
            (Self::Float(a), Self::Whole(b)) => whole_against_float(b, a).reverse(),
        }
    }

    /// `None` where the sum of whole numbers leaves 64 bits, or that of floats the finite.
    pub fn add(self, other: Self, negate: bool) -> Option<Self> {
        if let (Self::Whole(a), Self::Whole(b)) = (self, other) {
            let sum = if negate { a - b } else { a + b };
            let fits = i128::from(i64::MIN) <= sum && sum <= i128::from(u64::MAX);
            return fits.then_some(Self::Whole(sum));
        }
        let float = |n| match n {
            Self::Whole(n) => n as f64,
            Self::Float(f) => f,
        };
        let (a, b) = (float(self), float(other));
        let sum = if negate { a - b } else { a + b };
        sum.is_finite().then_some(Self::Float(sum))
    }
}

fn whole_against_float(whole: i128, float: f64) -> Ordering {
    // Far outside of 64 bits the sign decides; inside, the floor of a float is a whole number exactly.
    if float.abs() >= 2f64.powi(100) {
        return if float > 0.0 { Ordering::Less } else { Ordering::Greater };
    }
    let floor = float.floor();
    whole.cmp(&(floor as i128)).then(if float > floor { Ordering::Less } else { Ordering::Equal })
}

#[derive(Clone, Debug)]
pub enum Val {
    Nothing,
    Bool(bool),
    Num(Num),
    Text(String),
    /// Text at a path that the set declares to be an instant.
    Instant(String, Nanos),
    List(Vec<Val>),
    Object(BTreeMap<String, Val>),
}

static NOTHING: Val = Val::Nothing;

impl Val {
    pub fn from_json(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Nothing,
            serde_json::Value::Bool(b) => Self::Bool(*b),
            serde_json::Value::Number(n) => Self::Num(Num::from_json(n)),
            serde_json::Value::String(s) => Self::Text(s.clone()),
            serde_json::Value::Array(items) => Self::List(items.iter().map(Self::from_json).collect()),
            serde_json::Value::Object(map) => {
                Self::Object(map.iter().map(|(k, v)| (k.clone(), Self::from_json(v))).collect())
            }
        }
    }

    pub fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().map(|json| Self::from_json(&json))
    }

    pub fn at(&self, path: &[String]) -> &Val {
        let mut value = self;
        for name in path {
            match value {
                Self::Object(map) => value = map.get(name).unwrap_or(&NOTHING),
                _ => return &NOTHING,
            }
        }
        value
    }

    /// Turns text at `path` into an instant. False where it is text of another form, or no text.
    pub fn declare_instant(&mut self, path: &[String]) -> bool {
        let mut value = self;
        for name in path {
            match value {
                Self::Object(map) => match map.get_mut(name) {
                    Some(inner) => value = inner,
                    None => return true,
                },
                _ => return true,
            }
        }
        match value {
            // A patch leaves what is one already.
            Self::Nothing | Self::Instant(..) => true,
            Self::Text(text) => match instant(text) {
                Some(at) => {
                    *value = Self::Instant(std::mem::take(text), at);
                    true
                }
                None => false,
            },
            _ => false,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Bool(false) => 1,
            Self::Bool(true) => 2,
            Self::Num(_) => 3,
            Self::Instant(..) => 4,
            Self::Text(_) => 5,
            Self::List(_) => 6,
            Self::Object(_) => 7,
        }
    }
}

/// Whether two values are the same JSON: numbers by value, keys in any order.
pub fn same(a: &Val, b: &Val) -> bool {
    match (a, b) {
        (Val::Nothing, Val::Nothing) => true,
        (Val::Bool(a), Val::Bool(b)) => a == b,
        (Val::Num(a), Val::Num(b)) => a.compare(*b) == Ordering::Equal,
        (Val::Text(a) | Val::Instant(a, _), Val::Text(b) | Val::Instant(b, _)) => a == b,
        (Val::List(a), Val::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Val::Object(a), Val::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((ka, a), (kb, b))| ka == kb && same(a, b))
        }
        _ => false,
    }
}

/// The total order: nothing < false < true < numbers < instants < text < lists < objects.
pub fn order(a: &Val, b: &Val) -> Ordering {
    a.rank().cmp(&b.rank()).then_with(|| match (a, b) {
        (Val::Num(a), Val::Num(b)) => a.compare(*b),
        (Val::Instant(_, a), Val::Instant(_, b)) => a.cmp(b),
        (Val::Text(a), Val::Text(b)) => a.chars().cmp(b.chars()),
        (Val::List(a), Val::List(b)) => {
            let first_difference = a.iter().zip(b).map(|(a, b)| order(a, b)).find(|o| o.is_ne());
            first_difference.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        _ => Ordering::Equal,
    })
}
