//! Real change streams, replayed whole through a running server while a client holds live queries over them. At
//! checkpoints and at the end what the client folded equals what the oracle computes from scratch.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use liveset_core::{
    ClientEvent, ClientLimits, ClientSession, LiveQueryOptions, LiveQueryRequest, Monotonic, NodeChange,
    Token,
};
use liveset_fuzz::oracle::build::{all, any, at, flag, not, nothing, now, num, path, text, texts};
use liveset_fuzz::oracle::{self, Direction::Asc, Direction::Desc, Nanos, Op, Query, Store, Unit, Val, same};
use liveset_server::ndjson::Lines;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use crate::support::http::Http;
use crate::support::{self, Server, TOKEN};

/// The server's cap, as the protocol has it.
const CAP: usize = 1_000;
/// So many commits are sent before their answers are read.
const PIPELINED: usize = 200;
const CHECKPOINT: usize = 10_000;
/// How long the last diffs may take once the last commit is answered.
const SETTLE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flights_of_a_quarter() {
    let jfk = || path("origin").eq(text("JFK"));
    let soon =
        |hours| all([path("scheduledAt").gt(now()), path("scheduledAt").le(now().plus(hours, Unit::Hours))]);
    let waiting = || path("status").is_in(texts(&["scheduled", "delayed"]));
    let flights = || Query::new("flights");
    let queries = vec![
        (
            "departures of the next three hours from JFK",
            flights().filter(all([jfk(), waiting(), soon(3)])).order("scheduledAt", Asc),
        ),
        (
            "the next departure of each",
            flights()
                .filter(all([waiting(), path("scheduledAt").gt(now())]))
                .order("scheduledAt", Asc)
                .limit(1),
        ),
        (
            "the board of the next hour",
            flights().filter(soon(1)).order("scheduledAt", Asc).limit(20).fields(&[
                "carrier",
                "flight",
                "dest",
                "scheduledAt",
                "status",
            ]),
        ),
        (
            "overdue",
            flights().filter(all([waiting(), path("scheduledAt").lt(now())])).order("scheduledAt", Asc),
        ),
        (
            "long overdue",
            flights()
                .filter(all([waiting(), path("scheduledAt").plus(2, Unit::Hours).lt(now())]))
                .order("delay", Desc),
        ),
        (
            "departed in the last half hour",
            flights().filter(path("departedAt").gt(now().minus(30, Unit::Minutes))).order("departedAt", Desc),
        ),
        (
            "arrived in the last hour",
            flights()
                .filter(path("arrivedAt").ge(now().minus(60, Unit::Minutes)))
                .order("arrivedAt", Desc)
                .limit(50),
        ),
        ("the longest delays", flights().order("delay", Desc).limit(10)),
        ("the longest delay", flights().order("delay", Desc).limit(1).fields(&["delay"])),
        (
            "two early birds",
            flights().filter(path("delay").lt(num("0"))).order("delay", Asc).order("carrier", Desc).limit(2),
        ),
        (
            "in the air",
            flights().filter(path("status").eq(text("departed"))).order("dest", Asc).order("departedAt", Asc),
        ),
        (
            "cancelled or diverted",
            flights()
                .filter(path("status").is_in(texts(&["cancelled", "diverted"])))
                .order("scheduledAt", Desc),
        ),
        ("all by id", flights()),
        ("all, whole, by distance", flights().order("distance", Desc).order("carrier", Asc).limit(100)),
        ("a carrier", flights().filter(path("carrier").eq(text("UA"))).order("flight", Asc)),
        ("not that carrier", flights().filter(not(path("carrier").eq(text("UA")))).limit(5)),
        ("without a tail number", flights().filter(path("tail").eq(nothing())).fields(&["tail", "carrier"])),
        (
            "tails of one airline's kind",
            flights().filter(path("tail").starts_with(text("N5"))).order("tail", Asc).limit(7),
        ),
        (
            "long or late",
            flights()
                .filter(any([path("distance").gt(num("2000")), path("delay").ge(num("90"))]))
                .order("distance", Desc),
        ),
        (
            "made up time in the air",
            flights().filter(path("arrivalDelay").lt(num("-10.5"))).order("arrivalDelay", Asc).limit(25),
        ),
        (
            "from a day on",
            flights().filter(path("scheduledAt").ge(at("2013-02-01"))).order("scheduledAt", Asc).limit(3),
        ),
        ("by a field that few have", flights().order("airTime", Desc).order("delay", Asc).limit(30)),
        ("nothing at all", flights().filter(path("origin").eq(text("nowhere")))),
    ];
    replay("flights-2013q1.ndjson.gz", "flights", &["scheduledAt", "departedAt", "arrivedAt"], queries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incidents_of_a_year() {
    let incidents = || Query::new("incidents");
    let open = || flag("active");
    let queries = vec![
        ("open by priority", incidents().filter(open()).order("priority", Asc).order("openedAt", Asc)),
        (
            "the ten most urgent",
            incidents().filter(open()).order("priority", Asc).order("openedAt", Asc).limit(10),
        ),
        (
            "the most urgent",
            incidents()
                .filter(open())
                .order("priority", Asc)
                .order("openedAt", Asc)
                .limit(1)
                .fields(&["priority", "state"]),
        ),
        ("new", incidents().filter(path("state").eq(text("New"))).order("openedAt", Desc)),
        ("waiting", incidents().filter(path("state").starts_with(text("Awaiting"))).order("updatedAt", Asc)),
        (
            "waiting for one of these",
            incidents().filter(path("state").is_in(texts(&[
                "Awaiting Vendor",
                "Awaiting Problem",
                "Awaiting Evidence",
            ]))),
        ),
        (
            "unassigned",
            incidents()
                .filter(all([open(), path("assignedTo").eq(nothing())]))
                .order("openedAt", Asc)
                .limit(100),
        ),
        (
            "untouched for a week",
            incidents()
                .filter(all([open(), path("updatedAt").lt(now().minus(7, Unit::Days))]))
                .order("updatedAt", Asc),
        ),
        (
            "opened this month",
            incidents()
                .filter(path("openedAt").gt(now().minus(1, Unit::Months)))
                .order("openedAt", Desc)
                .limit(200)
                .fields(&["state", "priority", "openedAt"]),
        ),
        (
            "resolved in the last day",
            incidents().filter(path("resolvedAt").gt(now().minus(24, Unit::Hours))).order("resolvedAt", Desc),
        ),
        (
            "reopened",
            incidents()
                .filter(path("reopenCount").gt(num("0")))
                .order("reopenCount", Desc)
                .order("modCount", Desc),
        ),
        ("passed around most", incidents().order("reassignmentCount", Desc).limit(5)),
        (
            "out of the agreement",
            incidents().filter(all([open(), not(flag("madeSla"))])).order("openedAt", Asc),
        ),
        (
            "high impact and urgency",
            incidents()
                .filter(all([path("impact").le(num("1")), path("urgency").lt(num("2"))]))
                .order("openedAt", Desc)
                .limit(50),
        ),
        (
            "a group's",
            incidents().filter(all([path("assignmentGroup").eq(text("70")), open()])).order("priority", Asc),
        ),
        (
            "not by phone",
            incidents().filter(path("contactType").ne(text("Phone"))).order("openedAt", Desc).limit(40),
        ),
        (
            "a vendor's",
            incidents().filter(path("vendor").ne(nothing())).order("vendor", Asc).order("openedAt", Asc),
        ),
        (
            "with a problem or a change",
            incidents()
                .filter(any([path("problemId").ne(nothing()), path("rfc").ne(nothing())]))
                .order("problemId", Desc)
                .limit(1000),
        ),
        ("everything, capped", incidents()),
        ("everything by modification", incidents().order("modCount", Desc).order("callerId", Asc).limit(2)),
        (
            "closed",
            incidents().filter(path("state").eq(text("Closed"))).order("closedAt", Desc).limit(15).fields(&[
                "closedAt",
                "closedCode",
                "resolvedBy",
            ]),
        ),
        (
            "closed later than a fortnight after",
            incidents()
                .filter(path("closedAt").gt(path("openedAt").plus(2, Unit::Weeks)))
                .order("closedAt", Desc)
                .limit(25),
        ),
    ];
    let instants = ["openedAt", "createdAt", "updatedAt", "resolvedAt", "closedAt"];
    replay("incidents.ndjson.gz", "incidents", &instants, queries).await;
}

/// Replays a file, with the set's fields declared to be instants, and compares.
async fn replay(name: &str, set: &str, instants: &[&str], queries: Vec<(&'static str, Query)>) {
    let Some(file) = support::real_data(name) else { return };
    assert!(queries.len() >= 20);
    let fields: Vec<_> =
        instants.iter().map(|field| format!("{{ name = \"{field}\", type = \"instant\" }}")).collect();
    let server = Server::start(&format!(
        "[limits.http]\nrequests_per_second = 1000000\nrequest_burst = 1000000\n\
         [clock]\nsource = \"commits\"\n[[set]]\nname = \"{set}\"\nfields = [{}]\n",
        fields.join(", ")
    ));
    let mut store = Store::default();
    store.define(set, "id", instants);
    let client = Client::connect(&server.address, &queries).await;

    let started = Instant::now();
    let mut http = Http::connect(&server.address).await;
    let mut lines = Lines::open(&file).expect("the file is there");
    let mut clock = oracle::instant("1970-01-01").expect("an instant");
    let (mut commits, mut ops, mut checkpoints) = (0, 0, 0);
    loop {
        let batch = read(&mut lines);
        post(&mut http, &batch).await;
        let mut expected = Vec::with_capacity(batch.len());
        for line in &batch {
            let commit: Value = serde_json::from_str(line).expect("a line is JSON");
            let moment = commit["at"].as_str().and_then(oracle::instant).expect("a commit has a moment");
            clock = clock.max(moment);
            let changes = ops_of(&commit);
            ops += changes.len();
            expected.push(store.apply(&changes).expect("the oracle takes it"));
        }
        for changed in expected {
            let answer = http.answer().await;
            assert_eq!(
                (answer.status, answer.json()["changed"].as_u64()),
                (200, Some(changed)),
                "{}",
                answer.text()
            );
        }
        let before = commits;
        commits += batch.len();
        let is_last = batch.len() < PIPELINED;
        if is_last || before / CHECKPOINT != commits / CHECKPOINT {
            client.settle(&queries, &store, clock, &format!("{name} after {commits} commits")).await;
            checkpoints += 1;
            // The oracle takes its time, and the server does not keep an idle connection.
            http = Http::connect(&server.address).await;
        }
        if is_last {
            break;
        }
    }
    let seen = client.seen();
    println!(
        "{name}: {commits} commits, {ops} operations, {} live queries, {} diffs (+{} ~{} -{}) in {} messages, \
         {checkpoints} checkpoints, {:.1?}",
        queries.len(),
        seen.added + seen.updated + seen.removed,
        seen.added,
        seen.updated,
        seen.removed,
        seen.messages,
        started.elapsed(),
    );
    assert!(seen.added > 0 && seen.updated > 0 && seen.removed > 0);
}

fn read(lines: &mut Lines) -> Vec<String> {
    let mut batch = Vec::with_capacity(PIPELINED);
    while batch.len() < PIPELINED
        && let Some((_, line)) = lines.next_line().expect("the file is readable")
    {
        batch.push(String::from_utf8(line.to_vec()).expect("UTF-8"));
    }
    batch
}

async fn post(http: &mut Http, batch: &[String]) {
    let authorization = format!("Bearer {TOKEN}");
    let mut requests = Vec::new();
    for line in batch {
        http.encode("POST", "/batch", &[("authorization", &authorization)], line.as_bytes(), &mut requests);
    }
    http.send(&requests).await;
}

fn ops_of(commit: &Value) -> Vec<Op> {
    let op = |op: &Value| {
        let set = op["set"].as_str().expect("a set");
        match op["op"].as_str() {
            Some("upsert") => Op::upsert(set, &op["node"].to_string()),
            Some("remove") => Op::remove(set, op["id"].as_str().expect("an id")),
            other => panic!("{other:?} is no op"),
        }
    };
    commit["ops"].as_array().expect("ops").iter().map(op).collect()
}

/// The extensions that a query is asked for with: all mixtures, none too, so that every way of following a
/// result is tried.
fn options(index: usize) -> LiveQueryOptions {
    LiveQueryOptions {
        positions: index.is_multiple_of(2),
        counts: index.is_multiple_of(3),
        reasons: index.is_multiple_of(4),
        resume: index.is_multiple_of(5),
        status: false,
        hints: index.is_multiple_of(7),
    }
}

/// What a client saw.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    messages: u64,
    added: u64,
    updated: u64,
    removed: u64,
}

/// A client that folds what comes, in a task of its own.
struct Client {
    state: Arc<Mutex<(ClientSession, Seen)>>,
    following: tokio::task::JoinHandle<()>,
}

impl Client {
    /// Connects, and waits until every query is there.
    async fn connect(address: &str, queries: &[(&'static str, Query)]) -> Client {
        let mut session = ClientSession::new(ClientLimits::default(), Monotonic::ZERO);
        session.authenticate(&Token::new(TOKEN));
        for (index, (name, query)) in queries.iter().enumerate() {
            let json = query.json(&mut |_| 0).to_string();
            session.create_live_query(LiveQueryRequest {
                options: options(index),
                ..LiveQueryRequest::new(
                    *name,
                    liveset_core::Query::parse(json.as_bytes()).expect("the query is right"),
                )
            });
        }
        let state = Arc::new(Mutex::new((session, Seen::default())));
        let (socket, _) =
            tokio_tungstenite::connect_async(format!("ws://{address}/ws")).await.expect("an upgrade");
        let client = Client { state: Arc::clone(&state), following: tokio::spawn(follow(socket, state)) };
        let deadline = Instant::now() + SETTLE;
        loop {
            let loaded = client
                .look(|session, _| session.live_queries().filter(|(_, result)| result.is_loaded()).count());
            if loaded == queries.len() {
                return client;
            }
            assert!(!client.following.is_finished(), "the client ended");
            assert!(Instant::now() < deadline, "{loaded} of {} queries are there", queries.len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn look<T>(&self, look: impl FnOnce(&ClientSession, &Seen) -> T) -> T {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        look(&state.0, &state.1)
    }

    fn seen(&self) -> Seen {
        self.look(|_, seen| *seen)
    }

    /// Waits until nothing more comes and everything is as the oracle says.
    async fn settle(&self, queries: &[(&'static str, Query)], store: &Store, clock: Nanos, place: &str) {
        let deadline = Instant::now() + SETTLE;
        let mut quiet = self.seen().messages;
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(!self.following.is_finished(), "{place}: the client ended");
            let messages = self.seen().messages;
            if messages != std::mem::replace(&mut quiet, messages) && Instant::now() < deadline {
                continue;
            }
            let differs = queries.iter().enumerate().find_map(|(index, (name, query))| {
                let expected = store.result(query, clock, CAP);
                self.look(|session, _| difference(session, name, options(index), &expected))
                    .map(|what| format!("{name}: {what}"))
            });
            match differs {
                None => return,
                Some(differs) => assert!(Instant::now() < deadline, "{place}: {differs}"),
            }
        }
    }
}

/// What a client holds otherwise than the oracle.
fn difference(
    session: &ClientSession,
    name: &str,
    options: LiveQueryOptions,
    expected: &oracle::Shown,
) -> Option<String> {
    let Some(held) = session.live_query(name) else { return Some("is not there".into()) };
    if held.len() != expected.rows.len() {
        return Some(format!("{} rows, should be {}", held.len(), expected.rows.len()));
    }
    if let Some(ordered) = held.ordered() {
        let ids: Vec<_> = ordered.map(|(id, _)| id.to_string()).collect();
        let should: Vec<_> = expected.rows.iter().map(|(id, _)| id.clone()).collect();
        if ids != should {
            return Some(format!("order {ids:?}, should be {should:?}"));
        }
    }
    if options.counts && (held.total_count(), held.capped()) != (expected.total, expected.capped) {
        return Some(format!("{} nodes, should be {}", held.total_count(), expected.total));
    }
    expected.rows.iter().find_map(|(id, node)| match held.row(id) {
        None => Some(format!("{id} is missing")),
        Some(data) => match Val::parse(data) {
            Some(held) if same(&held, node) => None,
            _ => Some(format!("{id} is {}, should be {node:?}", String::from_utf8_lossy(data))),
        },
    })
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn follow(mut socket: Socket, state: Arc<Mutex<(ClientSession, Seen)>>) {
    let opened = Instant::now();
    loop {
        let mut out = Vec::new();
        {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let (session, seen) = &mut *state;
            let mut text = Vec::new();
            while session.poll_transmit(&mut text) {
                out.push(String::from_utf8(std::mem::take(&mut text)).expect("UTF-8"));
            }
            while let Some(event) = session.poll_event() {
                match event {
                    ClientEvent::LiveQueryChanged { change, .. } => match change {
                        NodeChange::Added { .. } => seen.added += 1,
                        NodeChange::Updated { .. } => seen.updated += 1,
                        NodeChange::Removed { .. } => seen.removed += 1,
                    },
                    ClientEvent::Error { code_text, message, id, .. } => {
                        panic!("{code_text}: {message} ({id:?})")
                    }
                    _ => {}
                }
            }
        }
        for text in out {
            socket.send(Message::text(text)).await.expect("the server reads");
        }
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.1.messages += 1;
                let now = Monotonic::from_epoch(opened.elapsed());
                state.0.handle_text(now, text.as_bytes()).expect("the server does not contradict itself");
            }
            Some(Ok(Message::Close(frame))) => panic!("the server closed: {frame:?}"),
            Some(Ok(_)) => {}
            // The test is over.
            Some(Err(_)) | None => return,
        }
    }
}
