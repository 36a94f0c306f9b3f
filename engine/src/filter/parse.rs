//! Text into a tree, checked while it is read.
//!
//! A parenthesis may hold a value or a test, which shows only behind its first operand. So nothing is tried twice: every level
//! yields an [`Item`], which is a value until something makes it a test, and each token is read once. Chains of `and`, of `or`
//! and of sums are loops; parentheses and `not` recurse and are counted.

use super::ast::{Comparison, Expr, Membership, Sign, Sum, Term, TextTest};
use super::check::{Known, Mismatch};
use crate::limits::QueryLimits;
use crate::suggest;
use crate::syntax::{Cursor, ExprError, Literal, Symbol, Token};
use crate::time::Unit;

const OPERATORS: &[&str] = &["and", "or", "in", "anyof", "allof", "startswith", "endswith", "contains"];

/// What stands at one place: a value, which a comparison may follow, or a test, which only `and` and `or` may follow.
enum Item {
    Value(Operand),
    Test(Expr),
}

/// A value, what is known of it, and the bytes where it stands.
struct Operand {
    term: Term,
    known: Known,
    start: usize,
    end: usize,
}

struct FilterParser<'a> {
    cursor: Cursor<'a>,
    depth: usize,
}

/// Reads a filter; a blank one is `true`.
pub(super) fn parse(text: &str, limits: &QueryLimits) -> Result<Expr, ExprError> {
    let mut parser = FilterParser { cursor: Cursor::new(text, limits)?, depth: 0 };
    if *parser.cursor.token() == Token::End {
        return Ok(Expr::Constant(true));
    }
    let item = parser.or()?;
    if *parser.cursor.token() != Token::End {
        return Err(parser.unexpected_behind(&item, "the end"));
    }
    parser.test_of(item)
}

impl FilterParser<'_> {
    fn or(&mut self) -> Result<Item, ExprError> {
        self.chain("or", FilterParser::and, Expr::Or)
    }

    fn and(&mut self) -> Result<Item, ExprError> {
        self.chain("and", FilterParser::unary, Expr::And)
    }

    /// Operands with a word between them.
    fn chain(
        &mut self,
        word: &str,
        operand: fn(&mut Self) -> Result<Item, ExprError>,
        joined: fn(Vec<Expr>) -> Expr,
    ) -> Result<Item, ExprError> {
        let first = operand(self)?;
        if self.cursor.word() != Some(word) {
            return Ok(first);
        }
        let mut operands = vec![self.test_of(first)?];
        while self.cursor.skip_word(word)? {
            let next = operand(self)?;
            operands.push(self.test_of(next)?);
        }
        Ok(Item::Test(joined(operands)))
    }

    fn unary(&mut self) -> Result<Item, ExprError> {
        if self.cursor.word() != Some("not") {
            return self.test();
        }
        self.enter()?;
        self.cursor.take()?;
        let inner = self.unary()?;
        let inner = self.test_of(inner)?;
        self.depth -= 1;
        Ok(Item::Test(Expr::Not(Box::new(inner))))
    }

    fn test(&mut self) -> Result<Item, ExprError> {
        let left = match self.sum()? {
            Item::Value(left) => left,
            Item::Test(test) => {
                if self.at_operator() {
                    return Err(self.cursor.unexpected("'and', 'or' or the end, as a test is no value"));
                }
                return Ok(Item::Test(test));
            }
        };
        let start = self.cursor.start();
        let test = if let Some(operator) = self.comparison() {
            self.cursor.take()?;
            let right = self.value("a value to compare with")?;
            left.known.compare(operator, &right.known).map_err(|mismatch| self.mismatch(start, mismatch))?;
            Expr::Compare { left: Sum::of(left.term), operator, right: Sum::of(right.term) }
        } else if let Some(operator) = self.membership() {
            self.cursor.take()?;
            if operator != Membership::In {
                left.known.be_list().map_err(|mismatch| self.mismatch(left.start, mismatch))?;
            }
            Expr::Member { left: Sum::of(left.term), operator, list: self.list()? }
        } else if let Some(operator) = self.text_test() {
            self.cursor.take()?;
            let right = self.value("text to look for")?;
            left.known.be_text().map_err(|mismatch| self.mismatch(left.start, mismatch))?;
            right.known.be_text().map_err(|mismatch| self.mismatch(right.start, mismatch))?;
            Expr::Text { left: Sum::of(left.term), operator, right: Sum::of(right.term) }
        } else {
            return Ok(Item::Value(left));
        };
        if self.at_operator() {
            return Err(self.cursor.unexpected("'and', 'or' or the end, as comparisons do not chain"));
        }
        Ok(Item::Test(test))
    }

    /// Terms added and subtracted.
    fn sum(&mut self) -> Result<Item, ExprError> {
        let mut left = match self.atom()? {
            Item::Value(left) => left,
            test => return Ok(test),
        };
        while let Some(sign) = self.sign() {
            let start = self.cursor.start();
            self.cursor.take()?;
            let right = match self.atom()? {
                Item::Value(right) => right,
                Item::Test(_) => return Err(self.cursor.error(start, "a test in a sum", "a value")),
            };
            left.known = match left.known.plus(sign, &right.known) {
                Ok(known) => known,
                // `now - 7 dayz`: the word behind the number is what is wrong.
                Err(_) if self.cursor.word().and_then(|word| suggest::nearest(word, units())).is_some() => {
                    return Err(self.unexpected_behind(&Item::Value(right), "the end"));
                }
                Err(mismatch) => return Err(self.mismatch(start, mismatch)),
            };
            left.end = right.end;
            // The terms so far are a sum of their own until the last has come; as it is flat, this moves it and copies nothing.
            let mut sum = Sum::of(left.term);
            sum.rest.push((sign, right.term));
            left.term = Term::Sum(Box::new(sum));
        }
        Ok(Item::Value(left))
    }

    fn atom(&mut self) -> Result<Item, ExprError> {
        let start = self.cursor.start();
        let (term, known) = match self.cursor.token() {
            Token::Symbol(Symbol::OpenParenthesis) => {
                self.enter()?;
                self.cursor.take()?;
                let inner = self.or()?;
                if !self.cursor.skip(Symbol::CloseParenthesis)? {
                    return Err(self.unexpected_behind(&inner, "')'"));
                }
                self.depth -= 1;
                return Ok(match inner {
                    Item::Value(inner) => Item::Value(Operand { start, end: self.cursor.before(), ..inner }),
                    test => test,
                });
            }
            Token::Word { quoted: false, text } if text == "now" => {
                self.cursor.take()?;
                (Term::Now, Known::now())
            }
            _ => match self.literal()? {
                Some(literal) => {
                    let known = Known::literal(&literal);
                    (Term::Literal(literal), known)
                }
                None if matches!(self.cursor.token(), Token::Word { .. }) => {
                    (Term::Path(self.cursor.path(false)?), Known::path())
                }
                None => return Err(self.cursor.unexpected("a value, a path, 'not' or '('")),
            },
        };
        Ok(Item::Value(Operand { term, known, start, end: self.cursor.before() }))
    }

    /// A sum where a test cannot stand.
    fn value(&mut self, expected: &str) -> Result<Operand, ExprError> {
        let start = self.cursor.start();
        if self.cursor.word() == Some("not") {
            return Err(self.cursor.unexpected(expected));
        }
        match self.sum()? {
            Item::Value(operand) => Ok(operand),
            Item::Test(_) => Err(self.cursor.error(start, "a test in parentheses", expected)),
        }
    }

    /// Takes a literal, if one comes next.
    fn literal(&mut self) -> Result<Option<Literal>, ExprError> {
        let literal = match self.cursor.token() {
            Token::Literal(_) => match self.cursor.take()? {
                Token::Literal(literal) => return Ok(Some(literal)),
                _ => return Ok(None),
            },
            Token::Word { quoted: false, text } => match &**text {
                "true" => Literal::Bool(true),
                "false" => Literal::Bool(false),
                "nothing" | "null" => Literal::Nothing,
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        self.cursor.take()?;
        Ok(Some(literal))
    }

    /// `[ literal, … ]`
    fn list(&mut self) -> Result<Vec<Literal>, ExprError> {
        if !self.cursor.skip(Symbol::OpenBracket)? {
            return Err(self.cursor.unexpected("a list in brackets"));
        }
        let mut items = Vec::new();
        if self.cursor.skip(Symbol::CloseBracket)? {
            return Ok(items);
        }
        loop {
            let limit = self.cursor.limits().list_items;
            if items.len() == limit {
                let found = format!("a list of more than {limit} items");
                return Err(self.cursor.error(self.cursor.start(), found, format!("at most {limit} items")));
            }
            match self.literal()? {
                Some(literal) => items.push(literal),
                None => return Err(self.cursor.unexpected("a literal")),
            }
            if self.cursor.skip(Symbol::CloseBracket)? {
                return Ok(items);
            }
            if !self.cursor.skip(Symbol::Comma)? {
                let near = self.cursor.word().and_then(|word| suggest::nearest(word, units()));
                return Err(self.cursor.unexpected("',' or ']'").suggest(near));
            }
        }
    }

    /// The test that an item is, if it is one.
    fn test_of(&self, item: Item) -> Result<Expr, ExprError> {
        match item {
            Item::Test(test) => Ok(test),
            Item::Value(Operand { term: Term::Path(path), .. }) => Ok(Expr::Field(path)),
            Item::Value(Operand { term: Term::Literal(Literal::Bool(value)), .. }) => {
                Ok(Expr::Constant(value))
            }
            Item::Value(operand) => {
                let found = crate::syntax::excerpt(self.cursor.slice(operand.start, operand.end));
                Err(self.cursor.error(
                    operand.start,
                    format!("{found} alone"),
                    "a test: a comparison, a membership, a boolean field, 'true' or 'false'",
                ))
            }
        }
    }

    fn enter(&mut self) -> Result<(), ExprError> {
        let limit = self.cursor.limits().enforced_nesting();
        if self.depth == limit {
            let found = format!("nesting deeper than {limit}");
            return Err(self.cursor.error(self.cursor.start(), found, format!("at most {limit} levels")));
        }
        self.depth += 1;
        Ok(())
    }

    fn comparison(&self) -> Option<Comparison> {
        match self.cursor.token() {
            Token::Symbol(Symbol::Equal) => Some(Comparison::Equal),
            Token::Symbol(Symbol::NotEqual) => Some(Comparison::NotEqual),
            Token::Symbol(Symbol::Less) => Some(Comparison::Less),
            Token::Symbol(Symbol::LessOrEqual) => Some(Comparison::LessOrEqual),
            Token::Symbol(Symbol::Greater) => Some(Comparison::Greater),
            Token::Symbol(Symbol::GreaterOrEqual) => Some(Comparison::GreaterOrEqual),
            _ => None,
        }
    }

    fn membership(&self) -> Option<Membership> {
        match self.cursor.word()? {
            "in" => Some(Membership::In),
            "anyof" => Some(Membership::AnyOf),
            "allof" => Some(Membership::AllOf),
            _ => None,
        }
    }

    fn text_test(&self) -> Option<TextTest> {
        match self.cursor.word()? {
            "startswith" => Some(TextTest::StartsWith),
            "endswith" => Some(TextTest::EndsWith),
            "contains" => Some(TextTest::Contains),
            _ => None,
        }
    }

    fn sign(&self) -> Option<Sign> {
        match self.cursor.token() {
            Token::Symbol(Symbol::Plus) => Some(Sign::Plus),
            Token::Symbol(Symbol::Minus) => Some(Sign::Minus),
            _ => None,
        }
    }

    fn at_operator(&self) -> bool {
        self.comparison().is_some()
            || self.membership().is_some()
            || self.text_test().is_some()
            || self.sign().is_some()
    }

    fn mismatch(&self, start: usize, mismatch: Mismatch) -> ExprError {
        self.cursor.error(start, mismatch.found, mismatch.expected)
    }

    /// An error at the next token, which cannot stand behind `item`, with the word that was probably meant.
    fn unexpected_behind(&self, item: &Item, end: &str) -> ExprError {
        // Behind a number a unit is nearer than an operator that is as near.
        let number = self.cursor.slice(0, self.cursor.before()).ends_with(|c: char| c.is_ascii_digit());
        let units = units().filter(|_| number);
        let near = |operators: &'static [&'static str]| {
            self.cursor.word().and_then(|word| suggest::nearest(word, units.chain(operators.iter().copied())))
        };
        let Item::Value(operand) = item else {
            return self.cursor.unexpected(format!("'and', 'or' or {end}")).suggest(near(&["and", "or"]));
        };
        let near = near(OPERATORS);
        // `nto a`: the word before is the one that is wrong.
        let not = match &operand.term {
            Term::Path(path) if path.names().len() == 1 && near.is_none() => {
                path.names().next().and_then(|name| suggest::nearest(name, ["not"]))
            }
            _ => None,
        };
        self.cursor.unexpected(format!("an operator or {end}")).suggest(near.or(not))
    }
}

/// The words that make a number a duration.
fn units() -> impl Iterator<Item = &'static str> {
    Unit::WORDS.iter().map(|(word, _)| *word)
}
