//! The parameters of a query, as members of one object: `{ "customer": 7, "since": { "instant": "2025-12-07" } }`.

use std::collections::BTreeMap;

use super::read::{Members, Refused, shortened};
use super::write::write_text;
use super::{Field, Plain};
use crate::json::{self, Numeral};
use crate::model::Param;

impl<'a> Field<'a, Plain> for BTreeMap<String, Param> {
    fn read(piece: &'a str, id_bytes: usize) -> Result<Self, Refused> {
        let mut members = Vec::new();
        Members::inside(piece, &[])?;
        json::read(piece, usize::MAX, |name, value| members.push((name.to_owned(), value)))?;
        let read = |(name, value): (String, &'a str)| match Param::read(value, id_bytes) {
            Ok(value) => Ok((name, value)),
            Err(refused) => Err(refused.within(shortened(&name))),
        };
        members.into_iter().map(read).collect()
    }

    fn write(&self, out: &mut Vec<u8>) {
        for (index, (name, value)) in self.iter().enumerate() {
            out.push(if index == 0 { b'{' } else { b',' });
            write_text(out, name);
            out.push(b':');
            value.write(out);
        }
        out.extend_from_slice(if self.is_empty() { b"{}" } else { b"}" });
    }

    fn absent() -> Option<Self> {
        Some(BTreeMap::new())
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl<'a> Field<'a, Plain> for Param {
    fn read(piece: &'a str, id_bytes: usize) -> Result<Param, Refused> {
        let other = "must be a string, a number, true, false, null, { \"instant\": \"…\" }, { \"duration\": \"…\" } or an array of these";
        Ok(match piece.as_bytes().first() {
            Some(b'"') => Param::Text(Field::<Plain>::read(piece, id_bytes)?),
            Some(b't' | b'f') => Param::Bool(Field::<Plain>::read(piece, id_bytes)?),
            Some(b'n') => Param::Nothing,
            Some(b'[') => {
                let items: Vec<Param> = Field::<Plain>::read(piece, id_bytes)?;
                match items.iter().position(|item| matches!(item, Param::List(_))) {
                    Some(index) => {
                        return Err(Refused::new("must not be an array in an array").in_item(index));
                    }
                    None => Param::List(items),
                }
            }
            Some(b'{') => {
                const NAMES: &[&str] = &["instant", "duration"];
                let members = Members::inside(piece, NAMES)?;
                members.strict(NAMES)?;
                let text = |name| members.take::<Option<Box<str>>, Plain>(name, id_bytes);
                match (text("instant")?, text("duration")?) {
                    (Some(instant), None) => Param::Instant(instant),
                    (None, Some(duration)) => Param::Duration(duration),
                    _ => return Err(Refused::new(other)),
                }
            }
            _ => {
                let number = Numeral::read(piece.as_bytes()).and_then(|numeral| numeral.value(piece));
                Param::Number(number.ok_or_else(|| Refused::new(other))?)
            }
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut object = |name: &str, text: &str| {
            out.push(b'{');
            write_text(out, name);
            out.push(b':');
            write_text(out, text);
            out.push(b'}');
        };
        match self {
            Param::Nothing => out.extend_from_slice(b"null"),
            Param::Bool(value) => Field::<Plain>::write(value, out),
            Param::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Param::Text(text) => write_text(out, text),
            Param::Instant(text) => object("instant", text),
            Param::Duration(text) => object("duration", text),
            Param::List(items) => Field::<Plain>::write(items, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::json::Number;
    use crate::model::{Param, Query};

    fn read(params: &str) -> Result<Query, String> {
        let json = format!(r#"{{"edge":"a","params":{params}}}"#);
        Query::parse(json.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn every_value_reads_back() {
        let params = r#"{"a":null,"b":true,"c":-7,"d":18446744073709551615,"e":2.0,"f":"it's $x","g":{"instant":"2025-12-07"},"h":{"duration":"7 days"},"i":[1,"x",{"instant":"2025-12-07"},null],"j":[],"k\"é":1e3}"#;
        let query = read(params).unwrap();
        assert_eq!(query.params["d"], Param::Number(Number::UInt(u64::MAX)));
        assert_eq!(query.params["k\"é"], Param::from(1000.0));
        let Param::List(items) = &query.params["i"] else { panic!("{query:?}") };
        assert_eq!(items[2..], [Param::Instant("2025-12-07".into()), Param::Nothing]);
        let mut out = Vec::new();
        query.write(&mut out);
        assert_eq!(Query::parse(&out), Ok(query));
    }

    #[test]
    fn no_parameters_are_not_written() {
        for params in ["{}", "null", " { } "] {
            let mut out = Vec::new();
            read(params).unwrap().write(&mut out);
            assert_eq!(out, br#"{"edge":"a"}"#, "{params}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused_at_its_place() {
        let cases = [
            ("[]", "'query.params' must be an object"),
            ("7", "'query.params' must be an object"),
            (r#"{"a":{}}"#, "'query.params.a' must be a string, a number,"),
            (r#"{"a":{"instant":"x","duration":"y"}}"#, "'query.params.a' must be a string, a number,"),
            (r#"{"a":{"instant":5}}"#, "'query.params.a.instant' must be a string"),
            (
                r#"{"a":{"moment":"x"}}"#,
                "'query.params.a' has an unknown field 'moment': expected one of 'instant', 'duration'",
            ),
            (r#"{"a":[1,[2]]}"#, "'query.params.a[1]' must not be an array in an array"),
            (r#"{"a":[{"x":1}]}"#, "'query.params.a[0]' has an unknown field 'x'"),
            (r#"{"a":1,"a":2}"#, "duplicate key \"a\""),
            (r#"{"a":18446744073709551616}"#, "beyond 64 bits"),
        ];
        for (params, expected) in cases {
            let error = read(params).unwrap_err();
            assert!(error.contains(expected), "{params}: {error}");
        }
    }
}
