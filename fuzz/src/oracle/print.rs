//! Trees as text of the query language. Only this text reaches the engine.

use serde_json::{Map, Value, json};

use super::expr::{Cmp, Expr, Lit, Path, Sum, TextOp};

/// Where the printer has a choice of spelling it calls this with the number of choices.
pub type Choice<'a> = &'a mut dyn FnMut(usize) -> usize;

const KEYWORDS: [&str; 13] = [
    "and",
    "or",
    "not",
    "anyof",
    "allof",
    "in",
    "startswith",
    "endswith",
    "contains",
    "now",
    "true",
    "false",
    "nothing",
];

/// The plainest spelling.
pub fn plain(expr: &Expr) -> String {
    print_expr(expr, &mut |_| 0)
}

/// Some spelling of the tree: white space, redundant parentheses, quotes and backticks are a matter of choice.
pub fn print_expr(expr: &Expr, choice: Choice<'_>) -> String {
    let mut out = Text::default();
    or(expr, &mut out, choice);
    out.text
}

/// Like [`print_expr`], with the same choices, and some of the literals and lists are parameters. Their values come with the text.
pub fn print_bound(expr: &Expr, choice: Choice<'_>) -> (String, Map<String, Value>) {
    let mut out = Text { params: Some(Map::new()), ..Text::default() };
    or(expr, &mut out, choice);
    (out.text, out.params.unwrap_or_default())
}

/// A text, and the values of its parameters where it may have some.
#[derive(Default)]
struct Text {
    text: String,
    params: Option<Map<String, Value>>,
}

impl Text {
    fn push(&mut self, c: char) {
        self.text.push(c);
    }

    fn push_str(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Whether what comes next becomes a parameter. What was written decides, so that no choice is taken for it.
    fn binds(&self) -> bool {
        let hash = self
            .text
            .bytes()
            .rev()
            .take(16)
            .fold(self.text.len(), |hash, byte| hash * 31 % 65_521 + usize::from(byte));
        hash % 4 == 1 && self.params.as_ref().is_some_and(|params| params.len() < 64)
    }

    /// Writes a parameter in place of what was written from `start` on.
    fn bind(&mut self, start: usize, value: Value) {
        if let Some(params) = &mut self.params {
            let name = format!("p{}", params.len());
            self.text.truncate(start);
            self.text.push_str(&format!("${name}"));
            params.insert(name, value);
        }
    }
}

/// As a parameter has it; `None` where JSON has no such number.
fn value(lit: &Lit) -> Option<Value> {
    Some(match lit {
        Lit::Nothing => Value::Null,
        Lit::Bool(b) => (*b).into(),
        Lit::Num(text) if text.contains(['.', 'e', 'E']) => {
            serde_json::Number::from_f64(text.parse().ok()?)?.into()
        }
        Lit::Num(text) => text.parse::<i64>().ok()?.into(),
        Lit::Text(text) => text.as_str().into(),
        Lit::Instant(text) => json!({ "instant": text }),
        Lit::Duration(count, unit) => json!({ "duration": format!("{count} {}", unit.spellings()[0]) }),
    })
}

pub fn print_path(path: &Path, choice: Choice<'_>) -> String {
    let mut out = String::new();
    for (i, name) in path.iter().enumerate() {
        if i > 0 {
            out.push('.');
        }
        let mut chars = name.chars();
        let plain = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
        let reserved = i == 0 && (KEYWORDS.contains(&&**name) || name == "null");
        if plain && !reserved && choice(8) != 1 {
            out.push_str(name);
        } else {
            out.push_str(&format!("`{name}`"));
        }
    }
    out
}

fn gap(out: &mut Text, choice: Choice<'_>) {
    out.push_str([" ", " ", " ", "  ", "\n", "\t", " \r\n "][choice(7)]);
}

/// White space where none is needed.
fn spare(out: &mut Text, choice: Choice<'_>) {
    out.push_str(["", "", "", " ", "\n"][choice(5)]);
}

fn parenthesised(out: &mut Text, choice: Choice<'_>, inner: impl FnOnce(&mut Text, Choice<'_>)) {
    out.push('(');
    spare(out, choice);
    inner(out, choice);
    spare(out, choice);
    out.push(')');
}

fn or(expr: &Expr, out: &mut Text, choice: Choice<'_>) {
    match expr {
        Expr::Or(any) if any.len() > 1 => joined(any, "or", out, choice, and),
        Expr::Or(any) if any.len() == 1 => or(&any[0], out, choice),
        Expr::Or(_) => out.push_str("false"),
        _ => and(expr, out, choice),
    }
}

fn and(expr: &Expr, out: &mut Text, choice: Choice<'_>) {
    match expr {
        Expr::And(all) if all.len() > 1 => joined(all, "and", out, choice, unary),
        Expr::And(all) if all.len() == 1 => and(&all[0], out, choice),
        Expr::And(_) => out.push_str("true"),
        _ => unary(expr, out, choice),
    }
}

fn joined(
    operands: &[Expr],
    word: &str,
    out: &mut Text,
    choice: Choice<'_>,
    operand: impl Fn(&Expr, &mut Text, Choice<'_>),
) {
    for (i, e) in operands.iter().enumerate() {
        if i > 0 {
            gap(out, choice);
            out.push_str(word);
            gap(out, choice);
        }
        operand(e, out, choice);
    }
}

fn unary(expr: &Expr, out: &mut Text, choice: Choice<'_>) {
    match expr {
        Expr::Not(inner) => {
            out.push_str("not");
            gap(out, choice);
            unary(inner, out, choice);
        }
        Expr::Or(list) | Expr::And(list) if !list.is_empty() => {
            parenthesised(out, choice, |out, c| or(expr, out, c))
        }
        _ if choice(10) == 1 => parenthesised(out, choice, |out, c| or(expr, out, c)),
        _ => test(expr, out, choice),
    }
}

fn test(expr: &Expr, out: &mut Text, choice: Choice<'_>) {
    match expr {
        Expr::Const(b) => out.push_str(if *b { "true" } else { "false" }),
        Expr::And(_) => out.push_str("true"),
        Expr::Or(_) => out.push_str("false"),
        Expr::Flag(path) => out.push_str(&print_path(path, choice)),
        Expr::Compare(a, cmp, b) => {
            sum(a, out, choice);
            // Without white space where a symbol separates anyway.
            let tight = choice(6) == 1;
            let word = match cmp {
                Cmp::Eq => "==",
                Cmp::Ne => "!=",
                Cmp::Lt => "<",
                Cmp::Le => "<=",
                Cmp::Gt => ">",
                Cmp::Ge => ">=",
            };
            if !tight {
                gap(out, choice);
            }
            out.push_str(word);
            if !tight {
                gap(out, choice);
            }
            sum(b, out, choice);
        }
        Expr::In(a, items) => member(a, "in", items, out, choice),
        Expr::AnyOf(a, items) => member(a, "anyof", items, out, choice),
        Expr::AllOf(a, items) => member(a, "allof", items, out, choice),
        Expr::Text(a, op, b) => {
            sum(a, out, choice);
            gap(out, choice);
            out.push_str(match op {
                TextOp::StartsWith => "startswith",
                TextOp::EndsWith => "endswith",
                TextOp::Contains => "contains",
            });
            gap(out, choice);
            sum(b, out, choice);
        }
        Expr::Not(_) => unary(expr, out, choice),
    }
}

fn member(a: &Sum, word: &str, items: &[Lit], out: &mut Text, choice: Choice<'_>) {
    sum(a, out, choice);
    gap(out, choice);
    out.push_str(word);
    gap(out, choice);
    let (start, binds) = (out.text.len(), out.binds());
    let params = if binds { out.params.take() } else { None };
    out.push('[');
    spare(out, choice);
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
            spare(out, choice);
        }
        literal(item, out, choice);
        spare(out, choice);
    }
    out.push(']');
    if binds {
        out.params = params;
        if let Some(values) = items.iter().map(value).collect() {
            out.bind(start, values);
        }
    }
}

fn sum(s: &Sum, out: &mut Text, choice: Choice<'_>) {
    match s {
        Sum::Add(a, b) | Sum::Sub(a, b) => {
            // Sums go from left to right: only the right-hand side needs parentheses.
            sum(a, out, choice);
            gap(out, choice);
            out.push_str(if matches!(s, Sum::Add(..)) { "+" } else { "-" });
            gap(out, choice);
            atom(b, out, choice);
        }
        _ => atom(s, out, choice),
    }
}

fn atom(s: &Sum, out: &mut Text, choice: Choice<'_>) {
    match s {
        Sum::Add(..) | Sum::Sub(..) => parenthesised(out, choice, |out, c| sum(s, out, c)),
        _ if choice(14) == 1 => parenthesised(out, choice, |out, c| sum(s, out, c)),
        Sum::Lit(lit) => literal(lit, out, choice),
        Sum::Now => out.push_str("now"),
        Sum::Path(path) => out.push_str(&print_path(path, choice)),
    }
}

fn literal(lit: &Lit, out: &mut Text, choice: Choice<'_>) {
    let (start, binds) = (out.text.len(), out.binds());
    match lit {
        Lit::Nothing => out.push_str(["nothing", "null"][choice(2)]),
        Lit::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Lit::Num(text) | Lit::Instant(text) => out.push_str(text),
        Lit::Text(text) => {
            let quote = ["'", "\""][choice(2)];
            out.push_str(quote);
            out.push_str(&text.replace(quote, &quote.repeat(2)));
            out.push_str(quote);
        }
        Lit::Duration(count, unit) => {
            let spellings = unit.spellings();
            out.push_str(&format!("{count} {}", spellings[choice(spellings.len())]));
        }
    }
    if let Some(value) = value(lit).filter(|_| binds) {
        out.bind(start, value);
    }
}
