//! The fields of a row, read only as far as the table shows them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of a JSON object, in their order, not read.
pub(super) struct Fields<'de>(pub(super) Vec<(Cow<'de, str>, &'de RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        json.deserialize_map(FieldsVisitor)
    }
}

/// The names of the top-level fields of a row. A row that is no object has none.
pub(super) fn names(row: &[u8]) -> Vec<String> {
    let fields = serde_json::from_slice::<Fields<'_>>(row).map(|fields| fields.0).unwrap_or_default();
    fields.into_iter().map(|(name, _)| name.into_owned()).collect()
}

/// What a row has at a path, as a cell shows it: text as it is, everything else as JSON; nothing where it is absent.
pub(super) fn text_at(row: &[u8], path: &[String]) -> String {
    let Some((name, rest)) = path.split_first() else { return String::new() };
    let Ok(fields) = serde_json::from_slice::<Fields<'_>>(row) else { return String::new() };
    let Some((_, value)) = fields.0.iter().find(|(field, _)| field == name) else { return String::new() };
    if !rest.is_empty() {
        return text_at(value.get().as_bytes(), rest);
    }
    match serde_json::from_str::<Cow<'_, str>>(value.get()) {
        Ok(text) => text.into_owned(),
        Err(_) => value.get().to_owned(),
    }
}

/// The names of a path as the query language writes it: `a.b`, or `` `a.b`.c `` where a name has a dot.
pub(super) fn path(text: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '`' => quoted = !quoted,
            '.' if !quoted => names.push(String::new()),
            c if c.is_whitespace() && !quoted => {}
            c => names.last_mut().into_iter().for_each(|name| name.push(c)),
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_show_text_and_json() {
        let row = br#"{"id":"a\u00e9","n":1.10,"deep":{"x":{"y":[1,2]}},"none":null}"#;
        for (at, shown) in [
            ("id", "aé"),
            ("n", "1.10"),
            ("deep.x.y", "[1,2]"),
            ("none", "null"),
            ("absent", ""),
            ("n.x", ""),
        ] {
            assert_eq!(text_at(row, &path(at)), shown, "{at}");
        }
        assert_eq!(names(row), ["id", "n", "deep", "none"]);
        assert!(names(b"[1]").is_empty());
    }

    #[test]
    fn paths_are_split_outside_of_backticks() {
        assert_eq!(path("a . b"), ["a", "b"]);
        assert_eq!(path("`a.b`.c"), ["a.b", "c"]);
        assert_eq!(path("a"), ["a"]);
    }
}
