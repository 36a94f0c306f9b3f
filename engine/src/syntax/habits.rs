//! What people write who come from other languages, and what it is called here.

use super::{ExprError, begins_name, continues_name};
use crate::time::Unit;

/// A sign that is none here: what could stand there, unless its place says that, and what to write instead.
#[derive(Debug, PartialEq)]
pub(super) struct Foreign {
    pub(super) expected: Option<&'static str>,
    pub(super) suggestion: Option<&'static str>,
}

/// An operator of another language.
pub(super) const fn sign<T>(suggestion: &'static str) -> Result<T, Foreign> {
    Err(Foreign { expected: Some("an operator"), suggestion: Some(suggestion) })
}

/// An operator that has no like here.
pub(super) const fn none<T>(expected: &'static str) -> Result<T, Foreign> {
    Err(Foreign { expected: Some(expected), suggestion: None })
}

/// A sign written in another way.
pub(super) const fn meant<T>(suggestion: &'static str) -> Result<T, Foreign> {
    Err(Foreign { expected: None, suggestion: Some(suggestion) })
}

/// What there is instead of patterns.
pub(super) const NO_PATTERNS: &str =
    "'startswith', 'endswith' or 'contains' and a text, as there are no patterns";
pub(super) const NO_FACTORS: &str = "'+' or '-', as sums are all the arithmetic that there is";

/// What to write where `word` stands as an operator, and behind it `rest` begins with that word: what is replaced, what could stand
/// there, and what to put there.
pub(crate) fn operator<'a>(word: &str, rest: &'a str) -> Option<(&'a str, &'static str, Option<String>)> {
    let found = &rest[..word.len().min(rest.len())];
    let said = |expected, suggestion: Option<&str>| Some((found, expected, suggestion.map(str::to_owned)));
    match word.to_lowercase().as_str() {
        "like" | "ilike" | "rlike" | "matches" | "match" | "regexp" | "regex" | "glob" | "similar" => {
            said(NO_PATTERNS, None)
        }
        "between" => said("two comparisons joined by 'and', as in a >= 1 and a <= 5", None),
        "is" => Some(is(rest)),
        "isnull" => said("an operator", Some("== nothing")),
        "notnull" => said("an operator", Some("!= nothing")),
        "eq" | "equals" => said("an operator", Some("==")),
        "ne" | "neq" => said("an operator", Some("!=")),
        "lt" => said("an operator", Some("<")),
        "lte" | "le" => said("an operator", Some("<=")),
        "gt" => said("an operator", Some(">")),
        "gte" | "ge" => said("an operator", Some(">=")),
        "not" => said("'and', 'or' or the end: 'not' stands before the whole test, as in not a in [1]", None),
        "has" | "includes" | "has_any" | "overlaps" => said(
            "an operator: 'anyof' or 'allof' and items in brackets look into a list, 'contains' into a text",
            None,
        ),
        _ => None,
    }
}

/// `is null`, `is not null`, `is true`, `is 5`.
fn is(rest: &str) -> (&str, &'static str, Option<String>) {
    let mut end = 2;
    let mut operator = "==";
    let mut word = next_word(rest, end);
    if word.is_some_and(|(_, word)| word.eq_ignore_ascii_case("not")) {
        operator = "!=";
        end = word.map_or(end, |(end, _)| end);
        word = next_word(rest, end);
    }
    let nothing = ["null", "nothing", "none", "nil", "empty", "missing", "undefined"];
    match word {
        Some((after, word)) if nothing.iter().any(|it| word.eq_ignore_ascii_case(it)) => {
            (&rest[..after], "an operator, as in a == nothing", Some(format!("{operator} nothing")))
        }
        _ => (&rest[..end], "an operator", Some(operator.to_owned())),
    }
}

/// The word behind a place, past white space, and where it ends.
fn next_word(text: &str, from: usize) -> Option<(usize, &str)> {
    let behind = &text[from..];
    let start = from + (behind.len() - behind.trim_start().len());
    let word = leading_word(&text[start..]);
    (!word.is_empty()).then_some((start + word.len(), word))
}

/// What to write instead of the call of a function or a method, of which the last name is `name`.
pub(crate) fn call(name: &str) -> &'static str {
    match name.to_lowercase().as_str() {
        "startswith" | "starts_with" | "hasprefix" => {
            "an operator, as there are no functions: a startswith 'x'"
        }
        "endswith" | "ends_with" | "hassuffix" => "an operator, as there are no functions: a endswith 'x'",
        "contains" | "includes" | "indexof" | "strpos" => {
            "an operator, as there are no functions: a contains 'x' of a text, a anyof ['x'] of a list"
        }
        "any" | "some" | "anyof" => "an operator, as there are no functions: a anyof ['x']",
        "all" | "every" | "allof" => "an operator, as there are no functions: a allof ['x']",
        "exists" | "isnull" | "isempty" | "defined" => {
            "an operator, as there are no functions: a != nothing where the field is there"
        }
        "date" | "datetime" | "timestamp" | "todate" => {
            "a value, as there are no functions: 2023-01-31 or 2023-01-31T15:14:13Z"
        }
        "current_timestamp" | "getdate" | "utcnow" | "today" => "a value, as there are no functions: now",
        "ago" => "a value, as there are no functions: now - 5 minutes",
        _ => "a field or an operator, as there are no functions",
    }
}

/// The unit that an abbreviation means, where it means just one.
fn abbreviated(word: &str) -> Option<Unit> {
    // A capital M is a month to some and a minute to others.
    if word == "M" {
        return None;
    }
    Some(match word.to_lowercase().as_str() {
        "s" | "sec" | "secs" => Unit::Seconds,
        "m" | "min" | "mins" => Unit::Minutes,
        "h" | "hr" | "hrs" => Unit::Hours,
        "d" => Unit::Days,
        "w" | "wk" | "wks" => Unit::Weeks,
        "mo" | "mon" | "mos" | "mth" | "mths" => Unit::Months,
        "y" | "yr" | "yrs" => Unit::Years,
        "msec" | "msecs" | "millis" => Unit::Milliseconds,
        _ => return None,
    })
}

/// A duration that is not written as one is here: how much of `rest`, which begins with the number, it takes, what could stand there,
/// and the same duration in this language, where it has one.
pub(super) fn duration<'a>(number: &str, rest: &'a str) -> Option<(&'a str, String, Option<String>)> {
    let (end, word) = next_word(rest, number.len())?;
    let found = &rest[..end];
    let known = Unit::from_word(word).or_else(|| abbreviated(word));
    let whole = number.bytes().all(|byte| byte.is_ascii_digit());
    match known {
        Some(unit) if whole => {
            let suggestion = format!("{number} {}", unit.word());
            Some((found, "a number and a unit, as in 5 minutes or 7 days".into(), Some(suggestion)))
        }
        Some(unit) => {
            let expected = format!("a duration of a whole number of {}", unit.word());
            Some((found, expected, in_smaller_units(number, unit)))
        }
        // Other short words behind a number are no word of this language, and near to several units.
        None if whole && matches!(word, "M" | "us" | "µs" | "μs" | "ns" | "q") => {
            Some((found, "a number and a unit, from ticks (100 ns) to years".into(), None))
        }
        None => None,
    }
}

/// A decimal fraction of a unit as a whole number of a smaller one: `1.5 days` is `36 hours`.
fn in_smaller_units(number: &str, unit: Unit) -> Option<String> {
    let (whole, fraction) = number.split_once('.')?;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let count = format!("{whole}{fraction}").parse::<u128>().ok()?;
    // Ticks, or for units of the calendar months.
    let (smaller, one): (&[(Unit, u128)], u128) = match unit {
        Unit::Years => (&[(Unit::Years, 12), (Unit::Months, 1)], 12),
        Unit::Months => (&[(Unit::Months, 1)], 1),
        Unit::Weeks => (FIXED, FIXED[0].1),
        _ => (FIXED, FIXED.iter().find(|(known, _)| *known == unit)?.1),
    };
    let amount = count.checked_mul(one)?;
    let whole = (amount % scale == 0).then_some(amount / scale)?;
    let fits = |(smaller, each): &&(Unit, u128)| *each <= one && whole % each == 0 && *smaller != Unit::Weeks;
    let (unit, each) = smaller.iter().find(fits)?;
    Some(format!("{} {}", whole / each, unit.word()))
}

/// The units of fixed length in ticks.
const FIXED: &[(Unit, u128)] = &[
    (Unit::Weeks, 6_048_000_000_000),
    (Unit::Days, 864_000_000_000),
    (Unit::Hours, 36_000_000_000),
    (Unit::Minutes, 600_000_000),
    (Unit::Seconds, 10_000_000),
    (Unit::Milliseconds, 10_000),
    (Unit::Ticks, 1),
];

/// The longest word at the beginning, perhaps empty.
pub(super) fn leading_word(text: &str) -> &str {
    &text[..text.find(|c| !continues_name(c)).unwrap_or(text.len())]
}

/// An order key with a sign before it, as in `-createdAt`: `rest` begins with the sign.
pub(crate) fn signed_key(text: &str, start: usize) -> Option<Box<ExprError>> {
    let rest = &text[start..];
    let key = rest[1..].trim_start();
    let is_path = |c: char| continues_name(c) || c == '.';
    let key = &key[..key.find(|c| !is_path(c)).unwrap_or(key.len())];
    if !key.starts_with(begins_name) {
        return None;
    }
    let end = rest.len() - rest[1..].trim_start().len() + key.len();
    let suggestion = if rest.starts_with('-') { format!("{key} desc") } else { key.to_owned() };
    let found = super::excerpt(&rest[..end]);
    let error = ExprError::at(text, start, found, "a field, and behind it 'asc' or 'desc'");
    Some(error.suggest(Some(suggestion)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_become_whole_numbers_of_a_smaller_unit() {
        let cases = [
            ("1.5", Unit::Days, Some("36 hours")),
            ("7.5", Unit::Days, Some("180 hours")),
            ("0.5", Unit::Hours, Some("30 minutes")),
            ("1.25", Unit::Hours, Some("75 minutes")),
            ("2.0", Unit::Days, Some("2 days")),
            ("1.5", Unit::Years, Some("18 months")),
            ("1.5", Unit::Months, None),
            ("0.3", Unit::Years, None),
            ("1.5", Unit::Weeks, Some("252 hours")),
            ("0.00000001", Unit::Seconds, None),
            ("0.5", Unit::Ticks, None),
            ("1e3", Unit::Days, None),
            ("99999999999999999999999999999999999999.5", Unit::Weeks, None),
        ];
        for (number, unit, expected) in cases {
            assert_eq!(in_smaller_units(number, unit).as_deref(), expected, "{number} {}", unit.word());
        }
    }

    #[test]
    fn what_is_asks_is_an_operator_here() {
        let cases = [
            ("is null and b", "is null", "== nothing"),
            ("IS  NOT NULL", "IS  NOT NULL", "!= nothing"),
            ("is true", "is", "=="),
            ("is not 5", "is not", "!="),
            ("is", "is", "=="),
        ];
        for (rest, found, suggestion) in cases {
            let (it, _, with) = is(rest);
            assert_eq!((it, with.as_deref()), (found, Some(suggestion)), "{rest}");
        }
    }
}
