//! The macros that declare messages and the objects inside them. Each stands in one place; reading, writing, names and the
//! generators of fuzz targets are made from that.

/// The kind of a field: [`Plain`](super::field::Plain) where none is given.
macro_rules! kind {
    () => {
        $crate::message::field::Plain
    };
    ($kind:ident) => {
        $crate::message::field::$kind
    };
}

/// Declares the messages of one side as an enum, one variant each:
///
/// ```text
/// /// What the message is for.
/// "wireName" Variant {
///     /// What the field holds.
///     field: Type = "wireField" as Kind where condition else "what is wrong otherwise",
/// },
/// ```
///
/// `Type` implements [`Field`](super::field::Field) for `Kind`; `as` and `where` may be left out. Fields are read and written in
/// this order, and a condition may name its own field and those before it. The words in parentheses behind the name of the enum are
/// fields that all of its messages may have, which its owner reads.
macro_rules! messages {
    (
        $(#[$meta:meta])*
        pub enum $name:ident $(<$lt:lifetime>)? ($($common:literal),*) {
            $(
                $(#[$variant_meta:meta])*
                $wire:literal $variant:ident $({
                    $(
                        $(#[$field_meta:meta])*
                        $field:ident: $type:ty = $field_wire:literal
                            $(as $kind:ident)? $(where $check:expr, else $wrong:literal)?,
                    )*
                })?,
            )*
        }
    ) => {
        $(#[$meta])*
        pub enum $name $(<$lt>)? {
            $(
                $(#[$variant_meta])*
                $variant $({
                    $(
                        $(#[$field_meta])*
                        $field: $type,
                    )*
                })?,
            )*
        }

        impl $(<$lt>)? $name $(<$lt>)? {
            /// Every `type`, with the fields of its own that a message of it may have.
            pub const TYPES: &'static [(&'static str, &'static [&'static str])] =
                &[$(($wire, &[$($($field_wire),*)?])),*];

            /// The fields that some message has, each once.
            const NAMES: &'static [&'static str] = {
                const ALL: &[&str] = &["type", $($common,)* $($($($field_wire,)*)?)*];
                const UNIQUE: ([&str; ALL.len()], usize) = $crate::message::declare::unique(ALL);
                UNIQUE.0.split_at(UNIQUE.1).0
            };

            /// The message's `type`.
            pub fn type_name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $wire,)*
                }
            }

            /// The message of a type; `None` where there is no such type. Ids may have `id_bytes` bytes.
            #[allow(unused_variables)] // Some messages have no fields.
            fn read<'m $(: $lt)?>(
                kind: &str,
                members: &$crate::message::field::read::Members<'m>,
                id_bytes: usize,
            ) -> Result<Option<Self>, $crate::message::field::read::Refused> {
                Ok(Some(match kind {
                    $(
                        $wire => {
                            $($(
                                let $field: $type = members.take::<_, kind!($($kind)?)>($field_wire, id_bytes)?;
                                $(
                                    if !($check) {
                                        return Err($crate::message::field::read::Refused::new($wrong).within($field_wire));
                                    }
                                )?
                            )*)?
                            Self::$variant $({ $($field),* })?
                        }
                    )*
                    _ => return Ok(None),
                }))
            }

            /// Appends the fields of the message.
            #[allow(unused_variables)]
            fn write_fields(&self, object: &mut $crate::message::ObjectWriter<'_>) {
                match self {
                    $(
                        Self::$variant $({ $($field),* })? => {
                            $($(object.field::<_, kind!($($kind)?)>($field_wire, $field);)*)?
                        }
                    )*
                }
            }
        }

        #[cfg(feature = "fuzzing")]
        impl $(<$lt>)? $crate::fuzzing::Sample<$crate::message::field::Plain> for $name $(<$lt>)? {
            #[allow(unused_imports)] // Some have no fields.
            fn sample(random: &mut fastrand::Rng) -> Self {
                use $crate::fuzzing::Sample;
                match Self::TYPES[random.usize(..Self::TYPES.len())].0 {
                    $(
                        $wire => Self::$variant $({
                            $($field: Sample::<kind!($($kind)?)>::sample(random),)*
                        })?,
                    )*
                    // Every type is above.
                    _ => Self::sample(random),
                }
            }
        }
    };
}

/// Declares how a struct stands in JSON: an object with these fields, read and written in this order. With `strict` it has no other
/// field; a wrong one is `INVALID_MESSAGE` or the code given. Behind `or` stands what it is where it is absent.
macro_rules! object {
    ($name:ident $(, $strict:ident $(, $code:ident)?)? $(or $default:expr)? => {
        $(
            $field:ident: $type:ty = $wire:literal $(as $kind:ident)? $(where $check:expr, else $wrong:literal)?,
        )*
    }) => {
        impl<'a> $crate::message::field::Field<'a, $crate::message::field::Plain> for $name {
            #[allow(unused_variables)]
            fn read(piece: &'a str, id_bytes: usize) -> Result<Self, $crate::message::field::read::Refused> {
                const NAMES: &[&str] = &[$($wire),*];
                let members = $crate::message::field::read::Members::inside(piece, NAMES)?;
                let read = || {
                    $(members.$strict(NAMES)?;)?
                    $(
                        let $field: $type = members.take::<_, kind!($($kind)?)>($wire, id_bytes)?;
                        $(
                            if !($check) {
                                return Err($crate::message::field::read::Refused::new($wrong).within($wire));
                            }
                        )?
                    )*
                    Ok($name { $($field),* })
                };
                let read: Result<_, $crate::message::field::read::Refused> = read();
                $($(let read = read.map_err(|refused| refused.with($crate::ErrorCode::$code));)?)?
                read
            }

            fn write(&self, out: &mut Vec<u8>) {
                #[allow(unused_mut)]
                let mut object = $crate::message::ObjectWriter::begin(out);
                $(object.field::<$type, kind!($($kind)?)>($wire, &self.$field);)*
                object.end();
            }

            $(
                fn absent() -> Option<Self> {
                    Some($default)
                }

                fn is_absent(&self) -> bool {
                    *self == $default
                }
            )?
        }

        #[cfg(feature = "fuzzing")]
        impl $crate::fuzzing::Sample<$crate::message::field::Plain> for $name {
            #[allow(unused_variables)]
            fn sample(random: &mut fastrand::Rng) -> Self {
                $name { $($field: $crate::fuzzing::Sample::<kind!($($kind)?)>::sample(random),)* }
            }
        }
    };
}

/// Declares extensions that a client opts in to: a struct of flags, all of them off by default.
macro_rules! options {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $(
                $(#[$flag_meta:meta])*
                $flag:ident = $wire:literal,
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name {
            $(
                $(#[$flag_meta])*
                pub $flag: bool,
            )*
        }

        impl $name {
            /// Whether no extension was asked for.
            pub fn is_none(&self) -> bool {
                *self == $name::default()
            }
        }

        object!($name, only_options or $name::default() => { $($flag: bool = $wire as Flag,)* });
    };
}

pub(crate) use {kind, messages, object, options};

/// Each of the names once, and how many those are.
pub(crate) const fn unique<const N: usize>(all: &[&'static str]) -> ([&'static str; N], usize) {
    let (mut names, mut count, mut index) = ([""; N], 0, 0);
    while index < all.len() {
        let mut known = 0;
        while known < count && !is_same(names[known], all[index]) {
            known += 1;
        }
        if known == count {
            names[count] = all[index];
            count += 1;
        }
        index += 1;
    }
    (names, count)
}

const fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut index = 0;
    while index < a.len() && index < b.len() && a[index] == b[index] {
        index += 1;
    }
    index == a.len() && index == b.len()
}
