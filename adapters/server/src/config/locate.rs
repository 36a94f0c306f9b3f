//! Says where in the file something is wrong: line, column, key, and the line itself with a mark under it.

use std::ops::Range;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use toml::de::DeTable;

/// Describes an error of the TOML reader at a key, where one was reached.
pub(super) fn describe(file: &Path, text: &str, key: Option<&str>, error: &toml::de::Error) -> String {
    match error.span() {
        Some(span) => render(file, text, span, key, error.message()),
        None => format!("{}: {}", file.display(), error.message()),
    }
}

/// Describes what is wrong with the value of a key, written as `set[1].name`.
pub(super) fn describe_at(file: &Path, text: &str, key: &str, message: &str) -> String {
    let span = span_of(text, key).unwrap_or(0..0);
    render(file, text, span, Some(key), message)
}

fn render(file: &Path, text: &str, span: Range<usize>, key: Option<&str>, message: &str) -> String {
    let start = floor_boundary(text, span.start);
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let line_number = text[..line_start].matches('\n').count() + 1;
    let column = text[line_start..start].chars().count() + 1;
    let secret = may_hold_tokens(text, line_start) || key.is_some_and(is_auth);
    let known = |key| if secret { known_part(key) } else { key };
    let key = key.map(known).filter(|key| !key.is_empty()).map(|key| format!("{key}: ")).unwrap_or_default();
    let place = format!("{}:{line_number}:{column}: {key}", file.display());
    let (message, source, mark) = match secret {
        // Neither the terminal nor the log is a place for tokens.
        true => (
            without_value(message),
            Snippet::source("(not shown: tokens may stand here)").line_start(line_number),
            AnnotationKind::Visible.span(0..0),
        ),
        false => {
            let end = floor_boundary(text, span.end.clamp(start, line_end));
            (message.to_owned(), Snippet::source(text), AnnotationKind::Primary.span(start..end))
        }
    };
    let meant = (!secret).then(|| meant(&message)).flatten();
    let help = meant.map(|name| Level::HELP.message(format!("did you mean `{name}`?")));
    let title = Level::ERROR.no_name().primary_title(format!("{place}{message}"));
    let report = [title.element(source.annotation(mark)).elements(help)];
    Renderer::plain().render(&report)
}

/// The known name that an unknown one is most like, of those that the reader lists.
fn meant(message: &str) -> Option<&str> {
    const ALIKE: f64 = 0.8;
    let message = message.strip_prefix("unknown field `").or(message.strip_prefix("unknown variant `"))?;
    let (name, expected) = message.split_once("`, expected ")?;
    let known =
        expected.split('`').skip(1).step_by(2).map(|known| (strsim::jaro_winkler(name, known), known));
    let nearest = known.filter(|(alike, _)| *alike > ALIKE).max_by(|(a, _), (b, _)| a.total_cmp(b));
    nearest.map(|(_, known)| known)
}

/// Whether tokens may stand in a line: in that of `[auth]` and all up to the next header, however they are written. The text may be
/// no TOML at all, so nothing but lines is looked at.
fn may_hold_tokens(text: &str, line_start: usize) -> bool {
    let line_end = text[line_start..].find('\n').map_or(text.len(), |at| line_start + at);
    let mut inside = false;
    for line in text[..line_end].lines().map(str::trim) {
        match header(line) {
            Some(name) => inside = is_auth(name),
            None => inside |= is_auth(line.trim_start_matches(['{', ',', ' '])),
        }
    }
    inside
}

/// The name in the header of a table. An item of a list that looks like one has quotes, and what has is none here.
fn header(line: &str) -> Option<&str> {
    let (inner, behind) = line.strip_prefix('[')?.split_once(']')?;
    let inner = inner.trim_start_matches('[').trim();
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
    let is_end = behind.trim_start_matches(']').trim_start();
    (inner.chars().all(is_name) && (is_end.is_empty() || is_end.starts_with('#'))).then_some(inner)
}

fn is_auth(text: &str) -> bool {
    let name = text.trim_start_matches(['"', '\'']);
    name.strip_prefix("auth")
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-')))
}

/// A key as far as its names are those of the section: a token may stand where a name should.
fn known_part(key: &str) -> &str {
    const NAMES: [&str; 7] = ["auth", "tokens", "token", "subject", "read_only", "admin", "claims"];
    let ends = key.match_indices('.').map(|(at, _)| at).chain([key.len()]);
    let is_known = |name: &str| NAMES.contains(&name.split('[').next().unwrap_or_default());
    ends.map(|end| &key[..end]).take_while(|part| part.split('.').all(is_known)).last().unwrap_or_default()
}

/// `invalid type: string "…", expected …` without the value, and ``unknown field `…` `` without the name.
fn without_value(message: &str) -> String {
    if let Some(expected) =
        message.strip_prefix("unknown field `").and_then(|rest| rest.rsplit_once("`, expected one"))
    {
        return format!("unknown field, expected one{}", expected.1);
    }
    let shown = ["invalid type: ", "invalid value: "].iter().find_map(|start| {
        let (value, expected) = message.strip_prefix(start)?.rsplit_once(", expected ")?;
        let kind = value.split([' ', '`', '"']).next().unwrap_or_default();
        Some(format!("{start}{kind}, expected {expected}"))
    });
    shown.unwrap_or_else(|| message.to_owned())
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Where the value of a key stands; where the key is absent, the nearest table around it.
fn span_of(text: &str, key: &str) -> Option<Range<usize>> {
    let (table, _) = DeTable::parse_recoverable(text);
    let mut names = key.split(['.', '[', ']']).filter(|name| !name.is_empty());
    let first = names.next()?;
    let mut value = table.get_ref().get(first)?;
    for name in names {
        let next = match name.parse::<usize>() {
            Ok(index) => value.get_ref().get(index),
            Err(_) => value.get_ref().get(name),
        };
        let Some(next) = next else { break };
        value = next;
    }
    Some(value.span())
}
