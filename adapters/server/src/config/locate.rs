//! Says where in the file something is wrong: line, column, key, and the line itself with a mark under it.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Describes an error of the TOML reader.
pub(super) fn describe(file: &Path, text: &str, error: &toml::de::Error) -> String {
    let Some(span) = error.span() else {
        return format!("{}: {}", file.display(), error.message());
    };
    let key = key_at(text, &span);
    render(file, text, span, key.as_deref(), error.message())
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
    let marked = floor_boundary(text, span.end.clamp(start, line_end));
    let width = text[start..marked].chars().count().max(1);
    let line = shown_line(text[line_start..line_end].trim_end_matches('\r'));
    let key = key.filter(|key| !key.is_empty()).map(|key| format!("{key}: ")).unwrap_or_default();
    let margin = " ".repeat(line_number.to_string().len());
    format!(
        "{}:{line_number}:{column}: {key}{message}\n{margin} |\n{line_number} | {line}\n{margin} | {}{}",
        file.display(),
        " ".repeat(column - 1),
        "^".repeat(width),
    )
}

/// Tokens stand in the file: a line that has one is not repeated on the terminal or in the log.
fn shown_line(line: &str) -> String {
    match line.contains("token") {
        true => {
            let mut inside = None;
            line.chars()
                .map(|c| match (inside, c) {
                    (None, '"' | '\'') => {
                        inside = Some(c);
                        c
                    }
                    (Some(quote), c) if quote == c => {
                        inside = None;
                        c
                    }
                    (Some(_), _) => '*',
                    (None, c) => c,
                })
                .collect()
        }
        false => line.replace('\t', " "),
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The key whose value, or whose name, is at a place of the file; the innermost one.
fn key_at(text: &str, span: &Range<usize>) -> Option<String> {
    let (table, _) = DeTable::parse_recoverable(text);
    let mut key = String::new();
    in_table(table.get_ref(), span, &mut key);
    Some(key).filter(|key| !key.is_empty())
}

fn in_table(table: &DeTable<'_>, span: &Range<usize>, key: &mut String) {
    for (name, value) in table {
        let inside = contains(&value.span(), span) || contains(&name.span(), span) || holds(value, span);
        if inside {
            if !key.is_empty() {
                key.push('.');
            }
            key.push_str(name.get_ref());
            return in_value(value, span, key);
        }
    }
}

fn in_value(value: &Spanned<DeValue<'_>>, span: &Range<usize>, key: &mut String) {
    match value.get_ref() {
        DeValue::Table(table) => in_table(table, span, key),
        DeValue::Array(list) => {
            for (index, item) in list.iter().enumerate() {
                if contains(&item.span(), span) || holds(item, span) {
                    key.push_str(&format!("[{index}]"));
                    return in_value(item, span, key);
                }
            }
        }
        _ => {}
    }
}

/// The span of a table header does not cover what stands below it, so look inside.
fn holds(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> bool {
    match value.get_ref() {
        DeValue::Table(table) => table.iter().any(|(name, value)| {
            contains(&name.span(), span) || contains(&value.span(), span) || holds(value, span)
        }),
        DeValue::Array(list) => list.iter().any(|item| contains(&item.span(), span) || holds(item, span)),
        _ => false,
    }
}

fn contains(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
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
