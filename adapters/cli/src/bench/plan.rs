//! What the connections ask for, and what is written.

use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};

use liveset_core::{LiveQueryOptions, Query};

use super::args::{BenchArgs, Shape};
use super::schedule::Nanos;
use crate::load::random::Random;

/// The server keeps at most so many nodes in a window, unless it is configured otherwise.
const CAP: u32 = 1_000;
/// Values of nodes are below this.
const VALUES: usize = 1_000_000;

/// What a run asks for and writes.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Marks what this run writes: in the ids of nodes, and in stamps.
    pub(super) run: String,
    pub(super) set: String,
    pub(super) nodes: u32,
    pub(super) groups: u32,
    pub(super) writers: u32,
    pub(super) queries: u32,
    templates: Vec<Template>,
    options: LiveQueryOptions,
    changes: u32,
    moves: f64,
    node_bytes: usize,
    seed: u64,
}

/// A query with places for numbers.
#[derive(Debug, Clone)]
struct Template {
    json: String,
    /// Which nodes it asks for, where that is one group and all of it.
    group: Option<GroupOf>,
    /// Whether nodes may come into its window because others left.
    is_window: bool,
}

#[derive(Debug, Clone, Copy)]
enum GroupOf {
    All,
    Query,
}

impl Plan {
    /// # Errors
    ///
    /// A query is none, or the numbers do not fit.
    pub(super) fn new(args: &BenchArgs, more_templates: Vec<String>) -> Result<Plan, String> {
        let custom: Vec<_> = args.templates.iter().cloned().chain(more_templates).collect();
        let all_queries = args.connections.saturating_mul(args.queries).max(1);
        let groups = args.groups.unwrap_or(match args.shape {
            Shape::Own if custom.is_empty() => all_queries,
            _ => 100,
        });
        let nodes = args.nodes.unwrap_or_else(|| groups.saturating_mul(2).max(args.changes).max(1_000));
        if args.changes > nodes {
            return Err(format!("a commit cannot change {} of {nodes} nodes: raise --nodes", args.changes));
        }
        let is_capped = nodes / groups > CAP / 2;
        let set = serde_json::Value::from(args.set.as_str());
        let shared = || Template {
            json: format!(r#"{{"edge":{set},"filter":"group == 0"}}"#),
            group: Some(GroupOf::All),
            is_window: is_capped,
        };
        let own = || Template {
            json: format!(r#"{{"edge":{set},"filter":"group == {{group}}"}}"#),
            group: Some(GroupOf::Query),
            is_window: is_capped,
        };
        let top = || Template {
            json: format!(r#"{{"edge":{set},"orderBy":"value desc","limit":20}}"#),
            group: None,
            is_window: true,
        };
        let templates = match args.shape {
            _ if !custom.is_empty() => {
                custom.into_iter().map(|json| Template { json, group: None, is_window: true }).collect()
            }
            Shape::Shared => vec![shared()],
            Shape::Own => vec![own()],
            Shape::Top => vec![top()],
            Shape::Mixed => vec![shared(), own(), top()],
        };
        let plan = Plan {
            run: format!("{:08x}", RandomState::new().hash_one(args.seed) as u32),
            set: args.set.clone(),
            nodes,
            groups,
            // Each writer has nodes of its own, so that the changes of a node stay in order.
            writers: args.writers.min(nodes / args.changes).max(1),
            queries: args.queries,
            templates,
            options: args.options(),
            changes: args.changes,
            moves: args.moves / 100.0,
            node_bytes: args.node_bytes as usize,
            seed: args.seed,
        };
        for query in 0..plan.templates.len() as u32 {
            let json = plan.query(0, query);
            Query::parse(json.as_bytes()).map_err(|error| format!("the query {json}: {error}"))?;
        }
        Ok(plan)
    }

    /// The query of a connection, as JSON.
    pub(super) fn query(&self, connection: u32, query: u32) -> String {
        self.template(connection, query)
            .json
            .replace("{group}", &self.group(connection, query).to_string())
            .replace("{connection}", &connection.to_string())
            .replace("{query}", &query.to_string())
    }

    /// The extensions that a query asks for. Where nodes come in because others left, the reason is asked for,
    /// because the stamp of such a node is an old one.
    pub(super) fn options(&self, connection: u32, query: u32) -> LiveQueryOptions {
        let is_window = self.template(connection, query).is_window;
        LiveQueryOptions { reasons: self.options.reasons || is_window, ..self.options }
    }

    fn template(&self, connection: u32, query: u32) -> &Template {
        &self.templates[(self.ordinal(connection, query) % self.templates.len() as u64) as usize]
    }

    fn group(&self, connection: u32, query: u32) -> u32 {
        let turn = self.ordinal(connection, query) / self.templates.len() as u64;
        (turn % u64::from(self.groups)) as u32
    }

    fn ordinal(&self, connection: u32, query: u32) -> u64 {
        u64::from(connection) * u64::from(self.queries) + u64::from(query)
    }

    /// How many live queries watch each group, of connections that read and of those that stall; nothing where
    /// that does not tell how many diffs a change makes.
    pub(super) fn watchers(&self, args: &BenchArgs) -> Option<Vec<[u32; 2]>> {
        let mut watchers = vec![[0, 0]; self.groups as usize];
        for connection in 0..args.connections {
            for query in 0..self.queries {
                let template = self.template(connection, query);
                let group = match template.group {
                    Some(_) if template.is_window => return None,
                    Some(GroupOf::All) => 0,
                    Some(GroupOf::Query) => self.group(connection, query),
                    None => return None,
                };
                watchers[group as usize][usize::from(args.is_stalled(connection))] += 1;
            }
        }
        Some(watchers)
    }

    /// What one writer writes.
    pub(super) fn workload(&self, writer: u32) -> Workload {
        let mut random = Random::new(self.seed.wrapping_mul(1_000).wrapping_add(u64::from(writer)));
        let mut nodes: Vec<(u32, u32)> = (writer..self.nodes)
            .step_by(self.writers as usize)
            .map(|node| (node, node % self.groups))
            .collect();
        for last in (1..nodes.len()).rev() {
            nodes.swap(last, random.below(last + 1));
        }
        Workload { plan: self.clone(), random, nodes, next: 0 }
    }
}

/// The nodes of one writer, in the order in which they are changed, over and over.
#[derive(Debug)]
pub(super) struct Workload {
    plan: Plan,
    random: Random,
    /// Each with the group that it is in.
    nodes: Vec<(u32, u32)>,
    next: usize,
}

impl Workload {
    /// All nodes as they are at first, in commits of at most so many.
    pub(super) fn initial(&mut self, most: usize) -> Vec<String> {
        let Workload { plan, random, nodes, .. } = self;
        let commit = |nodes: &[(u32, u32)]| {
            let mut json = String::from("[");
            for (node, group) in nodes {
                upsert(plan, random, (*node, *group), None, &mut json);
            }
            end(json)
        };
        nodes.chunks(most).map(commit).collect()
    }

    /// The next commit, which was due then. `moved` is told each change: the group before, and the one after.
    pub(super) fn commit(&mut self, due: Nanos, mut moved: impl FnMut(u32, u32)) -> String {
        let Workload { plan, random, nodes, next } = self;
        let changes = (plan.changes as usize).min(nodes.len());
        let mut json = String::with_capacity(changes * (plan.node_bytes + 64) + 2);
        json.push('[');
        for _ in 0..changes {
            let count = nodes.len();
            let (node, group) = &mut nodes[*next];
            *next = (*next + 1) % count;
            let before = *group;
            if random.chance(plan.moves) {
                *group = random.below(plan.groups as usize) as u32;
            }
            moved(before, *group);
            upsert(plan, random, (*node, *group), Some(due), &mut json);
        }
        end(json)
    }

    /// Takes all nodes away again.
    pub(super) fn removal(&self, most: usize) -> Vec<String> {
        let commit = |nodes: &[(u32, u32)]| {
            let mut json = String::from("[");
            for (node, _) in nodes {
                let set = serde_json::Value::from(self.plan.set.as_str());
                let _ = write!(json, r#"{{"op":"remove","set":{set},"id":"{}-{node}"}},"#, self.plan.run);
            }
            end(json)
        };
        self.nodes.chunks(most).map(commit).collect()
    }
}

/// Appends one op and a comma. The stamp stands first, where it is found soonest.
fn upsert(plan: &Plan, random: &mut Random, node: (u32, u32), due: Option<Nanos>, json: &mut String) {
    let Plan { run, set, .. } = plan;
    let (node, group) = node;
    let set = serde_json::Value::from(set.as_str());
    // Writing to a `String` cannot fail.
    let _ = write!(json, r#"{{"op":"upsert","set":{set},"node":"#);
    let from = json.len();
    let stamp = due.map(|due| due.to_string()).unwrap_or_default();
    let value = random.below(VALUES);
    let _ = write!(
        json,
        r#"{{"sent":"{run}:{stamp}","id":"{run}-{node}","group":{group},"value":{value},"pad":""#
    );
    for _ in json.len() - from + 2..plan.node_bytes {
        json.push('x');
    }
    json.push_str("\"}},");
}

/// Ends a list whose items each have a comma behind them.
fn end(mut json: String) -> String {
    if json.ends_with(',') {
        json.pop();
    }
    json.push(']');
    json
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use clap::Parser;

    use super::*;
    use liveset_server::changes::Changes;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        args: BenchArgs,
    }

    fn plan(line: &[&str]) -> (BenchArgs, Result<Plan, String>) {
        let args = Only::parse_from(["bench"].iter().chain(line)).args;
        let plan = Plan::new(&args, Vec::new());
        (args, plan)
    }

    #[test]
    fn every_shape_asks_what_it_says() {
        let queries = |line: &[&str]| {
            let (args, plan) = plan(line);
            let plan = plan.unwrap();
            let each = |connection| (0..args.queries).map(move |query| (connection, query));
            (0..args.connections).flat_map(each).map(|(c, q)| plan.query(c, q)).collect::<Vec<_>>()
        };
        let own = queries(&["-c3", "-q1", "--shape", "own"]);
        assert_eq!(own[2], r#"{"edge":"bench","filter":"group == 2"}"#);
        let shared = queries(&["-c3", "-q2", "--shape", "shared", "--set", "a\"b"]);
        assert!(shared.iter().all(|query| query == r#"{"edge":"a\"b","filter":"group == 0"}"#), "{shared:?}");
        let mixed = queries(&["-c300", "-q2"]);
        assert_eq!(
            mixed.iter().collect::<std::collections::BTreeSet<_>>().len(),
            101,
            "a hundred groups, of which 0 is the shared one too, and the top"
        );
        let custom =
            queries(&["-c2", "-q2", "--query", r#"{"edge":"e","filter":"a == {connection} + {query}"}"#]);
        assert_eq!(custom[3], r#"{"edge":"e","filter":"a == 1 + 1"}"#);
    }

    #[test]
    fn what_is_no_query_or_does_not_fit_is_refused() {
        for (line, what) in [
            (vec!["--query", r#"{"edge":"e","filtr":"x"}"#], "filtr"),
            (vec!["--query", "group == 1"], "the query group == 1"),
            (vec!["--nodes", "5", "--changes", "6"], "raise --nodes"),
        ] {
            let error = plan(&line).1.unwrap_err();
            assert!(error.contains(what), "{line:?}: {error}");
        }
    }

    #[test]
    fn commits_are_readable_of_their_size_and_without_repetition() {
        let (_, plan) = plan(&["--nodes", "90", "--groups", "7", "--changes", "20", "--node-bytes", "250"]);
        let plan = plan.unwrap();
        assert_eq!(plan.writers, 4);
        let mut all = std::collections::BTreeSet::new();
        for writer in 0..plan.writers {
            let mut load = plan.workload(writer);
            for json in load.initial(10) {
                assert!(Changes::parse(&Bytes::from(json)).unwrap().ops.len() <= 10);
            }
            let mut groups = Vec::new();
            for due in 0..20 {
                let json = load.commit(due * 1_000_000_000, |before, after| groups.push((before, after)));
                let ops: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
                let ids: std::collections::BTreeSet<_> =
                    ops.iter().map(|op| op["node"]["id"].as_str().unwrap().to_owned()).collect();
                assert_eq!(ids.len(), 20, "each node once a commit");
                for (op, (_, group)) in ops.iter().zip(&groups[groups.len() - 20..]) {
                    assert_eq!(op["node"]["group"], *group);
                    assert_eq!(op["node"].to_string().len(), 250, "{op}");
                    assert_eq!(op["node"]["sent"], format!("{}:{}", plan.run, due * 1_000_000_000));
                }
                all.extend(ids);
            }
            assert!(groups.iter().any(|(before, after)| before != after), "some move");
            let removed: usize = load
                .removal(8)
                .into_iter()
                .map(|json| Changes::parse(&Bytes::from(json)).unwrap().ops.len())
                .sum();
            assert_eq!(removed, load.nodes.len());
        }
        assert_eq!(all.len(), 90, "the writers share all nodes among them");
    }

    #[test]
    fn watchers_are_counted_where_they_tell_what_is_due() {
        let (args, own) = plan(&["-c10", "-q2", "--shape", "own", "--groups", "5", "--stalled", "50"]);
        assert_eq!(own.unwrap().watchers(&args), Some(vec![[2, 2]; 5]));
        let (args, shared) = plan(&["-c4", "-q1", "--shape", "shared", "--groups", "2", "--stalled", "25"]);
        assert_eq!(shared.unwrap().watchers(&args), Some(vec![[3, 1], [0, 0]]));
        for line in [&["--shape", "top"][..], &[], &["--shape", "shared", "--nodes", "5000", "--groups", "2"]]
        {
            let (args, plan) = plan(line);
            assert_eq!(plan.unwrap().watchers(&args), None, "{line:?}");
        }
    }
}
