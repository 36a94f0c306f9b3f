//! One text for all spellings of a filter.
//!
//! What is done never changes a result: nested `and`s and `or`s are flattened, their operands and the items of lists sorted and
//! deduplicated; `not not x` is `x`; `not` of `==` is `!=` and the other way round, unless there is a sum in it, of which both may be
//! false; `not true` is `false`; `a > b` is `b < a`; the
//! sides of `==` and `!=` are sorted. Nothing is computed, and sums stay as they are: floats do not add up alike in every order, and
//! integers overflow in one order where they do not in another.
//!
//! Operands are spelled once and their texts moved up, so that levels of the same word cost nothing; where `and` and `or` alternate, each
//! copies the text of the one below, and holds it no longer.

use super::ast::{Comparison, Expr, Membership, Sum};
use crate::syntax::Literal;

/// The canonical spelling of a filter.
pub(super) fn canonical(expr: &Expr) -> String {
    spelled(expr).text
}

/// A filter in canonical form.
struct Spelled {
    text: String,
    form: Form,
}

/// What is around a filter may make of it what stands here. Of the operands of an `and` and of an `or` only the text is needed, and
/// whether it takes parentheses: two or more that differ stay two or more.
enum Form {
    Constant(bool),
    Not(Box<Spelled>),
    /// `==` or `!=`.
    Equality {
        left: String,
        is_equal: bool,
        right: String,
    },
    /// Sorted, two or more, none of them an `and`.
    And(Vec<Spelled>),
    /// Sorted, two or more, none of them an `or`.
    Or(Vec<Spelled>),
    Other,
}

fn spelled(expr: &Expr) -> Spelled {
    match expr {
        Expr::Constant(value) => constant(*value),
        Expr::Field(_) | Expr::Text { .. } => other(expr.to_string()),
        Expr::Not(inner) => not(spelled(inner)),
        Expr::And(_) => {
            let mut operands = Vec::new();
            conjuncts(expr, &mut operands);
            joined(operands, " and ", Form::And)
        }
        Expr::Or(_) => {
            let mut operands = Vec::new();
            disjuncts(expr, &mut operands);
            joined(operands, " or ", Form::Or)
        }
        Expr::Compare { left, operator, right } => compare(left, *operator, right),
        Expr::Member { left, operator, list } => member(left, *operator, list),
    }
}

/// The operands of an `and`, those of an `and` among them in its place.
fn conjuncts(expr: &Expr, operands: &mut Vec<Spelled>) {
    match expr {
        Expr::And(inner) => inner.iter().for_each(|inner| conjuncts(inner, operands)),
        expr => match spelled(expr) {
            Spelled { form: Form::And(inner), .. } => operands.extend(inner),
            operand => operands.push(operand),
        },
    }
}

/// The operands of an `or`, those of an `or` among them in its place.
fn disjuncts(expr: &Expr, operands: &mut Vec<Spelled>) {
    match expr {
        Expr::Or(inner) => inner.iter().for_each(|inner| disjuncts(inner, operands)),
        expr => match spelled(expr) {
            Spelled { form: Form::Or(inner), .. } => operands.extend(inner),
            operand => operands.push(operand),
        },
    }
}

/// Operands sorted, each once; one alone needs no joining.
fn joined(mut operands: Vec<Spelled>, word: &str, form: fn(Vec<Spelled>) -> Form) -> Spelled {
    operands.sort_by(|a, b| a.text.cmp(&b.text));
    operands.dedup_by(|a, b| a.text == b.text);
    match operands.pop() {
        Some(only) if operands.is_empty() => return only,
        last => operands.extend(last),
    }
    let mut text = String::with_capacity(operands.iter().map(|operand| operand.text.len() + 6).sum());
    for (place, operand) in operands.iter_mut().enumerate() {
        if place > 0 {
            text.push_str(word);
        }
        // `and` binds more than `or`; an `or` stands in an `and` only.
        if let Form::Or(inner) = &mut operand.form {
            *inner = Vec::new();
            text.extend(["(", &operand.text, ")"]);
        } else {
            operand.form = Form::Other;
            text.push_str(&operand.text);
        }
    }
    Spelled { text, form: form(operands) }
}

fn not(inner: Spelled) -> Spelled {
    match inner.form {
        Form::Not(inner) => *inner,
        Form::Constant(value) => constant(!value),
        Form::Equality { left, is_equal, right } => equality(left, !is_equal, right),
        Form::And(_) | Form::Or(_) => {
            Spelled { text: format!("not ({})", inner.text), form: Form::Not(Box::new(inner)) }
        }
        Form::Other => Spelled { text: format!("not {}", inner.text), form: Form::Not(Box::new(inner)) },
    }
}

fn constant(value: bool) -> Spelled {
    Spelled { text: Expr::Constant(value).to_string(), form: Form::Constant(value) }
}

fn compare(left: &Sum, operator: Comparison, right: &Sum) -> Spelled {
    let has_sum = !(left.rest.is_empty() && right.rest.is_empty());
    let (left, right) = (left.to_string(), right.to_string());
    let (left, operator, right) = match operator {
        Comparison::Equal | Comparison::NotEqual => {
            let spelled = equality(left, operator == Comparison::Equal, right);
            return if has_sum { other(spelled.text) } else { spelled };
        }
        Comparison::Greater => (right, Comparison::Less, left),
        Comparison::GreaterOrEqual => (right, Comparison::LessOrEqual, left),
        Comparison::Less | Comparison::LessOrEqual => (left, operator, right),
    };
    other(format!("{left} {} {right}", operator.word()))
}

fn equality(left: String, is_equal: bool, right: String) -> Spelled {
    let (left, right) = if left > right { (right, left) } else { (left, right) };
    let operator = if is_equal { Comparison::Equal } else { Comparison::NotEqual };
    Spelled {
        text: format!("{left} {} {right}", operator.word()),
        form: Form::Equality { left, is_equal, right },
    }
}

fn member(left: &Sum, operator: Membership, list: &[Literal]) -> Spelled {
    let mut list: Vec<(String, &Literal)> = list.iter().map(|item| (item.to_string(), item)).collect();
    list.sort_by(|(a, _), (b, _)| a.cmp(b));
    list.dedup_by(|(a, _), (b, _)| a == b);
    let list = list.into_iter().map(|(_, item)| item.clone()).collect();
    other(Expr::Member { left: left.clone(), operator, list }.to_string())
}

fn other(text: String) -> Spelled {
    Spelled { text, form: Form::Other }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Filter, QueryLimits};

    /// Bytes of all texts that are held with it.
    fn held(it: &Spelled) -> usize {
        let inner = match &it.form {
            Form::Not(inner) => held(inner),
            Form::And(inner) | Form::Or(inner) => inner.iter().map(held).sum(),
            Form::Constant(_) | Form::Equality { .. } | Form::Other => 0,
        };
        it.text.len() + inner
    }

    /// Levels of ten tests, each in parentheses in the next.
    fn alternating(levels: usize) -> String {
        (0..levels).fold("b".to_owned(), |inner, level| {
            let word = if level % 2 == 0 { " and " } else { " or " };
            let tests: Vec<String> = (0..10).map(|n| format!("a == {}", 10 * level + n)).collect();
            format!("({inner}){word}{}", tests.join(word))
        })
    }

    #[test]
    fn where_words_alternate_no_level_is_held_twice() {
        for levels in [2, 10, 60] {
            let text = alternating(levels);
            let it = spelled(Filter::parse(&text, &QueryLimits::default()).unwrap().expr());
            assert!(held(&it) < 2 * it.text.len(), "{levels}");
        }
    }

    #[test]
    fn however_deep_the_same_words_stand_in_each_other_they_are_held_once() {
        for word in [" and ", " or "] {
            let leaves: Vec<String> = (0..60).map(|n| format!("a == {n}")).collect();
            let nested = leaves.iter().fold(String::new(), |inner, leaf| match inner.is_empty() {
                true => leaf.clone(),
                false => format!("({inner}){word}{leaf}"),
            });
            let of = |text: &str| spelled(Filter::parse(text, &QueryLimits::default()).unwrap().expr());
            let (nested, flat) = (of(&nested), of(&leaves.join(word)));
            assert_eq!((&nested.text, held(&nested)), (&flat.text, held(&flat)));
            assert!(held(&nested) < 2 * nested.text.len());
        }
    }
}
