//! Text into a tree, checked while it is read.
//!
//! A parenthesis may hold a value or a test, which shows only behind its first operand. So nothing is tried twice: every level
//! yields an [`Item`], which is a value until something makes it a test, and each token is read once. Chains of `and`, of `or`,
//! of `not` and of sums are loops; parentheses recurse, and they and `not`s are counted.

use super::Parameter;
use super::ast::{Comparison, Expr, Membership, Sign, Sum, Term, TextTest};
use super::check::{Incomparable, Known, Mismatch, Origin, declared, partner};
use super::params::Unbound;
use crate::limits::QueryLimits;
use crate::path::Path;
use crate::schema::{FieldKind, Schema};
use crate::suggest;
use crate::syntax::{Cursor, ExprError, Literal, Symbol, Token, excerpt, habits, shortened};
use crate::time::Unit;

const OPERATORS: &[&str] = &["and", "or", "in", "anyof", "allof", "startswith", "endswith", "contains"];

/// What stands at one place: a value, which a comparison may follow, or a test, which only `and` and `or` may follow.
///
/// Boxed like the errors, so that the frames of the recursion stay small.
enum Item {
    Value(Box<Operand>),
    Test(Box<Expr>),
}

/// A value, what is known of it, and the bytes where it stands.
struct Operand {
    term: Term,
    known: Known,
    start: usize,
    end: usize,
}

type Parsed<T> = Result<T, Box<ExprError>>;

struct FilterParser<'a> {
    cursor: Cursor<'a>,
    depth: usize,
    parameters: &'a Parameters<'a>,
    /// Of the set that the filter is for.
    schema: Option<&'a Schema>,
}

/// What stands for the parameters of a filter, by their names.
pub(super) type Parameters<'a> = dyn Fn(&str) -> Result<Parameter, Unbound> + 'a;

/// Reads a filter; a blank one is `true`. Where it is for a set, what that declares is minded.
pub(super) fn parse(
    text: &str,
    limits: &QueryLimits,
    schema: Option<&Schema>,
    parameters: &Parameters<'_>,
) -> Parsed<Expr> {
    let mut parser = FilterParser { cursor: Cursor::new(text, limits)?, depth: 0, parameters, schema };
    if *parser.cursor.token() == Token::End {
        return Ok(Expr::Constant(true));
    }
    let item = parser.expression()?;
    if *parser.cursor.token() != Token::End {
        return Err(parser.unexpected_behind(&item, "the end"));
    }
    parser.test_of(item).map(|test| *test)
}

#[expect(
    clippy::boxed_local,
    reason = "taken out of their boxes, operands would lie on the frames of the recursion"
)]
impl FilterParser<'_> {
    /// Operands with `and` and `or` between them, or a single one, which may be a value.
    fn expression(&mut self) -> Parsed<Item> {
        let first = self.unary()?;
        match self.cursor.word() {
            Some("and" | "or") => self.chain(first),
            _ => Ok(first),
        }
    }

    fn chain(&mut self, first: Item) -> Parsed<Item> {
        let mut any: Vec<Expr> = Vec::new();
        let mut all = vec![*self.test_of(first)?];
        loop {
            if self.cursor.skip_word("or")? {
                any.push(joined(std::mem::take(&mut all), Expr::And));
            } else if !self.cursor.skip_word("and")? {
                break;
            }
            let next = self.unary()?;
            all.push(*self.test_of(next)?);
        }
        any.push(joined(all, Expr::And));
        Ok(Item::Test(Box::new(joined(any, Expr::Or))))
    }

    /// A test behind any number of `not`s, or a value.
    fn unary(&mut self) -> Parsed<Item> {
        let depth = self.depth;
        while self.cursor.word() == Some("not") {
            self.enter()?;
            self.cursor.take()?;
        }
        let inner = self.test()?;
        let nots = self.depth - depth;
        self.depth = depth;
        if nots == 0 {
            return Ok(inner);
        }
        let mut test = self.test_of(inner)?;
        for _ in 0..nots {
            test = Box::new(Expr::Not(test));
        }
        Ok(Item::Test(test))
    }

    fn test(&mut self) -> Parsed<Item> {
        let left = match self.sum()? {
            Item::Value(left) => left,
            Item::Test(_) if self.at_operator() => {
                return Err(self.cursor.unexpected("'and', 'or' or the end, as a test is no value"));
            }
            test => return Ok(test),
        };
        let test = if let Some(operator) = self.comparison() {
            self.compare(left, operator)?
        } else if let Some(operator) = self.membership() {
            self.member(left, operator)?
        } else if let Some(operator) = self.text_test() {
            self.test_text(left, operator)?
        } else {
            return Ok(Item::Value(left));
        };
        if self.at_operator() {
            return Err(self.cursor.unexpected("'and', 'or' or the end, as comparisons do not chain"));
        }
        Ok(Item::Test(test))
    }

    fn compare(&mut self, left: Box<Operand>, operator: Comparison) -> Parsed<Box<Expr>> {
        let start = self.cursor.start();
        self.cursor.take()?;
        let right = self.value("a value to compare with")?;
        if let Err(why) = left.known.compare(operator, &right.known) {
            return Err(self.incomparable(why, start, &left, (right.start, right.end), &right.term));
        }
        Ok(Box::new(Expr::Compare { left: Sum::of(left.term), operator, right: Sum::of(right.term) }))
    }

    fn member(&mut self, left: Box<Operand>, operator: Membership) -> Parsed<Box<Expr>> {
        let at_operator =
            |it: &Self| it.cursor.unexpected("'anyof' or 'allof', as the field is declared as a list");
        if operator == Membership::In && left.known.origin == Origin::DeclaredPath(FieldKind::List) {
            return Err(at_operator(self).suggest(Some("anyof")));
        }
        self.cursor.take()?;
        if operator != Membership::In {
            left.known.be_list().map_err(|mismatch| self.mismatch(left.start, mismatch))?;
        }
        if !left.known.is_path() {
            let found = excerpt(self.cursor.slice(left.start, left.end));
            let word = operator.word();
            let expected = format!("a field before '{word}' (whether a list has an item: tags anyof ['x'])");
            return Err(self.cursor.error(left.start, found, expected));
        }
        let list = self.list(&left, operator)?;
        Ok(Box::new(Expr::Member { left: Sum::of(left.term), operator, list }))
    }

    fn test_text(&mut self, left: Box<Operand>, operator: TextTest) -> Parsed<Box<Expr>> {
        let start = self.cursor.start();
        self.cursor.take()?;
        let right = self.value("text to look for")?;
        if left.known.origin == Origin::DeclaredPath(FieldKind::List) {
            let found = excerpt(self.cursor.slice(start, right.end));
            let expected = "'anyof' and items in brackets, as the field is declared as a list";
            let item = match &right.term {
                Term::Literal(literal) if operator == TextTest::Contains => {
                    Some(format!("anyof [{literal}]"))
                }
                _ => None,
            };
            return Err(self.cursor.error(start, found, expected).suggest(item));
        }
        left.known.be_text().map_err(|mismatch| self.mismatch(left.start, mismatch))?;
        right.known.be_text().map_err(|mismatch| self.mismatch(right.start, mismatch))?;
        Ok(Box::new(Expr::Text { left: Sum::of(left.term), operator, right: Sum::of(right.term) }))
    }

    /// A sum where a test cannot stand.
    fn value(&mut self, expected: &str) -> Parsed<Box<Operand>> {
        let start = self.cursor.start();
        if self.cursor.word() == Some("not") {
            return Err(self.cursor.unexpected(expected));
        }
        match self.sum()? {
            Item::Value(operand) => Ok(operand),
            Item::Test(_) => Err(self.cursor.error(start, "a test in parentheses", expected)),
        }
    }

    /// Terms added and subtracted.
    fn sum(&mut self) -> Parsed<Item> {
        let mut left = match self.atom()? {
            Item::Value(left) => left,
            test => return Ok(test),
        };
        while let Some(sign) = self.sign() {
            let start = self.cursor.start();
            self.cursor.take()?;
            match self.atom()? {
                Item::Value(right) => left = self.plus(left, sign, start, right)?,
                Item::Test(_) => return Err(self.cursor.error(start, "a test in a sum", "a value")),
            }
        }
        Ok(Item::Value(left))
    }

    /// The sum of a sum so far and one more term; the sign stands at `start`.
    fn plus(
        &self,
        left: Box<Operand>,
        sign: Sign,
        start: usize,
        right: Box<Operand>,
    ) -> Parsed<Box<Operand>> {
        let known = match left.known.plus(sign, &right.known) {
            Ok(known) => known,
            // `now - 7 dayz`: the word behind the number is what is wrong.
            Err(_)
                if matches!(right.term, Term::Literal(Literal::Number(_)))
                    && self.cursor.word().is_some_and(|word| !OPERATORS.contains(&word)) =>
            {
                let near = self.cursor.word().and_then(near_unit);
                return Err(self.cursor.unexpected("a unit of time, from years to ticks").suggest(near));
            }
            Err(mismatch) => return Err(self.mismatch(start, mismatch)),
        };
        // What there is of the sum is moved, not copied: a long sum takes time in proportion to its length.
        let mut sum = Sum::of(left.term);
        sum.rest.push((sign, right.term));
        let term = Term::Sum(Box::new(sum));
        Ok(Box::new(Operand { term, known, start: left.start, end: right.end }))
    }

    fn atom(&mut self) -> Parsed<Item> {
        match self.cursor.token() {
            Token::Symbol(Symbol::OpenParenthesis) => self.parenthesis(),
            _ => self.simple_atom().map(Item::Value),
        }
    }

    /// A value or a test in parentheses.
    fn parenthesis(&mut self) -> Parsed<Item> {
        let start = self.cursor.start();
        self.enter()?;
        self.cursor.take()?;
        let mut inner = self.expression()?;
        if !self.cursor.skip(Symbol::CloseParenthesis)? {
            return Err(self.unexpected_behind(&inner, "')'"));
        }
        self.depth -= 1;
        if let Item::Value(operand) = &mut inner {
            (operand.start, operand.end) = (start, self.cursor.before());
        }
        Ok(inner)
    }

    /// A literal, `now` or a path.
    fn simple_atom(&mut self) -> Parsed<Box<Operand>> {
        let start = self.cursor.start();
        let (term, known) = if self.cursor.skip(Symbol::Dollar)? {
            match self.parameter(start)? {
                (_, Parameter::One(literal)) => {
                    let known = Known::literal(&literal);
                    (Term::Literal(literal), known)
                }
                (name, Parameter::Unknown) => (Term::Path(Path::field(&name)), Known::unknown()),
                (name, Parameter::Many(_)) => {
                    return Err(self.cursor.error(start, format!("the list ${name}"), "a value"));
                }
            }
        } else if self.cursor.skip_word("now")? {
            if *self.cursor.token() == Token::Symbol(Symbol::OpenParenthesis) {
                let call = self.cursor.called(start);
                return Err(self
                    .cursor
                    .error(start, excerpt(call), "'now', which is no function")
                    .suggest(Some("now")));
            }
            (Term::Now, Known::now())
        } else if let Some(literal) = self.literal()? {
            let known = Known::literal(&literal);
            (Term::Literal(literal), known)
        } else if let Token::Word { .. } = self.cursor.token() {
            let path = self.path(start)?;
            let kind = self.schema.and_then(|schema| schema.kind_of(&path));
            (Term::Path(path), Known::path(kind))
        } else {
            return Err(self.cursor.unexpected("a value, a path, 'not' or '('"));
        };
        Ok(Box::new(Operand { term, known, start, end: self.cursor.before() }))
    }

    /// A path to a field that the set has, as far as it says so.
    fn path(&mut self, start: usize) -> Parsed<Path> {
        let path = self.cursor.path(false)?;
        if *self.cursor.token() == Token::Symbol(Symbol::OpenParenthesis) {
            let call = excerpt(self.cursor.called(start));
            let name = path.names().last().unwrap_or_default();
            return Err(self.cursor.error(start, call, habits::call(name)));
        }
        match self.schema {
            Some(schema) => self.cursor.declared(start, path, schema),
            None => Ok(path),
        }
    }

    /// Takes a literal, if one comes next.
    fn literal(&mut self) -> Parsed<Option<Literal>> {
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

    /// The name of a parameter, whose sign was taken at `start`, and what stands for it.
    fn parameter(&mut self, start: usize) -> Parsed<(String, Parameter)> {
        let name = self.cursor.path(true)?.names().collect::<Vec<_>>().join(".");
        match (self.parameters)(&name) {
            Ok(parameter) => Ok((name, parameter)),
            Err(Unbound { expected, suggestion }) => {
                let found = shortened(&format!("${name}"));
                Err(self.cursor.error(start, found, expected).suggest(suggestion))
            }
        }
    }

    /// `[ literal, … ]`, or a parameter that stands for a list: what `left` is looked up in.
    fn list(&mut self, left: &Operand, operator: Membership) -> Parsed<Vec<Literal>> {
        let start = self.cursor.start();
        if self.cursor.skip(Symbol::Dollar)? {
            let limit = self.cursor.limits().list_items;
            return match self.parameter(start)? {
                (_, Parameter::Many(items)) if items.len() <= limit => {
                    let place = (start, self.cursor.before());
                    items.iter().try_for_each(|item| self.may_be_item(left, operator, item, place))?;
                    Ok(items)
                }
                (_, Parameter::Unknown) => Ok(Vec::new()),
                (name, Parameter::Many(items)) => {
                    let found = format!("the list ${name} of {} items", items.len());
                    Err(self.cursor.error(start, found, format!("at most {limit} items")))
                }
                (name, Parameter::One(_)) => {
                    Err(self.cursor.error(start, format!("the value ${name}"), "a list"))
                }
            };
        }
        if !self.cursor.skip(Symbol::OpenBracket)? {
            return Err(self.cursor.unexpected("a list in brackets, as in ['x', 'y']"));
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
            let start = self.cursor.start();
            match self.item()? {
                Some((literal, is_known)) => {
                    if is_known {
                        self.may_be_item(left, operator, &literal, (start, self.cursor.before()))?;
                    }
                    items.push(literal);
                }
                None => return Err(self.cursor.unexpected("a literal")),
            }
            if self.cursor.skip(Symbol::CloseBracket)? {
                return Ok(items);
            }
            if !self.cursor.skip(Symbol::Comma)? {
                let near = self.cursor.word().and_then(near_unit);
                return Err(self.cursor.unexpected("',' or ']'").suggest(near));
            }
        }
    }

    /// Refuses an item of a list that the left side never equals, or never has.
    fn may_be_item(
        &self,
        left: &Operand,
        operator: Membership,
        item: &Literal,
        place: (usize, usize),
    ) -> Parsed<()> {
        let known = Known::literal(item);
        let compared = match operator {
            Membership::In => left.known.compare(Comparison::Equal, &known),
            Membership::AnyOf | Membership::AllOf => Known::unknown().compare(Comparison::Equal, &known),
        };
        let term = || Term::Literal(item.clone());
        compared.map_err(|why| self.incomparable(why, place.0, left, place, &term()))
    }

    /// An item of a list, if one comes next, and whether its value is known.
    fn item(&mut self) -> Parsed<Option<(Literal, bool)>> {
        let start = self.cursor.start();
        if !self.cursor.skip(Symbol::Dollar)? {
            return Ok(self.literal()?.map(|literal| (literal, true)));
        }
        match self.parameter(start)? {
            (_, Parameter::One(literal)) => Ok(Some((literal, true))),
            (_, Parameter::Unknown) => Ok(Some((Literal::Nothing, false))),
            (name, Parameter::Many(_)) => {
                Err(self.cursor.error(start, format!("the list ${name}"), "a literal"))
            }
        }
    }

    /// The test that an item is, if it is one.
    fn test_of(&self, item: Item) -> Parsed<Box<Expr>> {
        let operand = match item {
            Item::Test(test) => return Ok(test),
            Item::Value(operand) => *operand,
        };
        match operand.term {
            Term::Path(path) => match operand.known.origin {
                Origin::DeclaredPath(kind) if kind != FieldKind::Bool => {
                    let found = excerpt(self.cursor.slice(operand.start, operand.end));
                    let expected = format!("a test, as the field is declared as {}", declared(kind));
                    Err(self.cursor.error(operand.start, format!("{found} alone"), expected))
                }
                _ => Ok(Box::new(Expr::Field(path))),
            },
            Term::Literal(Literal::Bool(value)) => Ok(Box::new(Expr::Constant(value))),
            _ => {
                let found = excerpt(self.cursor.slice(operand.start, operand.end));
                let expected = "a test: a comparison, a membership, a boolean field, 'true' or 'false'";
                Err(self.cursor.error(operand.start, format!("{found} alone"), expected))
            }
        }
    }

    fn enter(&mut self) -> Parsed<()> {
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

    fn mismatch(&self, start: usize, mismatch: Mismatch) -> Box<ExprError> {
        self.cursor.error(start, mismatch.found, mismatch.expected)
    }

    /// The error of a comparison whose operator stands at `start`, and its right side at `place`.
    fn incomparable(
        &self,
        why: Incomparable,
        start: usize,
        left: &Operand,
        place: (usize, usize),
        right: &Term,
    ) -> Box<ExprError> {
        let (kind, field, other, term) = match why {
            Incomparable::Neither(mismatch) => return self.mismatch(start, mismatch),
            Incomparable::Left(kind) => (kind, (left.start, left.end), place, right),
            Incomparable::Right(kind) => (kind, place, (left.start, left.end), &left.term),
        };
        let found = excerpt(self.cursor.slice(other.0, other.1));
        let field = excerpt(self.cursor.slice(field.0, field.1));
        let expected = format!("{}, as {field} is declared as {}", partner(kind), declared(kind));
        // A number in quotes, or text without them.
        let suggestion = match (kind, term) {
            (FieldKind::Number, Term::Literal(Literal::Text(text))) if is_number(text) => {
                Some(text.to_string())
            }
            (FieldKind::Bool, Term::Literal(Literal::Text(text))) if matches!(&**text, "true" | "false") => {
                Some(text.to_string())
            }
            (FieldKind::Text, Term::Literal(Literal::Number(_) | Literal::Instant(_))) => {
                Some(format!("'{}'", self.cursor.slice(other.0, other.1)))
            }
            _ => None,
        };
        // What a parameter stands for is changed where it is given.
        let suggestion = suggestion.filter(|_| !self.cursor.slice(other.0, other.1).starts_with('$'));
        self.cursor.error(other.0, found, expected).suggest(suggestion)
    }

    /// An error at the next token, which cannot stand behind `item`, with the word that was probably meant.
    fn unexpected_behind(&self, item: &Item, end: &str) -> Box<ExprError> {
        // Behind a number a unit is nearer than an operator that is as near.
        let number = self.cursor.slice(0, self.cursor.before()).ends_with(|c: char| c.is_ascii_digit());
        let near = |operators: &'static [&'static str]| {
            let word = self.cursor.word()?;
            let unit = number.then(|| near_unit(word)).flatten();
            unit.or_else(|| suggest::nearest(word, operators.iter().copied()))
        };
        let Item::Value(operand) = item else {
            return self.cursor.unexpected(format!("'and', 'or' or {end}")).suggest(near(&["and", "or"]));
        };
        if let Some(word) = self.cursor.word()
            && let Some((found, expected, suggestion)) = habits::operator(word, self.cursor.rest())
        {
            return self.cursor.error(self.cursor.start(), excerpt(found), expected).suggest(suggestion);
        }
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

/// Tests joined by a word, or the only one.
fn joined(mut tests: Vec<Expr>, join: fn(Vec<Expr>) -> Expr) -> Expr {
    match tests.pop() {
        Some(only) if tests.is_empty() => only,
        last => {
            tests.extend(last);
            join(tests)
        }
    }
}

/// The unit that a mistyped word most likely means. No short word: those are as near to one unit as to another.
fn near_unit(word: &str) -> Option<&'static str> {
    let words = Unit::WORDS.iter().map(|(word, _)| *word).filter(|word| *word != "ms");
    if word.chars().count() < 3 { None } else { suggest::nearest(word, words) }
}

/// Whether a text is spelled as a number.
fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'))
        && text.ends_with(|c: char| c.is_ascii_digit())
        && text.parse::<f64>().is_ok()
}
