//! Limits: bounds with a name, a default, and an answer when they are exceeded. Each is declared once.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// One limit, as it is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limit {
    /// Its name, within its part.
    pub name: &'static str,
    /// Its name with its part, as `hub.initial_bytes`.
    pub full_name: &'static str,
    /// Whether it may be 0.
    pub floor: Floor,
    /// The thing that is bounded.
    pub what: &'static str,
    /// The consequence of exceeding it; empty where that is impossible.
    pub beyond: &'static str,
}

impl Limit {
    #[doc(hidden)]
    pub const fn new(
        name: &'static str,
        full_name: &'static str,
        floor: Floor,
        what: &'static str,
        beyond: &'static str,
    ) -> Limit {
        Limit { name, full_name, floor, what, beyond }
    }

    /// The one of that name, for [`limit!`](crate::limit).
    #[doc(hidden)]
    pub const fn find(declared: &'static [Limit], name: &str) -> &'static Limit {
        let mut at = 0;
        while !is_same(declared[at].name.as_bytes(), name.as_bytes()) {
            at += 1;
        }
        &declared[at]
    }
}

/// `==`, for the compiler.
const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// How often each limit has refused something, by its [full name](Limit::full_name). One that has refused nothing is not in it.
///
/// ```
/// use liveset_core::{SessionLimits, model::{Refusals, limit}};
///
/// let mut refusals = Refusals::default();
/// refusals.count(limit!(SessionLimits.live_queries));
/// assert_eq!(refusals.of("session.live_queries"), 1);
/// assert_eq!(refusals.of("session.subscriptions"), 0);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals(BTreeMap<&'static str, u64>);

impl Refusals {
    /// The limit has refused something once more.
    pub fn count(&mut self, limit: &Limit) {
        *self.0.entry(limit.full_name).or_default() += 1;
    }

    /// How often the limit of that full name has refused something.
    pub fn of(&self, full_name: &str) -> u64 {
        self.0.get(full_name).copied().unwrap_or(0)
    }

    /// Full names and counts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(name, count)| (*name, *count))
    }
}

impl std::ops::AddAssign for Refusals {
    fn add_assign(&mut self, other: Refusals) {
        for (name, count) in other.0 {
            *self.0.entry(name).or_default() += count;
        }
    }
}

/// Whether a limit may be 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// It may: that switches off what it limits.
    Any,
    /// It is at least 1.
    One,
    /// It may not: nobody could be served.
    Needed,
}

/// The value of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitValue {
    /// A count, or a size in bytes.
    Number(u64),
    /// A length of time.
    Time(Duration),
    /// Yes or no.
    Flag(bool),
}

impl LimitValue {
    /// Whether it is 0. A flag is not.
    pub fn is_zero(self) -> bool {
        matches!(self, LimitValue::Number(0) | LimitValue::Time(Duration::ZERO))
    }
}

/// A value is of another kind than its limit, or too large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongLimit(pub(super) String);

impl fmt::Display for WrongLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongLimit {}

/// The limits of one part of Liveset, by name: for configuration and documentation.
pub trait LimitSet {
    /// The part that they are of, as `[limits]` names it.
    fn part(&self) -> &'static str;

    /// All of them, in their order.
    fn declared(&self) -> &'static [Limit];

    /// The value of one of them.
    fn value(&self, name: &str) -> Option<LimitValue>;

    /// Sets one of them. `None` where there is none of that name.
    fn set(&mut self, name: &str, value: LimitValue) -> Option<Result<(), WrongLimit>>;
}

/// A type that limits have.
#[doc(hidden)]
pub trait LimitType: Sized {
    fn to_value(&self) -> LimitValue;
    fn of(value: LimitValue) -> Result<Self, WrongLimit>;
}

macro_rules! numbers {
    ($($number:ty),+) => {$(
        impl LimitType for $number {
            fn to_value(&self) -> LimitValue {
                LimitValue::Number(u64::try_from(*self).unwrap_or(u64::MAX))
            }

            fn of(value: LimitValue) -> Result<Self, WrongLimit> {
                match value {
                    LimitValue::Number(number) => {
                        number.try_into().map_err(|_| WrongLimit(format!("{number} is too large")))
                    }
                    LimitValue::Time(time) => Err(WrongLimit(format!("\"{time:?}\" is not a number"))),
                    LimitValue::Flag(flag) => Err(WrongLimit(format!("{flag} is not a number"))),
                }
            }
        }
    )+};
}

numbers!(usize, u64, u32);

impl LimitType for Duration {
    fn to_value(&self) -> LimitValue {
        LimitValue::Time(*self)
    }

    fn of(value: LimitValue) -> Result<Self, WrongLimit> {
        match value {
            LimitValue::Time(time) => Ok(time),
            LimitValue::Number(number) => {
                Err(WrongLimit(format!("a length of time has a unit: write \"{number}s\" or \"{number}ms\"")))
            }
            LimitValue::Flag(flag) => Err(WrongLimit(format!("{flag} is not a length of time, as \"10s\""))),
        }
    }
}

impl LimitType for bool {
    fn to_value(&self) -> LimitValue {
        LimitValue::Flag(*self)
    }

    fn of(value: LimitValue) -> Result<Self, WrongLimit> {
        match value {
            LimitValue::Flag(flag) => Ok(flag),
            LimitValue::Number(_) | LimitValue::Time(_) => Err(WrongLimit("write true or false".to_owned())),
        }
    }
}

/// Declares the limits of one part: of each its name, type and default, whether it may be 0, what there may be so much of, and what is
/// answered beyond it. The struct, its `Default`, a setter for each, and its [`LimitSet`] come from that; so do its setting, its row in
/// the table of limits, the counter of its [`Refusals`] and its documentation. They are read by name, too, with serde.
///
/// ```
/// use liveset_core::model::LimitSet as _;
///
/// liveset_core::limits! {
///     /// Limits of a kitchen.
///     pub struct KitchenLimits in "kitchen" {
///         /// Each has a colour.
///         pans: usize = 12, "pans on the stove" => "the soup is refused";
///         cooks: u32 = 3, One, "cooks" => "the broth is spoiled";
///     }
/// }
///
/// let limits = KitchenLimits::default().cooks(1);
/// assert_eq!((limits.pans, limits.declared()[1].what), (12, "cooks"));
///
/// let limits: KitchenLimits = serde_json::from_str(r#"{"cooks": 2}"#)?;
/// assert_eq!((limits.pans, limits.cooks), (12, 2));
/// let error = serde_json::from_str::<KitchenLimits>(r#"{"cooks": "two"}"#).unwrap_err();
/// assert!(error.to_string().starts_with("`cooks`: \"two\" is not a number"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[macro_export]
macro_rules! limits {
    (
        $(#[$meta:meta])*
        pub struct $Limits:ident in $part:literal {
            $(
                $(#[$more:meta])*
                $name:ident: $type:ty = $default:expr, $($floor:ident,)? $what:literal => $beyond:literal;
            )*
        }
        $(
            with {
                $(
                    $(#[$inner_meta:meta])*
                    $inner_vis:vis $inner:ident: $inner_type:ty,
                )*
            }
        )?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $Limits {
            $(
                #[doc = concat!("`", $part, ".", stringify!($name), "`: ", $what, ".")]
                #[doc = ""]
                $(#[$more])*
                #[doc = ""]
                #[doc = concat!("Default: `", stringify!($default), "`.")]
                pub $name: $type,
            )*
            $($(
                $(#[$inner_meta])*
                $inner_vis $inner: $inner_type,
            )*)?
        }

        impl Default for $Limits {
            fn default() -> Self {
                Self { $($name: $default,)* $($($inner: Default::default(),)*)? }
            }
        }

        impl $Limits {
            /// All of them as they are declared, in their order.
            pub const DECLARED: &'static [$crate::model::Limit] = &[$(
                $crate::model::Limit::new(
                    stringify!($name),
                    concat!($part, ".", stringify!($name)),
                    $crate::floor!($($floor)?),
                    $what,
                    $beyond,
                ),
            )*];

            $(
                #[doc = concat!("Sets [`", stringify!($name), "`](field@Self::", stringify!($name), ").")]
                #[must_use]
                pub fn $name(mut self, $name: $type) -> Self {
                    self.$name = $name;
                    self
                }
            )*
        }

        /// Limits that are not named have their defaults. A name that is none and a value that does not fit are errors that name the
        /// limit. Lengths of time are strings, as `"10s"`.
        impl<'de> $crate::model::serde::Deserialize<'de> for $Limits {
            fn deserialize<D>(deserializer: D) -> Result<Self, D::Error>
            where
                D: $crate::model::serde::Deserializer<'de>,
            {
                let mut limits = Self::default();
                $crate::model::read_limits(&mut limits, deserializer)?;
                Ok(limits)
            }
        }

        impl $crate::model::LimitSet for $Limits {
            fn part(&self) -> &'static str {
                $part
            }

            fn declared(&self) -> &'static [$crate::model::Limit] {
                Self::DECLARED
            }

            fn value(&self, name: &str) -> Option<$crate::model::LimitValue> {
                match name {
                    $(stringify!($name) => Some($crate::model::LimitType::to_value(&self.$name)),)*
                    _ => None,
                }
            }

            fn set(
                &mut self,
                name: &str,
                value: $crate::model::LimitValue,
            ) -> Option<Result<(), $crate::model::WrongLimit>> {
                match name {
                    $(stringify!($name) => Some(
                        $crate::model::LimitType::of(value).map(|value| self.$name = value)
                    ),)*
                    _ => None,
                }
            }
        }
    };
}

/// One limit of a struct that [`limits!`](crate::limits) declares, as `limit!(SessionLimits.live_queries)`: a `&'static` [`Limit`].
#[macro_export]
macro_rules! limit {
    ($Limits:ident . $name:ident) => {
        const { $crate::model::Limit::find($Limits::DECLARED, stringify!($name)) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! floor {
    () => {
        $crate::model::Floor::Any
    };
    ($floor:ident) => {
        $crate::model::Floor::$floor
    };
}
