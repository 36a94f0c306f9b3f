//! A filter as a tree.

use crate::path::Path;
pub use crate::syntax::Literal;

/// A filter, or a part of one: true or false of every node at every moment.
///
/// Never deeper than [`QueryLimits::nesting`](crate::QueryLimits::nesting) parentheses and `not`s, so that walking it by recursion is
/// safe. `and`, `or` and sums are flat however long they are. Prints as the query language writes it and reads back as the same
/// tree.
///
/// `P` is what stands for a field: its path, as it is written, unless the filter was made ready for rows that hold their fields in
/// another way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr<P = Path> {
    /// `true` or `false`.
    Constant(bool),
    /// A path alone: whether the field is `true`.
    Field(P),
    /// Whether not.
    Not(Box<Expr<P>>),
    /// Whether all of them; two or more.
    And(Vec<Expr<P>>),
    /// Whether any of them; two or more.
    Or(Vec<Expr<P>>),
    /// A comparison.
    Compare {
        /// The left side.
        left: Sum<P>,
        /// What is asked of the two.
        operator: Comparison,
        /// The right side.
        right: Sum<P>,
    },
    /// A membership.
    Member {
        /// What is looked up, or looked into.
        left: Sum<P>,
        /// What is asked of it.
        operator: Membership,
        /// The list in brackets.
        list: Vec<Literal>,
    },
    /// A test of text.
    Text {
        /// The text that is tested.
        left: Sum<P>,
        /// What is asked of it.
        operator: TextTest,
        /// The text that it is tested for.
        right: Sum<P>,
    },
}

/// `==`, `!=`, `<`, `<=`, `>` or `>=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`, the opposite of `==` in every case
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Comparison::Equal => "==",
            Comparison::NotEqual => "!=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }

    /// What is asked of the two when they change sides.
    pub(crate) fn mirrored(self) -> Comparison {
        match self {
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
            Comparison::Equal | Comparison::NotEqual => self,
        }
    }

    /// Whether it asks for equality alone, which values of every kind have.
    pub(crate) fn is_equality(self) -> bool {
        matches!(self, Comparison::Equal | Comparison::NotEqual)
    }
}

/// `in`, `anyof` or `allof`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// `in`: equals one item of the list
    In,
    /// `anyof`: is a list that has any of the items
    AnyOf,
    /// `allof`: is a list that has all of the items
    AllOf,
}

impl Membership {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Membership::In => "in",
            Membership::AnyOf => "anyof",
            Membership::AllOf => "allof",
        }
    }
}

/// `startswith`, `endswith` or `contains`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextTest {
    /// `startswith`
    StartsWith,
    /// `endswith`
    EndsWith,
    /// `contains`
    Contains,
}

impl TextTest {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            TextTest::StartsWith => "startswith",
            TextTest::EndsWith => "endswith",
            TextTest::Contains => "contains",
        }
    }
}

/// A value: one term, or terms added and subtracted from left to right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum<P = Path> {
    /// The first term; never a sum in parentheses, which would be the same sum without them.
    pub first: Term<P>,
    /// What is added and subtracted, in order.
    pub rest: Vec<(Sign, Term<P>)>,
}

impl<P> Sum<P> {
    pub(crate) fn of(first: Term<P>) -> Sum<P> {
        match first {
            Term::Sum(sum) => *sum,
            first => Sum { first, rest: Vec::new() },
        }
    }
}

/// Whether a term is added or subtracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// `+`
    Plus,
    /// `-`
    Minus,
}

/// One term of a sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term<P = Path> {
    /// A literal.
    Literal(Literal),
    /// The current time.
    Now,
    /// The value of a field.
    Path(P),
    /// A sum in parentheses; it has at least two terms.
    Sum(Box<Sum<P>>),
}

impl<P> Expr<P> {
    /// Calls `each` for every sum in the tree.
    pub(crate) fn sums<'a>(&'a self, each: &mut impl FnMut(&'a Sum<P>)) {
        match self {
            Expr::Constant(_) | Expr::Field(_) => {}
            Expr::Not(inner) => inner.sums(each),
            Expr::And(operands) | Expr::Or(operands) => {
                operands.iter().for_each(|operand| operand.sums(each))
            }
            Expr::Compare { left, right, .. } | Expr::Text { left, right, .. } => {
                each(left);
                each(right);
            }
            Expr::Member { left, .. } => each(left),
        }
    }

    /// Calls `each` for every path in the tree, as often as it occurs.
    pub(crate) fn paths<'a>(&'a self, each: &mut impl FnMut(&'a P)) {
        match self {
            Expr::Field(path) => each(path),
            Expr::Not(inner) => inner.paths(each),
            Expr::And(operands) | Expr::Or(operands) => {
                operands.iter().for_each(|operand| operand.paths(each))
            }
            _ => self.sums(&mut |sum| sum.paths(each)),
        }
    }
}

impl<P> Sum<P> {
    pub(crate) fn terms(&self) -> impl Iterator<Item = &Term<P>> {
        std::iter::once(&self.first).chain(self.rest.iter().map(|(_, term)| term))
    }

    pub(crate) fn paths<'a>(&'a self, each: &mut impl FnMut(&'a P)) {
        for term in self.terms() {
            match term {
                Term::Path(path) => each(path),
                Term::Sum(inner) => inner.paths(each),
                Term::Now | Term::Literal(_) => {}
            }
        }
    }
}
