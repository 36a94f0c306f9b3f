//! Naming a node that was refused.

use std::borrow::Cow;

use liveset_core::json::{Skim, text};

/// The probable key of a node that was refused, to name it in the error: the text in single quotes, or the number;
/// `?` where there is none. Shortened, on one line.
pub(crate) fn guess_text_field(node: &[u8], key: &str) -> String {
    let mut skim = Skim::new(node);
    skim.skip(b'{');
    while let Some(name) = skim.key() {
        let value = skim.value();
        if text_of(name).is_some_and(|name| name == key) {
            let shown = match text_of(value) {
                Some(text) => text.into_owned(),
                None if value.first().is_some_and(|byte| b"-0123456789".contains(byte)) => {
                    String::from_utf8_lossy(value).into_owned()
                }
                None => break,
            };
            let shown: String = shown.chars().take(128).flat_map(char::escape_debug).collect();
            return format!("'{shown}'");
        }
        if !skim.skip(b',') {
            break;
        }
    }
    String::from("?")
}

/// The text that a quoted token means.
pub(crate) fn text_of(token: &[u8]) -> Option<Cow<'_, str>> {
    text(std::str::from_utf8(token).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_nodes_are_named_where_they_can_be() {
        let cases = [
            (r#"{"a":1e400,"id":"x"}"#, "'x'"),
            (r#"{ "a" : [ "}" , {"id":2} ] , "id" : -5 }"#, "'-5'"),
            (r#"{"id":"x","id":"y"}"#, "'x'"),
            (r#"{"id":null}"#, "?"),
            (r#"{"id":{"id":1}}"#, "?"),
            (r#"{"a":1}"#, "?"),
            (r#"["id"]"#, "?"),
            (r#"{"\u0069d":"a\nb"}"#, "'a\\nb'"),
            (r#"{"id":"x"#, "?"),
            ("", "?"),
        ];
        for (node, shown) in cases {
            assert_eq!(guess_text_field(node.as_bytes(), "id"), shown, "{node}");
        }
    }
}
