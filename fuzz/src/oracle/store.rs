//! Sets of nodes, commits, and results: filter, sort, truncate, over all nodes, every time.

use std::{cmp::Ordering, collections::BTreeMap};

use super::{
    calendar::Nanos,
    expr::{Expr, Path, build::names},
    print::{Choice, plain, print_bound, print_path},
    value::{Num, Val, order, same},
};

#[derive(Clone, Debug)]
pub enum Op {
    Upsert {
        set: String,
        node: String,
    },
    Remove {
        set: String,
        id: String,
    },
    Patch {
        set: String,
        id: String,
        patch: String,
        upsert: bool,
    },
    Clear {
        set: String,
    },
    /// Where there is no filter there must be no node.
    If {
        filter: Option<Expr>,
        op: Box<Op>,
    },
}

impl Op {
    pub fn upsert(set: &str, node: &str) -> Self {
        Self::Upsert { set: set.to_owned(), node: node.to_owned() }
    }

    pub fn remove(set: &str, id: &str) -> Self {
        Self::Remove { set: set.to_owned(), id: id.to_owned() }
    }

    pub fn patch(set: &str, id: &str, patch: &str, upsert: bool) -> Self {
        Self::Patch { set: set.to_owned(), id: id.to_owned(), patch: patch.to_owned(), upsert }
    }

    pub fn clear(set: &str) -> Self {
        Self::Clear { set: set.to_owned() }
    }

    /// The same, but only if its node passes; without a filter, only if there is none.
    pub fn only_if(self, filter: Option<Expr>) -> Self {
        Self::If { filter, op: Box::new(self) }
    }
}

/// A commit was refused because of the operation of this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub usize);

#[derive(Clone, Debug, Default)]
pub struct Store {
    sets: BTreeMap<String, Set>,
}

#[derive(Clone, Debug, Default)]
struct Set {
    key: String,
    instants: Vec<Path>,
    nodes: BTreeMap<String, Val>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Asc,
    Desc,
}

#[derive(Clone, Debug)]
pub struct Query {
    pub set: String,
    pub filter: Option<Expr>,
    pub order: Vec<(Path, Direction)>,
    /// What is asked for; the server's cap goes on top of it.
    pub limit: Option<u64>,
    pub fields: Option<Vec<Path>>,
}

/// A result: what a client must show.
#[derive(Clone, Debug)]
pub struct Shown {
    pub total: u64,
    pub capped: bool,
    /// Node ids and projected nodes, in the query's order.
    pub rows: Vec<(String, Val)>,
}

impl Query {
    pub fn new(set: &str) -> Self {
        Self { set: set.to_owned(), filter: None, order: Vec::new(), limit: None, fields: None }
    }

    pub fn filter(mut self, filter: Expr) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Adds an order key; the path is split at its dots.
    pub fn order(mut self, path: &str, direction: Direction) -> Self {
        self.order.push((names(path), direction));
        self
    }

    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Paths are split at their dots.
    pub fn fields(mut self, fields: &[&str]) -> Self {
        self.fields = Some(fields.iter().map(|path| names(path)).collect());
        self
    }

    pub fn matches(&self, node: &Val, now: Nanos) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.eval(node, now))
    }

    pub fn filter_text(&self) -> Option<String> {
        self.filter.as_ref().map(plain)
    }

    pub fn order_text(&self) -> Option<String> {
        (!self.order.is_empty()).then(|| self.print_order(&mut |_| 0))
    }

    /// The `query` of a `createLiveQuery`, with spellings by choice.
    pub fn json(&self, choice: Choice<'_>) -> serde_json::Value {
        let mut json = serde_json::Map::new();
        json.insert("edge".into(), self.set.clone().into());
        if let Some(filter) = &self.filter {
            let (filter, params) = print_bound(filter, choice);
            json.insert("filter".into(), filter.into());
            if !params.is_empty() {
                json.insert("params".into(), params.into());
            }
        }
        if !self.order.is_empty() {
            json.insert("orderBy".into(), self.print_order(choice).into());
        }
        if let Some(limit) = self.limit {
            json.insert("limit".into(), limit.into());
        }
        if let Some(fields) = &self.fields {
            let fields: Vec<_> = fields.iter().map(|path| print_path(path, choice)).collect();
            json.insert("node".into(), serde_json::json!({ "fields": fields }));
        }
        json.into()
    }

    fn print_order(&self, choice: Choice<'_>) -> String {
        let keys = self.order.iter().map(|(path, direction)| {
            let word = match direction {
                Direction::Asc => ["", " asc"][choice(2)],
                Direction::Desc => " desc",
            };
            format!("{}{word}", print_path(path, choice))
        });
        let keys: Vec<_> = keys.collect();
        keys.join([", ", ",", " , "][choice(3)])
    }
}

impl Store {
    /// Declares a set; the paths in `instants` (split at their dots) hold instants.
    pub fn define(&mut self, name: &str, key: &str, instants: &[&str]) {
        let instants = instants.iter().map(|path| names(path)).collect();
        self.sets.insert(name.to_owned(), Set { key: key.to_owned(), instants, nodes: BTreeMap::new() });
    }

    /// Applies all operations, or none. Returns how many nodes have another value than before.
    ///
    /// Only faults that show in the parsed node are seen here: no JSON, no object, no key, no instant where one is
    /// declared, an unknown set. Duplicate keys are not.
    pub fn apply(&mut self, ops: &[Op]) -> Result<u64, Fault> {
        self.apply_at(ops, 0)
    }

    /// The same at a moment, which conditions may ask for.
    pub fn apply_at(&mut self, ops: &[Op], now: Nanos) -> Result<u64, Fault> {
        let mut staged: Staged = BTreeMap::new();
        for (i, op) in ops.iter().enumerate() {
            self.stage(&mut staged, op, &[], now).ok_or(Fault(i))?;
        }
        let mut changed = 0;
        for ((set, id), node) in staged {
            let nodes = &mut self.sets.get_mut(&set).expect("checked").nodes;
            let differs = match (nodes.get(&id), &node) {
                (None, None) => false,
                (Some(before), Some(after)) => !same(before, after),
                _ => true,
            };
            changed += u64::from(differs);
            match node {
                // Another spelling of the same value is no change: the old one stays.
                Some(node) if differs => drop(nodes.insert(id, node)),
                Some(_) => {}
                None => drop(nodes.remove(&id)),
            }
        }
        Ok(changed)
    }

    /// Does one operation, if all of the filters let it; `None` where it is refused.
    fn stage(&self, staged: &mut Staged, op: &Op, filters: &[&Option<Expr>], now: Nanos) -> Option<()> {
        let held = |staged: &Staged, set: &String, id: &String| match staged.get(&(set.clone(), id.clone())) {
            Some(node) => node.clone(),
            None => self.sets[set].nodes.get(id).cloned(),
        };
        let passes = |node: &Option<Val>| {
            filters.iter().all(|filter| match (filter, node) {
                (Some(filter), Some(node)) => filter.eval(node, now),
                (None, None) => true,
                _ => false,
            })
        };
        let (set, id, node) = match op {
            Op::If { filter, op } => {
                let filters: Vec<_> = filters.iter().copied().chain([filter]).collect();
                return self.stage(staged, op, &filters, now);
            }
            Op::Clear { set } => {
                for id in self.sets.get(set)?.nodes.keys() {
                    staged.insert((set.clone(), id.clone()), None);
                }
                staged.iter_mut().filter(|((other, _), _)| other == set).for_each(|(_, node)| *node = None);
                return filters.is_empty().then_some(());
            }
            Op::Upsert { set, node } => {
                let (id, node) = self.admit(set, node)?;
                (set, id, Some(node))
            }
            Op::Remove { set, id } => {
                self.sets.get(set)?;
                (set, id.clone(), None)
            }
            Op::Patch { set, id, patch, upsert } => {
                self.sets.get(set)?;
                let before = held(staged, set, id);
                if before.is_none() && !upsert {
                    return None;
                }
                let patch = Val::parse(patch.as_bytes()).filter(|patch| matches!(patch, Val::Object(_)))?;
                let (found, node) = self.admitted(set, merged(before.unwrap_or(Val::Nothing), patch))?;
                if found != *id {
                    return None;
                }
                (set, found, Some(node))
            }
        };
        if !passes(&held(staged, set, &id)) {
            return None;
        }
        staged.insert((set.clone(), id), node);
        Some(())
    }

    /// Whether the query's filter is wrong whatever is in its set.
    pub fn refuses(&self, query: &Query) -> bool {
        let instants = self.sets.get(&query.set).map_or(&[][..], |set| &set.instants);
        query.filter.as_ref().is_some_and(|filter| filter.is_refused(instants))
    }

    pub fn ids(&self, set: &str) -> impl Iterator<Item = &str> {
        self.sets.get(set).into_iter().flat_map(|set| set.nodes.keys().map(String::as_str))
    }

    pub fn node(&self, set: &str, id: &str) -> Option<&Val> {
        self.sets.get(set)?.nodes.get(id)
    }

    pub fn len(&self, set: &str) -> usize {
        self.sets.get(set).map_or(0, |set| set.nodes.len())
    }

    /// The result of a query at a moment, from scratch; `cap` is the server's.
    pub fn result(&self, query: &Query, now: Nanos, cap: usize) -> Shown {
        let set = &self.sets[&query.set];
        let mut rows: Vec<(&String, &Val)> =
            set.nodes.iter().filter(|(_, node)| query.matches(node, now)).collect();
        rows.sort_by(|a, b| self.compare(query, *a, *b));
        let cap = query.limit.map_or(cap, |limit| cap.min(usize::try_from(limit).unwrap_or(usize::MAX)));
        let total = rows.len();
        rows.truncate(cap);
        let rows =
            rows.into_iter().map(|(id, node)| (id.clone(), project(node, &set.key, query.fields.as_deref())));
        Shown { total: total as u64, capped: total > cap, rows: rows.collect() }
    }

    fn compare(&self, query: &Query, a: (&String, &Val), b: (&String, &Val)) -> Ordering {
        for (path, direction) in &query.order {
            let by_key = order(a.1.at(path), b.1.at(path));
            let by_key = if *direction == Direction::Desc { by_key.reverse() } else { by_key };
            if by_key.is_ne() {
                return by_key;
            }
        }
        a.0.chars().cmp(b.0.chars())
    }

    fn admit(&self, set: &str, node: &str) -> Option<(String, Val)> {
        self.admitted(set, Val::parse(node.as_bytes())?)
    }

    fn admitted(&self, set: &str, mut node: Val) -> Option<(String, Val)> {
        let set = self.sets.get(set)?;
        let Val::Object(object) = &node else { return None };
        let id = match object.get(&set.key)? {
            Val::Text(text) if !text.is_empty() => text.clone(),
            Val::Num(Num::Whole(n)) => n.to_string(),
            _ => return None,
        };
        set.instants.iter().all(|path| node.declare_instant(path)).then_some((id, node))
    }
}

/// The nodes that a commit leaves, by set and id.
type Staged = BTreeMap<(String, String), Option<Val>>;

/// RFC 7396, as its pseudocode has it.
fn merged(target: Val, patch: Val) -> Val {
    let Val::Object(patch) = patch else { return patch };
    let mut target = match target {
        Val::Object(target) => target,
        _ => BTreeMap::new(),
    };
    for (name, value) in patch {
        if matches!(value, Val::Nothing) {
            target.remove(&name);
        } else {
            let before = target.remove(&name).unwrap_or(Val::Nothing);
            target.insert(name, merged(before, value));
        }
    }
    Val::Object(target)
}

/// The node cut down to the fields and the key. What is absent is left out; the nesting is kept.
pub(super) fn project(node: &Val, key: &str, fields: Option<&[Path]>) -> Val {
    let Some(fields) = fields else { return node.clone() };
    let mut paths: Vec<&[String]> = fields.iter().map(Vec::as_slice).collect();
    let key = [key.to_owned()];
    paths.push(&key);
    cut(node, &paths).unwrap_or(Val::Nothing)
}

/// The parts of an object that the paths name; `None` where a path goes on and there is no object.
fn cut(node: &Val, paths: &[&[String]]) -> Option<Val> {
    let Val::Object(object) = node else { return None };
    let mut kept = BTreeMap::new();
    for (name, value) in object {
        let below: Vec<&[String]> =
            paths.iter().filter(|path| path[0] == *name).map(|path| &path[1..]).collect();
        if below.iter().any(|path| path.is_empty()) {
            kept.insert(name.clone(), value.clone());
        } else if !below.is_empty()
            && let Some(inner) = cut(value, &below)
            && !matches!(&inner, Val::Object(map) if map.is_empty())
        {
            kept.insert(name.clone(), inner);
        }
    }
    Some(Val::Object(kept))
}
