//! Filter expressions as trees, and what they mean.

use std::cmp::Ordering;

use super::{
    calendar::{Nanos, Unit, instant, step},
    value::{Num, Val, same},
};

pub type Path = Vec<String>;

#[derive(Clone, Debug)]
pub enum Expr {
    Const(bool),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Compare(Sum, Cmp, Sum),
    In(Sum, Vec<Lit>),
    AnyOf(Sum, Vec<Lit>),
    AllOf(Sum, Vec<Lit>),
    Text(Sum, TextOp, Sum),
    /// A path alone: true where it is `true`.
    Flag(Path),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextOp {
    StartsWith,
    EndsWith,
    Contains,
}

#[derive(Clone, Debug)]
pub enum Sum {
    Lit(Lit),
    Now,
    Path(Path),
    Add(Box<Sum>, Box<Sum>),
    Sub(Box<Sum>, Box<Sum>),
}

/// A literal; numbers and instants keep their spelling.
#[derive(Clone, Debug)]
pub enum Lit {
    Nothing,
    Bool(bool),
    Num(String),
    Text(String),
    Instant(String),
    Duration(u64, Unit),
}

/// What a sum comes to.
enum Term<'a> {
    Val(&'a Val),
    Num(Num),
    Text(&'a str),
    Bool(bool),
    Nothing,
    Instant(Nanos),
    Duration(u64, Unit),
    /// A type error or an overflow: it passes no test.
    Broken,
}

/// What can be known of a sum without a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Any,
    Nothing,
    Bool,
    Number,
    /// Whether it reads as an instant.
    Text(bool),
    Instant,
    Duration(Unit),
}

impl Expr {
    pub fn eval(&self, node: &Val, now: Nanos) -> bool {
        match self {
            Self::Const(b) => *b,
            Self::And(all) => all.iter().all(|e| e.eval(node, now)),
            Self::Or(any) => any.iter().any(|e| e.eval(node, now)),
            Self::Not(e) => !e.eval(node, now),
            Self::Flag(path) => matches!(node.at(path), Val::Bool(true)),
            Self::Compare(a, cmp, b) => compare(&a.eval(node, now), *cmp, &b.eval(node, now)),
            Self::In(sum, list) => {
                let term = sum.eval(node, now);
                list.iter().any(|lit| equal(&term, &lit.term()))
            }
            Self::AnyOf(sum, list) => match sum.eval(node, now) {
                Term::Val(Val::List(items)) => list.iter().any(|lit| has(items, lit)),
                _ => false,
            },
            Self::AllOf(sum, list) => match sum.eval(node, now) {
                Term::Val(Val::List(items)) => list.iter().all(|lit| has(items, lit)),
                _ => false,
            },
            Self::Text(a, op, b) => match (text(&a.eval(node, now)), text(&b.eval(node, now))) {
                (Some(a), Some(b)) => match op {
                    TextOp::StartsWith => a.starts_with(b),
                    TextOp::EndsWith => a.ends_with(b),
                    TextOp::Contains => a.contains(b),
                },
                _ => false,
            },
        }
    }

    /// Whether it is wrong whatever the node, given the paths that are declared as instants: kinds that do not go together, or a
    /// sum of constants without a value.
    pub fn is_refused(&self, instants: &[Path]) -> bool {
        let kind = |sum: &Sum| sum.kind(instants);
        match self {
            Self::Const(_) => false,
            Self::Flag(path) => instants.contains(path),
            Self::And(es) | Self::Or(es) => es.iter().any(|e| e.is_refused(instants)),
            Self::Not(e) => e.is_refused(instants),
            Self::Compare(a, _, b) => match (kind(a), kind(b)) {
                (Some(a), Some(b)) => !a.compares_with(b),
                _ => true,
            },
            Self::Text(a, _, b) => {
                let is_text =
                    |kind: Option<Kind>| matches!(kind, Some(Kind::Any | Kind::Nothing | Kind::Text(_)));
                !(is_text(kind(a)) && is_text(kind(b)))
            }
            Self::In(a, list) => {
                let fits = |lit: &Lit| match (kind(a), lit.kind()) {
                    (Some(a), Some(lit)) => a.compares_with(lit),
                    _ => false,
                };
                !matches!(a, Sum::Path(_)) || !list.iter().all(fits)
            }
            Self::AnyOf(a, list) | Self::AllOf(a, list) => {
                let fits = |lit: &Lit| !matches!(lit.kind(), None | Some(Kind::Duration(_)));
                !matches!(a, Sum::Path(_)) || kind(a) != Some(Kind::Any) || !list.iter().all(fits)
            }
        }
    }

    pub fn uses_now(&self) -> bool {
        match self {
            Self::Const(_) | Self::Flag(_) => false,
            Self::And(es) | Self::Or(es) => es.iter().any(Self::uses_now),
            Self::Not(e) => e.uses_now(),
            Self::Compare(a, _, b) | Self::Text(a, _, b) => a.uses_now() || b.uses_now(),
            Self::In(a, _) | Self::AnyOf(a, _) | Self::AllOf(a, _) => a.uses_now(),
        }
    }
}

impl Sum {
    fn eval<'a>(&'a self, node: &'a Val, now: Nanos) -> Term<'a> {
        match self {
            Self::Lit(lit) => lit.term(),
            Self::Now => Term::Instant(now),
            Self::Path(path) => Term::Val(node.at(path)),
            Self::Add(a, b) => arithmetic(a.eval(node, now), b.eval(node, now), false),
            Self::Sub(a, b) => arithmetic(a.eval(node, now), b.eval(node, now), true),
        }
    }

    fn is_constant(&self) -> bool {
        match self {
            Self::Lit(_) => true,
            Self::Now | Self::Path(_) => false,
            Self::Add(a, b) | Self::Sub(a, b) => a.is_constant() && b.is_constant(),
        }
    }

    /// `None` where it has no value in any node.
    fn kind(&self, instants: &[Path]) -> Option<Kind> {
        let (a, b) = match self {
            Self::Lit(lit) => return lit.kind(),
            Self::Now => return Some(Kind::Instant),
            Self::Path(path) if instants.contains(path) => return Some(Kind::Instant),
            Self::Path(_) => return Some(Kind::Any),
            Self::Add(a, b) | Self::Sub(a, b) => (a.kind(instants)?, b.kind(instants)?),
        };
        if self.is_constant() {
            match self.eval(&Val::Nothing, 0) {
                Term::Broken => return None,
                Term::Duration(count, unit) if !unit.is_in_range(count) => return None,
                _ => {}
            }
        }
        match (a, b) {
            (Kind::Any | Kind::Number, Kind::Any | Kind::Number) => Some(Kind::Number),
            (Kind::Any | Kind::Instant, Kind::Duration(_)) => Some(Kind::Instant),
            (Kind::Duration(a), Kind::Duration(b)) if a == b => Some(Kind::Duration(a)),
            _ => None,
        }
    }

    fn uses_now(&self) -> bool {
        match self {
            Self::Now => true,
            Self::Lit(_) | Self::Path(_) => false,
            Self::Add(a, b) | Self::Sub(a, b) => a.uses_now() || b.uses_now(),
        }
    }
}

impl Kind {
    fn compares_with(self, other: Kind) -> bool {
        match (self, other) {
            (Kind::Duration(_), _) | (_, Kind::Duration(_)) => false,
            (Kind::Any | Kind::Nothing, _) | (_, Kind::Any | Kind::Nothing) => true,
            (Kind::Text(reads), Kind::Instant) | (Kind::Instant, Kind::Text(reads)) => reads,
            (Kind::Text(_), Kind::Text(_)) => true,
            (a, b) => a == b,
        }
    }
}

impl Lit {
    /// `None` for a duration that is too long.
    fn kind(&self) -> Option<Kind> {
        Some(match self {
            Self::Nothing => Kind::Nothing,
            Self::Bool(_) => Kind::Bool,
            Self::Num(_) => Kind::Number,
            Self::Text(text) => Kind::Text(instant(text).is_some()),
            Self::Instant(_) => Kind::Instant,
            Self::Duration(count, unit) => return unit.is_in_range(*count).then_some(Kind::Duration(*unit)),
        })
    }

    fn term(&self) -> Term<'_> {
        match self {
            Self::Nothing => Term::Nothing,
            Self::Bool(b) => Term::Bool(*b),
            Self::Num(text) => Term::Num(Num::parse(text).expect("a number literal is a number")),
            Self::Text(text) => Term::Text(text),
            Self::Instant(text) => Term::Instant(instant(text).expect("an instant literal is an instant")),
            Self::Duration(count, unit) => Term::Duration(*count, *unit),
        }
    }
}

fn arithmetic<'a>(a: Term<'a>, b: Term<'a>, back: bool) -> Term<'a> {
    if let (Some(a), Some(b)) = (number(&a), number(&b)) {
        return a.add(b, back).map_or(Term::Broken, Term::Num);
    }
    match (&a, &b) {
        (Term::Duration(x, u), Term::Duration(y, v)) if u == v => {
            let sum = if back { x.checked_sub(*y) } else { x.checked_add(*y) };
            sum.map_or(Term::Broken, |sum| Term::Duration(sum, *u))
        }
        (_, Term::Duration(count, unit)) => match moment(&a) {
            Some(at) => step(at, *count, *unit, back).map_or(Term::Broken, Term::Instant),
            None => Term::Broken,
        },
        _ => Term::Broken,
    }
}

fn number(term: &Term<'_>) -> Option<Num> {
    match term {
        Term::Num(n) | Term::Val(Val::Num(n)) => Some(*n),
        _ => None,
    }
}

fn text<'a>(term: &Term<'a>) -> Option<&'a str> {
    match term {
        Term::Text(text) => Some(text),
        Term::Val(Val::Text(text)) => Some(text),
        Term::Val(Val::Instant(text, _)) => Some(text),
        _ => None,
    }
}

/// The term read as an instant, for a place that wants one.
fn moment(term: &Term<'_>) -> Option<Nanos> {
    match term {
        Term::Instant(at) | Term::Val(Val::Instant(_, at)) => Some(*at),
        Term::Text(text) => instant(text),
        Term::Val(Val::Text(text)) => instant(text),
        _ => None,
    }
}

fn is_instant(term: &Term<'_>) -> bool {
    matches!(term, Term::Instant(_) | Term::Val(Val::Instant(..)))
}

/// How two terms of one comparable type compare; `None` for anything else.
fn relation(a: &Term<'_>, b: &Term<'_>) -> Option<Ordering> {
    if is_instant(a) || is_instant(b) {
        return Some(moment(a)?.cmp(&moment(b)?));
    }
    if let (Some(a), Some(b)) = (number(a), number(b)) {
        return Some(a.compare(b));
    }
    if let (Some(a), Some(b)) = (text(a), text(b)) {
        return Some(a.chars().cmp(b.chars()));
    }
    let boolean = |term: &Term<'_>| match term {
        Term::Bool(b) | Term::Val(Val::Bool(b)) => Some(*b),
        _ => None,
    };
    Some(boolean(a)?.cmp(&boolean(b)?))
}

fn equal(a: &Term<'_>, b: &Term<'_>) -> bool {
    let nothing = |term: &Term<'_>| matches!(term, Term::Nothing | Term::Val(Val::Nothing));
    match (a, b) {
        (Term::Val(a @ (Val::List(_) | Val::Object(_))), Term::Val(b @ (Val::List(_) | Val::Object(_)))) => {
            same(a, b)
        }
        (Term::Duration(a, unit), Term::Duration(b, other)) => unit.length(*a) == other.length(*b),
        _ if nothing(a) || nothing(b) => nothing(a) && nothing(b),
        _ => relation(a, b) == Some(Ordering::Equal),
    }
}

fn compare(a: &Term<'_>, cmp: Cmp, b: &Term<'_>) -> bool {
    let is_broken = |term: &Term<'_>| matches!(term, Term::Broken);
    match cmp {
        Cmp::Eq => equal(a, b),
        Cmp::Ne => !equal(a, b) && !is_broken(a) && !is_broken(b),
        Cmp::Lt => relation(a, b) == Some(Ordering::Less),
        Cmp::Le => matches!(relation(a, b), Some(Ordering::Less | Ordering::Equal)),
        Cmp::Gt => relation(a, b) == Some(Ordering::Greater),
        Cmp::Ge => matches!(relation(a, b), Some(Ordering::Greater | Ordering::Equal)),
    }
}

fn has(items: &[Val], lit: &Lit) -> bool {
    items.iter().any(|item| equal(&Term::Val(item), &lit.term()))
}

/// Short ways to write trees by hand.
pub mod build {
    use super::{Cmp, Expr, Lit, Path, Sum, TextOp, Unit};

    /// `a.b.c`, split at the dots.
    pub fn path(dotted: &str) -> Sum {
        Sum::Path(names(dotted))
    }

    pub fn names(dotted: &str) -> Path {
        dotted.split('.').map(str::to_owned).collect()
    }

    pub fn num(text: &str) -> Sum {
        Sum::Lit(Lit::Num(text.to_owned()))
    }

    pub fn text(text: &str) -> Sum {
        Sum::Lit(Lit::Text(text.to_owned()))
    }

    pub fn at(text: &str) -> Sum {
        Sum::Lit(Lit::Instant(text.to_owned()))
    }

    pub fn nothing() -> Sum {
        Sum::Lit(Lit::Nothing)
    }

    pub fn now() -> Sum {
        Sum::Now
    }

    pub fn flag(dotted: &str) -> Expr {
        Expr::Flag(names(dotted))
    }

    pub fn all(of: impl IntoIterator<Item = Expr>) -> Expr {
        Expr::And(of.into_iter().collect())
    }

    pub fn any(of: impl IntoIterator<Item = Expr>) -> Expr {
        Expr::Or(of.into_iter().collect())
    }

    pub fn not(e: Expr) -> Expr {
        Expr::Not(Box::new(e))
    }

    pub fn texts(list: &[&str]) -> Vec<Lit> {
        list.iter().map(|text| Lit::Text((*text).to_owned())).collect()
    }

    impl Sum {
        pub fn plus(self, count: u64, unit: Unit) -> Self {
            Self::Add(Box::new(self), Box::new(Self::Lit(Lit::Duration(count, unit))))
        }

        pub fn minus(self, count: u64, unit: Unit) -> Self {
            Self::Sub(Box::new(self), Box::new(Self::Lit(Lit::Duration(count, unit))))
        }

        pub fn eq(self, other: Sum) -> Expr {
            Expr::Compare(self, Cmp::Eq, other)
        }

        pub fn ne(self, other: Sum) -> Expr {
            Expr::Compare(self, Cmp::Ne, other)
        }

        pub fn lt(self, other: Sum) -> Expr {
            Expr::Compare(self, Cmp::Lt, other)
        }

        pub fn le(self, other: Sum) -> Expr {
            Expr::Compare(self, Cmp::Le, other)
        }

        pub fn gt(self, other: Sum) -> Expr {
            Expr::Compare(self, Cmp::Gt, other)
        }

        pub fn ge(self, other: Sum) -> Expr {
            Expr::Compare(self, Cmp::Ge, other)
        }

        // Consumes like the rest of them.
        #[allow(clippy::wrong_self_convention)]
        pub fn is_in(self, list: Vec<Lit>) -> Expr {
            Expr::In(self, list)
        }

        pub fn starts_with(self, other: Sum) -> Expr {
            Expr::Text(self, TextOp::StartsWith, other)
        }
    }
}
