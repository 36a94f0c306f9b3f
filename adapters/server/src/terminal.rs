//! What a terminal needs that text does not have: how wide things are, and nothing that steers it.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Characters without a width of their own that are kept for each column, at most: a letter has a few accents.
const CHARACTERS_PER_COLUMN: usize = 4;

/// How many columns text takes: a Chinese character two, an accent none.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Makes text safe and short for one cell: control characters are shown as `·`, and what is wider than
/// `width` columns ends in `…`.
pub fn cell(text: &str, width: usize) -> String {
    let shown = |c: char| if c.is_control() || is_steering(c) { '·' } else { c };
    let most = width.saturating_mul(CHARACTERS_PER_COLUMN);
    let whole: String = text.chars().take(most.saturating_add(1)).map(shown).collect();
    if whole.width() <= width && whole.chars().count() <= most {
        return whole;
    }
    let room = width.saturating_sub(1);
    let mut cut = String::new();
    let mut used = 0;
    for c in whole.chars().take(most.saturating_sub(1)) {
        used += c.width().unwrap_or(0);
        if used > room {
            break;
        }
        cut.push(c);
    }
    // Some sequences are wider than their characters.
    while cut.width() > room {
        cut.pop();
    }
    cut.push('…');
    cut
}

/// [`cell`], filled up with spaces to this width.
pub fn padded(text: &str, width: usize) -> String {
    let mut text = cell(text, width);
    let missing = width.saturating_sub(text.width());
    text.extend(std::iter::repeat_n(' ', missing));
    text
}

/// Characters that are no control characters and yet change how what follows is shown.
fn is_steering(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Makes a message of several lines safe.
pub fn message(text: &str) -> String {
    text.chars().map(|c| if c != '\n' && (c.is_control() || is_steering(c)) { '·' } else { c }).collect()
}

/// A piece of an expression with a mark under a place of it: line and column from 1, in characters.
pub fn underline(expression: &str, line: usize, column: usize) -> String {
    let text = expression.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    // A long expression is cut around the place.
    let start = column.saturating_sub(60);
    let before: String =
        text.chars().skip(start).take(column.saturating_sub(1).saturating_sub(start)).collect();
    let before = message(&before);
    let rest: String = text.chars().skip(column.saturating_sub(1).max(start)).take(40).collect();
    format!("  {before}{}\n  {}^", message(&rest), " ".repeat(before.width()))
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
        assert_eq!(cell("", 0), "");
    }

    #[test]
    fn wide_characters_are_measured() {
        assert_eq!(cell("東京都", 6), "東京都");
        // Two columns do not fit into the one that is left.
        assert_eq!(cell("東京都", 4), "東…");
        assert_eq!(cell("東京都", 5), "東京…");
        assert_eq!(padded("東京", 6), "東京  ");
        assert_eq!(padded("e\u{301}a", 4), "e\u{301}a  ", "an accent takes no column");
        assert_eq!(padded("😀!", 4), "😀! ");
        assert_eq!(padded("東京都", 4), "東… ");
        let stacked = format!("a{}", "\u{301}".repeat(1_000));
        assert!(cell(&stacked, 5).chars().count() <= 5 * CHARACTERS_PER_COLUMN);
    }

    #[test]
    fn the_mark_stands_under_the_place() {
        assert_eq!(underline("status = 'x'", 1, 8), "  status = 'x'\n         ^");
        assert_eq!(underline("a\nb c", 2, 3), "  b c\n    ^");
        assert_eq!(underline("", 1, 1), "  \n  ^");
        assert_eq!(underline("name == '東京' and", 1, 14), "  name == '東京' and\n                 ^");
        let long = format!("{}@", "x".repeat(500));
        let marked = underline(&long, 1, 501);
        let lines: Vec<_> = marked.lines().collect();
        assert_eq!(lines[0].chars().nth(lines[1].chars().count() - 1), Some('@'));
    }
}
