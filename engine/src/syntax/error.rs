//! Errors that point at a place in an expression.

use std::fmt;

/// Text shown from an expression is cut to so many characters.
const EXCERPT: usize = 40;

/// What is wrong with a filter, an order or a field, and where.
///
/// Displays as one line for people: `line 1, column 8: found 'anyoff', expected an operator or the end; did you mean 'anyof'?`
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExprError {
    /// Which of several expressions is meant: the field of a projection, as it was given (shortened).
    pub field: Option<String>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What stands there, or what is the matter with it.
    pub found: String,
    /// What could stand there.
    pub expected: String,
    /// What was probably meant, to be written in place of what was found.
    pub suggestion: Option<String>,
}

impl ExprError {
    /// An error at the byte `offset` of `text`. Boxed, as parsers hand it through many frames of a stack that must stay small.
    pub(crate) fn at(
        text: &str,
        offset: usize,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Box<ExprError> {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Box::new(ExprError {
            field: None,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            found: found.into(),
            expected: expected.into(),
            suggestion: None,
        })
    }

    /// The same with what was probably meant.
    pub(crate) fn suggest(mut self: Box<Self>, suggestion: Option<impl Into<String>>) -> Box<ExprError> {
        self.suggestion = suggestion.map(Into::into);
        self
    }

    /// The same within one field of several.
    pub(crate) fn in_field(self, field: &str) -> ExprError {
        ExprError { field: Some(excerpt(field)), ..self }
    }
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.field {
            write!(f, "field {field}: ")?;
        }
        write!(
            f,
            "line {}, column {}: found {}, expected {}",
            self.line, self.column, self.found, self.expected
        )?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; did you mean '{suggestion}'?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ExprError {}

impl From<Box<ExprError>> for ExprError {
    fn from(error: Box<ExprError>) -> ExprError {
        *error
    }
}

/// A piece of an expression in quotes, [`shortened`].
pub(crate) fn excerpt(text: &str) -> String {
    format!("'{}'", shortened(text))
}

/// Text cut to what a message bears, with control characters escaped so that it stays one line.
pub(crate) fn shortened(text: &str) -> String {
    let mut shown = String::new();
    for (place, character) in text.chars().enumerate() {
        if place == EXCERPT {
            shown.push('…');
            break;
        }
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_lines_and_characters() {
        let text = "åäö ==\n 'ü' x";
        let error = ExprError::at(text, text.find('x').unwrap(), excerpt("x"), "the end");
        assert_eq!((error.line, error.column), (2, 6));
        assert_eq!(error.to_string(), "line 2, column 6: found 'x', expected the end");
    }

    #[test]
    fn excerpts_are_short_and_on_one_line() {
        assert_eq!(excerpt("a\nb"), "'a\\nb'");
        assert_eq!(excerpt(&"x".repeat(100)).chars().count(), 43);
    }
}
