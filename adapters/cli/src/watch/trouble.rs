//! An error of the server, with the place in the query that it means marked.

use liveset_core::Query;
use liveset_server::terminal;

/// The error as it is printed: what the server said, and under it the expression with a mark at the place.
pub(super) fn describe(code: &str, message: &str, query: &Query) -> String {
    let mut text = format!("{code}: {message}");
    let filter = query.filter.as_deref().filter(|_| message.contains("filter"));
    let order_by = query.order_by.as_deref().filter(|_| message.contains("orderBy"));
    // A message about the order may quote a field called `filter`, but it begins with what it is about.
    let expression = match (filter, order_by) {
        (Some(filter), Some(order_by)) => {
            Some(if message.find("filter") < message.find("orderBy") { filter } else { order_by })
        }
        (filter, order_by) => filter.or(order_by),
    };
    if let (Some(expression), Some((line, column))) = (expression, place(message)) {
        text.push('\n');
        text.push_str(&terminal::underline(expression, line, column));
    }
    terminal::message(&text)
}

/// The first `line N, column M` of a message.
fn place(message: &str) -> Option<(usize, usize)> {
    message.match_indices("line ").find_map(|(at, found)| {
        let rest = &message[at + found.len()..];
        let (line, rest) = number(rest)?;
        let (column, _) = number(rest.strip_prefix(", column ")?)?;
        Some((line, column))
    })
}

fn number(text: &str) -> Option<(usize, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_marked_in_the_expression_that_is_meant() {
        let query = Query {
            set: "orders".into(),
            filter: Some("status = 'x'".into()),
            order_by: Some("a descending".into()),
            ..Query::default()
        };
        assert_eq!(
            describe("INVALID_QUERY", "filter, line 1, column 8: found '=', expected an operator", &query),
            "INVALID_QUERY: filter, line 1, column 8: found '=', expected an operator\n  status = 'x'\n         ^",
        );
        assert_eq!(
            describe("INVALID_QUERY", "orderBy, line 1, column 3: found 'descending'; not 'filter'", &query),
            "INVALID_QUERY: orderBy, line 1, column 3: found 'descending'; not 'filter'\n  a descending\n    ^",
        );
        assert_eq!(
            describe("INVALID_QUERY", "unknown edge 'order'", &query),
            "INVALID_QUERY: unknown edge 'order'"
        );
        assert_eq!(describe("X", "filter, line 1", &query), "X: filter, line 1");
        assert_eq!(describe("X", "a\u{1b}[2J", &query), "X: a·[2J");
    }
}
