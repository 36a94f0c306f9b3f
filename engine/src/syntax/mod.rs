//! What filters, orders and lists of fields have in common: words, literals, paths, and errors that point at their place.

mod cursor;
mod error;
pub(crate) mod habits;
mod lexer;
mod literal;

pub(crate) use cursor::Cursor;
pub use error::ExprError;
pub(crate) use error::{excerpt, shortened};
pub(crate) use lexer::{Lexer, Symbol, Token};
pub use literal::Literal;

/// The words that cannot be the first name of a path unless they stand in backticks.
pub(crate) const KEYWORDS: &[&str] = &[
    "and",
    "or",
    "not",
    "in",
    "anyof",
    "allof",
    "startswith",
    "endswith",
    "contains",
    "now",
    "true",
    "false",
    "nothing",
    "null",
];

/// Whether a name may begin with this character without backticks.
pub(crate) fn begins_name(character: char) -> bool {
    character == '_' || character.is_alphabetic()
}

/// Whether a name may go on with this character without backticks.
pub(crate) fn continues_name(character: char) -> bool {
    begins_name(character) || character.is_ascii_digit()
}
