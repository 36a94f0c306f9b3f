//! Before there is a WebSocket.

use std::time::Duration;

use liveset_server::accept::AcceptLimits;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::case::{Case, SLACK};
use super::table::{Line, Row};
use crate::support::PATIENCE;
use crate::support::http::Http;
use crate::support::raw::{Raw, narrow, rest, stream_from, upgrade};

/// For the head of a request.
const DEADLINE: Duration = Duration::from_secs(1);

pub async fn silent_tcp(row: Row) -> Line {
    assert_eq!(AcceptLimits::default().http.header_timeout, Duration::from_secs(5));
    const CAP: usize = 40;
    let config =
        format!("[limits.http]\nheader_timeout = \"{}ms\"\nmax_handshakes = {CAP}\n", DEADLINE.as_millis());
    let mut case = Case::start(row, &config).await;
    case.rounds(4, SLACK, async |case: &mut Case| {
        case.served().await;
        let started = Instant::now();
        let mut silent = Vec::new();
        for n in 0..CAP {
            let mut stream = TcpStream::connect(&case.address).await.expect("accepted");
            // Some say a little, one of them again and again.
            let said = ["", "G", "GET /ws HTTP/1.1\r\nhost: loc", "GET /ws HTTP/1.1\r\nx-s3cret: "][n % 4];
            stream.write_all(said.as_bytes()).await.expect("taken");
            silent.push(stream);
        }
        // Whoever is over the cap is told at once, and when to try again.
        let mut over = TcpStream::connect(&case.address).await.expect("accepted");
        let said = rest(&mut over).await;
        if started.elapsed() < DEADLINE {
            refused(&said, "handshakes");
        }
        let dripping = silent.pop().expect("the last of them");
        let dripping = drip(dripping, started);
        let waiting = async {
            case.served().await;
            for stream in &mut silent {
                let said = rest(stream).await;
                assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408 "), "{said:?}");
                assert!(started.elapsed() >= DEADLINE, "closed after {:?}", started.elapsed());
            }
        };
        tokio::join!(dripping, waiting);
    })
    .await;
    assert!(case.moved("liveset_http_failures_total{failure=\"timeout\"}").await >= 4 * CAP as u64);
    case.moved("liveset_connections_refused_total{cap=\"handshakes\"}").await;
    case.logged("an HTTP connection failed");
    case.logged("too many handshakes");
    let line = case
        .finish(
            "40 sockets that say nothing, part of a head, or a byte now and then; one more over the cap of 40",
            "closed at the deadline (1 s here, 5 s by default), the drip no later; over the cap 503 with `retry-after`, at once",
        )
        .await;
    line.and(of_one_address(row).await).and(unread_answers(row).await)
}

/// A byte at a time, to the end.
async fn drip(mut stream: TcpStream, started: Instant) {
    let dripping = async {
        while stream.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, dripping).await.expect("the drip is cut");
    assert!(started.elapsed() >= DEADLINE);
}

fn refused(said: &[u8], cap: &str) {
    let said = String::from_utf8_lossy(said);
    assert!(said.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{said}");
    let after = said.split("retry-after: ").nth(1).and_then(|rest| rest.split('\r').next()).map(str::parse);
    assert!(matches!(after, Some(Ok(1..=5_u32))), "{said}");
    assert!(said.ends_with(&format!(r#"{{"code":"OVERLOADED","message":"too many {cap}"}}"#)), "{said}");
}

async fn of_one_address(row: Row) -> Line {
    let config =
        "[limits.http]\nheader_timeout = \"1h\"\nmax_handshakes_per_address = 3\ncount_loopback = true\n";
    let mut case = Case::start(row, config).await;
    case.rounds(6, SLACK, async |case: &mut Case| {
        let mut silent = Vec::new();
        for _ in 0..3 {
            silent.push(stream_from("127.0.0.2", &case.address).await);
        }
        let mut over = stream_from("127.0.0.2", &case.address).await;
        refused(&rest(&mut over).await, "handshakes of one address");
        // Who has another address is not concerned.
        Raw::connect_from("127.0.0.3", &case.address).await.leave().await;
        case.served().await;
        drop(silent);
        // Seen a little later.
        case.recovered().await;
    })
    .await;
    case.moved("liveset_connections_refused_total{cap=\"handshakes of one address\"}").await;
    case.logged("too many handshakes of one address");
    case.finish(
        "3 silent sockets of one address, and one more over its cap; one of another address",
        "503 with `retry-after`; the other is let in",
    )
    .await
}

/// Requests by the thousand, of which no answer is read: without a token, and for nothing.
async fn unread_answers(row: Row) -> Line {
    const CLIENTS: u64 = 5;
    assert_eq!(AcceptLimits::default().http.write_timeout, Duration::from_secs(10));
    let config =
        format!("[limits.http]\nwrite_timeout = \"{}ms\"\nheader_timeout = \"1h\"\n", DEADLINE.as_millis());
    let mut case = Case::start(row, &config).await;
    case.rounds(2, SLACK, async |case: &mut Case| {
        let mut attackers = Vec::new();
        for _ in 0..CLIENTS {
            let mut stream = narrow(&case.address).await;
            attackers.push(tokio::spawn(async move {
                let requests = "GET /healthz HTTP/1.1\r\nhost: s3cret\r\n\r\n".repeat(1_000);
                let started = Instant::now();
                // Until the kernels are full, and then until it is cut.
                while stream.write_all(requests.as_bytes()).await.is_ok() {}
                started.elapsed()
            }));
        }
        case.served().await;
        for attacker in attackers {
            let took = timeout(PATIENCE, attacker).await.expect("cut in time").expect("an attacker");
            assert!(took >= DEADLINE, "cut after {took:?}");
        }
    })
    .await;
    assert!(case.moved("liveset_http_failures_total{failure=\"unread\"}").await >= 3 * CLIENTS);
    case.logged("an HTTP connection failed");
    case.logged("failure=\"unread\"");
    case.finish(
        "5 clients that send `GET /healthz` without end and read no answer",
        "closed when nothing of the answers was taken for so long (1 s here, 10 s by default)",
    )
    .await
}

pub async fn bad_handshake(row: Row) -> Line {
    let mut case = Case::start(row, "").await;
    let right = upgrade("localhost", "");
    let with = |from: &str, to: &str| {
        assert!(right.contains(from));
        right.replacen(from, to, 1)
    };
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let large = format!("x-s3cret: {}\r\n", "x".repeat(20_000));
    let many: String = (0..200).map(|n| format!("x-{n}: s3cret\r\n")).collect();
    let requests = [
        ("no key", with(key, ""), 400),
        ("an empty key", with(key, "sec-websocket-key: \r\n"), 400),
        ("a short key", with("dGhlIHNhbXBsZSBub25jZQ==", "dGhl"), 400),
        ("two keys", with(key, &format!("{key}{key}")), 400),
        ("no version", with("sec-websocket-version: 13\r\n", ""), 400),
        ("version 8", with("version: 13", "version: 8"), 426),
        ("no upgrade", with("upgrade: websocket\r\n", ""), 426),
        ("another upgrade", with("upgrade: websocket", "upgrade: h2c"), 426),
        ("no connection: upgrade", with("connection: upgrade", "connection: close"), 426),
        ("POST", with("GET ", "POST "), 405),
        ("BREW", with("GET ", "BREW "), 405),
        ("no host", with("host: localhost\r\n", ""), 400),
        ("two hosts", with("host: localhost\r\n", "host: a\r\nhost: b\r\n"), 400),
        ("an empty host", with("host: localhost", "host: "), 400),
        ("a host that is none", with("host: localhost", "host: a b/@s3cret"), 400),
        ("HTTP/1.0", with("HTTP/1.1", "HTTP/1.0"), 400),
        ("no HTTP", "s3cret\r\n\r\n".to_owned(), 400),
        ("a NUL in a header", with("host: localhost", "host: local\0host"), 400),
        ("a head of 20 kB", upgrade("localhost", &large), 431),
        ("200 headers", upgrade("localhost", &many), 431),
    ];
    case.rounds(8, SLACK, async |case: &mut Case| {
        for (what, request, status) in &requests {
            let mut http = Http::connect(&case.address).await;
            http.send(request.as_bytes()).await;
            let answer = http.answer().await;
            assert_eq!(answer.status, *status, "{what}: {}", answer.text());
            assert!(!answer.text().contains("s3cret"), "{what}: {}", answer.text());
        }
        case.served().await;
    })
    .await;
    for status in [400, 405, 426] {
        case.moved(&format!("liveset_http_requests_total{{path=\"/ws\",status=\"{status}\"}}")).await;
    }
    case.moved("liveset_http_failures_total{failure=\"head\"}").await;
    case.logged("refused a handshake");
    case.logged("refused a request");
    case.logged("an HTTP connection failed");
    case.finish(
        "20 handshakes, each wrong in one thing: keys, versions, upgrades, methods, hosts, HTTP/1.0, NUL, 20 kB of headers, 200 headers",
        "400, 405, 426 or 431",
    )
    .await
}

pub async fn wrong_origin(row: Row) -> Line {
    let mut lines = Vec::new();
    for (policy, absent) in [("refuse", 403), ("allow", 101)] {
        let config =
            format!("[websocket]\norigins = [\"https://shop.example\"]\nabsent_origin = \"{policy}\"\n");
        // The bystander is no page: where those are refused it says that it is one.
        let mut case = match absent {
            101 => Case::start(row, &config).await,
            _ => Case::start_from(row, &config, "https://shop.example").await,
        };
        case.rounds(8, SLACK, async |case: &mut Case| {
            for (origin, status) in [
                (Some("https://shop.example"), 101),
                (Some("https://SHOP.example"), 101),
                (Some("http://shop.example"), 403),
                (Some("https://shop.example:444"), 403),
                (Some("https://shop.example.evil.example"), 403),
                (Some("https://evil.example/https://shop.example"), 403),
                (Some("https://xshop.example"), 403),
                (Some("null"), 403),
                (Some(""), 403),
                (Some("https://shop.example\r\norigin: https://evil.example"), 403),
                (None, absent),
            ] {
                let line = origin.map(|origin| format!("origin: {origin}\r\n")).unwrap_or_default();
                let mut http = Http::connect(&case.address).await;
                http.send(upgrade(&case.address, &line).as_bytes()).await;
                let answer = http.answer().await;
                assert_eq!(answer.status, status, "{origin:?}: {}", answer.text());
                assert!(status == 101 || answer.code() == "FORBIDDEN");
            }
            case.served().await;
        })
        .await;
        case.moved("liveset_http_requests_total{path=\"/ws\",status=\"403\"}").await;
        case.logged("refused a handshake");
        lines.push(
            case.finish(
                &format!("11 origins, `absent_origin = \"{policy}\"`"),
                &format!("the listed one 101; others, `null`, prefixes, suffixes, ports, two origins: 403 before 101; none: {absent}"),
            )
            .await,
        );
    }
    lines.into_iter().reduce(Line::and).expect("two of them")
}
