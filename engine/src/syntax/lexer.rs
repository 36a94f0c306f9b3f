//! Words, signs and literals of an expression, one at a time.
//!
//! Where several literals begin alike the longest wins: uuid, then instant, then duration, then number. What has the shape of a
//! date and is none is an error rather than a subtraction. A minus belongs to a number only where no operand stands before it,
//! so the lexer remembers whether one does. Every token is read once, looking ahead no further than one word behind it, so
//! reading an expression takes time in proportion to its length.
//!
//! A parser here gives up (`nom::Err::Error`) where a token of another kind begins, and fails (`nom::Err::Failure`) where one of its own kind
//! is wrong.

use std::borrow::Cow;

use liveset_core::json::Numeral;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_until, take_while, take_while_m_n};
use nom::character::complete::{char, digit1, one_of, satisfy};
use nom::combinator::{cut, not, opt, recognize};
use nom::error::{ErrorKind, ParseError};
use nom::multi::many1_count;
use nom::sequence::{delimited, terminated};
use nom::{IResult, Parser};

use super::error::excerpt;
use super::habits::{self, Foreign, meant, none, sign};
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
    /// Begins the name of a parameter.
    Dollar,
}

/// Signs, and those of other languages; longer ones before their beginnings.
const SIGNS: &[(&str, Result<Symbol, Foreign>)] = &[
    (".", Ok(Symbol::Dot)),
    (",", Ok(Symbol::Comma)),
    ("(", Ok(Symbol::OpenParenthesis)),
    (")", Ok(Symbol::CloseParenthesis)),
    ("[", Ok(Symbol::OpenBracket)),
    ("]", Ok(Symbol::CloseBracket)),
    ("+", Ok(Symbol::Plus)),
    ("-", Ok(Symbol::Minus)),
    ("===", sign("==")),
    ("==", Ok(Symbol::Equal)),
    ("!==", sign("!=")),
    ("!=", Ok(Symbol::NotEqual)),
    ("<>", sign("!=")),
    ("<=", Ok(Symbol::LessOrEqual)),
    ("<", Ok(Symbol::Less)),
    (">=", Ok(Symbol::GreaterOrEqual)),
    (">", Ok(Symbol::Greater)),
    ("$", Ok(Symbol::Dollar)),
    ("=<", sign("<=")),
    ("=>", sign(">=")),
    ("=~", none(habits::NO_PATTERNS)),
    ("!~", none(habits::NO_PATTERNS)),
    ("~", none(habits::NO_PATTERNS)),
    ("&&", sign("and")),
    ("||", sign("or")),
    ("&", sign("and")),
    ("|", sign("or")),
    ("*", none(habits::NO_FACTORS)),
    ("/", none(habits::NO_FACTORS)),
    ("%", none(habits::NO_FACTORS)),
    ("=", meant("==")),
    ("!", meant("not")),
    ("‘", meant("'")),
    ("’", meant("'")),
    ("“", meant("\"")),
    ("”", meant("\"")),
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
    rest: &'a str,
    /// Whether the last token was (the end of) an operand, so that a minus subtracts.
    after_operand: bool,
    /// Whether the last token was a dot, so that a name follows, whatever it looks like.
    after_dot: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, rest: text, after_operand: false, after_dot: false }
    }

    /// The next token with the bytes from where to where it stands; [`Token::End`] for ever after the last.
    pub(crate) fn token(&mut self) -> Result<(Token<'a>, usize, usize), Box<ExprError>> {
        let rest = self.rest.trim_start();
        let start = self.text.len() - rest.len();
        let (rest, token) = self.read(rest).map_err(|error| {
            let (found, expected, suggestion) = match error {
                nom::Err::Failure(Wrong(Some(wrong))) => *wrong,
                _ => (excerpt(rest), "a token".into(), None),
            };
            ExprError::at(self.text, start, found, expected).suggest(suggestion)
        })?;
        self.rest = rest;

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
        Ok((token, start, self.text.len() - rest.len()))
    }

    /// The token at the beginning. Its first character tells what it is, but for literals, which begin alike.
    fn read(&self, input: &'a str) -> Lexed<'a, Token<'a>> {
        match input.chars().next() {
            None => Ok((input, Token::End)),
            Some(first) if self.after_dot && begins_name(first) => word(input),
            Some('0'..='9') => {
                alt((uuid, instant_literal, duration_literal, number)).map(Token::Literal).parse(input)
            }
            Some('a'..='f' | 'A'..='F') => alt((uuid.map(Token::Literal), word)).parse(input),
            Some(first) if begins_name(first) => word(input),
            Some('-') if !self.after_operand => {
                alt((number.map(Token::Literal), |input| self.symbol(input))).parse(input)
            }
            Some('\'' | '"') => quoted.map(|text| Token::Literal(Literal::Text(text.into()))).parse(input),
            Some('`') => name_in_backticks(input),
            Some(_) => self.symbol(input),
        }
    }

    fn symbol(&self, input: &'a str) -> Lexed<'a, Token<'a>> {
        let first = input.bytes().next();
        let begins = |(sign, _): &&(&str, _)| sign.bytes().next() == first && input.starts_with(sign);
        let (found, expected, suggestion) = match SIGNS.iter().find(begins) {
            Some((sign, Ok(symbol))) => return Ok((&input[sign.len()..], Token::Symbol(*symbol))),
            Some((sign, Err(foreign))) => (*sign, foreign.expected, foreign.suggestion),
            _ => (&input[..input.chars().next().map_or(0, char::len_utf8)], None, None),
        };
        let place = if self.after_operand { "an operator or the end" } else { "a value or a path" };
        Err(wrong(excerpt(found), expected.unwrap_or(place), suggestion.map(Into::into)))
    }
}

type Lexed<'a, T> = IResult<&'a str, T, Wrong>;

/// What is wrong with a token: what was found, what was expected, what was probably meant. `None`: it is of another kind.
#[derive(Debug)]
struct Wrong(Option<Box<(String, String, Option<String>)>>);

impl ParseError<&str> for Wrong {
    fn from_error_kind(_: &str, _: ErrorKind) -> Wrong {
        Wrong(None)
    }

    fn append(_: &str, _: ErrorKind, other: Wrong) -> Wrong {
        other
    }
}

fn wrong(
    found: impl Into<String>,
    expected: impl Into<String>,
    suggestion: Option<String>,
) -> nom::Err<Wrong> {
    nom::Err::Failure(Wrong(Some(Box::new((found.into(), expected.into(), suggestion)))))
}

/// The quote is doubled to include it, so pieces in quotes follow one another.
fn quoted(input: &str) -> Lexed<'_, Cow<'_, str>> {
    let quote = &input[..1];
    let piece = delimited(tag(quote), cut(take_until(quote)), tag(quote));
    let (rest, text) = recognize(many1_count(piece)).parse(input).map_err(|_: nom::Err<()>| {
        let what = if quote == "`" { "a name in backticks" } else { "text" };
        wrong(format!("{what} that is not closed"), format!("a closing {quote}"), None)
    })?;
    let inside = &text[1..text.len() - 1];
    Ok((
        rest,
        match inside.contains(quote) {
            true => inside.replace(&quote.repeat(2), quote).into(),
            false => inside.into(),
        },
    ))
}

fn name_in_backticks(input: &str) -> Lexed<'_, Token<'_>> {
    match quoted(input)? {
        (_, text) if text.is_empty() => Err(wrong("an empty name", "a name of one character or more", None)),
        (rest, text) => Ok((rest, Token::Word { text, quoted: true })),
    }
}

fn word(input: &str) -> Lexed<'_, Token<'_>> {
    take_while(continues_name)
        .map(|word| Token::Word { text: Cow::Borrowed(word), quoted: false })
        .parse(input)
}

fn hexadecimal<'a>(count: usize) -> impl FnMut(&'a str) -> Lexed<'a, &'a str> {
    move |input| take_while_m_n(count, count, |c: char| c.is_ascii_hexdigit()).parse(input)
}

fn decimal<'a>(count: usize) -> impl FnMut(&'a str) -> Lexed<'a, &'a str> {
    move |input| take_while_m_n(count, count, |c: char| c.is_ascii_digit()).parse(input)
}

fn uuid(input: &str) -> Lexed<'_, Literal> {
    let dash = || char('-');
    let groups =
        (hexadecimal(8), dash(), hexadecimal(4), dash(), hexadecimal(4), dash(), hexadecimal(4), dash());
    terminated(recognize((groups, hexadecimal(12))), not(satisfy(continues_name)))
        .map(|text: &str| Literal::Text(text.to_ascii_lowercase().into()))
        .parse(input)
}

/// What has the shape of a date, whatever follows it.
fn date(input: &str) -> Lexed<'_, &str> {
    recognize((decimal(4), char('-'), decimal(2), char('-'), decimal(2))).parse(input)
}

/// A date or a date-time, its numbers not yet checked, with nothing behind it that would go on.
fn instant(input: &str) -> Lexed<'_, &str> {
    let clock = (decimal(2), char(':'), decimal(2), char(':'), decimal(2), opt((char('.'), digit1)));
    let offset = recognize((one_of("+-"), decimal(2), char(':'), decimal(2))).or(recognize(one_of("Zz")));
    let time = (one_of("Tt"), clock, opt(offset));
    terminated(recognize((date, opt(time))), not(satisfy(|c| continues_name(c) || c == '.' || c == ':')))
        .parse(input)
}

/// What has the shape of a date and is none is wrong.
fn instant_literal(input: &str) -> Lexed<'_, Literal> {
    date(input)?;
    if let Ok((rest, text)) = instant(input)
        && let Some(at) = Timestamp::parse_rfc3339(text)
    {
        let Some(joined) = with_blank(text, rest) else {
            return Ok((rest, Literal::Instant(at)));
        };
        let found = excerpt(&input[..joined.len()]);
        let suggestion = instant(&joined).is_ok().then_some(joined.clone());
        return Err(wrong(found, "'T' between the date and the time", suggestion));
    }
    let shape = input.find(|c: char| !(c.is_alphanumeric() || "-:.+_".contains(c))).unwrap_or(input.len());
    let expected = "a date such as 2023-01-31, or a date and time such as 2023-01-31T15:14:13.123Z";
    Err(wrong(excerpt(&input[..shape]), expected, None))
}

/// A date with a time behind it, a blank between the two, with a `T` there instead.
fn with_blank(date: &str, after: &str) -> Option<String> {
    let time = after.strip_prefix(' ').filter(|_| !date.contains(['T', 't']))?;
    let clock: Lexed<'_, _> = (decimal(2), char(':'), decimal(2)).parse(time);
    clock.ok()?;
    let end = time.find(|c: char| !(c.is_ascii_digit() || ":.+-Zz".contains(c))).unwrap_or(time.len());
    Some(format!("{date}T{}", &time[..end]))
}

/// An integer and the unit behind it.
fn duration(input: &str) -> Lexed<'_, (&str, Unit)> {
    (terminated(digit1, take_while(char::is_whitespace)), take_while(continues_name).map_opt(Unit::from_word))
        .parse(input)
}

fn duration_literal(input: &str) -> Lexed<'_, Literal> {
    let (rest, (count, unit)) = duration(input)?;
    match count.parse().map(|count| Span { count, unit }) {
        Ok(span) if span.is_in_range() => Ok((rest, Literal::Duration(span))),
        _ => {
            let found = excerpt(&input[..input.len() - rest.len()]);
            Err(wrong(found, format!("a duration of at most {} years", Span::MAX_YEARS), None))
        }
    }
}

/// A number, perhaps with a minus.
fn number(input: &str) -> Lexed<'_, Literal> {
    let is_negative = input.starts_with('-');
    let Some(numeral) = Numeral::read(input.as_bytes()) else {
        return Err(nom::Err::Error(Wrong(None)));
    };
    let (text, rest) = input.split_at(numeral.length);
    let unsigned = &input[usize::from(is_negative)..];
    let foreign = habits::duration(text.trim_start_matches('-'), unsigned);
    if is_negative && date(unsigned).is_ok() {
        return Err(wrong("a minus before an instant", "an instant, which has no sign", None));
    }
    if is_negative && (foreign.is_some() || duration(unsigned).is_ok()) {
        return Err(wrong("a minus before a duration", "a duration, which has no sign", None));
    }
    if let Some((found, expected, suggestion)) = foreign {
        return Err(wrong(excerpt(found), expected, suggestion));
    }
    match numeral.value(input) {
        // There is no negative zero to tell apart: it equals zero everywhere.
        Some(Number::Float(0.0)) => Ok((rest, Literal::Number(Number::Float(0.0)))),
        Some(value) => Ok((rest, Literal::Number(value))),
        None => Err(wrong(excerpt(text), "a number that 64 bits can hold (a constant overflows)", None)),
    }
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
            Token::Symbol(symbol) => SIGNS.iter().find(|(_, it)| *it == Ok(*symbol)).unwrap().0.to_string(),
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
