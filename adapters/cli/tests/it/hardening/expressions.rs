//! Expressions and numbers that are too much, or nearly.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::case::{Case, SLACK, Writer};
use super::table::{Line, Row};
use crate::support::http::Http;
use crate::support::raw::Raw;

pub async fn huge_expressions(row: Row) -> Line {
    let room = "[limits.session]\nmessage_bytes = 8000000\n[limits.http]\nmax_body_bytes = 8000000\n";
    let mut case = Case::start(row, room).await;
    let parentheses = |count: usize| format!("{}n == 1{}", "(".repeat(count), ")".repeat(count));
    let list = |count: usize| format!("n in [{}1]", "1,".repeat(count - 1));
    let refused = [
        ("10,000 parentheses", parentheses(10_000)),
        ("8,000 parentheses, within 16 KiB", parentheses(8_000)),
        ("65 parentheses", parentheses(65)),
        ("10,000 parentheses that nobody closes", "(".repeat(10_000)),
        ("4,000 `not`", format!("{} s3cret", "not ".repeat(4_000))),
        ("100,000 `not`", format!("{} s3cret", "not ".repeat(100_000))),
        ("100,000 `not (`", "not (".repeat(100_000)),
        ("a list of 1,001", list(1_001)),
        ("a list of 1,000,000", list(1_000_000)),
        ("a list of 1,000,000 that nobody closes", format!("n in [{}", "1,".repeat(1_000_000))),
        ("a path of 17 names", format!("{} == 1", ["s3cret"; 17].join("."))),
        ("a text of 1 MB", format!("n == '{}'", "s3cret".repeat(170_000))),
        ("100,000 `and`", format!("{}n == 1", "n == 1 and ".repeat(100_000))),
        ("100,000 `+`", format!("n == {}1", "1+".repeat(100_000))),
        ("1 MB of blanks", " ".repeat(1_000_000)),
    ];
    let taken = [
        ("32 parentheses", parentheses(32)),
        ("a list of 1,000", list(1_000)),
        ("1,000 `and`", format!("{}n == 1", "n == 1 and ".repeat(1_000))),
    ];
    let mut longest = Duration::ZERO;
    case.rounds(4, SLACK, async |case: &mut Case| {
        let mut raw = Raw::open(&case.address).await;
        for (what, filter) in &refused {
            let query = json!({ "edge": "orders", "filter": filter });
            let started = Instant::now();
            raw.send_json(&json!({ "type": "createLiveQuery", "id": "q", "query": query })).await;
            let error = raw.receive_json().await;
            longest = longest.max(started.elapsed());
            assert!(error["code"] == "INVALID_QUERY" || error["code"] == "LIMIT_EXCEEDED", "{what}: {error}");
            assert!(error.to_string().len() < 1_000, "{what}: {error}");
            for path in ["/query", "/explain"] {
                let answer = Http::connect(&case.address).await.post(path, &query.to_string()).await;
                assert_eq!((answer.status, &*answer.code()), (422, "INVALID_QUERY"), "{path} {what}");
                assert!(answer.body.len() < 1_000);
            }
            let query = json!({ "edge": "orders", "orderBy": filter });
            raw.send_json(&json!({ "type": "createLiveQuery", "id": "q", "query": query })).await;
            assert_eq!(raw.error().await, "INVALID_QUERY", "{what} as an order");
        }
        case.served().await;
        for (what, filter) in &taken {
            let query = json!({ "edge": "orders", "filter": filter });
            raw.send_json(&json!({ "type": "createLiveQuery", "id": "q", "query": query })).await;
            let created = raw.receive_json().await;
            assert_eq!(created["type"], "liveQueryCreated", "{what}: {created}");
            assert_eq!(raw.receive_json().await["type"], "liveQueryData");
            assert_eq!(
                raw.ask(r#"{"type":"destroyLiveQuery","id":"q"}"#).await["type"],
                "liveQueryDestroyed"
            );
        }
        raw.leave().await;
    })
    .await;
    case.moved("liveset_errors_total{code=\"INVALID_QUERY\"}").await;
    case.moved("liveset_http_requests_total{path=\"/query\",status=\"422\"}").await;
    case.logged("the client is told of an error code=\"INVALID_QUERY\"");
    let done = format!(
        "{} expressions over WebSocket, `/query` and `/explain`, as filter and as order; 3 more that are at the limits",
        refused.len()
    );
    let came_back = format!(
        "`INVALID_QUERY` (HTTP 422), the longest after {} ms; those at the limits are taken",
        longest.as_millis()
    );
    case.finish(&done, &came_back).await
}

/// What becomes of a number in a node, as it is written.
enum Fate {
    /// It is no JSON.
    NoJson,
    /// It is refused, with the node.
    Refused,
    /// It is kept and printed, as written or so, and these tests are true or false of it.
    Kept(&'static str, &'static [(&'static str, bool)]),
}

pub async fn odd_numbers(row: Row) -> Line {
    let digits = "9".repeat(400);
    let numbers: [(&str, Fate); 18] = [
        ("NaN", Fate::NoJson),
        ("Infinity", Fate::NoJson),
        ("-Infinity", Fate::NoJson),
        ("+1", Fate::NoJson),
        ("01", Fate::NoJson),
        ("0x10", Fate::NoJson),
        ("1e400", Fate::Refused),
        ("-1e400", Fate::Refused),
        ("18446744073709551616", Fate::Refused),
        ("-9223372036854775809", Fate::Refused),
        (&digits, Fate::Refused),
        ("-0", Fate::Kept("-0", &[("n == 0", true), ("n < 0", false), ("n == -0", true)])),
        ("-0.0", Fate::Kept("-0.0", &[("n == 0", true), ("n >= 0", true)])),
        (
            "9007199254740993",
            Fate::Kept(
                "9007199254740993",
                &[
                    ("n == 9007199254740993", true),
                    ("n == 9007199254740992", false),
                    ("n > 9007199254740992.0", true),
                ],
            ),
        ),
        (
            "9223372036854775807",
            Fate::Kept(
                "9223372036854775807",
                &[("n == 9223372036854775807", true), ("n == 9223372036854775808", false)],
            ),
        ),
        (
            "9223372036854775808",
            Fate::Kept(
                "9223372036854775808",
                &[
                    ("n == 9223372036854775808", true),
                    ("n == 9223372036854775807", false),
                    ("n > 9223372036854775807", true),
                ],
            ),
        ),
        (
            "18446744073709551615",
            Fate::Kept(
                "18446744073709551615",
                &[("n == 18446744073709551615", true), ("n == 18446744073709551614", false)],
            ),
        ),
        ("1e308", Fate::Kept("1e308", &[("n > 18446744073709551615", true), ("n == 1e308", true)])),
    ];
    let filters = ["n == 1e400", "n == -1e400", "n in [1, 1e400]", "n == 1 + 1e400"];
    let limits = ["NaN", "Infinity", "1e400", "-1", "1.5", "1e2"];
    let mut case =
        Case::start(row, "[limits.session]\nmessage_burst = 1000000\nmessages_per_second = 1000000\n").await;
    case.rounds(6, SLACK, async |case: &mut Case| {
        let mut raw = Raw::open(&case.address).await;
        for (id, (number, fate)) in numbers.iter().enumerate() {
            // Each is a node of its own: one that becomes an equal number may stay as it was written first.
            let body = format!(
                r#"[{{"op":"upsert","set":"orders","node":{{"id":{id},"x":"s3cret","n":{number}}}}}]"#
            );
            let answer = Http::connect(&case.address).await.post("/batch", &body).await;
            let (printed, tests) = match fate {
                Fate::NoJson => {
                    assert_eq!((answer.status, &*answer.code()), (400, "INVALID_MESSAGE"), "{number}");
                    continue;
                }
                Fate::Refused => {
                    assert_eq!((answer.status, &*answer.code()), (422, "INVALID_NODE"), "{number}");
                    continue;
                }
                Fate::Kept(printed, tests) => (printed, tests),
            };
            assert_eq!(answer.status, 200, "{number}: {}", answer.text());
            let answer = Http::connect(&case.address).await.post("/query", r#"{"edge":"orders"}"#).await;
            assert!(answer.text().contains(&format!("\"n\":{printed}}}")), "{number}: {}", answer.text());
            for (filter, expected) in *tests {
                let query = json!({ "edge": "orders", "filter": filter });
                raw.send_json(&json!({ "type": "createLiveQuery", "id": "q", "query": query })).await;
                let created = raw.receive_json().await;
                assert_eq!(created["totalCount"], u64::from(*expected), "{number}: {filter}: {created}");
                raw.receive_json().await;
                raw.ask(r#"{"type":"destroyLiveQuery","id":"q"}"#).await;
            }
            let body = format!(r#"[{{"op":"remove","set":"orders","id":{id}}}]"#);
            assert_eq!(Http::connect(&case.address).await.post("/batch", &body).await.json()["changed"], 1);
        }
        case.served().await;
        // What a number would become that is cut down to 64 bits.
        let largest = json!([
            { "op": "upsert", "set": "orders", "node": { "id": "u64", "n": u64::MAX } },
            { "op": "upsert", "set": "orders", "node": { "id": "i64", "n": i64::MIN } },
            { "op": "upsert", "set": "orders", "node": { "id": "f64", "n": f64::MAX } },
            { "op": "upsert", "set": "orders", "node": { "id": "-f64", "n": f64::MIN } },
        ]);
        Writer::new(&case.address).commit(&largest).await;
        let nines = format!("n == {digits}");
        let beyond = ["n == 18446744073709551616", "n == -9223372036854775809"];
        for filter in filters.into_iter().chain([&*nines]).chain(beyond) {
            let query = json!({ "edge": "orders", "filter": filter });
            raw.send_json(&json!({ "type": "createLiveQuery", "id": "q", "query": query })).await;
            let answer = raw.receive_json().await;
            if answer["type"] == "liveQueryCreated" {
                // Taken for what it is: no number of 64 bits is that.
                assert_eq!(answer["totalCount"], 0, "{filter}: {answer}");
                raw.receive_json().await;
                raw.ask(r#"{"type":"destroyLiveQuery","id":"q"}"#).await;
            } else {
                assert_eq!(answer["code"], "INVALID_QUERY", "{filter}: {answer}");
            }
        }
        let gone =
            ["u64", "i64", "f64", "-f64"].map(|id| json!({ "op": "remove", "set": "orders", "id": id }));
        Writer::new(&case.address).commit(&json!(gone)).await;
        for limit in limits.into_iter().chain([&*digits]) {
            let message = format!(
                r#"{{"type":"createLiveQuery","id":"q","query":{{"edge":"orders","limit":{limit}}}}}"#
            );
            let answer: Value = raw.ask(&message).await;
            if answer["type"] == "liveQueryCreated" {
                assert_eq!(limit, digits, "{answer}");
                raw.receive_json().await;
                raw.ask(r#"{"type":"destroyLiveQuery","id":"q"}"#).await;
            } else {
                assert!(
                    answer["code"] == "INVALID_QUERY" || answer["code"] == "INVALID_MESSAGE",
                    "{limit}: {answer}"
                );
            }
        }
        raw.leave().await;
    })
    .await;
    case.moved("liveset_commits_total{outcome=\"refused\"}").await;
    case.moved("liveset_errors_total{code=\"INVALID_QUERY\"}").await;
    case.logged("refused a request path=\"/batch\" status=422");
    case.logged("the client is told of an error code=\"INVALID_QUERY\"");
    case.finish(
        "18 numbers in nodes, 7 in filters over the largest that there are, 7 as limits",
        "NaN and its like 400; 1e400, 2^64, -2^63-1 and 400 digits 422; -0, 2^53+1, 2^63 and 2^64-1 kept to the digit and compared exactly",
    )
    .await
}
