//! One token of foresight over an expression, and the paths that all expressions share.

use super::error::excerpt;
use super::lexer::Lexer;
use super::{ExprError, KEYWORDS, Symbol, Token, habits};
use crate::limits::QueryLimits;
use crate::path::Path;
use crate::schema::Schema;

/// The place up to which an expression is parsed.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    limits: &'a QueryLimits,
    lexer: Lexer<'a>,
    token: Token<'a>,
    start: usize,
    end: usize,
    before: usize,
}

impl<'a> Cursor<'a> {
    /// At the first token of an expression.
    pub(crate) fn new(text: &'a str, limits: &'a QueryLimits) -> Result<Cursor<'a>, Box<ExprError>> {
        if text.len() > limits.expression_bytes {
            return Err(ExprError::at(
                text,
                0,
                format!("an expression of {} bytes", text.len()),
                format!("at most {} bytes", limits.expression_bytes),
            ));
        }
        let mut lexer = Lexer::new(text);
        let (token, start, end) = lexer.token()?;
        Ok(Cursor { text, limits, lexer, token, start, end, before: 0 })
    }

    pub(crate) fn limits(&self) -> &'a QueryLimits {
        self.limits
    }

    /// The token that comes next.
    pub(crate) fn token(&self) -> &Token<'a> {
        &self.token
    }

    /// The byte at which the next token begins.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// The byte behind the last token that was taken.
    pub(crate) fn before(&self) -> usize {
        self.before
    }

    /// The expression between two bytes.
    pub(crate) fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    /// The expression from the next token on.
    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.start..).unwrap_or_default()
    }

    /// The expression from a name up to the parenthesis that comes next, or to the one behind that where nothing is between.
    pub(crate) fn called(&self, start: usize) -> &'a str {
        let behind = self.text.get(self.end..).unwrap_or_default();
        let closing = behind.trim_start().starts_with(')');
        let end = if closing { self.end + behind.len() - behind.trim_start().len() + 1 } else { self.end };
        self.slice(start, end)
    }

    /// A path that stands at `start`, refused where the set allows for declared fields only and does not declare it.
    pub(crate) fn declared(&self, start: usize, path: Path, schema: &Schema) -> Result<Path, Box<ExprError>> {
        if schema.may_name(&path) {
            return Ok(path);
        }
        let found = format!("{}, which the set does not declare", excerpt(self.slice(start, self.before)));
        Err(self.error(start, found, "a declared field").suggest(schema.nearest(&path)))
    }

    /// The next token's word, where it is one without backticks.
    pub(crate) fn word(&self) -> Option<&str> {
        match &self.token {
            Token::Word { text, quoted: false } => Some(text),
            _ => None,
        }
    }

    /// Takes the next token.
    pub(crate) fn take(&mut self) -> Result<Token<'a>, Box<ExprError>> {
        let (token, start, end) = self.lexer.token()?;
        self.before = self.end;
        (self.start, self.end) = (start, end);
        Ok(std::mem::replace(&mut self.token, token))
    }

    /// Takes the next token if it is this word.
    pub(crate) fn skip_word(&mut self, word: &str) -> Result<bool, Box<ExprError>> {
        let is = self.word() == Some(word);
        if is {
            self.take()?;
        }
        Ok(is)
    }

    /// Takes the next token if it is this sign.
    pub(crate) fn skip(&mut self, symbol: Symbol) -> Result<bool, Box<ExprError>> {
        let is = self.token == Token::Symbol(symbol);
        if is {
            self.take()?;
        }
        Ok(is)
    }

    /// An error at the next token, which is not what was expected.
    pub(crate) fn unexpected(&self, expected: impl Into<String>) -> Box<ExprError> {
        let found = match self.token {
            Token::End => String::from("the end"),
            _ => excerpt(self.slice(self.start, self.end)),
        };
        self.error(self.start, found, expected)
    }

    /// An error at a byte of the expression.
    pub(crate) fn error(
        &self,
        start: usize,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Box<ExprError> {
        ExprError::at(self.text, start, found, expected)
    }

    /// `name { "." name }`. A keyword as the first name is an error unless the place allows for nothing but a path.
    pub(crate) fn path(&mut self, keywords: bool) -> Result<Path, Box<ExprError>> {
        if !keywords && let Some(word) = self.word().filter(|word| KEYWORDS.contains(word)) {
            let behind = self.text.get(self.end..).unwrap_or_default();
            if behind.trim_start().starts_with('(') {
                return Err(self.unexpected(habits::call(word)));
            }
            return Err(self.unexpected(format!(
                "a value or a path (a field of that name is written `{word}`, in backticks)"
            )));
        }
        let mut names = Vec::new();
        loop {
            if !matches!(self.token, Token::Word { .. }) {
                let expected = if names.is_empty() { "a path" } else { "a name" };
                return Err(self.unexpected(expected));
            }
            if names.len() == self.limits.path_names {
                let found = format!("a path of more than {} names", self.limits.path_names);
                return Err(self.error(
                    self.start,
                    found,
                    format!("at most {} names", self.limits.path_names),
                ));
            }
            if let Token::Word { text, .. } = self.take()? {
                names.push(Box::from(&*text));
            }
            if !self.skip(Symbol::Dot)? {
                return Ok(Path::from_names(names));
            }
        }
    }
}
