//! Words, signs and literals of an expression, one at a time.
//!
//! Where several literals begin alike the longest wins: uuid, then instant, then duration, then number. What has the shape of a
//! date and is none is an error rather than a subtraction. A minus belongs to a number only where no operand stands before it,
//! so the lexer remembers whether one does. Every token is read once, looking ahead no further than one word behind it, so
//! reading an expression takes time in proportion to its length.

use std::borrow::Cow;

use liveset_core::json::Numeral;
use nom::bytes::complete::{take_while, take_while_m_n};
use nom::character::complete::{char, digit1, one_of, satisfy};
use nom::combinator::{not, opt, recognize};
use nom::sequence::terminated;
use nom::{IResult, Parser};

use super::error::excerpt;
use super::habits::{self, leading_word};
use super::{ExprError, KEYWORDS, Literal, begins_name, continues_name};
use crate::time::{Span, Timestamp, Unit};
use crate::value::Number;

/// A sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Symbol {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Plus,
    Minus,
    Dot,
    Comma,
    OpenParenthesis,
    CloseParenthesis,
    OpenBracket,
    CloseBracket,
    /// Begins the name of a parameter, where there are any.
    Dollar,
}

/// Two characters before one, so that the longest is found first.
const SYMBOLS: &[(&str, Symbol)] = &[
    ("==", Symbol::Equal),
    ("!=", Symbol::NotEqual),
    ("<=", Symbol::LessOrEqual),
    (">=", Symbol::GreaterOrEqual),
    ("<", Symbol::Less),
    (">", Symbol::Greater),
    ("+", Symbol::Plus),
    ("-", Symbol::Minus),
    (".", Symbol::Dot),
    (",", Symbol::Comma),
    ("(", Symbol::OpenParenthesis),
    (")", Symbol::CloseParenthesis),
    ("[", Symbol::OpenBracket),
    ("]", Symbol::CloseBracket),
];

/// A word, sign or literal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token<'a> {
    /// A name or, unless quoted, perhaps a keyword.
    Word { text: Cow<'a, str>, quoted: bool },
    /// A literal that is not a word.
    Literal(Literal),
    /// A sign.
    Symbol(Symbol),
    /// The end of the expression.
    End,
}

/// Reads tokens.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    place: usize,
    /// Whether the last token was (the end of) an operand, so that a minus subtracts.
    after_operand: bool,
    /// Whether the last token was a dot, so that a name follows, whatever it looks like.
    after_dot: bool,
    /// Whether `$` begins the name of a parameter.
    parameters: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, place: 0, after_operand: false, after_dot: false, parameters: false }
    }

    /// The same, with parameters.
    pub(crate) fn with_parameters(text: &'a str) -> Lexer<'a> {
        Lexer { parameters: true, ..Lexer::new(text) }
    }

    /// The next token with the bytes from where to where it stands; [`Token::End`] for ever after the last.
    pub(crate) fn token(&mut self) -> Result<(Token<'a>, usize, usize), Box<ExprError>> {
        let rest = &self.text[self.place..];
        let rest = rest.trim_start_matches(char::is_whitespace);
        let start = self.text.len() - rest.len();
        self.place = start;

        let token = match rest.chars().next() {
            None => Token::End,
            Some('\'' | '"') => Token::Literal(Literal::Text(self.quoted("text")?.into())),
            Some('`') if rest.starts_with("``") && !rest.starts_with("```") => {
                return Err(self.error("an empty name", "a name of one character or more"));
            }
            Some('`') => Token::Word { text: self.quoted("name")?, quoted: true },
            Some(first) if self.after_dot && begins_name(first) => self.word(rest),
            Some(first) if first.is_ascii_digit() => self.digits(rest)?,
            Some('-') if !self.after_operand && rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.negative(rest)?
            }
            Some(first) if begins_name(first) => match uuid(rest) {
                Ok((after, text)) => self.uuid(after, text),
                Err(_) => self.word(rest),
            },
            Some(_) => self.symbol(rest)?,
        };

        let name = std::mem::replace(&mut self.after_dot, token == Token::Symbol(Symbol::Dot));
        self.after_operand = match &token {
            Token::Word { text, quoted: false } => {
                name || !KEYWORDS.contains(&&**text)
                    || matches!(&**text, "now" | "true" | "false" | "nothing" | "null")
            }
            Token::Word { .. } | Token::Literal(_) => true,
            Token::Symbol(symbol) => matches!(symbol, Symbol::CloseParenthesis | Symbol::CloseBracket),
            Token::End => false,
        };
        Ok((token, start, self.place))
    }

    fn error(&self, found: impl Into<String>, expected: impl Into<String>) -> Box<ExprError> {
        ExprError::at(self.text, self.place, found, expected)
    }

    fn advance_to(&mut self, rest: &str) {
        self.place = self.text.len() - rest.len();
    }

    /// `'…'`, `"…"` or `` `…` ``, the quote doubled to include it.
    fn quoted(&mut self, what: &str) -> Result<Cow<'a, str>, Box<ExprError>> {
        let rest = &self.text[self.place..];
        let quote = &rest[..1];
        let mut length = 1;
        loop {
            match rest[length..].find(quote) {
                None => {
                    return Err(self.error(
                        format!(
                            "{} that is not closed",
                            if what == "text" { "text" } else { "a name in backticks" }
                        ),
                        format!("a closing {quote}"),
                    ));
                }
                Some(place) => {
                    length += place + 1;
                    if !rest[length..].starts_with(quote) {
                        break;
                    }
                    length += 1;
                }
            }
        }
        self.place += length;
        let inside = &rest[1..length - 1];
        Ok(if inside.contains(quote) {
            Cow::Owned(inside.replace(&quote.repeat(2), quote))
        } else {
            Cow::Borrowed(inside)
        })
    }

    fn word(&mut self, rest: &'a str) -> Token<'a> {
        let word = leading_word(rest);
        self.place += word.len();
        Token::Word { text: Cow::Borrowed(word), quoted: false }
    }

    fn uuid(&mut self, after: &str, text: &str) -> Token<'a> {
        self.advance_to(after);
        Token::Literal(Literal::Text(text.to_ascii_lowercase().into()))
    }

    fn symbol(&mut self, rest: &'a str) -> Result<Token<'a>, Box<ExprError>> {
        if let Some(foreign) = habits::SIGNS.iter().find(|foreign| rest.starts_with(foreign.sign)) {
            return Err(self.error(excerpt(foreign.sign), foreign.expected).suggest(foreign.suggestion));
        }
        if self.parameters && rest.starts_with('$') {
            self.place += 1;
            return Ok(Token::Symbol(Symbol::Dollar));
        }
        if let Some((sign, symbol)) = SYMBOLS.iter().find(|(sign, _)| rest.starts_with(sign)) {
            self.place += sign.len();
            return Ok(Token::Symbol(*symbol));
        }
        let first = rest.chars().next().map(String::from).unwrap_or_default();
        let suggestion = match first.as_str() {
            "=" => Some("=="),
            "!" => Some("not"),
            "‘" | "’" => Some("'"),
            "“" | "”" => Some("\""),
            _ => None,
        };
        let expected = if self.after_operand { "an operator or the end" } else { "a value or a path" };
        Err(self.error(excerpt(&first), expected).suggest(suggestion))
    }

    /// What begins with a digit.
    fn digits(&mut self, rest: &'a str) -> Result<Token<'a>, Box<ExprError>> {
        if let Ok((after, text)) = uuid(rest) {
            return Ok(self.uuid(after, text));
        }
        if date(rest).is_ok() {
            return self.instant(rest);
        }
        if let Some((count, unit, after)) = duration(rest) {
            let Ok(count) = count.parse() else {
                let found = excerpt(&rest[..rest.len() - after.len()]);
                return Err(self.error(found, format!("a duration of at most {} years", Span::MAX_YEARS)));
            };
            let span = Span { count, unit };
            if !span.is_in_range() {
                let found = excerpt(&rest[..rest.len() - after.len()]);
                return Err(self.error(found, format!("a duration of at most {} years", Span::MAX_YEARS)));
            }
            self.advance_to(after);
            return Ok(Token::Literal(Literal::Duration(span)));
        }
        if let Some(number) = Numeral::read(rest.as_bytes())
            && let Some((found, expected, suggestion)) = habits::duration(&rest[..number.length], rest)
        {
            return Err(self.error(excerpt(found), expected).suggest(suggestion));
        }
        self.number(rest)
    }

    /// A minus with a digit behind it, where no operand stands before it.
    fn negative(&mut self, rest: &'a str) -> Result<Token<'a>, Box<ExprError>> {
        let behind = &rest[1..];
        if date(behind).is_ok() {
            return Err(self.error("a minus before an instant", "an instant, which has no sign"));
        }
        let is_duration = |number: Numeral| habits::duration(&behind[..number.length], behind).is_some();
        if duration(behind).is_some() || Numeral::read(behind.as_bytes()).is_some_and(is_duration) {
            return Err(self.error("a minus before a duration", "a duration, which has no sign"));
        }
        self.number(rest)
    }

    fn instant(&mut self, rest: &'a str) -> Result<Token<'a>, Box<ExprError>> {
        if let Ok((after, text)) = instant(rest)
            && let Some(at) = Timestamp::parse_rfc3339(text)
        {
            if let Some(joined) = with_blank(text, after) {
                let found = excerpt(&rest[..joined.len()]);
                let error = self.error(found, "'T' between the date and the time");
                return Err(error.suggest(instant(&joined).is_ok().then_some(joined)));
            }
            self.advance_to(after);
            return Ok(Token::Literal(Literal::Instant(at)));
        }
        let shape = rest.find(|c: char| !(c.is_alphanumeric() || "-:.+_".contains(c))).unwrap_or(rest.len());
        Err(self.error(
            excerpt(&rest[..shape]),
            "a date such as 2023-01-31, or a date and time such as 2023-01-31T15:14:13.123Z",
        ))
    }

    fn number(&mut self, rest: &'a str) -> Result<Token<'a>, Box<ExprError>> {
        let Some(numeral) = Numeral::read(rest.as_bytes()) else {
            return Err(self.error(excerpt(leading_word(rest)), "a number"));
        };
        let value = match numeral.value(rest) {
            // There is no negative zero to tell apart: it equals zero everywhere.
            Some(Number::Float(0.0)) => Number::Float(0.0),
            Some(value) => value,
            None => {
                let found = excerpt(&rest[..numeral.length]);
                return Err(self.error(found, "a number that 64 bits can hold (a constant overflows)"));
            }
        };
        self.place += numeral.length;
        Ok(Token::Literal(Literal::Number(value)))
    }
}

fn hexadecimal(count: usize) -> impl Fn(&str) -> IResult<&str, &str> {
    move |input| take_while_m_n(count, count, |c: char| c.is_ascii_hexdigit()).parse(input)
}

fn decimal(count: usize) -> impl Fn(&str) -> IResult<&str, &str> {
    move |input| take_while_m_n(count, count, |c: char| c.is_ascii_digit()).parse(input)
}

fn uuid(input: &str) -> IResult<&str, &str> {
    let dash = || char('-');
    let groups =
        (hexadecimal(8), dash(), hexadecimal(4), dash(), hexadecimal(4), dash(), hexadecimal(4), dash());
    terminated(recognize((groups, hexadecimal(12))), not(satisfy(continues_name))).parse(input)
}

/// What has the shape of a date, whatever follows it.
fn date(input: &str) -> IResult<&str, &str> {
    recognize((decimal(4), char('-'), decimal(2), char('-'), decimal(2))).parse(input)
}

/// A date or a date-time, its numbers not yet checked, with nothing behind it that would go on.
fn instant(input: &str) -> IResult<&str, &str> {
    let clock = (decimal(2), char(':'), decimal(2), char(':'), decimal(2), opt((char('.'), digit1)));
    let offset = recognize((one_of("+-"), decimal(2), char(':'), decimal(2))).or(recognize(one_of("Zz")));
    let time = (one_of("Tt"), clock, opt(offset));
    terminated(recognize((date, opt(time))), not(satisfy(|c| continues_name(c) || c == '.' || c == ':')))
        .parse(input)
}

/// A date with a time behind it, a blank between the two, with a `T` there instead.
fn with_blank(date: &str, after: &str) -> Option<String> {
    let time = after.strip_prefix(' ').filter(|_| !date.contains(['T', 't']))?;
    let clock: IResult<&str, _> = (decimal(2), char(':'), decimal(2)).parse(time);
    clock.ok()?;
    let end = time.find(|c: char| !(c.is_ascii_digit() || ":.+-Zz".contains(c))).unwrap_or(time.len());
    Some(format!("{date}T{}", &time[..end]))
}

/// An integer and a unit behind it: the digits, the unit, and what follows.
fn duration(input: &str) -> Option<(&str, Unit, &str)> {
    let word = take_while(continues_name);
    let parsed: IResult<&str, (&str, &str)> =
        (terminated(digit1, take_while(char::is_whitespace)), word).parse(input);
    let (rest, (count, word)) = parsed.ok()?;
    Some((count, Unit::from_word(word)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        let mut lexer = Lexer::new(text);
        std::iter::from_fn(|| match lexer.token().unwrap() {
            (Token::End, ..) => None,
            (token, ..) => Some(token),
        })
        .collect()
    }

    fn printed(text: &str) -> String {
        let show = |token: &Token<'_>| match token {
            Token::Word { text, quoted: true } => format!("`{text}`"),
            Token::Word { text, .. } => text.to_string(),
            Token::Literal(literal) => format!("<{literal}>"),
            Token::Symbol(symbol) => SYMBOLS.iter().find(|(_, s)| s == symbol).unwrap().0.to_string(),
            Token::End => String::new(),
        };
        tokens(text).iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_longest_literal_wins() {
        let cases = [
            ("550e8400-E29B-41d4-a716-446655440000", "<'550e8400-e29b-41d4-a716-446655440000'>"),
            ("deadbeef-e29b-41d4-a716-446655440000", "<'deadbeef-e29b-41d4-a716-446655440000'>"),
            ("deadbeef-e29b", "deadbeef - e29b"),
            ("2023-01-01", "<2023-01-01>"),
            ("2023-01-01T15:14:13.5+01:00", "<2023-01-01T14:14:13.5Z>"),
            ("2023-01-01T15:14:13-5 days", "<2023-01-01T15:14:13Z> - <5 days>"),
            ("2023-01-01-5 days", "<2023-01-01> - <5 days>"),
            ("2023-01-01t15:14:13.1234567899z", "<2023-01-01T15:14:13.123456789Z>"),
            ("10000 years", "<10000 years>"),
            ("3652425 days", "<3652425 days>"),
            ("2023-1-1", "<2023> - <1> - <1>"),
            ("12023-01-01", "<12023> - <1> - <1>"),
            ("7days", "<7 days>"),
            ("7 \n day", "<7 days>"),
            ("5 ms", "<5 milliseconds>"),
            ("5 dayz", "<5> dayz"),
            ("5dayz", "<5> dayz"),
            ("1and", "<1> and"),
            ("1e", "<1> e"),
            ("1e3", "<1000.0>"),
            ("-5", "<-5>"),
            ("n -1", "n - <1>"),
            ("n - -1", "n - <-1>"),
            ("now -1 days", "now - <1 days>"),
            ("(1)-1", "( <1> ) - <1>"),
            ("[-1,-2]", "[ <-1> , <-2> ]"),
            ("a.in -1", "a . in - <1>"),
            ("in -1", "in <-1>"),
            ("`in` -1", "`in` - <1>"),
        ];
        for (text, expected) in cases {
            assert_eq!(printed(text), expected, "{text}");
        }
    }

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(printed("'it''s'"), "<'it''s'>");
        assert_eq!(printed("\"a\"\"b'c\""), "<'a\"b''c'>");
        assert_eq!(tokens("````"), [Token::Word { text: "`".into(), quoted: true }]);
        assert_eq!(tokens("```a```"), [Token::Word { text: "`a`".into(), quoted: true }]);
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("2023-13-01", "'2023-13-01'", None),
            ("2023-01-01T15:14", "'2023-01-01T15:14'", None),
            ("2023-01-01x", "'2023-01-01x'", None),
            ("2023-01-011", "'2023-01-011'", None),
            ("2016-12-31T23:59:60Z", "'2016-12-31T23:59:60Z'", None),
            ("2023-01-01 15:14:13Z", "'2023-01-01 15:14:13Z'", Some("2023-01-01T15:14:13Z")),
            ("2023-01-01 15:14", "'2023-01-01 15:14'", None),
            ("5m", "'5m'", Some("5 minutes")),
            ("5 m", "'5 m'", Some("5 minutes")),
            ("7d", "'7d'", Some("7 days")),
            ("1h", "'1h'", Some("1 hours")),
            ("5M", "'5M'", None),
            ("3w", "'3w'", Some("3 weeks")),
            ("90s", "'90s'", Some("90 seconds")),
            ("2y", "'2y'", Some("2 years")),
            ("6mo", "'6mo'", Some("6 months")),
            ("5 mins", "'5 mins'", Some("5 minutes")),
            ("10 ns", "'10 ns'", None),
            ("1.5 days", "'1.5 days'", Some("36 hours")),
            ("1.5h", "'1.5h'", Some("90 minutes")),
            ("1e3 days", "'1e3 days'", None),
            ("10001 years", "'10001 years'", None),
            ("3652426 days", "'3652426 days'", None),
            ("-5m", "a minus before a duration", None),
            ("``", "an empty name", None),
            ("a =~ 'x'", "'=~'", None),
            ("a * 2", "'*'", None),
            ("=", "'='", Some("==")),
            ("&&", "'&&'", Some("and")),
            ("||", "'||'", Some("or")),
            ("!x", "'!'", Some("not")),
            ("<>", "'<>'", Some("!=")),
            ("18446744073709551616", "'18446744073709551616'", None),
            ("1e400", "'1e400'", None),
            ("99999999999999999999 days", "'99999999999999999999 days'", None),
            ("'x", "text that is not closed", None),
            ("`x", "a name in backticks that is not closed", None),
            ("-5 days", "a minus before a duration", None),
            ("-2023-01-01", "a minus before an instant", None),
            ("ä#", "'#'", None),
        ];
        for (text, found, suggestion) in cases {
            let mut lexer = Lexer::new(text);
            let error = loop {
                match lexer.token() {
                    Ok((Token::End, ..)) => panic!("{text} is accepted"),
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert_eq!((error.found.as_str(), error.suggestion.as_deref()), (found, suggestion), "{text}");
        }
    }
}
