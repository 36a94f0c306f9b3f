//! Random nodes, commits, filters and queries: few values, so that everything collides.
#![allow(missing_docs, missing_debug_implementations)]

use fastrand::Rng;

use crate::oracle::build::names;
use crate::oracle::{
    Cmp, Direction, Expr, Lit, Nanos, Op, Path, Query, Sum, TextOp, Unit, format_instant, step,
};

/// Without declared fields, ids are text.
pub const THINGS: &str = "things";
/// `at`, `due` and `o.when` are declared instants, ids are integers.
pub const DATED: &str = "dated";
pub const DECLARED_INSTANTS: [&str; 3] = ["at", "due", "o.when"];

const NUMBERS: [&str; 23] = [
    "0",
    "-0.0",
    "1",
    "1.0",
    "-1",
    "2",
    "3",
    "1.5",
    "2.5",
    "100",
    "1e2",
    "0.1",
    "1e-7",
    "5e-324",
    "1e300",
    "-1e300",
    "9007199254740992",
    "9007199254740993",
    "9007199254740993.0",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
];

const TEXTS: [&str; 16] = [
    "",
    "a",
    "ab",
    "abc",
    "b",
    "B",
    "é",
    "𝄞",
    "\u{ffff}",
    "it's",
    "say \"hi\"",
    "back\\slash",
    "line\nbreak",
    "2024-01-01",
    "1",
    "true",
];

const MOMENTS: [&str; 10] = [
    "2024-01-01",
    "2024-01-01T00:00:00Z",
    "2024-01-01T02:00:00+02:00",
    "2023-12-31T23:59:59.999999999Z",
    "2024-01-31T10:00:00",
    "2024-02-29T12:00:00.5Z",
    "2024-03-31T10:00:00-05:30",
    "2023-02-28T23:59:59.999999999Z",
    "2025-12-07T21:45:05.000Z",
    "1999-12-31",
];

const NO_MOMENTS: [&str; 4] = ["2024-02-30", "2024-13-01T00:00:00Z", "tomorrow", "2024-01-01T25:00:00Z"];

const DURATIONS: [(u64, Unit); 14] = [
    (1, Unit::Years),
    (2, Unit::Years),
    (1, Unit::Months),
    (5, Unit::Months),
    (13, Unit::Months),
    (1, Unit::Weeks),
    (1, Unit::Days),
    (30, Unit::Days),
    (36, Unit::Hours),
    (90, Unit::Minutes),
    (10, Unit::Seconds),
    (1500, Unit::Milliseconds),
    (25_000_001, Unit::Ticks),
    (9000, Unit::Years),
];

/// One of some.
pub fn pick<'a, T>(random: &mut Rng, of: &'a [T]) -> &'a T {
    &of[random.usize(..of.len())]
}

pub struct Gen<'a> {
    pub r: &'a mut Rng,
    pub now: Nanos,
}

impl Gen<'_> {
    fn word(&mut self, words: &[&'static str]) -> &'static str {
        words[self.r.usize(..words.len())]
    }

    // --- nodes ---

    pub fn id(&mut self, set: &str, ids: usize) -> String {
        let n = self.r.usize(..ids);
        if set == DATED { (n as i64 - 3).to_string() } else { format!("n{n}") }
    }

    pub fn node(&mut self, set: &str, id: &str) -> String {
        let mut members =
            vec![if set == DATED { format!("\"no\":{id}") } else { format!("\"id\":\"{id}\"") }];
        let mut member = |r: &mut Rng, name: &str, of: usize, value: String| {
            if r.usize(..of) != 0 {
                members.push(format!("{}:{value}", text_json(name)));
            }
        };
        let value = self.anything(2);
        member(self.r, "a", 3, value);
        let value = if self.r.usize(..10) == 0 { self.anything(1) } else { self.number() };
        member(self.r, "n", 6, value);
        let value = if self.r.usize(..10) == 0 { self.anything(1) } else { text_json(self.word(&TEXTS)) };
        member(self.r, "s", 6, value);
        let value = (*pick(self.r, &["true", "false", "true", "false", "1", "\"true\"", "null"])).to_owned();
        member(self.r, "f", 6, value);
        let value = self.list(1);
        member(self.r, "t", 4, value);
        let value = (*pick(self.r, &["1", "2", "null"])).to_owned();
        member(self.r, "in", 2, value);
        member(self.r, "odd name", 4, text_json(["x", "y"][usize::from(self.now % 2 == 0)]));
        let declared = set == DATED;
        for name in ["at", "due"] {
            let value = self.moment(declared);
            member(self.r, name, 5, value);
        }
        let object = self.object(declared);
        member(self.r, "o", 4, object);
        // The order of the members is no part of the value.
        for i in (1..members.len()).rev() {
            members.swap(i, self.r.usize(..i + 1));
        }
        let comma = if self.r.usize(..20) == 0 { " ,\n " } else { "," };
        format!("{{{}}}", members.join(comma))
    }

    fn object(&mut self, declared: bool) -> String {
        if self.r.usize(..12) == 0 {
            return self.number();
        }
        let mut members = Vec::new();
        if self.r.usize(..4) < 3 {
            members.push(format!("\"x\":{}", self.number()));
        }
        if self.r.bool() {
            members.push(format!("\"y\":{}", text_json(self.word(&TEXTS))));
        }
        if self.r.usize(..3) == 0 {
            members.push(format!("\"z\":{{\"k\":{}}}", self.anything(0)));
        }
        if self.r.usize(..3) == 0 {
            members.push(format!("\"when\":{}", self.moment(declared)));
        }
        format!("{{{}}}", members.join(","))
    }

    /// Text in the form of an instant; where nothing is declared, not always.
    fn moment(&mut self, declared: bool) -> String {
        match self.r.usize(..12) {
            0 => text_json(self.word(&MOMENTS)),
            1 => "null".to_owned(),
            2 if !declared => text_json(self.word(&NO_MOMENTS)),
            3 if !declared => self.anything(1),
            4..=6 => {
                // Exactly at the edge of some `now ± duration`, as seen from a moment soon.
                let (count, unit) = *pick(self.r, &DURATIONS[..13]);
                let back = self.r.bool();
                let soon = self.now + i128::from(self.r.u64(0..=5)) * 1_000_000_000;
                text_json(&format_instant(step(soon, count, unit, back).unwrap_or(soon)))
            }
            _ => {
                let span = *pick(self.r, &[1u64, 1_000, 60_000, 86_400_000, 31_000_000_000]);
                let off = i128::from(self.r.u64(0..=2 * span)) - i128::from(span);
                text_json(&format_instant(self.now + off * 1_000_000))
            }
        }
    }

    fn number(&mut self) -> String {
        match self.r.usize(..6) {
            0 => self.word(&NUMBERS).to_owned(),
            // Where an f64 does not tell neighbours apart.
            1 => self.word(&NUMBERS[16..19]).to_owned(),
            _ => self.r.usize(..5).to_string(),
        }
    }

    fn list(&mut self, depth: usize) -> String {
        let items: Vec<_> = (0..self.r.usize(..4)).map(|_| self.anything(depth.saturating_sub(1))).collect();
        format!("[{}]", items.join(","))
    }

    fn anything(&mut self, depth: usize) -> String {
        match self.r.usize(..if depth == 0 { 6 } else { 8 }) {
            0 => "null".to_owned(),
            1 => "true".to_owned(),
            2 => "false".to_owned(),
            3 => self.number(),
            4 => text_json(self.word(&TEXTS)),
            5 => text_json(self.word(&MOMENTS)),
            6 => self.list(depth),
            _ => format!("{{\"k\":{},\"l\":{}}}", self.anything(depth - 1), self.anything(depth - 1)),
        }
    }

    /// One to many operations, sometimes several on one node.
    pub fn ops(&mut self, ids: usize) -> Vec<Op> {
        let count = match self.r.usize(..10) {
            0..=4 => 1,
            5..=7 => 1 + self.r.usize(..4),
            8 => 1 + self.r.usize(..12),
            _ => 1 + self.r.usize(..30),
        };
        (0..count).map(|_| self.op(ids)).collect()
    }

    fn op(&mut self, ids: usize) -> Op {
        let set = *pick(self.r, &[THINGS, THINGS, DATED]);
        let id = self.id(set, ids);
        if self.r.usize(..800) == 0 {
            return Op::clear(set);
        }
        let op = match self.r.usize(..10) {
            0 | 1 => Op::remove(set, &id),
            // Members of other nodes, each of which is a change, and `null` among them.
            2 | 3 => Op::patch(set, &id, &self.node(set, &id), true),
            4 if self.r.usize(..4) == 0 => Op::patch(set, &id, &self.patch(set), false),
            _ => Op::upsert(set, &self.node(set, &id)),
        };
        match self.r.usize(..60) {
            0 => op.only_if(None),
            1 | 2 => {
                let filter = self.legal_expr(set, 1);
                op.only_if(Some(filter))
            }
            _ => op,
        }
    }

    /// A patch without a key, or with the wrong one.
    fn patch(&mut self, set: &str) -> String {
        let object = self.object(set == DATED);
        match self.r.usize(..12) {
            0 => "{\"id\":\"n0\",\"no\":0}".to_owned(),
            1 => "{\"id\":null,\"no\":null}".to_owned(),
            _ => format!("{{\"o\":{object},\"n\":{}}}", self.number()),
        }
    }

    /// An operation that is refused. The oracle does not see every fault, so the caller must know.
    pub fn bad_op(&mut self) -> Op {
        let deep = format!("{{\"id\":\"n1\",\"a\":{}1{}}}", "[".repeat(70), "]".repeat(70));
        let node = match self.r.usize(..15) {
            0 => "{\"id\":\"n1\",\"id\":\"n2\"}",
            1 => "{\"id\":\"n1\",\"a\":18446744073709551616}",
            2 => "{\"id\":\"n1\",\"a\":1e400}",
            3 => "{\"id\":\"n1\",\"a\":{\"b\":1,\"b\":1}}",
            4 => "{\"id\":\"n1\"",
            5 => "{\"id\":\"n1\"} x",
            6 => "[1]",
            7 => "{\"a\":1}",
            8 => "{\"id\":null}",
            9 => "{\"id\":1.5}",
            10 => "{\"id\":[\"n1\"]}",
            11 => &deep,
            12 => return Op::upsert("nowhere", "{\"id\":\"n1\"}"),
            13 => return Op::remove("nowhere", "n1"),
            _ => return Op::upsert(DATED, "{\"no\":1,\"at\":\"tomorrow\"}"),
        };
        Op::upsert(THINGS, node)
    }

    // --- queries ---

    pub fn query(&mut self, limits: &[u64]) -> Query {
        let mut query = Query::new(if self.r.usize(..3) < 2 { THINGS } else { DATED });
        if self.r.usize(..8) != 0 {
            let depth = self.r.usize(..4);
            let filter = self.legal_expr(&query.set, depth);
            query = query.filter(filter);
        }
        for _ in 0..self.r.usize(..4) {
            let path = self.path();
            let direction = if self.r.bool() { Direction::Asc } else { Direction::Desc };
            query.order.push((path, direction));
        }
        if self.r.usize(..4) != 0 {
            query = query.limit(*pick(self.r, limits));
        }
        if self.r.usize(..3) == 0 {
            query.fields = Some((0..1 + self.r.usize(..3)).map(|_| self.path()).collect());
        }
        query
    }

    /// An expression that the set takes: what it declares as an instant is compared with nothing else.
    fn legal_expr(&mut self, set: &str, depth: usize) -> Expr {
        let instants: Vec<Path> = match set == DATED {
            true => DECLARED_INSTANTS.iter().map(|path| names(path)).collect(),
            false => Vec::new(),
        };
        loop {
            let expr = self.expr(depth);
            if !expr.is_refused(&instants) {
                return expr;
            }
        }
    }

    fn path(&mut self) -> Path {
        let paths = [
            "n", "n", "n", "s", "s", "a", "a", "f", "t", "at", "at", "due", "o.x", "o.x", "o.y", "o.z.k",
            "o.when", "o", "in", "odd name", "id", "no", "missing", "s.x",
        ];
        names(self.word(&paths))
    }

    fn moment_path(&mut self) -> Path {
        names(self.word(&["at", "at", "due", "o.when", "s"]))
    }

    pub fn expr(&mut self, depth: usize) -> Expr {
        if depth == 0 {
            return self.leaf();
        }
        match self.r.usize(..7) {
            0 | 1 => Expr::And(self.exprs(depth - 1)),
            2 | 3 => Expr::Or(self.exprs(depth - 1)),
            4 => Expr::Not(Box::new(self.expr(depth - 1))),
            _ => self.leaf(),
        }
    }

    fn exprs(&mut self, depth: usize) -> Vec<Expr> {
        let mut exprs: Vec<_> = (0..2 + self.r.usize(..2)).map(|_| self.expr(depth)).collect();
        if self.r.usize(..8) == 0 {
            // The same operand twice is the same query.
            exprs.push(exprs[0].clone());
        }
        exprs
    }

    fn cmp(&mut self) -> Cmp {
        *pick(self.r, &[Cmp::Eq, Cmp::Ne, Cmp::Lt, Cmp::Le, Cmp::Gt, Cmp::Ge])
    }

    fn leaf(&mut self) -> Expr {
        let path = Sum::Path(self.path());
        match self.r.usize(..22) {
            0..=3 => Expr::Compare(path, self.cmp(), Sum::Lit(Lit::Num(self.number()))),
            4 | 5 => Expr::Compare(path, self.cmp(), Sum::Lit(self.text())),
            6 => {
                let cmp = self.cmp();
                Expr::Compare(path, cmp, Sum::Path(self.path()))
            }
            7 => Expr::Compare(path, self.cmp(), Sum::Lit(Lit::Bool(self.now % 2 == 0))),
            8 => Expr::Compare(path, self.cmp(), Sum::Lit(Lit::Nothing)),
            9 => Expr::Flag(names(self.word(&["f", "f", "a", "o.x", "missing"]))),
            10 => Expr::In(path, self.literals()),
            11 => Expr::AnyOf(Sum::Path(names(self.word(&["t", "t", "a"]))), self.literals()),
            12 => Expr::AllOf(Sum::Path(names(self.word(&["t", "t", "a"]))), self.literals()),
            13 => {
                let op = *pick(self.r, &[TextOp::StartsWith, TextOp::EndsWith, TextOp::Contains]);
                Expr::Text(Sum::Path(names(self.word(&["s", "s", "a", "o.y"]))), op, Sum::Lit(self.text()))
            }
            14 => {
                // Numbers that add up exactly, or not at all.
                let sum = Box::new(Sum::Path(names(self.word(&["n", "o.x"]))));
                let lit = Box::new(Sum::Lit(Lit::Num(
                    pick(self.r, &["1", "2", "-1", "9223372036854775807"]).to_string(),
                )));
                let sum = if self.r.bool() { Sum::Add(sum, lit) } else { Sum::Sub(sum, lit) };
                Expr::Compare(sum, self.cmp(), Sum::Lit(Lit::Num(self.number())))
            }
            15 => {
                let at = Sum::Path(self.moment_path());
                Expr::Compare(at, self.cmp(), Sum::Lit(self.instant()))
            }
            16 => Expr::Compare(Sum::Now, self.cmp(), Sum::Lit(self.instant())),
            _ => self.timed(),
        }
    }

    /// A comparison whose truth time changes.
    fn timed(&mut self) -> Expr {
        let at = Sum::Path(self.moment_path());
        let (mut a, mut b) = (at, Sum::Now);
        for _ in 0..self.r.usize(..3) {
            let (count, unit) = *pick(self.r, &DURATIONS);
            let side = if self.r.bool() { &mut a } else { &mut b };
            let inner = side.clone();
            *side = if self.r.bool() { inner.plus(count, unit) } else { inner.minus(count, unit) };
        }
        let cmp = self.cmp();
        if self.r.bool() { Expr::Compare(a, cmp, b) } else { Expr::Compare(b, cmp, a) }
    }

    fn literals(&mut self) -> Vec<Lit> {
        (0..self.r.usize(..4)).map(|_| self.lit()).collect()
    }

    fn lit(&mut self) -> Lit {
        match self.r.usize(..8) {
            0 => Lit::Nothing,
            1 => Lit::Bool(self.r.bool()),
            2 => self.instant(),
            3 | 4 => self.text(),
            _ => Lit::Num(self.number()),
        }
    }

    fn text(&mut self) -> Lit {
        Lit::Text(self.word(&TEXTS).to_owned())
    }

    fn instant(&mut self) -> Lit {
        Lit::Instant(self.word(&MOMENTS).to_owned())
    }
}

pub fn text_json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
