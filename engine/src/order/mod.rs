//! The order of a result: keys as a query gives them, and ranks that sort as bytes.
//!
//! Total order of values: nothing < false < true < numbers < instants < text < lists < objects; `desc` reverses it whole. Lists
//! compare element by element, then by length; objects tie. Ties are broken by the id of the node, ascending.

use std::fmt;

use crate::limits::QueryLimits;
use crate::path::Path;
use crate::schema::Schema;
use crate::steps::Cost;
use crate::suggest;
use crate::syntax::{Cursor, ExprError, Symbol, Token, habits};
use crate::value::Value;

pub(crate) mod rank;

/// The order of a query's result. Without keys it is by id.
///
/// Two orders are equal when they sort every set alike as far as their spelling shows: `asc` is the default, and a path that
/// occurs again decides nothing any more.
///
/// ```
/// use liveset_engine::{Order, QueryLimits};
///
/// let order = Order::parse("total desc, createdAt", &QueryLimits::default())?;
/// assert_eq!(order.paths().map(ToString::to_string).collect::<Vec<_>>(), ["total", "createdAt"]);
/// # Ok::<(), liveset_engine::ExprError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Order {
    keys: Box<[Key]>,
    canonical: Box<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    path: Path,
    descending: bool,
}

impl Order {
    /// Reads an `orderBy`: `createdAt desc, id`. A blank one is by id.
    ///
    /// # Errors
    ///
    /// Says what was found and what was expected, at which place.
    pub fn parse(text: &str, limits: &QueryLimits) -> Result<Order, ExprError> {
        Order::parse_in(text, limits, None)
    }

    /// Reads an `orderBy` over a set, of which it may name what the set allows for.
    pub(crate) fn parse_in(
        text: &str,
        limits: &QueryLimits,
        schema: Option<&Schema>,
    ) -> Result<Order, ExprError> {
        let mut cursor = Cursor::new(text, limits)?;
        if *cursor.token() == Token::End {
            return Ok(Order::by_id());
        }
        let mut count = 0;
        let mut keys: Vec<Key> = Vec::new();
        loop {
            if count == limits.order_keys {
                let found = format!("more than {} keys", limits.order_keys);
                return Err(*cursor.error(cursor.start(), found, format!("at most {}", limits.order_keys)));
            }
            count += 1;
            let start = cursor.start();
            if let Token::Symbol(Symbol::Minus | Symbol::Plus) = cursor.token()
                && let Some(error) = habits::signed_key(text, start)
            {
                return Err(*error);
            }
            let mut path = cursor.path(false)?;
            if let Some(schema) = schema {
                path = cursor.declared(start, path, schema)?;
            }
            let descending = cursor.skip_word("desc")?;
            if !descending {
                cursor.skip_word("asc")?;
            }
            // Nodes that tie under a path tie under it again, in either direction.
            if keys.iter().all(|key| key.path != path) {
                keys.push(Key { path, descending });
            }
            if *cursor.token() == Token::End {
                return Ok(Order::from_keys(keys));
            }
            if !cursor.skip(Symbol::Comma)? {
                let suggestion = cursor.word().and_then(|word| suggest::nearest(word, ["asc", "desc"]));
                return Err(*cursor.unexpected("'asc', 'desc', ',' or the end").suggest(suggestion));
            }
        }
    }

    /// By id alone.
    pub fn by_id() -> Order {
        Order::from_keys(Vec::new())
    }

    fn from_keys(keys: Vec<Key>) -> Order {
        let shown = |key: &Key| format!("{}{}", key.path, if key.descending { " desc" } else { "" });
        let canonical = keys.iter().map(shown).collect::<Vec<_>>().join(", ");
        Order { keys: keys.into(), canonical: canonical.into() }
    }

    /// The canonical spelling, which reads back as the same order: its identity. Empty for the order by id.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The keys: paths, and whether they descend.
    pub(crate) fn keys(&self) -> impl ExactSizeIterator<Item = (&Path, bool)> {
        self.keys.iter().map(|key| (&key.path, key.descending))
    }

    /// The paths that the order reads, each once.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.keys.iter().map(|key| &key.path)
    }

    /// What finding the place of a node costs at most: its [`rank`](Order::rank).
    pub fn cost(&self) -> Cost {
        /// Bytes of an id, which breaks ties.
        const ID: u64 = 128;
        /// In a block of JSON are eight values at most, each a step, and the block is copied.
        const KEY: Cost = Cost::new(2, 9);
        Cost::new(1 + ID / 16, 0).plus(KEY.times(self.keys.len() as u64))
    }

    /// Appends the rank of a node to `out`: bytes that compare (as bytes, from the left) as the nodes do in this order, ties
    /// broken by `id`. Ranks of different ids differ; ranks of different orders do not compare.
    ///
    /// Costs the size of the values that the order reads.
    pub fn rank(&self, node: &Value, id: &str, out: &mut Vec<u8>) {
        rank::write(
            self.keys.iter().map(|key| (node.at(&key.path).into(), key.descending)),
            id.as_bytes(),
            out,
        );
    }
}

/// The canonical spelling.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Order, ExprError> {
        Order::parse(text, &QueryLimits::default())
    }

    #[test]
    fn spellings_of_one_order_are_one() {
        let cases = [
            ("", ""),
            ("  \n", ""),
            ("a", "a"),
            ("a asc", "a"),
            (" a . b  desc , c", "a.b desc, c"),
            ("`in` desc", "`in` desc"),
            ("desc desc, asc asc", "desc desc, asc"),
            ("asc", "asc"),
            ("days", "days"),
            ("a, a desc, b, a", "a, b"),
        ];
        for (text, canonical) in cases {
            let order = parse(text).unwrap();
            assert_eq!(order.canonical(), canonical, "{text}");
            assert_eq!(parse(canonical).unwrap(), order);
        }
    }

    #[test]
    fn each_key_costs_what_it_reads() {
        assert_eq!(parse("").unwrap().cost(), Cost::new(9, 0));
        assert_eq!(parse("a, b desc, a").unwrap().cost(), Cost::new(13, 18));
    }

    #[test]
    fn mistakes_point_at_their_place() {
        let cases = [
            ("a,", 3, None),
            (",a", 1, None),
            ("a descending", 3, Some("desc")),
            ("a DESC", 3, Some("desc")),
            ("a desc desc", 8, Some("desc")),
            ("a, in desc", 4, None),
            ("a + b", 3, None),
            ("1", 1, None),
            ("a,b,c,d,e,f,g,h,i", 17, None),
            ("-a", 1, Some("a desc")),
            ("b, - a.c", 4, Some("a.c desc")),
            ("+a", 1, Some("a")),
            ("-5", 1, None),
        ];
        for (text, column, suggestion) in cases {
            let error = parse(text).unwrap_err();
            assert_eq!((error.column, error.suggestion.as_deref()), (column, suggestion), "{text}: {error}");
        }
        assert!(parse("a,b,c,d,e,f,g,h").is_ok());
    }
}
