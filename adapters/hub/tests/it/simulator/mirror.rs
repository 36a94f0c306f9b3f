//! What one client shows, folded from the text of the messages alone, by the rules of the protocol.
//!
//! Every message is checked against what the client holds: nothing may be added twice, changed before it is there,
//! follow its end, or exceed the cap at any moment.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

use liveset_core::LiveResult;
use liveset_fuzz::oracle::{Query, Shown, Val, same};
use liveset_hub::test_kit::Frame;
use serde_json::Value;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) positions: bool,
    pub(crate) counts: bool,
    pub(crate) reasons: bool,
    pub(crate) resume: bool,
}

/// One live query that the client has asked for.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) query: Rc<Query>,
    pub(crate) options: Options,
    pub(crate) cap: usize,
    pub(crate) state: State,
    /// In the order of the result with `positions` or while nothing changed, else in some order.
    pub(crate) rows: Vec<(String, Val)>,
    /// The data of those rows that a diff brought, as it was spelt.
    raw: BTreeMap<String, String>,
    pub(crate) total: u64,
    pub(crate) capped: bool,
    pub(crate) version: Option<String>,
    /// With `resume`: the rows as of `version`. Behind a connection that breaks within a commit, the client goes on from
    /// these.
    pub(crate) confirmed: Vec<(String, Val)>,
    /// With `resume`: the etags of the rows, by id, and those of the rows as of `version`.
    pub(crate) etags: BTreeMap<String, String>,
    confirmed_etags: BTreeMap<String, String>,
    /// The ids of the rows from which it asked to go on, in their order.
    asked: Vec<String>,
    /// It goes on from its rows, and has no version until it has all that it lacked: their etags, of which none is to come again.
    kept: Option<BTreeSet<String>>,
    /// It has told what the others have told: from here on no version of it is older than theirs.
    in_step: bool,
    /// What the library's client had when the connection before was lost.
    pub(crate) result: Option<LiveResult>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// `createLiveQuery` is sent.
    Asked,
    /// Asked with `since`; the rows are those of the connection before.
    AskedSince,
    Loading,
    Loaded,
}

#[derive(Debug, Default)]
pub(crate) struct Mirror {
    pub(crate) queries: BTreeMap<String, Held>,
    /// Subscriptions that were confirmed: id to path and events.
    pub(crate) subscriptions: BTreeMap<String, (String, Vec<String>)>,
    /// Destroys that are sent and not answered.
    pub(crate) destroying: BTreeSet<String>,
    /// Events read since they were last taken: path as subscribed, type, subscription ids.
    pub(crate) events: Vec<(String, String, BTreeSet<String>)>,
    /// Events lost, by subscription id, as the warnings say.
    pub(crate) dropped: BTreeMap<String, u64>,
    /// Codes of errors since they were last taken, with the id they name.
    pub(crate) errors: Vec<(String, Option<String>)>,
    /// Removals since they were last taken, with their reasons: live query, node, reason.
    pub(crate) left: Vec<(String, String, String)>,
    pub(crate) authenticated: usize,
    pub(crate) resumed: usize,
    pub(crate) resumed_by_rows: usize,
    /// Commits that it was told of.
    pub(crate) frames: usize,
    pub(crate) diffs: usize,
    pub(crate) closed: bool,
    /// Nothing of what it reads was folded.
    pub(crate) keeps_up: bool,
    /// The newest version that some live query has told.
    newest: u64,
    /// Versions that were compared with those of the other live queries.
    pub(crate) in_order: usize,
}

impl Held {
    pub(crate) fn new(query: Rc<Query>, options: Options, cap: usize) -> Self {
        let cap = query.limit.map_or(cap, |limit| cap.min(limit as usize));
        Self {
            query,
            options,
            cap,
            state: State::Asked,
            rows: Vec::new(),
            raw: BTreeMap::new(),
            total: 0,
            capped: false,
            version: None,
            confirmed: Vec::new(),
            etags: BTreeMap::new(),
            confirmed_etags: BTreeMap::new(),
            asked: Vec::new(),
            kept: None,
            in_step: false,
            result: None,
        }
    }

    /// Back to the last version that was complete, where there is one: then it asks to go on from what it has.
    pub(crate) fn ask_again(&mut self) {
        if self.state == State::Loaded && self.version.is_some() {
            self.rows = self.confirmed.clone();
            self.etags = self.confirmed_etags.clone();
        }
        self.ask_from(self.rows.clone(), self.etags.clone());
    }

    /// Asks to go on from these rows.
    pub(crate) fn ask_from(&mut self, rows: Vec<(String, Val)>, etags: BTreeMap<String, String>) {
        (self.rows, self.etags, self.state) = (rows, etags, State::AskedSince);
        self.raw.clear();
        self.asked = self.rows.iter().map(|(id, _)| id.clone()).collect();
        if !self.options.positions {
            self.asked.sort();
        }
    }

    /// The server goes on from the rows that the client has, except for those at these places.
    fn keep(&mut self, drop: &[u64]) -> Result<(), String> {
        if !drop.is_sorted_by(|a, b| a < b) {
            return Err("places that do not ascend".to_owned());
        }
        let had: BTreeSet<String> = self.etags.values().cloned().collect();
        for place in drop {
            let id = self.asked.get(*place as usize).ok_or("a place beyond the end")?;
            let at = self.position(id).ok_or("a place twice")?;
            self.rows.remove(at);
            self.etags.remove(id);
        }
        let asked = std::mem::take(&mut self.asked);
        self.rows.sort_by_key(|(id, _)| asked.iter().position(|other| other == id));
        // What has moved comes again, where places matter.
        self.kept = Some(if self.options.positions { self.etags.values().cloned().collect() } else { had });
        Ok(())
    }

    fn position(&self, id: &str) -> Option<usize> {
        self.rows.iter().position(|(row, _)| row == id)
    }

    /// Says what differs from what must be shown.
    pub(crate) fn differs(&self, shown: &Shown) -> Option<String> {
        if self.rows.len() != shown.rows.len() {
            return Some(format!("{} rows instead of {}", self.rows.len(), shown.rows.len()));
        }
        let places: HashMap<&str, usize> =
            self.rows.iter().enumerate().map(|(at, (id, _))| (&**id, at)).collect();
        for (i, (id, data)) in shown.rows.iter().enumerate() {
            let Some(&at) = places.get(&**id) else { return Some(format!("'{id}' is missing")) };
            if self.options.positions && at != i {
                return Some(format!("'{id}' stands at {at} instead of {i}"));
            }
            if !same(&self.rows[at].1, data) {
                return Some(format!("'{id}' is {:?} instead of {data:?}", self.rows[at].1));
            }
        }
        let counted = self.options.counts;
        if counted && (self.total, self.capped) != (shown.total, shown.capped) {
            return Some(format!(
                "the count is {} capped {} instead of {} capped {}",
                self.total, self.capped, shown.total, shown.capped
            ));
        }
        None
    }
}

impl Mirror {
    pub(crate) fn read(&mut self, frame: &Frame) {
        assert!(!self.closed, "nothing follows the close frame");
        let text = match frame {
            Frame::Text(text) => text,
            Frame::Close(_) => {
                self.closed = true;
                return;
            }
        };
        let json: Value = serde_json::from_str(text).expect("a message is JSON");
        if let Err(what) = self.take(&json, raw_data(text)) {
            panic!("{what}\n  message: {text}");
        }
    }

    fn take(&mut self, json: &Value, raw: &str) -> Result<(), String> {
        let id = json["id"].as_str().unwrap_or_default();
        let fail = |what: &str| Err(what.to_owned());
        match json["type"].as_str().expect("a message has a type") {
            "authenticated" => self.authenticated += 1,
            "ping" | "pong" => {}
            "commit" => self.frames += 1,
            "subscribedEvents" => {
                for entry in json["subscriptions"].as_array().expect("a list") {
                    let events = entry["events"].as_array().expect("a list").iter().map(text).collect();
                    let spec = (text(&entry["path"]), events);
                    if self.subscriptions.insert(text(&entry["id"]), spec).is_some() {
                        return fail("a subscription is confirmed twice");
                    }
                }
            }
            "unsubscribedEvents" => {
                for id in json["ids"].as_array().expect("a list") {
                    if self.subscriptions.remove(id.as_str().expect("text")).is_none() {
                        return fail("an unknown subscription is taken back");
                    }
                }
            }
            "event" => {
                let ids: BTreeSet<_> =
                    json["subscriptionIds"].as_array().expect("a list").iter().map(text).collect();
                if ids.is_empty() {
                    return fail("an event for nobody");
                }
                self.events.push((text(&json["path"]), text(&json["eventType"]), ids));
            }
            "warning" => {
                let id = text(&json["subscriptionId"]);
                let count = text(&json["message"]);
                let count = count.split(' ').next().and_then(|n| n.parse::<u64>().ok()).expect("a count");
                *self.dropped.entry(id).or_default() += count;
            }
            "error" => {
                let id = json["id"].as_str().map(str::to_owned);
                let code = text(&json["code"]);
                match (&id, &*code) {
                    // A destroy that crossed the end of what it was to destroy.
                    (Some(id), "UNKNOWN_ID") => drop(self.destroying.remove(id)),
                    (Some(id), _) => {
                        self.queries.remove(id);
                        self.subscriptions.remove(id);
                    }
                    (None, _) => {}
                }
                self.errors.push((code, id));
            }
            "liveQueryDestroyed" => {
                if !self.destroying.remove(id) {
                    return fail("a destroy is confirmed that was not asked for");
                }
                self.queries.remove(id);
            }
            "liveQueryCreated" => {
                let Some(held) = self.queries.get_mut(id) else {
                    return fail("created without having been asked for");
                };
                if !matches!(held.state, State::Asked | State::AskedSince) {
                    return fail("created twice");
                }
                held.state = State::Loading;
                held.in_step = false;
                held.rows.clear();
                held.raw.clear();
                held.read_count(json);
                held.etags.clear();
                held.kept = None;
                held.version = json["version"].as_str().map(str::to_owned);
                if held.version.is_some() != held.options.resume {
                    return fail("a version without having been asked for, or none");
                }
            }
            "liveQueryResumed" => {
                let Some(held) = self.queries.get_mut(id) else {
                    return fail("resumed without having been asked for");
                };
                if held.state != State::AskedSince {
                    return fail("resumed without having been asked for");
                }
                held.state = State::Loaded;
                held.in_step = false;
                held.read_count(json);
                // The one asked for, or, where no diffs follow, that of now.
                held.version = json["version"].as_str().map(str::to_owned);
                self.resumed += 1;
                if let Some(drop) = json["drop"].as_array() {
                    self.resumed_by_rows += 1;
                    let drop: Vec<u64> = drop.iter().map(|place| place.as_u64().expect("a place")).collect();
                    held.keep(&drop)?;
                    if held.version.is_some() {
                        held.confirm();
                    }
                }
            }
            "liveQueryData" => {
                let Some(held) = self.queries.get_mut(id) else { return fail("data of nothing") };
                if held.state != State::Loading {
                    return fail("data out of turn");
                }
                if json["capped"].as_bool() != Some(held.capped) {
                    return fail("data and created disagree");
                }
                let rows = json["data"].as_array().expect("a list");
                if rows.is_empty() && (json["hasMore"] != false || !held.rows.is_empty()) || rows.len() > 200
                {
                    return fail("a chunk of a wrong size");
                }
                let etags = json["etags"].as_array();
                if etags.map(Vec::len) != held.options.resume.then_some(rows.len()) {
                    return fail("etags without having been asked for, or not one for each row");
                }
                for (place, row) in rows.iter().enumerate() {
                    let id = match (&row["id"], &row["no"]) {
                        (Value::String(id), _) => id.clone(),
                        (_, Value::Number(no)) => no.to_string(),
                        _ => return fail("a row without its key"),
                    };
                    if held.position(&id).is_some() {
                        return fail("a row stands in the data twice");
                    }
                    if let Some(etags) = etags {
                        held.etags.insert(id.clone(), text(&etags[place]));
                    }
                    held.rows.push((id, Val::from_json(row)));
                }
                if json["hasMore"] == false {
                    held.state = State::Loaded;
                    held.confirm();
                    let expected = held.cap.min(held.total as usize);
                    if held.rows.len() != expected {
                        return Err(format!("{} rows were sent, {expected} counted", held.rows.len()));
                    }
                }
            }
            "liveQueryCount" => {
                let Some(held) = self.queries.get_mut(id) else { return fail("a count of nothing") };
                if held.state != State::Loaded || !held.options.counts {
                    return fail("a count out of turn");
                }
                let before = (held.total, held.capped);
                held.read_count(json);
                if before == (held.total, held.capped) {
                    return fail("a count that did not change");
                }
            }
            kind @ ("liveQueryAddedNode" | "liveQueryUpdatedNode" | "liveQueryRemovedNode") => {
                self.diffs += 1;
                let keeps_up = self.keeps_up;
                let Some(held) = self.queries.get_mut(id) else { return fail("a diff of nothing") };
                if let Some(reason) = json["reason"].as_str().filter(|_| kind == "liveQueryRemovedNode") {
                    self.left.push((id.to_owned(), text(&json["nodeId"]), reason.to_owned()));
                }
                let before = held.version.clone();
                held.diff(kind, json, raw, keeps_up)?;
                if held.version != before {
                    return self.follow(id, before.as_deref());
                }
            }
            other => return Err(format!("an unknown type: {other}")),
        }
        Ok(())
    }
}

impl Mirror {
    /// A live query has come to another version than before: "all sent before those of the next commit on the same connection, over
    /// all of its live queries".
    fn follow(&mut self, id: &str, before: Option<&str>) -> Result<(), String> {
        let Some(held) = self.queries.get_mut(id) else { return Ok(()) };
        let (mark, version) = parts(held.version.as_deref());
        // After a load, a resume, or a change of what may be seen, it has to catch up.
        held.in_step &= parts(before).0 == mark;
        if held.in_step && self.keeps_up {
            self.in_order += 1;
            if version < self.newest {
                return Err(format!("version {version} comes after {}", self.newest));
            }
        }
        held.in_step |= version >= self.newest;
        self.newest = self.newest.max(version);
        Ok(())
    }
}

/// The mark of a version, and its number.
fn parts(version: Option<&str>) -> (&str, u64) {
    let (mark, number) = version.and_then(|version| version.rsplit_once('-')).unwrap_or_default();
    (mark, number.parse().unwrap_or_default())
}

impl Held {
    fn read_count(&mut self, json: &Value) {
        self.total = json["totalCount"].as_u64().expect("a count");
        self.capped = json["capped"].as_bool().expect("a boolean");
    }

    fn confirm(&mut self) {
        if self.options.resume {
            self.confirmed = self.rows.clone();
            self.confirmed_etags = self.etags.clone();
            self.kept = None;
        }
    }

    fn diff(&mut self, kind: &str, json: &Value, raw: &str, keeps_up: bool) -> Result<(), String> {
        let fail = |what: &str| Err(what.to_owned());
        if self.state != State::Loaded {
            return fail("a diff before the last chunk");
        }
        let node = text(&json["nodeId"]);
        let held = self.position(&node);
        if json["version"].is_string() != self.options.resume && self.version.is_some() == self.options.resume
        {
            return fail("a version without having been asked for, or none");
        }
        if json["etag"].is_string() != (self.options.resume && kind != "liveQueryRemovedNode") {
            return fail("an etag without having been asked for, or none");
        }
        let wants_index = self.options.positions && kind != "liveQueryRemovedNode";
        if json["index"].is_u64() != wants_index {
            return fail("an index without having been asked for, or none");
        }
        let wants_reason = self.options.reasons && kind != "liveQueryUpdatedNode";
        if json["reason"].is_string() != wants_reason && !(json["reason"].is_null() && self.kept.is_some()) {
            return fail("a reason without having been asked for, or none");
        }
        match (kind, held) {
            ("liveQueryAddedNode", Some(_)) => return fail("added twice"),
            ("liveQueryAddedNode", None) => {}
            (_, None) => return fail("a diff of a node that is not there"),
            (_, Some(at)) => {
                self.rows.remove(at);
                self.etags.remove(&node);
                let before = self.raw.remove(&node);
                // Told by the bytes: what was folded may be spelt in another way than what was sent.
                if kind == "liveQueryUpdatedNode"
                    && self.query.order.is_empty()
                    && before.as_deref() == Some(raw)
                {
                    return fail("updated, and nothing is different");
                }
            }
        }
        if kind != "liveQueryRemovedNode" {
            self.raw.insert(node.clone(), raw.to_owned());
            if let Some(etag) = json["etag"].as_str() {
                // Where nothing was folded it is as it was when the server looked.
                if keeps_up && self.kept.as_ref().is_some_and(|kept| kept.contains(etag)) {
                    return fail("what it has is sent again");
                }
                self.etags.insert(node.clone(), etag.to_owned());
            }
            let row = (node, Val::from_json(&json["data"]));
            match json["index"].as_u64() {
                Some(index) if index as usize > self.rows.len() => return fail("an index beyond the end"),
                Some(index) => self.rows.insert(index as usize, row),
                None => self.rows.push(row),
            }
        }
        if self.rows.len() > self.cap {
            return fail("more rows than the cap");
        }
        if let Some(version) = json["version"].as_str()
            && self.version.as_deref() != Some(version)
        {
            self.version = Some(version.to_owned());
            self.confirm();
        }
        Ok(())
    }
}

/// The `data` of a diff as it is spelt.
fn raw_data(message: &str) -> &str {
    let Some((_, rest)) = message.split_once(",\"data\":") else { return "" };
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
    values.next();
    &rest[..values.byte_offset()]
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}
