//! Paths to the fields of a node.

use std::fmt;

use crate::limits::QueryLimits;
use crate::syntax::{Cursor, ExprError, KEYWORDS, Token, begins_name, continues_name};

/// The way to a field: one name or, into nested objects, several.
///
/// Prints as the query language writes it (`customer.name`, `` `first name`.`x` ``) and reads back as the same path. Ordered by its
/// names.
///
/// ```
/// use liveset_engine::{Path, QueryLimits};
///
/// let path = Path::parse("customer.`first name`", &QueryLimits::default())?;
/// assert_eq!(path.names().collect::<Vec<_>>(), ["customer", "first name"]);
/// assert_eq!(path.to_string(), "customer.`first name`");
/// # Ok::<(), liveset_engine::ExprError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    names: Box<[Box<str>]>,
}

impl Path {
    /// Reads a path and nothing else. Keywords need no backticks here, as nothing but a path can stand here.
    ///
    /// # Errors
    ///
    /// Says what was found and what was expected, at which place.
    pub fn parse(text: &str, limits: &QueryLimits) -> Result<Path, ExprError> {
        let mut cursor = Cursor::new(text, limits)?;
        let path = cursor.path(true)?;
        match cursor.token() {
            Token::End => Ok(path),
            _ => Err(*cursor
                .unexpected("'.' or the end (other names than letters, digits and _ stand in backticks)")),
        }
    }

    /// The path to a field of the node itself, whatever its name.
    pub fn field(name: &str) -> Path {
        Path::from_names(vec![name.into()])
    }

    pub(crate) fn from_names(names: Vec<Box<str>>) -> Path {
        Path { names: names.into() }
    }

    /// The names from the node inwards.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, name) in self.names().enumerate() {
            if place > 0 {
                f.write_str(".")?;
            }
            let bare = name.starts_with(begins_name) && name.chars().all(continues_name);
            if bare && (place > 0 || !KEYWORDS.contains(&name)) {
                f.write_str(name)?;
            } else {
                write!(f, "`{}`", name.replace('`', "``"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Path, ExprError> {
        Path::parse(text, &QueryLimits::default())
    }

    #[test]
    fn paths_print_and_read_back() {
        for names in [
            vec!["a"],
            vec!["a", "b", "c"],
            vec!["in", "in"],
            vec!["_x1", "größe"],
            vec!["first name", "a.b", "`", "1"],
            vec!["deadbeef"],
        ] {
            let path = Path::from_names(names.into_iter().map(Box::from).collect());
            assert_eq!(parse(&path.to_string()), Ok(path.clone()), "{path}");
        }
        assert_eq!(Path::field("in").to_string(), "`in`");
        assert_eq!(parse(" a . in ").unwrap().to_string(), "a.in");
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["", "``", "a.``", ".", "a.", ".a", "a..b", "a b", "a.1", "1", "a-b", "'a'", "a,b"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&vec!["a"; 16].join(".")).is_ok());
        let error = parse(&vec!["a"; 17].join(".")).unwrap_err();
        assert_eq!(error.column, 33);
    }
}
