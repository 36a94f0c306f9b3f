//! What a terminal needs that text does not have: how wide things are, and nothing that steers it.

/// Makes text safe and short for one cell: control characters are shown as `·`, and what is longer than
/// `width` characters ends in `…`.
pub(crate) fn cell(text: &str, width: usize) -> String {
    let shown = |c: char| if c.is_control() || is_steering(c) { '·' } else { c };
    let count = text.chars().count();
    match count > width {
        true => text.chars().take(width.saturating_sub(1)).map(shown).chain(['…']).collect(),
        false => text.chars().map(shown).collect(),
    }
}

/// Characters that are no control characters and yet change how what follows is shown.
fn is_steering(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Makes a message of several lines safe.
pub(crate) fn message(text: &str) -> String {
    text.chars().map(|c| if c != '\n' && (c.is_control() || is_steering(c)) { '·' } else { c }).collect()
}

/// A piece of an expression with a mark under a place of it: line and column from 1, in characters.
pub(crate) fn underline(expression: &str, line: usize, column: usize) -> String {
    let text = expression.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    // A long expression is cut around the place.
    let start = column.saturating_sub(60);
    let shown: String = text.chars().skip(start).take(100).collect();
    let shown = cell(&shown, 100);
    format!("  {shown}\n  {}^", " ".repeat(column.saturating_sub(1).saturating_sub(start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_short_and_cannot_steer() {
        assert_eq!(cell("abcdef", 4), "abc…");
        assert_eq!(cell("abcd", 4), "abcd");
        assert_eq!(cell("a\x1b[31m\u{202e}b", 20), "a·[31m·b");
        assert_eq!(cell("abc", 0), "…");
    }

    #[test]
    fn the_mark_stands_under_the_place() {
        assert_eq!(underline("status = 'x'", 1, 8), "  status = 'x'\n         ^");
        assert_eq!(underline("a\nb c", 2, 3), "  b c\n    ^");
        assert_eq!(underline("", 1, 1), "  \n  ^");
        let long = format!("{}@", "x".repeat(500));
        let marked = underline(&long, 1, 501);
        let lines: Vec<_> = marked.lines().collect();
        assert_eq!(lines[0].chars().nth(lines[1].chars().count() - 1), Some('@'));
    }
}
