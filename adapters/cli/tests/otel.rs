//! Traces, behind the feature `otel`: what a request and its commit send to a collector.
#![cfg(unix)]

#[allow(dead_code, reason = "these tests use a part of it")]
#[path = "it/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use support::http::Http;
use support::{PATIENCE, Server, TOKEN, liveset};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const BATCH: &str = r#"[{"op":"upsert","set":"orders","node":{"id":1,"secret":"s3cret"}}]"#;

/// What a collector was sent of a span, ids in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
}

/// The fields of a message of Protocol Buffers that are bytes, texts or messages.
fn fields(mut message: &[u8]) -> Vec<(u64, &[u8])> {
    fn number(message: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (byte, rest) = message.split_first().expect("a number goes on");
            *message = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = number(&mut message);
        let bytes = match key & 7 {
            0 => {
                number(&mut message);
                continue;
            }
            1 => 8,
            2 => number(&mut message) as usize,
            5 => 4,
            other => panic!("no kind of field: {other}"),
        };
        let (field, rest) = message.split_at(bytes);
        message = rest;
        if key & 7 == 2 {
            found.push((key >> 3, field));
        }
    }
    found
}

fn inner(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    fields(message).into_iter().filter(move |(of, _)| *of == number).map(|(_, field)| field)
}

/// `ExportTraceServiceRequest`: its `resource_spans`, their `scope_spans`, their `spans`.
fn spans(request: &[u8]) -> Vec<Span> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let of = |span: &[u8], number| inner(span, number).next().unwrap_or_default().to_vec();
    let spans = inner(request, 1).flat_map(|resource| inner(resource, 2)).flat_map(|scope| inner(scope, 2));
    spans
        .map(|span| Span {
            trace: hex(&of(span, 1)),
            id: hex(&of(span, 2)),
            parent: hex(&of(span, 4)),
            name: String::from_utf8(of(span, 5)).expect("a text"),
        })
        .collect()
}

/// A collector, which answers each request with a status, and gives the bodies.
fn collector(status: &'static str) -> (String, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let (sender, bodies) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            std::thread::spawn(move || serve(stream, status, &sender));
        }
    });
    (address, bodies)
}

fn serve(stream: TcpStream, status: &str, bodies: &Sender<Vec<u8>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match reader.read_line(&mut head) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let head = head.to_lowercase();
        assert!(head.starts_with("post /v1/traces ") && head.contains("application/x-protobuf"), "{head}");
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
        let mut body = vec![0; length.expect("a length").parse().expect("a number")];
        reader.read_exact(&mut body).expect("a body");
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        reader.get_mut().write_all(answer.as_bytes()).expect("an answer");
        if bodies.send(body).is_err() {
            return;
        }
    }
}

fn traced(collector: &str, config: &str) -> Server {
    let mut command = liveset(&["serve", "--log", "info", "--config"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"));
    command.env("OTEL_BSP_SCHEDULE_DELAY", "50");
    Server::start_as(command, &format!("[[set]]\nname = \"orders\"\n{config}"), &[], &[])
}

/// Commits a row, as part of this trace.
async fn commit(server: &Server, traceparent: Option<&str>) {
    let authorization = format!("Bearer {TOKEN}");
    let mut headers = vec![("authorization", authorization.as_str())];
    headers.extend(traceparent.map(|value| ("traceparent", value)));
    let answer =
        Http::connect(&server.address).await.request("POST", "/batch", &headers, BATCH.as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Waits for the next commit, and gives its span and that of its request.
fn next_commit(bodies: &Receiver<Vec<u8>>, seen: &mut Vec<Span>) -> [Span; 2] {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let commit = seen.iter().position(|span| span.name == "commit");
        let found =
            commit.and_then(|at| Some((at, seen.iter().position(|span| span.id == seen[at].parent)?)));
        if let Some((commit, request)) = found {
            let both = [seen[commit].clone(), seen[request].clone()];
            seen.retain(|span| !both.contains(span));
            return both;
        }
        let body = bodies.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        let body = body.unwrap_or_else(|error| panic!("no commit with its request: {error}, {seen:?}"));
        assert!(!body.windows(6).any(|bytes| bytes == b"s3cret"), "rows are not sent");
        assert!(body.windows(7).any(|bytes| bytes == b"liveset"), "it has the name of the service");
        seen.extend(spans(&body));
    }
}

#[tokio::test]
async fn a_commit_is_a_part_of_the_trace_that_its_request_names() {
    let mut configs = vec![""];
    if cfg!(feature = "store") {
        configs.push("[store]\npath = \"liveset.db\"\n");
    }
    for config in configs {
        let (address, bodies) = collector("200 OK");
        let mut server = traced(&address, config);
        let mut seen = Vec::new();
        commit(&server, Some(&format!("00-{TRACE}-{CALLER}-01"))).await;
        let [commit_span, request] = next_commit(&bodies, &mut seen);
        assert_eq!((&*request.name, &*request.trace, &*request.parent), ("POST /batch", TRACE, CALLER));
        assert_eq!(commit_span.trace, TRACE);

        // Without one, or with one that is none, it is a trace of its own.
        for none in
            [None, Some("00-nonsense-01"), Some("00-00000000000000000000000000000000-0000000000000000-01")]
        {
            commit(&server, none).await;
            let [commit_span, request] = next_commit(&bodies, &mut seen);
            assert_eq!((&*request.parent, &commit_span.trace), ("", &request.trace), "{none:?}");
            assert!(request.trace.len() == 32 && request.trace != TRACE, "{none:?}");
        }
        // One that is not recorded is not sent. What comes behind it is, when the server ends at the latest.
        commit(&server, Some(&format!("00-{TRACE}-{CALLER}-00"))).await;
        commit(&server, Some(&format!("00-{CALLER}{CALLER}-{CALLER}-01"))).await;
        server.signal("INT");
        let [_, last] = next_commit(&bodies, &mut seen);
        assert_eq!(last.trace, format!("{CALLER}{CALLER}"));
        assert!(server.wait().success());
        while let Ok(body) = bodies.recv_timeout(Duration::from_millis(10)) {
            seen.extend(spans(&body));
        }
        assert!(seen.iter().all(|span| span.trace != TRACE), "{seen:?}");
    }
}

#[tokio::test]
async fn a_collector_that_fails_is_said_once_and_counted_and_nobody_waits_for_it() {
    let (address, bodies) = collector("503 Service Unavailable");
    let server = traced(&address, "");
    let failed = "liveset_trace_exports_failed_total";
    while support::metrics::Metrics::read(&server.address).await.value(failed) < 2 {
        commit(&server, None).await;
    }
    assert!(bodies.try_recv().is_ok());
    assert_eq!(server.log().matches("the collector does not take traces: it answers 503").count(), 1);
}

#[tokio::test]
async fn without_a_collector_nothing_is_sent_and_a_bad_address_is_said() {
    let server = traced("not a host", "");
    server.wait_for_log("no traces are sent");
    commit(&server, Some(&format!("00-{TRACE}-{CALLER}-01"))).await;
}
