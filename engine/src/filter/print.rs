//! A filter as text, with no more parentheses than its tree needs.

use std::fmt;

use super::ast::{Expr, Sign, Sum, Term};

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Constant(value) => write!(f, "{value}"),
            Expr::Field(path) => write!(f, "{path}"),
            Expr::Not(inner) => {
                f.write_str("not ")?;
                operand(f, inner, matches!(**inner, Expr::And(_) | Expr::Or(_)))
            }
            Expr::And(operands) => {
                joined(f, operands, " and ", |operand| matches!(operand, Expr::And(_) | Expr::Or(_)))
            }
            Expr::Or(operands) => joined(f, operands, " or ", |operand| matches!(operand, Expr::Or(_))),
            Expr::Compare { left, operator, right } => write!(f, "{left} {} {right}", operator.word()),
            Expr::Text { left, operator, right } => write!(f, "{left} {} {right}", operator.word()),
            Expr::Member { left, operator, list } => {
                write!(f, "{left} {} [", operator.word())?;
                for (place, item) in list.iter().enumerate() {
                    write!(f, "{}{item}", if place > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
        }
    }
}

fn joined(
    f: &mut fmt::Formatter<'_>,
    operands: &[Expr],
    word: &str,
    parentheses: impl Fn(&Expr) -> bool,
) -> fmt::Result {
    for (place, inner) in operands.iter().enumerate() {
        if place > 0 {
            f.write_str(word)?;
        }
        operand(f, inner, parentheses(inner))?;
    }
    Ok(())
}

fn operand(f: &mut fmt::Formatter<'_>, inner: &Expr, parentheses: bool) -> fmt::Result {
    if parentheses { write!(f, "({inner})") } else { write!(f, "{inner}") }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        for (sign, term) in &self.rest {
            write!(f, " {} {term}", if *sign == Sign::Plus { "+" } else { "-" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Term::Literal(literal) => write!(f, "{literal}"),
            Term::Now => f.write_str("now"),
            Term::Path(path) => write!(f, "{path}"),
            Term::Sum(sum) => write!(f, "({sum})"),
        }
    }
}
