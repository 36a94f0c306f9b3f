//! Reading only what is wanted of a JSON text, and checking all of it.

pub(super) mod scan;

use smallvec::SmallVec;

use self::scan::Scan;
use super::{JsonError, compact, digest, parse, whole};
use crate::limits::JsonLimits;
use crate::path::Path;
use crate::value::Value;

/// For text that was read under some limit before.
const ANY_NESTING: JsonLimits = JsonLimits { nesting: usize::MAX };

/// The paths to be read, as a tree over names.
#[derive(Debug)]
pub(crate) struct Wanted {
    root: Node,
    count: usize,
}

/// A name in the tree, or its root.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The places of the paths that end here.
    slots: SmallVec<[usize; 2]>,
    /// By hash, then by name. Clients choose the names and know the hash: a search by halves takes as long for names of one hash
    /// as for others.
    children: Vec<Child>,
}

#[derive(Debug)]
struct Child {
    hash: u64,
    name: Box<str>,
    node: Node,
}

impl Wanted {
    /// The value of the first path goes to the first place, and so on. One may be the beginning of another, or occur again.
    pub(crate) fn new<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Wanted {
        let mut root = Node::default();
        let mut count = 0;
        for path in paths {
            path.names().fold(&mut root, Node::child_mut).slots.push(count);
            count += 1;
        }
        Wanted { root, count }
    }
}

impl Node {
    /// Whether the value itself is wanted.
    pub(super) fn is_whole(&self) -> bool {
        !self.slots.is_empty()
    }

    /// Whether nothing inside is wanted.
    pub(super) fn is_leaf(&self) -> bool {
        self.children.is_empty()
    }

    /// The node of a member; `hash` is that of the name.
    pub(super) fn child(&self, name: &str, hash: u64) -> Option<&Node> {
        self.place_of(name, hash).ok().map(|place| &self.children[place].node)
    }

    fn child_mut(&mut self, name: &str) -> &mut Node {
        let hash = digest::hash(name);
        let place = self.place_of(name, hash).unwrap_or_else(|place| {
            self.children.insert(place, Child { hash, name: name.into(), node: Node::default() });
            place
        });
        &mut self.children[place].node
    }

    /// Where the member is among the children, or where it would be.
    fn place_of(&self, name: &str, hash: u64) -> Result<usize, usize> {
        self.children
            .binary_search_by(|child| child.hash.cmp(&hash).then_with(|| child.name.as_ref().cmp(name)))
    }
}

/// What [`extract`] has read.
#[derive(Debug)]
pub(crate) struct Extracted {
    /// The value at each path, [`Value::Nothing`] where it is absent.
    pub(crate) values: Vec<Value>,
    /// Where in the text each of them begins, where it stands there by itself.
    pub(crate) starts: SmallVec<[u32; 16]>,
    /// Which of them are there, a bit each.
    present: SmallVec<[u64; 2]>,
    /// The same for equal values, whatever their spelling and the order of their keys; for others only by accident.
    pub(crate) digest: u64,
    /// The text without white space between its tokens, where it had some.
    pub(crate) compact: Option<Vec<u8>>,
}

impl Extracted {
    fn new(count: usize) -> Extracted {
        Extracted {
            values: std::iter::repeat_with(Value::default).take(count).collect(),
            starts: SmallVec::from_elem(0, count),
            present: SmallVec::from_elem(0, count.div_ceil(64)),
            digest: 0,
            compact: None,
        }
    }

    /// Whether there is a value at the path of this place: tells `null` from absent.
    pub(crate) fn was_present(&self, place: usize) -> bool {
        self.present.get(place / 64).is_some_and(|bits| bits >> (place % 64) & 1 == 1)
    }

    /// Keeps a value that begins at `start` for everything that is wanted of it.
    fn keep(&mut self, wanted: &Node, value: Value, start: usize) {
        if let Value::Object(object) = &value {
            for child in &wanted.children {
                if let Some(member) = object.field(&child.name) {
                    self.keep(&child.node, member.clone(), start);
                }
            }
        }
        if let Some((last, others)) = wanted.slots.split_last() {
            others.iter().for_each(|slot| self.set(*slot, value.clone(), start));
            self.set(*last, value, start);
        }
    }

    fn set(&mut self, place: usize, value: Value, start: usize) {
        if let (Some(slot), Some(bits)) = (self.values.get_mut(place), self.present.get_mut(place / 64)) {
            *slot = value;
            *bits |= 1 << (place % 64);
            self.starts[place] = start as u32;
        }
    }
}

/// Reads the wanted values of a JSON text, as [`parse`] would, and checks the rest of it just the same.
///
/// Costs one pass over the text and the memory of what is wanted.
///
/// # Errors
///
/// Those of [`parse`].
pub(crate) fn extract(text: &[u8], wanted: &Wanted, limits: &JsonLimits) -> Result<Extracted, JsonError> {
    let mut extracted = Extracted::new(wanted.count);
    let is_spaced = whole(text, limits, |scan| {
        extracted.digest =
            scan.select(&wanted.root, &mut |node, value, start| extracted.keep(node, value, start))?;
        scan.end().map(|()| scan.is_spaced())
    })?;
    if is_spaced {
        let mut out = Vec::new();
        compact(text, &mut out);
        extracted.compact = (out.len() < text.len()).then_some(out);
    }
    Ok(extracted)
}

/// The wanted values of a text that was read before: [`Value::Nothing`] where they are absent. One pass over the text.
pub(crate) fn select(raw: &[u8], wanted: &Wanted) -> Extracted {
    let mut extracted = Extracted::new(wanted.count);
    let read = whole(raw, &ANY_NESTING, |scan| {
        scan.select(&wanted.root, &mut |node, value, start| extracted.keep(node, value, start))
    });
    debug_assert!(read.is_ok(), "it was read before");
    extracted
}

/// The value at a path of a text that was read before: [`Value::Nothing`] where it is absent.
///
/// Passes over the text as far as the path, and reads only the value.
pub(crate) fn find(raw: &[u8], path: &Path) -> Value {
    let read = || {
        let mut scan = Scan::new(std::str::from_utf8(raw).ok()?, ANY_NESTING.enforced_nesting());
        path.names().try_for_each(|name| scan.enter_member(name))?;
        scan.value().ok()
    };
    read().map_or(Value::Nothing, |(value, _)| value)
}

/// Whether two texts that were read before have one value. Reads both whole, where their bytes differ.
pub(crate) fn is_same(a: &[u8], b: &[u8]) -> bool {
    let values = || Some((parse(a, &ANY_NESTING).ok()?, parse(b, &ANY_NESTING).ok()?));
    a == b || values().is_some_and(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::fuzzing;
    use crate::value::{Number, Object};

    const LIMITS: JsonLimits = JsonLimits { nesting: 64 };

    fn read(text: &str) -> Extracted {
        extract(text.as_bytes(), &Wanted::new([]), &LIMITS).unwrap()
    }

    fn path(names: &[&str]) -> Path {
        Path::from_names(names.iter().map(|name| Box::from(*name)).collect())
    }

    #[test]
    fn wanted_paths_may_overlap() {
        let text = r#"{"a":{"b":{"c":1},"d":null},"x":[{"a":1}],"\u0061\u0061":2}"#;
        let whole = parse(text.as_bytes(), &LIMITS).unwrap();
        let names: [&[&str]; 11] = [
            &["a"],
            &["a", "b"],
            &["a", "b", "c"],
            &["a", "b", "c", "d"],
            &["a"],
            &["a", "d"],
            &["a", "e"],
            &["x"],
            &["x", "a"],
            &["aa"],
            &[],
        ];
        for skipped in 0..names.len() {
            let paths: Vec<Path> =
                names.iter().cycle().skip(skipped).take(7).map(|names| path(names)).collect();
            let extracted = extract(text.as_bytes(), &Wanted::new(&paths), &LIMITS).unwrap();
            for (place, path) in paths.iter().enumerate() {
                assert_eq!(extracted.values[place], *whole.at(path), "{path}");
                assert_eq!(extracted.was_present(place), whole.find(path).is_some(), "{path}");
                assert_eq!(find(text.as_bytes(), path), *whole.at(path), "{path}");
            }
            assert_eq!(select(text.as_bytes(), &Wanted::new(&paths)).values, extracted.values);
            assert!(!extracted.was_present(paths.len()) && !extracted.was_present(1_000));
        }
    }

    #[test]
    fn nesting_is_that_of_the_limit() {
        for nesting in 0..4 {
            let limits = JsonLimits::default().nesting(nesting);
            for depth in 0..5 {
                let (lists, objects) = ("[".repeat(depth), "{\"a\":".repeat(depth));
                for text in
                    [format!("{lists}1{}", "]".repeat(depth)), format!("{objects}1{}", "}".repeat(depth))]
                {
                    let extracted = extract(text.as_bytes(), &Wanted::new([]), &limits);
                    assert_eq!(extracted.err(), parse(text.as_bytes(), &limits).err(), "{text} in {nesting}");
                }
            }
        }
    }

    #[test]
    fn many_members_and_many_paths_are_read() {
        let names: Vec<String> = (0..300).map(|i| format!("n{i}")).collect();
        let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":\"{name}\"")).collect();
        let paths: Vec<Path> = names.iter().map(|name| Path::field(name)).collect();
        let text = format!("{{{}}}", members.join(","));
        let extracted = extract(text.as_bytes(), &Wanted::new(&paths), &LIMITS).unwrap();
        for (place, name) in names.iter().enumerate() {
            assert_eq!(extracted.values[place].as_text(), Some(&**name));
            assert!(extracted.was_present(place));
        }
        for count in [2, 24, 25, 26, 300] {
            let text = format!("{{{},{}}}", members[..count].join(","), members[count / 2]);
            let error = extract(text.as_bytes(), &Wanted::new(&paths), &LIMITS).unwrap_err();
            assert_eq!(error, parse(text.as_bytes(), &LIMITS).unwrap_err());
        }
    }

    #[test]
    fn white_space_is_taken_out() {
        assert_eq!(read("[1,\"a b\"]").compact, None);
        for text in [" [1,2]", "[1 ,2]", "[1,2\t]", "[1,2]\r\n", "\n[\n1,2]"] {
            assert_eq!(read(text).compact.as_deref(), Some(&b"[1,2]"[..]), "{text}");
        }
    }

    #[test]
    fn digests_and_comparison_tell_respelling_from_change() {
        let cases = [
            ("{\"a\":1,\"b\":[]}", "{\"b\":[],\"\\u0061\":1}", true),
            ("[1]", "[1.0]", true),
            ("[1.0]", "[1e0]", true),
            ("100", "1e2", true),
            ("0", "-0", true),
            ("0", "-0.0", true),
            ("0.0", "-0.0", true),
            ("9223372036854775808", "9223372036854775808.0", true),
            ("-9223372036854775808", "-9223372036854775808.0", true),
            ("9007199254740993", "9007199254740993.0", false),
            ("9223372036854775807", "9223372036854775808.0", false),
            ("18446744073709551615", "18446744073709551616.0", false),
            ("18446744073709551615", "-1", false),
            ("1.5", "1.25", false),
            ("\"1\"", "1", false),
            ("[[],1]", "[1,[]]", false),
            ("[[1]]", "[1]", false),
            ("[]", "{}", false),
            ("{\"a\":1,\"b\":2}", "{\"a\":2,\"b\":1}", false),
            ("{\"a\":{\"b\":1}}", "{\"b\":{\"a\":1}}", false),
            ("{\"a\":null}", "{}", false),
            ("\"aaaaaaaa\"", "\"aaaaaaaaa\"", false),
            ("null", "false", false),
            ("\"\"", "null", false),
        ];
        for (a, b, same) in cases {
            assert_eq!(is_same(a.as_bytes(), b.as_bytes()), same, "{a} and {b}");
            assert_eq!(read(a).digest == read(b).digest, same, "{a} and {b}");
        }
    }

    struct Random(Rng);

    impl Random {
        fn text(&mut self) -> String {
            let letters = ['a', 'b', '"', '\\', '\n', '\0', ' ', 'ü', '😀', '/', '\u{7f}', '\u{ffff}'];
            let (length, letter_kinds) = (self.0.usize(..24), 2 + self.0.usize(..11));
            (0..length).map(|_| letters[self.0.usize(..letter_kinds)]).collect()
        }

        fn number(&mut self) -> Number {
            let bits = self.0.u64(..);
            match self.0.usize(..5) {
                0 => Number::Int(bits as i64 >> self.0.usize(..64)),
                1 => Number::from(bits >> self.0.usize(..64)),
                2 => Number::Float((bits >> self.0.usize(..64)) as i64 as f64 / 100.0),
                3 => Number::Float((bits >> self.0.usize(..64)) as f64),
                _ => Number::from_f64(f64::from_bits(bits)).unwrap_or(Number::Float(0.1)),
            }
        }

        fn value(&mut self, depth: usize) -> Value {
            match self.0.usize(..if depth == 0 { 5 } else { 8 }) {
                0 => Value::Nothing,
                1 => Value::Bool(self.0.usize(..2) == 0),
                2 => Value::Number(self.number()),
                3 | 4 => Value::Text(self.text().into()),
                5 => Value::List((0..self.0.usize(..5)).map(|_| self.value(depth - 1)).collect()),
                _ => {
                    let mut members: Vec<(Box<str>, Value)> = Vec::new();
                    for _ in 0..self.0.usize(..6) {
                        let key: Box<str> =
                            if self.0.usize(..2) == 0 { "ab".into() } else { self.text().into() };
                        if members.iter().all(|(other, _)| *other != key) {
                            members.push((key, self.value(depth - 1)));
                        }
                    }
                    Value::Object(Object::from_entries(members).unwrap())
                }
            }
        }

        fn space(&mut self, out: &mut String) {
            while self.0.usize(..8) == 0 {
                out.push([' ', '\t', '\n', '\r'][self.0.usize(..4)]);
            }
        }

        fn quoted(&mut self, text: &str, out: &mut String) {
            out.push('"');
            for letter in text.chars() {
                if letter < ' ' || matches!(letter, '"' | '\\') || self.0.usize(..10) == 0 {
                    let mut units = [0; 2];
                    letter
                        .encode_utf16(&mut units)
                        .iter()
                        .for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
                } else {
                    out.push(letter);
                }
            }
            out.push('"');
        }

        /// Writes a value in one of its many spellings.
        fn spell(&mut self, value: &Value, out: &mut String) {
            self.space(out);
            match value {
                Value::Number(number) => match (number.integer(), self.0.usize(..4)) {
                    (Some(integer), 0) if integer.unsigned_abs() < 1 << 53 => {
                        out.push_str(&format!("{integer}.0"))
                    }
                    (Some(integer), 1) if integer.unsigned_abs() < 1 << 53 => {
                        out.push_str(&format!("{integer}E+0"))
                    }
                    (None, 0) => out.push_str(&format!("{:e}", number.to_f64())),
                    _ => out.push_str(&number.to_string()),
                },
                Value::Text(text) => self.quoted(text, out),
                Value::List(items) => {
                    out.push('[');
                    for (place, item) in items.iter().enumerate() {
                        if place > 0 {
                            out.push(',');
                        }
                        self.spell(item, out);
                    }
                    out.push(']');
                }
                Value::Object(object) => {
                    out.push('{');
                    let mut members: Vec<_> = object.iter().collect();
                    members.rotate_left(self.0.usize(..object.len().max(1)));
                    for (place, (key, value)) in members.into_iter().enumerate() {
                        if place > 0 {
                            out.push(',');
                        }
                        self.space(out);
                        self.quoted(key, out);
                        self.space(out);
                        out.push(':');
                        self.spell(value, out);
                    }
                    out.push('}');
                }
                word => out.push_str(match word {
                    Value::Bool(true) => "true",
                    Value::Bool(false) => "false",
                    _ => "null",
                }),
            }
            self.space(out);
        }

        fn spelled(&mut self, value: &Value) -> String {
            let mut out = String::new();
            self.spell(value, &mut out);
            out
        }
    }

    #[test]
    fn random_values_are_read_alike_in_every_spelling() {
        let mut random = Random(Rng::with_seed(1));
        let mut before = (Value::Nothing, String::from("null"));
        for _ in 0..4_000 {
            let value = random.value(3);
            let (a, b) = (random.spelled(&value), random.spelled(&value));
            fuzzing::json(a.as_bytes());
            assert_eq!(read(&a).digest, read(&b).digest, "{a} and {b}");
            assert!(is_same(a.as_bytes(), b.as_bytes()), "{a} and {b}");
            let unchanged = value == before.0;
            assert_eq!(read(&a).digest == read(&before.1).digest, unchanged, "{a} and {}", before.1);
            let whole = parse(a.as_bytes(), &LIMITS).unwrap();
            assert_eq!(digest::of(&whole), read(&a).digest, "{a}");
            before = (value, a);
        }
    }

    #[test]
    fn random_damage_is_refused_as_by_the_reader_of_everything() {
        let mut random = Random(Rng::with_seed(2));
        let alphabet = b"{}[]:,\"\\u0123d8e+-. ntrueflas\x01\xff\xc3";
        for _ in 0..4_000 {
            let value = random.value(3);
            let whole = random.spelled(&value).into_bytes();
            let mut text = whole.clone();
            for _ in 0..=random.0.usize(..3) {
                let place = random.0.usize(..text.len() + 1);
                let byte = alphabet[random.0.usize(..alphabet.len())];
                match random.0.usize(..5) {
                    0 => text.truncate(place),
                    1 if place < text.len() => text[place] = byte,
                    2 if place < text.len() => drop(text.remove(place)),
                    // A piece from elsewhere repeats members, among others.
                    3 => {
                        let (from, to) = (random.0.usize(..whole.len()), random.0.usize(..whole.len() + 1));
                        text.splice(place..place, whole[from.min(to)..to].iter().copied());
                    }
                    _ => text.insert(place, byte),
                }
            }
            fuzzing::json(&text);
        }
    }
}
