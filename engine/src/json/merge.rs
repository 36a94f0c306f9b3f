//! JSON Merge Patch (RFC 7396) over text: what is not changed keeps its bytes.

use std::borrow::Cow;

use liveset_core::json::{Skim, text};

use super::compact;

/// Appends `target` as `patch` changes it to `out`, without white space between tokens. Both were read before, which bounds how deep
/// they nest. The patch sorts its keys, so that the cost is O(bytes · log keys of the patch).
pub(crate) fn merge(target: &[u8], patch: &[u8], out: &mut Vec<u8>) {
    let Some(members) = Members::of(patch) else {
        compact(patch, out);
        return;
    };
    let mut is_used = vec![false; members.all.len()];
    let mut writer = Writer { out, is_first: true };
    writer.out.push(b'{');
    let mut skim = Skim::new(target);
    // What is no object counts as an empty one.
    if skim.skip(b'{') {
        while let Some(key) = skim.key() {
            let value = skim.value();
            match members.find(key) {
                None => {
                    writer.key(key);
                    compact(value, writer.out);
                }
                Some(place) => {
                    is_used[place] = true;
                    let patch = members.all[place].value;
                    if patch != b"null" {
                        writer.key(key);
                        merge(value, patch, writer.out);
                    }
                }
            }
            skim.skip(b',');
        }
    }
    for (member, is_used) in members.all.iter().zip(is_used) {
        if !is_used && member.value != b"null" {
            writer.key(member.key);
            merge(b"", member.value, writer.out);
        }
    }
    writer.out.push(b'}');
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
}

impl Writer<'_> {
    fn key(&mut self, key: &[u8]) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        self.out.extend_from_slice(key);
        self.out.push(b':');
    }
}

/// The members of an object, in their order.
struct Members<'p> {
    all: Vec<Member<'p>>,
    /// Their places, by their names.
    sorted: Vec<(Cow<'p, str>, usize)>,
}

struct Member<'p> {
    /// With its quotes.
    key: &'p [u8],
    value: &'p [u8],
}

impl<'p> Members<'p> {
    /// `None` where the text is no object.
    fn of(object: &'p [u8]) -> Option<Self> {
        let mut skim = Skim::new(object);
        if !skim.skip(b'{') {
            return None;
        }
        let mut all = Vec::new();
        while let Some(key) = skim.key() {
            all.push(Member { key, value: skim.value() });
            skim.skip(b',');
        }
        let mut sorted: Vec<_> =
            all.iter().enumerate().map(|(place, member)| (name(member.key), place)).collect();
        sorted.sort_unstable();
        Some(Self { all, sorted })
    }

    fn find(&self, key: &[u8]) -> Option<usize> {
        let name = name(key);
        let found = self.sorted.binary_search_by(|(other, _)| other.cmp(&name)).ok()?;
        self.sorted.get(found).map(|(_, place)| *place)
    }
}

/// What a key in quotes spells.
fn name(key: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(key).ok().and_then(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(target: &str, patch: &str) -> String {
        let mut out = Vec::new();
        merge(target.as_bytes(), patch.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    /// The test cases of the RFC, appendix A.
    #[test]
    fn the_cases_of_the_rfc() {
        for (target, patch, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(merged(target, patch), expected, "{target} and {patch}");
        }
    }

    #[test]
    fn tokens_keep_their_bytes_and_keys_are_compared_by_what_they_spell() {
        let target = r#"{"n":1.10,"\u0061":{"deep":1e2},"b":[ 1, 2 ]}"#;
        assert_eq!(
            merged(target, " { \"a\" : {\"x\": 1.50 } , \"\\u0062\" : null } "),
            r#"{"n":1.10,"\u0061":{"deep":1e2,"x":1.50}}"#
        );
        assert_eq!(merged(r#"{"a":"null"}"#, r#"{"b":"null"}"#), r#"{"a":"null","b":"null"}"#);
    }
}
