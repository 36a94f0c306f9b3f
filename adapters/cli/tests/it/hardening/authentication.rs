//! Who may in, and for how long.

use std::time::{Duration, SystemTime};

use liveset_fuzz::frames::{CONTINUATION, PING, TEXT, frame};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use super::case::{Case, SLACK, Writer};
use super::host;
use super::table::{Line, Row};
use crate::support::http::Http;
use crate::support::raw::{Raw, rest, stream_from};
use crate::support::{PATIENCE, Server, TOKEN};

/// The close frame for 1008.
const CLOSED_1008: [u8; 4] = [0x88, 2, 0x03, 0xf0];

pub async fn no_auth_in_time(row: Row) -> Line {
    const DEADLINE: Duration = Duration::from_millis(1_500);
    const DRIP: Duration = Duration::from_millis(125);
    let limits = liveset::Limits::default();
    assert_eq!(limits.session.auth_timeout, Duration::from_secs(10));
    let config = format!(
        "[limits.session]\nauth_timeout = \"{}ms\"\n[limits.transport]\nclose_timeout = \"300ms\"\n",
        DEADLINE.as_millis()
    );
    let mut case = Case::start(row, &config).await;
    // Without end, as far as patience goes: a server that gave another moment for each piece would never close.
    let auth = json!({ "type": "auth", "token": "s3cret".repeat(500) }).to_string();
    let whole = frame(true, TEXT, auth.as_bytes());
    let pieces = auth.len().min(liveset::Limits::default().transport.max_fragments) as u32 - 1;
    assert!(DRIP * pieces > PATIENCE, "they end before patience does");
    case.rounds(2, SLACK, async |case: &mut Case| {
        // Each sends these one after the other, and never all of it.
        let fragments = auth.clone().into_bytes().into_iter().enumerate();
        let fragments =
            fragments.map(|(n, byte)| frame(false, if n == 0 { TEXT } else { CONTINUATION }, &[byte]));
        let attacks: [Box<dyn Iterator<Item = Vec<u8>> + Send>; 4] = [
            Box::new(std::iter::empty()),
            Box::new(whole.clone().into_iter().map(|byte| vec![byte])),
            Box::new(fragments.take(pieces as usize)),
            Box::new(std::iter::repeat_with(|| frame(true, PING, b"s3cret"))),
        ];
        let mut attackers = Vec::new();
        for pieces in attacks {
            let started = Instant::now();
            let Raw { stream } = Raw::connect(&case.address).await;
            attackers.push(tokio::spawn(async move {
                let (mut reading, mut writing) = stream.into_split();
                let dripping = tokio::spawn(async move {
                    for piece in pieces {
                        sleep(DRIP).await;
                        if writing.write_all(&piece).await.is_err() {
                            return;
                        }
                    }
                    // Not a word more, and not the end either.
                    sleep(PATIENCE).await;
                });
                let mut said = Vec::new();
                let reading = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut said);
                let _ = tokio::time::timeout(PATIENCE, reading).await.expect("closed in time");
                dripping.abort();
                (said, started.elapsed())
            }));
        }
        case.served().await;
        for attacker in attackers {
            let (said, took) = attacker.await.expect("an attacker");
            assert!(took >= DEADLINE, "closed after {took:?}");
            assert!(said.ends_with(&CLOSED_1008), "{}", String::from_utf8_lossy(&said));
            assert!(String::from_utf8_lossy(&said).contains("AUTH_TIMEOUT"));
        }
    })
    .await;
    assert!(case.moved("liveset_errors_total{code=\"AUTH_TIMEOUT\"}").await >= 4 * 2);
    case.logged("the client is told of an error code=\"AUTH_TIMEOUT\"");
    case.finish(
        "upgraded, then silent; `auth` a byte at a time, in 1-byte fragments, or pings only, each for longer than anybody would wait",
        "`AUTH_TIMEOUT`, 1008 at the deadline (1.5 s here, 10 s by default) from the upgrade",
    )
    .await
}

/// A token whose neighbours are tried.
const RIGHT: &str = "s3cret-0123456789abcdef";

pub async fn wrong_token(row: Row) -> Line {
    same_answer(row).await.and(failures_of_one_address(row).await)
}

async fn same_answer(row: Row) -> Line {
    let config = format!(
        "[auth]\ntokens = [{{ token = \"{}\", subject = \"writer\" }}, {{ token = \"{RIGHT}\", subject = \"other\" }}]\n",
        TOKEN
    );
    let mut case = Case::start(row, &config).await;
    let wrong = [
        "s3cret".to_owned(),
        RIGHT[..RIGHT.len() - 1].to_owned(),
        format!("{}0", &RIGHT[..RIGHT.len() - 1]),
        format!("{RIGHT}0"),
        format!(" {RIGHT}"),
        format!("Bearer {RIGHT}"),
        RIGHT.to_uppercase(),
        format!("{RIGHT}\0"),
        RIGHT.repeat(2_000),
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzM2NyZXQifQ.".to_owned(),
        String::new(),
    ];
    let mut took: Vec<Vec<Duration>> = vec![Vec::new(); wrong.len()];
    case.rounds(8, SLACK, async |case: &mut Case| {
        let mut answers = Vec::new();
        for (token, took) in wrong.iter().zip(&mut took) {
            let mut raw = Raw::connect(&case.address).await;
            let started = Instant::now();
            raw.send_json(&json!({ "type": "auth", "token": token })).await;
            let (_, said) = raw.receive().await.expect("an answer");
            took.push(started.elapsed());
            assert_eq!(raw.close_code().await, Some(1008));
            answers.push(said);
        }
        let first: Value = serde_json::from_slice(&answers[0]).expect("JSON");
        assert_eq!(first["code"], "AUTH_FAILED");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "all the same to the last byte");
        case.served().await;
        // Over HTTP too.
        let mut answers = Vec::new();
        let sent = |token: &&String| (1..1_000).contains(&token.len()) && !token.contains(['\0', ' ']);
        for token in wrong.iter().filter(sent) {
            let answer = Http::connect(&case.address).await.get("/metrics", Some(token)).await;
            assert_eq!(answer.status, 401);
            answers.push(answer.body);
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]));
    })
    .await;
    case.moved("liveset_authentications_total{outcome=\"refused\"}").await;
    case.moved("liveset_http_auth_failures_total").await;
    case.logged("the client is told of an error code=\"AUTH_FAILED\"");
    // Not asserted: on a busy machine a clock says little. That the library compares with every token of the list, whatever matches, is tested there.
    let medians: Vec<u128> = took
        .iter_mut()
        .map(|took| {
            took.sort_unstable();
            took[took.len() / 2].as_micros()
        })
        .collect();
    let (least, most) = (medians.iter().min().expect("some"), medians.iter().max().expect("some"));
    let came_back = format!(
        "`AUTH_FAILED`, 1008, the same bytes for each (HTTP 401); medians of the answers’ times {least}–{most} µs"
    );
    case.finish(
        "11 wrong tokens: empty, a prefix, one character more or other, upper case, 46 kB, `alg: none`",
        &came_back,
    )
    .await
}

async fn failures_of_one_address(row: Row) -> Line {
    const FAILURES: usize = 10;
    let config = format!(
        "[limits.auth]\nfailures_per_address = {FAILURES}\nfailure_interval = \"1h\"\ncount_loopback = true\n"
    );
    let mut case = Case::start(row, &config).await;
    let mut attackers = 1;
    case.rounds(8, SLACK, async |case: &mut Case| {
        attackers += 1;
        let source = format!("127.0.0.{attackers}");
        let attempt = async |token: &str| {
            let mut raw = Raw::connect_from(&source, &case.address).await;
            raw.send_json(&json!({ "type": "auth", "token": token })).await;
            let code = raw.error().await;
            assert_eq!(raw.close_code().await, Some(1008));
            code
        };
        for _ in 0..FAILURES {
            assert_eq!(attempt("s3cret-guess").await, "AUTH_FAILED");
        }
        // No token is looked at any more, the right one neither.
        assert_eq!(attempt(TOKEN).await, "RATE_LIMITED");
        let mut stream = stream_from(&source, &case.address).await;
        let request = format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("taken");
        let said = rest(&mut stream).await;
        let said = String::from_utf8_lossy(&said);
        assert!(said.starts_with("HTTP/1.1 429 ") && said.contains("\r\nretry-after: "), "{said}");
        // Who has another address is not concerned.
        case.served().await;
    })
    .await;
    case.moved("liveset_limit_refusals_total{limit=\"auth.failures_per_address\"}").await;
    case.logged("too many failed authentications");
    case.finish(
        "10 wrong tokens from one address, then the right one, over HTTP too",
        "`RATE_LIMITED`, 1008 (HTTP 429 with `retry-after`) for that address, whatever the token; 20 at once and one each 3 s by default",
    )
    .await
}

pub async fn expiry_and_revocation(row: Row) -> Line {
    revocation(row).await.and(expiry(row).await)
}

const REVOKED: &str = "s3cret-revoked";

async fn revocation(row: Row) -> Line {
    let tokens =
        |more: &str| format!("[auth]\ntokens = [{{ token = \"{}\", subject = \"writer\" }}{more}]\n", TOKEN);
    let both = tokens(&format!(", {{ token = \"{REVOKED}\", subject = \"guest\" }}"));
    let mut case = Case::start(row, &both).await;
    let file = case.server.config_file();
    let with = std::fs::read_to_string(&file).expect("the configuration");
    let without = with.replace(&both, &tokens(""));
    assert_ne!(with, without);
    let mut reloads = 0;
    let mut n = 0;
    case.rounds(6, SLACK, async |case: &mut Case| {
        let mut guests = Vec::new();
        for _ in 0..5 {
            guests.push(watching_orders(&case.address, REVOKED).await.expect("let in"));
        }
        case.served().await;
        reload(&case.server, &without, &mut reloads).await;
        n += 1;
        upsert_order(&case.address, n).await;
        for mut guest in guests {
            // The next message already is the end: not the diff of what was committed after it.
            assert_eq!(guest.error().await, "TOKEN_EXPIRED");
            assert_eq!(guest.close_code().await, Some(1008));
        }
        reload(&case.server, &with, &mut reloads).await;
    })
    .await;
    assert!(case.moved("liveset_errors_total{code=\"TOKEN_EXPIRED\"}").await >= 5 * 6);
    case.logged("read the configuration again");
    case.logged("the client is told of an error code=\"TOKEN_EXPIRED\"");
    case.finish(
        "5 clients with a live query; their token is taken out of the configuration (SIGHUP); then a commit that they watch",
        "`TOKEN_EXPIRED`, 1008, and nothing of the commit",
    )
    .await
}

async fn reload(server: &Server, config: &str, reloads: &mut usize) {
    std::fs::write(server.config_file(), config).expect("the configuration is written");
    server.signal("HUP");
    *reloads += 1;
    let deadline = Instant::now() + PATIENCE;
    while server.log().matches("read the configuration again").count() < *reloads {
        assert!(Instant::now() < deadline, "not read again");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn expiry(row: Row) -> Line {
    let mut case = Case::over(row, host::start(Duration::from_secs(30))).await;
    let mut n = 0;
    case.rounds(2, SLACK, async |case: &mut Case| {
        let opened = SystemTime::now();
        let mut guests = Vec::new();
        while guests.len() < 5 {
            // On a busy machine one may be over before it has begun.
            guests.extend(watching_orders(&case.address, &format!("{}1500", host::EXPIRES)).await);
        }
        case.served().await;
        let passed = opened.elapsed().unwrap_or_default();
        // Every token was given out by now; and then its time.
        sleep(passed.max(Duration::from_millis(1))).await;
        sleep(Duration::from_millis(1500)).await;
        n += 1;
        upsert_order(&case.address, n).await;
        for mut guest in guests {
            assert_eq!(guest.error().await, "TOKEN_EXPIRED");
            assert_eq!(guest.close_code().await, Some(1008));
        }
    })
    .await;
    case.moved("liveset_errors_total{code=\"TOKEN_EXPIRED\"}").await;
    case.logged("the client is told of an error code=\"TOKEN_EXPIRED\"");
    case.finish(
        "5 clients with a live query and a token for 1.5 s; a commit that they watch after that",
        "`TOKEN_EXPIRED`, 1008, and nothing of the commit",
    )
    .await
}

/// A client with a live query over orders, unless its token has expired meanwhile.
async fn watching_orders(address: &str, token: &str) -> Option<Raw> {
    let mut raw = Raw::connect(address).await;
    raw.authenticate(token).await;
    let query = json!({ "edge": "orders", "filter": "note != 's3cret'" });
    raw.send_json(&json!({ "type": "createLiveQuery", "id": "q", "query": query })).await;
    loop {
        let message = raw.receive_json().await;
        match message["type"].as_str() {
            Some("liveQueryCreated") => {}
            Some("liveQueryData") => return Some(raw),
            _ => {
                assert_eq!(message["code"], "TOKEN_EXPIRED", "{message}");
                rest(&mut raw.stream).await;
                return None;
            }
        }
    }
}

async fn upsert_order(address: &str, n: u64) {
    let op = json!({ "op": "upsert", "set": "orders", "node": { "id": 1, "n": n, "x": "s3cret" } });
    Writer::new(address).commit(&json!([op])).await;
}
