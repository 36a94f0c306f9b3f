//! One policy for JSON at every door: a list of cases whose verdicts are written by hand, brought to each door in what that door
//! takes.
//!
//! The doors are the WebSocket, the HTTP endpoints, files that a set loads, a stream that is replayed, nodes and events of the
//! host, and what a client reads of a server. (What `liveset-jwt` reads goes through the engine's reader; its own tests try that.)

use std::borrow::Cow;
use std::io::Write as _;

use liveset::{Json, Liveset, SetDef};
use liveset_core::ServerMessage;
use liveset_server::config::Config;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::http::Http;
use crate::support::ws::Ws;
use crate::support::{Server, TOKEN, run};

const CONFIG: &str = "[[set]]\nname = \"orders\"\n";

/// A value that is taken: written as it stands here.
const GOOD: &[&str] = &[
    "null",
    "true",
    "false",
    // Numbers: integers of 64 bits, and what f64 can hold.
    "0",
    "-0",
    "-0.0",
    "1.10",
    "1e2",
    "1E+2",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616.0",
    "1e-400",
    "5e-324",
    "1.7976931348623157e308",
    // Text.
    r#""""#,
    r#""\u0000""#,
    r#""\ud83d\ude00 😀 \/ \b\f\n\r\t\"\\""#,
    "\"\u{7f}\u{2028}\u{feff}\"",
    // Lists and objects.
    "[]",
    "{}",
    "[[],{},[{}]]",
    r#"{"a":1,"A":2,"":3,"\u0000":4,"a\u0000":5}"#,
    r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}"#,
    " \t[ 1 , { \"a\" : 2 } ] ",
];

/// A value that is refused.
const BAD: &[&str] = &[
    "",
    // A key that occurs twice.
    r#"{"a":1,"a":1}"#,
    r#"{"a":1,"\u0061":2}"#,
    r#"{"":1,"":2}"#,
    r#"{"😀":1,"\ud83d\ude00":2}"#,
    r#"[0,{"x":{"k":1,"l":[],"k":{}}}]"#,
    r#"{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"o":1,"p":1,"q":1,"r":1,"s":1,"t":1,"u":1,"v":1,"w":1,"x":1,"y":1,"z":1,"j":1}"#,
    // Numbers that would have to be rounded.
    "18446744073709551616",
    "-9223372036854775809",
    "1e400",
    "-1e400",
    "[1e999999999999999999999]",
    // What is no number.
    "01",
    "-01",
    "00",
    "+1",
    ".5",
    "-.5",
    "1.",
    "1e",
    "1e+",
    "-",
    "0x10",
    "1_000",
    "NaN",
    "Infinity",
    "-Infinity",
    // Text.
    r#""\ud800""#,
    r#""\udc00""#,
    r#""\ud83d\u0041""#,
    r#"{"\ud800":1}"#,
    r#""\x41""#,
    r#""\u12""#,
    r#""\u00g0""#,
    "\"a\u{1}b\"",
    "\"a\tb\"",
    "\"a\0b\"",
    "'a'",
    "\"a",
    // What is no JSON.
    "\0",
    "1\0",
    "nul",
    "True",
    "undefined",
    "[1,]",
    "[,1]",
    "[1 2]",
    r#"{"a":1,}"#,
    r#"{"a" 1}"#,
    r#"{"a"}"#,
    "{a:1}",
    "{1:2}",
    "[1}",
    "[[]",
    "/**/1",
    "1//",
    "1 2",
    "\u{c}1",
    "\u{a0}1",
    "\u{feff}1",
];

/// Bytes inside of a text that are no UTF-8.
const NOT_UTF_8: &[&[u8]] = &[b"\"\xff\"", b"\"\xc0\x80\"", b"\"\xed\xa0\x80\"", b"\"\xf0\x9f\x98\""];

/// What stands around a whole text: before, behind, whether that is taken.
const AROUND: &[(&str, &str, bool)] = &[
    ("", "", true),
    (" \t", " \t\r", true),
    ("\u{feff}", "", false),
    ("", "\0", false),
    ("", " 1", false),
    ("", " {}", false),
    ("", ",", false),
    ("", "}", false),
    ("", "garbage", false),
    ("", "//", false),
    ("\u{c}", "", false),
    ("", "\u{c}", false),
    ("", "\u{b}", false),
    ("", "\u{a0}", false),
    ("", "\u{feff}", false),
];

/// One text for a door, and its verdict.
struct Case {
    text: Vec<u8>,
    is_good: bool,
}

impl Case {
    fn shown(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.text[..self.text.len().min(300)])
    }
}

/// A text with a place for a value, written `@`, and how many lists and objects are around that place.
struct Form(&'static str, usize);

impl Form {
    fn with(&self, value: &[u8]) -> Vec<u8> {
        let (before, behind) = self.0.split_once('@').expect("a place");
        [before.as_bytes(), value, behind.as_bytes()].concat()
    }

    /// Every case. `limit` lists and objects may nest; `deepest` is that of the cases that are far too deep.
    fn cases(&self, limit: usize, deepest: usize) -> Vec<Case> {
        let mut cases = Vec::new();
        let mut add = |text, is_good| cases.push(Case { text, is_good });
        GOOD.iter().for_each(|value| add(self.with(value.as_bytes()), true));
        BAD.iter().for_each(|value| add(self.with(value.as_bytes()), false));
        NOT_UTF_8.iter().for_each(|value| add(self.with(value), false));
        for (before, behind, is_good) in AROUND {
            add([before.as_bytes(), &self.with(b"1"), behind.as_bytes()].concat(), *is_good);
        }
        let digits = "1".repeat(400);
        add(self.with(format!("0.{digits}").as_bytes()), true);
        add(self.with(digits.as_bytes()), false);
        let key = "k".repeat(10_000);
        add(self.with(format!("{{\"{key}\":1}}").as_bytes()), true);
        add(self.with(format!("{{\"{key}\":1,\"{key}\":1}}").as_bytes()), false);
        for depth in [limit, limit + 1, limit * 2, deepest] {
            let inside = depth - self.1;
            add(
                self.with(format!("{}{}", "[".repeat(inside), "]".repeat(inside)).as_bytes()),
                depth <= limit,
            );
            let objects = format!("{}1{}", "{\"a\":".repeat(inside), "}".repeat(inside));
            add(self.with(objects.as_bytes()), depth <= limit);
        }
        // Cut off in the middle.
        add(self.with(b"[1")[..self.0.find('@').expect("a place") + 2].to_vec(), false);
        cases
    }
}

/// Brings every case to an endpoint. `good` is the status of what is taken, though it may be wrong for another reason.
async fn over_http(http: &mut Http, path: &str, form: Form, good: u16, bad: &[u16]) {
    let authorization = format!("Bearer {TOKEN}");
    for case in form.cases(64, 1_000_000) {
        let answer = http.request("POST", path, &[("authorization", &authorization)], &case.text).await;
        let expected = if case.is_good { &[good][..] } else { bad };
        assert!(expected.contains(&answer.status), "{path} {}\n{}", case.shown(), answer.text());
        if !case.is_good {
            // Errors say where, and are no longer than a few lines.
            answer.code();
            assert!(answer.body.len() < 10_000, "{path} {}: {}", case.shown(), answer.body.len());
        }
    }
}

#[tokio::test]
async fn over_http_one_policy_holds() {
    // Room for queries and events that are larger than any, to be read.
    let room = "[limits.session]\nmessage_bytes = 8000000\n[limits.hub]\nevent_data_bytes = 8000000\n";
    let server = Server::start(&format!("{CONFIG}\n{room}"));
    let mut http = Http::connect(&server.address).await;
    // What wraps the node of a batch is no part of the node.
    let batch = Form(r#"[{"op":"upsert","set":"orders","node":{"id":"a","x":@}}]"#, 1);
    over_http(&mut http, "/batch", batch, 200, &[400, 422]).await;
    let event = Form(r#"{"path":"jobs","eventType":"jobStarted","data":@}"#, 0);
    over_http(&mut http, "/events", event, 200, &[400]).await;
    // An unknown field is another fault than JSON that is wrong.
    for path in ["/query", "/explain"] {
        over_http(&mut http, path, Form(r#"{"edge":"orders","x":@}"#, 1), 422, &[400]).await;
    }
    for (path, body) in [
        ("/batch", r#"[["upsert","orders",{"id":1}]]"#),
        ("/batch", r#"{"ops":{}}"#),
        ("/batch", r#"[{"op":"upsert","set":"orders","node":[["id",1]]}]"#),
        ("/batch", r#"{"ops":[],"\u006fps":[]}"#),
        ("/batch", r#"{"ops":[],"at":null,"at":null}"#),
        ("/batch", r#"[{"op":"remove","set":"orders","id":1e400}]"#),
        ("/batch", r#"[{"op":"remove","set":"orders","id":18446744073709551616}]"#),
        ("/batch", r#"[{"op":"remove","set":"orders","id":"\ud800"}]"#),
        ("/events", r#"["jobs","jobStarted",{}]"#),
        ("/events", r#"{"path":"jobs","eventType":"jobStarted","data":1,"\u0064ata":1}"#),
        ("/query", r#"["orders"]"#),
        ("/query", r#"{"edge":"orders","\u0065dge":"orders"}"#),
        ("/query", r#"{"edge":"orders","limit":18446744073709551616}"#),
        ("/query", r#"{"edge":"orders","limit":1e2}"#),
        ("/query", r#"{"edge":"orders","node":[["id"]]}"#),
    ] {
        let answer = http.post(path, body).await;
        assert!(matches!(answer.status, 400 | 422), "{path} {body}: {}", answer.text());
    }
    // NUL is a character like others, in ids too, and numbers stay as they were written.
    let nodes = r#"[{"op":"remove","set":"orders","id":"a"},{"op":"upsert","set":"orders","node":{"id":"a\u0000b","n":[-0,1e-400,18446744073709551615,9007199254740993]}}]"#;
    assert_eq!(http.post("/batch", nodes).await.status, 200);
    let all = http.post("/query", r#"{"edge":"orders","filter":"id startswith 'a'"}"#).await;
    assert!(
        all.text().contains(r#"[{"id":"a\u0000b","n":[-0,1e-400,18446744073709551615,9007199254740993]}]"#),
        "{}",
        all.text()
    );
}

#[tokio::test]
async fn over_the_websocket_one_policy_holds() {
    let server = Server::start(CONFIG);
    let ping = json!({ "type": "pong", "requestId": "r" });
    for (form, good) in [
        (Form(r#"{"type":"ping","requestId":"r","later":@}"#, 1), None),
        (
            Form(r#"{"type":"createLiveQuery","id":"q","query":{"edge":"orders","x":@}}"#, 2),
            Some("INVALID_QUERY"),
        ),
    ] {
        let mut ws = Ws::open(&server.address).await;
        for case in form.cases(64, 10_000) {
            let Ok(text) = String::from_utf8(case.text.clone()) else { continue };
            ws.send_raw(Message::text(text)).await;
            let answer = ws.next().await;
            match (case.is_good, good) {
                (true, None) => assert_eq!(answer, ping, "{}", case.shown()),
                (true, Some(code)) => assert_eq!(answer["code"], code, "{}: {answer}", case.shown()),
                (false, _) => {
                    assert_eq!(answer["code"], "INVALID_MESSAGE", "{}: {answer}", case.shown());
                    let message = answer["message"].as_str().expect("a message");
                    assert!(message.contains(" byte ") && message.len() < 300, "{}: {message}", case.shown());
                }
            }
            // The connection stays, and the count of bad messages in a row starts anew.
            assert_eq!(ws.ask(json!({ "type": "ping", "requestId": "r" })).await, ping);
        }
        for text in [
            r#"[{"type":"ping"}]"#,
            r#"{"type":"subscribeEvents","subscriptions":[["a","jobs",["jobStarted"]]]}"#,
            r#"{"type":"createLiveQuery","id":"q","query":["orders"]}"#,
            r#"{"type":"createLiveQuery","id":"q","query":{"edge":"orders"},"options":[true]}"#,
        ] {
            ws.send_raw(Message::text(text)).await;
            assert_eq!(ws.next().await["code"], "INVALID_MESSAGE", "{text}");
        }
    }
    // Before the token is verified as well, where the message says that it is the `auth`.
    let mut ws = Ws::connect(&server.address).await;
    ws.send_raw(Message::text(r#"{"type":"auth","token":"a","token":"b"}"#)).await;
    assert_eq!(ws.next().await["code"], "INVALID_MESSAGE");
    ws.authenticate().await;
}

/// A line of a file cannot have a line end in it, and an empty one is passed over.
fn lines(form: Form, deepest: usize) -> impl Iterator<Item = Case> {
    form.cases(64, deepest).into_iter().filter(|case| !case.text.contains(&b'\n'))
}

fn handle() -> Liveset {
    Liveset::builder().set(SetDef::new("orders").key("id")).build().expect("a handle")
}

#[tokio::test]
async fn in_files_one_policy_holds() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("orders.ndjson");
    let config = Config::parse(
        &folder.path().join("liveset.toml"),
        "[[set]]\nname = \"orders\"\nload = \"orders.ndjson\"\n",
    );
    let mut set = config.expect("a configuration").sets.remove(0);
    set.load = Some(file.clone());
    let node = Form(r#"{"id":"a","x":@}"#, 1);
    let commit = Form(r#"{"ops":[{"op":"upsert","set":"orders","node":{"id":"a","x":@}}]}"#, 1);
    for form in [node, commit] {
        for case in lines(form, 200_000) {
            // A byte order mark is looked for at the beginning of the file, and is none anywhere else.
            for before in ["", "{\"id\":\"b\"}\n"] {
                std::fs::write(&file, [before.as_bytes(), &case.text].concat()).expect("a file");
                let loaded = liveset_server::load::load(&handle(), &set);
                assert_eq!(loaded.is_ok(), case.is_good, "{}: {loaded:?}", case.shown());
                if let Err(error) = loaded {
                    assert_eq!(error.line, Some(if before.is_empty() { 1 } else { 2 }), "{error}");
                }
            }
        }
    }
}

#[tokio::test]
async fn in_streams_one_policy_holds() {
    let server = Server::start(CONFIG);
    let file = server.folder.path().join("stream.ndjson");
    let url = format!("http://{}", server.address);
    let replay = || {
        run(&["replay", file.to_str().expect("a path"), "--url", &url, "--token", TOKEN, "--speed", "max"])
    };
    let commit = Form(r#"{"ops":[{"op":"upsert","set":"orders","node":{"id":"a","x":@}}]}"#, 1);
    let (good, bad): (Vec<_>, Vec<_>) = lines(commit, 10_000).partition(|case| case.is_good);
    let mut all = std::fs::File::create(&file).expect("a file");
    good.iter().for_each(|case| all.write_all(&[&case.text[..], b"\n"].concat()).expect("a line"));
    let (ok, stdout, stderr) = replay();
    assert!(ok && stdout.contains(&format!("replayed {} commits", good.len())), "{stdout}{stderr}");
    // A process each: a part of them is enough, as the server behind it is the one that was tried.
    for case in bad.iter().step_by(7) {
        std::fs::write(&file, &case.text).expect("a file");
        let (ok, _, stderr) = replay();
        assert!(!ok && stderr.contains("stream.ndjson:1"), "{}: {stderr}", case.shown());
    }
}

#[tokio::test]
async fn for_the_host_and_its_clients_one_policy_holds() {
    let liveset = handle();
    for case in Form(r#"{"id":"a","x":@}"#, 1).cases(64, 1_000_000) {
        let committed = liveset.commit(|tx| tx.upsert("orders", Json::new(case.text.clone())));
        assert_eq!(committed.is_ok(), case.is_good, "a node {}: {committed:?}", case.shown());
        let published = liveset.publish("jobs", "jobStarted", Json::new(case.text.clone()));
        assert_eq!(published.is_ok(), case.is_good, "an event {}: {published:?}", case.shown());
    }
    // A client takes a node that is nested as deep as any server can be made to take it (128), in the list of a message.
    let data = Form(r#"{"type":"liveQueryAddedNode","id":"q","nodeId":"a","data":{"id":"a","x":@}}"#, 2);
    let ignored = Form(r#"{"type":"ping","later":@}"#, 1);
    for case in data.cases(130, 1_000_000).iter().chain(&ignored.cases(130, 1_000_000)) {
        let read = ServerMessage::parse(&case.text);
        assert_eq!(read.is_ok(), case.is_good, "{}: {read:?}", case.shown());
    }
}
