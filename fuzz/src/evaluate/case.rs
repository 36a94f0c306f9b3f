//! A query, nodes and a moment, read from bytes so that most of them make sense.
//!
//! The first line is the filter in prefix notation, a character for each choice; any other character stands for one of them too.
//! The lines behind it begin with what they are:
//!
//! ```text
//! &n<p0#2f2        n < 2 and f: see `Source::expr`
//! @2024-02-29      now
//! ^a+b-            the order: paths and directions
//! .ab              the fields
//! #2               the limit
//! =a1b2            a node: paths and values, each a character
//! {"a":1.5}        a node
//! ```
//!
//! A path is a character from `0`, a value one from `!`: numbers, then texts from `5`, moments from `A`, and the rest from `K`.

use crate::oracle::{
    Cmp, Direction, Expr, Lit, Nanos, Path, Query, Sum, TextOp, Unit, build::names, instant,
};
use crate::policy::digit;

const PATHS: [&str; 12] = ["n", "s", "f", "t", "at", "due", "o", "o.x", "o.at", "in", "odd name", "missing"];

const NUMBERS: [&str; 20] = [
    "0",
    "1",
    "2",
    "-1",
    "-0.0",
    "1.0",
    "1.5",
    "1e2",
    "100",
    "5e-324",
    "-1e-7",
    "1e300",
    "-1e300",
    "9007199254740992",
    "9007199254740993",
    "9007199254740993.0",
    "9223372036854775807",
    "9223372036854775808.0",
    "-9223372036854775808",
    "18446744073709551615",
];

const TEXTS: [&str; 12] = [
    "",
    "a",
    "ab",
    "b",
    "é",
    "\u{ffff}",
    "𝄞",
    "it's \"so\"",
    "line\nbreak",
    "2024-02-29",
    "2024-02-30",
    "2024-02-29T01:00:00+01:00",
];

const MOMENTS: [&str; 10] = [
    "2024-02-29",
    "2024-01-31T10:00:00Z",
    "2024-02-28T23:59:59.999999999Z",
    "2024-03-31T10:00:00-05:30",
    "2023-12-31",
    "2024-01-01T02:00:00+02:00",
    "1999-12-31",
    "9999-12-31T23:59:59Z",
    "0000-01-01",
    "2024-02-29T12:00:00.5Z",
];

const OTHERS: [&str; 12] = [
    "null",
    "true",
    "false",
    "[]",
    "[1,\"a\"]",
    "[1.0,2,null]",
    "[\"2024-02-29\",true]",
    "[[1],{\"x\":1}]",
    "{}",
    "{\"x\":1}",
    "{\"x\":1.0,\"at\":\"2024-02-29\"}",
    "{\"at\":null}",
];

const COUNTS: [u64; 10] = [1, 0, 2, 12, 13, 30, 90, 400, 9_999, u64::MAX];
/// Of an expression: more only repeats itself.
const DEPTH: usize = 6;

#[derive(Debug)]
pub(super) struct Case {
    pub(super) query: Query,
    pub(super) now: Nanos,
    /// Without their key, which is put in front.
    pub(super) nodes: Vec<String>,
    /// Decides between the spellings of the filter.
    pub(super) spelling: u64,
}

impl Case {
    pub(super) fn read(data: &[u8], set: &str) -> Self {
        let mut lines = data.split(|byte| *byte == b'\n');
        let mut source = Source { rest: lines.next().unwrap_or_default() };
        let mut query = Query::new(set).filter(source.expr(DEPTH));
        let mut now = instant("2024-02-29").unwrap_or_default();
        let mut nodes = Vec::new();
        for line in lines.take(32) {
            let Some((first, rest)) = line.split_first() else { continue };
            match first {
                b'@' => now = str::from_utf8(rest).ok().and_then(instant).unwrap_or(now),
                b'^' => {
                    let keys = rest.as_chunks::<2>().0.iter().take(4);
                    let direction = |byte| if byte == b'-' { Direction::Desc } else { Direction::Asc };
                    query.order = keys.map(|[path, way]| (path_of(*path), direction(*way))).collect();
                }
                b'.' => query.fields = Some(rest.iter().take(4).map(|byte| path_of(*byte)).collect()),
                b'#' => query.limit = rest.first().map(|byte| u64::from(digit(*byte)).max(1)),
                b'{' => nodes.extend(str::from_utf8(rest).ok().map(str::to_owned)),
                _ => nodes.push(node(rest)),
            }
        }
        let spelling = data.iter().fold(0, |hash: u64, byte| hash.rotate_left(5) ^ u64::from(*byte));
        Self { query, now, nodes, spelling }
    }
}

/// Objects inside are written whole.
fn node(line: &[u8]) -> String {
    let mut members = Vec::new();
    for [path, value] in line.as_chunks::<2>().0.iter().take(8) {
        let name = PATHS[usize::from(digit(*path)) % PATHS.len()];
        // A node that has a field twice is refused.
        let name = name.split('.').next().unwrap_or(name);
        let member = format!("\"{name}\":");
        if !members.iter().any(|other: &String| other.starts_with(&member)) {
            members.push(member + &value_of(*value));
        }
    }
    members.join(",") + "}"
}

fn value_of(byte: u8) -> String {
    let n = usize::from(byte.wrapping_sub(b'!'));
    let text = |text: &str| serde_json::Value::from(text).to_string();
    match n % 54 {
        n @ 0..20 => NUMBERS[n].to_owned(),
        n @ 20..32 => text(TEXTS[n - 20]),
        n @ 32..42 => text(MOMENTS[n - 32]),
        n => OTHERS[n - 42].to_owned(),
    }
}

fn path_of(byte: u8) -> Path {
    names(PATHS[usize::from(digit(byte)) % PATHS.len()])
}

struct Source<'a> {
    rest: &'a [u8],
}

impl Source<'_> {
    /// 0 at the end.
    fn next(&mut self) -> u8 {
        let (first, rest) = self.rest.split_first().unwrap_or((&0, &[]));
        self.rest = rest;
        *first
    }

    /// One of the letters; any other character stands for one of them.
    fn letter(&mut self, of: &[u8]) -> u8 {
        let next = self.next();
        if of.contains(&next) { next } else { of[usize::from(next) % of.len()] }
    }

    fn number(&mut self) -> usize {
        usize::from(digit(self.next()))
    }

    /// | letter | followed by | the expression |
    /// | --- | --- | --- |
    /// | `f` | path | a field alone |
    /// | `n` `m` `t` `b` | comparison, two sums | numbers, moments, texts or booleans compare |
    /// | `q` | `=` or `!`, two sums | anything is the same as anything, or not |
    /// | `i` | sum, list | `in` |
    /// | `y` `l` | path, list | `anyof`, `allof` |
    /// | `s` `e` `c` | two sums | text begins with text, ends with it, contains it |
    /// | `&` `\|` | two expressions | and, or |
    /// | `!` | expression | not |
    /// | `T` `F` | | a constant |
    fn expr(&mut self, depth: usize) -> Expr {
        let letters: &[u8] = if depth == 0 { b"fnmtbqiylsec" } else { b"fnmtbqiylsec&|!TF" };
        match self.letter(letters) {
            b'n' => self.compare(Self::numbers),
            b'm' => self.compare(Self::moments),
            b't' => self.compare(Self::texts),
            b'b' => self.compare(Self::booleans),
            b'q' => {
                let cmp = if self.letter(b"=!") == b'=' { Cmp::Eq } else { Cmp::Ne };
                Expr::Compare(self.anything(), cmp, self.anything())
            }
            b'i' => Expr::In(self.anything(), self.list()),
            b'y' => Expr::AnyOf(self.path(), self.list()),
            b'l' => Expr::AllOf(self.path(), self.list()),
            b's' => Expr::Text(self.texts(), TextOp::StartsWith, self.texts()),
            b'e' => Expr::Text(self.texts(), TextOp::EndsWith, self.texts()),
            b'c' => Expr::Text(self.texts(), TextOp::Contains, self.texts()),
            b'&' => Expr::And(vec![self.expr(depth - 1), self.expr(depth - 1)]),
            b'|' => Expr::Or(vec![self.expr(depth - 1), self.expr(depth - 1)]),
            b'!' => Expr::Not(Box::new(self.expr(depth - 1))),
            b'T' => Expr::Const(true),
            b'F' => Expr::Const(false),
            _ => Expr::Flag(path_of(self.next())),
        }
    }

    fn compare(&mut self, sum: fn(&mut Self) -> Sum) -> Expr {
        let cmp = match self.letter(b"=!<l>g") {
            b'=' => Cmp::Eq,
            b'!' => Cmp::Ne,
            b'<' => Cmp::Lt,
            b'l' => Cmp::Le,
            b'>' => Cmp::Gt,
            _ => Cmp::Ge,
        };
        Expr::Compare(sum(self), cmp, sum(self))
    }

    /// `p` path, `#` number, `0` nothing, `+` and `-` two of them.
    fn numbers(&mut self) -> Sum {
        let first = |source: &mut Self, letter| match letter {
            b'#' => Sum::Lit(source.number_literal()),
            _ => source.path(),
        };
        match self.letter(b"p#+-0") {
            b'0' => Sum::Lit(Lit::Nothing),
            sign @ (b'+' | b'-') => {
                let letter = self.letter(b"p#");
                let a = Box::new(first(self, letter));
                let letter = self.letter(b"p#");
                let b = Box::new(first(self, letter));
                if sign == b'+' { Sum::Add(a, b) } else { Sum::Sub(a, b) }
            }
            letter => first(self, letter),
        }
    }

    /// `p` path, `n` now, `@` an instant, each followed by `+` or `-` and a duration as often as wanted, or `.`; `0` nothing.
    fn moments(&mut self) -> Sum {
        let mut sum = match self.letter(b"pn@0") {
            b'p' => self.path(),
            b'n' => Sum::Now,
            b'0' => return Sum::Lit(Lit::Nothing),
            _ => Sum::Lit(self.instant_literal()),
        };
        for _ in 0..3 {
            sum = match self.letter(b".+-") {
                b'+' => Sum::Add(Box::new(sum), Box::new(Sum::Lit(self.duration()))),
                b'-' => Sum::Sub(Box::new(sum), Box::new(Sum::Lit(self.duration()))),
                _ => break,
            };
        }
        sum
    }

    fn texts(&mut self) -> Sum {
        match self.letter(b"pt0") {
            b't' => Sum::Lit(self.text_literal()),
            b'0' => Sum::Lit(Lit::Nothing),
            _ => self.path(),
        }
    }

    fn booleans(&mut self) -> Sum {
        match self.letter(b"pTF0") {
            b'T' => Sum::Lit(Lit::Bool(true)),
            b'F' => Sum::Lit(Lit::Bool(false)),
            b'0' => Sum::Lit(Lit::Nothing),
            _ => self.path(),
        }
    }

    fn anything(&mut self) -> Sum {
        match self.letter(b"pnmtbd") {
            b'n' => self.numbers(),
            b'm' => self.moments(),
            b't' => self.texts(),
            b'b' => self.booleans(),
            b'd' => Sum::Lit(self.duration()),
            _ => self.path(),
        }
    }

    /// Literals, each with a letter in front, up to `.`.
    fn list(&mut self) -> Vec<Lit> {
        let mut list = Vec::new();
        while list.len() < 6 {
            list.push(match self.letter(b".#t@TF0") {
                b'#' => self.number_literal(),
                b't' => self.text_literal(),
                b'@' => self.instant_literal(),
                b'T' => Lit::Bool(true),
                b'F' => Lit::Bool(false),
                b'0' => Lit::Nothing,
                _ => break,
            });
        }
        list
    }

    fn path(&mut self) -> Sum {
        Sum::Path(path_of(self.next()))
    }

    fn number_literal(&mut self) -> Lit {
        Lit::Num(NUMBERS[self.number() % NUMBERS.len()].to_owned())
    }

    fn text_literal(&mut self) -> Lit {
        Lit::Text(TEXTS[self.number() % TEXTS.len()].to_owned())
    }

    fn instant_literal(&mut self) -> Lit {
        Lit::Instant(MOMENTS[self.number() % MOMENTS.len()].to_owned())
    }

    fn duration(&mut self) -> Lit {
        let count = COUNTS[self.number() % COUNTS.len()];
        Lit::Duration(count, Unit::ALL[self.number() % Unit::ALL.len()])
    }
}
